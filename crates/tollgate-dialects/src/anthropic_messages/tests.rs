//! Calls, answers and streams, there and back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::{Dialect, StreamEnd, StreamUsage, Task};

use crate::{
    AnswerForm, CallForm, SseSplitter, StreamEvent, StreamReader, StreamWriter, Unsupported,
    Written, read_answer, read_call, stream_of, write_answer, write_call,
};

const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const OPENAI: Dialect = Dialect::OpenaiChat;

fn try_translate(
    from: Dialect,
    to: Dialect,
    call: &Value,
    drop_unsupported: bool,
) -> Result<Written, Unsupported> {
    let call = read_call(from, call.to_string().as_bytes()).expect("a call");
    write_call(
        &call,
        &CallForm {
            dialect: to,
            model: Some("claude-sonnet-4-5"),
            stream_usage: StreamUsage::Unasked,
            drop_unsupported,
        },
    )
}

fn translate(from: Dialect, to: Dialect, call: &Value) -> Value {
    let written = try_translate(from, to, call, false).expect("the target can express it");
    serde_json::from_slice(&written.body).expect("JSON")
}

fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "1",
        fallback_model: "m",
        created: 0,
        include_usage: true,
        base64_vectors: false,
    }
}

fn answer(from: Dialect, to: Dialect, body: &Value) -> Value {
    let answer = read_answer(from, Task::Chat, body.to_string().as_bytes()).expect("an answer");
    serde_json::from_slice(&write_answer(&answer, &form(to))).expect("JSON")
}

/// Reads a stream and writes it in another dialect.
fn restream(from: Dialect, to: Dialect, stream: &str) -> String {
    let (mut reader, mut writer, mut splitter) = (
        StreamReader::new(from, StreamEnd::Mark),
        StreamWriter::new(&form(to)),
        SseSplitter::new(1 << 20),
    );
    splitter.push(Bytes::copy_from_slice(stream.as_bytes()));
    let (mut events, mut out) = (Vec::new(), Vec::new());
    while let Ok(Some(event)) = splitter.next() {
        reader.read(&event, &mut events).expect("an event");
    }
    events
        .iter()
        .for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out).expect("text")
}

fn sse(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn a_tool_loop_of_openai_is_told_in_anthropics_words() {
    let call = json!({
        "model": "x", "max_tokens": 50, "stop": "END", "user": "u", "parallel_tool_calls": false, "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"anyOf": [{"type": "string"}]}}}, "strict": true}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}},
                {"id": "b", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
            {"role": "tool", "tool_call_id": "b", "content": "none"},
            {"role": "user", "content": "And now?"}
        ]
    });
    insta::assert_json_snapshot!(translate(OPENAI, ANTHROPIC, &call));
}

#[test]
fn a_tool_loop_of_anthropic_is_told_in_openais_words() {
    let call = json!({
        "model": "x", "max_tokens": 50, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "weather", "description": "d", "input_schema": {"type": "object", "$defs": {"c": {"type": "string"}}, "properties": {"city": {"$ref": "#/$defs/c"}}}}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "I look"}, {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [{"type": "text", "text": "broken"}]}, {"type": "text", "text": "And now?"}]}
        ]
    });
    insta::assert_json_snapshot!(translate(ANTHROPIC, OPENAI, &call));
    let written = try_translate(ANTHROPIC, OPENAI, &call, false).unwrap();
    assert_eq!(
        written.dropped,
        ["cache_control", "messages.content.thinking", "is_error"]
    );
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let call = json!({"model": "x", "seed": 7, "logit_bias": {"1": 1}, "store": true, "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(
        try_translate(OPENAI, ANTHROPIC, &call, false)
            .unwrap_err()
            .fields,
        ["seed", "logit_bias"]
    );
    let written = try_translate(OPENAI, ANTHROPIC, &call, true).unwrap();
    assert_eq!(written.dropped, ["store", "seed", "logit_bias"]);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        body,
        json!({"model": "claude-sonnet-4-5", "max_tokens": 8192, "messages": [{"role": "user", "content": "Hi"}]})
    );
}

