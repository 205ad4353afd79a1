//! What is kept from whom: a provider's credentials and address from clients and the log, the private network from providers' names.

use serde_json::json;
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, chat_stream, gateway, openai_answer, openai_events};

const ONE_PROVIDER: &str = r#"
providers:
  - name: mine
    type: custom
    base_url: "OPENAI/v1"
    api_key: sk-live-0123456789
    headers: {x-api-token: tok-0123456789}
routes:
  - {name: gpt, retries: {per_target: 0, attempts_max: 1}, model: {provider: mine, name: m}}
"#;

/// All that a client must not hear.
fn confession(request: &Received) -> String {
    let sent = |name: &str| request.header(name).unwrap_or_default().to_owned();
    format!(
        "{} and {} came to http://{}/v1",
        sent("authorization"),
        sent("x-api-token"),
        sent("host")
    )
}

async fn assert_discreet(
    gateway: &TestGateway,
    place: &str,
    call: &serde_json::Value,
    status: u16,
) {
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let answer = gateway.post(path, call).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let told = format!("{:?} {}", answer.headers, answer.text());
        assert!(told.contains("came to"), "the rest is told: {told}");
        assert!(told.contains("mine"), "{told}");
        for hidden in ["0123456789", place] {
            assert!(!told.contains(hidden), "{path}: {told}");
        }
    }
    for call in gateway.wait_for_calls(2).await {
        let line = call.to_string();
        assert!(!line.contains("0123456789"), "{line}");
    }
}

fn place(provider: &ScriptedProvider) -> String {
    provider.url().replace("http://", "")
}

#[tokio::test]
async fn an_error_tells_neither_credentials_nor_the_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        let error = json!({"error": {"message": confession(request), "code": confession(request)}});
        Reply::json(422, &error).header("x-debug", &confession(request))
    })
    .await;
    let gateway = gateway(ONE_PROVIDER, &[("OPENAI", &provider)]).await;
    assert_discreet(&gateway, &place(&provider), &chat("gpt"), 422).await;
}

#[tokio::test]
async fn a_page_of_text_tells_neither_credentials_nor_the_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        Reply::body(400, "text/plain", confession(request))
    })
    .await;
    let gateway = gateway(ONE_PROVIDER, &[("OPENAI", &provider)]).await;
    assert_discreet(&gateway, &place(&provider), &chat("gpt"), 400).await;
}

#[tokio::test]
async fn an_error_within_a_stream_tells_neither_credentials_nor_the_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        let mut events = openai_events(&["Hello"]);
        events.truncate(2);
        let error = json!({"error": {"message": confession(request), "type": "server_error"}});
        events.push(format!("data: {error}\n\n"));
        Reply::stream(events)
    })
    .await;
    let gateway = gateway(ONE_PROVIDER, &[("OPENAI", &provider)]).await;
    assert_discreet(&gateway, &place(&provider), &chat_stream("gpt"), 200).await;
}

/// A name that looks public, and that every resolver takes for 127.0.0.1.
const LOOKS_PUBLIC: &str = "127.1";

#[tokio::test]
async fn a_name_that_looks_public_leads_into_the_private_network_only_where_that_is_allowed() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    for (host, more, status) in [
        (LOOKS_PUBLIC, "", 502),
        (LOOKS_PUBLIC, "private_addresses: true, ", 200),
        ("localhost", "", 200),
        ("127.0.0.1", "", 200),
    ] {
        let base = provider.url().replace("127.0.0.1", host);
        let configuration = ONE_PROVIDER.replace("OPENAI", &base).replace(
            "    api_key",
            &format!("    {}\n    api_key", more.trim_end_matches(", ")),
        );
        let gateway = gateway(&configuration, &[]).await;
        let answer = gateway.post("/v1/chat/completions", &chat("gpt")).await;
        assert_eq!(answer.status, status, "{host} {more}: {}", answer.text());
        let call = &gateway.wait_for_calls(1).await[0];
        if status == 502 {
            assert_eq!(call["attempts"][0]["failure"], "private_address", "{call}");
            assert!(!answer.text().contains(host), "{}", answer.text());
        }
    }
}
