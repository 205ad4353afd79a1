//! watsonx.ai: OpenAI's chat spelt otherwise, at addresses of its own, with tokens that IBM Cloud gives for a key.

use serde_json::{Value, json};
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, chat_stream, gateway};

const CONFIGURATION: &str = r#"
providers:
  - {name: watsonx, type: watsonx, base_url: "WATSONX", params: {project_id: p-1}, auth: {ibm: {api_key: s3cret-of-ibm, iam_url: "IAM"}}}
  - {name: newer, type: watsonx, base_url: "WATSONX", api_key: a-token, auth: bearer, params: {space_id: s-1}, query: {version: "2026-01-01"}}
routes:
  - {name: granite, retries: {per_target: 0, attempts_max: 1}, model: {provider: watsonx, name: ibm/granite-4-h-small}}
  - {name: newer, model: {provider: newer, name: ibm/granite-4-h-small}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: watsonx, name: ibm/slate-125m}}
"#;

fn answer() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model_id": "ibm/granite-4-h-small", "model": "ibm/granite-4-h-small", "created": 1, "model_version": "1.0.0",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 38, "completion_tokens": 3, "total_tokens": 41}})
}

/// A stream as it comes: numbered, usage at its end, and no end mark.
fn stream() -> Vec<String> {
    let event = |number: usize, choices: Value, usage: Option<Value>| {
        let mut data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model_id": "ibm/granite-4-h-small", "model": "ibm/granite-4-h-small", "created": 1, "choices": choices});
        if let Some(usage) = usage {
            data["usage"] = usage;
        }
        format!("id: {number}\nevent: message\ndata: {data}\n\n")
    };
    let delta = |delta: Value, finish: Value| json!([{"index": 0, "finish_reason": finish, "delta": delta}]);
    let usage = json!({"completion_tokens": 3, "prompt_tokens": 38, "total_tokens": 41});
    vec![
        event(
            1,
            delta(json!({"role": "assistant", "content": ""}), Value::Null),
            None,
        ),
        event(2, delta(json!({"content": "C"}), Value::Null), None),
        event(3, delta(json!({"content": "iao"}), Value::Null), None),
        event(4, delta(json!({"content": ""}), json!("stop")), None),
        event(5, json!([]), Some(usage)),
    ]
}

fn watsonx(request: &Received) -> Reply {
    match request.path.split('?').next() {
        Some("/ml/v1/text/chat") => Reply::json(200, &answer()),
        Some("/ml/v1/text/chat_stream") => Reply::stream(stream()),
        Some("/ml/v1/text/embeddings") => Reply::json(
            200,
            &json!({"model_id": "ibm/slate-125m", "results": [{"embedding": [0.5]}, {"embedding": [-1.0]}], "input_token_count": 9}),
        ),
        _ => Reply::json(404, &json!({"errors": []})),
    }
}

async fn iam() -> ScriptedProvider {
    let token = json!({"access_token": "of-ibm", "expires_in": 3600, "token_type": "Bearer"});
    ScriptedProvider::always(Reply::json(200, &token)).await
}

async fn stage(watsonx: &ScriptedProvider, iam: &ScriptedProvider) -> TestGateway {
    gateway(CONFIGURATION, &[("WATSONX", watsonx), ("IAM", iam)]).await
}

fn last(provider: &ScriptedProvider) -> Received {
    provider.received().pop().expect("asked")
}

#[tokio::test]
async fn openais_clients_are_understood() {
    let (provider, iam) = (ScriptedProvider::start(watsonx).await, iam().await);
    let gateway = stage(&provider, &iam).await;
    let mut call = chat("granite");
    call["tool_choice"] = json!("auto");
    call["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    call["stream"] = json!(false);
    // Who pays is the operator's to say.
    call["project_id"] = json!("another");
    call["space_id"] = json!("another");
    let heard = gateway.post("/v1/chat/completions", &call).await;
    assert_eq!((heard.status, heard.json()), (200, answer()));
    let asked = last(&provider);
    assert_eq!(asked.path, "/ml/v1/text/chat?version=2025-02-06");
    assert_eq!(asked.header("authorization"), Some("Bearer of-ibm"));
    assert_eq!(
        asked.json(),
        json!({"model_id": "ibm/granite-4-h-small", "messages": call["messages"], "tools": call["tools"],
            "tool_choice_option": "auto", "project_id": "p-1"})
    );
    // One of the tools is an object, whose name is OpenAI's.
    call["tool_choice"] = json!({"type": "function", "function": {"name": "f"}});
    gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(last(&provider).json()["tool_choice"], call["tool_choice"]);
    assert!(last(&provider).json().get("tool_choice_option").is_none());
    assert_eq!(iam.received().len(), 1);
    assert!(!gateway.output().contains("s3cret-of-ibm"));
}

#[tokio::test]
async fn streams_have_an_address_of_their_own_and_come_to_an_end() {
    let (provider, iam) = (ScriptedProvider::start(watsonx).await, iam().await);
    let gateway = stage(&provider, &iam).await;
    let mut call = chat_stream("granite");
    call["stream_options"] = json!({"include_usage": true});
    let heard = gateway.post("/v1/chat/completions", &call).await;
    let events = heard.events();
    assert_eq!(
        events.last().map(String::as_str),
        Some("[DONE]"),
        "{events:?}"
    );
    let parsed: Vec<Value> = events
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok())
        .collect();
    let said: String = parsed
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, "Ciao");
    let told: Vec<&Value> = parsed
        .iter()
        .filter(|event| event["usage"].is_object())
        .collect();
    assert_eq!(told.len(), 1, "{parsed:?}");
    assert_eq!(told[0]["usage"]["total_tokens"], 41);
    let asked = last(&provider);
    assert_eq!(asked.path, "/ml/v1/text/chat_stream?version=2025-02-06");
    assert_eq!(
        asked.json(),
        json!({"model_id": "ibm/granite-4-h-small", "messages": call["messages"], "project_id": "p-1"})
    );
    let call = &gateway.wait_for_calls(1).await[0];
    assert_eq!(
        (&call["outcome"], &call["gen_ai.usage.output_tokens"]),
        (&json!("answered"), &json!(3)),
        "{call}"
    );
}

