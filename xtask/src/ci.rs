//! `cargo xtask ci`: everything that must hold before a change is taken.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    project::{command, run, succeeds, target},
    test, tidy,
};

/// The version of cargo-deny that the project is checked with.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn ci() -> Result<()> {
    run(&mut command("cargo", &["fmt", "--all", "--check"]))?;
    tidy::tidy()?;
    run(&mut command(
        "cargo",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
    ))?;
    run(command(
        "cargo",
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
        ],
    )
    .env("RUSTDOCFLAGS", "--deny warnings"))?;
    deny()?;
    test::test()
}

/// Licences, sources and who may depend on what. Advisories need a database from the network: `cargo deny check advisories`.
fn deny() -> Result<()> {
    let program = cargo_deny()?;
    // It looks at the packages of every platform, of which a build fetched those of this one.
    run(&mut command("cargo", &["fetch", "--locked"]))?;
    run(&mut command(
        program,
        &["--offline", "check", "bans", "licenses", "sources"],
    ))
}

fn cargo_deny() -> Result<PathBuf> {
    let ours = target().join("tools/bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), ours.clone()] {
        if succeeds(&mut command(&program, &["--version"])) {
            return Ok(program);
        }
    }
    println!(
        "cargo-deny is missing: installing version {CARGO_DENY} into {} (some minutes)",
        target().join("tools").display()
    );
    let tools = target().join("tools");
    run(command(
        "cargo",
        &[
            "install",
            "cargo-deny",
            "--locked",
            "--version",
            CARGO_DENY,
            "--root",
        ],
    )
    .arg(tools))?;
    Ok(ours)
}