#[test]
fn arguments_that_are_no_object_are_not_invented() {
    let call = json!({"model": "x", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{broken"}}]}]});
    assert_eq!(
        try_translate(OPENAI, ANTHROPIC, &call, false)
            .unwrap_err()
            .fields,
        ["messages.tool_calls.function.arguments"]
    );
}

#[test]
fn forms_of_the_answer_and_reasoning_are_mapped() {
    let call = |more: Value| {
        let mut call =
            json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        call.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        translate(OPENAI, ANTHROPIC, &call)
    };
    let schema = json!({"type": "object", "properties": {}});
    let told = call(
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}}}),
    );
    assert_eq!(
        told["output_config"],
        json!({"format": {"type": "json_schema", "schema": schema}})
    );
    assert_eq!(
        call(json!({"response_format": {"type": "json_object"}}))["system"],
        "Answer with one JSON object and nothing else."
    );
    assert_eq!(
        call(json!({"reasoning_effort": "none"}))["thinking"],
        json!({"type": "disabled"})
    );
    assert_eq!(
        call(json!({"temperature": 0.7, "top_p": 0.9}))["temperature"],
        0.7
    );
}

#[test]
fn answers_are_told_both_ways() {
    let anthropic = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "I look"}, {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 7}});
    let openai = answer(ANTHROPIC, OPENAI, &anthropic);
    insta::assert_json_snapshot!(openai);
    let back = answer(OPENAI, ANTHROPIC, &openai);
    assert_eq!(
        (&back["content"], &back["stop_reason"]),
        (&anthropic["content"], &anthropic["stop_reason"])
    );
    assert_eq!(back["usage"]["cache_read_input_tokens"], 90);
}

fn recorded_like() -> String {
    sse(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 10, "output_tokens": 1}}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Grüße 🌍"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "a", "name": "weather", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"city\":"}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "\"Rome\"}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 25}}),
        json!({"type": "message_stop"}),
    ])
}

#[test]
fn a_stream_is_told_in_openais_words_and_back() {
    let openai = restream(ANTHROPIC, OPENAI, &recorded_like());
    insta::assert_snapshot!(openai);
    insta::assert_snapshot!("back", restream(OPENAI, ANTHROPIC, &openai));
}

#[test]
fn an_error_in_a_stream_ends_it_without_an_end_mark() {
    let stream = sse(&[
        json!({"type": "message_start", "message": {"id": "msg_1"}}),
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    ]);
    let openai = restream(ANTHROPIC, OPENAI, &stream);
    assert!(
        openai.contains("Overloaded") && !openai.contains("[DONE]"),
        "{openai}"
    );
}

#[test]
fn parts_in_turns_end_with_an_error_and_no_end_mark() {
    let chunk = |index: u32, arguments: &str| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "id": format!("id{index}"), "function": {"name": "f", "arguments": arguments}}]}}]})
        )
    };
    let stream = [
        chunk(0, "{"),
        chunk(1, "{"),
        chunk(0, "}"),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let told = restream(OPENAI, ANTHROPIC, &stream);
    assert!(
        told.contains("event: error") && !told.contains("message_stop"),
        "{told}"
    );
}

#[test]
fn a_whole_answer_can_be_told_as_a_stream() {
    let answer = read_answer(OPENAI, Task::Chat, br#"{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#).unwrap();
    let (mut writer, mut out) = (StreamWriter::new(&form(ANTHROPIC)), Vec::new());
    stream_of(answer)
        .iter()
        .for_each(|event| writer.write(event, &mut out));
    let told = String::from_utf8(out).unwrap();
    assert!(
        told.contains("\"text\":\"Hi\"")
            && told.contains("\"output_tokens\":2")
            && told.ends_with("data: {\"type\":\"message_stop\"}\n\n"),
        "{told}"
    );
}

fn texts() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 äß🌍\"\\\\]{1,12}".prop_filter("says something", |text| !text.trim().is_empty())
}

