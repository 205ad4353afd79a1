//! Streams in AWS's binary frames, as a scripted provider sends them. They are written here anew, so that the program's reader is not
//! held against a writer of its own.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// A frame with headers of text.
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        let length = u8::try_from(name.len()).expect("a short name");
        written.push(length);
        written.extend_from_slice(name.as_bytes());
        // A text.
        written.push(7);
        let length = u16::try_from(value.len()).expect("a short value");
        written.extend_from_slice(&length.to_be_bytes());
        written.extend_from_slice(value.as_bytes());
    }
    let long = |length: usize| u32::try_from(length).expect("a short frame").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&long(written.len() + payload.len() + 16));
    frame.extend_from_slice(&long(written.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&written);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// A chunk of Bedrock's `InvokeModelWithResponseStream`, with an event of the model's own.
pub fn chunk(event: &str) -> Vec<u8> {
    let payload = json!({"bytes": STANDARD.encode(event), "p": "abc"});
    let headers = [
        (":event-type", "chunk"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.to_string().as_bytes())
}

/// What Bedrock throws within a stream.
pub fn exception(name: &str, message: &str) -> Vec<u8> {
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    let payload = json!({"message": message});
    frame(&headers, payload.to_string().as_bytes())
}
