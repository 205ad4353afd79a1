//! A provider's several keys: which is asked with next, which is left alone, and what a caller is told when none is left.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, gateway, openai_answer};

const TWO_KEYS: &str = r#"
providers: [{name: p, type: openai, base_url: "OPENAI/v1", api_keys: [k1, k2]}]
routes: [{name: r, retries: {backoff: 10ms}, model: {provider: p, name: m}}]
"#;

/// A gateway in front of a provider that answers unless `fault` has something else to say.
async fn stage(
    fault: impl Fn(&Received, &str) -> Option<Reply> + Send + Sync + 'static,
) -> (TestGateway, ScriptedProvider) {
    let provider = ScriptedProvider::start(move |request| {
        let key = request.header("authorization").unwrap_or_default();
        fault(request, key.trim_start_matches("Bearer "))
            .unwrap_or_else(|| Reply::json(200, &openai_answer("x")))
    })
    .await;
    (gateway(TWO_KEYS, &[("OPENAI", &provider)]).await, provider)
}

fn error(status: u16) -> Reply {
    Reply::json(status, &json!({"error": {"message": "no"}}))
}

/// How often a key was sent.
fn uses(provider: &ScriptedProvider, key: &str) -> usize {
    let bearer = format!("Bearer {key}");
    let sent = |request: &Received| request.header("authorization") == Some(&bearer);
    provider.received().iter().filter(|one| sent(one)).count()
}

async fn ask(gateway: &TestGateway, call: &Value) -> (u16, String) {
    let answer = gateway.post("/v1/chat/completions", call).await;
    let code = answer.json()["error"]["code"].as_str().map(str::to_owned);
    (answer.status, code.unwrap_or_default())
}

#[tokio::test]
async fn another_key_does_not_wait_for_the_one_that_ran_into_its_limit() {
    let (gateway, provider) =
        stage(|_, key| (key == "k1").then(|| error(429).header("retry-after", "3"))).await;
    let began = Instant::now();
    for _ in 0..12 {
        assert_eq!(ask(&gateway, &chat("r")).await.0, 200);
    }
    assert!(
        began.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        began.elapsed()
    );
    assert!(uses(&provider, "k1") <= 1, "the key was asked to pause");
}

#[tokio::test]
async fn a_call_that_is_forbidden_takes_no_key_from_the_others() {
    let flagged = |request: &Received| request.json().get("user") == Some(&json!("flagged"));
    let (gateway, provider) = stage(move |request, _| flagged(request).then(|| error(403))).await;
    let mut call = chat("r");
    call["user"] = json!("flagged");
    assert_eq!(ask(&gateway, &call).await.0, 403);
    for _ in 0..12 {
        assert_eq!(ask(&gateway, &chat("r")).await.0, 200);
    }
    assert!(uses(&provider, "k1") > 1 && uses(&provider, "k2") > 1);
}

#[tokio::test]
async fn a_key_without_rights_is_left_alone_once_another_has_answered() {
    let (gateway, provider) = stage(|_, key| (key == "k1").then(|| error(403))).await;
    for _ in 0..12 {
        assert_eq!(ask(&gateway, &chat("r")).await.0, 200);
    }
    assert!(uses(&provider, "k1") <= 1);
}

#[tokio::test]
async fn refused_keys_are_the_gateways_trouble_however_often_it_is_asked() {
    let (gateway, provider) = stage(|_, _| Some(error(401))).await;
    for _ in 0..3 {
        let told = ask(&gateway, &chat("r")).await;
        assert_eq!(told, (502, "upstream_credentials_exhausted".to_owned()));
    }
    assert_eq!(provider.received().len(), 2, "each key was asked with once");
}

#[tokio::test]
async fn a_pause_until_a_date_is_honoured() {
    let (gateway, provider) = stage(|_, _| {
        let limited = error(429).header("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT");
        Some(limited.header("date", "Sun, 06 Nov 1994 08:49:37 GMT"))
    })
    .await;
    for _ in 0..2 {
        let answer = gateway.post("/v1/chat/completions", &chat("r")).await;
        assert_eq!(answer.status, 429);
        let pause: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((28..=30).contains(&pause), "{pause}");
    }
    assert_eq!(provider.received().len(), 2, "both keys wait it out");
}
