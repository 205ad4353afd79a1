//! Clients of OpenAI's responses, and providers that speak them.

use serde_json::{Value, json};
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{
    anthropic_answer, anthropic_events, gateway, nobody, openai_answer, openai_events,
};

/// A provider that speaks chat alone, one that speaks responses as well, and one that speaks responses alone.
const PROVIDERS: &str = r#"
providers:
  - {name: chats, type: custom, base_url: "CHATS/v1"}
  - {name: both, type: openai, base_url: "BOTH/v1", api_key: sk-up}
  - {name: responds, type: custom, dialect: openai_responses, base_url: "BOTH/v1"}
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
routes:
  - {name: chats, retries: {per_target: 0}, model: {provider: chats, name: m}}
  - {name: both, model: {provider: both, name: gpt-5}, params: {max_tokens: 99}}
  - {name: responds, model: {provider: responds, name: gpt-5}}
  - {name: claude, model: {provider: anthropic, name: claude-sonnet-4-5}}
  - {name: either, model: {strategy: {type: ordered, models: [{provider: chats, name: m}, {provider: responds, name: gpt-5}]}}}
  - name: prompted
    prompt_template: "Say {{ input.word }} to {{ input.messages[0].content }}"
    model: {provider: both, name: gpt-5}
"#;

async fn stage(
    chats: &ScriptedProvider,
    both: &ScriptedProvider,
    anthropic: &ScriptedProvider,
) -> TestGateway {
    let providers = [("CHATS", chats), ("BOTH", both), ("ANTHROPIC", anthropic)];
    gateway(PROVIDERS, &providers).await
}

fn call(model: &str) -> Value {
    json!({"model": model, "instructions": "Be brief.", "input": "Hi"})
}

fn streamed(mut call: Value) -> Value {
    call["stream"] = json!(true);
    call
}

/// An answer with a tool call.
fn response(arguments: &str) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": null, "model": "gpt-5-2026", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "proof"},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": arguments, "status": "completed"},
    ], "usage": {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 19}})
}

fn response_events() -> Vec<String> {
    let event = |event: Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        )
    };
    let answer = response("{}");
    vec![
        event(
            json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5-2026", "created_at": 1}}),
        ),
        event(
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "rs_1", "summary_index": 0, "delta": "hm"}),
        ),
        event(
            json!({"type": "response.output_item.done", "output_index": 0, "item": answer["output"][0]}),
        ),
        event(
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}}),
        ),
        event(
            json!({"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": "{}"}),
        ),
        event(
            json!({"type": "response.output_item.done", "output_index": 1, "item": answer["output"][1]}),
        ),
        event(json!({"type": "response.completed", "response": answer})),
    ]
}

/// Answers in whichever dialect and way it is asked.
fn answer(request: &Received) -> Reply {
    let streams = request.json()["stream"] == true;
    match (request.path.as_str(), streams) {
        ("/v1/responses", true) => Reply::stream(response_events()),
        ("/v1/responses", false) => Reply::json(200, &response("{}")),
        ("/v1/responses/compact", _) => {
            Reply::json(200, &json!({"object": "response.compaction", "output": []}))
        }
        ("/v1/messages", true) => Reply::stream(anthropic_events(&["Hel", "lo"])),
        ("/v1/messages", false) => Reply::json(200, &anthropic_answer("Hello")),
        (_, true) => Reply::stream(openai_events(&["Hel", "lo"])),
        (_, false) => Reply::json(200, &openai_answer("Hello")),
    }
}

/// The answer that the last event of a stream holds, and the text of its pieces.
fn collect(events: &[String]) -> (Value, String) {
    let events: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).unwrap_or_default())
        .collect();
    let pieces = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta");
    let text = pieces.filter_map(|event| event["delta"].as_str()).collect();
    let last = events.last().cloned().unwrap_or_default();
    assert_eq!(last["type"], "response.completed");
    (last["response"].clone(), text)
}

#[tokio::test]
async fn a_client_of_responses_is_answered_by_any_provider() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&provider, &provider, &provider).await;
    for (route, input) in [("chats", 12), ("claude", 12)] {
        let whole = gateway.post("/v1/responses", &call(route)).await;
        let whole = whole.json();
        let stream = gateway
            .post("/gateway/openai/v1/responses", &streamed(call(route)))
            .await;
        let (told, text) = collect(&stream.events());
        assert_eq!(text, "Hello", "{route}");
        for answer in [&whole, &told] {
            assert_eq!(answer["output"][0]["content"][0]["text"], "Hello");
            assert_eq!(answer["usage"]["output_tokens"], 7);
        }
        assert_eq!(whole["usage"]["input_tokens"], input);
    }
    let sent = provider.received();
    assert_eq!(
        sent[0].json()["messages"],
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    );
    assert_eq!(
        (
            &sent[2].json()["system"],
            &sent[2].json()["messages"][0]["content"]
        ),
        (&json!("Be brief."), &json!("Hi"))
    );
}

