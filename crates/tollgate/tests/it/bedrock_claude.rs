//! Claude on Bedrock: Anthropic's clients passed on to `InvokeModel`, others translated, and who is asked how.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, client, frames};

use crate::stage::{chat, chat_stream, gateway};

const CONFIGURATION: &str = r#"
providers:
  - {name: usual, type: bedrock, base_url: "BEDROCK", api_key: k}
  - {name: claudes, type: bedrock, base_url: "BEDROCK", api_key: k, dialect: anthropic}
  - {name: converses, type: bedrock, base_url: "BEDROCK", api_key: k, dialect: converse}
routes:
  - {name: claude, model: {provider: usual, name: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}}
  - {name: nova, model: {provider: usual, name: "amazon.nova-lite-v1:0"}}
  - {name: profile, model: {provider: claudes, name: "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"}}
  - {name: converse, model: {provider: converses, name: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}}
"#;

const CLAUDE: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
const PROFILE: &str = "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Aapplication-inference-profile%2Fabc123";

/// A call with much that Anthropic alone has.
fn call(route: &str) -> Value {
    json!({
        "model": route,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "text", "text": "Well."},
            ]},
            {"role": "user", "content": "Go on"},
        ],
        "tools": [{"type": "memory_20250818", "name": "memory"}],
        "something_new": {"a": 1.50},
    })
}

/// What Bedrock gets of it.
fn enclosed(call: &Value) -> Value {
    let mut body = call.clone();
    let members = body.as_object_mut().expect("an object");
    members.remove("model");
    members.remove("stream");
    body["anthropic_version"] = json!("bedrock-2023-05-31");
    body
}

fn answer() -> Value {
    json!({
        "id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Salve"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 5},
    })
}

/// The events of a stream, each with a space that no writer of ours would make.
fn events() -> Vec<String> {
    [
        r#"{"type": "message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}"#,
        r#"{"type": "content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type": "content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
        r#"{"type": "content_block_stop","index":0}"#,
        r#"{"type": "content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type": "content_block_delta","index":1,"delta":{"type":"text_delta","text":"Salve, größe"}}"#,
        r#"{"type": "content_block_stop","index":1}"#,
        r#"{"type": "message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#,
        r#"{"type": "message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":5,"invocationLatency":9,"firstByteLatency":3}}"#,
    ]
    .map(str::to_owned)
    .into()
}

fn chunks(events: &[String]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| frames::chunk(event))
        .collect()
}

fn stream(bytes: Vec<u8>) -> Reply {
    Reply::body(200, "application/vnd.amazon.eventstream", bytes)
        .dripped(9, std::time::Duration::ZERO)
}

#[tokio::test]
async fn a_client_of_anthropics_loses_nothing() {
    let provider = ScriptedProvider::always(Reply::json(200, &answer())).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let call = call("claude");
    let betas = [
        (
            "anthropic-beta",
            "interleaved-thinking-2025-05-14, context-1m-2025-08-07",
        ),
        ("anthropic-beta", "effort-2025-11-24"),
    ];
    let heard = gateway.post_with("/v1/messages", &call, &betas).await;
    assert_eq!((heard.status, heard.json()), (200, answer()));
    let received = provider.received().remove(0);
    assert_eq!(received.path, format!("{CLAUDE}/invoke"));
    assert_eq!(received.header("anthropic-beta"), None);
    assert_eq!(received.header("authorization"), Some("Bearer k"));
    let mut expected = enclosed(&call);
    expected["anthropic_beta"] = json!([
        "interleaved-thinking-2025-05-14",
        "context-1m-2025-08-07",
        "effort-2025-11-24"
    ]);
    assert_eq!(received.json(), expected);
    let calls = gateway.wait_for_calls(1).await;
    let usage = &calls[0]["usage"];
    assert_eq!(
        (&usage["input"], &usage["input_cached"], &usage["output"]),
        (&json!(10), &json!(4), &json!(5))
    );
}

