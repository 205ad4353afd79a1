//! Chunks in, [`StreamEvent`]s out. Whole answers are read here as well: they are streams of one chunk.
//!
//! There is no end mark: an answer is complete when every candidate has a finish reason and the body has ended cleanly.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::super::{
    citations,
    glimpse::{is_block, word},
    logprobs, proofs,
    searches::Searches,
    wire::{WireUsage, stop_reason},
};
use crate::{
    Delta, PartStart, ReadError, SseEvent, Stop, StreamEvent, ToolKind,
    error::read_in_stream,
    openai_chat::{Count, Text, parse, tool_call_id},
    translate::ReadEvents,
};

/// Most candidates of one answer: what a reader remembers of a stream has a bound.
const CANDIDATES_MAX: usize = 64;

/// Most bytes of a text in which places of citations are found.
const CITED_BYTES_MAX: usize = 1 << 20;

/// Most citations of one candidate.
const CITATIONS_MAX: usize = 4096;

/// Reads the chunks of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    started: bool,
    id: String,
    choices: Vec<ChoiceState>,
    searches: Searches,
}

#[derive(Debug, Default)]
struct ChoiceState {
    index: u32,
    /// How many parts have begun.
    parts: u32,
    /// The text or reasoning that is going on.
    open: Option<(Kind, u32)>,
    /// How many functions were called.
    calls: usize,
    /// The text that is going on, as far as it is remembered.
    text: String,
    cited: Vec<Value>,
    /// The proof of what was said last, which is told before what comes next.
    proof: Option<String>,
    /// Why it ended. Told at the end of the stream only: some models have sent content after it.
    stop: Option<String>,
    blocked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

/// One chunk of a stream, or a whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Chunk<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    grounding_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    citation_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default)]
    thought_signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    block_reason_message: Option<Text<'a>>,
}

// === impl Chunk ===

impl<'a> Chunk<'a> {
    pub(in super::super) fn of(data: &'a [u8]) -> Result<Self, ReadError> {
        serde_json::from_slice(data).map_err(|error| ReadError::Json(error.to_string()))
    }

    /// Whether the provider failed.
    pub(in super::super) fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// Whether it says anything that an answer says.
    pub(in super::super) fn is_answer(&self) -> bool {
        self.candidates.is_some()
            || self.prompt_feedback.is_some()
            || self.usage_metadata.is_some()
            || self.response_id.is_some()
    }

    fn usage(&self) -> Option<Usage> {
        parse::<WireUsage>(self.usage_metadata?)?.into_usage()
    }

    /// Why the prompt was not answered, where it was not.
    fn block(&self) -> Option<Feedback<'a>> {
        let feedback: Feedback<'_> = parse(self.prompt_feedback?)?;
        is_block(feedback.block_reason?).then_some(feedback)
    }
}

// === impl StreamReader ===

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        match event.data.trim_ascii() {
            b"" => Ok(()),
            // Not Google's, but of some that imitate it.
            b"[DONE]" => {
                self.end(out);
                Ok(())
            }
            data => {
                let chunk = Chunk::of(data)?;
                if chunk.is_error() {
                    let error = read_in_stream(Dialect::GeminiGenerate, data);
                    out.push(StreamEvent::Error(error));
                    return Ok(());
                }
                self.chunk(&chunk, out)
            }
        }
    }

    fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.stop.is_some())
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.start(None, out);
        for choice in &mut self.choices {
            choice.end(out);
        }
        out.push(StreamEvent::End);
    }
}

