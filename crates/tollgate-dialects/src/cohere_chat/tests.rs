//! What recordings do not show.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamUsage};

use super::*;
use crate::{
    Answer, AnswerForm, Call, CallForm, ChatAnswer, Delta, PartKind, SseEvent, StreamEvent,
    translate::{ReadEvents, WriteEvents},
};

const OWN: Dialect = Dialect::CohereChat;
const REASONS: &str = "command-a-reasoning-08-2025";

fn read(dialect: Dialect, body: &Value) -> Call {
    crate::read_call(dialect, body.to_string().as_bytes()).unwrap()
}

fn form(model: &str, drop_unsupported: bool) -> CallForm<'_> {
    CallForm {
        dialect: OWN,
        model: Some(model),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    }
}

/// What is written for a model, and what is refused or dropped.
fn written_for(model: &str, from: Dialect, body: &Value) -> (Value, Vec<String>) {
    let call = read(from, body);
    let refused = match write_call(&call, &form(model, false)) {
        Ok(written) => written.dropped,
        Err(unsupported) => unsupported.fields,
    };
    let written = write_call(&call, &form(model, true)).unwrap();
    (serde_json::from_slice(&written.body).unwrap(), refused)
}

fn written(body: Value) -> (Value, Vec<String>) {
    written_for("m", Dialect::OpenaiChat, &with_messages(body))
}

fn with_messages(mut body: Value) -> Value {
    if body["messages"].is_null() {
        body["messages"] = json!([{"role": "user", "content": "a"}]);
    }
    body
}

fn answer(body: &Value) -> ChatAnswer {
    match read_answer(body.to_string().as_bytes()) {
        Ok(Answer::Chat(answer)) => *answer,
        other => panic!("{other:?}"),
    }
}

fn answer_form() -> AnswerForm<'static> {
    AnswerForm {
        dialect: OWN,
        fallback_id: "id",
        fallback_model: "m",
        created: 0,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

/// An answer of OpenAI's, written for a client.
fn told(message: Value, finish: &str) -> Value {
    let body =
        json!({"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": finish}]});
    let answer = crate::openai_chat::read_answer(body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&write_answer(&answer, &answer_form())).unwrap()
}

/// What a stream tells.
fn events(stream: &[Value]) -> Vec<StreamEvent> {
    let mut reader = StreamReader::default();
    let mut out = Vec::new();
    for event in stream {
        let event = SseEvent {
            name: "".into(),
            data: event.to_string().into(),
            raw: "".into(),
        };
        reader.read(&event, &mut out).unwrap();
    }
    out
}

fn write_events(events: &[StreamEvent]) -> String {
    let mut writer = StreamWriter::new(&answer_form());
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out).unwrap()
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

// === calls ===

#[test]
fn sampling_has_coheres_names_and_bounds() {
    let (body, gaps) =
        written(json!({"top_p": 1, "top_k": 5, "frequency_penalty": 0.5, "stop": "x", "seed": 7}));
    assert_eq!(gaps, Vec::<String>::new());
    assert_eq!(
        (
            &body["p"],
            &body["k"],
            &body["frequency_penalty"],
            &body["stop_sequences"],
            &body["seed"]
        ),
        (
            &json!(0.99),
            &json!(5),
            &json!(0.5),
            &json!(["x"]),
            &json!(7)
        )
    );
    for (call, field) in [
        (json!({"presence_penalty": -1}), "presence_penalty"),
        (json!({"frequency_penalty": 1.5}), "frequency_penalty"),
        (json!({"stop": ["a", "b", "c", "d", "e", "f"]}), "stop"),
        (json!({"seed": -1}), "seed"),
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true, "top_logprobs": 2}), "top_logprobs"),
    ] {
        let (body, gaps) = written(call);
        assert_eq!(gaps, [field]);
        assert!(body[field].is_null(), "{body}");
    }
}

#[test]
fn a_tool_is_chosen_by_leaving_out_the_others() {
    let choice = json!({"type": "function", "function": {"name": "b"}});
    let (body, gaps) = written(json!({"tools": [tool("a"), tool("b")], "tool_choice": choice}));
    assert_eq!(gaps, Vec::<String>::new());
    assert_eq!(
        (&body["tools"], &body["tool_choice"]),
        (&json!([tool("b")]), &json!("REQUIRED"))
    );
    let (body, _) = written(json!({"tools": [tool("a")], "tool_choice": "none"}));
    assert_eq!(body["tool_choice"], "NONE");
    let (body, gaps) =
        written(json!({"tools": [tool("a")], "tool_choice": "auto", "parallel_tool_calls": false}));
    assert!(body.get("tool_choice").is_none());
    assert_eq!(gaps, ["parallel_tool_calls"]);
}

