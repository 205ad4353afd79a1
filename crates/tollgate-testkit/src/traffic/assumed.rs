//! Requests of calls of which only the answer was recorded: the shortest that it can be an answer to.

use serde_json::{Value, json};

use crate::recordings::Recording;

/// The recording, with a request where it has none and the endpoint says what one would be.
pub(super) fn with_request(mut recording: Recording) -> Recording {
    if recording.request_body_kind == "none"
        && let Some(request) = request(&recording)
    {
        recording.request_body_kind = "json".to_owned();
        recording.request_body = request;
    }
    recording
}

fn request(recording: &Recording) -> Option<Value> {
    let answer: Value = serde_json::from_slice(&recording.response_bytes()).unwrap_or_default();
    let texts = |list: &str| vec!["Hello"; answer[list].as_array().map_or(1, Vec::len)];
    let stream = recording.response_body_kind == "sse";
    let body = match (recording.endpoint.as_str(), recording.provider.as_str()) {
        ("chat", _) => {
            json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": stream})
        }
        ("completions", _) => json!({"model": "m", "prompt": "Hello", "stream": stream}),
        ("embeddings", _) => json!({"model": "m", "input": texts("data")}),
        ("rerank", "voyage") => json!({"model": "m", "query": "Hi", "documents": texts("data")}),
        ("rerank", _) => json!({"model": "m", "query": "Hi", "documents": texts("results")}),
        ("generateContent" | "streamGenerateContent", _) => {
            json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]})
        }
        ("predict", "vertex") if !answer["predictions"][0]["embeddings"].is_null() => {
            let instances = texts("predictions").into_iter();
            let instances: Vec<Value> = instances.map(|text| json!({"content": text})).collect();
            json!({"instances": instances})
        }
        _ => return None,
    };
    Some(body)
}
