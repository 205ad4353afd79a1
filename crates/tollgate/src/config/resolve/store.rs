//! Where the books are kept.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tollgate_domain::Secret;

use crate::config::{
    StoreSettings,
    diagnostics::Problems,
    tree::At,
    written::{self, WhenFull},
};

/// The database that is used when none is named.
const FILE: &str = "tollgate.db";

/// The journal that is used when none is named.
const JOURNAL: &str = "tollgate.journal";

const JOURNAL_BYTES_MAX: usize = 1 << 30;

/// Calls are kept for so long at least: limits over the last hours are counted by them.
const CALLS_KEPT_MIN: Duration = Duration::from_secs(86_400);

/// Resolves the store; `None` where the operator wants no books. Relative paths start at `folder`.
pub(crate) fn resolve(
    written: &written::Store,
    at: At<'_>,
    folder: &Path,
    problems: &mut Problems,
) -> Option<StoreSettings> {
    let url = match written.url.as_deref().map(str::trim) {
        Some("none") => return None,
        None => file_url(&folder.join(FILE)),
        Some(url) => {
            match url.strip_prefix("sqlite:") {
                Some(path) => file_url(&folder.join(path.trim_start_matches("//"))),
                None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                    url.to_owned()
                }
                None => {
                    problems
                    .error(at.key("url").span(), "this is no database that is known")
                    .help("write `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE`, or `none`");
                    return None;
                }
            }
        }
    };
    let calls_kept = written.calls_kept.map(|kept| kept.0);
    if calls_kept.is_some_and(|kept| kept < CALLS_KEPT_MIN) {
        problems
            .error(
                at.key("calls_kept").span(),
                "calls are kept for a day at least",
            )
            .help("write `1d` or more; leave it out to keep them for ever");
    }
    let journal = written.journal.as_deref().unwrap_or(JOURNAL);
    let bytes_max = written.journal_max.map_or(JOURNAL_BYTES_MAX, |size| size.0);
    Some(StoreSettings {
        url: Secret::new(url),
        journal: folder.join(PathBuf::from(journal)),
        journal_bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        responses_kept: written
            .responses_kept
            .map(|kept| kept.0)
            .filter(|kept| !kept.is_zero()),
        calls_kept,
        refuses_when_full: written.when_full.unwrap_or_default() == WhenFull::Refuse,
        is_asked_for: at.has("url") || at.has("journal"),
    })
}

fn file_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}
