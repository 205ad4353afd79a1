//! What holds for every recording in `fixtures/bedrock_converse`, and what recordings do not show.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, Framing, StreamEnd, StreamUsage, Task, Usage};

use crate::{
    AnswerForm, CallForm, Delta, ErrorKind, Finish, Frames, PartStart, ReadError, Stop, StopReason,
    StreamEvent, StreamReader, StreamWriter, Unsupported, frames::aws::tests::frame, read_answer,
    read_call, write_answer, write_call,
};

const CONVERSE: Dialect = Dialect::BedrockConverse;
const CLIENTS: [(Dialect, &str); 2] = [
    (Dialect::OpenaiChat, "gpt-5"),
    (Dialect::AnthropicMessages, "claude-sonnet-4-5"),
];

struct Fixture {
    name: String,
    content: Value,
}

fn fixtures() -> Vec<Fixture> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/bedrock_converse");
    let mut fixtures = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            fixtures.push(Fixture {
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                content: serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
            });
        }
    }
    assert!(fixtures.len() >= 12, "fixtures are missing");
    fixtures
}

impl Fixture {
    fn frames(&self) -> Option<Vec<u8>> {
        Some(STANDARD.decode(self.content["frames"].as_str()?).unwrap())
    }

    fn snapshot(&self, what: &str, text: &str) {
        insta::with_settings!({
            snapshot_path => "../../fixtures/bedrock_converse",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(format!("{}.{what}", self.name), text);
        });
    }
}

fn call_form(dialect: Dialect, model: &str, drop_unsupported: bool) -> CallForm<'_> {
    CallForm {
        dialect,
        model: Some(model),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    }
}

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

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A body without what says nothing, and with its schema as JSON.
fn bare(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            if let Some(Value::String(schema)) = members.get("schema") {
                let schema = serde_json::from_str(schema).unwrap();
                members.insert("schema".to_owned(), schema);
            }
            // A tool's JSON is text for the model.
            if let Some(told) = members.remove("json").filter(|_| members.is_empty()) {
                return json!({"text": told.to_string()});
            }
            // Two names for Claude's.
            if let Some(thinking) = members.remove("reasoning_config") {
                let is_thinking = thinking.is_object();
                let name = if is_thinking {
                    "thinking"
                } else {
                    "reasoning_config"
                };
                members.insert(name.to_owned(), thinking);
            }
            members.retain(|name, value| {
                let empty = *value == json!({}) && name.ends_with("Config");
                !(value.is_null() || empty || name == "system" && *value == json!([]))
            });
            let members = members.iter_mut();
            members.for_each(|(_, value)| *value = bare(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = bare(item.take())),
        _ => {}
    }
    value
}

#[test]
fn calls_mean_the_same_when_written_again() {
    for fixture in fixtures() {
        let original = &fixture.content["call"];
        let call = read_call(CONVERSE, original.to_string().as_bytes()).unwrap();
        let model = fixture.content["model"].as_str().unwrap();
        let written = write_call(&call, &call_form(CONVERSE, model, false)).unwrap();
        assert_eq!(
            bare(parse(&written.body)),
            bare(original.clone()),
            "{}",
            fixture.name
        );
    }
}

#[test]
fn recordings_in_the_clients_dialects() {
    for fixture in fixtures() {
        for (dialect, model) in CLIENTS {
            let call = fixture.content["call"].to_string();
            let call = read_call(CONVERSE, call.as_bytes()).unwrap();
            let written = write_call(&call, &call_form(dialect, model, true)).unwrap();
            let mut text = format!(
                "# Left out\n{:?}\n\n# Call\n{:#}",
                written.dropped,
                parse(&written.body)
            );
            if let Some(answer) = fixture.content.get("answer") {
                let answer = answer.to_string();
                let answer = read_answer(CONVERSE, Task::Chat, answer.as_bytes()).unwrap();
                let written = parse(&write_answer(&answer, &answer_form(dialect)));
                text += &format!("\n\n# Answer\n{written:#}");
            }
            if let Some(frames) = fixture.frames() {
                let (told, finish) = read_stream(&[&frames]).unwrap();
                assert_eq!(finish, Finish::Complete, "{}", fixture.name);
                let mut writer = StreamWriter::new(&answer_form(dialect));
                let mut written = Vec::new();
                told.iter()
                    .for_each(|event| writer.write(event, &mut written));
                text += &format!("\n\n# Stream\n{}", String::from_utf8(written).unwrap());
            }
            fixture.snapshot(dialect.as_str(), text.trim_end());
        }
    }
}

