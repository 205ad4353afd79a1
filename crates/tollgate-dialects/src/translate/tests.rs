//! Recorded calls and answers, in `fixtures/`: read and written again they mean the same. What a stream tells is in a snapshot
//! beside it. How they are told in other dialects is in `cross`.

mod cross;

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Frames, Glance, Watch, glance};

const DIALECTS: [(Dialect, Task); 16] = [
    (Dialect::OpenaiChat, Task::Chat),
    (Dialect::OpenaiResponses, Task::Chat),
    (Dialect::OpenaiCompletions, Task::Completions),
    (Dialect::OpenaiEmbeddings, Task::Embeddings),
    (Dialect::AnthropicMessages, Task::Chat),
    (Dialect::OllamaChat, Task::Chat),
    (Dialect::OllamaGenerate, Task::Completions),
    (Dialect::OllamaEmbeddings, Task::Embeddings),
    (Dialect::OllamaOldEmbeddings, Task::Embeddings),
    (Dialect::GeminiGenerate, Task::Chat),
    (Dialect::GeminiEmbeddings, Task::Embeddings),
    (Dialect::CohereChat, Task::Chat),
    (Dialect::CohereEmbeddings, Task::Embeddings),
    (Dialect::CohereOldEmbeddings, Task::Embeddings),
    (Dialect::CohereRerank, Task::Rerank),
    (Dialect::MlflowServing, Task::Predict),
];

/// A recorded call with its answer, whole or streamed.
struct Fixture {
    dialect: Dialect,
    task: Task,
    name: String,
    content: Value,
}

fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for (dialect, task) in DIALECTS {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(dialect.as_str());
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                let content = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
                fixtures.push(Fixture {
                    dialect,
                    task,
                    name,
                    content,
                });
            }
        }
    }
    assert!(fixtures.len() > 30, "fixtures are missing");
    fixtures
}

fn streams() -> Vec<(Fixture, String)> {
    let fixtures = fixtures().into_iter();
    fixtures
        .filter_map(|fixture| Some((fixture.content["stream"].as_str()?.to_owned(), fixture)))
        .map(|(stream, fixture)| (fixture, stream))
        .collect()
}

impl Fixture {
    fn answer_form(&self) -> AnswerForm<'static> {
        AnswerForm {
            dialect: self.dialect,
            fallback_id: "fallback",
            fallback_model: "fallback",
            created: 1,
            include_usage: true,
            base64_vectors: self.content["call"]["encoding_format"] == "base64",
            asked: &[],
            kept: false,
        }
    }

    fn call_form(&self) -> CallForm<'_> {
        CallForm {
            dialect: self.dialect,
            model: self.content["call"]["model"].as_str(),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        }
    }

    fn snapshot(&self, what: &str, text: &str) {
        insta::with_settings!({
            snapshot_path => format!("../../fixtures/{}", self.dialect.as_str()),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(format!("{}.{what}", self.name), text);
        });
    }
}

/// How a dialect's streams end.
fn end_of(dialect: Dialect) -> StreamEnd {
    match dialect {
        Dialect::GeminiGenerate => StreamEnd::Finish,
        _ => StreamEnd::Mark,
    }
}

/// A body without what says nothing: nulls, defaults that are written out, and other names for the same.
fn bare(mut value: Value) -> Value {
    strip(&mut value);
    strip_geminis(&mut value, "");
    if let Value::Object(body) = &mut value {
        bare_items(body);
        body.retain(|_, value| ![json!([]), json!({}), json!("")].contains(value));
        if let Some(cap) = body.remove("max_completion_tokens") {
            body.insert("max_tokens".to_owned(), cap);
        }
        if let Some(Value::Array(functions)) = body.remove("functions") {
            let tools = functions
                .into_iter()
                .map(|function| json!({"type": "function", "function": function}));
            body.insert("tools".to_owned(), tools.collect());
        }
        if let Some(choice) = body.remove("function_call") {
            body.insert("tool_choice".to_owned(), choice);
        }
        // Cohere takes it in either case.
        if let Some(Value::String(choice)) = body.get_mut("tool_choice") {
            choice.make_ascii_lowercase();
        }
    }
    value
}