#[tokio::test]
async fn its_stream_is_the_one_that_anthropic_would_have_sent() {
    let provider = ScriptedProvider::always(stream(chunks(&events()))).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let mut call = call("claude");
    call["stream"] = json!(true);
    let heard = gateway.post("/v1/messages", &call).await;
    let names = events();
    let names = names.iter().map(|event| {
        let read: Value = serde_json::from_str(event).expect("JSON");
        read["type"].as_str().expect("a type").to_owned()
    });
    let expected: String = events()
        .iter()
        .zip(names)
        .map(|(event, name)| format!("event: {name}\ndata: {event}\n\n"))
        .collect();
    assert_eq!(heard.text(), expected);
    let received = provider.received().remove(0);
    assert_eq!(
        received.path,
        format!("{CLAUDE}/invoke-with-response-stream")
    );
    assert_eq!(received.json(), enclosed(&call));
    let calls = gateway.wait_for_calls(1).await;
    assert_eq!(calls[0]["outcome"], "answered");
    assert_eq!(calls[0]["usage"]["output"], 5);
}

#[tokio::test]
async fn all_others_go_to_converse_unless_the_operator_says_otherwise() {
    let provider = ScriptedProvider::start(|request| {
        let is_converse = request.path.ends_with("/converse");
        Reply::json(200, &if is_converse {
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "Salve"}]}}, "stopReason": "end_turn"})
        } else {
            answer()
        })
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let messages = json!([{"role": "user", "content": "Hi"}]);
    for (path, route, asked) in [
        (
            "/v1/chat/completions",
            "claude",
            format!("{CLAUDE}/converse"),
        ),
        ("/v1/messages", "claude", format!("{CLAUDE}/invoke")),
        (
            "/v1/messages",
            "nova",
            "/model/amazon.nova-lite-v1%3A0/converse".to_owned(),
        ),
        ("/v1/messages", "converse", format!("{CLAUDE}/converse")),
        ("/v1/messages", "profile", format!("{PROFILE}/invoke")),
        (
            "/v1/chat/completions",
            "profile",
            format!("{PROFILE}/invoke"),
        ),
    ] {
        let call = json!({"model": route, "max_tokens": 9, "messages": messages});
        let heard = gateway.post(path, &call).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        assert!(heard.text().contains("Salve"), "{}", heard.text());
        let received = provider.received().pop().expect("a request");
        assert_eq!(received.path, asked, "{path} {route}");
        assert_eq!(received.json().get("model"), None);
        let version = &received.json()["anthropic_version"];
        assert_eq!(version.is_string(), asked.ends_with("/invoke"));
    }
}

#[tokio::test]
async fn other_clients_hear_it_in_their_own_words() {
    let provider = ScriptedProvider::always(stream(chunks(&events()))).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let heard = gateway
        .post("/v1/chat/completions", &chat_stream("profile"))
        .await;
    let events = client::events(&heard.text());
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert!(heard.text().contains("Salve, größe"), "{}", heard.text());
    let received = provider.received().remove(0);
    assert_eq!(
        received.path,
        format!("{PROFILE}/invoke-with-response-stream")
    );
    assert_eq!(received.json().get("stream"), None);
}

