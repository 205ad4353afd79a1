//! Providers that copy OpenAI's API: what they take otherwise, and what they give beyond it.

use serde_json::{Value, json};
use tollgate_domain::{
    Accent, ChatInput, Dialect, Otherwise, ReasoningBack, StreamEnd, StreamUsage, Task,
    ThinkingSwitch, ToolCallIds, Turns,
};

use crate::{
    AnswerForm, CallForm, Delta, ErrorKind, Frames, StreamEvent, StreamReader, Unsupported, Watch,
    read_answer, read_call, stream_of, write_answer, write_call_in,
};

const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const OLLAMA: Dialect = Dialect::OllamaChat;
const OPENAI: Dialect = Dialect::OpenaiChat;

/// A call as a provider with an accent gets it, and what was dropped.
fn told(accent: &Accent, from: Dialect, body: &Value) -> Result<(Value, Vec<String>), Unsupported> {
    let call = read_call(from, body.to_string().as_bytes()).unwrap();
    let form = CallForm {
        dialect: OPENAI,
        model: Some("m"),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported: false,
    };
    let written = write_call_in(accent, &call, &form)?;
    Ok((
        serde_json::from_slice(&written.body).unwrap(),
        written.dropped,
    ))
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

// === accents ===

#[test]
fn fields_are_renamed_dropped_or_refused_by_the_clients_names() {
    let accent = Accent {
        fields: &[
            ("seed", Otherwise::Named("random_seed")),
            ("user", Otherwise::Dropped),
            ("parallel_tool_calls", Otherwise::Refused),
            ("top_k", Otherwise::Taken),
            ("response_format.json_schema", Otherwise::Refused),
        ],
        ..Accent::NONE
    };
    let body = json!({"model": "m", "messages": [user("Hi")], "options": {"seed": 7, "top_k": 5}, "format": "json"});
    let (written, dropped) = told(&accent, OLLAMA, &body).unwrap();
    assert_eq!(
        (&written["random_seed"], &written["top_k"], dropped),
        (&json!(7), &json!(5), Vec::new())
    );
    assert!(written.get("seed").is_none());
    // One form of the answer is taken, the other is not.
    assert_eq!(written["response_format"]["type"], "json_object");
    let body = json!({"model": "m", "messages": [user("Hi")], "format": {"type": "object"}});
    assert_eq!(told(&accent, OLLAMA, &body).unwrap_err().fields, ["format"]);
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [user("Hi")], "metadata": {"user_id": "u"}});
    assert_eq!(
        told(&accent, ANTHROPIC, &body).unwrap().1,
        ["metadata.user_id"]
    );
    body["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    body["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(
        told(&accent, ANTHROPIC, &body).unwrap_err().fields,
        ["tool_choice.disable_parallel_tool_use"]
    );
}

#[test]
fn ids_of_nine_letters_are_the_same_for_the_same_id() {
    let accent = Accent {
        tool_call_ids: ToolCallIds::Nine,
        ..Accent::NONE
    };
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "ok"});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        user("Hi"),
        {"role": "assistant", "content": [call("toolu_01ABC"), call("toolu_01ABD"), call("abcDEF123")]},
        {"role": "user", "content": [result("toolu_01ABD"), result("toolu_01ABC"), result("abcDEF123")]},
    ]});
    let (written, _) = told(&accent, ANTHROPIC, &body).unwrap();
    let asked: Vec<&Value> = written["messages"][1]["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["id"])
        .collect();
    let answered: Vec<&Value> = (2..5)
        .map(|index| &written["messages"][index]["tool_call_id"])
        .collect();
    assert_eq!(answered, [asked[1], asked[0], asked[2]]);
    assert_ne!(asked[0], asked[1]);
    assert_eq!(asked[2], "abcDEF123");
    for id in asked {
        let id = id.as_str().unwrap();
        assert!(
            id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{id}"
        );
    }
}

#[test]
fn thoughts_go_back_within_a_loop_of_tools_or_with_their_proofs() {
    let thinking = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "sig"});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        user("Hi"),
        {"role": "assistant", "content": [thinking("old"), {"type": "text", "text": "Ho"}]},
        user("Weather?"),
        {"role": "assistant", "content": [thinking("new"), {"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}]},
    ]});
    let accent = Accent {
        reasoning: ReasoningBack::Content,
        ..Accent::NONE
    };
    let (written, dropped) = told(&accent, ANTHROPIC, &body).unwrap();
    assert!(written["messages"][1].get("reasoning_content").is_none());
    assert_eq!(written["messages"][3]["reasoning_content"], "new");
    assert_eq!(dropped, ["messages.content.thinking"]);
    let accent = Accent {
        reasoning: ReasoningBack::Details,
        ..Accent::NONE
    };
    let (written, dropped) = told(&accent, ANTHROPIC, &body).unwrap();
    for (index, text) in [(1, "old"), (3, "new")] {
        assert_eq!(
            written["messages"][index]["reasoning_details"],
            json!([{"type": "reasoning.text", "text": text, "index": 0, "signature": "sig"}])
        );
    }
    assert_eq!(dropped, Vec::<String>::new());
}

