//! Events in, [`StreamEvent`]s out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::super::wire::{WireUsage, stop_reason};
use crate::{
    Delta, PartStart, ReadError, SseEvent, Stop, StreamEvent, ToolKind,
    mold::Repeated,
    openai_chat::{Text, parse},
    translate::ReadEvents,
};

/// Most blocks that are open at once: what a reader remembers of a stream has a bound.
const OPEN_MAX: usize = 64;

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    /// How many blocks have begun.
    parts: u32,
    /// Blocks that are open: Anthropic's number, and ours.
    open: Vec<(u64, u32)>,
    usage: Usage,
    stopped: bool,
    repeated: Repeated,
}

/// Any event. Its members are borrowed, or stay unread until they are needed.
#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireKind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
}

/// The beginning of a block, of every kind that we model.
#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(default)]
    citations: Option<Vec<Value>>,
}

/// What is added to a block, or to the message.
#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(default)]
    citation: Option<Value>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
}

// === impl StreamReader ===

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        if event.data.trim_ascii().is_empty() {
            return Ok(());
        }
        if let Some(told) = self.repeated.read(event) {
            out.push(told);
            return Ok(());
        }
        let told: WireEvent<'_> = serde_json::from_slice(&event.data)
            .map_err(|error| ReadError::Json(error.to_string()))?;
        match &*told.kind.0 {
            "message_start" => self.start(told.message.as_ref(), out),
            "content_block_start" => return self.block_start(&told, out),
            "content_block_delta" => return self.block_delta(event, &told, out),
            "content_block_stop" => self.block_stop(told.index, out),
            "message_delta" => return self.message_delta(&told, out),
            "message_stop" => out.push(StreamEvent::End),
            "error" => {
                let dialect = Dialect::AnthropicMessages;
                let error = crate::error::read_in_stream(dialect, &event.data);
                out.push(StreamEvent::Error(error));
            }
            // `ping`, and what came later.
            _ => {
                let value = serde_json::from_slice(&event.data).unwrap_or_default();
                out.push(StreamEvent::Foreign(value));
            }
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stopped
    }
}

impl StreamReader {
    fn start(&mut self, message: Option<&WireMessage<'_>>, out: &mut Vec<StreamEvent>) {
        let text = |raw: Option<&RawValue>| raw.and_then(parse::<String>).unwrap_or_default();
        out.push(StreamEvent::Start {
            id: text(message.and_then(|message| message.id)),
            model: text(message.and_then(|message| message.model)),
            created: None,
            usage: self.usage(message.and_then(|message| message.usage)),
        });
    }

    fn usage(&mut self, raw: Option<&RawValue>) -> Option<Usage> {
        let usage = parse::<WireUsage>(raw?)?.into_usage(Some(&self.usage))?;
        self.usage.update(&usage);
        Some(usage)
    }

    fn block_start(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if self.open.len() == OPEN_MAX {
            return Err(ReadError::shape(
                "index",
                "too many blocks are open at once",
            ));
        }
        let WireKind { kind } = member("content_block", told.content_block)?;
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        self.open.retain(|(index, _)| *index != told.index);
        self.open.push((told.index, part));
        let (start, deltas) = read_block(&kind.0, told.content_block)?;
        out.push(StreamEvent::PartStart {
            choice: 0,
            part,
            start,
        });
        let deltas = deltas.into_iter();
        out.extend(deltas.map(|delta| StreamEvent::Delta {
            choice: 0,
            part,
            delta,
        }));
        Ok(())
    }

