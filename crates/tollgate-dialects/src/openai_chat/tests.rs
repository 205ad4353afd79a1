//! What no recorded exchange shows: calls of another dialect, and providers that differ from OpenAI.

mod copies;

use serde_json::{Map, Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Usage};

use super::*;
use crate::{
    Answer, AnswerForm, Call, CallForm, ChatCall, Delta, Extra, MediaSource, Message, Part,
    PartKind, PartStart, Reasoning, Role, SseSplitter, Stop, StopReason, StreamEvent,
    StreamReader as Reader, ToolKind, Unsupported, translate::WriteEvents,
};

// === calls ===

fn call(dialect: Dialect) -> ChatCall {
    let Ok(Call::Chat(mut call)) = read_call(br#"{"messages": []}"#) else {
        panic!("is a chat")
    };
    call.extra = Extra::new(dialect);
    *call
}

fn anthropic(messages: Vec<Message>) -> ChatCall {
    ChatCall {
        messages,
        ..call(Dialect::AnthropicMessages)
    }
}

fn message(role: Role, content: Vec<PartKind>) -> Message {
    Message {
        role,
        name: None,
        content: content.into_iter().map(Part::new).collect(),
        extra: Map::new(),
    }
}

fn text(text: &str) -> PartKind {
    Part::text(text).kind
}

fn picture() -> PartKind {
    let source = MediaSource::Base64 {
        media_type: "image/png".into(),
        data: "AA==".into(),
    };
    PartKind::Image {
        source,
        detail: None,
    }
}

fn tool_result(call_id: &str, content: Vec<PartKind>) -> PartKind {
    let content = content.into_iter().map(Part::new).collect();
    PartKind::ToolResult {
        call_id: call_id.into(),
        content,
        is_error: None,
    }
}

fn write(
    call: ChatCall,
    model: &str,
    drop_unsupported: bool,
) -> Result<(Value, Vec<String>), Unsupported> {
    let form = CallForm {
        dialect: Dialect::OpenaiChat,
        model: Some(model),
        stream_usage: StreamUsage::Ask,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    };
    let written = write_call(&Call::Chat(Box::new(call)), &form)?;
    Ok((
        serde_json::from_slice(&written.body).unwrap(),
        written.dropped,
    ))
}

fn written(call: ChatCall) -> Value {
    write(call, "gpt-4o", true).unwrap().0
}

#[test]
fn tool_results_follow_their_calls_and_their_pictures_come_after() {
    let messages = vec![
        message(
            Role::Tool,
            vec![
                tool_result("a", vec![text("seen"), picture()]),
                tool_result("b", vec![picture()]),
            ],
        ),
        message(Role::User, vec![text("and now?")]),
    ];
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let expected = json!([
        {"role": "tool", "content": "seen", "tool_call_id": "a"},
        {"role": "tool", "content": "", "tool_call_id": "b"},
        {"role": "user", "content": [image, image, {"type": "text", "text": "and now?"}]},
    ]);
    assert_eq!(written(anthropic(messages.clone()))["messages"], expected);
    // With no user's message after them, they get one of their own.
    assert_eq!(
        written(anthropic(messages[..1].to_vec()))["messages"][2],
        json!({"role": "user", "content": [image, image]})
    );
}

#[test]
fn a_budget_of_thinking_becomes_an_effort() {
    for (budget_tokens, effort) in [(1024, "low"), (4096, "medium"), (16_384, "high")] {
        let mut call = anthropic(Vec::new());
        call.reasoning = Some(Reasoning {
            budget_tokens: Some(budget_tokens),
            enabled: Some(true),
            ..Reasoning::default()
        });
        assert_eq!(written(call)["reasoning_effort"], effort);
    }
    let mut call = anthropic(Vec::new());
    call.reasoning = Some(Reasoning {
        enabled: Some(true),
        adaptive: true,
        ..Reasoning::default()
    });
    assert_eq!(written(call).get("reasoning_effort"), None);
}

