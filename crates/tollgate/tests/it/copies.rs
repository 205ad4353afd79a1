//! Providers that copy OpenAI's API, each in its own way.

use serde_json::json;
use tollgate_testkit::{Reply, ScriptedProvider};

use crate::stage::{chat, gateway, openai_answer};

const COPIES: &str = r#"
providers:
  - {name: mistral, type: mistral, base_url: "COPY/v1", api_key: k}
  - {name: perplexity, type: perplexity, base_url: "COPY", api_key: k}
  - {name: openrouter, type: openrouter, base_url: "COPY/api/v1", api_key: k}
routes:
  - {name: mistral, model: {provider: mistral, name: mistral-small-latest}}
  - {name: sonar, model: {provider: perplexity, name: sonar}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: perplexity, name: pplx-embed-v1-0.6b}}
  - {name: router, retries: {per_target: 0}, model: {provider: openrouter, name: m}}
"#;

#[tokio::test]
async fn a_translated_call_is_written_in_the_providers_accent() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(COPIES, &[("COPY", &provider)]).await;
    let mut call = json!({"model": "mistral", "max_tokens": 9, "metadata": {"user_id": "u"}, "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9", "content": "sunny"}]},
    ]});
    let answer = gateway.post("/v1/messages", &call).await;
    assert_eq!(answer.header("x-tollgate-dropped"), "metadata.user_id");
    let sent = provider.received().last().expect("asked").json();
    let id = &sent["messages"][1]["tool_calls"][0]["id"];
    assert_eq!(
        (id, id.as_str().map(str::len)),
        (&sent["messages"][2]["tool_call_id"], Some(9))
    );
    assert!(sent.get("user").is_none() && sent.get("stream_options").is_none());

    // What cannot be left out without changing the answer is refused.
    call["model"] = json!("sonar");
    call["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let answer = gateway.post("/v1/messages", &call).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("tools"), "{}", answer.text());

    // OpenAI's clients speak for themselves.
    let mut call = chat("mistral");
    call["user"] = json!("u");
    gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(
        provider.received().last().expect("asked").json()["user"],
        "u"
    );
}

#[tokio::test]
async fn an_error_within_an_answer_is_an_error() {
    let choice = json!({"index": 0, "finish_reason": null, "error": {"code": 502, "message": "upstream error"}, "message": {"content": "Hel"}});
    let provider =
        ScriptedProvider::always(Reply::json(200, &json!({"id": "1", "choices": [choice]}))).await;
    let gateway = gateway(COPIES, &[("COPY", &provider)]).await;
    for (path, call) in [
        ("/v1/chat/completions", chat("router")),
        (
            "/v1/messages",
            json!({"model": "router", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ),
        (
            "/api/chat",
            json!({"model": "router", "stream": false, "messages": [{"role": "user", "content": "Hi"}]}),
        ),
    ] {
        let answer = gateway.post(path, &call).await;
        assert!(
            answer.status >= 500 && answer.text().contains("upstream error"),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[tokio::test]
async fn vectors_of_whole_numbers_are_read_as_such() {
    let answer = json!({"object": "list", "model": "m", "data": [{"index": 0, "embedding": "AQD/gA=="}], "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    let gateway = gateway(COPIES, &[("COPY", &provider)]).await;
    let call = json!({"model": "vectors", "input": "a"});
    let told = gateway.post("/api/embed", &call).await.json();
    assert_eq!(told["embeddings"], json!([[1.0, 0.0, -1.0, -128.0]]));
    assert_eq!(gateway.post("/v1/embeddings", &call).await.json(), answer);
}
