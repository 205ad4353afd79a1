//! Anthropic's streams: named events, one block open at a time.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_domain::Usage;

use super::{
    wire::{WireUsage, error_type, stop_reason, stop_word, write_usage},
    write::message_id,
};
use crate::{
    AnswerForm, Delta, ErrorKind, PartStart, ProviderError, ReadError, SseEvent, Stop, StopReason,
    StreamEvent,
};

// === reading ===

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    /// Our number of each block that was started.
    parts: HashMap<u64, u32>,
    stopped: bool,
}

impl StreamReader {
    /// Reads an event, and appends what it says.
    pub(crate) fn read(
        &mut self,
        event: &SseEvent,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if event.data.is_empty() {
            return Ok(());
        }
        let mut told: Value = serde_json::from_slice(&event.data)
            .map_err(|error| ReadError::Json(error.to_string()))?;
        let kind = told["type"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "message_start" => out.push(start(&told["message"])),
            "content_block_start" => self.block_start(&mut told, out),
            "content_block_delta" => self.block_delta(&mut told, out),
            "content_block_stop" => {
                if let Some(&part) = told["index"]
                    .as_u64()
                    .and_then(|index| self.parts.get(&index))
                {
                    out.push(StreamEvent::PartStop { choice: 0, part });
                }
            }
            "message_delta" => self.message_delta(&told, out),
            "message_stop" => out.push(StreamEvent::End),
            "error" => out.push(StreamEvent::Error(crate::error::read_in_stream(
                tollgate_domain::Dialect::AnthropicMessages,
                &event.data,
            ))),
            _ => out.push(StreamEvent::Foreign(told)),
        }
        Ok(())
    }

    /// Whether the answer has ended, for all that its end mark is still to come.
    pub(crate) fn is_finished(&self) -> bool {
        self.stopped
    }

    fn block_start(&mut self, told: &mut Value, out: &mut Vec<StreamEvent>) {
        let Some(index) = told["index"].as_u64() else {
            return;
        };
        let part = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.parts.insert(index, part);
        let block = told["content_block"].take();
        let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        let (start, first) = match block["type"].as_str().unwrap_or_default() {
            "text" => (PartStart::Text, Delta::Text(text("text"))),
            "thinking" => (PartStart::Reasoning, Delta::Reasoning(text("thinking"))),
            "tool_use" => {
                // The input comes in pieces, unless it is here already.
                let input = block["input"].as_object().filter(|input| !input.is_empty());
                let input = input
                    .map(|input| Value::Object(input.clone()).to_string())
                    .unwrap_or_default();
                (
                    PartStart::ToolCall {
                        id: text("id"),
                        name: text("name"),
                    },
                    Delta::Arguments(input),
                )
            }
            "redacted_thinking" => (
                PartStart::RedactedReasoning { data: text("data") },
                Delta::Text(String::new()),
            ),
            _ => (PartStart::Foreign(block), Delta::Text(String::new())),
        };
        out.push(StreamEvent::PartStart {
            choice: 0,
            part,
            start,
        });
        let says_something = !matches!(&first, Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text) if text.is_empty());
        if says_something {
            out.push(StreamEvent::Delta {
                choice: 0,
                part,
                delta: first,
            });
        }
    }

    fn block_delta(&self, told: &mut Value, out: &mut Vec<StreamEvent>) {
        let Some(&part) = told["index"]
            .as_u64()
            .and_then(|index| self.parts.get(&index))
        else {
            return;
        };
        let delta = told["delta"].take();
        let text = |name: &str| delta[name].as_str().unwrap_or_default().to_owned();
        let delta = match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => Delta::Text(text("text")),
            "thinking_delta" => Delta::Reasoning(text("thinking")),
            "signature_delta" => Delta::Signature(text("signature")),
            "input_json_delta" => Delta::Arguments(text("partial_json")),
            "citations_delta" => Delta::Citation(delta["citation"].clone()),
            _ => Delta::Foreign(delta),
        };
        out.push(StreamEvent::Delta {
            choice: 0,
            part,
            delta,
        });
    }

    fn message_delta(&mut self, told: &Value, out: &mut Vec<StreamEvent>) {
        if let Some(usage) = usage(&told["usage"]) {
            out.push(StreamEvent::Usage(usage));
        }
        if let Some(word) = told["delta"]["stop_reason"].as_str() {
            self.stopped = true;
            let sequence = told["delta"]["stop_sequence"].as_str().map(str::to_owned);
            out.push(StreamEvent::Stop {
                choice: 0,
                stop: Stop {
                    reason: stop_reason(word),
                    sequence,
                },
            });
        }
    }
}