#[test]
fn the_cap_has_the_name_that_the_model_knows() {
    for (model, name) in [
        ("gpt-5-mini", "max_completion_tokens"),
        ("openai/o3", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("mistral-small", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
    ] {
        let call = ChatCall {
            max_tokens: Some(5),
            ..anthropic(Vec::new())
        };
        assert_eq!(write(call, model, true).unwrap().0[name], 5, "{model}");
    }
}

#[test]
fn what_cannot_be_said_is_named() {
    let mut call = anthropic(vec![message(
        Role::Assistant,
        vec![
            PartKind::Reasoning {
                text: "hm".into(),
                signature: Some("s".into()),
            },
            PartKind::Foreign {
                value: json!({"type": "server_tool_use"}),
            },
            text("hello"),
        ],
    )]);
    call.extra.fields.insert("container".into(), json!("c"));
    let refused = write(call.clone(), "m", false).unwrap_err().fields;
    assert!(refused.contains(&"container".to_owned()), "{refused:?}");
    assert!(
        refused.contains(&"messages.content.server_tool_use".to_owned()),
        "{refused:?}"
    );
    let (body, dropped) = write(call, "m", true).unwrap();
    assert_eq!(
        body,
        json!({"model": "m", "messages": [{"role": "assistant", "content": "hello"}]})
    );
    assert!(dropped.contains(&"container".to_owned()), "{dropped:?}");
}

#[test]
fn a_completion_is_put_to_a_chat_model_as_what_the_user_says() {
    let write = |body: Value| {
        let call = crate::openai_completions::read_call(body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: Dialect::OpenaiChat,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        write_call(&call, &form)
            .map(|written| serde_json::from_slice::<Value>(&written.body).unwrap())
    };
    assert_eq!(
        write(json!({"prompt": ["once"], "max_tokens": 5, "stop": "\n", "logit_bias": {"1": 2}}))
            .unwrap(),
        json!({"model": "m", "messages": [{"role": "user", "content": "once"}], "max_tokens": 5, "stop": ["\n"], "logit_bias": {"1": 2}})
    );
    for (name, value) in [
        ("prompt", json!(["a", "b"])),
        ("prompt", json!([1, 2])),
        ("suffix", json!("s")),
        ("echo", json!(true)),
        ("best_of", json!(2)),
    ] {
        let mut body = json!({"prompt": "a"});
        body[name] = value;
        assert_eq!(write(body).unwrap_err().fields, [name]);
    }
}

#[test]
fn unknown_fields_and_odd_forms_come_back_as_they_were() {
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": [
                {"type": "video_url", "video_url": {"url": "v"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
            ]},
            {"role": "assistant", "content": null, "audio": {"id": "a"}, "tool_calls": [
                {"id": "1", "type": "custom", "custom": {"name": "c", "input": "free"}},
                {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": 1}},
                {"id": "3", "type": "later"},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "strict": true, "later": 1}},
            {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}},
            {"type": "web_search", "filters": []},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {}},
        "stream": true,
        "stream_options": {"include_obfuscation": false, "include_usage": true},
        "response_format": {"type": "grammar"},
        "reasoning_effort": "xhigh",
        "verbosity": "low",
        "logprobs": 1,
    });
    let Ok(Call::Chat(call)) = read_call(body.to_string().as_bytes()) else {
        panic!("is a chat")
    };
    let (written, dropped) = write(*call, "m", false).unwrap();
    assert_eq!((written, dropped), (body, Vec::new()));
}

#[test]
fn an_error_names_the_field() {
    let error = |body: Value| {
        read_call(body.to_string().as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(json!({})),
        "messages: is missing; it must be a list of messages"
    );
    assert_eq!(
        error(json!({"messages": [{"role": "user"}, {"role": "robot"}]})),
        "messages[1].role: must be system, developer, user, assistant or tool"
    );
    assert_eq!(
        error(json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]})),
        "messages[0].content[0].text: is missing; it must be a text"
    );
    assert_eq!(
        error(json!({"messages": [], "temperature": "0.7"})),
        "temperature: must be a number"
    );
}

// === streams ===

fn read(chunks: &[Value]) -> Vec<StreamEvent> {
    let mut splitter = SseSplitter::new(1 << 20);
    for chunk in chunks {
        splitter.push(format!("data: {chunk}\n\n").into());
    }
    splitter.push("data: [DONE]\n\n".into());
    let mut reader = Reader::new(Dialect::OpenaiChat, StreamEnd::Mark);
    let mut told = Vec::new();
    while let Some(event) = splitter.next().unwrap() {
        reader.read(&event, &mut told).unwrap();
    }
    told
}