/// Items of responses without what goes without saying.
fn bare_items(body: &mut serde_json::Map<String, Value>) {
    if body.get("messages").is_some() {
        return;
    }
    if let Some(Value::String(text)) = body.get("input") {
        let item = json!({"role": "user", "content": text});
        body.insert("input".to_owned(), json!([item]));
    }
    for item in body
        .get_mut("input")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Value::Object(item) = item else { continue };
        if item.get("type") == Some(&json!("message")) {
            item.remove("type");
        }
        for part in item
            .get_mut("content")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Value::Object(part) = part {
                part.retain(|_, value| *value != json!([]));
            }
        }
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(strip);
            for name in ["content", "system"] {
                if let Some(Value::Array(parts)) = members.get(name)
                    && let [Value::Object(part)] = parts.as_slice()
                    && part.len() == 2
                    && let Some(text) = part.get("text")
                {
                    let text = text.clone();
                    members.insert(name.to_owned(), text);
                }
            }
            members.retain(|name, value| {
                let is_default =
                    name == "stream" && *value == json!(false) || name == "content" && *value == "";
                !(value.is_null() || is_default)
            });
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Number(number) if number.as_f64() == Some(0.0) => *value = json!(0),
        _ => {}
    }
}

/// The same of Gemini's: it has two languages for schemas, and defaults that its clients write out.
fn strip_geminis(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            if name == "systemInstruction" || name == "content" {
                members.remove("role");
            }
            for (ours, theirs) in [
                ("parameters", "parametersJsonSchema"),
                ("responseSchema", "responseJsonSchema"),
            ] {
                if let Some(schema) = members.remove(theirs) {
                    members.insert(ours.to_owned(), schema);
                }
            }
            members
                .iter_mut()
                .for_each(|(name, value)| strip_geminis(value, name));
            members.retain(|name, value| {
                let is_default = match name.as_str() {
                    "thought" => *value == json!(false),
                    "responseModalities" => *value == json!(["TEXT"]),
                    "generationConfig" => *value == json!({}),
                    _ => false,
                };
                !is_default
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip_geminis(item, "")),
        Value::String(word) if name == "type" => *word = word.to_ascii_lowercase(),
        _ => {}
    }
}

#[test]
fn calls_mean_the_same_when_written_again() {
    for fixture in fixtures() {
        let original = &fixture.content["call"];
        let call = read_call(fixture.dialect, original.to_string().as_bytes()).unwrap();
        let written = write_call(&call, &fixture.call_form()).unwrap();
        assert_eq!(written.dropped, Vec::<String>::new());
        let written: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(bare(written), bare(original.clone()), "{}", fixture.name);
    }
}

#[test]
fn answers_mean_the_same_when_written_again() {
    for fixture in fixtures() {
        let Some(original) = fixture.content.get("answer") else {
            continue;
        };
        let answer = read_answer(
            fixture.dialect,
            fixture.task,
            original.to_string().as_bytes(),
        )
        .unwrap();
        let written = write_answer(&answer, &fixture.answer_form());
        let again = read_answer(fixture.dialect, fixture.task, &written).unwrap();
        assert_eq!(
            without_names(again),
            without_names(answer),
            "{}",
            fixture.name
        );
    }
}

/// An answer without the names under which its reasoning came: there are several, and one is written.
fn without_names(mut answer: Answer) -> Answer {
    if let Answer::Chat(answer) = &mut answer {
        for choice in &mut answer.choices {
            if let Some(Value::Object(message)) = choice.extra.get_mut("message") {
                message.retain(|name, _| !name.starts_with("reasoning"));
            }
            choice.extra.retain(|_, value| *value != json!({}));
        }
    }
    answer
}

#[test]
fn a_glance_agrees_with_the_reader() {
    for fixture in fixtures() {
        let Some(original) = fixture.content.get("answer") else {
            continue;
        };
        let body = original.to_string();
        let glance = glance(fixture.dialect, fixture.task, body.as_bytes()).unwrap();
        let expected = match read_answer(fixture.dialect, fixture.task, body.as_bytes()).unwrap() {
            Answer::Chat(answer) => Glance {
                usage: answer.usage,
                stop: answer.choices[0]
                    .stop
                    .as_ref()
                    .map(|stop| stop.reason.clone()),
                model: told(answer.model),
                error: None,
            },
            Answer::Embedding(answer) => Glance {
                usage: answer.usage,
                model: told(answer.model),
                ..Glance::default()
            },
            Answer::Rerank(answer) => Glance {
                usage: answer.usage,
                model: told(answer.model),
                ..Glance::default()
            },
            Answer::Predict(_) => Glance::default(),
        };
        assert_eq!(glance, expected, "{}", fixture.name);
    }
}

/// A name that was told at all.
fn told(name: String) -> Option<String> {
    (!name.is_empty()).then_some(name)
}

