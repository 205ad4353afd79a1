//! What no recorded exchange shows: the odd, the impossible, and what differs between models.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Task};

use crate::{
    AnswerForm, CallForm, Delta, PartStart, ReadError, SseSplitter, StreamEvent, StreamReader,
    StreamWriter, Unsupported, Written, read_answer, read_call, write_answer, write_call,
};

const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const OPENAI: Dialect = Dialect::OpenaiChat;

// === calls ===

/// A call as it is written for a model of Anthropic's.
fn write(
    from: Dialect,
    model: &str,
    call: &Value,
    drop_unsupported: bool,
) -> Result<Written, Unsupported> {
    let call = read_call(from, call.to_string().as_bytes()).unwrap();
    let form = CallForm {
        dialect: ANTHROPIC,
        model: Some(model),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    };
    write_call(&call, &form)
}

/// A call of OpenAI's with something about it, as it is written.
fn openai(model: &str, more: Value) -> Result<Value, Vec<String>> {
    let mut call = json!({"messages": [{"role": "user", "content": "Hi"}]});
    call.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    match write(OPENAI, model, &call, false) {
        Ok(written) => Ok(serde_json::from_slice(&written.body).unwrap()),
        Err(unsupported) => Err(unsupported.fields),
    }
}

fn refused(names: &[&str]) -> Result<Value, Vec<String>> {
    Err(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn its_own_calls_come_back_as_they_were() {
    let call = json!({
        "model": "claude-opus-5",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": ""},
                {"type": "image", "source": {"type": "file", "file_id": "f"}},
                {"type": "image", "source": {"type": "url", "url": "u", "later": 1}},
                {"type": "document", "source": {"type": "content", "content": []}, "title": "t", "context": "c", "citations": {"enabled": true}},
                {"type": "search_result", "source": "u", "title": "t", "content": []},
            ]},
            {"role": "user", "content": "in a row"},
            {"role": "system", "content": [{"type": "tool_addition", "tool": {"name": "n"}}]},
            {"role": "assistant", "effort": "low", "content": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "t", "citations": [{"type": "char_location"}]},
                {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}},
                {"type": "tool_use", "id": "2", "name": "f", "input": {}, "caller": {"type": "direct"}},
                {"type": "tool_use", "id": "3", "name": "f", "input": [1]},
            ]},
            {"role": "user", "later": true, "content": [
                {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "tool_reference", "tool_name": "f"}], "is_error": false},
                {"type": "tool_result", "tool_use_id": "3"},
                {"type": "text", "text": "and?"},
            ]},
        ],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}, "strict": false, "defer_loading": true},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": false},
        "stop_sequences": ["\n"],
        "temperature": 1.0,
        "top_k": 3,
        "output_config": {"format": {"type": "later"}, "effort": "max", "task_budget": {"total": 1}},
        "thinking": {"type": "between_tools", "display": "omitted"},
        "service_tier": "standard_only",
        "stream": true,
        "metadata": {"later": 1, "user_id": "u"},
        "container": "c",
    });
    let written = write(ANTHROPIC, "claude-opus-5", &call, false).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&written.body).unwrap(),
        call
    );
    assert_eq!(written.dropped, Vec::<String>::new());
}

#[test]
fn an_error_names_the_field() {
    let error = |call: Value| {
        read_call(ANTHROPIC, call.to_string().as_bytes())
            .unwrap_err()
            .to_string()
    };
    for (call, expected) in [
        (
            json!({}),
            "messages: is missing; it must be a list of messages",
        ),
        (
            json!({"messages": [{"role": "robot"}]}),
            "messages[0].role: must be user or assistant",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
            "messages[0].content[0].text: is missing; it must be a text",
        ),
        (
            json!({"messages": [], "tools": [{}]}),
            "tools[0].name: is missing; it must be a text",
        ),
    ] {
        assert_eq!(error(call), expected);
    }
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let call = json!({"messages": [{"role": "user", "content": "Hi"}], "seed": 7, "logit_bias": {"1": 1}, "store": true, "n": 2, "later": 1});
    let unsupported = write(OPENAI, "claude-sonnet-4-5", &call, false).unwrap_err();
    assert_eq!(unsupported.fields, ["seed", "n", "logit_bias", "later"]);
    let written = write(OPENAI, "claude-sonnet-4-5", &call, true).unwrap();
    assert_eq!(
        written.dropped,
        ["store", "seed", "n", "logit_bias", "later"]
    );
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        body,
        json!({"model": "claude-sonnet-4-5", "max_tokens": 8192, "messages": [{"role": "user", "content": "Hi"}]})
    );
    // What would be done anyway is no loss.
    let neutral = json!({"n": 1, "store": false, "modalities": ["text"], "logit_bias": {}, "logprobs": false, "frequency_penalty": 0, "temperature": 1, "top_p": 1});
    assert_eq!(openai("claude-sonnet-4-5", neutral), Ok(body));
}