/// Calls that both dialects can express.
fn common_calls() -> impl Strategy<Value = Value> {
    let turn = (texts(), texts(), texts(), any::<bool>());
    (texts(), proptest::collection::vec(turn, 1..4), 1_u64..9999, proptest::option::of(0.0..1.0_f64), proptest::collection::vec(texts(), 0..3)).prop_map(|(system, turns, max_tokens, temperature, stop)| {
        let mut messages = vec![json!({"role": "system", "content": system})];
        for (index, (asked, answered, argument, uses_tool)) in turns.into_iter().enumerate() {
            messages.push(json!({"role": "user", "content": asked}));
            if uses_tool {
                let arguments = json!({"x": argument}).to_string();
                messages.push(json!({"role": "assistant", "content": answered, "tool_calls": [{"id": format!("c{index}"), "type": "function", "function": {"name": "f", "arguments": arguments}}]}));
                messages.push(json!({"role": "tool", "tool_call_id": format!("c{index}"), "content": argument}));
            } else {
                messages.push(json!({"role": "assistant", "content": answered}));
            }
        }
        let mut call = json!({"model": "claude-sonnet-4-5", "messages": messages, "max_tokens": max_tokens});
        if let Some(temperature) = temperature {
            call["temperature"] = json!(temperature);
        }
        if !stop.is_empty() {
            call["stop"] = json!(stop);
        }
        call
    })
}

proptest! {
    #[test]
    fn a_common_call_comes_back_as_it_went(call in common_calls()) {
        let there = translate(OPENAI, ANTHROPIC, &call);
        let back = translate(ANTHROPIC, OPENAI, &there);
        prop_assert_eq!(back, call);
    }

    #[test]
    fn a_split_anywhere_makes_no_difference(at in 0_usize..2000) {
        let stream = recorded_like();
        let at = at.min(stream.len());
        let read = |pieces: [&[u8]; 2]| {
            let (mut reader, mut splitter, mut events) = (StreamReader::new(ANTHROPIC, StreamEnd::Mark), SseSplitter::new(1 << 20), Vec::new());
            for piece in pieces {
                splitter.push(Bytes::copy_from_slice(piece));
                while let Ok(Some(event)) = splitter.next() {
                    reader.read(&event, &mut events).expect("an event");
                }
            }
            events
        };
        let (first, second) = stream.as_bytes().split_at(at);
        let whole = read([stream.as_bytes(), b""]);
        prop_assert_eq!(read([first, second]), whole.clone());
        prop_assert_eq!(whole.iter().filter(|event| **event == StreamEvent::End).count(), 1);
    }

    #[test]
    fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _call = read_call(ANTHROPIC, &data);
        let _answer = read_answer(ANTHROPIC, Task::Chat, &data);
        let (mut reader, mut splitter, mut events) = (StreamReader::new(ANTHROPIC, StreamEnd::Mark), SseSplitter::new(1 << 10), Vec::new());
        splitter.push(Bytes::from(data));
        while let Ok(Some(event)) = splitter.next() {
            if reader.read(&event, &mut events).is_err() {
                break;
            }
        }
    }

    #[test]
    fn json_of_any_shape_never_panics(kind in "message_start|content_block_start|content_block_delta|content_block_stop|message_delta|error|x", index in any::<i64>(), inner in "[a-z_]{0,12}") {
        let data = json!({"type": kind, "index": index, "delta": {"type": inner}, "content_block": {"type": inner}, "message": inner, "usage": inner, "error": inner});
        let mut splitter = SseSplitter::new(1 << 10);
        splitter.push(Bytes::from(format!("data: {data}\n\n")));
        let mut events = Vec::new();
        while let Ok(Some(event)) = splitter.next() {
            let _read = StreamReader::new(ANTHROPIC, StreamEnd::Mark).read(&event, &mut events);
        }
    }
}
