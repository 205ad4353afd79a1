//! What no recorded exchange shows: the odd, the impossible, and what must survive between dialects.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Task};

use super::has_others_proof;
use crate::{
    Answer, AnswerForm, CallForm, Delta, ErrorKind, PartKind, PartStart, ReadError, SseSplitter,
    StopReason, StreamEvent, StreamReader, StreamWriter, Unsupported, Written, glance, read_answer,
    read_call, write_answer, write_call,
};

const RESPONSES: Dialect = Dialect::OpenaiResponses;
const CHAT: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

// === calls ===

fn write(
    from: Dialect,
    to: Dialect,
    call: &Value,
    drop_unsupported: bool,
) -> Result<Written, Unsupported> {
    let call = read_call(from, call.to_string().as_bytes()).unwrap();
    let form = CallForm {
        dialect: to,
        model: Some("m"),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    };
    write_call(&call, &form)
}

/// A call as it is written in another dialect, and what was dropped from it.
fn written(from: Dialect, to: Dialect, call: &Value) -> (Value, Vec<String>) {
    let written = write(from, to, call, false).unwrap();
    (
        serde_json::from_slice(&written.body).unwrap(),
        written.dropped,
    )
}

fn refused(from: Dialect, to: Dialect, call: &Value) -> Vec<String> {
    write(from, to, call, false).unwrap_err().fields
}

#[test]
fn its_own_calls_come_back_as_they_were() {
    let call = json!({
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "developer", "content": "d"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "input_image", "file_id": "f", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
                {"type": "input_file", "file_url": "u"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "later", "x": 1},
            ], "id": "msg_0", "status": "completed"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}, {"type": "summary_text", "text": "c"}], "id": "rs_1", "encrypted_content": "e"},
            {"type": "reasoning", "summary": [], "id": "rs_2"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "d", "annotations": [{"type": "file_citation"}]},
                {"type": "refusal", "refusal": "no"},
            ], "id": "msg_1", "status": "completed", "phase": "commentary"},
            {"type": "message", "role": "assistant", "content": "another"},
            {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "", "id": "fc_1", "status": "completed", "namespace": "n"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free", "id": "ctc_1"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1", "x": 1}]},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "2", "id": "o2"},
            {"type": "computer_call_output", "call_id": "c3", "output": {"type": "computer_screenshot"}},
            {"type": "item_reference", "id": "msg_9"},
            {"id": "msg_10"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "web_search", "filters": {}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "parallel_tool_calls": false,
        "max_output_tokens": 5,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "user": "u",
        "service_tier": "flex",
        "stream": true,
        "metadata": {"a": "b"},
        "store": false,
        "previous_response_id": "resp_0",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    });
    let (body, dropped) = written(RESPONSES, RESPONSES, &call);
    assert_eq!((body, dropped), (call, Vec::new()));
}

#[test]
fn an_error_names_the_field() {
    for (call, expected) in [
        (
            json!({}),
            "input: is missing; it must be a text or a list of items",
        ),
        (
            json!({"input": [{"role": "robot", "content": ""}]}),
            "input[0].role: must be user, assistant, system or developer",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
            "input[0].content[0].text: is missing; it must be a text",
        ),
        (
            json!({"input": [{"type": "function_call_output", "output": "x"}]}),
            "input[0].call_id: is missing; it must be a text",
        ),
        (
            json!({"input": "a", "tools": [{"name": "f"}]}),
            "tools[0].type: is missing; it must be a text, such as function",
        ),
    ] {
        let error: ReadError = read_call(RESPONSES, call.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    // What is stored may say everything.
    let stored = json!({"previous_response_id": "resp_0"});
    assert!(read_call(RESPONSES, stored.to_string().as_bytes()).is_ok());
}

#[test]
fn the_assistants_items_in_a_row_are_one_message_elsewhere() {
    let call = json!({"input": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b", "annotations": []}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "id": "fc_1", "status": "completed"},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "function_call_output", "call_id": "2", "output": "y"},
    ]});
    let (body, dropped) = written(RESPONSES, CHAT, &call);
    let tool_call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "tool_calls": [tool_call("1"), tool_call("2")]},
            {"role": "tool", "content": "x", "tool_call_id": "1"},
            {"role": "tool", "content": "y", "tool_call_id": "2"},
        ])
    );
    assert_eq!(dropped, ["input.reasoning"]);
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let call = json!({
        "input": [{"role": "user", "content": "a"}, {"type": "web_search_call", "id": "w"}, {"type": "item_reference", "id": "i"}],
        "tools": [{"type": "web_search"}], "background": true, "prompt": {"id": "p"}, "later": 1, "store": true,
    });
    for to in [CHAT, ANTHROPIC] {
        assert_eq!(
            refused(RESPONSES, to, &call),
            [
                "input.web_search_call",
                "input.item_reference",
                "tools.web_search",
                "background",
                "prompt",
                "later"
            ]
        );
    }
    // What would be done anyway is no loss.
    let neutral = json!({"input": "a", "background": false, "truncation": "disabled", "store": false, "include": ["reasoning.encrypted_content"]});
    for to in [CHAT, ANTHROPIC] {
        assert_eq!(written(RESPONSES, to, &neutral).1, Vec::<String>::new());
    }
}