fn chunk(delta: Value, finish_reason: Value) -> Value {
    json!({"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})
}

#[test]
fn content_after_the_finish_reason_is_not_lost() {
    let told = read(&[
        chunk(json!({"reasoning_content": "hm"}), json!("stop")),
        chunk(json!({"content": "Hello."}), Value::Null),
    ]);
    let text = StreamEvent::Delta {
        choice: 0,
        part: 1,
        delta: Delta::Text("Hello.".into()),
    };
    let stop = StreamEvent::Stop {
        choice: 0,
        stop: Stop::new(StopReason::EndTurn),
    };
    let position = |wanted: &StreamEvent| told.iter().position(|event| event == wanted).unwrap();
    assert!(position(&text) < position(&stop), "{told:?}");
    assert_eq!(told.last(), Some(&StreamEvent::End));
}

#[test]
fn tool_calls_are_told_apart_by_whatever_tells_them_apart() {
    let calls = |pieces: &[Value]| -> Vec<(String, String)> {
        let chunks: Vec<Value> = pieces
            .iter()
            .map(|piece| chunk(json!({"tool_calls": [piece]}), Value::Null))
            .collect();
        let mut calls: Vec<(u32, String, String)> = Vec::new();
        for event in read(&chunks) {
            match event {
                StreamEvent::PartStart {
                    part,
                    start: PartStart::ToolCall { id, .. },
                    ..
                } => calls.push((part, id, String::new())),
                StreamEvent::Delta {
                    part,
                    delta: Delta::Arguments(arguments),
                    ..
                } => {
                    calls
                        .iter_mut()
                        .find(|call| call.0 == part)
                        .unwrap()
                        .2
                        .push_str(&arguments);
                }
                _ => {}
            }
        }
        calls
            .into_iter()
            .map(|(_, id, arguments)| (id, arguments))
            .collect()
    };
    let piece = |index: Value, id: Value, name: Value, arguments: &str| json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
    let pair = |first: &str, second: &str| {
        [
            (first.to_owned(), "{1}".to_owned()),
            (second.to_owned(), "{2}".to_owned()),
        ]
    };
    let (null, f) = (Value::Null, json!("f"));
    // OpenAI: numbered, and interleaved for once.
    let numbered = [
        piece(json!(0), json!("a"), f.clone(), "{"),
        piece(json!(1), json!("b"), f.clone(), "{"),
        piece(json!(0), null.clone(), null.clone(), "1}"),
        piece(json!(1), null.clone(), null.clone(), "2}"),
    ];
    assert_eq!(calls(&numbered), pair("a", "b"));
    // The same number for all.
    let same = [
        piece(json!(0), json!("a"), f.clone(), "{1}"),
        piece(json!(0), json!("b"), f.clone(), "{2}"),
    ];
    assert_eq!(calls(&same), pair("a", "b"));
    // No number.
    let no_number = [
        piece(null.clone(), json!("a"), f.clone(), "{"),
        piece(null.clone(), null.clone(), null.clone(), "1}"),
        piece(null.clone(), json!("b"), f.clone(), "{2}"),
    ];
    assert_eq!(calls(&no_number), pair("a", "b"));
    // Neither number nor id.
    let nothing = [
        piece(null.clone(), null.clone(), f.clone(), "{1}"),
        piece(null.clone(), null, f, "{2}"),
    ];
    assert_eq!(calls(&nothing), pair("call_1_0_0", "call_1_0_1"));
}

fn form(include_usage: bool) -> AnswerForm<'static> {
    AnswerForm {
        dialect: Dialect::OpenaiChat,
        fallback_id: "fallback",
        fallback_model: "model",
        created: 9,
        include_usage,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

/// What a writer makes of events: the frames' data.
fn frames(events: &[StreamEvent], include_usage: bool) -> Vec<Value> {
    let mut writer = StreamWriter::new(&form(include_usage));
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, &mut out));
    let out = String::from_utf8(out).unwrap();
    let data = out
        .split_terminator("\n\n")
        .map(|frame| frame.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
        .collect()
}

fn part(choice: u32, part: u32, start: PartStart, deltas: Vec<Delta>) -> Vec<StreamEvent> {
    let mut events = vec![StreamEvent::PartStart {
        choice,
        part,
        start,
    }];
    events.extend(deltas.into_iter().map(|delta| StreamEvent::Delta {
        choice,
        part,
        delta,
    }));
    events.push(StreamEvent::PartStop { choice, part });
    events
}

fn deltas(frames: &[Value]) -> Vec<&Value> {
    frames
        .iter()
        .map(|frame| &frame["choices"][0]["delta"])
        .collect()
}

#[test]
fn an_anthropic_stream_becomes_chunks() {
    let usage = Usage {
        input: Some(3),
        ..Usage::default()
    };
    let mut events = vec![StreamEvent::Start {
        id: String::new(),
        model: "claude".into(),
        created: None,
        usage: Some(usage),
    }];
    events.extend(part(
        0,
        0,
        PartStart::Reasoning,
        vec![
            Delta::Reasoning("hm".into()),
            Delta::Signature("sig".into()),
        ],
    ));
    events.extend(part(
        0,
        1,
        PartStart::RedactedReasoning { data: "x".into() },
        vec![],
    ));
    events.extend(part(0, 2, PartStart::Text, vec![Delta::Text("Hi".into())]));
    for (number, id) in [(3, "a"), (4, "b")] {
        let start = PartStart::ToolCall {
            id: id.into(),
            name: "f".into(),
            kind: crate::ToolKind::Function,
        };
        events.extend(part(0, number, start, vec![Delta::Arguments("{}".into())]));
    }
    events.push(StreamEvent::Usage(Usage {
        output: Some(4),
        ..Usage::default()
    }));
    events.push(StreamEvent::Stop {
        choice: 0,
        stop: Stop::new(StopReason::ToolUse),
    });
    events.push(StreamEvent::Foreign(json!({"type": "ping"})));
    events.push(StreamEvent::End);
    let frames = frames(&events, true);
    let call = |index: usize, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}}]});
    let arguments =
        |index: usize| json!({"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]});
    let detail = |kind: &str, name: &str, value: &str, index: usize| {
        let mut detail = json!({"type": kind, "index": index});
        detail[name] = json!(value);
        json!([detail])
    };
    assert_eq!(
        deltas(&frames[..9]),
        [
            &json!({"role": "assistant", "reasoning_content": "hm", "reasoning_details": detail("reasoning.text", "text", "hm", 0)}),
            &json!({"reasoning_details": detail("reasoning.text", "signature", "sig", 0)}),
            &json!({"reasoning_details": detail("reasoning.encrypted", "data", "x", 1)}),
            &json!({"content": "Hi"}),
            &call(0, "a"),
            &arguments(0),
            &call(1, "b"),
            &arguments(1),
            &json!({}),
        ]
    );
    assert_eq!(frames[8]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(frames[9]["choices"], json!([]));
    assert_eq!(
        frames[9]["usage"],
        json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    );
    assert_eq!(frames[10..], [json!("[DONE]")]);
    for frame in &frames[..10] {
        assert_eq!(
            (&frame["id"], &frame["model"], &frame["created"]),
            (&json!("fallback"), &json!("claude"), &json!(9))
        );
        assert_eq!(frame["object"], "chat.completion.chunk");
    }
}

#[test]
fn usage_is_not_written_to_those_who_did_not_ask() {
    let events = [
        StreamEvent::Usage(Usage {
            output: Some(4),
            ..Usage::default()
        }),
        StreamEvent::End,
    ];
    assert_eq!(frames(&events, false), [json!("[DONE]")]);
}

#[test]
fn every_choice_has_its_own_role_and_numbers() {
    let mut events = Vec::new();
    for choice in [0, 1] {
        let start = PartStart::ToolCall {
            id: "a".into(),
            name: "f".into(),
            kind: crate::ToolKind::Function,
        };
        events.extend(part(choice, 0, start, vec![]));
    }
    for (choice, frame) in frames(&events, false).iter().enumerate() {
        assert_eq!(frame["choices"][0]["index"], choice);
        assert_eq!(frame["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(frame["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    }
}

/// Every chunk repeated them: a long one made a few bytes of the provider's into as many as it was long.
#[test]
fn a_long_id_is_not_repeated_in_full() {
    let long = "é".repeat(100_000);
    let start = StreamEvent::Start {
        id: long.clone(),
        model: long.clone(),
        created: None,
        usage: None,
    };
    let said = Stop::new(StopReason::EndTurn);
    let stop = StreamEvent::Stop {
        choice: 0,
        stop: said,
    };
    for frame in frames(&[start, stop], false) {
        for name in ["id", "model"] {
            let written = frame[name].as_str().unwrap();
            assert!(written.len() <= 256 && long.starts_with(written));
        }
    }

    let call = json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"name": "f"}}]}}], "id": long});
    for event in read(&[call]) {
        if let StreamEvent::PartStart {
            start: PartStart::ToolCall { id, .. },
            ..
        } = event
        {
            assert!(id.len() < 300, "{} bytes", id.len());
        }
    }
}

