//! Events in, [`StreamEvent`]s out.
//!
//! Providers tell more or less of the beginnings and ends of things, and may tell of an item only when it is done. So a part begins
//! with the first that is said of it, and what was not said in pieces is taken from where it is told whole.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_domain::Dialect;

use super::super::{
    proof,
    read::{read_answer_item, reasoning_text},
    wire::{WireUsage, citation, is_foreign_item, is_tool_call, stop_reason, with_searches},
};
use crate::{
    Delta, Part, PartKind, PartStart, ReadError, SseEvent, Stop, StopReason, StreamEvent, ToolKind,
    error::read_in_stream,
    openai_chat::{Count, Text, parse, seconds, text_of},
    translate::ReadEvents,
};

/// Most items of one answer: what a reader remembers of a stream has a bound.
const ITEMS_MAX: usize = 1024;

/// Some providers send it after the last event, and some instead of it.
const DONE: &[u8] = b"[DONE]";

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    started: bool,
    /// How many parts have begun.
    parts: u32,
    items: Vec<Item>,
    /// Tools are asked for.
    asks_for_tool: bool,
    ended: bool,
}

/// An item of the answer.
#[derive(Debug)]
struct Item {
    index: u64,
    id: String,
    /// What is going on of it: our number, and which piece of the item it is.
    open: Option<(u32, Piece)>,
    /// Something was said of it.
    said: bool,
    /// Text so far, for the citations of it.
    text: String,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text(u64),
    Refusal(u64),
    /// Of the pieces of a summary, the last one that was told.
    Reasoning(u64),
    Arguments,
}

/// Any event. Its members are borrowed, or stay unread until they are needed.
#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(default)]
    output_index: Count,
    #[serde(borrow, default)]
    item_id: Option<&'a RawValue>,
    #[serde(default)]
    content_index: Count,
    #[serde(default)]
    summary_index: Count,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct WireResponse<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

// === impl StreamReader ===

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        match event.data.trim_ascii() {
            b"" => return Ok(()),
            DONE => {
                self.finish(None, out);
                return Ok(());
            }
            _ => {}
        }
        let told: WireEvent<'_> = serde_json::from_slice(&event.data)
            .map_err(|error| ReadError::Json(error.to_string()))?;
        self.event(&told, event, out)
    }

    /// Without an end mark nobody knows whether another item would have come.
    fn is_finished(&self) -> bool {
        self.ended
    }
}