#[test]
fn thinking_is_switched_as_the_provider_wants() {
    let switched = |thinking, think: Value| {
        let accent = Accent {
            thinking,
            ..Accent::NONE
        };
        let body = json!({"model": "m", "messages": [user("Hi")], "think": think});
        told(&accent, OLLAMA, &body).unwrap().0
    };
    let off = switched(ThinkingSwitch::Thinking, json!(false));
    assert_eq!(off["thinking"], json!({"type": "disabled"}));
    let on = switched(ThinkingSwitch::Thinking, json!(true));
    assert_eq!(on["thinking"], json!({"type": "enabled"}));
    let off = switched(ThinkingSwitch::EnableThinking, json!(false));
    assert_eq!(off["enable_thinking"], json!(false));
    let level = switched(ThinkingSwitch::Thinking, json!("high"));
    assert!(level.get("thinking").is_none() && level["reasoning_effort"] == "high");
    let unsaid = switched(ThinkingSwitch::Thinking, Value::Null);
    assert!(unsaid.get("thinking").is_none());
}

#[test]
fn speakers_take_turns_where_they_must() {
    let accent = Accent {
        turns: Turns::Alternating,
        ..Accent::NONE
    };
    let body = json!({"model": "m", "messages": [
        user("one"),
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "two", "images": ["iVBORw0KGgoAAA"]},
        {"role": "assistant", "content": "three"},
        user("four"),
    ]});
    let (written, _) = told(&accent, OLLAMA, &body).unwrap();
    let roles: Vec<&Value> = written["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| &message["role"])
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let first = &written["messages"][1]["content"];
    assert_eq!(first[0], json!({"type": "text", "text": "one"}));
    assert_eq!(
        (&first[1]["type"], &first[2]["text"]),
        (&json!("image_url"), &json!("two"))
    );
}

// === answers ===

fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "fallback",
        fallback_model: "fallback",
        created: 1,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

fn in_anthropics(body: &Value) -> Value {
    let answer = read_answer(OPENAI, Task::Chat, body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&write_answer(&answer, &form(ANTHROPIC))).unwrap()
}

/// What a stream tells, and whether a watch sees the same error.
fn read_stream(chunks: &[Value]) -> (Vec<StreamEvent>, bool) {
    let mut splitter = Frames::new(OPENAI.framing(), 1 << 20);
    let mut reader = StreamReader::new(OPENAI, StreamEnd::Finish);
    let mut watch = Watch::new(OPENAI, StreamEnd::Finish);
    let mut told = Vec::new();
    let mut failed = false;
    for chunk in chunks {
        splitter.push(bytes::Bytes::from(format!("data: {chunk}\n\n")));
        while let Some(event) = splitter.next().unwrap() {
            reader.read(&event, &mut told).unwrap();
            failed |= watch.see(&event, &mut String::new()).error.is_some();
        }
    }
    reader.finish(&mut told);
    (told, failed)
}

fn cited(told: &[StreamEvent]) -> Vec<&str> {
    let urls = told.iter().filter_map(|event| match event {
        StreamEvent::Delta {
            delta: Delta::Citation(citation),
            ..
        } => citation["url"].as_str(),
        _ => None,
    });
    urls.collect()
}