#[tokio::test]
async fn other_clients_are_understood_as_well() {
    let (provider, iam) = (ScriptedProvider::start(watsonx).await, iam().await);
    let gateway = stage(&provider, &iam).await;
    let mut call = json!({"model": "granite", "max_tokens": 9, "metadata": {"user_id": "u"}, "tool_choice": {"type": "any"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [{"role": "user", "content": "Hi"}]});
    let heard = gateway.post("/v1/messages", &call).await;
    assert_eq!(
        heard.json()["content"][0]["text"],
        "Ciao",
        "{}",
        heard.text()
    );
    assert_eq!(heard.header("x-tollgate-dropped"), "metadata.user_id");
    let asked = last(&provider).json();
    assert_eq!(asked["model_id"], "ibm/granite-4-h-small");
    assert_eq!(asked["tool_choice_option"], "required");
    for absent in [
        "model",
        "tool_choice",
        "stream",
        "stream_options",
        "user",
        "parallel_tool_calls",
    ] {
        assert!(asked.get(absent).is_none(), "{absent}: {asked}");
    }
    call["stream"] = json!(true);
    let heard = gateway.post("/v1/messages", &call).await;
    let text = heard.text();
    assert!(
        text.contains("iao") && text.contains("message_stop"),
        "{text}"
    );
    assert!(
        last(&provider)
            .path
            .starts_with("/ml/v1/text/chat_stream?version=")
    );
}

#[tokio::test]
async fn texts_become_vectors() {
    let (provider, iam) = (ScriptedProvider::start(watsonx).await, iam().await);
    let gateway = stage(&provider, &iam).await;
    let call = json!({"model": "vectors", "input": ["a", "b"]});
    let heard = gateway.post("/v1/embeddings", &call).await.json();
    assert_eq!(heard["data"][1]["embedding"], json!([-1.0]), "{heard}");
    assert_eq!(heard["usage"]["prompt_tokens"], 9);
    let asked = last(&provider);
    assert_eq!(asked.path, "/ml/v1/text/embeddings?version=2025-02-06");
    assert_eq!(
        asked.json(),
        json!({"model_id": "ibm/slate-125m", "inputs": ["a", "b"], "project_id": "p-1"})
    );
}

#[tokio::test]
async fn a_token_of_ones_own_and_another_version_are_sent() {
    let (provider, iam) = (ScriptedProvider::start(watsonx).await, iam().await);
    let gateway = stage(&provider, &iam).await;
    let heard = gateway.post("/v1/chat/completions", &chat("newer")).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    let asked = last(&provider);
    assert_eq!(asked.path, "/ml/v1/text/chat?version=2026-01-01");
    assert_eq!(asked.header("authorization"), Some("Bearer a-token"));
    assert_eq!(asked.json()["space_id"], "s-1");
    assert!(iam.received().is_empty());
}

/// As documented, and within a stream.
#[tokio::test]
async fn errors_are_told() {
    let error = json!({"errors": [{"code": "model_not_supported", "message": "Model 'x' is not supported", "more_info": "https://cloud.ibm.com/apidocs/watsonx-ai"}],
        "trace": "t-1", "status_code": 404});
    let iam = iam().await;
    let provider = ScriptedProvider::always(Reply::json(404, &error)).await;
    let gateway = stage(&provider, &iam).await;
    for (path, call) in [
        ("/v1/chat/completions", chat("granite")),
        (
            "/v1/messages",
            json!({"model": "granite", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ),
    ] {
        let heard = gateway.post(path, &call).await;
        assert_eq!(heard.status, 404, "{}", heard.text());
        let told = &heard.json()["error"]["message"];
        assert_eq!(*told, "Model 'x' is not supported");
    }
    let mut events = stream();
    events.truncate(2);
    events.push(format!("id: 3\nevent: error\ndata: {}\n\n", json!({"errors": [{"code": "internal_error", "message": "The model broke"}], "trace": "t", "status_code": 500})));
    let provider = ScriptedProvider::always(Reply::stream(events)).await;
    let gateway = stage(&provider, &iam).await;
    for (path, call) in [
        ("/v1/chat/completions", chat_stream("granite")),
        (
            "/v1/messages",
            json!({"model": "granite", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}),
        ),
    ] {
        let text = gateway.post(path, &call).await.text();
        assert!(text.contains("The model broke"), "{text}");
        assert!(
            !text.contains("[DONE]") && !text.contains("message_stop"),
            "{text}"
        );
    }
}