impl StreamReader {
    fn event(
        &mut self,
        told: &WireEvent<'_>,
        event: &SseEvent,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let kind = told.kind.as_ref().map_or("", |kind| &kind.0);
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(told.response, out);
            }
            "response.output_item.added" => self.item_added(told, out)?,
            "response.output_text.delta" => {
                self.text(told, told.delta.map(text_of), Piece::Text, out)?;
                self.logprobs(told, out);
            }
            "response.output_text.done" => {
                self.whole(told, told.text.map(text_of), Piece::Text, out)?;
            }
            "response.refusal.delta" => {
                self.text(told, told.delta.map(text_of), Piece::Refusal, out)?;
            }
            "response.refusal.done" => {
                self.whole(told, told.refusal.map(text_of), Piece::Refusal, out)?;
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.reasoning(told, told.delta.map(text_of), out)?;
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                let unsaid = !self.item(told, out)?.said;
                let text = told.text.filter(|_| unsaid).map(text_of);
                self.reasoning(told, text, out)?;
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(told, told.delta.map(text_of), out)?;
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let unsaid = !self.item(told, out)?.said;
                let arguments = told.arguments.or(told.input).filter(|_| unsaid);
                self.arguments(told, arguments.map(text_of), out)?;
            }
            "response.output_text.annotation.added" => self.annotation(told, out)?,
            "response.content_part.done" => {
                let position = self.position(told, out)?;
                // Reasoning ends with its item, which tells the proof.
                if !matches!(self.items[position].open, Some((_, Piece::Reasoning(_)))) {
                    self.close(position, out);
                }
            }
            "response.output_item.done" => self.item_done(told, out)?,
            "response.completed" | "response.incomplete" => self.finish(told.response, out),
            "response.failed" => {
                let data = told
                    .response
                    .map_or(&event.data[..], |raw| raw.get().as_bytes());
                out.push(StreamEvent::Error(read_in_stream(
                    Dialect::OpenaiResponses,
                    data,
                )));
            }
            "error" => self.error(event, out),
            "" if told.error.is_some() => self.error(event, out),
            _ => {}
        }
        Ok(())
    }

    fn error(&self, event: &SseEvent, out: &mut Vec<StreamEvent>) {
        let error = read_in_stream(Dialect::OpenaiResponses, &event.data);
        out.push(StreamEvent::Error(error));
    }

    /// Tells that the answer begins, if it was not told yet.
    fn start(&mut self, response: Option<&RawValue>, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let response = response.and_then(parse::<WireResponse<'_>>);
        let response = response.unwrap_or_default();
        let created = response.created_at.and_then(parse::<Value>);
        out.push(StreamEvent::Start {
            id: response.id.and_then(parse).unwrap_or_default(),
            model: response.model.and_then(parse).unwrap_or_default(),
            created: created.as_ref().and_then(seconds),
            usage: None,
        });
    }

    // --- items ---

    /// The item that an event is about, by its place or else by its id.
    fn position(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<usize, ReadError> {
        self.start(None, out);
        let id = told.item_id.and_then(parse::<Text<'_>>);
        let id = id.as_ref().map_or("", |id| &id.0);
        self.find(told.output_index.get(), id)
    }

    fn find(&mut self, index: Option<u64>, id: &str) -> Result<usize, ReadError> {
        let mut items = self.items.iter();
        let known = match index {
            // Some give the same place to all.
            Some(index) => items.rposition(|item| {
                item.index == index && !(item.done && !id.is_empty() && item.id != id)
            }),
            None if id.is_empty() => self.items.len().checked_sub(1),
            None => items.rposition(|item| item.id == id),
        };
        match known {
            Some(position) => Ok(position),
            None if self.items.len() == ITEMS_MAX => {
                Err(ReadError::shape("output_index", "there are too many items"))
            }
            None => {
                let next = self.items.len() as u64;
                self.items.push(Item {
                    index: index.unwrap_or(next),
                    id: id.to_owned(),
                    open: None,
                    said: false,
                    text: String::new(),
                    done: false,
                });
                Ok(self.items.len() - 1)
            }
        }
    }

    fn item(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<&mut Item, ReadError> {
        let position = self.position(told, out)?;
        Ok(&mut self.items[position])
    }

    fn item_added(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let Some((raw, item)) = told
            .item
            .and_then(|raw| Some((raw, parse::<WireItem<'_>>(raw)?)))
        else {
            return Ok(());
        };
        self.start(None, out);
        let id = item.id.as_ref().map_or("", |id| &id.0);
        let position = self.find(told.output_index.get(), id)?;
        self.items[position].id = id.to_owned();
        let kind = item.kind.as_ref().map_or("", |kind| &kind.0);
        if is_tool_call(kind) {
            self.begin_call(position, &item, out);
        } else if !matches!(kind, "message" | "reasoning") {
            out.extend(foreign(raw).map(StreamEvent::Foreign));
        }
        Ok(())
    }

    fn begin_call(&mut self, position: usize, item: &WireItem<'_>, out: &mut Vec<StreamEvent>) {
        self.asks_for_tool = true;
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let id = text(&item.call_id).or_else(|| text(&item.id));
        let start = PartStart::ToolCall {
            id: id.unwrap_or_default(),
            name: text(&item.name).unwrap_or_default(),
            kind: match item.kind.as_ref().map_or("", |kind| &kind.0) {
                "custom_tool_call" => ToolKind::Custom,
                _ => ToolKind::Function,
            },
        };
        self.begin(position, Piece::Arguments, start, out);
    }

    /// The item is whole: what was not said of it yet is said now.
    fn item_done(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let Some((raw, item)) = told
            .item
            .and_then(|raw| Some((raw, parse::<WireItem<'_>>(raw)?)))
        else {
            return Ok(());
        };
        self.start(None, out);
        let id = item.id.as_ref().map_or("", |id| &id.0);
        let position = self.find(told.output_index.get(), id)?;
        if std::mem::replace(&mut self.items[position].done, true) {
            return Ok(());
        }
        match item.kind.as_ref().map_or("", |kind| &kind.0) {
            "message" if !self.items[position].said => self.tell_message(position, raw, out)?,
            "reasoning" => self.end_reasoning(position, raw, &item, out),
            kind if is_tool_call(kind) => {
                let has_begun = self.items[position].open.is_some();
                if !has_begun {
                    self.begin_call(position, &item, out);
                }
                if !self.items[position].said {
                    let arguments = item.arguments.or(item.input).map(text_of);
                    self.said_arguments(position, arguments, out);
                }
            }
            _ => {}
        }
        self.close(position, out);
        Ok(())
    }

    /// A message that did not come in pieces.
    fn tell_message(
        &mut self,
        position: usize,
        raw: &RawValue,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let mut parts: Vec<Part> = Vec::new();
        let item = parse::<Value>(raw).unwrap_or_default();
        read_answer_item("item".to_owned(), item, &mut parts)?;
        for (index, part) in (0..).zip(parts) {
            match part.kind {
                PartKind::Text { text, .. } => {
                    self.say(position, Piece::Text(index), text.into(), out);
                }
                PartKind::Refusal { text } => {
                    self.say(position, Piece::Refusal(index), text.into(), out);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The proof of reasoning is told at its end.
    fn end_reasoning(
        &mut self,
        position: usize,
        raw: &RawValue,
        item: &WireItem<'_>,
        out: &mut Vec<StreamEvent>,
    ) {
        let encrypted = item.encrypted_content.as_ref();
        let encrypted = encrypted.map(|encrypted| encrypted.0.to_string());
        let whole = parse::<Value>(raw).unwrap_or_default();
        let text = reasoning_text(whole.get("summary"), whole.get("content"));
        let was_said = self.items[position].said;
        match proof::reasoning(text, encrypted) {
            Some(PartKind::Reasoning { text, signature }) => {
                if !was_said {
                    self.say(position, Piece::Reasoning(0), text.into(), out);
                }
                if let Some(signature) = signature {
                    let part = self.open(position, Piece::Reasoning(0), out);
                    out.push(delta(part, Delta::Signature(signature)));
                }
            }
            Some(PartKind::RedactedReasoning { data }) if !was_said => {
                let start = PartStart::RedactedReasoning { data };
                self.begin(position, Piece::Reasoning(0), start, out);
            }
            _ => {}
        }
    }

    // --- parts ---

    fn text(
        &mut self,
        told: &WireEvent<'_>,
        text: Option<Cow<'_, str>>,
        piece: impl Fn(u64) -> Piece,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let position = self.position(told, out)?;
        let piece = piece(told.content_index.get().unwrap_or(0));
        self.say(position, piece, text.unwrap_or_default(), out);
        Ok(())
    }

    /// A text that is told whole, where it did not come in pieces.
    fn whole(
        &mut self,
        told: &WireEvent<'_>,
        text: Option<Cow<'_, str>>,
        piece: impl Fn(u64) -> Piece,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if self.item(told, out)?.said {
            return Ok(());
        }
        self.text(told, text, piece, out)
    }

    fn reasoning(
        &mut self,
        told: &WireEvent<'_>,
        text: Option<Cow<'_, str>>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let position = self.position(told, out)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let index = told.summary_index.get().unwrap_or(0);
        let item = &mut self.items[position];
        // The pieces of a summary are paragraphs of one text.
        let paragraph = match &mut item.open {
            Some((_, Piece::Reasoning(last))) if *last != index => {
                *last = index;
                "\n\n"
            }
            _ => "",
        };
        let text = format!("{paragraph}{text}");
        self.say(position, Piece::Reasoning(index), text.into(), out);
        Ok(())
    }

    fn arguments(
        &mut self,
        told: &WireEvent<'_>,
        arguments: Option<Cow<'_, str>>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let position = self.position(told, out)?;
        // Arguments of the provider's own tools are nobody else's affair.
        if matches!(self.items[position].open, Some((_, Piece::Arguments))) {
            self.said_arguments(position, arguments, out);
        }
        Ok(())
    }

    fn said_arguments(
        &mut self,
        position: usize,
        arguments: Option<Cow<'_, str>>,
        out: &mut Vec<StreamEvent>,
    ) {
        let item = &mut self.items[position];
        let arguments = arguments.filter(|arguments| !arguments.is_empty());
        if let (Some((part, _)), Some(arguments)) = (item.open, arguments) {
            item.said = true;
            out.push(delta(part, Delta::Arguments(arguments.into_owned())));
        }
    }

    /// Says a text of a message's, or of reasoning.
    fn say(
        &mut self,
        position: usize,
        piece: Piece,
        text: Cow<'_, str>,
        out: &mut Vec<StreamEvent>,
    ) {
        if text.is_empty() {
            return;
        }
        let part = self.open(position, piece, out);
        let item = &mut self.items[position];
        item.said = true;
        out.push(delta(
            part,
            match piece {
                Piece::Reasoning(_) => Delta::Reasoning(text.into_owned()),
                Piece::Text(_) | Piece::Refusal(_) | Piece::Arguments => {
                    item.text.push_str(&text);
                    Delta::Text(text.into_owned())
                }
            },
        ));
    }

    fn annotation(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let item = self.item(told, out)?;
        let annotation = told.annotation.and_then(parse::<Value>).unwrap_or_default();
        let citation = citation(&annotation, &item.text);
        if let (Some((part, Piece::Text(_))), Some(citation)) = (item.open, citation) {
            out.push(delta(part, Delta::Citation(citation)));
        }
        Ok(())
    }

    fn logprobs(&self, told: &WireEvent<'_>, out: &mut Vec<StreamEvent>) {
        let logprobs = told.logprobs.and_then(parse::<Vec<Value>>);
        if let Some(logprobs) = logprobs.filter(|logprobs| !logprobs.is_empty()) {
            let value = serde_json::json!({"content": logprobs});
            out.push(StreamEvent::Logprobs { choice: 0, value });
        }
    }

    /// The part that is going on, or that begins now.
    fn open(&mut self, position: usize, piece: Piece, out: &mut Vec<StreamEvent>) -> u32 {
        match self.items[position].open {
            Some((part, open)) if open == piece => part,
            Some((part, Piece::Reasoning(_))) if matches!(piece, Piece::Reasoning(_)) => part,
            _ => {
                let start = match piece {
                    Piece::Refusal(_) => PartStart::Refusal,
                    Piece::Reasoning(_) => PartStart::Reasoning,
                    Piece::Text(_) | Piece::Arguments => PartStart::Text,
                };
                self.begin(position, piece, start, out)
            }
        }
    }

    fn begin(
        &mut self,
        position: usize,
        piece: Piece,
        start: PartStart,
        out: &mut Vec<StreamEvent>,
    ) -> u32 {
        self.close(position, out);
        if piece != Piece::Arguments {
            self.close_texts(out);
        }
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        let item = &mut self.items[position];
        item.open = Some((part, piece));
        item.text.clear();
        out.push(StreamEvent::PartStart {
            choice: 0,
            part,
            start,
        });
        part
    }

    /// Text and reasoning end before the next part starts, whatever the provider says of their ends.
    fn close_texts(&mut self, out: &mut Vec<StreamEvent>) {
        for position in 0..self.items.len() {
            let open = self.items[position].open;
            if open.is_some_and(|(_, piece)| piece != Piece::Arguments) {
                self.close(position, out);
            }
        }
    }

    fn close(&mut self, position: usize, out: &mut Vec<StreamEvent>) {
        if let Some((part, _)) = self.items[position].open.take() {
            out.push(StreamEvent::PartStop { choice: 0, part });
        }
    }

    // --- the end ---

    fn finish(&mut self, response: Option<&RawValue>, out: &mut Vec<StreamEvent>) {
        self.start(response, out);
        let response = response.and_then(parse::<WireResponse<'_>>);
        let response = response.unwrap_or_default();
        if self.items.is_empty() {
            self.tell_output(response.output, out);
        }
        for position in 0..self.items.len() {
            self.close(position, out);
        }
        let usage = response.usage.and_then(parse::<WireUsage>);
        let tier = response.service_tier.as_ref().map(|tier| &*tier.0);
        let usage = usage.and_then(WireUsage::into_usage);
        let usage = usage.map(|usage| usage.in_tier(tier));
        let usage = usage.map(|usage| with_searches(usage, response.output, response.tools));
        out.extend(usage.map(StreamEvent::Usage));
        let details = response.incomplete_details.and_then(parse::<Value>);
        let incomplete = details
            .as_ref()
            .and_then(|details| details["reason"].as_str());
        let status = response.status.as_ref().map(|status| &*status.0);
        let reason = stop_reason(status, incomplete, self.asks_for_tool);
        out.push(StreamEvent::Stop {
            choice: 0,
            stop: Stop::new(reason.unwrap_or(StopReason::EndTurn)),
        });
        out.push(StreamEvent::End);
        self.ended = true;
    }

    /// Items of an answer that was told in its last event alone.
    fn tell_output(&mut self, output: Option<&RawValue>, out: &mut Vec<StreamEvent>) {
        let items = output.and_then(parse::<Vec<&RawValue>>).unwrap_or_default();
        for (index, item) in (0..).zip(items.into_iter().take(ITEMS_MAX)) {
            let event = format!(
                r#"{{"type":"response.output_item.done","output_index":{index},"item":{}}}"#,
                item.get()
            );
            if let Ok(told) = serde_json::from_str::<WireEvent<'_>>(&event) {
                // What cannot be read of it was no part of the answer that anybody would have heard.
                drop(self.item_done(&told, out));
            }
        }
    }
}

fn delta(part: u32, delta: Delta) -> StreamEvent {
    StreamEvent::Delta {
        choice: 0,
        part,
        delta,
    }
}

/// An item of the provider's own tools.
fn foreign(raw: &RawValue) -> Option<Value> {
    parse::<Value>(raw).filter(is_foreign_item)
}
