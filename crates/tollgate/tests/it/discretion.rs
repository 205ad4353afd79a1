//! What is kept from whom: a provider's credentials and address from clients and the log, the private network from providers' names.

use serde_json::json;
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, chat_stream, gateway, openai_answer, openai_events, program};

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

/// What is not to be kept is not in the log either, whether payloads are kept or not.
#[tokio::test]
async fn what_is_not_to_be_kept_is_not_logged() {
    let answer = openai_answer("your card is 4111111111111111");
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    for keep in ["none", "all"] {
        let configuration = format!(
            "log: {{content: true}}\npayloads: {{keep: {keep}, redact: ['[0-9]{{13,16}}']}}\n{ONE_PROVIDER}"
        );
        let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
        let mut call = chat("gpt");
        call["messages"][0]["content"] = json!("my card is 4111111111111111");
        let told = gateway.post("/v1/chat/completions", &call).await;
        assert!(told.text().contains("4111111111111111"), "{}", told.text());
        let line = gateway.wait_for_calls(1).await.remove(0);
        for (part, words) in [
            ("request", "my card is [redacted]"),
            ("response", "your card is [redacted]"),
        ] {
            let content = line[part].as_str().expect("content");
            assert!(content.contains(words), "{keep}: {line:#}");
            assert!(!content.contains("4111"), "{keep}: {line:#}");
        }
    }
}

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

#[tokio::test]
async fn a_page_instead_of_an_answer_tells_neither_credentials_nor_the_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        let page = format!("<html><title>{}</title></html>", confession(request));
        Reply::body(502, "text/html", page)
    })
    .await;
    let gateway = gateway(ONE_PROVIDER, &[("OPENAI", &provider)]).await;
    assert_discreet(&gateway, &place(&provider), &chat("gpt"), 502).await;
}

#[tokio::test]
async fn a_provider_of_another_language_tells_neither_credentials_nor_the_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        let key = request.header("x-api-key").unwrap_or_default();
        let message = format!("{key}: {}", confession(request));
        let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
        let streams = String::from_utf8_lossy(&request.body).contains("\"stream\":true");
        if streams {
            let events = [
                json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
                    "usage": {"input_tokens": 1, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
                error,
            ];
            let event = |event: &serde_json::Value| {
                let name = event["type"].as_str().unwrap_or_default();
                format!("event: {name}\ndata: {event}\n\n")
            };
            Reply::stream(events.iter().map(event).collect::<Vec<String>>())
        } else {
            Reply::json(400, &error)
        }
    })
    .await;
    let configuration = ONE_PROVIDER.replace("type: custom", "type: anthropic");
    for (mut call, status) in [(chat("gpt"), 400), (chat_stream("gpt"), 200)] {
        call["max_tokens"] = json!(10);
        let gateway = gateway(&configuration, &[("OPENAI/v1", &provider)]).await;
        assert_discreet(&gateway, &place(&provider), &call, status).await;
    }
}

/// The environment holds a key with signs that JSON may escape, and a header that does not look secret.
#[tokio::test]
async fn neither_escapes_nor_plain_names_give_a_credential_away() {
    let escaped = |request: &Received| {
        let said = json!({"error": {"message": confession(request), "tenant": request.header("x-tenant")}});
        said.to_string().replace('/', "\\/").replace('+', "\\u002b")
    };
    for (streams, status) in [(false, 422), (true, 200)] {
        let provider = ScriptedProvider::start(move |request: &Received| {
            let said = escaped(request);
            if streams {
                let mut events = openai_events(&["Hello"]);
                events.truncate(2);
                events.push(format!("data: {said}\n\n"));
                Reply::stream(events)
            } else {
                Reply::body(422, "application/json", said)
            }
        })
        .await;
        let configuration = ONE_PROVIDER
            .replace("OPENAI", &provider.url())
            .replace("sk-live-0123456789", "\"{{ env.KEY }}\"")
            .replace(
                "x-api-token: tok",
                "x-tenant: \"{{ env.TENANT }}\", x-api-token: tok",
            );
        let environment = [("KEY", "sk/live+0123456789"), ("TENANT", "acme/0123456789")];
        let gateway = TestGateway::start_with(program(), &configuration, &environment).await;
        let call = if streams {
            chat_stream("gpt")
        } else {
            chat("gpt")
        };
        assert_discreet(&gateway, &place(&provider), &call, status).await;
    }
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
