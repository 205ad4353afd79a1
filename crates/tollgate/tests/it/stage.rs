//! What most tests begin with.

use std::path::Path;

use serde_json::{Value, json};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway};

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tollgate"))
}

/// A gateway with a configuration in which `OPENAI`, `ANTHROPIC` stand for providers' addresses.
pub(crate) async fn gateway(
    configuration: &str,
    providers: &[(&str, &ScriptedProvider)],
) -> TestGateway {
    let filled = providers
        .iter()
        .fold(configuration.to_owned(), |text, (name, provider)| {
            text.replace(name, &provider.url())
        });
    TestGateway::start(program(), &filled).await
}

/// One OpenAI provider and one Anthropic provider, a route to each.
pub(crate) const TWO_PROVIDERS: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
routes:
  - {name: gpt, model: {provider: openai, name: gpt-4o-mini}}
  - {name: claude, model: {provider: anthropic, name: claude-sonnet-4-5}}
"#;

/// A provider that is never asked.
pub(crate) async fn nobody() -> ScriptedProvider {
    ScriptedProvider::always(Reply::json(
        500,
        &json!({"error": {"message": "nobody should ask"}}),
    ))
    .await
}

/// A chat call of OpenAI's.
pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
}

/// The same, streamed.
pub(crate) fn chat_stream(model: &str) -> Value {
    let mut call = chat(model);
    call["stream"] = json!(true);
    call
}

/// OpenAI's whole answer.
pub(crate) fn openai_answer(text: &str) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024", "x_unknown": {"kept": true},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, "prompt_tokens_details": {"cached_tokens": 4}}})
}

/// Anthropic's whole answer.
pub(crate) fn anthropic_answer(text: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 7}})
}

/// OpenAI's stream: a chunk for each word, finish, `[DONE]`.
pub(crate) fn openai_events(words: &[&str]) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        )
    };
    let mut events = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    events.extend(
        words
            .iter()
            .map(|word| chunk(json!({"content": word}), Value::Null)),
    );
    events.push(chunk(json!({}), json!("stop")));
    events.push(format!("data: {}\n\n", json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}})));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// Anthropic's stream.
pub(crate) fn anthropic_events(words: &[&str]) -> Vec<String> {
    let event = |event: Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        )
    };
    let mut events = vec![
        event(
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [], "usage": {"input_tokens": 12, "output_tokens": 1}}}),
        ),
        event(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        event(json!({"type": "ping"})),
    ];
    events.extend(words.iter().map(|word| event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}))));
    events.push(event(json!({"type": "content_block_stop", "index": 0})));
    events.push(event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 7}})));
    events.push(event(json!({"type": "message_stop"})));
    events
}