#[test]
fn tools_are_strict_together_or_not_at_all() {
    let mut strict = tool("a");
    strict["function"]["strict"] = json!(true);
    let (body, gaps) = written(json!({"tools": [strict]}));
    assert_eq!((&body["strict_tools"], gaps), (&json!(true), Vec::new()));
    assert_eq!(body["tools"], json!([tool("a")]));
    let (body, gaps) = written(json!({"tools": [strict, tool("b")]}));
    assert!(body.get("strict_tools").is_none());
    assert_eq!(gaps, ["tools.function.strict"]);
}

#[test]
fn models_that_reason_are_asked_to() {
    let thinking = |model: &str, call: Value| {
        let (body, gaps) = written_for(model, Dialect::OpenaiChat, &with_messages(call));
        (body["thinking"].clone(), gaps)
    };
    let effort = || vec!["reasoning_effort".to_owned()];
    let none = Vec::new();
    for (model, word, expected, gaps) in [
        (REASONS, "high", json!({"type": "enabled"}), &none),
        (REASONS, "low", json!({"type": "enabled"}), &effort()),
        (REASONS, "none", json!({"type": "disabled"}), &none),
        ("command-r7b-12-2024", "low", Value::Null, &effort()),
        ("command-r7b-12-2024", "none", Value::Null, &none),
    ] {
        assert_eq!(
            thinking(model, json!({"reasoning_effort": word})),
            (expected, gaps.clone())
        );
    }
    let budget = json!({"max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 2000}});
    let (body, gaps) = written_for(REASONS, Dialect::AnthropicMessages, &with_messages(budget));
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "token_budget": 2000})
    );
    assert_eq!(gaps, Vec::<String>::new());
}

/// What was said before tools were called is the plan, and what tools gave as pictures follows with the user's words.
#[test]
fn a_conversation_with_tools_is_told_as_cohere_tells_it() {
    let call = json!({"max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "1", "name": "look", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [
                {"type": "text", "text": "found"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/p"}},
                {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
            ]},
            {"type": "text", "text": "b"},
        ]},
    ]});
    let (body, gaps) = written_for(REASONS, Dialect::AnthropicMessages, &call);
    assert_eq!(gaps, Vec::<String>::new());
    let expected = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}], "tool_plan": "I look.",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": [
            {"type": "text", "text": "found"},
            {"type": "document", "document": {"data": {"title": "t", "text": "d"}}},
        ]},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/p"}},
            {"type": "text", "text": "b"},
        ]},
    ]);
    assert_eq!(body["messages"], expected);
    let (body, gaps) = written_for("command-r", Dialect::AnthropicMessages, &call);
    assert!(body["messages"][1].get("content").is_none());
    assert_eq!(gaps, ["messages.content.thinking"]);
}

#[test]
fn documents_that_are_no_text_are_refused() {
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}});
    let text = json!({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}});
    let asks = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    assert_eq!(written(asks(pdf)).1, ["messages.content.file"]);
    let (body, gaps) = written(asks(text));
    assert_eq!(
        (&body["messages"][0]["content"], gaps),
        (&json!("a.txt\n\nHi"), Vec::new())
    );
}

#[test]
fn what_only_cohere_knows_is_refused_elsewhere() {
    let body = with_messages(json!({
        "model": "m", "documents": ["d"], "citation_options": {"mode": "FAST"}, "safety_mode": "STRICT", "priority": 1,
    }));
    let call = read(OWN, &body);
    let openai = CallForm {
        dialect: Dialect::OpenaiChat,
        ..form("m", false)
    };
    let unsupported = crate::write_call(&call, &openai).unwrap_err();
    assert_eq!(
        unsupported.fields,
        ["documents", "citation_options", "safety_mode"]
    );
    // A list of no documents asks for nothing.
    let body = with_messages(json!({"model": "m", "documents": [], "priority": 1}));
    let written = crate::write_call(&read(OWN, &body), &openai).unwrap();
    assert_eq!(written.dropped, ["priority"]);
}

#[test]
fn an_error_names_the_field() {
    for (body, field) in [
        (json!({"model": "m"}), "messages"),
        (
            json!({"messages": [{"role": "critic"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "a"}]}),
            "messages[0].tool_call_id",
        ),
        (json!({"messages": [], "p": "x"}), "p"),
        (
            json!({"messages": [], "tools": [{"type": "function"}]}),
            "tools[0].function",
        ),
    ] {
        let error = read_call(body.to_string().as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("{field}:")), "{error}");
    }
}

// === answers ===

