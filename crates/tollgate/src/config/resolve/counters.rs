//! Where limits and budgets are counted.

use std::time::Duration;

use tollgate_counters::SharedCounts;
use tollgate_domain::Secret;
use tollgate_proxy::WhenAway;

use crate::config::{CountersSettings, diagnostics::Problems, tree::At, written};

const PREFIX: &str = "tollgate";
const DEADLINE: Duration = Duration::from_millis(20);
const SHARE: f64 = 0.5;

/// Resolves the counters; `None` where they are this process's own.
pub(crate) fn resolve(
    written: &written::Counters,
    at: At<'_>,
    problems: &mut Problems,
) -> Option<CountersSettings> {
    let share = written.share.unwrap_or(SHARE);
    if !(0.0..=1.0).contains(&share) {
        problems
            .error(at.key("share").span(), "`share` is a part of the whole")
            .help("write a number from 0 to 1");
    }
    let url = written.url.as_deref().map(str::trim);
    let url = url.filter(|url| *url != "none")?;
    if !SharedCounts::is_url(url) {
        problems
            .error(at.key("url").span(), "this is no address of counters")
            .help("write `redis://HOST:PORT/NUMBER`, `rediss://…` for TLS, or `none`");
        return None;
    }
    Some(CountersSettings {
        url: Secret::new(url.to_owned()),
        prefix: written.prefix.clone().unwrap_or_else(|| PREFIX.to_owned()),
        deadline: written.deadline.map_or(DEADLINE, |deadline| deadline.0),
        when_away: match written.when_away.unwrap_or_default() {
            written::WhenAway::Refuse => WhenAway::Refuse,
            written::WhenAway::Answer => WhenAway::Answer,
            written::WhenAway::Share => WhenAway::Share(share),
        },
    })
}
