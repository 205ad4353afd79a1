//! [`StreamEvent`]s in, chunks out.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::Value;
use tollgate_domain::{ErrorShape, Usage};

use super::super::{
    answer::{annotation, extra_content, whole_logprobs},
    usage::write_usage,
    wire::{ReasoningDetail, finish_reason, short},
};
use crate::{
    AnswerForm, Delta, ErrorReport, PartStart, ProviderError, StreamEvent, ToolKind,
    gemini_generate::geminis_signature, translate::WriteEvents,
};

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    frame: Frame,
    /// By their numbers; a whole answer that is told as a stream may have any number of them.
    choices: BTreeMap<u32, ChoiceOut>,
}

/// What the chunks of chat and of text completions share.
#[derive(Debug)]
pub(crate) struct Frame {
    object: &'static str,
    id: String,
    model: String,
    created: i64,
    include_usage: bool,
    usage: Option<Usage>,
}

/// What has been written of a choice.
#[derive(Debug, Default)]
struct ChoiceOut {
    has_role: bool,
    /// Which parts are tool calls, in the order in which they have begun.
    tool_calls: Vec<(u32, ToolKind)>,
    /// How many parts of reasoning have begun.
    reasonings: u32,
    /// Characters of text so far.
    length: usize,
    /// The part that is a refusal.
    refusal: Option<u32>,
    /// Where the current text began, and its citations; they are written at its end, when their range is known.
    cited_from: usize,
    citations: Vec<Value>,
    /// Gemini's proof of what comes next.
    signature: Option<String>,
}

#[derive(Serialize)]
struct ChunkOut<'a, C> {
    id: &'a str,
    object: &'a str,
    created: i64,
    model: &'a str,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct ChoiceChunk<'a, D> {
    index: u32,
    delta: WithRole<D>,
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct WithRole<D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(flatten)]
    delta: D,
}

#[derive(Default, Serialize)]
struct DeltaOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[ReasoningDetail<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCallOut<'a>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Value>,
}

#[derive(Serialize)]
struct ToolCallOut<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    said: SaidOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<Value>,
}

/// A piece of a call, by the kind of its tool.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SaidOut<'a> {
    Function {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        arguments: &'a str,
    },
    Custom {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        input: &'a str,
    },
}

impl<'a> SaidOut<'a> {
    fn new(kind: ToolKind, name: Option<&'a str>, arguments: &'a str) -> Self {
        match kind {
            ToolKind::Custom => Self::Custom {
                name,
                input: arguments,
            },
            ToolKind::Function | ToolKind::Foreign => Self::Function { name, arguments },
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Function { .. } => "function",
            Self::Custom { .. } => "custom",
        }
    }
}

// === impl StreamWriter ===

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect; many are nothing.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match event {
            StreamEvent::PartStart {
                choice,
                part,
                start,
            } => self.part_start(*choice, *part, start, out),
            StreamEvent::Delta {
                choice,
                part,
                delta,
            } => self.delta(*choice, *part, delta, out),
            StreamEvent::PartStop { choice, .. } => self.part_stop(*choice, out),
            StreamEvent::Logprobs { choice, value } => {
                let value = whole_logprobs(value);
                self.chunk(*choice, DeltaOut::default(), Some(&value), None, out)
            }
            StreamEvent::Stop { choice, stop } => {
                self.chunk(
                    *choice,
                    DeltaOut::default(),
                    None,
                    Some(finish_reason(&stop.reason)),
                    out,
                );
            }
            StreamEvent::Foreign(value) => {
                // Only what this dialect's reader left so; see `ChoiceState::foreign`.
                let choice = value
                    .get("choice")
                    .and_then(Value::as_u64)
                    .and_then(|choice| u32::try_from(choice).ok());
                if let (Some(choice), Some(delta)) = (choice, value.get("delta")) {
                    self.chunk(choice, delta, None, None, out);
                }
            }
            StreamEvent::Start { .. }
            | StreamEvent::Usage(_)
            | StreamEvent::Error(_)
            | StreamEvent::End => self.frame.write(event, out),
        }
    }
}

