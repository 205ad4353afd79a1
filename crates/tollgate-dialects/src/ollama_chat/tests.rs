//! What recordings do not show: missing ids, odd forms, levels of thinking, pictures and pieces of tool calls.

use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Task};

use crate::{
    AnswerForm, Call, CallForm, ChatCall, Finish, Frames, MediaSource, PartKind, ProviderError,
    Reasoning, ReasoningEffort, StopReason, StreamEvent, StreamReader, StreamWriter, Unsupported,
    read_answer, read_call, stream_of, write_answer, write_call,
};

const OLLAMA: Dialect = Dialect::OllamaChat;
const OPENAI: Dialect = Dialect::OpenaiChat;

fn read_chat(dialect: Dialect, body: &Value) -> ChatCall {
    match read_call(dialect, body.to_string().as_bytes()).unwrap() {
        Call::Chat(call) => *call,
        other => panic!("{other:?}"),
    }
}

fn call_form(dialect: Dialect, model: &str) -> CallForm<'_> {
    CallForm {
        dialect,
        model: Some(model),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported: false,
    }
}

/// A call in another dialect: its body, and what was dropped.
fn told(
    from: Dialect,
    to: Dialect,
    model: &str,
    body: &Value,
) -> Result<(Value, Vec<String>), Unsupported> {
    let call = read_call(from, body.to_string().as_bytes()).unwrap();
    let written = write_call(&call, &call_form(to, model))?;
    Ok((
        serde_json::from_slice(&written.body).unwrap(),
        written.dropped,
    ))
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

// === calls ===

/// A fuzzer found that it was written as the option, where it could not be read.
#[test]
fn an_options_name_is_no_field() {
    let body = json!({"model": "m", "messages": user("Hi"), "options.temperature": false});
    let error = read_call(OLLAMA, body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "options.temperature: belongs into `options`, under its own name"
    );
}

#[test]
fn calls_without_ids_are_answered_by_name_and_by_order() {
    let call = |name: &str| json!({"function": {"name": name, "arguments": {}}});
    let body = json!({"model": "m", "messages": [
        {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b"), call("a")]},
        {"role": "tool", "tool_name": "b", "content": "first"},
        {"role": "tool", "tool_name": "a", "content": "second"},
        {"role": "tool", "content": "third"},
        {"role": "tool", "content": "nobody asked"},
    ]});
    let chat = read_chat(OLLAMA, &body);
    let asked: Vec<&str> = chat.messages[0]
        .content
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::ToolCall { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    let answered: Vec<&str> = chat.messages[1..]
        .iter()
        .filter_map(|message| match &message.content[0].kind {
            PartKind::ToolResult { call_id, .. } => Some(call_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(answered[..3], [asked[1], asked[0], asked[2]]);
    assert!(!asked.contains(&answered[3]));
    // Where it came from, nobody asked for ids.
    let (again, _) = told(OLLAMA, OLLAMA, "m", &body).unwrap();
    assert_eq!(again["messages"], body["messages"]);
    // Elsewhere, results follow their calls by id, and the tool's name is known by the call.
    let (openai, dropped) = told(OLLAMA, OPENAI, "m", &body).unwrap();
    assert_eq!(openai["messages"][1]["tool_call_id"], asked[1]);
    assert!(openai["messages"][1].get("name").is_none() && dropped.is_empty());
}

#[test]
fn results_of_other_dialects_get_the_name_of_their_tool() {
    let body = json!({"model": "m", "messages": [
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
    ]});
    let (written, _) = told(OPENAI, OLLAMA, "m", &body).unwrap();
    assert_eq!(
        written["messages"],
        json!([
            {"role": "assistant", "content": "", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "one\ntwo", "tool_name": "f", "tool_call_id": "x"},
        ])
    );
    let mut broken = body;
    broken["messages"][0]["tool_calls"][0]["function"]["arguments"] = json!("{broken");
    assert_eq!(
        told(OPENAI, OLLAMA, "m", &broken).unwrap_err().fields,
        ["messages.tool_calls.function.arguments"]
    );
}

#[test]
fn an_answer_is_streamed_unless_the_call_says_no() {
    let body = json!({"model": "m", "messages": user("Hi")});
    assert!(read_chat(OLLAMA, &body).stream);
    let (written, _) = told(OPENAI, OLLAMA, "m", &body).unwrap();
    assert_eq!(written["stream"], false);
    let (written, _) = told(OLLAMA, OPENAI, "m", &body).unwrap();
    assert_eq!(written["stream"], true);
}

#[test]
fn sampling_goes_into_options() {
    let body = json!({"model": "m", "messages": user("Hi"), "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9,
        "seed": 1, "stop": "END", "frequency_penalty": 0.1, "presence_penalty": 0.2, "logprobs": true, "top_logprobs": 2});
    let (written, dropped) = told(OPENAI, OLLAMA, "m", &body).unwrap();
    assert_eq!(
        written["options"],
        json!({"num_predict": 7, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["END"],
            "frequency_penalty": 0.1, "presence_penalty": 0.2})
    );
    assert_eq!(
        (&written["logprobs"], &written["top_logprobs"], dropped),
        (&json!(true), &json!(2), Vec::new())
    );
}

#[test]
fn options_that_only_ollama_has_are_kept_dropped_or_refused() {
    let body = json!({"model": "m", "messages": user("Hi"), "stream": true, "keep_alive": "5m",
        "options": {"num_ctx": 4096, "num_predict": -1}});
    let (again, _) = told(OLLAMA, OLLAMA, "m", &body).unwrap();
    assert_eq!(again, body);
    let (openai, dropped) = told(OLLAMA, OPENAI, "m", &body).unwrap();
    assert!(openai.get("max_tokens").is_none() && openai.get("options").is_none());
    assert_eq!(
        dropped,
        ["keep_alive", "options.num_ctx", "options.num_predict"]
    );
    let body = json!({"model": "m", "messages": user("Hi"), "options": {"repeat_penalty": 1.1, "brand_new": 1}});
    assert_eq!(
        told(OLLAMA, OPENAI, "m", &body).unwrap_err().fields,
        ["options.repeat_penalty", "options.brand_new"]
    );
}

#[test]
fn levels_of_thinking_are_for_models_that_know_them() {
    let think = |effort: &str, model| {
        let body = json!({"model": "m", "messages": user("Hi"), "reasoning_effort": effort});
        told(OPENAI, OLLAMA, model, &body).unwrap().0["think"].clone()
    };
    assert_eq!(think("minimal", "gpt-oss:20b"), "low");
    assert_eq!(think("high", "gpt-oss:20b"), "high");
    assert_eq!(think("high", "qwen3:4b"), true);
    assert_eq!(think("none", "gpt-oss:20b"), false);
    let read = |think: Value| {
        read_chat(
            OLLAMA,
            &json!({"model": "m", "messages": [], "think": think}),
        )
        .reasoning
    };
    assert_eq!(read(json!(null)), None);
    assert_eq!(
        read(json!(false)).and_then(|reasoning| reasoning.enabled),
        Some(false)
    );
    assert_eq!(
        read(json!("max")),
        Some(Reasoning {
            effort: Some(ReasoningEffort::Other("max".to_owned())),
            ..Reasoning::default()
        })
    );
    let anthropic = json!({"model": "m", "max_tokens": 9, "messages": user("Hi"), "thinking": {"type": "enabled", "budget_tokens": 2048}});
    let (written, dropped) =
        told(Dialect::AnthropicMessages, OLLAMA, "qwen3:4b", &anthropic).unwrap();
    assert_eq!((&written["think"], dropped), (&json!(true), Vec::new()));
}

#[test]
fn pictures_are_bare_base64_and_told_apart_by_their_beginnings() {
    for (data, media_type) in [
        ("iVBORw0KGgoAAA", "image/png"),
        ("/9j/4AAQ", "image/jpeg"),
        ("R0lGODlh", "image/gif"),
        ("UklGRvoM", "image/webp"),
        ("AAAA", ""),
    ] {
        let body =
            json!({"model": "m", "messages": [{"role": "user", "content": "?", "images": [data]}]});
        let PartKind::Image { source, .. } =
            read_chat(OLLAMA, &body).messages[0].content[0].kind.clone()
        else {
            panic!("a picture")
        };
        let expected = MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(source, expected);
    }
    let picture = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]});
        told(OPENAI, OLLAMA, "m", &body)
    };
    let (written, _) = picture("data:image/png;base64,AAAA").unwrap();
    assert_eq!(
        written["messages"][0],
        json!({"role": "user", "content": "?", "images": ["AAAA"]})
    );
    assert_eq!(
        picture("https://example.com/x.png").unwrap_err().fields,
        ["messages.content.image_url"]
    );
}

#[test]
fn what_cannot_be_said_is_named() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let refused = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": user("Hi"), "tools": tools});
        body[name] = value;
        told(OPENAI, OLLAMA, "m", &body).map(|(_, dropped)| dropped)
    };
    for (name, value) in [
        ("n", json!(2)),
        ("tool_choice", json!("required")),
        ("parallel_tool_calls", json!(false)),
        ("logit_bias", json!({"1": 1})),
        ("top_a", json!(1)),
    ] {
        assert_eq!(refused(name, value).unwrap_err().fields, [name]);
    }
    for (name, value) in [("user", json!("u")), ("store", json!(true))] {
        assert_eq!(refused(name, value).unwrap(), [name]);
    }
    for (name, value) in [
        ("n", json!(1)),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(true)),
        ("response_format", json!({"type": "text"})),
    ] {
        assert_eq!(refused(name, value).unwrap(), Vec::<String>::new());
    }
    let body = json!({"model": "m", "messages": user("Hi"), "tools": tools, "tool_choice": "none"});
    assert!(
        told(OPENAI, OLLAMA, "m", &body)
            .unwrap()
            .0
            .get("tools")
            .is_none()
    );
}