#[tokio::test]
async fn a_provider_that_speaks_responses_gets_the_clients_own_bytes() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&nobody().await, &provider, &nobody().await).await;
    let mut asked = call("both");
    asked["previous_response_id"] = json!("resp_0");
    let answer = gateway.post("/openai/v1/responses", &asked).await;
    assert_eq!(answer.json(), response("{}"));
    let stream = gateway
        .post("/openai/responses?api-version=x", &streamed(asked.clone()))
        .await;
    assert_eq!(stream.text(), response_events().concat());
    let sent = provider.received();
    assert_eq!(sent[0].path, "/v1/responses");
    // The route's cap has this dialect's name.
    asked["model"] = json!("gpt-5");
    asked["max_output_tokens"] = json!(99);
    assert_eq!(sent[0].json(), asked);
    let line = &gateway.wait_for_calls(2).await[1];
    assert_eq!(
        (&line["usage"]["output_reasoning"], &line["finish_reason"]),
        (&json!(2), &json!("tool_calls"))
    );
}

#[tokio::test]
async fn other_clients_are_answered_by_a_provider_that_speaks_responses_alone() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&nobody().await, &provider, &nobody().await).await;
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let asked = json!({"model": "responds", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]});
    let whole = gateway.post("/v1/chat/completions", &asked).await.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["id"], "call_1");
    assert_eq!(message["reasoning_content"], "hm");
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    let stream = gateway
        .post("/v1/chat/completions", &streamed(asked.clone()))
        .await;
    assert!(stream.text().ends_with("data: [DONE]\n\n"));
    assert!(stream.text().contains(r#""finish_reason":"tool_calls""#));

    // The reasoning goes back with its proof.
    let mut next = asked;
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "x"});
    next["messages"]
        .as_array_mut()
        .unwrap()
        .extend([message.clone(), result]);
    gateway.post("/v1/chat/completions", &next).await;
    let sent = provider.received()[2].json();
    assert_eq!(
        sent["input"].as_array().unwrap()[1..],
        [
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "proof"}),
            json!({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "call_1", "output": "x"}),
        ]
    );
    assert_eq!(
        (&sent["store"], &sent["tools"][0]["strict"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn stored_state_is_left_to_those_who_keep_it() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&provider, &provider, &provider).await;
    for (name, value) in [
        ("previous_response_id", json!("resp_0")),
        ("conversation", json!({"id": "conv_1"})),
        (
            "input",
            json!([{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Hi"}]),
        ),
    ] {
        let mut asked = call("claude");
        asked[name] = value;
        let refused = gateway.post("/v1/responses", &asked).await;
        let error = &refused.json()["error"];
        assert_eq!(
            (refused.status, &error["code"]),
            (501, &json!("stored_state_unsupported")),
            "{name}"
        );
        // Another target may keep it.
        asked["model"] = json!("either");
        let answer = gateway.post("/v1/responses", &asked).await;
        assert_eq!(answer.header("x-tollgate-target"), "responds/gpt-5");
    }
    // Nothing was stored where nothing is named.
    let mut asked = call("claude");
    asked["previous_response_id"] = Value::Null;
    assert_eq!(gateway.post("/v1/responses", &asked).await.status, 200);
}

#[tokio::test]
async fn what_is_asked_about_a_call_goes_where_it_can_be_answered() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&provider, &provider, &provider).await;
    let answer = gateway.post("/v1/responses/compact", &call("both")).await;
    assert_eq!(
        answer.json(),
        json!({"object": "response.compaction", "output": []})
    );
    let refused = gateway.post("/v1/responses/compact", &call("claude")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (400, &json!("not_served"))
    );
}

#[tokio::test]
async fn a_routes_prompt_takes_the_place_of_the_input() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&provider, &provider, &provider).await;
    let asked = json!({"model": "prompted", "input": "Ann", "word": "hello"});
    assert_eq!(gateway.post("/v1/responses", &asked).await.status, 200);
    assert_eq!(
        provider.received()[0].json(),
        json!({"model": "gpt-5", "input": [{"role": "user", "content": "Say hello to Ann"}]})
    );
}