#[test]
fn what_responses_cannot_say_is_refused_by_name() {
    let call = json!({"messages": [{"role": "user", "content": "a"}], "seed": 1, "stop": "x", "n": 2, "logit_bias": {"1": 1}, "frequency_penalty": 1, "presence_penalty": 0, "prediction": {}});
    assert_eq!(
        refused(CHAT, RESPONSES, &call),
        ["frequency_penalty", "seed", "stop", "n", "logit_bias"]
    );
}

#[test]
fn a_chats_own_words_go_over() {
    let call = json!({
        "messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 3, "logprobs": true, "top_logprobs": 2,
        "reasoning_effort": "xhigh", "verbosity": "low", "metadata": {"a": "b"}, "store": true, "prompt_cache_key": "k", "stream": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "tools": [
            {"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "g"}}]}},
    });
    let (body, dropped) = written(CHAT, RESPONSES, &call);
    let expected = json!({
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "a"}],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "g"}]},
        "max_output_tokens": 16,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "reasoning": {"effort": "xhigh"},
        "stream": true,
        "store": true,
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
    });
    assert_eq!((body, dropped), (expected, Vec::new()));
    let back = json!({"input": "a", "tools": [call_tool()], "tool_choice": {"type": "custom", "name": "g"}});
    let (body, _) = written(RESPONSES, CHAT, &back);
    assert_eq!(
        (&body["tools"][0], &body["tool_choice"]),
        (
            &call["tools"][1],
            &json!({"type": "custom", "custom": {"name": "g"}})
        )
    );
}

fn call_tool() -> Value {
    json!({"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}})
}

// === proofs ===

/// An answer of a provider of responses goes to a client of another dialect, whose next call brings the reasoning back to it.
#[test]
fn encrypted_reasoning_survives_other_dialects() {
    let answer = json!({"id": "resp_1", "model": "m", "status": "completed", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "one"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "two"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    ]});
    let answer = read_answer(RESPONSES, Task::Chat, answer.to_string().as_bytes()).unwrap();
    for dialect in [CHAT, ANTHROPIC] {
        let told = write_answer(&answer, &form(dialect));
        let told: Value = serde_json::from_slice(&told).unwrap();
        let said = match dialect {
            CHAT => told["choices"][0]["message"].clone(),
            _ => json!({"role": "assistant", "content": told["content"]}),
        };
        let next = json!({"max_tokens": 99, "messages": [{"role": "user", "content": "a"}, said]});
        let (body, _) = written(dialect, RESPONSES, &next);
        let expected = [
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "one"}),
            json!({"type": "reasoning", "summary": [], "encrypted_content": "two"}),
        ];
        let items = body["input"].as_array().unwrap();
        assert_eq!(items[1..3], expected, "{dialect:?}");
        assert_eq!(items[3]["type"], "function_call");
        // Nobody else takes it.
        let call = read_call(dialect, next.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: ANTHROPIC,
            model: Some("claude-sonnet-4-5"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let sent = write_call(&call, &form).unwrap();
        assert!(!has_others_proof(ANTHROPIC, &sent.body), "{dialect:?}");
        assert_eq!(sent.dropped.len(), 2, "{dialect:?} {:?}", sent.dropped);
    }
}

#[test]
fn anothers_proof_is_kept_from_a_provider_of_responses() {
    let item = |encrypted: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": encrypted});
    let call = json!({"input": [{"role": "user", "content": "a"}, item("tollgate:signature:s"), item("own")]});
    assert!(has_others_proof(RESPONSES, call.to_string().as_bytes()));
    let (body, dropped) = written(RESPONSES, RESPONSES, &call);
    assert_eq!(
        body["input"],
        json!([{"type": "message", "role": "user", "content": "a"}, item("own")])
    );
    assert_eq!(dropped, ["input.reasoning"]);
    assert!(!has_others_proof(RESPONSES, body.to_string().as_bytes()));
}

// === answers ===

fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "1",
        fallback_model: "m",
        created: 7,
        include_usage: true,
        base64_vectors: false,
    }
}

