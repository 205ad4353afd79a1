//! What is answered: made once for each length that is asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

/// Lengths of answers that are remembered.
const LENGTHS_MAX: usize = 64;

/// Numbers of a vector.
const DIMENSIONS: usize = 256;

/// Tokens of an answer at most.
const TOKENS_MAX: usize = 100_000;

/// How answers are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Before the first byte.
    pub latency: Duration,
    /// Up to so much more, by chance.
    pub jitter: Duration,
    /// Tokens of an answer, each an event of a stream.
    pub tokens: usize,
    /// Events a second of a stream; 0 for as fast as they go.
    pub rate: u32,
    /// The status; 200 for an answer.
    pub status: u16,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            tokens: 20,
            rate: 0,
            status: 200,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Chat,
    ChatStream,
    Messages,
    MessagesStream,
    Embeddings,
}

impl Asked {
    /// By the path, and whether a stream is asked for.
    pub(crate) fn of(path: &str, streams: bool) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        match (path, streams) {
            _ if path.ends_with("/embeddings") => Some(Self::Embeddings),
            _ if path.ends_with("/chat/completions") => Some(if streams {
                Self::ChatStream
            } else {
                Self::Chat
            }),
            _ if path.ends_with("/messages") => Some(if streams {
                Self::MessagesStream
            } else {
                Self::Messages
            }),
            _ => None,
        }
    }
}

/// An answer as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Made {
    /// The head, and of a whole answer the body, too.
    pub(crate) head: Vec<u8>,
    /// The events of a stream, each a chunk; the last one ends the body.
    pub(crate) events: Vec<Vec<u8>>,
    /// All of them together.
    pub(crate) all_events: Vec<u8>,
}

/// Answers by what is asked for and their length.
#[derive(Debug)]
pub(crate) struct Answers {
    plan: Plan,
    made: Mutex<HashMap<(Asked, usize), Arc<Made>>>,
}

impl Answers {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            made: Mutex::default(),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    pub(crate) fn of(&self, asked: Asked, tokens: usize) -> Arc<Made> {
        let tokens = tokens.min(TOKENS_MAX);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= LENGTHS_MAX {
            made.clear();
        }
        let answer = made
            .entry((asked, tokens))
            .or_insert_with(|| Arc::new(make(asked, tokens)));
        Arc::clone(answer)
    }
}

fn make(asked: Asked, tokens: usize) -> Made {
    match asked {
        Asked::Chat => whole(200, &chat(tokens)),
        Asked::Messages => whole(200, &message(tokens)),
        Asked::Embeddings => whole(200, &embedding()),
        Asked::ChatStream => stream(&chat_events(tokens)),
        Asked::MessagesStream => stream(&message_events(tokens)),
    }
}

/// A whole answer.
pub(crate) fn whole(status: u16, body: &Value) -> Made {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Mock\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Made {
        head: head.into_bytes(),
        events: Vec::new(),
        all_events: Vec::new(),
    }
}

fn stream(events: &[String]) -> Made {
    let chunk = |event: &String| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
    let mut events: Vec<Vec<u8>> = events.iter().map(chunk).collect();
    if let Some(last) = events.last_mut() {
        last.extend_from_slice(b"0\r\n\r\n");
    }
    Made {
        head: b"HTTP/1.1 200 Mock\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
        all_events: events.concat(),
        events,
    }
}

fn words(tokens: usize) -> String {
    "word ".repeat(tokens)
}

fn chat(tokens: usize) -> Value {
    json!({
        "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": "mock",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words(tokens)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens},
    })
}

fn message(tokens: usize) -> Value {
    json!({
        "id": "msg_mock", "type": "message", "role": "assistant", "model": "mock",
        "content": [{"type": "text", "text": words(tokens)}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": tokens},
    })
}

fn embedding() -> Value {
    let vector: Vec<f64> = (0..DIMENSIONS).map(|_| fastrand::f64()).collect();
    json!({
        "object": "list", "model": "mock", "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    })
}

fn chat_events(tokens: usize) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "mock",
            "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let word = chunk(
        choice(json!({"content": "word "}), Value::Null),
        Value::Null,
    );
    let mut events = vec![chunk(
        choice(json!({"role": "assistant", "content": ""}), Value::Null),
        Value::Null,
    )];
    events.extend(std::iter::repeat_n(word, tokens));
    events.push(chunk(choice(json!({}), json!("stop")), Value::Null));
    let usage =
        json!({"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens});
    events.push(chunk(json!([]), usage));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn message_events(tokens: usize) -> Vec<String> {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
    let mut begun = message(0);
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    let word = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}});
    let word = event("content_block_delta", word);
    let mut events = vec![
        event(
            "message_start",
            json!({"type": "message_start", "message": begun}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
    ];
    events.extend(std::iter::repeat_n(word, tokens));
    events.push(event(
        "content_block_stop",
        json!({"type": "content_block_stop", "index": 0}),
    ));
    events.push(event(
        "message_delta",
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": tokens}}),
    ));
    events.push(event("message_stop", json!({"type": "message_stop"})));
    events
}