#[test]
fn what_a_search_found_becomes_citations_of_the_text() {
    let annotation = json!({"type": "url_citation", "url_citation": {"url": "https://a.b", "title": "A", "start_index": 0, "end_index": 2}});
    let flat = json!({"type": "url_citation", "url": "https://a.b", "title": "A", "summary": "s"});
    let found = json!({"url": "https://a.b", "title": "A", "snippet": "s", "date": "2026-01-01"});
    for (annotations, top, value) in [
        (json!([annotation]), "x", Value::Null),
        (json!([flat]), "x", Value::Null),
        (Value::Null, "search_results", json!([found])),
        (Value::Null, "citations", json!(["https://a.b"])),
        (
            Value::Null,
            "web_search",
            json!([{"link": "https://a.b", "title": "A", "content": "s"}]),
        ),
        // The same address twice is one citation.
        (json!([annotation]), "citations", json!(["https://a.b"])),
    ] {
        let mut body = json!({"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi", "annotations": annotations}}]});
        body[top] = value.clone();
        let written = in_anthropics(&body);
        let citations = &written["content"][0]["citations"];
        assert_eq!(citations.as_array().map(Vec::len), Some(1), "{body}");
        assert_eq!(citations[0]["url"], "https://a.b");
        assert_eq!(citations[0]["type"], "web_search_result_location");

        let chunk = |delta: Value, finish: Value| {
            let mut chunk = json!({"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            chunk[top] = value.clone();
            chunk
        };
        let (told, _) = read_stream(&[
            chunk(json!({"content": "H"}), Value::Null),
            chunk(
                json!({"content": "i", "annotations": annotations}),
                Value::Null,
            ),
            chunk(json!({}), json!("stop")),
        ]);
        assert_eq!(cited(&told), ["https://a.b"], "{body}");
        assert_eq!(told.last(), Some(&StreamEvent::End));
    }
    // Where they came in this dialect, they go back as they came.
    let body = json!({"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hi", "annotations": [annotation]}}]});
    let answer = read_answer(OPENAI, Task::Chat, body.to_string().as_bytes()).unwrap();
    let again: Value = serde_json::from_slice(&write_answer(&answer, &form(OPENAI))).unwrap();
    assert_eq!(
        again["choices"][0]["message"]["annotations"],
        json!([annotation])
    );
    assert_eq!(cited(&stream_of(answer)), ["https://a.b"]);
}

#[test]
fn the_reasoning_of_databricks_is_a_part_of_the_content() {
    let reasoning = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "signature": "sig"}]});
    let body = json!({"id": "1", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": [reasoning, {"type": "text", "text": "Hi"}]}}]});
    let expected = json!([{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "text", "text": "Hi"}]);
    assert_eq!(in_anthropics(&body)["content"], expected);
    let chunk = |content: Value, finish: Value| json!({"id": "1", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]});
    let (told, _) = read_stream(&[
        chunk(json!([reasoning]), Value::Null),
        chunk(json!([{"type": "text", "text": "Hi"}]), json!("stop")),
    ]);
    let said: Vec<&Delta> = told
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Delta { delta, .. } => Some(delta),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            &Delta::Reasoning("hm".to_owned()),
            &Delta::Signature("sig".to_owned()),
            &Delta::Text("Hi".to_owned())
        ]
    );
}

#[test]
fn a_choice_that_failed_is_an_error_and_no_end() {
    let failed =
        json!({"code": 502, "message": "no", "metadata": {"error_type": "provider_unavailable"}});
    for (choice, status, message) in [
        (
            json!({"index": 0, "finish_reason": null, "error": failed, "delta": {"content": "i"}}),
            502,
            "no",
        ),
        (
            json!({"index": 0, "finish_reason": "error", "delta": {}}),
            500,
            "the provider ended its answer with an error",
        ),
        (
            json!({"index": 0, "finish_reason": "insufficient_system_resource", "delta": {}}),
            500,
            "the provider ended its answer with an error",
        ),
    ] {
        let (told, seen) = read_stream(&[
            json!({"id": "1", "choices": [{"index": 0, "delta": {"content": "H"}}]}),
            json!({"id": "1", "choices": [choice]}),
        ]);
        let Some(StreamEvent::Error(error)) = told.last() else {
            panic!("{told:?}")
        };
        assert_eq!(
            (error.status, error.kind, error.message.as_str()),
            (status, ErrorKind::Server, message)
        );
        assert!(seen && !told.contains(&StreamEvent::End));
        let body = json!({"id": "1", "choices": [choice]});
        assert!(read_answer(OPENAI, Task::Chat, body.to_string().as_bytes()).is_err());
    }
}

#[test]
fn a_message_that_the_answer_does_not_begin_with_is_like_any_other() {
    let call = |prefix: bool| {
        let said = json!({"role": "assistant", "content": "Ho", "prefix": prefix});
        let body = json!({"model": "m", "messages": [user("Hi"), said, user("?")]});
        let call = read_call(OPENAI, body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: ANTHROPIC,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        crate::write_call(&call, &form).map_err(|unsupported| unsupported.fields)
    };
    assert!(call(false).is_ok_and(|written| written.dropped.is_empty()));
    assert_eq!(call(true), Err(vec!["messages.prefix".to_owned()]));
}