#[test]
fn the_operator_speaks_at_the_head() {
    let system = json!({"role": "system", "content": "a"});
    let developer = json!({"role": "developer", "content": "b"});
    let user = json!({"role": "user", "content": "Hi"});
    let parts = |messages: &[&Value]| {
        let call = openai("claude-sonnet-4-5", json!({"messages": messages})).unwrap();
        (call["system"].clone(), call["messages"].clone())
    };
    let both = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    assert_eq!(
        parts(&[&system, &user, &developer]),
        (both.clone(), json!([user]))
    );
    // Where nobody else speaks, the user says it.
    assert_eq!(
        parts(&[&system, &developer]),
        (Value::Null, json!([{"role": "user", "content": both}]))
    );
}

#[test]
fn speakers_in_a_row_are_one_and_empty_texts_are_not_sent() {
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "c"},
    ]);
    let call = openai("claude-sonnet-4-5", json!({"messages": messages})).unwrap();
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        call["messages"],
        json!([{"role": "user", "content": [text("a"), text("b"), text("c")]}])
    );
}

#[test]
fn arguments_that_are_no_object_are_not_invented() {
    let call = |arguments: &str| {
        let tool_call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}});
        json!({"messages": [{"role": "assistant", "tool_calls": [tool_call]}, {"role": "tool", "tool_call_id": "a", "content": "r"}]})
    };
    for nothing in ["", "null", " {} "] {
        let call = openai("claude-sonnet-4-5", call(nothing)).unwrap();
        assert_eq!(call["messages"][0]["content"][0]["input"], json!({}));
    }
    for arguments in ["{broken", "[1]", "7"] {
        let name = "messages.tool_calls.function.arguments";
        assert_eq!(
            openai("claude-sonnet-4-5", call(arguments)),
            refused(&[name])
        );
        let written = write(OPENAI, "claude-sonnet-4-5", &call(arguments), true).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(
            body["messages"][0]["content"][0]["input"],
            json!({"_invalid_arguments": arguments})
        );
    }
}

#[test]
fn files_become_what_they_are() {
    let block = |file: Value| {
        let part = json!({"type": "file", "file": file});
        openai(
            "claude-sonnet-4-5",
            json!({"messages": [{"role": "user", "content": [part]}]}),
        )
        .map(|call| call["messages"][0]["content"][0].clone())
    };
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "AAAA"});
    assert_eq!(
        block(json!({"file_data": "AAAA", "filename": "a.pdf"})),
        Ok(json!({"type": "document", "source": pdf, "title": "a.pdf"}))
    );
    assert_eq!(
        block(json!({"file_data": "data:text/csv;base64,YSxi"})),
        Ok(
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}})
        )
    );
    assert_eq!(
        block(json!({"file_data": "data:image/png;base64,AAAA"})),
        Ok(
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})
        )
    );
    assert_eq!(
        block(json!({"file_data": "https://example.com/a.pdf"})),
        Ok(
            json!({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}})
        )
    );
    for file in [
        json!({"file_id": "f"}),
        json!({"file_data": "data:text/plain;base64,/w=="}),
        json!({"file_data": "data:application/zip;base64,AAAA"}),
        json!({"file_data": "data:text/plain,plain"}),
    ] {
        assert_eq!(block(file), refused(&["messages.content.file"]));
    }
}

