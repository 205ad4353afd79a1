//! What a translation costs on one core, and what passing through costs, beside what they may cost. Run by `cargo xtask bench`.
//!
//! Each figure is the least of several rounds, which is what the code needs; how busy the machine is makes the others longer.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "a measurement of real time, for people to read"
)]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_dialects::{
    AnswerForm, CallForm, Edits, Frames, Head, HeadLimits, ModelEdit, SseEvent, StreamReader,
    StreamWriter, Watch, glance, read_answer, read_call, write_answer, write_call,
};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Task};

const ROUNDS: usize = 30;
const PASSES: u32 = 300;

/// Pairs that are measured: the client's dialect and the provider's.
const PAIRS: &[(Dialect, Dialect)] = &[
    (Dialect::AnthropicMessages, Dialect::OpenaiChat),
    (Dialect::OpenaiChat, Dialect::AnthropicMessages),
];

/// Microseconds that a 2 KB call and its 1 KB answer may take.
const CALL_MAX: f64 = 40.0;

/// Microseconds that a streamed event may take.
const EVENT_MAX: f64 = 5.0;

fn main() {
    for (client, provider) in PAIRS {
        let name = format!("{} to {}", client.as_str(), provider.as_str());
        report(
            &format!("{name}: call and answer"),
            translated(*client, *provider),
            CALL_MAX,
        );
        report(
            &format!("{name}: an event"),
            translated_event(*client, *provider),
            EVENT_MAX,
        );
    }
    for (dialect, _) in PAIRS {
        let name = dialect.as_str();
        report(
            &format!("{name} passing through: call and answer"),
            passed(*dialect),
            CALL_MAX / 4.0,
        );
        report(
            &format!("{name} passing through: an event"),
            passed_event(*dialect),
            EVENT_MAX / 4.0,
        );
    }
}

fn report(what: &str, microseconds: f64, most: f64) {
    let verdict = if microseconds <= most {
        ""
    } else {
        "  TOO SLOW"
    };
    println!("{what:64} {microseconds:8.2} us (at most {most} us){verdict}");
}

/// Microseconds of one run, the least of several rounds.
fn least(mut run: impl FnMut()) -> f64 {
    let round = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..PASSES).for_each(|_| run());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(PASSES)
    };
    (0..ROUNDS)
        .map(|_| round(&mut run))
        .fold(f64::INFINITY, f64::min)
}

fn translated(client: Dialect, provider: Dialect) -> f64 {
    let (call, answer) = (call(client), answer(provider));
    least(|| {
        let read = read_call(client, &call).expect("a call");
        black_box(write_call(&read, &call_form(provider)).expect("it can be said"));
        let read = read_answer(provider, Task::Chat, &answer).expect("an answer");
        black_box(write_answer(&read, &answer_form(client)));
    })
}

fn passed(dialect: Dialect) -> f64 {
    let (call, answer) = (call(dialect), answer(dialect));
    let limits = HeadLimits { depth_max: 64 };
    let edits = Edits {
        model: ModelEdit::Set("another-model"),
        defaults: &[],
        ask_usage: true,
    };
    least(|| {
        let head = Head::scan(dialect, &call, limits).expect("a call");
        black_box(edits.apply(&head, &call));
        black_box(glance(dialect, Task::Chat, &answer).expect("an answer"));
    })
}

fn translated_event(client: Dialect, provider: Dialect) -> f64 {
    let stream = stream(provider);
    let count = events(provider, &stream).len();
    let mut out = Vec::new();
    let whole = least(|| {
        let mut reader = StreamReader::new(provider, StreamEnd::Mark);
        let mut writer = StreamWriter::new(&answer_form(client));
        let mut told = Vec::new();
        out.clear();
        for event in events(provider, &stream) {
            reader.read(&event, &mut told).expect("an event");
            for event in told.drain(..) {
                writer.write(&event, &mut out);
            }
        }
        black_box(&out);
    });
    per_event(whole, count)
}

fn passed_event(dialect: Dialect) -> f64 {
    let stream = stream(dialect);
    let count = events(dialect, &stream).len();
    let whole = least(|| {
        let mut watch = Watch::new(dialect, StreamEnd::Mark);
        let mut said = String::new();
        for event in events(dialect, &stream) {
            black_box(watch.see(&event, &mut said));
        }
    });
    per_event(whole, count)
}

fn per_event(whole: f64, count: usize) -> f64 {
    whole / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn events(dialect: Dialect, stream: &Bytes) -> Vec<SseEvent> {
    let mut frames = Frames::new(dialect.framing(), 1 << 20);
    frames.push(stream.clone());
    std::iter::from_fn(|| frames.next().expect("short events")).collect()
}

fn call_form(dialect: Dialect) -> CallForm<'static> {
    CallForm {
        dialect,
        model: Some("model"),
        stream_usage: StreamUsage::Ask,
        chat_input: ChatInput::Messages,
        drop_unsupported: true,
    }
}

fn answer_form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "id",
        fallback_model: "model",
        created: 1,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

// === what is translated ===

/// A call of about 2 KB: a conversation and a tool.
fn call(dialect: Dialect) -> Bytes {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(8);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string", "description": "Where"}, "unit": {"enum": ["c", "f"]}}, "required": ["city"]});
    let said: Vec<Value> = (0..4)
        .map(|turn| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text}))
        .collect();
    let body = if dialect == Dialect::AnthropicMessages {
        json!({"model": "m", "max_tokens": 500, "system": "Be brief.", "messages": said, "stream": false,
            "tools": [{"name": "weather", "description": "Tells the weather", "input_schema": schema}]})
    } else {
        let mut messages = vec![json!({"role": "system", "content": "Be brief."})];
        messages.extend(said);
        json!({"model": "m", "max_tokens": 500, "messages": messages, "temperature": 0.5,
            "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells the weather", "parameters": schema}}]})
    };
    Bytes::from(body.to_string())
}

/// An answer of about 1 KB.
fn answer(dialect: Dialect) -> Bytes {
    let text = "It is sunny in Rome, with a light wind from the sea. ".repeat(12);
    let body = if dialect == Dialect::AnthropicMessages {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 300, "cache_read_input_tokens": 20, "output_tokens": 120}})
    } else {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": text, "refusal": null}}], "usage": {"prompt_tokens": 320, "completion_tokens": 120, "total_tokens": 440,
            "prompt_tokens_details": {"cached_tokens": 20}}})
    };
    Bytes::from(body.to_string())
}

/// A stream of a hundred words.
fn stream(dialect: Dialect) -> Bytes {
    let mut text = String::new();
    if dialect == Dialect::AnthropicMessages {
        let mut event = |value: Value| {
            text += &format!(
                "event: {}\ndata: {value}\n\n",
                value["type"].as_str().unwrap_or_default()
            );
        };
        event(
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": {"input_tokens": 12, "output_tokens": 1}}}),
        );
        event(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        for _ in 0..100 {
            event(
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}),
            );
        }
        event(json!({"type": "content_block_stop", "index": 0}));
        event(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 100}}),
        );
        event(json!({"type": "message_stop"}));
    } else {
        let mut chunk = |delta: Value, finish: Value| {
            let value = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "system_fingerprint": "fp", "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]});
            text += &format!("data: {value}\n\n");
        };
        chunk(json!({"role": "assistant", "content": ""}), Value::Null);
        for _ in 0..100 {
            chunk(json!({"content": "word "}), Value::Null);
        }
        chunk(json!({}), json!("stop"));
        text += "data: [DONE]\n\n";
    }
    Bytes::from(text)
}
