//! [`StreamEvent`]s in, events out: items are numbered in the order in which they begin, and each is told whole when it is done.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tollgate_domain::{ErrorShape, Usage};

use super::super::{
    answer::{Head, asked, output_text, reasoning, tool_call},
    proof,
    wire::{annotation, is_foreign_item, item_id, response_id, write_usage},
};
use crate::{
    AnswerForm, Delta, ErrorReport, PartStart, ProviderError, Stop, StreamEvent, ToolKind,
    openai_chat::to_map, translate::WriteEvents,
};

/// Writes the events of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    id: String,
    model: String,
    created: i64,
    started: bool,
    over: bool,
    /// How many events were written.
    sequence: u64,
    /// What is done, and what is going on, in the order of its beginning.
    output: Vec<Item>,
    /// The place of the message to which texts belong.
    message: Option<usize>,
    usage: Option<Usage>,
    stop: Option<Stop>,
    /// What every telling of the answer repeats of the call.
    asked: Map<String, Value>,
    /// Its id is the gateway's.
    is_kept: bool,
}

/// An item of the answer.
#[derive(Debug)]
struct Item {
    id: String,
    kind: Kind,
    /// The part of ours that is going on.
    part: Option<u32>,
    done: Option<Value>,
}

#[derive(Debug)]
enum Kind {
    Message {
        content: Vec<Content>,
    },
    Reasoning {
        text: String,
        encrypted: Option<String>,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
        kind: ToolKind,
    },
    Foreign(Value),
}

/// A piece of a message.
#[derive(Debug, Default)]
struct Content {
    is_refusal: bool,
    text: String,
    citations: Vec<Value>,
    logprobs: Vec<Value>,
}

/// An event, in the order in which its members are written.
#[derive(Serialize)]
struct EventOut<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    place: Option<PlaceOut<'a>>,
    #[serde(flatten)]
    told: T,
}

#[derive(Clone, Copy, Serialize)]
struct PlaceOut<'a> {
    output_index: usize,
    item_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
}

