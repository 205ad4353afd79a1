//! Which target answers.

use std::collections::HashMap;

use serde_json::json;
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, gateway, openai_answer};

const STRATEGIES: &str = r#"
direct_use: true
providers: [{name: p, type: openai, base_url: "OPENAI/v1", api_key: k}]
routes:
  - {name: turns, model: {strategy: {type: round_robin, models: [{provider: p, name: a}, {provider: p, name: b}, {provider: p, name: c}]}}}
  - {name: split, model: {strategy: {type: ratio, models: [{provider: p, name: a, weight: 90}, {provider: p, name: b, weight: 10}, {provider: p, name: c, weight: 0}]}}}
  - {name: sticky, model: {strategy: {type: ratio, sticky: {header: x-user}, models: [{provider: p, name: a, weight: 1}, {provider: p, name: b, weight: 1}]}}}
  - {name: tagged, model: {strategy: {type: ordered, models: [{provider: p, name: broken, tags: [old]}, {provider: p, name: b, tags: [canary, eu]}]}}}
  - {name: busy, model: {strategy: {type: least_busy, models: [{provider: p, name: slow}, {provider: p, name: b}]}}}
  - {name: fast, model: {strategy: {type: fastest, models: [{provider: p, name: slow}, {provider: p, name: b}]}}}
  - {name: weighted, model: {strategy: {type: round_robin, models: [{provider: p, name: a, weight: 3}, {provider: p, name: b}, {provider: p, name: c, weight: 0}]}}}
  - {name: spare, model: {strategy: {type: least_busy, models: [{provider: p, name: a}, {provider: p, name: c, weight: 0}]}}}
  - {name: sparest, model: {strategy: {type: fastest, models: [{provider: p, name: a}, {provider: p, name: c, weight: 0}]}}}
  - name: nested
    model:
      strategy:
        type: ratio
        models:
          - {weight: 1, strategy: {type: ordered, models: [{provider: p, name: broken}, {provider: p, name: b}]}}
          - {weight: 1, strategy: {type: ordered, models: [{provider: p, name: broken}, {provider: p, name: c}]}}
"#;

async fn stage() -> (TestGateway, ScriptedProvider) {
    let provider = ScriptedProvider::start(|request| match request.json()["model"].as_str() {
        Some("broken") => Reply::json(404, &json!({"error": {"message": "no such model"}})),
        Some("slow") => {
            Reply::json(200, &openai_answer("x")).after(std::time::Duration::from_millis(150))
        }
        _ => Reply::json(200, &openai_answer("x")),
    })
    .await;
    (
        gateway(STRATEGIES, &[("OPENAI", &provider)]).await,
        provider,
    )
}

/// How often each target answered.
async fn answers(
    gateway: &TestGateway,
    route: &str,
    calls: usize,
    headers: &[(&str, &str)],
) -> HashMap<String, usize> {
    let mut answers = HashMap::new();
    for _ in 0..calls {
        let answer = gateway
            .post_with("/v1/chat/completions", &chat(route), headers)
            .await;
        *answers
            .entry(answer.header("x-tollgate-target").to_owned())
            .or_default() += 1;
    }
    answers
}

#[tokio::test]
async fn calls_land_where_the_strategy_says() {
    let (gateway, _provider) = stage().await;
    assert_eq!(
        answers(&gateway, "turns", 9, &[]).await,
        HashMap::from([
            ("p/a".to_owned(), 3),
            ("p/b".to_owned(), 3),
            ("p/c".to_owned(), 3)
        ])
    );
    assert_eq!(
        answers(&gateway, "weighted", 8, &[]).await,
        HashMap::from([("p/a".to_owned(), 6), ("p/b".to_owned(), 2)])
    );
    for route in ["spare", "sparest"] {
        let answers = answers(&gateway, route, 8, &[]).await;
        assert_eq!(answers, HashMap::from([("p/a".to_owned(), 8)]), "{route}");
    }
    let split = answers(&gateway, "split", 300, &[]).await;
    assert!(
        (240..=296).contains(&split["p/a"]) && !split.contains_key("p/c"),
        "{split:?}"
    );
    let sticky = answers(&gateway, "sticky", 20, &[("x-user", "ann")]).await;
    assert_eq!(sticky.len(), 1, "{sticky:?}");
    let nested = answers(&gateway, "nested", 40, &[]).await;
    assert!(
        nested.len() == 2 && !nested.contains_key("p/broken"),
        "{nested:?}"
    );
}

#[tokio::test]
async fn the_busy_and_the_slow_are_avoided() {
    let (gateway, _provider) = stage().await;
    let first = answers(&gateway, "fast", 2, &[]).await;
    assert_eq!(first.len(), 2, "both are measured first: {first:?}");
    assert_eq!(
        answers(&gateway, "fast", 10, &[]).await.get("p/b"),
        Some(&10)
    );

    let call = chat("busy");
    let (a, b, c, d) = tokio::join!(
        gateway.post("/v1/chat/completions", &call),
        gateway.post("/v1/chat/completions", &call),
        gateway.post("/v1/chat/completions", &call),
        gateway.post("/v1/chat/completions", &call)
    );
    let slow = [a, b, c, d]
        .iter()
        .filter(|answer| answer.header("x-tollgate-target") == "p/slow")
        .count();
    assert!((1..=3).contains(&slow), "{slow}");
}

#[tokio::test]
async fn aliases_and_direct_use_are_names_too() {
    let (gateway, provider) = stage().await;
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("p/anything/at-all"))
            .await
            .status,
        200
    );
    assert_eq!(provider.received()[0].json()["model"], "anything/at-all");
    // Who does not have the model is not asked for it again.
    let missing = gateway
        .post("/v1/chat/completions", &chat("p/broken"))
        .await;
    assert_eq!(
        (missing.status, missing.header("x-tollgate-attempts")),
        (404, "1")
    );
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("q/anything"))
            .await
            .status,
        404
    );
    // The books tell calls apart by it.
    let endless = format!("p/{}", "m".repeat(513));
    let refused = gateway.post("/v1/chat/completions", &chat(&endless)).await;
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn a_targets_tags_are_in_the_log() {
    let (gateway, _provider) = stage().await;
    for route in ["tagged", "turns"] {
        gateway.post("/v1/chat/completions", &chat(route)).await;
    }
    let calls = gateway.wait_for_calls(2).await;
    assert_eq!(calls[0]["tags"], json!(["canary", "eu"]));
    assert_eq!(calls[1].get("tags"), None);
}
