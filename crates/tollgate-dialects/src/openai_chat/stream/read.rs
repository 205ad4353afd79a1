//! Chunks in, [`StreamEvent`]s out: of chat, and of text completions, whose chunks differ in their choices only.

use serde_json::{Value, json, value::RawValue};

use super::super::{
    answer::tool_call_id,
    sources::citations_of,
    wire::{
        Choice, ContentPart, Delta as WireDelta, FunctionPiece, Identity, ReasoningDetail, Told,
        failed, parse, read_choice, read_event, seconds, stop_reason, text_of,
    },
};
use crate::{
    Delta, PartStart, ReadError, SseEvent, Stop, StopReason, StreamEvent, ToolKind, mold::Repeated,
    translate::ReadEvents,
};

/// Most choices of one answer, and most tool calls of one choice: what a reader remembers of a stream has a bound.
const PIECES_MAX: usize = 1024;

/// Reads the chunks of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    started: bool,
    id: String,
    choices: Vec<ChoiceState>,
    /// What a search found, as the last chunk tells it: every chunk may repeat it.
    sources: String,
    repeated: Repeated,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    /// How many parts have begun.
    parts: u32,
    /// The text or reasoning that is going on.
    open: Option<(Kind, u32)>,
    tool_calls: Vec<ToolCallState>,
    /// Of the text that is going on; they are told at its end.
    citations: Vec<Value>,
    /// Why it ended. Told at the end of the stream only: some providers send content after it.
    stop: Option<StopReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    /// With its index in `reasoning_details`, where there is one.
    Reasoning(Option<u32>),
}

#[derive(Debug)]
struct ToolCallState {
    /// The provider's number, where it gives one.
    index: Option<u32>,
    id: String,
    part: u32,
}

// === impl StreamReader ===

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        if let Some(told) = self.repeated.read(event) {
            out.push(told);
            return Ok(());
        }
        let before = out.len();
        let chunk = match read_event(event, read_choice)? {
            Told::Chunk(chunk) => chunk,
            Told::Nothing => return Ok(()),
            Told::Error(error) => {
                out.push(StreamEvent::Error(error));
                return Ok(());
            }
            Told::End => {
                self.end(out);
                return Ok(());
            }
        };
        let choices = &*chunk.choices;
        if !choices.is_empty() {
            self.start(Some(event), out);
        }
        if let Some(sources) = chunk.sources() {
            sources.clone_into(&mut self.sources);
        }
        for choice in choices {
            if choice.has_failed() {
                out.push(StreamEvent::Error(failed(event)));
                return Ok(());
            }
            self.choice(choice, out)?;
        }
        if let Some(usage) = chunk.usage() {
            self.start(Some(event), out);
            out.push(StreamEvent::Usage(usage));
        }
        if let ([choice], Some(told)) = (choices, out.get(before..))
            && let Some(text) = choice.plain_text()
        {
            self.repeated.learn(event, text, chunk.padding(), told);
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.stop.is_some())
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.start(None, out);
        if let (Some(choice), Ok(sources)) = (
            self.choices.first_mut(),
            serde_json::from_str(&self.sources),
        ) {
            choice.cite(citations_of(&sources));
        }
        for choice in &mut self.choices {
            choice.end(out);
        }
        out.push(StreamEvent::End);
    }
}

impl StreamReader {
    /// Tells that the answer begins, if it was not told yet. Its first event says whose it is.
    fn start(&mut self, event: Option<&SseEvent>, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let identity = event.and_then(|event| serde_json::from_slice(&event.data).ok());
        let identity: Identity<'_> = identity.unwrap_or_default();
        self.id = identity.id.and_then(parse).unwrap_or_default();
        out.push(StreamEvent::Start {
            id: self.id.clone(),
            model: identity.model.and_then(parse).unwrap_or_default(),
            created: identity
                .created
                .and_then(parse::<Value>)
                .as_ref()
                .and_then(seconds),
            usage: None,
        });
    }