// === streams ===

fn read_stream(chunks: &[&[u8]]) -> Result<(Vec<StreamEvent>, Finish), ReadError> {
    let mut splitter = Frames::new(Framing::AwsFrames, 1 << 20);
    let mut reader = StreamReader::new(CONVERSE, StreamEnd::Mark);
    let mut told = Vec::new();
    for chunk in chunks {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = splitter.next().unwrap() {
            reader.read(&event, &mut told)?;
        }
    }
    assert_eq!(splitter.finish(), None);
    let finish = reader.finish(&mut told);
    Ok((told, finish))
}

#[test]
fn a_stream_cut_anywhere_tells_the_same_or_no_end() {
    for fixture in fixtures() {
        let Some(frames) = fixture.frames() else {
            continue;
        };
        let whole = read_stream(&[&frames]).unwrap();
        for cut in 0..frames.len() {
            let (first, second) = frames.split_at(cut);
            assert_eq!(read_stream(&[first, second]).unwrap(), whole, "{cut}");
            let (told, finish) = read_stream(&[first]).unwrap();
            assert_eq!(finish, Finish::Cut, "{} {cut}", fixture.name);
            assert!(!told.contains(&StreamEvent::End));
        }
    }
}

fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":message-type", "event"), (":event-type", name)];
    frame(&headers, payload.to_string().as_bytes())
}

#[test]
fn what_is_thrown_ends_the_stream_as_an_error() {
    for (thrown, kind, status) in [
        ("throttlingException", ErrorKind::RateLimited, 429),
        ("validationException", ErrorKind::InvalidRequest, 400),
        ("serviceUnavailableException", ErrorKind::Overloaded, 503),
        ("modelStreamErrorException", ErrorKind::Server, 500),
        ("whatComesLaterException", ErrorKind::Server, 500),
    ] {
        let exception = frame(
            &[(":message-type", "exception"), (":exception-type", thrown)],
            br#"{"message": "no luck"}"#,
        );
        let start = event("messageStart", &json!({"role": "assistant"}));
        let end = event("metadata", &json!({"usage": {}}));
        let (told, finish) = read_stream(&[&start, &exception, &end]).unwrap();
        let Some(StreamEvent::Error(error)) = told.last() else {
            panic!("{told:?}");
        };
        assert_eq!((error.kind, error.status), (kind, status));
        assert_eq!(error.message, "no luck");
        assert_eq!(error.code.as_deref(), Some(thrown));
        assert_eq!((told.len(), finish), (2, Finish::Complete));
    }
}

#[test]
fn parts_follow_the_blocks() {
    let delta = |index: u64, delta: Value| {
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}),
        )
    };
    let stop = |index: u64| event("contentBlockStop", &json!({"contentBlockIndex": index}));
    let tool = json!({"toolUse": {"toolUseId": "t", "name": "f"}});
    let frames = [
        event("messageStart", &json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        // Another kind within the block, and a block that is never said to end.
        delta(0, json!({"text": "a"})),
        event("whatComesLater", &json!({})),
        event(
            "contentBlockStart",
            &json!({"contentBlockIndex": 1, "start": tool}),
        ),
        delta(1, json!({"toolUse": {"input": "{}"}})),
        stop(1),
        event("messageStop", &json!({"stopReason": "tool_use"})),
        event(
            "metadata",
            &json!({"usage": {"inputTokens": 1, "outputTokens": 2}}),
        ),
    ];
    let (told, finish) = read_stream(&[&frames.concat()]).unwrap();
    assert_eq!(finish, Finish::Complete);
    let (choice, text) = (0, |text: &str| text.to_owned());
    let start = |part, start| StreamEvent::PartStart {
        choice,
        part,
        start,
    };
    let delta = |part, delta| StreamEvent::Delta {
        choice,
        part,
        delta,
    };
    let stop = |part| StreamEvent::PartStop { choice, part };
    let (id, name) = (text("t"), text("f"));
    assert_eq!(
        told[1..],
        [
            start(0, PartStart::Reasoning),
            delta(0, Delta::Reasoning(text("hm"))),
            delta(0, Delta::Signature(text("s"))),
            stop(0),
            start(1, PartStart::Text),
            delta(1, Delta::Text(text("a"))),
            StreamEvent::Foreign(json!({})),
            stop(1),
            start(
                2,
                PartStart::ToolCall {
                    id,
                    name,
                    kind: crate::ToolKind::Function,
                },
            ),
            delta(2, Delta::Arguments(text("{}"))),
            stop(2),
            StreamEvent::Stop {
                choice,
                stop: Stop::new(StopReason::ToolUse)
            },
            StreamEvent::Usage(Usage {
                input: Some(1),
                output: Some(2),
                ..Usage::default()
            }),
            StreamEvent::End,
        ]
    );
}