#[test]
fn models_are_asked_for_what_they_know() {
    let member =
        |model: &str, more: Value, name: &str| openai(model, more).map(|call| call[name].clone());
    let effort = |word: &str| json!({"reasoning_effort": word});
    // Effort.
    for (word, expected) in [("minimal", "low"), ("medium", "medium"), ("xhigh", "high")] {
        assert_eq!(
            member("claude-opus-4-6", effort(word), "output_config"),
            Ok(json!({"effort": expected}))
        );
    }
    assert_eq!(
        member("claude-haiku-4-5", effort("high"), "output_config"),
        Ok(Value::Null)
    );
    // No reasoning.
    assert_eq!(
        member("claude-opus-5", effort("none"), "thinking"),
        Ok(json!({"type": "disabled"}))
    );
    assert_eq!(
        member("claude-sonnet-5-5", effort("none"), "thinking"),
        Ok(json!({"type": "between_tools"}))
    );
    assert_eq!(
        member("claude-opus-5-5", effort("none"), "output_config"),
        Ok(json!({"effort": "low"}))
    );
    // Anthropic's own field, as its clients add it.
    let budget = json!({"type": "enabled", "budget_tokens": 1024});
    assert_eq!(
        member("claude-opus-4-5", json!({"thinking": budget}), "thinking"),
        Ok(budget)
    );
    assert_eq!(
        openai("claude-opus-4-5", json!({"thinking": {"type": "enabled"}})),
        refused(&["thinking"])
    );
    // Sampling.
    assert_eq!(
        member(
            "claude-opus-4-6",
            json!({"temperature": 0.5}),
            "temperature"
        ),
        Ok(json!(0.5))
    );
    assert_eq!(
        openai("claude-opus-4-6", json!({"temperature": 1.5})),
        refused(&["temperature"])
    );
    assert_eq!(
        openai("claude-opus-4-7", json!({"temperature": 0.5, "top_p": 0.9})),
        refused(&["temperature", "top_p"])
    );
    // Caps.
    assert_eq!(
        member("claude-3-opus-20240229", json!({}), "max_tokens"),
        Ok(json!(4096))
    );
    assert_eq!(
        member(
            "claude-3-opus-20240229",
            json!({"max_completion_tokens": 7}),
            "max_tokens"
        ),
        Ok(json!(7))
    );
}

#[test]
fn forms_of_the_answer() {
    let call = openai(
        "claude-opus-5",
        json!({"response_format": {"type": "json_object"}}),
    )
    .unwrap();
    assert_eq!(
        call["system"],
        "Answer with one JSON object and nothing else."
    );
    let grammar = json!({"response_format": {"type": "grammar"}});
    assert_eq!(
        openai("claude-opus-5", grammar),
        refused(&["response_format"])
    );
    assert_eq!(
        openai("claude-opus-5", json!({"stop": ["\n", "x"]})),
        refused(&["stop"])
    );
}

#[test]
fn tools_and_the_choice_among_them() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let choice = |more: Value| {
        let mut call = json!({"tools": [tool]});
        call.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        openai("claude-opus-5", call).map(|call| call["tool_choice"].clone())
    };
    assert_eq!(
        choice(json!({"parallel_tool_calls": true})),
        Ok(Value::Null)
    );
    assert_eq!(
        choice(json!({"parallel_tool_calls": false})),
        Ok(json!({"type": "auto", "disable_parallel_tool_use": true}))
    );
    assert_eq!(
        choice(json!({"parallel_tool_calls": false, "tool_choice": "none"})),
        Ok(json!({"type": "none"}))
    );
    assert_eq!(
        choice(json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}})),
        refused(&["tool_choice"])
    );
    let call = openai("claude-opus-5", json!({"tools": [tool]})).unwrap();
    assert_eq!(
        call["tools"],
        json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}])
    );
    let custom =
        json!({"tools": [{"type": "custom", "custom": {"name": "c"}}, {"type": "web_search"}]});
    assert_eq!(
        openai("claude-opus-5", custom),
        refused(&["tools.custom", "tools.web_search"])
    );
}

