//! [`StreamEvent`]s in, events out. Our parts may overlap, Anthropic's blocks may not: a part that begins ends the one before.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tollgate_domain::{ErrorShape, Usage};

use super::super::wire::{message_id, stop_word, write_usage};
use crate::{
    AnswerForm, Delta, ErrorKind, ErrorReport, PartStart, ProviderError, Stop, StopReason,
    StreamEvent, translate::WriteEvents,
};

/// Writes the events of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    fallback_id: String,
    fallback_model: String,
    started: bool,
    over: bool,
    /// How many blocks have begun.
    blocks: u32,
    open: Option<Open>,
    usage: Usage,
    stop: Option<Stop>,
    has_tool_call: bool,
    has_refusal: bool,
}

/// The part that is going on.
#[derive(Clone, Copy, Debug)]
struct Open {
    part: u32,
    /// The number of its block; `None` where nothing in this dialect is like it.
    block: Option<u32>,
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
    delta: DeltaOut<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaOut<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citation { citation: &'a Value },
    #[serde(untagged)]
    Foreign(&'a Value),
}

// === impl StreamWriter ===

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start {
                id, model, usage, ..
            } => self.start(id, model, usage.as_ref(), out),
            StreamEvent::PartStart {
                choice: 0,
                part,
                start,
            } => self.part_start(*part, start, out),
            StreamEvent::Delta {
                choice: 0,
                part,
                delta,
            } => self.delta(*part, delta, out),
            StreamEvent::PartStop { choice: 0, part } => {
                if self.open.is_some_and(|open| open.part == *part) {
                    self.close(out);
                }
            }
            StreamEvent::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            StreamEvent::Usage(usage) => self.usage.update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            StreamEvent::Foreign(value) if value["type"] == "ping" => frame("ping", value, out),
            // This dialect has one choice, and no log-probabilities.
            StreamEvent::PartStart { .. }
            | StreamEvent::Delta { .. }
            | StreamEvent::PartStop { .. }
            | StreamEvent::Stop { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Foreign(_) => {}
        }
    }
}

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            fallback_id: form.fallback_id.to_owned(),
            fallback_model: form.fallback_model.to_owned(),
            started: false,
            over: false,
            blocks: 0,
            open: None,
            usage: Usage::default(),
            stop: None,
            has_tool_call: false,
            has_refusal: false,
        }
    }

    fn start(&mut self, id: &str, model: &str, usage: Option<&Usage>, out: &mut Vec<u8>) {
        self.started = true;
        self.usage.update(&usage.copied().unwrap_or_default());
        let model = match model {
            "" => &self.fallback_model,
            model => model,
        };
        let message = json!({
            "id": message_id(id, &self.fallback_id),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": write_usage(&self.usage),
        });
        let event = json!({"type": "message_start", "message": message});
        frame("message_start", &event, out);
    }

    fn part_start(&mut self, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        self.close(out);
        let block = match start {
            PartStart::Text => json!({"type": "text", "text": ""}),
            PartStart::Refusal => {
                self.has_refusal = true;
                json!({"type": "text", "text": ""})
            }
            PartStart::Reasoning => json!({"type": "thinking", "thinking": "", "signature": ""}),
            PartStart::RedactedReasoning { data } => {
                json!({"type": "redacted_thinking", "data": data})
            }
            PartStart::ToolCall { id, name, .. } => {
                self.has_tool_call = true;
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
            PartStart::Foreign(block) if block["type"].is_string() => block.clone(),
            PartStart::Foreign(_) => {
                self.open = Some(Open { part, block: None });
                return;
            }
        };
        let index = self.blocks;
        self.blocks += 1;
        self.open = Some(Open {
            part,
            block: Some(index),
        });
        let event = json!({"type": "content_block_start", "index": index, "content_block": block});
        frame("content_block_start", &event, out);
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let index = match self.open {
            Some(open) if open.part == part => match open.block {
                Some(index) => index,
                None => return,
            },
            // Its block is closed, and cannot be opened again. No provider was seen to take turns like this.
            _ => return self.error(&interleaved(), out),
        };
        let delta = match delta {
            Delta::Text(text) => DeltaOut::Text { text },
            Delta::Reasoning(thinking) => DeltaOut::Thinking { thinking },
            Delta::Signature(signature) => DeltaOut::Signature { signature },
            Delta::Arguments(partial_json) => DeltaOut::Input { partial_json },
            Delta::Citation(citation) => DeltaOut::Citation { citation },
            Delta::Foreign(delta) => DeltaOut::Foreign(delta),
        };
        let kind = "content_block_delta";
        frame(kind, &BlockDelta { kind, index, delta }, out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(Open {
            block: Some(index), ..
        }) = self.open.take()
        {
            let event = json!({"type": "content_block_stop", "index": index});
            frame("content_block_stop", &event, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        // A stream that passed through until now has told everything but its end mark.
        if self.started {
            self.close(out);
            let sequence = self.stop.as_ref().and_then(|stop| stop.sequence.as_ref());
            let event = json!({
                "type": "message_delta",
                "delta": {"stop_reason": self.stop_word(), "stop_sequence": sequence},
                "usage": write_usage(&self.usage),
            });
            frame("message_delta", &event, out);
        }
        frame("message_stop", &json!({"type": "message_stop"}), out);
        self.over = true;
    }

    /// The stop reason. Clients act on it, so that where the provider's says less than the content, the content tells.
    fn stop_word(&self) -> &'static str {
        match self.stop.as_ref().map(|stop| &stop.reason) {
            None | Some(StopReason::EndTurn | StopReason::Other(_)) if self.has_tool_call => {
                "tool_use"
            }
            None | Some(StopReason::EndTurn | StopReason::Other(_)) if self.has_refusal => {
                "refusal"
            }
            None => "end_turn",
            Some(reason) => stop_word(reason),
        }
    }

    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        out.extend_from_slice(&error_body(error));
        out.extend_from_slice(b"\n\n");
        self.over = true;
    }
}

/// What an error event holds.
pub(crate) fn error_body(error: &ProviderError) -> Bytes {
    let report = ErrorReport {
        status: error.status,
        kind: error.kind,
        code: error.code.as_deref(),
        message: &error.message,
        param: None,
        request_id: "",
    };
    crate::error::write(ErrorShape::Anthropic, &report)
}

fn frame(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    serde_json::to_writer(&mut *out, data).expect("an event is JSON, and memory takes it");
    out.extend_from_slice(b"\n\n");
}

fn interleaved() -> ProviderError {
    let message =
        "the provider sends parts of its answer in turns, which this dialect cannot express";
    ProviderError {
        status: 502,
        kind: ErrorKind::Server,
        message: message.to_owned(),
        code: Some("interleaved_parts".to_owned()),
        param: None,
        retry_after: None,
    }
}
