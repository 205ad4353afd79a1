//! Server-sent events told as a JSON array, an element an event: how Gemini streams to clients that do not ask for events.
//!
//! The array is closed only after the end of the answer, so that a stream that broke off is no JSON at all.

use bytes::Bytes;

use crate::SseSplitter;

/// Tells whole frames as the elements of an array.
#[derive(Debug)]
pub struct JsonArray {
    splitter: SseSplitter,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    Begun,
    Closed,
}

impl Default for JsonArray {
    fn default() -> Self {
        Self {
            // What comes was written here, or its length was checked.
            splitter: SseSplitter::new(usize::MAX),
            phase: Phase::Empty,
        }
    }
}

impl JsonArray {
    /// Appends what whole frames are in the array.
    pub fn push(&mut self, frames: Bytes, out: &mut Vec<u8>) {
        self.splitter.push(frames);
        while let Ok(Some(event)) = self.splitter.next() {
            let data = event.data.trim_ascii();
            // An end mark is no element.
            if data.is_empty() || data == b"[DONE]" || self.phase == Phase::Closed {
                continue;
            }
            let before: &[u8] = match self.phase {
                Phase::Empty => b"[",
                Phase::Begun | Phase::Closed => b",\r\n",
            };
            self.phase = Phase::Begun;
            out.extend_from_slice(before);
            out.extend_from_slice(data);
        }
    }

    /// Appends the end of the array, once.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        let end: &[u8] = match self.phase {
            Phase::Empty => b"[]\r\n",
            Phase::Begun => b"\r\n]\r\n",
            Phase::Closed => b"",
        };
        self.phase = Phase::Closed;
        out.extend_from_slice(end);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(frames: &[&str], close: bool) -> Option<Value> {
        let mut array = JsonArray::default();
        let mut out = Vec::new();
        for frame in frames {
            array.push(Bytes::copy_from_slice(frame.as_bytes()), &mut out);
        }
        if close {
            array.close(&mut out);
            array.close(&mut out);
        }
        serde_json::from_slice(&out).ok()
    }

    #[test]
    fn every_event_is_an_element_and_a_broken_stream_is_no_json() {
        let frames = [
            "data: {\"a\":1}\r\n\r\n: wait\n\ndata: 2\n\n",
            "data: \"x\"\n\ndata: [DONE]\n\n",
        ];
        assert_eq!(told(&frames, true), Some(json!([{"a": 1}, 2, "x"])));
        assert_eq!(told(&frames, false), None);
        assert_eq!(told(&[], true), Some(json!([])));
    }
}