/// An answer as a provider gives it, and what it comes to.
fn stop_of(answer: Value) -> Option<StopReason> {
    let body = answer.to_string();
    let seen = glance(RESPONSES, Task::Chat, body.as_bytes()).unwrap();
    let Answer::Chat(answer) = read_answer(RESPONSES, Task::Chat, body.as_bytes()).unwrap() else {
        panic!("a chat")
    };
    let stop = answer.choices[0].stop.clone().map(|stop| stop.reason);
    assert_eq!(seen.stop, stop);
    stop
}

#[test]
fn why_an_answer_ended_follows_from_its_state() {
    let call = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}]);
    for (answer, expected) in [
        (
            json!({"status": "completed", "output": []}),
            Some(StopReason::EndTurn),
        ),
        (
            json!({"status": "completed", "output": call}),
            Some(StopReason::ToolUse),
        ),
        (json!({"output": call}), Some(StopReason::ToolUse)),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": call}),
            Some(StopReason::MaxTokens),
        ),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}),
            Some(StopReason::ContentFilter),
        ),
        (
            json!({"status": "incomplete", "output": []}),
            Some(StopReason::MaxTokens),
        ),
        (json!({"status": "queued", "output": []}), None),
    ] {
        assert_eq!(stop_of(answer.clone()), expected, "{answer}");
    }
}

#[test]
fn a_failed_answer_is_an_error() {
    let body = json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "no"}, "output": []}).to_string();
    let error = glance(RESPONSES, Task::Chat, body.as_bytes())
        .unwrap()
        .error
        .unwrap();
    assert_eq!(
        (error.kind, error.status, &*error.message),
        (ErrorKind::RateLimited, 429, "no")
    );
    assert!(read_answer(RESPONSES, Task::Chat, body.as_bytes()).is_err());
    // Counts of tokens are no answer that ends.
    let count = glance(
        RESPONSES,
        Task::Chat,
        br#"{"object": "response.input_tokens", "input_tokens": 11}"#,
    );
    assert_eq!(count.unwrap(), crate::Glance::default());
}

#[test]
fn annotations_and_citations_become_each_other() {
    let annotation =
        json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2});
    let text = json!({"type": "output_text", "text": "abc", "annotations": [annotation], "logprobs": [{"token": "a"}]});
    let body = json!({"status": "completed", "output": [{"type": "message", "content": [text]}]});
    let answer = read_answer(RESPONSES, Task::Chat, body.to_string().as_bytes()).unwrap();
    let chat: Value = serde_json::from_slice(&write_answer(&answer, &form(CHAT))).unwrap();
    assert_eq!(
        chat["choices"][0]["message"]["annotations"],
        json!([{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2}}])
    );
    assert_eq!(
        chat["choices"][0]["logprobs"],
        json!({"content": [{"token": "a"}]})
    );
    let own: Value = serde_json::from_slice(&write_answer(&answer, &form(RESPONSES))).unwrap();
    assert_eq!(own["output"][0]["content"][0], text);
}

// === streams ===

/// Everything that a stream of these events tells.
fn read_stream(events: &[Value]) -> Vec<StreamEvent> {
    let text: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    read_text(&text)
}