/// Everything that a stream tells, and what its end came to.
fn read_stream(
    dialect: Dialect,
    chunks: &[&[u8]],
    end: StreamEnd,
) -> Result<(Vec<StreamEvent>, Finish), ReadError> {
    let mut splitter = Frames::new(dialect.framing(), 1 << 20);
    let mut reader = StreamReader::new(dialect, end);
    let mut told = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = splitter.next().unwrap() {
            reader.read(&event, &mut told)?;
        }
    }
    if let Some(event) = splitter.finish() {
        reader.read(&event, &mut told)?;
    }
    let finish = reader.finish(&mut told);
    Ok((told, finish))
}

fn write_stream(form: &AnswerForm<'_>, told: &[StreamEvent]) -> Vec<u8> {
    let mut writer = StreamWriter::new(form);
    let mut written = Vec::new();
    told.iter()
        .for_each(|event| writer.write(event, &mut written));
    written
}

#[test]
fn streams_mean_the_same_when_written_again() {
    for (fixture, stream) in streams() {
        let (told, finish) = read_stream(
            fixture.dialect,
            &[stream.as_bytes()],
            end_of(fixture.dialect),
        )
        .unwrap();
        assert_eq!(finish, Finish::Complete, "{}", fixture.name);
        let lines: Vec<String> = told.iter().map(|event| format!("{event:?}")).collect();
        fixture.snapshot("stream", &lines.join("\n"));
        let written = write_stream(&fixture.answer_form(), &told);
        let (again, _) =
            read_stream(fixture.dialect, &[&written], end_of(fixture.dialect)).unwrap();
        assert_eq!(merged(again), merged(told), "{}", fixture.name);
    }
}

/// The same events with usage, which may come at any time, beside them.
fn merged(told: Vec<StreamEvent>) -> (Vec<StreamEvent>, Option<tollgate_domain::Usage>) {
    let mut usage: Option<tollgate_domain::Usage> = None;
    let mut rest = Vec::new();
    for event in told {
        match event {
            StreamEvent::Usage(later) => usage.get_or_insert_default().update(&later),
            StreamEvent::Start {
                id,
                model,
                created,
                usage: first,
            } => {
                usage = first;
                rest.push(StreamEvent::Start {
                    id,
                    model,
                    created,
                    usage: None,
                });
            }
            event => rest.push(event),
        }
    }
    (rest, usage)
}

#[test]
fn a_watch_agrees_with_the_reader() {
    for (fixture, stream) in streams() {
        let mut splitter = Frames::new(fixture.dialect.framing(), 1 << 20);
        splitter.push(Bytes::from(stream));
        let mut watch = Watch::new(fixture.dialect, end_of(fixture.dialect));
        let mut reader = StreamReader::new(fixture.dialect, end_of(fixture.dialect));
        let (mut seen_stop, mut told_stop) = (None, None);
        while let Some(event) = splitter.next().unwrap() {
            let mut told = Vec::new();
            reader.read(&event, &mut told).unwrap();
            let seen = watch.see(&event, &mut String::new());
            let content = told.iter().any(|event| is_content(event, fixture.dialect));
            assert_eq!(seen.content, content, "{} {event:?}", fixture.name);
            assert_eq!(
                seen.end,
                told.contains(&StreamEvent::End),
                "{} {event:?}",
                fixture.name
            );
            let error = told.iter().find_map(|event| {
                if let StreamEvent::Error(error) = event {
                    Some(error)
                } else {
                    None
                }
            });
            assert_eq!(seen.error.as_ref(), error, "{} {event:?}", fixture.name);
            let usage = told.iter().find_map(|event| match event {
                StreamEvent::Usage(usage) => Some(*usage),
                StreamEvent::Start { usage, .. } => *usage,
                _ => None,
            });
            assert_eq!(seen.usage, usage, "{} {event:?}", fixture.name);
            seen_stop = seen_stop.or(seen.stop);
            told_stop = told_stop.or(told.into_iter().find_map(|event| match event {
                StreamEvent::Stop { stop, .. } => Some(stop.reason),
                _ => None,
            }));
        }
        let mut told = Vec::new();
        let finish = reader.finish(&mut told);
        let last_stop = told.into_iter().find_map(|event| match event {
            StreamEvent::Stop { stop, .. } => Some(stop.reason),
            _ => None,
        });
        assert_eq!(seen_stop, told_stop.or(last_stop), "{}", fixture.name);
        assert_eq!(
            watch.complete(),
            finish == Finish::Complete,
            "{}",
            fixture.name
        );
    }
}