fn start(message: &Value) -> StreamEvent {
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    StreamEvent::Start {
        id: text("id"),
        model: text("model"),
        created: None,
        usage: usage(&message["usage"]),
    }
}

fn usage(value: &Value) -> Option<Usage> {
    WireUsage::deserialize(value).ok()?.into_usage()
}

// === writing ===

/// Writes the events of a stream. Our parts may overlap, Anthropic's blocks may not: a part that starts ends the one before.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    fallback_id: String,
    fallback_model: String,
    blocks: u64,
    /// The part whose block is open, and the block's number.
    open: Option<(u32, u64)>,
    usage: Usage,
    stop: Option<Stop>,
    refused: bool,
    over: bool,
}

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            fallback_id: form.fallback_id.to_owned(),
            fallback_model: form.fallback_model.to_owned(),
            blocks: 0,
            open: None,
            usage: Usage::default(),
            stop: None,
            refused: false,
            over: false,
        }
    }

    /// Appends whole frames.
    pub(crate) fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
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
            StreamEvent::PartStop { choice: 0, part }
                if self.open.is_some_and(|(open, _)| open == *part) =>
            {
                self.close(out)
            }
            StreamEvent::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            StreamEvent::Usage(usage) => self.usage.update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            StreamEvent::Foreign(value) if value["type"] == "ping" => frame("ping", value, out),
            // Anthropic's clients know one choice, and no log-probabilities.
            StreamEvent::PartStart { .. }
            | StreamEvent::Delta { .. }
            | StreamEvent::PartStop { .. }
            | StreamEvent::Stop { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Foreign(_) => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, usage: Option<&Usage>, out: &mut Vec<u8>) {
        self.usage.update(&usage.copied().unwrap_or_default());
        let model = if model.is_empty() {
            &self.fallback_model
        } else {
            model
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
        frame(
            "message_start",
            &json!({"type": "message_start", "message": message}),
            out,
        );
    }

    fn part_start(&mut self, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        let block = match start {
            PartStart::Text => json!({"type": "text", "text": ""}),
            PartStart::Refusal => {
                self.refused = true;
                json!({"type": "text", "text": ""})
            }
            PartStart::Reasoning => json!({"type": "thinking", "thinking": "", "signature": ""}),
            PartStart::RedactedReasoning { data } => {
                json!({"type": "redacted_thinking", "data": data})
            }
            PartStart::ToolCall { id, name } => {
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
            PartStart::Foreign(block) if block["type"].is_string() => block.clone(),
            PartStart::Foreign(_) => return,
        };
        self.close(out);
        let index = self.blocks;
        self.blocks += 1;
        self.open = Some((part, index));
        frame(
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": block}),
            out,
        );
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let index = match self.open {
            Some((open, index)) if open == part => index,
            // Nothing was started for it: it is foreign.
            None => return,
            Some(_) => return self.error(&interleaved(), out),
        };
        let delta = match delta {
            Delta::Text(text) => json!({"type": "text_delta", "text": text}),
            Delta::Reasoning(text) => json!({"type": "thinking_delta", "thinking": text}),
            Delta::Signature(signature) => {
                json!({"type": "signature_delta", "signature": signature})
            }
            Delta::Arguments(piece) => json!({"type": "input_json_delta", "partial_json": piece}),
            Delta::Citation(citation) => json!({"type": "citations_delta", "citation": citation}),
            Delta::Foreign(delta) => delta.clone(),
        };
        frame(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": index, "delta": delta}),
            out,
        );
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((_, index)) = self.open.take() {
            frame(
                "content_block_stop",
                &json!({"type": "content_block_stop", "index": index}),
                out,
            );
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let reason = match self.stop.as_ref().map(|stop| &stop.reason) {
            Some(StopReason::EndTurn) | None if self.refused => "refusal",
            Some(reason) => stop_word(reason, true),
            None => "end_turn",
        };
        let sequence = self.stop.as_ref().and_then(|stop| stop.sequence.as_ref());
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        frame(
            "message_delta",
            &json!({"type": "message_delta", "delta": delta, "usage": write_usage(&self.usage)}),
            out,
        );
        frame("message_stop", &json!({"type": "message_stop"}), out);
        self.over = true;
    }

    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        let told = json!({"type": error_type(error.kind), "message": error.message});
        frame("error", &json!({"type": "error", "error": told}), out);
        self.over = true;
    }
}

fn frame(name: &str, data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// Pieces of several tool calls in turns, which no provider was seen to send.
fn interleaved() -> ProviderError {
    ProviderError {
        status: 502,
        kind: ErrorKind::Server,
        message:
            "the provider sends parts of its answer in turns, which this dialect cannot express"
                .to_owned(),
        code: Some("interleaved_parts".to_owned()),
        param: None,
        retry_after: None,
    }
}