#[tokio::test]
async fn what_is_thrown_within_a_stream_is_told() {
    let begun = chunks(events().get(..6).expect("events"));
    let thrown = [
        begun,
        frames::exception("modelStreamErrorException", "The model is gone."),
    ]
    .concat();
    let provider = ScriptedProvider::always(stream(thrown)).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let mut call = call("claude");
    call["stream"] = json!(true);
    let heard = gateway.post("/v1/messages", &call).await;
    let told = heard.text();
    let (before, error) = told.split_once("event: error\ndata: ").expect("an error");
    assert!(before.contains("Salve, größe"), "{before}");
    let error: Value = serde_json::from_str(error.trim()).expect("one event");
    assert_eq!(error["error"]["type"], "api_error");
    assert_eq!(error["error"]["message"], "The model is gone.");
    let heard = gateway
        .post("/v1/chat/completions", &chat_stream("profile"))
        .await
        .text();
    assert!(
        heard.contains("The model is gone.") && !heard.contains("[DONE]"),
        "{heard}"
    );
    let calls = gateway.wait_for_calls(2).await;
    assert!(
        calls.iter().all(|call| call["outcome"] == "cut"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn what_is_thrown_before_the_first_word_has_its_own_status() {
    let thrown = frames::exception("throttlingException", "Slow down.");
    let provider = ScriptedProvider::always(stream(thrown)).await;
    let configuration =
        CONFIGURATION.replace("{name: claude,", "{name: claude, retries: {per_target: 0},");
    let gateway = gateway(&configuration, &[("BEDROCK", &provider)]).await;
    let mut call = call("claude");
    call["stream"] = json!(true);
    let heard = gateway.post("/v1/messages", &call).await;
    assert_eq!(
        (heard.status, &heard.json()["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_or_is_damaged_has_no_end() {
    let whole = chunks(&events());
    let half = whole.len() - 40;
    let mut damaged = whole.clone();
    damaged[half] ^= 1;
    for reply in [stream(whole).only(half, Ending::Clean), stream(damaged)] {
        let provider = ScriptedProvider::always(reply).await;
        let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
        let mut call = call("claude");
        call["stream"] = json!(true);
        let heard = gateway.post("/v1/messages", &call).await.text();
        assert!(
            heard.contains("event: error") && !heard.contains("message_stop"),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn errors_keep_their_text() {
    let provider = ScriptedProvider::always(
        Reply::json(
            400,
            &json!({"message": "The provided model identifier is invalid."}),
        )
        .header(
            "x-amzn-errortype",
            "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        ),
    )
    .await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let heard = gateway.post("/v1/messages", &call("claude")).await;
    assert_eq!(heard.status, 400);
    assert_eq!(heard.json()["error"]["type"], "invalid_request_error");
    let text = &json!("The provided model identifier is invalid.");
    assert_eq!(&heard.json()["error"]["message"], text);
    let heard = gateway.post("/v1/chat/completions", &chat("profile")).await;
    assert_eq!(
        (heard.status, &heard.json()["error"]["message"]),
        (400, text)
    );
}

#[tokio::test]
async fn tokens_are_counted_where_claude_is() {
    let provider = ScriptedProvider::always(Reply::json(200, &json!({"inputTokens": 375}))).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let mut question = call("claude");
    question
        .as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let betas = [("anthropic-beta", "context-1m-2025-08-07")];
    let heard = gateway
        .post_with("/v1/messages/count_tokens", &question, &betas)
        .await;
    assert_eq!(
        (heard.status, heard.json()),
        (200, json!({"input_tokens": 375}))
    );
    let received = provider.received().remove(0);
    assert_eq!(received.path, format!("{CLAUDE}/count-tokens"));
    let received = received.json();
    let body = received["input"]["invokeModel"]["body"]
        .as_str()
        .expect("a body");
    let body: Value =
        serde_json::from_slice(&STANDARD.decode(body).expect("base64")).expect("JSON");
    let mut expected = enclosed(&question);
    expected["anthropic_beta"] = json!(["context-1m-2025-08-07"]);
    // There has to be room for more than thoughts.
    expected["max_tokens"] = json!(1025);
    assert_eq!(body, expected);
    // Converse's own models are not asked by a language that they do not speak.
    for route in ["nova", "converse"] {
        let question = json!({"model": route, "messages": [{"role": "user", "content": "Hi"}]});
        let heard = gateway.post("/v1/messages/count_tokens", &question).await;
        assert_eq!(heard.status, 400, "{}", heard.text());
    }
}