// === answers ===

fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "1",
        fallback_model: "m",
        created: 0,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

fn answer(from: Dialect, to: Dialect, body: &Value) -> Value {
    let answer = read_answer(from, Task::Chat, body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&write_answer(&answer, &form(to))).unwrap()
}

#[test]
fn its_own_answers_come_back_as_they_were() {
    let body = json!({
        "id": "i", "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "unsigned"},
            {"type": "text", "text": ""},
            {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
            {"type": "tool_use", "id": "2", "name": "f", "input": {}, "caller": {"type": "direct"}},
        ],
        "stop_reason": "later", "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard", "server_tool_use": {"web_search_requests": 1}},
        "stop_details": {"type": "refusal"}, "container": {"id": "c"},
    });
    assert_eq!(answer(ANTHROPIC, ANTHROPIC, &body), body);
}

#[test]
fn what_openais_models_answer_is_told_so_that_clients_can_act_on_it() {
    let told = |message: Value, reason: Value| {
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        answer(OPENAI, ANTHROPIC, &json!({"choices": [choice]}))
    };
    let call =
        json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{broken"}});
    let with_tool = told(
        json!({"content": null, "tool_calls": [call]}),
        json!("stop"),
    );
    assert_eq!(with_tool["stop_reason"], "tool_use");
    assert_eq!(
        with_tool["content"][0]["input"],
        json!({"_invalid_arguments": "{broken"})
    );
    let refusal = told(json!({"content": null, "refusal": "No."}), json!("stop"));
    assert_eq!(
        (&refusal["stop_reason"], &refusal["content"]),
        (&json!("refusal"), &json!([{"type": "text", "text": "No."}]))
    );
    for (reason, word) in [
        (json!("length"), "max_tokens"),
        (json!("content_filter"), "refusal"),
        (json!("later"), "end_turn"),
        (Value::Null, "end_turn"),
    ] {
        assert_eq!(told(json!({"content": "a"}), reason)["stop_reason"], word);
    }
    let bare = told(json!({"content": ""}), json!("stop"));
    assert_eq!(
        bare,
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0},
        })
    );
}

#[test]
fn what_is_no_answer_is_told_so() {
    let error =
        |body: Value| read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap_err();
    let said = json!({"type": "error", "error": {"type": "api_error", "message": "no"}});
    assert_eq!(error(said), ReadError::shape("error", "no"));
    assert_eq!(
        error(json!({})).to_string(),
        "content: is missing; it must be a list of blocks"
    );
}

// === streams ===

fn sse(events: &[Value]) -> String {
    let frame = |event: &Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        )
    };
    events.iter().map(frame).collect()
}

fn read_stream(dialect: Dialect, stream: &str) -> Result<Vec<StreamEvent>, ReadError> {
    let (mut reader, mut splitter) = (
        StreamReader::new(dialect, StreamEnd::Mark),
        SseSplitter::new(1 << 20),
    );
    splitter.push(Bytes::copy_from_slice(stream.as_bytes()));
    let mut told = Vec::new();
    while let Ok(Some(event)) = splitter.next() {
        reader.read(&event, &mut told)?;
    }
    Ok(told)
}

fn write_stream(dialect: Dialect, told: &[StreamEvent]) -> String {
    let (mut writer, mut out) = (StreamWriter::new(&form(dialect)), Vec::new());
    told.iter().for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out).unwrap()
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "model": "m"}})
}

