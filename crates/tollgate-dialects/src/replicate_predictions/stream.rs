//! What a prediction's stream tells: `output` with a piece of text, `error`, and `done`
//! (<https://replicate.com/docs/topics/predictions/streaming>, read 2026-11). It counts no tokens.

use serde_json::Value;

use super::failure;
use crate::{
    Delta, PartStart, ReadError, SseEvent, Stop, StopReason, StreamEvent, translate::ReadEvents,
};

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    started: bool,
    in_text: bool,
    finished: bool,
}

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        match &*event.name {
            b"output" => {
                let text = std::str::from_utf8(&event.data)
                    .map_err(|error| ReadError::shape("output", error.to_string()))?;
                self.start(out);
                self.say(text, out);
            }
            b"error" => out.push(StreamEvent::Error(said(&event.data, "error"))),
            // Its reason is nothing, `canceled` or `error`.
            b"done" => {
                let done: Value = serde_json::from_slice(&event.data).unwrap_or_default();
                match done["reason"].as_str() {
                    Some(reason) if !reason.is_empty() => {
                        out.push(StreamEvent::Error(said(&event.data, reason)));
                    }
                    _ => {
                        self.start(out);
                        self.finish(out);
                        self.end(out);
                    }
                }
            }
            // What comes later; and logs.
            _ => {}
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}

impl StreamReader {
    fn start(&mut self, out: &mut Vec<StreamEvent>) {
        if !self.started {
            self.started = true;
            out.push(StreamEvent::Start {
                id: String::new(),
                model: String::new(),
                created: None,
                usage: None,
            });
        }
    }

    fn say(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        if !self.in_text {
            self.in_text = true;
            out.push(StreamEvent::PartStart {
                choice: 0,
                part: 0,
                start: PartStart::Text,
            });
        }
        out.push(StreamEvent::Delta {
            choice: 0,
            part: 0,
            delta: Delta::Text(text.to_owned()),
        });
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        if self.in_text {
            out.push(StreamEvent::PartStop { choice: 0, part: 0 });
        }
        self.finished = true;
        out.push(StreamEvent::Stop {
            choice: 0,
            stop: Stop::new(StopReason::EndTurn),
        });
    }
}

/// An error event: JSON with `detail`, or plain text.
fn said(data: &[u8], status: &str) -> crate::ProviderError {
    let detail = match serde_json::from_slice::<Value>(data) {
        Ok(value) => value.get("detail").cloned(),
        Err(_) => Some(Value::String(String::from_utf8_lossy(data).into_owned())),
    };
    failure(status, detail.as_ref())
}