#[test]
fn texts_are_cut_where_their_citations_begin_and_end() {
    let source =
        |id: &str| json!({"type": "document", "id": id, "document": {"id": id, "text": id}});
    let cite = |start, end, text: &str, id: &str| json!({"start": start, "end": end, "text": text, "sources": [source(id)]});
    let cited = |citations: Value| {
        let message = json!({"role": "assistant", "content": [{"type": "text", "text": "äbc def"}], "citations": citations});
        let answer = answer(&json!({"id": "1", "message": message, "finish_reason": "COMPLETE"}));
        let parts = answer.choices[0].content.iter();
        let parts = parts.map(|part| match &part.kind {
            PartKind::Text { text, citations } => (text.clone(), citations.len()),
            other => panic!("{other:?}"),
        });
        parts.collect::<Vec<_>>()
    };
    let told = |parts: &[(&str, usize)]| -> Vec<(String, usize)> {
        parts
            .iter()
            .map(|(text, count)| ((*text).to_owned(), *count))
            .collect()
    };
    let by_place = [cite(4, 7, "def", "x"), cite(0, 1, "ä", "y")];
    assert_eq!(
        cited(json!(by_place)),
        told(&[("ä", 1), ("bc ", 0), ("def", 1)])
    );
    // Characters of something else are counted; the quotation tells.
    assert_eq!(
        cited(json!([cite(0, 3, "def", "x")])),
        told(&[("äbc ", 0), ("def", 1)])
    );
    assert_eq!(
        cited(json!([cite(90, 99, "nowhere", "x")])),
        told(&[("äbc def", 1)])
    );
    let overlapping = [cite(0, 5, "äbc d", "x"), cite(4, 7, "def", "y")];
    assert_eq!(cited(json!(overlapping)), told(&[("äbc def", 2)]));
}

#[test]
fn a_clients_library_finds_everything_in_its_place() {
    let calls =
        json!([{"id": "1", "type": "function", "function": {"name": "look", "arguments": ""}}]);
    let body = told(
        json!({"role": "assistant", "content": "I look.", "tool_calls": calls}),
        "stop",
    );
    assert_eq!(body["finish_reason"], "TOOL_CALL");
    let message = json!({
        "role": "assistant", "tool_plan": "I look.",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    });
    assert_eq!(body["message"], message);
    let body = told(
        json!({"role": "assistant", "content": "a", "reasoning_content": "hm"}),
        "length",
    );
    let content = json!([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]);
    assert_eq!(
        (&body["message"]["content"], &body["finish_reason"]),
        (&content, &json!("MAX_TOKENS"))
    );
    let body = told(
        json!({"role": "assistant", "refusal": "no"}),
        "content_filter",
    );
    assert_eq!(body["finish_reason"], "ERROR_TOXIC");
    assert_eq!(body["message"]["content"][0]["text"], "no");
}

#[test]
fn an_answer_that_failed_is_none() {
    for body in [
        json!({"id": "1", "finish_reason": "ERROR", "message": {"role": "assistant"}}),
        json!({"id": "1", "message": "model not found"}),
        json!({"id": "1"}),
    ] {
        assert!(read_answer(body.to_string().as_bytes()).is_err(), "{body}");
    }
}

// === streams ===

#[test]
fn an_error_in_a_stream_ends_it_without_an_end_mark() {
    let start = json!({"type": "message-start", "id": "1"});
    for error in [
        json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no", "error_type": "X"}}),
        json!({"message": "no"}),
    ] {
        let told = events(&[start.clone(), error]);
        let written = write_events(&told);
        assert!(matches!(told.last(), Some(StreamEvent::Error(error)) if error.message == "no"));
        assert!(
            written.contains(r#""finish_reason":"ERROR""#) && written.contains(r#""error":"no""#)
        );
        assert!(!written.contains("[DONE]"));
    }
}

#[test]
fn events_that_came_later_are_passed_over() {
    let told = events(&[
        json!({"type": "message-start", "id": "1"}),
        json!({"type": "debug", "prompt": "all of it"}),
        json!({"type": "brand-new", "delta": {"message": {"content": {"text": "a"}}}}),
        json!({"type": "citation-start", "delta": {"message": {"citations": {}}}}),
    ]);
    assert_eq!(told.len(), 1);
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let call = json!({"function": {"name": "look", "arguments": ""}});
    let told = events(&[
        json!({"type": "message-start", "id": "x"}),
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}),
        json!({"type": "tool-call-end", "index": 0}),
    ]);
    let id = |event: &StreamEvent| matches!(event, StreamEvent::PartStart { start: crate::PartStart::ToolCall { id, .. }, .. } if id == "call_x_0_0");
    assert!(told.iter().any(id), "{told:?}");
    let empty = Delta::Arguments("{}".to_owned());
    let is_empty =
        |event: &StreamEvent| matches!(event, StreamEvent::Delta { delta, .. } if *delta == empty);
    assert!(told.iter().any(is_empty), "{told:?}");
}

