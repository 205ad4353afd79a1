//! Calls as files: all that are asked for, however many.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;
use tollgate_testkit::client;

use crate::{administration::Stage, stage::chat};

/// More than are read at a time.
const CALLS: usize = 1_050;

async fn get(stage: &Stage, path: &str) -> client::Answer {
    let answer = stage
        .send(&stage.owner, "GET", path, Value::Null, &[])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.complete, "{path}");
    answer
}

/// A gateway with so many calls in its books.
async fn stage_with_calls() -> Stage {
    let stage = Stage::new().await;
    let call = chat("chat");
    let ask = || stage.gateway.post("/v1/chat/completions", &call);
    for _ in 0..CALLS / 50 {
        for answer in join_all((0..50).map(|_| ask())).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    for _ in 0..100 {
        let usage = get(&stage, "/usage?by=route").await.json();
        if usage["items"][0]["calls"] == CALLS {
            return stage;
        }
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{}", stage.gateway.output())
}

#[tokio::test]
async fn a_file_has_all_calls_that_are_asked_for() {
    let stage = stage_with_calls().await;
    let csv = get(&stage, "/calls?format=csv").await;
    assert_eq!(csv.header("x-next"), "");
    let csv = csv.text();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("id,at,"), "{}", lines[0]);
    let ids: HashSet<&str> = lines[1..]
        .iter()
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!((lines.len(), ids.len()), (CALLS + 1, CALLS));
    let jsonl = get(&stage, "/calls?format=jsonl&route=chat").await.text();
    let rows = jsonl.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        assert!(ids.contains(row["id"].as_str().expect("a text")));
    });
    assert_eq!(rows.count(), CALLS);
    let parquet = get(&stage, "/calls?format=parquet").await.body;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    for id in &ids {
        let is_there = parquet
            .windows(id.len())
            .any(|bytes| bytes == id.as_bytes());
        assert!(is_there, "{id}");
    }
    // Who asks for a page gets that, and where the next one begins.
    let page = get(&stage, "/calls?format=jsonl&limit=2").await;
    assert_eq!(page.text().lines().count(), 2);
    let rest = format!("/calls?format=csv&after={}", page.header("x-next"));
    let rest = get(&stage, &rest).await.text();
    assert_eq!(rest.lines().count(), CALLS - 2 + 1);
    let none = get(&stage, "/calls?format=jsonl&route=nowhere").await;
    assert_eq!(none.text(), "");
}
