//! Streams that tell little, much, or what is not theirs.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::{Dialect, StreamEnd};

use super::super::tests::form;
use crate::{
    AnswerForm, Delta, ErrorKind, PartStart, SseEvent, SseSplitter, StopReason, StreamEvent,
    StreamReader, StreamWriter,
};

const RESPONSES: Dialect = Dialect::OpenaiResponses;
const CHAT: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

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
                PartStart::ToolCall { id, name, kind } => match kind {
                    crate::ToolKind::Custom => format!("custom {id} {name} "),
                    _ => format!("call {id} {name} "),
                },
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
        "custom 2 g free",
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

/// Free text stays free text, from a chat's chunks to an item's events and back.
#[test]
fn a_custom_call_of_a_chat_is_a_custom_call_here() {
    let piece = |call: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let chunks = [
        piece(
            json!({"index": 0, "id": "c", "type": "custom", "custom": {"name": "g", "input": ""}}),
        ),
        piece(json!({"index": 0, "custom": {"input": "fr"}})),
        piece(json!({"index": 0, "custom": {"input": "ee"}})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    let mut told = Vec::new();
    let mut reader = StreamReader::new(CHAT, StreamEnd::Finish);
    for chunk in &chunks {
        let data = chunk.to_string().into_bytes().into();
        let event = SseEvent {
            raw: Bytes::new(),
            name: Bytes::new(),
            data,
        };
        reader.read(&event, &mut told).unwrap();
    }
    reader.finish(&mut told);
    assert_eq!(said(&told), ["custom c g free"]);

    let events = heard(&told);
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"response.custom_tool_call_input.delta"));
    assert!(kinds.contains(&"response.custom_tool_call_input.done"));
    assert!(!kinds.iter().any(|kind| kind.contains("function")));
    let item = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(item["type"], "custom_tool_call");
    assert_eq!(item["input"], "free");
    assert_eq!(said(&read_stream(&events)), ["custom c g free"]);

    let mut frames = Vec::new();
    let mut writer = StreamWriter::new(&form(CHAT));
    told.iter()
        .for_each(|event| writer.write(event, &mut frames));
    let frames = String::from_utf8(frames).unwrap();
    assert!(
        frames.contains(r#""type":"custom","custom":{"name":"g","input":""}"#),
        "{frames}"
    );
    assert!(frames.contains(r#""custom":{"input":"fr"}"#), "{frames}");
}

/// Applications read back what they have asked, in answers and in what a stream tells at its beginning and its end.
#[test]
fn an_answer_repeats_what_was_asked() {
    let asked = json!({"model": "route", "input": "hi", "temperature": 0.5, "tools": [{"type": "function", "name": "f"}], "reasoning": {"effort": "low"}, "metadata": null});
    let asked = asked.to_string();
    let form = AnswerForm {
        asked: asked.as_bytes(),
        kept: false,
        ..form(RESPONSES)
    };
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(&form);
    for event in [start(), StreamEvent::End] {
        writer.write(&event, &mut out);
    }
    let out = String::from_utf8(out).unwrap();
    let told: Vec<Value> = out
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    for told in [&told[0]["response"], &told[2]["response"]] {
        assert_eq!(told["temperature"], 0.5);
        assert_eq!(told["tools"][0]["name"], "f");
        assert_eq!(told["reasoning"], json!({"effort": "low", "summary": null}));
        assert_eq!(told["metadata"], json!({}));
        assert_eq!(told["model"], "m");
        assert!(told.get("input").is_none());
    }
}

/// Calls that go on at once, as in a chat, each keep their place.
#[test]
fn calls_that_overlap_keep_their_places() {
    let call = |id: &str| PartStart::ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        kind: crate::ToolKind::Function,
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