/// Whether a person would see something of it. Sound is content, though no other dialect has it.
fn is_content(event: &StreamEvent, dialect: Dialect) -> bool {
    match event {
        StreamEvent::Delta {
            delta: Delta::Signature(_),
            ..
        } => dialect != Dialect::AnthropicMessages,
        StreamEvent::Delta {
            delta: Delta::Citation(_),
            ..
        } => !matches!(dialect, Dialect::AnthropicMessages | Dialect::OpenaiChat),
        StreamEvent::Delta { .. } => true,
        StreamEvent::PartStart { start, .. } => !matches!(
            start,
            PartStart::Text | PartStart::Reasoning | PartStart::Refusal
        ),
        StreamEvent::Foreign(value) => value["type"] != "ping",
        _ => false,
    }
}

/// Where a stream's end mark is whole.
fn end_mark(stream: &str) -> Option<usize> {
    for mark in [
        "\"type\":\"response.completed\"",
        "\"type\":\"response.incomplete\"",
    ] {
        if let Some(start) = stream.find(mark) {
            return Some(start + stream.get(start..)?.find('\n')?);
        }
    }
    let after = |mark: &str| Some(stream.find(mark)? + mark.len());
    let brace = |at: usize| Some(at + stream.get(at..)?.find('}')? + 1);
    let line = |at: usize| Some(at + stream.get(at..)?.find("}\n")? + 1);
    // Gemini has none: the last chunk is the end.
    let last = || {
        let end = stream.trim_end().len();
        stream.contains("\"finishReason\"").then_some(end)
    };
    after("data: [DONE]")
        .or_else(|| after("data: {\"type\":\"message_stop\"").and_then(brace))
        .or_else(|| after("\"done\":true").and_then(line))
        .or_else(last)
}

#[test]
fn a_stream_cut_anywhere_has_no_end_and_one_split_anywhere_has_one() {
    for (fixture, stream) in streams() {
        let bytes = stream.as_bytes();
        let (whole, _) = read_stream(fixture.dialect, &[bytes], end_of(fixture.dialect)).unwrap();
        let end_mark = end_mark(&stream).filter(|_| whole.contains(&StreamEvent::End));
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            // An event that is cut in the middle cannot be read, which is no end either.
            if let Ok((told, finish)) =
                read_stream(fixture.dialect, &[first], end_of(fixture.dialect))
            {
                let ends = told
                    .iter()
                    .filter(|event| **event == StreamEvent::End)
                    .count();
                assert_eq!(
                    ends,
                    usize::from(end_mark.is_some_and(|end_mark| cut >= end_mark)),
                    "{} cut at {cut}",
                    fixture.name
                );
                let errors = told
                    .iter()
                    .any(|event| matches!(event, StreamEvent::Error(_)));
                assert_eq!(
                    finish == Finish::Complete,
                    ends == 1 || errors,
                    "{} cut at {cut}",
                    fixture.name
                );
            }
            let (told, _) =
                read_stream(fixture.dialect, &[first, second], end_of(fixture.dialect)).unwrap();
            assert_eq!(told, whole, "{} split at {cut}", fixture.name);
        }
    }
}

#[test]
fn a_whole_answer_can_be_told_as_a_stream() {
    for fixture in fixtures() {
        let Some(original) = fixture.content.get("answer") else {
            continue;
        };
        let answer = read_answer(
            fixture.dialect,
            fixture.task,
            original.to_string().as_bytes(),
        )
        .unwrap();
        let told = stream_of(answer.clone());
        let Answer::Chat(answer) = answer else {
            assert_eq!(told, Vec::new());
            continue;
        };
        let written = write_stream(&fixture.answer_form(), &told);
        let (again, finish) =
            read_stream(fixture.dialect, &[&written], end_of(fixture.dialect)).unwrap();
        assert_eq!(finish, Finish::Complete, "{}", fixture.name);
        assert_eq!(merged(again).1, answer.usage, "{}", fixture.name);
        for choice in &answer.choices {
            let expected = choice.content.iter().filter_map(|part| match &part.kind {
                PartKind::Text { text, .. }
                | PartKind::Refusal { text }
                | PartKind::Reasoning { text, .. } => Some(text.as_str()),
                PartKind::ToolCall { arguments, .. } => Some(arguments.as_str()),
                _ => None,
            });
            let said = told.iter().filter_map(|event| match event {
                StreamEvent::Delta {
                    choice: index,
                    delta: Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text),
                    ..
                } if *index == choice.index => Some(text.as_str()),
                _ => None,
            });
            assert_eq!(
                said.collect::<String>(),
                expected.collect::<String>(),
                "{}",
                fixture.name
            );
        }
    }
}