    fn block_delta(
        &mut self,
        event: &SseEvent,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let before = out.len();
        let Some(&(_, part)) = self.open.iter().find(|(index, _)| *index == told.index) else {
            return Err(ReadError::shape("index", "names a block that is not open"));
        };
        let delta: WireDelta<'_> = member("delta", told.delta)?;
        let plain = match (&delta.text, &delta.thinking) {
            (Some(Text(Cow::Borrowed(text))), None) | (None, Some(Text(Cow::Borrowed(text)))) => {
                Some(*text)
            }
            _ => None,
        };
        let delta = match delta.kind.as_ref().map_or("", |kind| &kind.0) {
            "text_delta" => said(delta.text.map(|text| text.0)).map(Delta::Text),
            "thinking_delta" => said(delta.thinking.map(|text| text.0)).map(Delta::Reasoning),
            "signature_delta" => said(delta.signature).map(Delta::Signature),
            "input_json_delta" => said(delta.partial_json).map(Delta::Arguments),
            "citations_delta" => delta.citation.map(Delta::Citation),
            _ => told.delta.and_then(parse::<Value>).map(Delta::Foreign),
        };
        out.extend(delta.map(|delta| StreamEvent::Delta {
            choice: 0,
            part,
            delta,
        }));
        if let (Some(text), Some(told)) = (plain, out.get(before..)) {
            self.repeated.learn(event, text, None, told);
        }
        Ok(())
    }

    fn block_stop(&mut self, index: u64, out: &mut Vec<StreamEvent>) {
        if let Some(position) = self.open.iter().position(|(open, _)| *open == index) {
            let (_, part) = self.open.remove(position);
            out.push(StreamEvent::PartStop { choice: 0, part });
        }
    }

    fn message_delta(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        out.extend(self.usage(told.usage).map(StreamEvent::Usage));
        let Some(delta) = told.delta else {
            return Ok(());
        };
        let delta: WireDelta<'_> = member("delta", Some(delta))?;
        if let Some(word) = delta.stop_reason {
            self.stopped = true;
            let stop = Stop {
                reason: stop_reason(&word.0),
                sequence: delta.stop_sequence.map(|text| text.0.into_owned()),
            };
            out.push(StreamEvent::Stop { choice: 0, stop });
        }
        Ok(())
    }
}

/// How a block begins, and what it holds already.
fn read_block(kind: &str, raw: Option<&RawValue>) -> Result<(PartStart, Vec<Delta>), ReadError> {
    if !matches!(kind, "text" | "thinking" | "redacted_thinking" | "tool_use") {
        let block = member("content_block", raw)?;
        return Ok((PartStart::Foreign(block), Vec::new()));
    }
    let block: WireBlock<'_> = member("content_block", raw)?;
    let mut deltas = Vec::new();
    let start = match kind {
        "thinking" => {
            deltas.extend(said(block.thinking).map(Delta::Reasoning));
            deltas.extend(said(block.signature).map(Delta::Signature));
            PartStart::Reasoning
        }
        "redacted_thinking" => PartStart::RedactedReasoning {
            data: block.data.unwrap_or_default().into_owned(),
        },
        "tool_use" => {
            // The input comes in pieces, unless it is here already.
            let input = block.input.and_then(parse::<Value>).unwrap_or_default();
            let is_empty = input.is_null() || input == json!({});
            deltas.extend((!is_empty).then(|| Delta::Arguments(input.to_string())));
            PartStart::ToolCall {
                id: block.id.unwrap_or_default().into_owned(),
                name: block.name.unwrap_or_default().into_owned(),
                kind: ToolKind::Function,
            }
        }
        _ => {
            deltas.extend(said(block.text).map(Delta::Text));
            deltas.extend(block.citations.into_iter().flatten().map(Delta::Citation));
            PartStart::Text
        }
    };
    Ok((start, deltas))
}

fn member<'a, T: Deserialize<'a>>(name: &str, raw: Option<&'a RawValue>) -> Result<T, ReadError> {
    let raw = raw.ok_or_else(|| ReadError::shape(name, "is missing; it must be an object"))?;
    serde_json::from_str(raw.get()).map_err(|error| ReadError::shape(name, error.to_string()))
}

/// A text that says something.
fn said(text: Option<Cow<'_, str>>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(Cow::into_owned)
}
