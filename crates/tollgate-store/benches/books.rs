//! How many records a second the books take in, and how long questions take with many in them, in both databases. `RECORDS` says how many;
//! the goals are for ten million.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]
#![expect(
    clippy::disallowed_methods,
    reason = "how many records is said by the environment: there are no arguments here"
)]

use std::{env, fs, path::PathBuf, time::Duration};

use tokio::time::Instant;
use tollgate_domain::{Usage, UsageRecord};
use tollgate_store::{CallsQuery, Dimension, Store, UsageQuery};
use tollgate_testkit::postgres::Postgres;

const RECORDS: u64 = 1_000_000;

/// Records of one transaction: what comes in a second at the wanted rate.
const AT_ONCE: u64 = 10_000;

/// The month that they are spread over, in milliseconds since 1970-01-01 UTC.
const MONTH: i64 = 20_000 * 86_400_000;
const MONTH_MS: u64 = 30 * 86_400_000;

/// One among so many fails in a way of its own.
const RARE: u64 = 100_003;

/// Times that a question is put; the middle one is told.
const ROUNDS: usize = 5;

fn record(number: u64, records: u64) -> UsageRecord {
    let at = MONTH_MS / records * number;
    // Spread, and the same in each run.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (outcome, status, error_code) = if mixed.is_multiple_of(50) {
        ("refused", 429, Some("rate_limit_exceeded"))
    } else if number.is_multiple_of(RARE) {
        ("provider_error", 502, Some("upstream_unreadable"))
    } else {
        ("answered", 200, None)
    };
    UsageRecord {
        id: format!("{number:032x}").into(),
        at_ms: MONTH + i64::try_from(at).unwrap_or(i64::MAX),
        request_id: format!("{mixed:016x}{number:016x}").into(),
        revision: "abc".into(),
        key: Some(format!("key-{}", mixed % 40).into()),
        team: Some(format!("team-{}", mixed % 10).into()),
        user: Some(format!("user-{}", mixed % 500).into()),
        route: Some("chat".into()),
        task: Some("llm/v1/chat".into()),
        provider: Some("openai".into()),
        model: Some(format!("model-{}", mixed % 7).into()),
        outcome: outcome.into(),
        status,
        error_code: error_code.map(Into::into),
        usage: Usage {
            input: Some(200),
            output: Some(100),
            ..Usage::default()
        },
        cost: Some(1_500_000_000),
        attempts: 1,
        duration_ms: 800,
        ..UsageRecord::default()
    }
}

async fn measure(name: &str, url: &str, records: u64) {
    let store = Store::open(url).await.expect("it opens");
    let began = Instant::now();
    let mut working = Duration::ZERO;
    for first in (0..records).step_by(usize::try_from(AT_ONCE).unwrap_or(usize::MAX)) {
        let last = (first + AT_ONCE).min(records);
        let some: Vec<_> = (first..last)
            .map(|number| record(number, records))
            .collect();
        let begun = Instant::now();
        store.enter(&some).await.expect("they are entered");
        working += begun.elapsed();
    }
    let rate = u128::from(records) * 1_000 / working.as_millis().max(1);
    println!(
        "{name}: {records} records entered, {rate} a second (wanted: 10,000; {:.0?} in all)",
        began.elapsed()
    );
    let month = UsageQuery {
        since_ms: Some(MONTH),
        until_ms: Some(MONTH + i64::try_from(MONTH_MS).unwrap_or(i64::MAX)),
        by: vec![Dimension::Team, Dimension::Model],
        ..UsageQuery::default()
    };
    let crooked = UsageQuery {
        since_ms: Some(MONTH + 12_345_678),
        ..month.clone()
    };
    let by_user = UsageQuery {
        by: vec![Dimension::User],
        ..month.clone()
    };
    for (question, query) in [
        ("a month by team and model", &month),
        ("the same from a crooked beginning", &crooked),
        ("a month by end user", &by_user),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let rows = store.usage(query).await.expect("it is answered");
            assert!(!rows.is_empty());
            times.push(begun.elapsed());
        }
        times.sort();
        println!(
            "{name}: {question}: {:.1?} (wanted: 200 ms)",
            times[ROUNDS / 2]
        );
    }
    for (question, query) in [
        (
            "a call by its request id",
            CallsQuery {
                request_id: Some(record(records / 3, records).request_id.to_string()),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "the last 50 calls of a key",
            CallsQuery {
                of: vec![(Dimension::Key, "key-7".to_owned())],
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "the last 50 that were refused, of a model",
            CallsQuery {
                of: vec![(Dimension::Model, "model-3".to_owned())],
                status: Some(429),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "the last 50 with a rare status",
            CallsQuery {
                status: Some(502),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "the last 50 with a rare error code",
            CallsQuery {
                error_code: Some("upstream_unreadable".to_owned()),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "the last 50 that were refused, of a key",
            CallsQuery {
                of: vec![(Dimension::Key, "key-9".to_owned())],
                status: Some(429),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "calls with a status that nobody got",
            CallsQuery {
                status: Some(418),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "calls of a key with a status that it never got",
            CallsQuery {
                of: vec![(Dimension::Key, "key-9".to_owned())],
                status: Some(418),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "calls of a team with a rare status",
            CallsQuery {
                of: vec![(Dimension::Team, "team-3".to_owned())],
                status: Some(502),
                most: 50,
                ..CallsQuery::default()
            },
        ),
        (
            "calls that nobody made",
            CallsQuery {
                of: vec![(Dimension::Model, "nothing".to_owned())],
                most: 50,
                ..CallsQuery::default()
            },
        ),
    ] {
        let begun = Instant::now();
        let found = store.calls(&query).await.expect("it is answered").len();
        println!(
            "{name}: {question}: {found} found in {:.1?} (wanted: 1 s)",
            begun.elapsed()
        );
    }
    store.close().await;
}

fn main() {
    let records = env::var("RECORDS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(RECORDS);
    let folder: PathBuf = env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(
        "SQLite",
        &format!("sqlite:{}", folder.join("books.db").display()),
        records,
    ));
    fs::remove_dir_all(&folder).expect("it can be removed");
    let postgres = Postgres::start();
    runtime.block_on(measure("PostgreSQL", &postgres.url(), records));
}