impl StreamReader {
    /// Reads a chunk that is no error.
    pub(in super::super) fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        self.start(Some(chunk), out);
        for candidate in chunk.candidates.iter().flatten() {
            if let Some(grounding) = candidate.grounding_metadata {
                self.searches.note(grounding, chunk.model_version);
            }
            self.candidate(candidate, out)?;
        }
        if let Some(block) = chunk.block() {
            let choice = self.choice(0)?;
            choice.stop = Some("SAFETY".to_owned());
            let message = block.block_reason_message;
            if let Some(message) = message.filter(|_| !std::mem::replace(&mut choice.blocked, true))
            {
                choice.refuse(&message.0, out);
            }
        }
        let usage = chunk.usage().map(|usage| self.searches.of(usage));
        out.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }

    /// Tells that the answer begins, if it was not told yet.
    fn start(&mut self, chunk: Option<&Chunk<'_>>, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |raw: Option<&RawValue>| raw.and_then(parse::<String>).unwrap_or_default();
        self.id = text(chunk.and_then(|chunk| chunk.response_id));
        out.push(StreamEvent::Start {
            id: self.id.clone(),
            model: text(chunk.and_then(|chunk| chunk.model_version)),
            created: None,
            usage: None,
        });
    }

    fn choice(&mut self, index: u32) -> Result<&mut ChoiceState, ReadError> {
        let position = self.choices.iter().position(|state| state.index == index);
        let position = match position {
            Some(position) => position,
            None if self.choices.len() == CANDIDATES_MAX => {
                return Err(ReadError::shape("candidates", "are too many"));
            }
            None => {
                self.choices.push(ChoiceState {
                    index,
                    ..ChoiceState::default()
                });
                self.choices.len() - 1
            }
        };
        Ok(&mut self.choices[position])
    }

    fn candidate(
        &mut self,
        candidate: &Candidate<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let id = std::mem::take(&mut self.id);
        let index = candidate.index.index().unwrap_or(0);
        let state = self.choice(index)?;
        let content = candidate.content.and_then(parse::<Content<'_>>);
        for part in content
            .and_then(|content| content.parts)
            .into_iter()
            .flatten()
        {
            state.part(part, &id, out);
        }
        state.cite(candidate, out);
        let logprobs = candidate.logprobs_result.and_then(parse::<Value>);
        let logprobs = logprobs.as_ref().and_then(logprobs::read);
        out.extend(logprobs.map(|value| StreamEvent::Logprobs {
            choice: index,
            value,
        }));
        let reason = candidate.finish_reason.map(word);
        let reason = reason.filter(|word| stop_reason(word, false).is_some());
        if let Some(reason) = reason {
            state.stop = Some(reason.to_owned());
        }
        self.id = id;
        Ok(())
    }
}

// === impl ChoiceState ===

impl ChoiceState {
    fn part(&mut self, raw: &RawValue, answer_id: &str, out: &mut Vec<StreamEvent>) {
        let part = parse::<WirePart<'_>>(raw);
        match part {
            Some(WirePart {
                function_call: Some(call),
                thought_signature,
                ..
            }) => self.call(&call, thought_signature.as_deref(), answer_id, out),
            Some(WirePart {
                text: Some(text),
                thought: Some(true),
                thought_signature,
                ..
            }) => self.thought(&text.0, thought_signature.as_deref(), out),
            Some(WirePart {
                text: Some(text),
                thought_signature,
                ..
            }) => {
                let goes_on = matches!(self.open, Some((Kind::Text, _)));
                if !goes_on {
                    self.prove(thought_signature.as_deref());
                }
                self.said(Kind::Text, &text.0, out);
                if goes_on {
                    self.prove(thought_signature.as_deref());
                }
            }
            _ => self.other(raw, out),
        }
    }

    /// What only Gemini understands, whole, with the name of what it is as its type.
    fn other(&mut self, raw: &RawValue, out: &mut Vec<StreamEvent>) {
        let Some(Value::Object(mut part)) = parse::<Value>(raw) else {
            return;
        };
        let mut names = part.keys();
        let kind = names.find(|name| !["thought", "thoughtSignature"].contains(&name.as_str()));
        let Some(kind) = kind.cloned() else {
            return self.prove(part.get("thoughtSignature").and_then(Value::as_str));
        };
        part.shift_insert(0, "type".to_owned(), Value::String(kind));
        self.whole(PartStart::Foreign(Value::Object(part)), None, out);
    }