#[test]
fn forms_of_answers_are_carried_over() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for (ollama, openai) in [
        (json!("json"), json!({"type": "json_object"})),
        (
            schema.clone(),
            json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}),
        ),
    ] {
        let body = json!({"model": "m", "messages": user("Hi"), "format": ollama});
        let (written, _) = told(OLLAMA, OPENAI, "m", &body).unwrap();
        assert_eq!(written["response_format"], openai);
        let (back, _) = told(OPENAI, OLLAMA, "m", &written).unwrap();
        assert_eq!(back["format"], ollama);
    }
    let body = json!({"model": "m", "messages": user("Hi"), "format": ""});
    let (written, _) = told(OLLAMA, OPENAI, "m", &body).unwrap();
    assert!(written.get("response_format").is_none());
}

#[test]
fn a_completion_is_put_to_a_chat_with_what_ollama_says_beside_the_prompt() {
    let body = json!({"model": "m", "prompt": "Once", "system": "Be brief", "images": ["AAAA"], "format": "json", "think": false,
        "raw": false, "template": "", "context": [], "keep_alive": 0, "options": {"top_k": 3}, "stream": false});
    let (chat, dropped) = told(Dialect::OllamaGenerate, OLLAMA, "m", &body).unwrap();
    assert_eq!(dropped, Vec::<String>::new());
    assert_eq!(
        chat,
        json!({"model": "m", "stream": false, "format": "json", "think": false, "keep_alive": 0, "options": {"top_k": 3},
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Once", "images": ["AAAA"]}]})
    );
    let (anthropic, dropped) = told(
        Dialect::OllamaGenerate,
        Dialect::AnthropicMessages,
        "claude-sonnet-4-5",
        &body,
    )
    .unwrap();
    assert_eq!(dropped, ["keep_alive"]);
    assert!(anthropic["system"].to_string().contains("Be brief"));
    assert_eq!(anthropic["top_k"], 3);
    for (to, fields) in [
        (OLLAMA, vec!["raw", "template"]),
        (OPENAI, vec!["options.top_k", "raw", "template"]),
        (
            Dialect::OpenaiCompletions,
            vec!["options.top_k", "raw", "template"],
        ),
    ] {
        let body = json!({"model": "m", "prompt": "Once", "raw": true, "template": "{{ .Prompt }}", "options": {"top_k": 3}});
        let mut refused = told(Dialect::OllamaGenerate, to, "m", &body)
            .unwrap_err()
            .fields;
        refused.sort_unstable();
        assert_eq!(refused, fields, "{to:?}");
    }
    let own = told(
        Dialect::OllamaGenerate,
        Dialect::OllamaGenerate,
        "m",
        &json!({"model": "m", "prompt": "Once", "raw": true, "stream": true}),
    );
    assert_eq!(own.unwrap().0["raw"], true);
}

#[test]
fn vectors_are_floats_whatever_was_asked() {
    let body = json!({"model": "e", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8, "user": "u"});
    let (written, dropped) = told(
        Dialect::OpenaiEmbeddings,
        Dialect::OllamaEmbeddings,
        "e",
        &body,
    )
    .unwrap();
    assert_eq!(
        written,
        json!({"model": "e", "input": ["a", "b"], "dimensions": 8})
    );
    assert_eq!(dropped, ["user"]);
    let tokens = json!({"model": "e", "input": [1, 2]});
    assert!(
        told(
            Dialect::OpenaiEmbeddings,
            Dialect::OllamaEmbeddings,
            "e",
            &tokens
        )
        .is_err()
    );
    let own = json!({"model": "e", "input": "a", "truncate": false, "keep_alive": "1m"});
    let (again, _) = told(
        Dialect::OllamaEmbeddings,
        Dialect::OllamaEmbeddings,
        "e",
        &own,
    )
    .unwrap();
    assert_eq!(again, own);
    let (_, dropped) = told(
        Dialect::OllamaEmbeddings,
        Dialect::OpenaiEmbeddings,
        "e",
        &own,
    )
    .unwrap();
    assert_eq!(dropped, ["truncate", "keep_alive"]);
}

// === answers ===

fn answer_form(dialect: Dialect) -> AnswerForm<'static> {
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

#[test]
fn an_end_with_tool_calls_asks_for_their_results() {
    let body = json!({"model": "m", "created_at": "2024-09-16T02:41:57.128675Z", "done": true, "done_reason": "stop",
        "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}});
    let answer = read_answer(OLLAMA, Task::Chat, body.to_string().as_bytes()).unwrap();
    let written: Value =
        serde_json::from_slice(&write_answer(&answer, &answer_form(OPENAI))).unwrap();
    let choice = &written["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0],
        json!({"id": "call_20240916T024157128675Z_0", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}})
    );
    assert_eq!(written["created"], 1_726_454_517);
}

#[test]
fn an_answer_that_is_not_complete_is_none() {
    for body in [
        json!({"model": "m", "message": {"content": "Hel"}, "done": false}),
        json!({"error": "model not found"}),
        json!({"model": "m", "done": true}),
    ] {
        assert!(
            read_answer(OLLAMA, Task::Chat, body.to_string().as_bytes()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn counts_are_told_in_ollamas_words() {
    let body = json!({"id": "1", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 5}}});
    let answer = read_answer(OPENAI, Task::Chat, body.to_string().as_bytes()).unwrap();
    let written: Value =
        serde_json::from_slice(&write_answer(&answer, &answer_form(OLLAMA))).unwrap();
    assert_eq!(
        written,
        json!({"model": "fallback", "created_at": "1970-01-01T00:00:01Z", "message": {"role": "assistant", "content": "Hi"},
            "done": true, "done_reason": "length", "prompt_eval_count": 9, "eval_count": 4})
    );
    let written: Value = serde_json::from_slice(&write_answer(
        &answer,
        &answer_form(Dialect::OllamaGenerate),
    ))
    .unwrap();
    assert_eq!(written["response"], "Hi");
}

// === streams ===

/// What a stream tells, and what its end came to.
fn read_stream(stream: &str) -> (Vec<StreamEvent>, Finish) {
    let mut splitter = Frames::new(OLLAMA.framing(), 1 << 20);
    // Even where a body's end may be an answer's, it is not here.
    let mut reader = StreamReader::new(OLLAMA, StreamEnd::Finish);
    let mut told = Vec::new();
    splitter.push(bytes::Bytes::copy_from_slice(stream.as_bytes()));
    while let Some(event) = splitter.next().unwrap() {
        reader.read(&event, &mut told).unwrap();
    }
    let finish = reader.finish(&mut told);
    (told, finish)
}

#[test]
fn a_stream_is_complete_when_it_is_done_and_not_before() {
    let line = r#"{"model":"m","created_at":"x","message":{"role":"assistant","content":"Hi"},"done":false}"#;
    let (told, finish) = read_stream(&format!("{line}\n"));
    assert!(finish == Finish::Cut && !told.contains(&StreamEvent::End));
    let (told, finish) = read_stream(&format!("{line}\n{{\"done\":true}}\nnonsense"));
    assert!(finish == Finish::Complete && told.last() == Some(&StreamEvent::End));
}

#[test]
fn an_error_in_a_stream_is_the_end_of_it() {
    let (told, _) =
        read_stream("{\"model\":\"m\",\"done\":false}\n{\"error\":\"out of memory\"}\n");
    let Some(StreamEvent::Error(ProviderError { message, .. })) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(message, "out of memory");
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(&answer_form(OLLAMA));
    for event in told.iter().chain([&StreamEvent::End]) {
        writer.write(event, &mut out);
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"error\":\"out of memory\",\"code\":null}\n"
    );
}

/// Lines of a stream as they are written for a client.
fn lines(told: &[StreamEvent]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(&answer_form(OLLAMA));
    told.iter().for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn tool_calls_that_come_in_pieces_are_told_whole() {
    let piece = |index: u32, id: Value, name: Value, arguments: &str| json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
    let chunk = |delta: Value, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        )
    };
    let null = Value::Null;
    let stream = [
        chunk(json!({"content": "Look:"}), null.clone()),
        chunk(
            json!({"tool_calls": [piece(0, json!("a"), json!("f"), "{\"x\"")]}),
            null.clone(),
        ),
        chunk(
            json!({"tool_calls": [piece(1, json!("b"), json!("g"), "")]}),
            null.clone(),
        ),
        chunk(
            json!({"tool_calls": [piece(0, null.clone(), null.clone(), ":1}")]}),
            null,
        ),
        chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let mut splitter = Frames::new(OPENAI.framing(), 1 << 20);
    let mut reader = StreamReader::new(OPENAI, StreamEnd::Mark);
    let mut told = Vec::new();
    splitter.push(bytes::Bytes::from(stream));
    while let Some(event) = splitter.next().unwrap() {
        reader.read(&event, &mut told).unwrap();
    }
    let lines = lines(&told);
    let calls: Vec<&Value> = lines
        .iter()
        .filter_map(|line| line["message"]["tool_calls"].get(0))
        .collect();
    assert_eq!(
        calls,
        [
            &json!({"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}),
            &json!({"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}}),
        ]
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert!(
        lines[..lines.len() - 1]
            .iter()
            .all(|line| line["done"] == false)
    );
}

#[test]
fn arguments_without_end_are_an_error_and_no_end() {
    let start = crate::PartStart::ToolCall {
        id: "a".to_owned(),
        name: "f".to_owned(),
        kind: crate::ToolKind::Function,
    };
    let delta = crate::Delta::Arguments("x".repeat(9 << 20));
    let delta = StreamEvent::Delta {
        choice: 0,
        part: 0,
        delta,
    };
    let told = [
        StreamEvent::PartStart {
            choice: 0,
            part: 0,
            start,
        },
        delta.clone(),
        delta,
        StreamEvent::End,
    ];
    let lines = lines(&told);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["code"], "arguments_too_long");
}

proptest! {
    /// A whole answer, and the same told as a stream and read from there.
    #[test]
    fn an_answer_says_the_same_as_a_stream(
        text in "[a-z\n\"é]{0,9}", thought in "[a-z]{0,9}", names in prop::collection::vec("[a-z]{1,5}", 0..3), count in 0..99_u64,
    ) {
        let calls: Vec<Value> = names
            .iter()
            .map(|name| json!({"id": name, "function": {"name": name, "arguments": {"x": text}}}))
            .collect();
        let body = json!({"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop",
            "message": {"role": "assistant", "content": text, "thinking": thought, "tool_calls": calls},
            "prompt_eval_count": count, "eval_count": count});
        let whole = read_answer(OLLAMA, Task::Chat, body.to_string().as_bytes()).unwrap();
        let written = lines(&stream_of(whole.clone()));
        let said = |member: &str| written.iter().filter_map(|line| line["message"][member].as_str()).collect::<String>();
        prop_assert_eq!(said("content"), text);
        prop_assert_eq!(said("thinking"), thought);
        let stream: String = written.iter().map(|line| format!("{line}\n")).collect();
        let (told, finish) = read_stream(&stream);
        prop_assert_eq!(finish, Finish::Complete);
        let expected = if names.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
        let stop = told.iter().find_map(|event| match event {
            StreamEvent::Stop { stop, .. } => Some(stop.reason.clone()),
            _ => None,
        });
        prop_assert_eq!(stop, Some(expected));
        prop_assert_eq!(lines(&told), written);
    }

    /// Whatever both dialects can say comes back as it went.
    #[test]
    fn ollamas_call_comes_back_as_it_went(
        texts in prop::collection::vec("[a-zA-Z é🌍\"\\\\\n]{1,9}", 1..5), system in prop::option::of("[a-z]{1,9}"),
        cap in prop::option::of(1..999_u64), seed in prop::option::of(any::<i32>()), stop in prop::collection::vec("[a-z]{1,5}", 0..3),
        tool in prop::option::of("[a-z]{1,9}"), stream in any::<bool>(), schema in any::<bool>(),
    ) {
        let mut messages: Vec<Value> = system.iter().map(|text| json!({"role": "system", "content": text})).collect();
        for (number, text) in texts.iter().enumerate() {
            messages.push(json!({"role": "user", "content": text, "images": ["/9j/4AAQ"]}));
            let mut said = json!({"role": "assistant", "content": text, "thinking": "hm"});
            if let Some(tool) = &tool {
                said["tool_calls"] = json!([{"id": format!("id{number}"), "function": {"name": tool, "arguments": {"x": text}}}]);
            }
            messages.push(said);
            if let Some(tool) = &tool {
                messages.push(json!({"role": "tool", "content": text, "tool_name": tool, "tool_call_id": format!("id{number}")}));
            }
        }
        let mut body = json!({"model": "m", "messages": messages, "stream": stream});
        let mut options = serde_json::Map::new();
        crate::json::put(&mut options, "num_predict", cap);
        crate::json::put(&mut options, "seed", seed);
        crate::json::put(&mut options, "stop", (!stop.is_empty()).then_some(stop));
        if !options.is_empty() {
            body["options"] = Value::Object(options);
        }
        if schema {
            body["format"] = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        }
        if let Some(tool) = &tool {
            body["tools"] = json!([{"type": "function", "function": {"name": tool, "parameters": {"type": "object", "properties": {}}}}]);
        }
        prop_assert_eq!(&told(OLLAMA, OLLAMA, "m", &body).unwrap(), &(body.clone(), Vec::new()));
        // What was thought before is no proof elsewhere, and is named.
        let call = read_call(OLLAMA, body.to_string().as_bytes()).unwrap();
        let written = write_call(&call, &CallForm { drop_unsupported: true, ..call_form(OPENAI, "m") }).unwrap();
        prop_assert_eq!(&written.dropped, &["messages.thinking"]);
        let openai: Value = serde_json::from_slice(&written.body).unwrap();
        let (back, dropped) = told(OPENAI, OLLAMA, "m", &openai).unwrap();
        prop_assert_eq!(dropped, Vec::<String>::new());
        let mut expected = body;
        for message in expected["messages"].as_array_mut().unwrap() {
            message.as_object_mut().unwrap().remove("thinking");
        }
        prop_assert_eq!(back, expected);
    }
}