    fn choice(&mut self, choice: &Choice<'_>, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let index = choice.index.index().unwrap_or(0);
        let position = match self.choices.iter().position(|state| state.index == index) {
            Some(position) => position,
            None if self.choices.len() == PIECES_MAX => {
                return Err(ReadError::shape("choices", "are too many"));
            }
            None => {
                self.choices.push(ChoiceState {
                    index,
                    ..ChoiceState::default()
                });
                self.choices.len() - 1
            }
        };
        let state = &mut self.choices[position];
        if let Some(text) = &choice.text {
            state.text(Kind::Text, &text.0, out);
        }
        if let Some(delta) = &choice.delta {
            state.delta(delta, &self.id, out)?;
        }
        let logprobs = choice
            .logprobs
            .and_then(parse::<Value>)
            .filter(Value::is_object);
        out.extend(logprobs.map(|value| StreamEvent::Logprobs {
            choice: index,
            value,
        }));
        let stop = choice
            .finish_reason
            .as_ref()
            .and_then(|word| stop_reason(&word.0));
        state.stop = state.stop.take().or(stop);
        Ok(())
    }
}

// === impl ChoiceState ===

impl ChoiceState {
    fn delta(
        &mut self,
        delta: &WireDelta<'_>,
        answer_id: &str,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        self.reasoning(delta, out);
        if let Some(content) = delta.content {
            self.content(content, out);
        }
        if let Some(refusal) = &delta.refusal {
            self.text(Kind::Refusal, &refusal.0, out);
        }
        for piece in delta.tool_calls.iter().flatten() {
            let index = piece.index.index();
            let id = piece.id.as_ref().map_or("", |id| &id.0);
            let (kind, said) = match &piece.custom {
                Some(custom) => (ToolKind::Custom, Some(custom)),
                None => (ToolKind::Function, piece.function.as_ref()),
            };
            self.tool_call(index, id, kind, said, answer_id, out)?;
        }
        if let Some(function) = &delta.function_call {
            self.tool_call(None, "", ToolKind::Function, Some(function), answer_id, out)?;
        }
        if let Some(audio) = delta.audio.and_then(parse::<Value>) {
            self.foreign("audio", audio, out);
        }
        if let Some(annotations) = delta.annotations.and_then(parse::<Value>) {
            self.cite(citations_of(&annotations));
        }
        Ok(())
    }

    /// Reasoning. The same text may be given under several names.
    fn reasoning(&mut self, delta: &WireDelta<'_>, out: &mut Vec<StreamEvent>) {
        let details = delta
            .reasoning_details
            .and_then(parse::<Vec<ReasoningDetail<'_>>>);
        let details = details.unwrap_or_default();
        let texts = [&delta.reasoning_content, &delta.reasoning];
        let text = texts.into_iter().flatten().find(|text| !text.0.is_empty());
        if let Some(text) = text.filter(|_| details.is_empty()) {
            self.text(Kind::Reasoning(None), &text.0, out);
        }
        for detail in details {
            let kind = Kind::Reasoning(detail.index);
            let (data, signature) = (detail.data, detail.signature);
            match (data, detail.text.or(detail.summary), signature) {
                (Some(data), None, None) => self.redacted(data.into_owned(), out),
                (_, text, signature) => {
                    self.text(kind, &text.unwrap_or_default(), out);
                    self.signature(kind, &signature.unwrap_or_default(), out);
                }
            }
        }
    }

    fn signature(&mut self, kind: Kind, signature: &str, out: &mut Vec<StreamEvent>) {
        if signature.is_empty() {
            return;
        }
        let part = self.open(kind, out);
        out.push(StreamEvent::Delta {
            choice: self.index,
            part,
            delta: Delta::Signature(signature.to_owned()),
        });
    }

    /// Keeps citations for the text that is going on, but for addresses that it cites already.
    fn cite(&mut self, more: Vec<Value>) {
        for citation in more {
            let known = |known: &Value| known["url"] == citation["url"];
            if self.citations.len() < PIECES_MAX && !self.citations.iter().any(known) {
                self.citations.push(citation);
            }
        }
    }

    fn redacted(&mut self, data: String, out: &mut Vec<StreamEvent>) {
        let part = self.begin(PartStart::RedactedReasoning { data }, out);
        out.push(StreamEvent::PartStop {
            choice: self.index,
            part,
        });
    }

    fn content(&mut self, content: &RawValue, out: &mut Vec<StreamEvent>) {
        if !content.get().starts_with('[') {
            return self.text(Kind::Text, &text_of(content), out);
        }
        for part in parse::<Vec<ContentPart<'_>>>(content).unwrap_or_default() {
            for thought in part.thinking.iter().flatten() {
                let kind = Kind::Reasoning(None);
                if let Some(text) = &thought.text {
                    self.text(kind, &text.0, out);
                }
                if let Some(signature) = &thought.signature {
                    self.signature(kind, &signature.0, out);
                }
            }
            if let Some(text) = &part.text {
                self.text(Kind::Text, &text.0, out);
            }
        }
    }