#[tokio::test]
async fn anothers_proof_does_not_reach_a_provider_of_responses() {
    let provider = ScriptedProvider::start(answer).await;
    let gateway = stage(&provider, &provider, &provider).await;
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "tollgate:signature:s"});
    let asked = json!({"model": "both", "input": [{"role": "user", "content": "Hi"}, reasoning]});
    let answer = gateway.post("/v1/responses", &asked).await;
    assert_eq!(answer.header("x-tollgate-dropped"), "input.reasoning");
    assert_eq!(
        provider.received()[0].json()["input"],
        json!([{"type": "message", "role": "user", "content": "Hi"}])
    );
}

#[tokio::test]
async fn errors_are_told_in_openais_shape() {
    let error =
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}});
    let anthropic = ScriptedProvider::always(Reply::json(400, &error)).await;
    let broken = ScriptedProvider::start(|_| {
        Reply::stream(openai_events(&["Hel", "lo"]).into_iter().take(2))
    })
    .await;
    let gateway = stage(&broken, &nobody().await, &anthropic).await;
    let refused = gateway.post("/v1/responses", &call("claude")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["message"]),
        (400, &json!("no"))
    );
    let cut = gateway
        .post("/v1/responses", &streamed(call("chats")))
        .await;
    let last: Value = serde_json::from_str(cut.events().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("error"), &json!("upstream_cut"))
    );
}

/// Azure's deployments have the model in their address, and its responses have it in the body.
#[tokio::test]
async fn azures_responses_are_asked_at_their_own_address() {
    let provider = ScriptedProvider::start(|request: &Received| {
        match request.path.starts_with("/openai/responses?") {
            true => Reply::json(200, &response("{}")),
            false => Reply::json(200, &openai_answer("Hello")),
        }
    })
    .await;
    let configuration = r#"
providers:
  - {name: azure, type: azure, base_url: "AZURE", api_key: k, api_version: 2025-04-01-preview}
  - {name: fixed, type: azure, base_url: "AZURE", api_key: k, api_version: 2025-04-01-preview, deployment: dep-1}
  - {name: old, type: azure, base_url: "AZURE", api_key: k, api_version: 2024-10-21}
routes:
  - {name: azure, model: {provider: azure, name: gpt-5}}
  - {name: fixed, model: {provider: fixed, name: gpt-5}}
  - {name: old, model: {provider: old, name: gpt-4o}}
"#;
    let gateway = gateway(configuration, &[("AZURE", &provider)]).await;
    for (route, path, model) in [
        (
            "azure",
            "/openai/responses?api-version=2025-04-01-preview",
            json!("gpt-5"),
        ),
        (
            "fixed",
            "/openai/responses?api-version=2025-04-01-preview",
            json!("dep-1"),
        ),
        (
            "old",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            Value::Null,
        ),
    ] {
        let heard = gateway.post("/v1/responses", &call(route)).await;
        assert_eq!(heard.status, 200, "{route}: {}", heard.text());
        let asked = provider.received().pop().expect("asked");
        assert_eq!(
            (asked.path.as_str(), &asked.json()["model"]),
            (path, &model)
        );
        assert_eq!(asked.header("api-key"), Some("k"));
    }
    // Clients of chat go where they went.
    for (route, deployment) in [("azure", "gpt-5"), ("fixed", "dep-1")] {
        let chat = json!({"model": route, "messages": [{"role": "user", "content": "Hi"}]});
        gateway.post("/v1/chat/completions", &chat).await;
        let asked = provider.received().pop().expect("asked");
        let path = format!(
            "/openai/deployments/{deployment}/chat/completions?api-version=2025-04-01-preview"
        );
        assert_eq!(asked.path, path);
        assert!(asked.json().get("model").is_none());
    }
}

/// Answers repeat what was asked, but not what the operator's prompt made of it.
#[tokio::test]
async fn a_managed_prompt_is_not_told_back() {
    let provider = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Hello"))).await;
    let configuration = r#"
providers:
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
routes:
  - {name: open, model: {provider: anthropic, name: claude-sonnet-4-5}}
  - name: managed
    model: {provider: anthropic, name: claude-sonnet-4-5}
    prompt_template:
      - {role: system, content: "the secret of the house"}
      - {role: user, content: "{{ input.messages[-1].content }}"}
"#;
    let gateway = gateway(configuration, &[("ANTHROPIC", &provider)]).await;
    let ask = |route: &'static str| {
        let call =
            json!({"model": route, "input": "hi", "instructions": "be kind", "temperature": 0.5});
        let gateway = &gateway;
        async move { gateway.post("/v1/responses", &call).await }
    };
    for route in ["open", "managed"] {
        let answer = ask(route).await;
        assert_eq!(
            (
                &answer.json()["instructions"],
                &answer.json()["temperature"]
            ),
            (&json!("be kind"), &json!(0.5)),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("secret of the house"));
    }
    let sent = provider.received();
    assert!(sent[1].json().to_string().contains("secret of the house"));
}
