//! What a scrape tells.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::Outcome;
use crate::journal::Journal;
use crate::{
    Telemetry, TelemetrySettings,
    call_log::{CallLog, tests::record},
};

fn telemetry(workers: usize) -> Telemetry {
    Telemetry::start(
        TelemetrySettings {
            log: CallLog::Off,
            queue_max: 1,
            workers,
        },
        Box::new(std::io::sink()),
    )
    .0
}

/// A scrape after something of everything has happened.
fn full_scrape() -> String {
    let mut telemetry = telemetry(2);
    let folder = format!("tollgate-metrics-{}", uuid::Uuid::now_v7());
    let folder = std::env::temp_dir().join(folder);
    let journal = Journal::open(&folder, "own", 1 << 20).unwrap();
    telemetry.keep_counts(std::sync::Arc::default());
    telemetry.keep_traces(crate::traces::traces(1, 0.0).0);
    telemetry.keep_journal(std::sync::Arc::new(journal));
    fs::remove_dir_all(folder).unwrap();
    telemetry.witness(0).record(&record());
    let refused = CallRecord {
        outcome: Outcome::Refused,
        status: 401,
        error_code: Some("key_missing".into()),
        ..record()
    };
    telemetry.witness(1).record(&refused);
    let target = TargetName::from("openai/gpt");
    crate::events::TargetCooling {
        target: &target,
        cooling: std::time::Duration::from_secs(5),
        failure: "server",
    }
    .emit(&telemetry);
    crate::events::CredentialNotRenewed {
        provider: &ProviderName::from("bedrock"),
        problem: "no luck",
    }
    .emit(&telemetry);
    telemetry.encode()
}

#[test]
fn shards_are_summed() {
    let telemetry = telemetry(3);
    for worker in 0..3 {
        telemetry.witness(worker).record(&record());
    }
    let in_flight = telemetry.witness(2).call_started();
    let text = telemetry.encode();
    assert!(text.contains(r#"tollgate_requests_total{route="chat",task="llm/v1/chat",status="200",outcome="answered"} 3"#), "{text}");
    assert!(text.contains(r#"tollgate_tokens_total{route="chat",target="anthropic/claude",class="input_cached"} 270"#), "{text}");
    assert!(text.contains("tollgate_requests_in_flight 1"), "{text}");
    assert!(text.contains(r#"gen_ai_client_token_usage_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude",gen_ai_token_type="input"} 3"#), "{text}");
    drop(in_flight);
    assert!(telemetry.encode().contains("tollgate_requests_in_flight 0"));
}

#[test]
fn searches_are_counted_where_they_are_told() {
    let telemetry = telemetry(1);
    telemetry.witness(0).record(&record());
    assert!(!telemetry.encode().contains("tollgate_search_units_total{"));
    let mut searched = record();
    searched.usage.search_units = Some(2);
    telemetry.witness(0).record(&searched);
    let line = r#"tollgate_search_units_total{route="chat",target="anthropic/claude"} 2"#;
    assert!(telemetry.encode().contains(line));
}

#[test]
fn series_are_bounded() {
    let mut family: Family<u64, 1> = Family::default();
    for index in 0..families::SERIES_MAX + 500 {
        *family.entry([&index.to_string()]) += 1;
    }
    assert_eq!(family.iter().count(), families::SERIES_MAX + 1);
    assert_eq!(*family.entry(["other"]), 500);
}

#[test]
fn a_histogram_counts_at_its_bounds() {
    let mut histogram = Histogram::default();
    for value in [0.5, 1.0, 1.5, 99.0] {
        histogram.observe(value, &[1.0, 2.0]);
    }
    let mut other = Histogram::default();
    other.add(&histogram);
    assert_eq!(
        format!("{other:?}"),
        "Histogram { counts: [2, 1, 1], sum: 102.0 }"
    );
}

#[test]
fn a_histogram_ends_with_the_bucket_that_quantiles_need() {
    let scrape = full_scrape();
    let lines_with = |text: &str| scrape.lines().filter(|line| line.contains(text)).count();
    assert!(lines_with("_bucket{le=\"+Inf\"") > 0);
    let series = scrape
        .lines()
        .filter(|line| line.split(['{', ' ']).next().unwrap().ends_with("_count"));
    assert_eq!(lines_with("_bucket{le=\"+Inf\""), series.count());
}

/// Names as they appear in text: words that begin like one of ours.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| {
        ["tollgate_", "gen_ai_client_", "gen_ai_server_", "process_"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
    });
    ours.map(|word| {
        ["_bucket", "_count", "_sum", "_total"]
            .iter()
            .fold(word, |word, suffix| {
                word.strip_suffix(suffix).unwrap_or(word)
            })
            .to_owned()
    })
    .collect()
}

fn project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_documentation_has_every_metric_and_no_other() {
    let scrape = full_scrape();
    assert!(
        scrape.contains("tollgate_books_entered"),
        "a journal is kept"
    );
    let families: BTreeSet<String> = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(names_in(&project("docs/metrics.md")), families);
}

#[test]
fn boards_and_rules_use_metrics_that_exist() {
    let known = names_in(&full_scrape());
    for file in [
        "deploy/grafana/tollgate.json",
        "deploy/prometheus/tollgate.rules.yaml",
    ] {
        let unknown: Vec<_> = names_in(&project(file))
            .difference(&known)
            .cloned()
            .collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}");
    }
    let board: serde_json::Value =
        serde_json::from_str(&project("deploy/grafana/tollgate.json")).unwrap();
    assert!(
        board["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 5)
    );
}