#[test]
fn a_stream_without_end_mark_ends_with_its_finish_reason() {
    let chunk = |reason: Value| {
        let choice = json!({"index": 0, "delta": {"content": "a"}, "finish_reason": reason});
        format!("data: {}\n\n", json!({"id": "1", "choices": [choice]}))
    };
    let finish = |stream: &str, end| {
        read_stream(Dialect::OpenaiChat, &[stream.as_bytes()], end)
            .unwrap()
            .1
    };
    assert_eq!(
        finish(&chunk(json!("stop")), StreamEnd::Finish),
        Finish::Complete
    );
    assert_eq!(finish(&chunk(json!("stop")), StreamEnd::Mark), Finish::Cut);
    assert_eq!(finish(&chunk(Value::Null), StreamEnd::Finish), Finish::Cut);
    assert_eq!(finish("", StreamEnd::Finish), Finish::Cut);
}

const WORDS: &[&str] = &[
    "",
    "role",
    "content",
    "text",
    "tool",
    "assistant",
    "function",
    "data:;base64,",
    "stop",
];

/// Strings with which providers and clients have surprised others, and any others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop::sample::select(
            &[
                "role",
                "content",
                "type",
                "text",
                "id",
                "index",
                "function",
                "name",
                "arguments",
                "delta",
                "message",
                "choices",
                "usage",
                "image_url",
                "file",
                "file_data",
                "url",
                "thinking",
                "finish_reason",
                "tool_calls",
                "reasoning_details",
                "error",
                "data",
                "content_block",
                "stop_reason",
                "source",
                "input",
                "citations",
            ][..],
        );
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..5).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

proptest! {
    /// Any value in any place of a recorded body: read or refused, and what is read can be written.
    #[test]
    fn no_body_makes_a_reader_panic(
        fixture in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), value in any_json(),
    ) {
        let fixtures = fixtures();
        let fixture = fixture.get(&fixtures);
        let mut body = fixture.content["call"].clone();
        put_in(&mut body, place, value.clone());
        if let Ok(call) = read_call(fixture.dialect, body.to_string().as_bytes()) {
            let written = write_call(&call, &fixture.call_form()).unwrap();
            let read = read_call(fixture.dialect, &written.body);
            prop_assert!(read.is_ok(), "{:?} of {:?}", read, written);
        }
        let mut body = fixture.content["answer"].clone();
        put_in(&mut body, place, value.clone());
        if let Ok(answer) = read_answer(fixture.dialect, fixture.task, body.to_string().as_bytes()) {
            let written = write_answer(&answer, &fixture.answer_form());
            prop_assert!(read_answer(fixture.dialect, fixture.task, &written).is_ok());
            drop(stream_of(answer));
        }
        if let Some(stream) = fixture.content["stream"].as_str() {
            let lines: Vec<&str> = stream
                .lines()
                .map(|line| line.strip_prefix("data: ").unwrap_or(line))
                .filter(|data| data.starts_with('{'))
                .collect();
            let mut event: Value = serde_json::from_str(place.get::<&str>(&lines)).unwrap();
            put_in(&mut event, place, value.clone());
            let stream = stream.replace(place.get::<&str>(&lines), &event.to_string());
            if let Ok((told, _)) = read_stream(fixture.dialect, &[stream.as_bytes()], end_of(fixture.dialect)) {
                drop(write_stream(&fixture.answer_form(), &told));
            }
        }
        let mut chunk = json!({"id": "1", "choices": [{"index": 0, "delta": {"content": "a", "tool_calls": [{"index": 0}]}}]});
        put_in(&mut chunk, place, value);
        let chunk = format!("data: {chunk}\n\ndata: [DONE]\n\n");
        if let Ok((told, finish)) = read_stream(fixture.dialect, &[chunk.as_bytes()], end_of(fixture.dialect)) {
            prop_assert_eq!(finish, Finish::Complete);
            drop(write_stream(&fixture.answer_form(), &told));
        }
    }
}

/// Puts a value in some place of another.
fn put_in(target: &mut Value, place: prop::sample::Index, value: Value) {
    let mut paths = Vec::new();
    list_paths(target, String::new(), &mut paths);
    if let Some(target) = target.pointer_mut(place.get::<String>(&paths)) {
        *target = value;
    }
}

fn list_paths(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| list_paths(value, format!("{path}/{name}"), paths)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| list_paths(value, format!("{path}/{index}"), paths)),
        _ => {}
    }
    paths.push(path);
}