#[derive(Serialize)]
struct DeltaOut<'a> {
    delta: &'a str,
    /// Of texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [Value]>,
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
                id,
                model,
                created,
                usage,
            } => self.start(id, model, *created, usage.as_ref(), out),
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
            StreamEvent::PartStop { choice: 0, part } => self.part_stop(*part, out),
            StreamEvent::Logprobs { choice: 0, value } => self.logprobs(value, out),
            StreamEvent::Stop { choice: 0, stop } => self.stop = Some(stop.clone()),
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            StreamEvent::Foreign(item) => self.foreign(item, out),
            // This dialect has one choice.
            StreamEvent::PartStart { .. }
            | StreamEvent::Delta { .. }
            | StreamEvent::PartStop { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Stop { .. } => {}
        }
    }
}

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            id: response_id("", form.fallback_id),
            model: form.fallback_model.to_owned(),
            created: form.created,
            started: false,
            over: false,
            sequence: 0,
            output: Vec::new(),
            message: None,
            usage: None,
            stop: None,
            asked: asked(form),
            is_kept: form.kept,
        }
    }

    fn start(
        &mut self,
        id: &str,
        model: &str,
        created: Option<i64>,
        usage: Option<&Usage>,
        out: &mut Vec<u8>,
    ) {
        self.started = true;
        if !id.is_empty() && !self.is_kept {
            id.clone_into(&mut self.id);
        }
        if !model.is_empty() {
            model.clone_into(&mut self.model);
        }
        self.created = created.unwrap_or(self.created);
        self.usage = usage.copied();
        let mut response = self.response(Vec::new(), None);
        response.insert("status".to_owned(), json!("in_progress"));
        let told = json!({"response": response});
        self.emit("response.created", None, &told, out);
        self.emit("response.in_progress", None, &told, out);
    }

    fn response(&self, output: Vec<Value>, usage: Option<Value>) -> Map<String, Value> {
        let head = Head {
            id: &self.id,
            model: &self.model,
            created: self.created,
            stop: self.stop.as_ref().map(|stop| &stop.reason),
            asked: &self.asked,
        };
        head.write(output, usage)
    }

    // --- parts ---

    fn part_start(&mut self, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        match start {
            PartStart::Text => return self.content_start(part, false, out),
            PartStart::Refusal => return self.content_start(part, true, out),
            _ => self.message_done(out),
        }
        let kind = match start {
            PartStart::Reasoning => Kind::Reasoning {
                text: String::new(),
                encrypted: None,
            },
            PartStart::RedactedReasoning { data } => Kind::Reasoning {
                text: String::new(),
                encrypted: Some(proof::of_redacted(data)),
            },
            PartStart::ToolCall { id, name, kind } => Kind::Call {
                call_id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
                kind: *kind,
            },
            PartStart::Foreign(item) => return self.foreign(item, out),
            PartStart::Text | PartStart::Refusal => return,
        };
        self.begin(kind, Some(part), out);
    }

    /// Begins an item.
    fn begin(&mut self, kind: Kind, part: Option<u32>, out: &mut Vec<u8>) -> usize {
        let index = self.output.len();
        let item = Item {
            id: item_id(kind.name(), &self.id, index),
            kind,
            part,
            done: None,
        };
        let told = json!({"output_index": index, "item": item.write("in_progress")});
        self.output.push(item);
        self.emit("response.output_item.added", None, &told, out);
        index
    }

    /// A text begins: in the message that is going on, or in a new one.
    fn content_start(&mut self, part: u32, is_refusal: bool, out: &mut Vec<u8>) {
        let index = match self.message {
            Some(index) => index,
            None => {
                let message = Kind::Message {
                    content: Vec::new(),
                };
                self.begin(message, None, out)
            }
        };
        self.message = Some(index);
        let item = &mut self.output[index];
        item.part = Some(part);
        if let Kind::Message { content } = &mut item.kind {
            content.push(Content {
                is_refusal,
                ..Content::default()
            });
            let told = json!({"part": Content { is_refusal, ..Content::default() }.write()});
            self.emit("response.content_part.added", Some(index), &told, out);
        }
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(index) = self.position(part) else {
            return;
        };
        match (&mut self.output[index].kind, delta) {
            (Kind::Message { content }, Delta::Text(text)) => {
                let Some(content) = content.last_mut() else {
                    return;
                };
                content.text.push_str(text);
                let (kind, logprobs) = if content.is_refusal {
                    ("response.refusal.delta", None)
                } else {
                    ("response.output_text.delta", Some(&[][..]))
                };
                let told = DeltaOut {
                    delta: text,
                    logprobs,
                };
                self.emit(kind, Some(index), &told, out);
            }
            (Kind::Message { content }, Delta::Citation(citation)) => {
                if let Some(content) = content.last_mut() {
                    content.citations.push(citation.clone());
                }
            }
            (Kind::Reasoning { text, .. }, Delta::Reasoning(more)) => {
                let is_first = text.is_empty();
                text.push_str(more);
                if is_first {
                    let told = json!({"part": {"type": "summary_text", "text": ""}});
                    self.emit(
                        "response.reasoning_summary_part.added",
                        Some(index),
                        &told,
                        out,
                    );
                }
                let told = DeltaOut {
                    delta: more,
                    logprobs: None,
                };
                self.emit(
                    "response.reasoning_summary_text.delta",
                    Some(index),
                    &told,
                    out,
                );
            }
            (Kind::Reasoning { encrypted, .. }, Delta::Signature(signature)) => {
                *encrypted = Some(proof::of_signature(signature));
            }
            (
                Kind::Call {
                    arguments, kind, ..
                },
                Delta::Arguments(more),
            ) => {
                arguments.push_str(more);
                let event = match kind {
                    ToolKind::Custom => "response.custom_tool_call_input.delta",
                    ToolKind::Function | ToolKind::Foreign => {
                        "response.function_call_arguments.delta"
                    }
                };
                let told = DeltaOut {
                    delta: more,
                    logprobs: None,
                };
                self.emit(event, Some(index), &told, out);
            }
            _ => {}
        }
    }

    /// The item to which a part of ours belongs while it goes on.
    fn position(&self, part: u32) -> Option<usize> {
        let is_wanted = |item: &Item| item.part == Some(part) && item.done.is_none();
        self.output.iter().rposition(is_wanted)
    }

    fn part_stop(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(index) = self.position(part) else {
            return;
        };
        self.output[index].part = None;
        if self.message == Some(index) {
            // Another text may follow in the same message.
            self.content_done(index, out);
        } else {
            self.item_done(index, out);
        }
    }

    fn content_done(&mut self, index: usize, out: &mut Vec<u8>) {
        let Kind::Message { content } = &self.output[index].kind else {
            return;
        };
        let Some(content) = content.last() else {
            return;
        };
        let whole = content.write();
        let told = if content.is_refusal {
            json!({"refusal": content.text})
        } else {
            json!({"text": content.text, "logprobs": content.logprobs})
        };
        let kind = if content.is_refusal {
            "response.refusal.done"
        } else {
            "response.output_text.done"
        };
        let annotations = whole["annotations"].as_array().cloned().unwrap_or_default();
        for (number, annotation) in annotations.into_iter().enumerate() {
            let told = json!({"annotation_index": number, "annotation": annotation});
            self.emit(
                "response.output_text.annotation.added",
                Some(index),
                &told,
                out,
            );
        }
        self.emit(kind, Some(index), &told, out);
        let told = json!({"part": whole});
        self.emit("response.content_part.done", Some(index), &told, out);
    }

    fn item_done(&mut self, index: usize, out: &mut Vec<u8>) {
        match &self.output[index].kind {
            Kind::Reasoning { text, .. } if !text.is_empty() => {
                let whole = json!({"text": text});
                let part = json!({"part": {"type": "summary_text", "text": text}});
                self.emit(
                    "response.reasoning_summary_text.done",
                    Some(index),
                    &whole,
                    out,
                );
                self.emit(
                    "response.reasoning_summary_part.done",
                    Some(index),
                    &part,
                    out,
                );
            }
            Kind::Call {
                arguments,
                kind: ToolKind::Custom,
                ..
            } => {
                let told = json!({"input": arguments});
                self.emit(
                    "response.custom_tool_call_input.done",
                    Some(index),
                    &told,
                    out,
                );
            }
            Kind::Call {
                name, arguments, ..
            } => {
                let told = json!({"name": name, "arguments": arguments});
                self.emit(
                    "response.function_call_arguments.done",
                    Some(index),
                    &told,
                    out,
                );
            }
            Kind::Reasoning { .. } | Kind::Message { .. } | Kind::Foreign(_) => {}
        }
        let done = self.output[index].write("completed");
        let told = json!({"output_index": index, "item": done});
        self.output[index].done = Some(done);
        self.emit("response.output_item.done", None, &told, out);
    }

    /// Ends the message that is going on, if there is one.
    fn message_done(&mut self, out: &mut Vec<u8>) {
        let Some(index) = self.message.take() else {
            return;
        };
        if self.output[index].part.take().is_some() {
            self.content_done(index, out);
        }
        self.item_done(index, out);
    }

    /// Log-probabilities come after their text: a piece that adds nothing to it carries them, while it goes on.
    fn logprobs(&mut self, value: &Value, out: &mut Vec<u8>) {
        let Some(index) = self.message else { return };
        let more = value["content"].as_array().map_or(&[][..], Vec::as_slice);
        let item = &mut self.output[index];
        let Kind::Message { content } = &mut item.kind else {
            return;
        };
        let Some(content) = content.last_mut().filter(|content| !content.is_refusal) else {
            return;
        };
        content.logprobs.extend(more.iter().cloned());
        if item.part.is_some() {
            let told = DeltaOut {
                delta: "",
                logprobs: Some(more),
            };
            self.emit("response.output_text.delta", Some(index), &told, out);
        }
    }

    /// An item of the provider's own tools. Other dialects have theirs, which are none here.
    fn foreign(&mut self, item: &Value, out: &mut Vec<u8>) {
        if is_foreign_item(item) {
            self.message_done(out);
            let index = self.begin(Kind::Foreign(item.clone()), None, out);
            self.item_done(index, out);
        }
    }

    // --- the end ---

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        // A stream that passed through until now has told its own end.
        if !self.started {
            return;
        }
        self.message_done(out);
        for index in 0..self.output.len() {
            if self.output[index].done.is_none() {
                self.item_done(index, out);
            }
        }
        let output = self.output.iter_mut();
        let output: Vec<Value> = output.filter_map(|item| item.done.take()).collect();
        let usage = self.usage.as_ref().map(write_usage);
        let response = self.response(output, usage);
        let kind = if response["status"] == "incomplete" {
            "response.incomplete"
        } else {
            "response.completed"
        };
        self.emit(kind, None, &json!({"response": response}), out);
    }

    /// The documented members are flat; OpenAI itself sends them in `error`, by which its libraries know that they have to raise one.
    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let report = ErrorReport {
            status: error.status,
            kind: error.kind,
            code: error.code.as_deref(),
            message: &error.message,
            param: error.param.as_deref(),
            request_id: "",
        };
        let nested = crate::error::write(ErrorShape::Openai, &report);
        let nested: Value = serde_json::from_slice(&nested).unwrap_or_default();
        let mut told = to_map(json!({
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }));
        told.extend(to_map(nested));
        self.emit("error", None, &told, out);
    }

    /// Appends an event; of an item, if it is about one.
    fn emit(
        &mut self,
        kind: &'static str,
        index: Option<usize>,
        told: &impl Serialize,
        out: &mut Vec<u8>,
    ) {
        let place = index.map(|index| {
            let item = &self.output[index];
            let (content_index, summary_index) = match &item.kind {
                Kind::Message { content } => (Some(content.len().saturating_sub(1)), None),
                Kind::Reasoning { .. } => (None, Some(0)),
                Kind::Call { .. } | Kind::Foreign(_) => (None, None),
            };
            PlaceOut {
                output_index: index,
                item_id: &item.id,
                content_index,
                summary_index,
            }
        });
        let event = EventOut {
            kind,
            sequence_number: self.sequence,
            place,
            told,
        };
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        serde_json::to_writer(&mut *out, &event).expect("an event is JSON, and memory takes it");
        out.extend_from_slice(b"\n\n");
        self.sequence += 1;
    }
}