impl StreamWriter {
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            frame: Frame::new("chat.completion.chunk", form),
            choices: BTreeMap::new(),
        }
    }

    fn part_start(&mut self, choice: u32, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        let state = self.state(choice);
        match start {
            PartStart::Text => state.cited_from = state.length,
            PartStart::Reasoning => state.reasonings += 1,
            PartStart::RedactedReasoning { data } => {
                state.reasonings += 1;
                state.signature = geminis_signature(data).map(str::to_owned);
                let detail = state.reasoning_detail("reasoning.encrypted", |detail| {
                    detail.data = Some(Cow::Borrowed(data))
                });
                self.chunk(
                    choice,
                    DeltaOut {
                        reasoning_details: Some([detail]),
                        ..DeltaOut::default()
                    },
                    None,
                    None,
                    out,
                );
            }
            PartStart::ToolCall { id, name, kind } => {
                state.tool_calls.push((part, *kind));
                let index = state.tool_calls.len() - 1;
                let said = SaidOut::new(*kind, Some(name), "");
                let call = ToolCallOut {
                    index,
                    id: Some(id),
                    kind: Some(said.kind()),
                    said,
                    extra_content: state.signature.take().map(extra_content),
                };
                self.chunk(
                    choice,
                    DeltaOut {
                        tool_calls: Some([call]),
                        ..DeltaOut::default()
                    },
                    None,
                    None,
                    out,
                );
            }
            PartStart::Refusal => state.refusal = Some(part),
            PartStart::Foreign(_) => {}
        }
    }

    fn delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let state = self.state(choice);
        let mut chunk = DeltaOut::default();
        match delta {
            Delta::Text(text) if state.refusal == Some(part) => chunk.refusal = Some(text),
            Delta::Text(text) => {
                state.length += text.chars().count();
                chunk.content = Some(text);
            }
            Delta::Reasoning(text) => {
                chunk.reasoning_content = Some(text);
                chunk.reasoning_details = Some([state
                    .reasoning_detail("reasoning.text", |detail| {
                        detail.text = Some(Cow::Borrowed(text))
                    })]);
            }
            Delta::Signature(signature) => {
                let detail = state.reasoning_detail("reasoning.text", |detail| {
                    detail.signature = Some(Cow::Borrowed(signature))
                });
                chunk.reasoning_details = Some([detail]);
            }
            Delta::Arguments(arguments) => {
                // Parts are numbered in the order in which they begin.
                let calls = &state.tool_calls;
                let Ok(index) = calls.binary_search_by_key(&part, |(part, _)| *part) else {
                    return;
                };
                chunk.tool_calls = Some([ToolCallOut {
                    index,
                    id: None,
                    kind: None,
                    said: SaidOut::new(calls[index].1, None, arguments),
                    extra_content: None,
                }]);
            }
            Delta::Citation(citation) => {
                state.citations.push(citation.clone());
                return;
            }
            Delta::Foreign(_) => return,
        }
        self.chunk(choice, chunk, None, None, out);
    }

    fn part_stop(&mut self, choice: u32, out: &mut Vec<u8>) {
        let state = self.state(choice);
        let (from, to) = (state.cited_from, state.length);
        let annotations: Vec<Value> = state
            .citations
            .drain(..)
            .filter_map(|citation| annotation(&citation, from, to))
            .collect();
        if !annotations.is_empty() {
            self.chunk(
                choice,
                DeltaOut {
                    annotations,
                    ..DeltaOut::default()
                },
                None,
                None,
                out,
            );
        }
    }

    fn chunk(
        &mut self,
        choice: u32,
        delta: impl Serialize,
        logprobs: Option<&Value>,
        finish_reason: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let state = self.state(choice);
        let role = (!std::mem::replace(&mut state.has_role, true)).then_some("assistant");
        self.frame.chunk(
            &[ChoiceChunk {
                index: choice,
                delta: WithRole { role, delta },
                logprobs,
                finish_reason,
            }],
            out,
        );
    }

    fn state(&mut self, index: u32) -> &mut ChoiceOut {
        self.choices.entry(index).or_default()
    }
}

impl ChoiceOut {
    fn reasoning_detail<'a>(
        &self,
        kind: &'static str,
        fill: impl FnOnce(&mut ReasoningDetail<'a>),
    ) -> ReasoningDetail<'a> {
        let mut detail = ReasoningDetail {
            kind: Cow::Borrowed(kind),
            text: None,
            summary: None,
            signature: None,
            data: None,
            index: Some(self.reasonings.saturating_sub(1)),
        };
        fill(&mut detail);
        detail
    }
}

// === impl Frame ===

impl Frame {
    pub(crate) fn new(object: &'static str, form: &AnswerForm<'_>) -> Self {
        Self {
            object,
            id: form.fallback_id.to_owned(),
            model: form.fallback_model.to_owned(),
            created: form.created,
            include_usage: form.include_usage,
            usage: None,
        }
    }

    /// Takes in, or appends, the events that are no choice's.
    pub(crate) fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match event {
            StreamEvent::Start {
                id,
                model,
                created,
                usage,
            } => self.start(id, model, *created, usage.as_ref()),
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage),
            StreamEvent::Error(error) => write_error(error, out),
            StreamEvent::End => {
                if let Some(usage) = self.usage.filter(|_| self.include_usage) {
                    self.emit::<Value>(&[], Some(write_usage(&usage)), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            _ => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, created: Option<i64>, usage: Option<&Usage>) {
        // Every chunk repeats both, so that long ones would cost their length each time.
        if !id.is_empty() {
            short(id).clone_into(&mut self.id);
        }
        if !model.is_empty() {
            short(model).clone_into(&mut self.model);
        }
        self.created = created.unwrap_or(self.created);
        self.usage = usage.copied();
    }

    /// Appends a chunk with these choices.
    pub(crate) fn chunk(&self, choices: &[impl Serialize], out: &mut Vec<u8>) {
        self.emit(choices, None, out);
    }

    fn emit<C: Serialize>(&self, choices: &[C], usage: Option<Value>, out: &mut Vec<u8>) {
        let chunk = ChunkOut {
            id: &self.id,
            object: self.object,
            created: self.created,
            model: &self.model,
            choices,
            usage,
        };
        out.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut *out, &chunk).expect("a chunk is JSON, and memory takes it");
        out.extend_from_slice(b"\n\n");
    }
}

/// An error as OpenAI sends it within a stream: a chunk that is nothing else, with no end mark after it.
fn write_error(error: &ProviderError, out: &mut Vec<u8>) {
    let report = ErrorReport {
        status: error.status,
        kind: error.kind,
        code: error.code.as_deref(),
        message: &error.message,
        param: error.param.as_deref(),
        request_id: "",
    };
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&crate::error::write(ErrorShape::Openai, &report));
    out.extend_from_slice(b"\n\n");
}