#[test]
fn open_calls_are_bounded() {
    let start = |index: usize| json!({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": {"id": "a", "function": {"name": "b"}}}}});
    let mut reader = StreamReader::default();
    let mut out = Vec::new();
    let failed = (0..1000).find(|index| {
        let event = SseEvent {
            name: "".into(),
            data: start(*index).to_string().into(),
            raw: "".into(),
        };
        reader.read(&event, &mut out).is_err()
    });
    assert_eq!(failed, Some(64));
}

/// Texts that follow each other are one piece of content, and citations are told of ranges within it.
#[test]
fn citations_of_a_stream_have_their_range() {
    let source = json!({"type": "web_search_result_location", "url": "https://example.com", "title": "t", "cited_text": "c"});
    let text = |part, text: &str| {
        [
            StreamEvent::PartStart {
                choice: 0,
                part,
                start: crate::PartStart::Text,
            },
            StreamEvent::Delta {
                choice: 0,
                part,
                delta: Delta::Text(text.to_owned()),
            },
        ]
    };
    let stop = |part| StreamEvent::PartStop { choice: 0, part };
    let mut told = text(0, "ä ").to_vec();
    told.push(stop(0));
    told.extend(text(1, "bc"));
    told.push(StreamEvent::Delta {
        choice: 0,
        part: 1,
        delta: Delta::Citation(source),
    });
    told.push(stop(1));
    let written = write_events(&told);
    assert_eq!(
        written.matches("event: content-start").count(),
        1,
        "{written}"
    );
    assert!(
        written.contains(r#""start":2,"end":4,"text":"bc""#),
        "{written}"
    );
    assert!(
        written.contains(r#""id":"https://example.com""#),
        "{written}"
    );
}

#[test]
fn the_end_of_a_stream_that_passed_through_is_the_end_mark_alone() {
    assert_eq!(write_events(&[StreamEvent::End]), "data: [DONE]\n\n");
}

// === round trips ===

fn texts() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 äß🌍\"\\\\\n]{1,12}"
}

fn content() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        texts().prop_map(|text| json!({"type": "text", "text": text})),
        texts().prop_map(
            |url| json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
        ),
        texts().prop_map(|kind| json!({"type": format!("new-{kind}"), "more": [1]})),
    ];
    prop::collection::vec(part, 2..4).prop_map(Value::from)
}

fn tool_content() -> impl Strategy<Value = Value> {
    prop_oneof![
        texts().prop_map(Value::from),
        (texts(), texts()).prop_map(|(id, text)| {
            json!([
                {"type": "document", "document": {"id": id, "data": {"output": text}}},
                {"type": "document", "document": {"data": text}},
                {"type": "document", "document": {"id": id, "data": {}, "new": 1}},
            ])
        }),
    ]
}

fn messages() -> impl Strategy<Value = Value> {
    let call = texts().prop_map(|text| json!({"id": text, "type": "function", "function": {"name": "f", "arguments": "{}"}}));
    let message = prop_oneof![
        texts().prop_map(|text| json!({"role": "system", "content": text})),
        content().prop_map(|content| json!({"role": "user", "content": content})),
        texts().prop_map(|text| json!({"role": "assistant", "content": text, "citations": [{"start": 0}]})),
        (texts(), texts(), call).prop_map(|(thinking, plan, call)| json!({
            "role": "assistant", "content": [{"type": "thinking", "thinking": thinking}, {"type": "text", "text": plan}],
            "tool_plan": plan, "tool_calls": [call],
        })),
        tool_content().prop_map(|content| json!({"role": "tool", "tool_call_id": "1", "content": content})),
    ];
    prop::collection::vec(message, 1..5).prop_map(Value::from)
}

proptest! {
    /// Cohere's calls come back into Cohere's form as they were.
    #[test]
    fn a_call_is_the_same_when_written_again(
        messages in messages(), p in prop::option::of(0.01..0.99), strict in any::<bool>(), budget in prop::option::of(1..99_u64),
    ) {
        let mut body = json!({
            "model": "m", "messages": messages, "tools": [tool("f"), {"type": "new", "more": 1}], "strict_tools": strict,
            "response_format": {"type": "json_object", "json_schema": {"type": "object"}}, "documents": ["d"],
            "citation_options": {"mode": "FAST"}, "priority": 3, "k": 2, "logprobs": true, "tool_choice": "REQUIRED",
        });
        if let Some(p) = p {
            body["p"] = json!(p);
        }
        if let Some(budget) = budget {
            body["thinking"] = json!({"type": "enabled", "token_budget": budget, "new": 1});
        }
        let call = read(OWN, &body);
        let written = write_call(&call, &form("m", false)).unwrap();
        prop_assert_eq!(written.dropped, Vec::<String>::new());
        let again: Value = serde_json::from_slice(&written.body).unwrap();
        prop_assert_eq!(read(OWN, &again), call);
        prop_assert_eq!(again, body);
    }
}