fn read_text(text: &str) -> Vec<StreamEvent> {
    let mut splitter = SseSplitter::new(1 << 20);
    splitter.push(Bytes::copy_from_slice(text.as_bytes()));
    let mut reader = StreamReader::new(RESPONSES, StreamEnd::Finish);
    let mut told = Vec::new();
    while let Some(event) = splitter.next().unwrap() {
        reader.read(&event, &mut told).unwrap();
    }
    let _finish = reader.finish(&mut told);
    told
}

/// What is said, part by part.
fn said(told: &[StreamEvent]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for event in told {
        match event {
            StreamEvent::PartStart { start, .. } => parts.push(match start {
                PartStart::ToolCall { id, name } => format!("call {id} {name} "),
                PartStart::RedactedReasoning { data } => format!("redacted {data}"),
                PartStart::Text => "text ".to_owned(),
                PartStart::Refusal => "refusal ".to_owned(),
                PartStart::Reasoning => "reasoning ".to_owned(),
                PartStart::Foreign(_) => "foreign".to_owned(),
            }),
            StreamEvent::Delta { part, delta, .. } => {
                let part = &mut parts[usize::try_from(*part).unwrap()];
                match delta {
                    Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text) => {
                        part.push_str(text);
                    }
                    Delta::Signature(signature) => *part += &format!("|{signature}"),
                    other => panic!("{other:?}"),
                }
            }
            _ => {}
        }
    }
    parts
}