    /// Remembers a proof until what it proves has ended.
    fn prove(&mut self, signature: Option<&str>) {
        if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
            self.proof = Some(proofs::from_wire(signature));
        }
    }

    fn thought(&mut self, text: &str, signature: Option<&str>, out: &mut Vec<StreamEvent>) {
        self.said(Kind::Reasoning, text, out);
        if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
            let part = self.open(Kind::Reasoning, out);
            let delta = Delta::Signature(proofs::from_wire(signature));
            self.delta(part, delta, out);
            self.close(out);
        }
    }

    fn said(&mut self, kind: Kind, text: &str, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let part = self.open(kind, out);
        let delta = match kind {
            Kind::Text => {
                if self.text.len() + text.len() <= CITED_BYTES_MAX {
                    self.text.push_str(text);
                }
                Delta::Text(text.to_owned())
            }
            Kind::Reasoning => Delta::Reasoning(text.to_owned()),
        };
        self.delta(part, delta, out);
    }

    fn call(
        &mut self,
        call: &FunctionCall<'_>,
        signature: Option<&str>,
        answer_id: &str,
        out: &mut Vec<StreamEvent>,
    ) {
        let id = call.id.as_ref().map_or("", |id| &id.0);
        let id = if id.is_empty() {
            tool_call_id(answer_id, self.index, self.calls)
        } else {
            id.to_owned()
        };
        self.calls += 1;
        self.close(out);
        self.tell_proof(out);
        self.prove(signature);
        self.tell_proof(out);
        let name = call.name.as_ref().map(|name| name.0.clone().into_owned());
        let name = name.unwrap_or_default();
        let args = call.args.and_then(parse::<Value>);
        let args = args.filter(|args| !args.is_null());
        let arguments = Delta::Arguments(args.map_or("{}".to_owned(), |args| args.to_string()));
        let kind = ToolKind::Function;
        self.whole(PartStart::ToolCall { id, name, kind }, Some(arguments), out);
    }

    /// A text of the provider's that says why the prompt is not answered.
    fn refuse(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        let delta = Delta::Text(text.to_owned());
        self.whole(PartStart::Refusal, Some(delta), out);
    }

    /// Where what was said was taken from. The last chunk tells it, or each what is new.
    fn cite(&mut self, candidate: &Candidate<'_>, out: &mut Vec<StreamEvent>) {
        let grounding = candidate.grounding_metadata.and_then(parse::<Value>);
        let sources = candidate.citation_metadata.and_then(parse::<Value>);
        if grounding.is_none() && sources.is_none() {
            return;
        }
        for citation in citations::read(grounding.as_ref(), sources.as_ref(), &self.text) {
            if self.cited.contains(&citation) || self.cited.len() == CITATIONS_MAX {
                continue;
            }
            let part = self.open(Kind::Text, out);
            self.delta(part, Delta::Citation(citation.clone()), out);
            self.cited.push(citation);
        }
    }

    // --- parts ---

    /// The number of the part of this kind that is going on, or that begins now.
    fn open(&mut self, kind: Kind, out: &mut Vec<StreamEvent>) -> u32 {
        match self.open {
            Some((open, part)) if open == kind => part,
            _ => {
                self.close(out);
                self.tell_proof(out);
                let start = match kind {
                    Kind::Text => PartStart::Text,
                    Kind::Reasoning => PartStart::Reasoning,
                };
                let part = self.begin(start, out);
                self.open = Some((kind, part));
                if kind == Kind::Text {
                    self.text.clear();
                }
                part
            }
        }
    }

    /// A part that is told at once.
    fn whole(&mut self, start: PartStart, delta: Option<Delta>, out: &mut Vec<StreamEvent>) {
        self.close(out);
        self.tell_proof(out);
        let part = self.begin(start, out);
        if let Some(delta) = delta {
            self.delta(part, delta, out);
        }
        out.push(StreamEvent::PartStop {
            choice: self.index,
            part,
        });
    }

    fn tell_proof(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some(data) = self.proof.take() {
            let part = self.begin(PartStart::RedactedReasoning { data }, out);
            out.push(StreamEvent::PartStop {
                choice: self.index,
                part,
            });
        }
    }

    fn begin(&mut self, start: PartStart, out: &mut Vec<StreamEvent>) -> u32 {
        let part = self.parts;
        self.parts = self.parts.saturating_add(1);
        out.push(StreamEvent::PartStart {
            choice: self.index,
            part,
            start,
        });
        part
    }

    fn delta(&self, part: u32, delta: Delta, out: &mut Vec<StreamEvent>) {
        out.push(StreamEvent::Delta {
            choice: self.index,
            part,
            delta,
        });
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some((_, part)) = self.open.take() {
            out.push(StreamEvent::PartStop {
                choice: self.index,
                part,
            });
        }
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.close(out);
        self.tell_proof(out);
        let stop = self.stop.take();
        let reason = stop.and_then(|word| stop_reason(&word, self.calls > 0));
        if let Some(reason) = reason {
            out.push(StreamEvent::Stop {
                choice: self.index,
                stop: Stop::new(reason),
            });
        }
    }
}
