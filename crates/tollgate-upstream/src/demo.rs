//! The demo provider: answers in OpenAI's language from inside the gateway, without key and network.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

/// The pace of a streamed answer.
const PAUSE_PER_WORD: Duration = Duration::from_millis(15);

/// Length of the demo's vectors.
const DIMENSIONS: usize = 8;

/// The body of a demo answer: pieces, and the pause before each.
#[derive(Debug)]
pub(crate) struct DemoBody {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl DemoBody {
    fn whole(value: &Value) -> Self {
        Self {
            pieces: VecDeque::from([Bytes::from(value.to_string())]),
            pause: Duration::ZERO,
            alarm: None,
        }
    }

    fn stream(events: impl IntoIterator<Item = Value>) -> Self {
        let mut pieces: VecDeque<Bytes> = events
            .into_iter()
            .map(|event| Bytes::from(format!("data: {event}\n\n")))
            .collect();
        pieces.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
        Self {
            pieces,
            pause: PAUSE_PER_WORD,
            alarm: None,
        }
    }

    /// The next piece, when its time has come.
    pub(crate) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.pieces.is_empty() {
            return Poll::Ready(None);
        }
        if !self.pause.is_zero() {
            let pause = self.pause;
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + pause)));
            ready!(alarm.as_mut().poll(context));
            self.alarm = None;
        }
        Poll::Ready(self.pieces.pop_front())
    }
}

/// Answers a request, told by the end of its path.
pub(crate) fn answer(path: &str, body: &[u8]) -> (StatusCode, HeaderMap, DemoBody) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        let error = json!({"error": {"message": "the body is not JSON", "type": "invalid_request_error", "param": null, "code": null}});
        return (
            StatusCode::BAD_REQUEST,
            headers("application/json"),
            DemoBody::whole(&error),
        );
    };
    let streamed = request["stream"] == true;
    let body = if path.ends_with("/embeddings") {
        DemoBody::whole(&embeddings(&request))
    } else if path.ends_with("/chat/completions") {
        chat(&request, streamed)
    } else {
        completion(&request, streamed)
    };
    let content_type = if streamed && !path.ends_with("/embeddings") {
        "text/event-stream"
    } else {
        "application/json"
    };
    (StatusCode::OK, headers(content_type), body)
}

fn headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn chat(request: &Value, streamed: bool) -> DemoBody {
    let messages = request["messages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let said = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")
        .map(|message| text(&message["content"]))
        .unwrap_or_default();
    let answer = format!("This is Tollgate's demo provider. You said: {said}");
    let heard: usize = messages
        .iter()
        .map(|message| words(&text(&message["content"])))
        .sum();
    let usage = usage(heard, words(&answer));
    let head = json!({"id": "chatcmpl-demo", "created": 0, "model": request["model"]});
    if !streamed {
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": answer, "refusal": null}, "logprobs": null, "finish_reason": "stop"});
        return DemoBody::whole(&joined(
            &head,
            json!({"object": "chat.completion", "choices": [choice], "usage": usage}),
        ));
    }
    let chunk = |delta: Value, finish: Value| {
        joined(
            &head,
            json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]}),
        )
    };
    let mut events = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    events.extend(
        answer
            .split_inclusive(' ')
            .map(|word| chunk(json!({"content": word}), Value::Null)),
    );
    events.push(chunk(json!({}), json!("stop")));
    if request["stream_options"]["include_usage"] == true {
        events.push(joined(
            &head,
            json!({"object": "chat.completion.chunk", "choices": [], "usage": usage}),
        ));
    }
    DemoBody::stream(events)
}

fn completion(request: &Value, streamed: bool) -> DemoBody {
    let prompt = text(&request["prompt"]);
    let answer = format!(" (Tollgate's demo provider has nothing to add to: {prompt})");
    let usage = usage(words(&prompt), words(&answer));
    let head = json!({"id": "cmpl-demo", "object": "text_completion", "created": 0, "model": request["model"]});
    let choice = |text: &str, finish: Value| json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish});
    if !streamed {
        return DemoBody::whole(&joined(
            &head,
            json!({"choices": [choice(&answer, json!("stop"))], "usage": usage}),
        ));
    }
    let mut events: Vec<Value> = answer
        .split_inclusive(' ')
        .map(|word| joined(&head, json!({"choices": [choice(word, Value::Null)]})))
        .collect();
    events.push(joined(
        &head,
        json!({"choices": [choice("", json!("stop"))]}),
    ));
    if request["stream_options"]["include_usage"] == true {
        events.push(joined(&head, json!({"choices": [], "usage": usage})));
    }
    DemoBody::stream(events)
}

/// Vectors that depend on nothing but the text, so that equal texts are near.
fn embeddings(request: &Value) -> Value {
    let inputs: Vec<String> = match &request["input"] {
        Value::Array(inputs) if inputs.iter().all(Value::is_string) => {
            inputs.iter().map(text).collect()
        }
        input => vec![text(input)],
    };
    let vector = |input: &String| -> Vec<f64> {
        let mut sums = [0_u32; DIMENSIONS];
        for (index, byte) in input.bytes().enumerate() {
            sums[index % DIMENSIONS] += u32::from(byte);
        }
        let length = sums
            .iter()
            .map(|sum| f64::from(*sum).powi(2))
            .sum::<f64>()
            .sqrt()
            .max(1.0);
        sums.iter().map(|sum| f64::from(*sum) / length).collect()
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(|(index, input)| json!({"object": "embedding", "index": index, "embedding": vector(input)})).collect();
    let tokens: usize = inputs.iter().map(|input| words(input)).sum();
    json!({"object": "list", "data": data, "model": request["model"], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

fn usage(input: usize, output: usize) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

/// The text of a message's content, of a prompt or of an input.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str().or(part.as_str()))
            .collect::<Vec<_>>()
            .join(" "),
        _ => String::new(),
    }
}

/// The demo counts words as tokens.
fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn joined(head: &Value, rest: Value) -> Value {
    let mut whole = head.clone();
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        whole.extend(rest);
    }
    whole
}
