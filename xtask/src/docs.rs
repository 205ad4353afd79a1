//! `cargo xtask docs`: the pages that are made from the code and from recorded traffic.

use std::fs;

use anyhow::{Result, bail};
use tollgate_testkit::traffic;
use tollgate_upstream::providers;

use crate::project::root;

const PAGE: &str = "docs/translation.md";
const PROVIDERS_PAGE: &str = "docs/providers.md";
const HEAD: &str = "\
# Translation: what arrives, and what cannot

Between equal dialects a body passes as it is, but for `model` and what the route sets. Between different ones everything goes over that both can
say; this page names the rest:

- **mapped**: written in another form, as described.
- **dropped**: left out, and named in the answer's `x-tollgate-dropped` header. These are hints, which change no answer's meaning.
- **refused**: the call is refused with a 400 that names the field; where the route says `drop_unsupported: true`, it is left out and named
  in the header.

An empty place means that the field goes over as it is. A field that neither this page nor the gateway knows is refused: nobody can say what
would be lost with it.

This page is made by `cargo xtask docs`.
";

/// Writes the pages. `counts` are those of the traffic that was just replayed.
pub(crate) fn write(counts: &str) -> Result<()> {
    let page = format!(
        "{HEAD}{}\n# Recorded traffic\n\nEach recorded call is replayed in its own dialect and as a client of every other dialect that can ask it would have made it. What reaches\nthe provider is compared with the recorded request, what reaches the client with the recorded answer. The figures are: passed / passed with losses\nthat this page or the answer names / cannot be asked in that dialect / failed.\n\n{counts}",
        traffic::rules_table()
    );
    fs::write(root().join(PAGE), page)?;
    Ok(fs::write(root().join(PROVIDERS_PAGE), providers::page())?)
}

/// Fails when the page's table is not the code's.
pub(crate) fn check() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    if !page.contains(&traffic::rules_table()) {
        bail!("{PAGE} is not what the code says: run `cargo xtask docs`");
    }
    Ok(())
}