    fn text(&mut self, kind: Kind, text: &str, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let part = self.open(kind, out);
        let delta = if matches!(kind, Kind::Reasoning(_)) {
            Delta::Reasoning(text.to_owned())
        } else {
            Delta::Text(text.to_owned())
        };
        out.push(StreamEvent::Delta {
            choice: self.index,
            part,
            delta,
        });
    }

    fn tool_call(
        &mut self,
        index: Option<u32>,
        id: &str,
        kind: ToolKind,
        function: Option<&FunctionPiece<'_>>,
        answer_id: &str,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let name = function.and_then(|function| function.name.as_ref());
        let name = name.map_or("", |name| &name.0);
        let part = match self.known_tool_call(index, id, name) {
            Some(part) => part,
            None if self.tool_calls.len() == PIECES_MAX => {
                return Err(ReadError::shape("tool_calls", "are too many"));
            }
            None => self.begin_tool_call((index, id), kind, name, answer_id, out),
        };
        let arguments = function
            .and_then(|function| function.arguments)
            .map(text_of);
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
            let delta = Delta::Arguments(arguments.into_owned());
            out.push(StreamEvent::Delta {
                choice: self.index,
                part,
                delta,
            });
        }
        Ok(())
    }

    /// The tool call that a piece goes on. Pieces belong together by their index; but some providers give the same index to
    /// all, or none, so that another id begins another call, and where there is neither, a name does.
    fn known_tool_call(&self, index: Option<u32>, id: &str, name: &str) -> Option<u32> {
        let known = match index {
            Some(_) => self
                .tool_calls
                .iter()
                .rev()
                .find(|call| call.index == index)?,
            None if id.is_empty() && name.is_empty() => self.tool_calls.last()?,
            None if id.is_empty() => return None,
            None => self.tool_calls.iter().rev().find(|call| call.id == id)?,
        };
        (id.is_empty() || known.id == id).then_some(known.part)
    }

    fn begin_tool_call(
        &mut self,
        (index, id): (Option<u32>, &str),
        kind: ToolKind,
        name: &str,
        answer_id: &str,
        out: &mut Vec<StreamEvent>,
    ) -> u32 {
        let id = if id.is_empty() {
            tool_call_id(answer_id, self.index, self.tool_calls.len())
        } else {
            id.to_owned()
        };
        let part = self.begin(
            PartStart::ToolCall {
                id: id.clone(),
                name: name.to_owned(),
                kind,
            },
            out,
        );
        self.tool_calls.push(ToolCallState { index, id, part });
        part
    }

    /// What only this dialect understands: passed on as the member of the delta that it was.
    fn foreign(&self, name: &str, value: Value, out: &mut Vec<StreamEvent>) {
        out.push(StreamEvent::Foreign(
            json!({"choice": self.index, "delta": {name: value}}),
        ));
    }

    /// The number of the part of this kind that is going on, or that begins now.
    fn open(&mut self, kind: Kind, out: &mut Vec<StreamEvent>) -> u32 {
        match self.open {
            Some((open, part)) if open == kind => part,
            _ => {
                let start = match kind {
                    Kind::Text => PartStart::Text,
                    Kind::Refusal => PartStart::Refusal,
                    Kind::Reasoning(_) => PartStart::Reasoning,
                };
                let part = self.begin(start, out);
                self.open = Some((kind, part));
                part
            }
        }
    }

    fn begin(&mut self, start: PartStart, out: &mut Vec<StreamEvent>) -> u32 {
        self.close(out);
        let part = self.parts;
        self.parts += 1;
        out.push(StreamEvent::PartStart {
            choice: self.index,
            part,
            start,
        });
        part
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        let Some((kind, part)) = self.open.take() else {
            return;
        };
        let choice = self.index;
        if kind == Kind::Text {
            let citations = self.citations.drain(..).map(Delta::Citation);
            out.extend(citations.map(|delta| StreamEvent::Delta {
                choice,
                part,
                delta,
            }));
        }
        out.push(StreamEvent::PartStop { choice, part });
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.close(out);
        for call in self.tool_calls.drain(..) {
            out.push(StreamEvent::PartStop {
                choice: self.index,
                part: call.part,
            });
        }
        if let Some(reason) = self.stop.take() {
            out.push(StreamEvent::Stop {
                choice: self.index,
                stop: Stop::new(reason),
            });
        }
    }
}
