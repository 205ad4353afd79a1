//! Clients of OpenAI's and Anthropic's against Bedrock's Converse, with a key and signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, client};

use crate::stage::{chat, chat_stream, gateway};

const CONFIGURATION: &str = r#"
providers:
  - {name: keyed, type: bedrock, base_url: "BEDROCK", api_key: bedrock-key, dialect: converse}
  - name: signed
    type: bedrock
    base_url: "BEDROCK"
    region: eu-central-1
    auth: {aws: {aws_access_key_id: AKIDEXAMPLE, aws_secret_access_key: s3cret, aws_session_token: session}}
routes:
  - {name: claude, model: {provider: keyed, name: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}}
  - {name: signed, model: {provider: signed, name: "amazon.nova-lite-v1:0"}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: keyed, name: "amazon.titan-embed-text-v2:0"}}
"#;

fn answer() -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [
            {"text": "Let me see."},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Ulm"}}},
        ]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 19, "cacheReadInputTokens": 4},
        "metrics": {"latencyMs": 1},
    })
}

/// A recorded stream in which a tool is called.
fn recorded_stream() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tollgate-dialects/fixtures/bedrock_converse/tool_stream.json"
    );
    let fixture: Value =
        serde_json::from_slice(&std::fs::read(path).expect("the fixture")).expect("JSON");
    STANDARD
        .decode(fixture["frames"].as_str().expect("frames"))
        .expect("base64")
}

fn stream(bytes: Vec<u8>) -> Reply {
    Reply::body(200, "application/vnd.amazon.eventstream", bytes)
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
}

#[tokio::test]
async fn clients_of_both_call_tools() {
    let provider = ScriptedProvider::always(Reply::json(200, &answer())).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let mut call = chat("claude");
    call["tools"] = tools();
    let heard = gateway.post("/v1/chat/completions", &call).await.json();
    let message = &heard["choices"][0]["message"];
    assert_eq!(message["content"], "Let me see.");
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"city":"Ulm"}"#
    );
    assert_eq!(heard["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(heard["usage"]["prompt_tokens"], 14);
    assert_eq!(heard["usage"]["prompt_tokens_details"]["cached_tokens"], 4);

    let call = json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let heard = gateway.post("/v1/messages", &call).await.json();
    assert_eq!(heard["content"][1]["input"], json!({"city": "Ulm"}));
    assert_eq!(
        (&heard["stop_reason"], &heard["usage"]["input_tokens"]),
        (&json!("tool_use"), &json!(10))
    );

    let received = provider.received();
    assert_eq!(
        received[0].path,
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    );
    assert_eq!(
        received[0].header("authorization"),
        Some("Bearer bedrock-key")
    );
    assert_eq!(
        received[0].json()["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "weather"
    );
    assert!(received[0].json().get("model").is_none());
    assert_eq!(
        received[1].json()["inferenceConfig"],
        json!({"maxTokens": 9})
    );
}

#[tokio::test]
async fn streams_arrive_in_the_clients_words() {
    let provider =
        ScriptedProvider::always(stream(recorded_stream()).dripped(7, std::time::Duration::ZERO))
            .await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let mut call = chat_stream("claude");
    call["tools"] = tools();
    let heard = gateway.post("/v1/chat/completions", &call).await;
    let events = client::events(&heard.text());
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert!(
        heard.text().contains(r#""finish_reason":"tool_calls""#),
        "{}",
        heard.text()
    );
    let call = json!({"model": "claude", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let heard = gateway.post("/v1/messages", &call).await.text();
    assert!(
        heard.contains(r#""stop_reason":"tool_use""#) && heard.contains("message_stop"),
        "{heard}"
    );
    assert!(provider.received()[0].path.ends_with("/converse-stream"));
}

#[tokio::test]
async fn a_stream_that_breaks_has_no_end() {
    let whole = recorded_stream();
    let half = whole.len() - 40;
    let provider = ScriptedProvider::always(stream(whole).only(half, Ending::Clean)).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let heard = gateway
        .post("/v1/chat/completions", &chat_stream("claude"))
        .await
        .text();
    assert!(
        heard.contains("upstream_cut") && !heard.contains("[DONE]"),
        "{heard}"
    );
}

#[tokio::test]
async fn errors_are_told_in_the_clients_shape() {
    let provider = ScriptedProvider::always(
        Reply::json(
            400,
            &json!({"message": "The provided model identifier is invalid."}),
        )
        .header(
            "x-amzn-errortype",
            "ValidationException:http://internal.amazon.com/",
        ),
    )
    .await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let heard = gateway.post("/v1/chat/completions", &chat("claude")).await;
    assert_eq!(
        (heard.status, &heard.json()["error"]["message"]),
        (400, &json!("The provided model identifier is invalid."))
    );
    let call = json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let heard = gateway.post("/v1/messages", &call).await;
    assert_eq!(
        (heard.status, &heard.json()["type"]),
        (400, &json!("error"))
    );
}

#[tokio::test]
async fn requests_are_signed_where_there_is_no_key() {
    let provider = ScriptedProvider::always(Reply::json(200, &answer())).await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("signed"))
            .await
            .status,
        200
    );
    let received = provider.received();
    let authorization = received[0].header("authorization").unwrap();
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{authorization}"
    );
    assert!(authorization.contains("/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="), "{authorization}");
    assert_eq!(received[0].header("x-amz-security-token"), Some("session"));
    assert!(!gateway.output().contains("s3cret"));
}

#[tokio::test]
async fn vectors_are_made_one_text_at_a_time() {
    let provider = ScriptedProvider::always(Reply::json(
        200,
        &json!({"embedding": [0.5, 0.25], "inputTextTokenCount": 3}),
    ))
    .await;
    let gateway = gateway(CONFIGURATION, &[("BEDROCK", &provider)]).await;
    let heard = gateway
        .post("/v1/embeddings", &json!({"model": "vectors", "input": "a"}))
        .await
        .json();
    assert_eq!(heard["data"][0]["embedding"], json!([0.5, 0.25]));
    assert_eq!(heard["usage"]["prompt_tokens"], 3);
    let refused = gateway
        .post(
            "/v1/embeddings",
            &json!({"model": "vectors", "input": ["a", "b"]}),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (400, &json!("unsupported_field"))
    );
    assert_eq!(provider.received()[0].json(), json!({"inputText": "a"}));
}
