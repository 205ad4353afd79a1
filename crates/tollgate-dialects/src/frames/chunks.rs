//! The chunks of `InvokeModelWithResponseStream` with a model of Anthropic's: AWS's frames, each with an event in base64
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html>, read 2026-11).
//!
//! They become the server-sent events that Anthropic's own service would have sent, byte for byte what the chunk holds; what is thrown
//! becomes its error event. So readers, watches and clients of Anthropic's language take them as they are, and nothing else knows of chunks.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use super::{
    FrameError,
    aws::{AwsSplitter, EXCEPTION},
};
use crate::{SseEvent, anthropic_messages::error_body, bedrock_converse::read_exception};

/// The name of the frames that hold events; others mean nothing here.
const CHUNK: &[u8] = b"chunk";

/// Finds the events in a stream.
#[derive(Debug)]
pub(super) struct ChunkSplitter {
    frames: AwsSplitter,
    /// What was found wrong with a chunk, so that every later call finds the same.
    damage: Option<FrameError>,
}

/// What a frame holds, beside padding.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: Cow<'a, str>,
}

/// What is looked at in an event.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

impl ChunkSplitter {
    pub(super) fn new(event_bytes_max: usize) -> Self {
        Self {
            frames: AwsSplitter::new(event_bytes_max),
            damage: None,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.frames.push(chunk);
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Option<SseEvent>, FrameError> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        while let Some(frame) = self.frames.next()? {
            if let Some(thrown) = frame.name.strip_prefix(EXCEPTION) {
                let error = read_exception(thrown, &frame.data);
                return Ok(Some(event("error", &error_body(&error))));
            }
            if frame.name == CHUNK {
                let taken = take_out(&frame.data);
                return taken
                    .inspect_err(|damage| self.damage = Some(*damage))
                    .map(Some);
            }
        }
        Ok(None)
    }

    /// A piece of a frame is no event.
    pub(super) fn finish(&mut self) -> Option<SseEvent> {
        self.frames.finish()
    }
}

/// Takes an event out of its chunk.
fn take_out(chunk: &[u8]) -> Result<SseEvent, FrameError> {
    let held = serde_json::from_slice::<Chunk<'_>>(chunk).ok();
    let data = held.and_then(|held| STANDARD.decode(&*held.bytes).ok());
    let data = data.ok_or(FrameError::Damaged("its chunk holds no event"))?;
    let named = serde_json::from_slice::<Named<'_>>(&data);
    let name = named.map(|named| named.kind).unwrap_or_default();
    Ok(event(&name, &data))
}

/// The event as Anthropic's own service would have sent it.
fn event(name: &str, data: &[u8]) -> SseEvent {
    let is_word = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'_';
    let name = if name.bytes().all(is_word) { name } else { "" };
    let mut raw = Vec::with_capacity(name.len() + data.len() + 24);
    if !name.is_empty() {
        raw.extend_from_slice(b"event: ");
        raw.extend_from_slice(name.as_bytes());
        raw.push(b'\n');
    }
    // A line of an event cannot hold more than a line.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    raw.push(b'\n');
    SseEvent {
        raw: raw.into(),
        name: Bytes::copy_from_slice(name.as_bytes()),
        data: Bytes::copy_from_slice(data),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        super::aws::tests::{event as named, frame},
        *,
    };

    fn chunk(event: &str) -> Vec<u8> {
        named(
            "chunk",
            &json!({"bytes": STANDARD.encode(event), "p": "abcd"}).to_string(),
        )
    }

    fn told(stream: &[u8]) -> Result<String, FrameError> {
        let mut splitter = ChunkSplitter::new(1000);
        let mut told = String::new();
        for piece in stream.chunks(5) {
            splitter.push(piece);
            while let Some(event) = splitter.next()? {
                told += std::str::from_utf8(&event.raw).unwrap();
            }
        }
        assert_eq!(splitter.finish(), None);
        Ok(told)
    }

    /// A frame as it was recorded from Bedrock, so that this does not rest on our own writer alone.
    const RECORDED: &str = "AAAA4QAAAEuRmKkeCzpldmVudC10eXBlBwAFY2h1bmsNOmNvbnRlbnQtdHlwZQcAEGFwcGxpY2F0aW9uL2pzb24NOm1lc3NhZ2UtdHlwZQcABWV2ZW50eyJieXRlcyI6ImV5SjBlWEJsSWpvaVkyOXVkR1Z1ZEY5aWJHOWphMTl6ZEdGeWRDSXNJbWx1WkdWNElqb3dMQ0pqYjI1MFpXNTBYMkpzYjJOcklqcDdJblI1Y0dVaU9pSjBaWGgwSWl3aWRHVjRkQ0k2SWlKOWZRPT0iLCJwIjoiYWJjIn2qvQkn";

    #[test]
    fn a_recorded_chunk_is_an_event() {
        let bytes = STANDARD.decode(RECORDED).unwrap();
        assert_eq!(
            told(&bytes).unwrap(),
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        );
    }

    #[test]
    fn events_keep_their_bytes() {
        let event = r#"{ "type":"message_stop", "amazon-bedrock-invocationMetrics":{"inputTokenCount":1.50} }"#;
        let stream = [named("later", "{}"), chunk(event)].concat();
        assert_eq!(
            told(&stream).unwrap(),
            format!("event: message_stop\ndata: {event}\n\n")
        );
    }

    /// Nothing that a chunk holds can end its event before its time or name another.
    #[test]
    fn an_event_is_one_event() {
        assert_eq!(
            told(&chunk("{\"type\":\"ping\",\n\"a\":1}")).unwrap(),
            "event: ping\ndata: {\"type\":\"ping\",\ndata: \"a\":1}\n\n"
        );
        assert_eq!(
            told(&chunk(r#"{"type":"a\n\nevent: b"}"#)).unwrap(),
            "data: {\"type\":\"a\\n\\nevent: b\"}\n\n"
        );
        assert_eq!(
            told(&chunk("x\r\ry")).unwrap(),
            "data: x\ndata: \ndata: y\n\n"
        );
    }

    #[test]
    fn what_is_thrown_is_an_error_of_anthropics() {
        for (thrown, kind) in [
            ("throttlingException", "rate_limit_error"),
            ("validationException", "invalid_request_error"),
            ("serviceUnavailableException", "overloaded_error"),
            ("modelStreamErrorException", "api_error"),
        ] {
            let headers = [(":message-type", "exception"), (":exception-type", thrown)];
            let told = told(&frame(&headers, br#"{"message":"no"}"#)).unwrap();
            let data = told.strip_prefix("event: error\ndata: ").unwrap();
            let body: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(
                body,
                json!({"type": "error", "error": {"type": kind, "message": "no", "code": thrown}})
            );
        }
    }

    #[test]
    fn a_chunk_without_an_event_is_damaged_for_ever() {
        for payload in ["{}", "[]", "", r#"{"bytes":7}"#, r#"{"bytes":"%"}"#] {
            let mut splitter = ChunkSplitter::new(1000);
            splitter.push(&[named("chunk", payload), chunk("{}")].concat());
            assert!(splitter.next().is_err(), "{payload}");
            assert!(splitter.next().is_err(), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn what_a_chunk_holds_is_read_as_one_event(text in "[ -~\n\r]{0,40}") {
            let raw = told(&chunk(&text)).unwrap();
            let mut splitter = crate::SseSplitter::new(1000);
            splitter.push(Bytes::from(raw));
            let event = splitter.next().unwrap().unwrap();
            let lines = text.replace('\r', "\n");
            prop_assert_eq!(&event.data[..], lines.as_bytes());
            prop_assert_eq!(splitter.next().unwrap(), None);
            prop_assert_eq!(splitter.finish(), None);
        }
    }
}