/// The same answer told in full, in few events, and in the last event alone.
#[test]
fn what_was_not_told_in_pieces_is_told_from_the_whole() {
    let items = json!([
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}], "encrypted_content": "e"},
        {"type": "reasoning", "id": "rs2", "summary": [], "encrypted_content": "f"},
        {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "c"}, {"type": "refusal", "refusal": "d"}]},
        {"type": "function_call", "id": "fc", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "id": "ctc", "call_id": "2", "name": "g", "input": "free"},
    ]);
    let expected = [
        "reasoning a\n\nb|tollgate:responses:e",
        "redacted tollgate:responses:f",
        "text c",
        "refusal d",
        "call 1 f {}",
        "call 2 g free",
    ];
    let end =
        json!({"type": "response.completed", "response": {"status": "completed", "output": items}});
    let done = items.as_array().unwrap().iter().enumerate();
    let mut done: Vec<Value> = done
        .map(|(index, item)| json!({"type": "response.output_item.done", "output_index": index, "item": item}))
        .collect();
    done.push(end.clone());
    let pieces = [
        json!({"type": "response.created", "response": {"id": "r"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs"}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "b"}),
        done[0].clone(),
        done[1].clone(),
        json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 2, "content_index": 0, "delta": "c"}),
        json!({"type": "response.output_text.done", "item_id": "m", "output_index": 2, "content_index": 0, "text": "c"}),
        json!({"type": "response.refusal.delta", "item_id": "m", "output_index": 2, "content_index": 1, "delta": "d"}),
        done[2].clone(),
        json!({"type": "response.output_item.added", "output_index": 3, "item": {"type": "function_call", "call_id": "1", "name": "f"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "}"}),
        json!({"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{}"}),
        done[3].clone(),
        done[4].clone(),
        end.clone(),
    ];
    for events in [&pieces[..], &done[..], &[end][..]] {
        let told = read_stream(events);
        assert_eq!(said(&told), expected);
        assert!(matches!(told.first(), Some(StreamEvent::Start { .. })));
        assert_eq!(told.last(), Some(&StreamEvent::End));
        let starts = told
            .iter()
            .filter(|event| matches!(event, StreamEvent::PartStart { .. }));
        let stops = told
            .iter()
            .filter(|event| matches!(event, StreamEvent::PartStop { .. }));
        assert_eq!(starts.count(), stops.count());
    }
}

#[test]
fn items_are_told_apart_by_place_or_by_id() {
    let delta = |place: Value, text: &str| {
        let mut event = json!({"type": "response.output_text.delta", "delta": text});
        event
            .as_object_mut()
            .unwrap()
            .extend(place.as_object().unwrap().clone());
        event
    };
    let done = |place: Value| {
        let mut event = json!({"type": "response.output_item.done", "item": {"type": "message", "id": place["item_id"]}});
        event
            .as_object_mut()
            .unwrap()
            .extend(place.as_object().unwrap().clone());
        event
    };
    let place = |index: u64, id: &str| json!({"output_index": index, "item_id": id});
    let end = json!({"type": "response.completed", "response": {}});
    // Ids that change with each event, as GitHub sends them, and places that are all the same.
    let events = [
        delta(place(0, "a"), "1"),
        delta(place(0, "b"), "2"),
        end.clone(),
    ];
    assert_eq!(said(&read_stream(&events)), ["text 12"]);
    let events = [
        delta(place(0, "a"), "1"),
        done(place(0, "a")),
        delta(place(0, "b"), "2"),
        end.clone(),
    ];
    assert_eq!(said(&read_stream(&events)), ["text 1", "text 2"]);
    // No places, as MLflow's agents send them, and another end mark.
    let bare = "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"delta\":\"1\"}\n\n\
        data: {\"type\":\"response.output_item.done\",\"item\":{\"id\":\"m\",\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"1\"}]}}\n\n\
        data: [DONE]\n\n";
    let told = read_text(bare);
    assert_eq!(said(&told), ["text 1"]);
    assert_eq!(told.last(), Some(&StreamEvent::End));
}

#[test]
fn a_stream_that_fails_is_an_error_and_one_that_stops_is_no_end() {
    let error = |event: Value| match read_stream(&[event]).pop() {
        Some(StreamEvent::Error(error)) => (error.kind, error.message, error.code),
        other => panic!("{other:?}"),
    };
    let expected = |kind, code: &str| (kind, "no".to_owned(), Some(code.to_owned()));
    let code = "rate_limit_exceeded";
    for event in [
        json!({"type": "error", "code": code, "message": "no", "param": null}),
        json!({"type": "error", "error": {"code": code, "message": "no"}}),
        json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": "no"}}}),
        json!({"error": {"code": code, "message": "no"}}),
    ] {
        assert_eq!(error(event), expected(ErrorKind::RateLimited, code));
    }
    // A caller's own mistake.
    let too_long = json!({"type": "response.failed", "response": {"error": {"code": "context_length_exceeded", "message": "no"}}});
    assert_eq!(
        error(too_long),
        expected(ErrorKind::InvalidRequest, "context_length_exceeded")
    );
    let cut = read_stream(&[
        json!({"type": "response.output_text.done", "text": "whole"}),
        json!({"type": "response.output_item.done", "item": {"type": "message"}}),
    ]);
    assert!(!cut.contains(&StreamEvent::End));
}

/// What a client hears, event by event.
fn heard(events: &[StreamEvent]) -> Vec<Value> {
    let mut writer = StreamWriter::new(&form(RESPONSES));
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let heard: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
    assert!(names.eq(heard.iter().map(|event| event["type"].as_str().unwrap())));
    heard
}

fn start() -> StreamEvent {
    StreamEvent::Start {
        id: String::new(),
        model: String::new(),
        created: None,
        usage: None,
    }
}

fn part(part: u32, start: PartStart) -> StreamEvent {
    StreamEvent::PartStart {
        choice: 0,
        part,
        start,
    }
}

fn delta(part: u32, delta: Delta) -> StreamEvent {
    StreamEvent::Delta {
        choice: 0,
        part,
        delta,
    }
}

/// Calls that go on at once, as in a chat, each keep their place.
#[test]
fn calls_that_overlap_keep_their_places() {
    let call = |id: &str| PartStart::ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
    };
    let piece = |text: &str| Delta::Arguments(text.to_owned());
    let stop = |part| StreamEvent::PartStop { choice: 0, part };
    let heard = heard(&[
        start(),
        part(0, PartStart::Text),
        delta(0, Delta::Text("t".to_owned())),
        part(1, call("a")),
        part(2, call("b")),
        delta(1, piece("1")),
        delta(2, piece("2")),
        delta(1, piece("3")),
        stop(1),
        stop(2),
        StreamEvent::End,
    ]);
    let output = &heard.last().unwrap()["response"]["output"];
    let arguments = |index: usize| output[index]["arguments"].as_str().unwrap();
    assert_eq!(
        (output[0]["type"].as_str(), arguments(1), arguments(2)),
        (Some("message"), "13", "2")
    );
    let places: Vec<(&str, &Value)> = heard
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| {
            (
                event["item"]["type"].as_str().unwrap(),
                &event["output_index"],
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("message", &json!(0)),
            ("function_call", &json!(1)),
            ("function_call", &json!(2))
        ]
    );
}