#[test]
fn a_tools_input_without_a_tool_is_refused() {
    let stray = json!({"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{}"}}});
    assert!(read_stream(&[&event("contentBlockDelta", &stray)]).is_err());
}

// === calls ===

fn write_openai(model: &str, mut call: Value) -> Result<Value, Unsupported> {
    if call.get("messages").is_none() {
        call["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    let call = read_call(Dialect::OpenaiChat, call.to_string().as_bytes()).unwrap();
    let written = write_call(&call, &call_form(CONVERSE, model, false))?;
    Ok(parse(&written.body))
}

fn refused(model: &str, call: Value) -> Vec<String> {
    write_openai(model, call).unwrap_err().fields
}

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";

#[test]
fn each_model_is_told_in_its_own_words_how_much_to_reason() {
    let effort = |word: &str| json!({"reasoning_effort": word});
    for (model, call, expected) in [
        (
            NOVA,
            effort("low"),
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ),
        (
            NOVA,
            effort("none"),
            json!({"reasoningConfig": {"type": "disabled"}}),
        ),
        (
            "openai.gpt-oss-120b-1:0",
            effort("high"),
            json!({"reasoning_effort": "high"}),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            effort("medium"),
            json!({"reasoning_config": "medium"}),
        ),
        (
            CLAUDE,
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ),
        (
            NOVA,
            json!({"top_k": 5}),
            json!({"inferenceConfig": {"topK": 5}}),
        ),
        (CLAUDE, json!({"top_k": 5}), json!({"top_k": 5})),
    ] {
        let written = write_openai(model, call).unwrap();
        assert_eq!(written["additionalModelRequestFields"], expected, "{model}");
    }
    let newer = write_openai("anthropic.claude-opus-4-8", effort("xhigh")).unwrap();
    assert_eq!(newer["outputConfig"], json!({"effort": "high"}));
}

#[test]
fn speakers_take_turns() {
    let call = json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call|1", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
        ]},
        {"role": "tool", "tool_call_id": "call|1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": " "},
        {"role": "user", "content": "c"},
    ]});
    let written = write_openai(CLAUDE, call).unwrap();
    let id = "call1_9695bc995e60283a";
    assert_eq!(
        written["messages"],
        json!([
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": id, "name": "f", "input": {}}},
                {"toolUse": {"toolUseId": "t2", "name": "f", "input": {"x": 1}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": id, "content": [{"text": "one"}]}},
                {"toolResult": {"toolUseId": "t2", "content": []}},
                {"text": "c"},
            ]},
        ])
    );
    // None of the tools is offered any more, and Bedrock insists on them.
    let tools = written["toolConfig"]["tools"].as_array().unwrap();
    assert_eq!(
        (tools.len(), &tools[0]["toolSpec"]["name"]),
        (1, &json!("f"))
    );
}