// === impl Item ===

impl Item {
    /// The item as it stands.
    fn write(&self, status: &str) -> Value {
        match &self.kind {
            Kind::Message { content } => {
                let content: Vec<Value> = content.iter().map(Content::write).collect();
                json!({"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Kind::Reasoning { text, encrypted } => {
                let mut item = reasoning(text, encrypted.clone());
                item.insert("id".to_owned(), json!(self.id));
                Value::Object(item)
            }
            Kind::Call {
                call_id,
                name,
                arguments,
                kind,
            } => {
                let mut item = Map::from_iter([("id".to_owned(), json!(self.id))]);
                item.extend(tool_call(call_id, name, arguments, *kind));
                item.insert("status".to_owned(), json!(status));
                Value::Object(item)
            }
            Kind::Foreign(item) => item.clone(),
        }
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Reasoning { .. } => "reasoning",
            Self::Call {
                kind: ToolKind::Custom,
                ..
            } => "custom_tool_call",
            Self::Call { .. } | Self::Foreign(_) => "function_call",
        }
    }
}

// === impl Content ===

impl Content {
    fn write(&self) -> Value {
        if self.is_refusal {
            return json!({"type": "refusal", "refusal": self.text});
        }
        let length = self.text.chars().count();
        let annotations = self.citations.iter();
        let annotations = annotations.filter_map(|citation| annotation(citation, length));
        output_text(&self.text, annotations.collect(), self.logprobs.clone())
    }
}