#[test]
fn an_answer_that_was_cut_short_says_why() {
    let stop = |reason| StreamEvent::Stop {
        choice: 0,
        stop: crate::Stop::new(reason),
    };
    for (reason, kind, details) in [
        (StopReason::EndTurn, "response.completed", Value::Null),
        (StopReason::ToolUse, "response.completed", Value::Null),
        (
            StopReason::ContextWindow,
            "response.incomplete",
            json!({"reason": "max_output_tokens"}),
        ),
        (
            StopReason::Refusal,
            "response.incomplete",
            json!({"reason": "content_filter"}),
        ),
    ] {
        let heard = heard(&[start(), stop(reason), StreamEvent::End]);
        let last = heard.last().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["incomplete_details"]),
            (&json!(kind), &details)
        );
    }
}

#[test]
fn an_error_has_both_forms_and_nothing_follows() {
    let error = crate::read_error(CHAT, 429, br#"{"error": {"message": "no", "code": "c"}}"#);
    let heard = heard(&[start(), StreamEvent::Error(error), StreamEvent::End]);
    assert_eq!(
        heard[2],
        json!({
            "type": "error", "sequence_number": 2, "code": "c", "message": "no", "param": null,
            "error": {"message": "no", "type": "rate_limit_error", "param": null, "code": "c"},
        })
    );
    assert_eq!(heard.len(), 3);
}

/// Another provider's own tools are nothing here, and this one's nothing elsewhere.
#[test]
fn foreign_blocks_do_not_leak() {
    let search = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let events = [
        start(),
        part(0, PartStart::Foreign(search)),
        delta(0, Delta::Arguments("{}".to_owned())),
        StreamEvent::PartStop { choice: 0, part: 0 },
        StreamEvent::Foreign(json!({"type": "ping"})),
        StreamEvent::End,
    ];
    assert_eq!(
        heard(&events).last().unwrap()["response"]["output"],
        json!([])
    );
    let own = read_stream(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "web_search_call", "id": "w"}}),
        json!({"type": "response.web_search_call.searching", "output_index": 0, "item_id": "w"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "web_search_call", "id": "w"}}),
        json!({"type": "response.completed", "response": {}}),
    ]);
    let mut writer = StreamWriter::new(&form(ANTHROPIC));
    let mut out = Vec::new();
    own.iter().for_each(|event| writer.write(event, &mut out));
    assert!(!String::from_utf8(out).unwrap().contains("web_search_call"));
    assert!(own.iter().any(StreamEvent::is_content));
}

#[test]
fn a_tools_failure_is_named() {
    let call = json!({"max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "bad", "is_error": true}]}]});
    let (body, dropped) = written(ANTHROPIC, RESPONSES, &call);
    assert_eq!(dropped, ["is_error"]);
    assert_eq!(
        body["input"],
        json!([{"type": "function_call_output", "call_id": "t", "output": "bad"}])
    );
}

#[test]
fn an_empty_reasoning_item_is_nothing_elsewhere() {
    let body = json!({"status": "completed", "output": [{"type": "reasoning", "id": "rs", "summary": []}]});
    let Answer::Chat(answer) =
        read_answer(RESPONSES, Task::Chat, body.to_string().as_bytes()).unwrap()
    else {
        panic!("a chat")
    };
    assert!(matches!(
        answer.choices[0].content[0].kind,
        PartKind::Foreign { .. }
    ));
    let chat = write_answer(&Answer::Chat(answer), &form(CHAT));
    assert!(
        !String::from_utf8(chat.to_vec())
            .unwrap()
            .contains("reasoning")
    );
}
