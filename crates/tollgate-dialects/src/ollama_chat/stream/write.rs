//! [`StreamEvent`]s in, lines out.

use serde_json::{Map, Value, json};
use tollgate_domain::{ErrorShape, Usage};

use super::super::{
    answer::tool_call,
    wire::{date, last_members},
};
use crate::{
    AnswerForm, Delta, ErrorKind, ErrorReport, PartStart, ProviderError, StopReason, StreamEvent,
    json::put, translate::WriteEvents,
};

/// Bytes of arguments that are held back: Ollama's tool calls come whole, others come in pieces.
const ARGUMENTS_BYTES_MAX: usize = 16 << 20;

/// Where the text of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In `message`.
    Chat,
    /// In `response`; tool calls have no place.
    Completion,
}

/// Writes the lines of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    shape: Shape,
    model: String,
    created: i64,
    /// Tool calls whose arguments are coming.
    pending: Vec<Pending>,
    /// How many tool calls were written.
    tool_calls: usize,
    usage: Option<Usage>,
    stop: Option<StopReason>,
    over: bool,
}

#[derive(Debug)]
struct Pending {
    part: u32,
    id: String,
    name: String,
    arguments: String,
}

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect; many are nothing.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start {
                model,
                created,
                usage,
                ..
            } => {
                if !model.is_empty() {
                    model.clone_into(&mut self.model);
                }
                self.created = created.unwrap_or(self.created);
                self.usage = *usage;
            }
            StreamEvent::PartStart {
                choice: 0,
                part,
                start: PartStart::ToolCall { id, name, .. },
            } if self.shape == Shape::Chat => self.pending.push(Pending {
                part: *part,
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            }),
            StreamEvent::Delta {
                choice: 0,
                part,
                delta,
            } => self.delta(*part, delta, out),
            StreamEvent::PartStop { choice: 0, part } => {
                if let Some(at) = self.pending.iter().position(|call| call.part == *part) {
                    let call = self.pending.remove(at);
                    self.tool_call(&call, out);
                }
            }
            StreamEvent::Logprobs { choice: 0, value } => {
                let tokens = value.get("content").filter(|tokens| tokens.is_array());
                if let Some(tokens) = tokens {
                    let mut line = self.said(None, "");
                    put(&mut line, "logprobs", Some(tokens.clone()));
                    self.line(line, out);
                }
            }
            StreamEvent::Stop { choice: 0, stop } => self.stop = Some(stop.reason.clone()),
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            // This dialect has one choice, and says no more of parts than what is in them.
            StreamEvent::PartStart { .. }
            | StreamEvent::Delta { .. }
            | StreamEvent::PartStop { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Stop { .. }
            | StreamEvent::Foreign(_) => {}
        }
    }
}

impl StreamWriter {
    /// For a client of chat.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self::of_shape(Shape::Chat, form)
    }

    /// For a client whose lines have this shape.
    pub(crate) fn of_shape(shape: Shape, form: &AnswerForm<'_>) -> Self {
        Self {
            shape,
            model: form.fallback_model.to_owned(),
            created: form.created,
            pending: Vec::new(),
            tool_calls: 0,
            usage: None,
            stop: None,
            over: false,
        }
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let line = match delta {
            Delta::Text(text) => self.said(None, text),
            Delta::Reasoning(text) => self.said(Some(text), ""),
            Delta::Arguments(piece) => return self.arguments(part, piece, out),
            Delta::Signature(_) | Delta::Citation(_) | Delta::Foreign(_) => return,
        };
        self.line(line, out);
    }

    fn arguments(&mut self, part: u32, piece: &str, out: &mut Vec<u8>) {
        let held: usize = self.pending.iter().map(|call| call.arguments.len()).sum();
        if held + piece.len() > ARGUMENTS_BYTES_MAX {
            return self.error(&too_long(), out);
        }
        if let Some(call) = self.pending.iter_mut().find(|call| call.part == part) {
            call.arguments.push_str(piece);
        }
    }

    fn tool_call(&mut self, call: &Pending, out: &mut Vec<u8>) {
        let mut line = self.said(None, "");
        let call = tool_call(&call.id, self.tool_calls, &call.name, &call.arguments);
        self.tool_calls += 1;
        line["message"]["tool_calls"] = json!([call]);
        self.line(line, out);
    }

    /// The members of a line that hold what is said.
    fn said(&self, thinking: Option<&str>, text: &str) -> Map<String, Value> {
        let mut said = Map::new();
        match self.shape {
            Shape::Chat => {
                let mut message = Map::new();
                put(&mut message, "role", Some("assistant"));
                put(&mut message, "content", Some(text));
                put(&mut message, "thinking", thinking);
                put(&mut said, "message", Some(message));
            }
            Shape::Completion => {
                put(&mut said, "response", Some(text));
                put(&mut said, "thinking", thinking);
            }
        }
        said
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for call in std::mem::take(&mut self.pending) {
            self.tool_call(&call, out);
        }
        let mut line = self.said(None, "");
        line.extend(last_members(self.stop.as_ref(), self.usage.as_ref()));
        self.line(line, out);
        self.over = true;
    }

    fn line(&self, members: Map<String, Value>, out: &mut Vec<u8>) {
        let mut line = Map::new();
        put(&mut line, "model", Some(self.model.as_str()));
        put(&mut line, "created_at", Some(date(self.created)));
        line.extend(members);
        line.entry("done").or_insert(Value::Bool(false));
        serde_json::to_writer(&mut *out, &line).expect("a line is JSON, and memory takes it");
        out.push(b'\n');
    }

    /// An error as Ollama sends it within a stream: a line that is nothing else, and the last.
    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        let report = ErrorReport {
            status: error.status,
            kind: error.kind,
            code: error.code.as_deref(),
            message: &error.message,
            param: None,
            request_id: "",
        };
        out.extend_from_slice(&crate::error::write(ErrorShape::Ollama, &report));
        out.push(b'\n');
        self.over = true;
    }
}

fn too_long() -> ProviderError {
    ProviderError {
        status: 502,
        kind: ErrorKind::Server,
        message: "the arguments of the provider's tool calls are too long to be told whole"
            .to_owned(),
        code: Some("arguments_too_long".to_owned()),
        param: None,
        retry_after: None,
    }
}
