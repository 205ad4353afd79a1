//! Which payloads are kept.

use std::{collections::HashMap, time::Duration};

use regex::Regex;
use tollgate_domain::{Keep, PayloadPolicy, RouteName};

use super::routes::Routes;
use crate::config::{
    StoreSettings,
    diagnostics::{self, Problems, quoted},
    tree::At,
    written::{self, KeepWord},
};

const BYTES_MAX: usize = 64 << 10;

/// Payloads are kept for so long at least: they go by the day.
const KEPT_FOR_MIN: Duration = Duration::from_secs(86_400);

/// Resolves the policy.
pub(crate) fn resolve(
    written: &written::Payloads,
    at: At<'_>,
    routes: &Routes,
    store: Option<&StoreSettings>,
    problems: &mut Problems,
) -> PayloadPolicy {
    let usual = PayloadPolicy::default();
    let mut by_route = HashMap::new();
    for (name, keep) in &written.routes {
        let at = at.key("routes").key(name);
        match routes.names.get(name) {
            Some(route) => {
                let keep = self::keep(Some(*keep), at, problems);
                by_route.insert(RouteName::new(route.as_str()), keep);
            }
            None => {
                let known = routes.names.keys().map(String::as_str);
                problems
                    .error(
                        at.key_span(),
                        format!("there is no route named {}", quoted(name)),
                    )
                    .help(diagnostics::suggestion(name, known, "the routes"));
            }
        }
    }
    for (index, expression) in written.redact.iter().enumerate() {
        if let Err(error) = Regex::new(expression) {
            let problem = error.to_string();
            let last = problem.lines().last().unwrap_or_default();
            problems.error(
                at.key("redact").item(index).span(),
                format!(
                    "this is no regular expression: {}",
                    last.trim_start_matches("error: ")
                ),
            );
        }
    }
    let bytes_max = written.size.map_or(usual.bytes_max, |size| size.0);
    if bytes_max > BYTES_MAX {
        problems
            .error(at.key("size").span(), "payloads are not kept that large")
            .help("write `64KiB` at most");
    }
    let kept_for = written.kept_for.map_or(usual.kept_for, |kept| kept.0);
    if kept_for < KEPT_FOR_MIN {
        problems
            .error(
                at.key("kept_for").span(),
                "payloads are kept for a day at least",
            )
            .help("write `1d` or more, or `keep: none` where none are to be kept");
    }
    let policy = PayloadPolicy {
        keep: keep(written.keep, at.key("keep"), problems),
        routes: by_route,
        bytes_max: bytes_max.min(BYTES_MAX),
        redact: written.redact.clone(),
        kept_for,
    };
    if policy.keeps_some() && store.is_none() {
        problems
            .error(at.span(), "payloads are kept in the store")
            .help("take `store.url: none` out");
    }
    let calls_kept = store.and_then(|store| store.calls_kept);
    if policy.keeps_some() && calls_kept.is_some_and(|kept| kept < policy.kept_for) {
        let place = if written.kept_for.is_some() {
            at.key("kept_for").span()
        } else {
            at.span()
        };
        problems
            .error(place, "payloads would be kept for longer than their calls")
            .help(
                "`payloads.kept_for` may be no more than `store.calls_kept`; left out, it is `30d`",
            );
    }
    policy
}

fn keep(written: Option<written::Keep>, at: At<'_>, problems: &mut Problems) -> Keep {
    match written {
        None | Some(written::Keep::Word(KeepWord::None)) => Keep::None,
        Some(written::Keep::Word(KeepWord::All)) => Keep::All,
        Some(written::Keep::Share(share)) if (0.0..=1.0).contains(&share) => Keep::Share(share),
        Some(written::Keep::Share(_)) => {
            problems
                .error(at.span(), "this is no share")
                .help("write `none`, `all`, or a number from 0 to 1");
            Keep::None
        }
    }
}