#[test]
fn what_converse_cannot_say_is_refused() {
    let image = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        json!({"messages": [{"role": "user", "content": [part]}]})
    };
    let field = ["messages.content.image_url"];
    assert_eq!(refused(CLAUDE, image("https://example.com/a.png")), field);
    assert_eq!(refused(CLAUDE, image("data:image/tiff;base64,AAAA")), field);
    let written = write_openai(CLAUDE, image("s3://bucket/a.webp")).unwrap();
    let expected =
        json!({"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/a.webp"}}});
    assert_eq!(written["messages"][0]["content"][0]["image"], expected);
}

#[test]
fn a_choice_of_no_tool_leaves_the_tools_out() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let call = json!({"tools": [tool], "tool_choice": "none"});
    assert!(
        write_openai(CLAUDE, call.clone())
            .unwrap()
            .get("toolConfig")
            .is_none()
    );
    let mut later = call;
    later["messages"] = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "t", "content": "b"},
    ]);
    assert_eq!(refused(CLAUDE, later), ["tool_choice"]);
}

#[test]
fn one_tool_at_a_time_is_asked_of_models_that_can_be_held_to_it() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let call = json!({"tools": [tool], "parallel_tool_calls": false});
    let written = write_openai(CLAUDE, call.clone()).unwrap();
    assert_eq!(
        written["additionalModelRequestFields"],
        json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}})
    );
    assert_eq!(refused(NOVA, call), ["parallel_tool_calls"]);
}

#[test]
fn a_cache_is_marked_where_the_model_has_one() {
    let system =
        json!([{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    let call = json!({"model": "m", "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "a"}]});
    let write = |model: &str| {
        let call = read_call(Dialect::AnthropicMessages, call.to_string().as_bytes()).unwrap();
        write_call(&call, &call_form(CONVERSE, model, false)).unwrap()
    };
    let written = write(CLAUDE);
    assert_eq!(
        parse(&written.body)["system"],
        json!([{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    );
    let written = write("meta.llama3-2-1b-instruct-v1:0");
    assert_eq!(written.dropped, ["cache_control"]);
    assert_eq!(parse(&written.body)["system"], json!([{"text": "s"}]));
}

#[test]
fn documents_have_names_of_their_own() {
    let document = |name: Option<&str>| json!({"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,AAAA"}});
    let content = [
        document(Some("Jahres_bericht  2025.pdf")),
        document(Some("jahr/ä.pdf")),
        document(None),
        document(None),
    ];
    let written = write_openai(
        CLAUDE,
        json!({"messages": [{"role": "user", "content": content}]}),
    )
    .unwrap();
    let blocks = written["messages"][0]["content"].as_array().unwrap();
    let names: Vec<&str> = blocks
        .iter()
        .map(|block| block["document"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["Jahres-bericht 2025", "jahr--", "document", "document 2"]
    );
}

/// A conversation that began with another provider goes on here; Bedrock would refuse a proof that none of its models wrote.
#[test]
fn no_other_providers_proof_is_sent() {
    for (thinking, is_sent) in [
        (
            json!({"type": "thinking", "thinking": "t", "signature": "claudes"}),
            true,
        ),
        (
            json!({"type": "thinking", "thinking": "t", "signature": "gemini:x"}),
            false,
        ),
        (
            json!({"type": "thinking", "thinking": "t", "signature": "tollgate:responses:x"}),
            false,
        ),
        (
            json!({"type": "redacted_thinking", "data": "claudes"}),
            true,
        ),
        (
            json!({"type": "redacted_thinking", "data": "gemini:x"}),
            false,
        ),
    ] {
        let call = json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [thinking, {"type": "text", "text": "yes"}]},
            {"role": "user", "content": "go on"},
        ]});
        let call = read_call(Dialect::AnthropicMessages, call.to_string().as_bytes()).unwrap();
        let written = write_call(&call, &call_form(CONVERSE, CLAUDE, false)).unwrap();
        let sent = parse(&written.body);
        let blocks = sent["messages"][1]["content"].as_array().unwrap();
        let has_reasoning = blocks
            .iter()
            .any(|block| block.get("reasoningContent").is_some());
        assert_eq!(has_reasoning, is_sent, "{sent}");
        assert_eq!(written.dropped.is_empty(), is_sent);
    }
}