#[test]
fn blocks_may_begin_with_what_they_hold() {
    let block = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stream = [
        block(
            3,
            json!({"type": "thinking", "thinking": "hm", "signature": "s"}),
        ),
        block(
            5,
            json!({"type": "text", "text": "Hi", "citations": [{"type": "later"}]}),
        ),
        block(
            6,
            json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}),
        ),
        block(7, json!({"type": "later", "text": {"odd": true}})),
        json!({"type": "content_block_delta", "index": 7, "delta": {"type": "later_delta", "more": 1}}),
        json!({"type": "content_block_stop", "index": 3}),
    ];
    let part_start = |part, start| StreamEvent::PartStart {
        choice: 0,
        part,
        start,
    };
    let add = |part, delta| StreamEvent::Delta {
        choice: 0,
        part,
        delta,
    };
    let call = PartStart::ToolCall {
        id: "a".into(),
        name: "f".into(),
        kind: crate::ToolKind::Function,
    };
    let expected = [
        part_start(0, PartStart::Reasoning),
        add(0, Delta::Reasoning("hm".into())),
        add(0, Delta::Signature("s".into())),
        part_start(1, PartStart::Text),
        add(1, Delta::Text("Hi".into())),
        add(1, Delta::Citation(json!({"type": "later"}))),
        part_start(2, call),
        add(2, Delta::Arguments("{\"x\":1}".into())),
        part_start(
            3,
            PartStart::Foreign(json!({"type": "later", "text": {"odd": true}})),
        ),
        add(3, Delta::Foreign(json!({"type": "later_delta", "more": 1}))),
        StreamEvent::PartStop { choice: 0, part: 0 },
    ];
    assert_eq!(read_stream(ANTHROPIC, &sse(&stream)), Ok(expected.to_vec()));
}

#[test]
fn a_delta_of_no_block_is_no_answer() {
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lost"}});
    let error = read_stream(ANTHROPIC, &sse(&[start(), delta])).unwrap_err();
    assert_eq!(error.to_string(), "index: names a block that is not open");
}

#[test]
fn open_blocks_are_bounded() {
    let block = |index: u64| json!({"type": "content_block_start", "index": index, "content_block": {"type": "text"}});
    let stream: Vec<Value> = (0..100).map(block).collect();
    assert!(read_stream(ANTHROPIC, &sse(&stream)).is_err());
}

#[test]
fn an_error_in_a_stream_ends_it_without_an_end_mark() {
    let error =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let told = read_stream(ANTHROPIC, &sse(&[start(), error])).unwrap();
    for (dialect, end_mark) in [(OPENAI, "[DONE]"), (ANTHROPIC, "message_stop")] {
        let written = write_stream(dialect, &told);
        assert!(
            written.contains("Overloaded") && !written.contains(end_mark),
            "{written}"
        );
    }
}

#[test]
fn parts_in_turns_end_with_an_error_and_no_end_mark() {
    let chunk = |index: u32, arguments: &str| {
        let call = json!({"index": index, "id": format!("id{index}"), "function": {"name": "f", "arguments": arguments}});
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        )
    };
    let stream = [
        chunk(0, "{"),
        chunk(1, "{"),
        chunk(0, "}"),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let written = write_stream(ANTHROPIC, &read_stream(OPENAI, &stream).unwrap());
    assert!(
        written.contains("event: error") && !written.contains("message_stop"),
        "{written}"
    );
}

#[test]
fn the_end_of_a_stream_that_passed_through_is_the_end_mark_alone() {
    let written = write_stream(ANTHROPIC, &[StreamEvent::End]);
    assert_eq!(
        written,
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    );
}

#[test]
fn what_openais_models_stream_is_told_so_that_clients_can_act_on_it() {
    let stream = |delta: Value| {
        let choice = |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        let chunks = [choice(delta, Value::Null), choice(json!({}), json!("stop"))];
        let chunks: String = chunks
            .iter()
            .map(|chunk| format!("data: {chunk}\n\n"))
            .collect();
        write_stream(
            ANTHROPIC,
            &read_stream(OPENAI, &(chunks + "data: [DONE]\n\n")).unwrap(),
        )
    };
    let call = json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}});
    assert!(stream(json!({"tool_calls": [call]})).contains("\"stop_reason\":\"tool_use\""));
    assert!(stream(json!({"refusal": "No."})).contains("\"stop_reason\":\"refusal\""));
    assert!(stream(json!({"content": "Hi"})).contains("\"stop_reason\":\"end_turn\""));
}

proptest! {
    #[test]
    fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _call = read_call(ANTHROPIC, &data);
        let _answer = read_answer(ANTHROPIC, Task::Chat, &data);
        let _told = read_stream(ANTHROPIC, &String::from_utf8_lossy(&data));
    }
}