#[test]
fn arguments_find_their_call_among_other_parts() {
    let call = |id: u32| PartStart::ToolCall {
        id: id.to_string(),
        name: "f".into(),
        kind: crate::ToolKind::Function,
    };
    let mut events = Vec::new();
    for number in 0..100 {
        events.extend(part(0, 2 * number, PartStart::Text, Vec::new()));
        events.extend(part(0, 2 * number + 1, call(number), Vec::new()));
    }
    for number in (0..100).rev() {
        events.push(StreamEvent::Delta {
            choice: 0,
            part: 2 * number + 1,
            delta: Delta::Arguments(number.to_string()),
        });
    }
    let frames = frames(&events, false);
    let calls = deltas(&frames)
        .into_iter()
        .map(|delta| &delta["tool_calls"][0]);
    let pieces: Vec<&Value> = calls.filter(|call| call["id"].is_null()).collect();
    assert_eq!(pieces.len(), 100);
    for piece in pieces {
        assert_eq!(
            piece["index"].to_string(),
            piece["function"]["arguments"].as_str().unwrap()
        );
    }
}

#[test]
fn a_refusal_and_a_citation_have_their_places() {
    let citation = json!({"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "x"});
    let page = json!({"type": "page_location", "document_index": 0});
    let mut events = part(0, 0, PartStart::Text, vec![Delta::Text("z\u{e4}".into())]);
    events.extend(part(
        0,
        1,
        PartStart::Text,
        vec![
            Delta::Citation(citation),
            Delta::Citation(page),
            Delta::Text("bc".into()),
        ],
    ));
    events.extend(part(
        0,
        2,
        PartStart::Refusal,
        vec![Delta::Text("no".into())],
    ));
    let frames = frames(&events, false);
    let cited = json!([{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 2, "end_index": 4}}]);
    assert_eq!(
        deltas(&frames)[1..],
        [
            &json!({"content": "bc"}),
            &json!({"annotations": cited}),
            &json!({"refusal": "no"})
        ]
    );
}

// === answers ===

#[test]
fn an_anthropic_answer_becomes_a_message() {
    let read = read_answer(br#"{"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": null}], "usage": null}"#).unwrap();
    let Answer::Chat(mut answer) = read else {
        panic!("is a chat")
    };
    answer.extra = Extra::new(Dialect::AnthropicMessages);
    answer.choices[0]
        .extra
        .insert("stop_details".into(), json!(1));
    let kind = PartKind::ToolCall {
        id: "a".into(),
        name: "f".into(),
        arguments: "{}".into(),
        kind: ToolKind::Function,
    };
    let mut tool_call = Part::new(kind);
    tool_call.extra.insert("caller".into(), json!("direct"));
    answer.choices[0].content.insert(
        0,
        Part::new(PartKind::Reasoning {
            text: "hm".into(),
            signature: Some("sig".into()),
        }),
    );
    answer.choices[0].content.push(tool_call);
    let written: Value =
        serde_json::from_slice(&write_answer(&Answer::Chat(answer), &form(false))).unwrap();
    let expected = json!({
        "id": "fallback", "object": "chat.completion", "created": 9, "model": "model",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant", "content": "Hi", "refusal": null,
                "reasoning_content": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "sig", "index": 0}],
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "logprobs": null,
            "finish_reason": "tool_calls",
        }],
    });
    assert_eq!(written, expected);
    // What the client sends back in its next call is what Anthropic needs.
    let next = json!({"messages": [written["choices"][0]["message"]]});
    let Ok(Call::Chat(next)) = read_call(next.to_string().as_bytes()) else {
        panic!("is a chat")
    };
    assert_eq!(
        next.messages[0].content[0].kind,
        PartKind::Reasoning {
            text: "hm".into(),
            signature: Some("sig".into())
        }
    );
    assert!(matches!(
        next.messages[0].content[2].kind,
        PartKind::ToolCall { .. }
    ));
}
