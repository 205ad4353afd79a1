//! Shapes that OpenAI's endpoints share: what is read of a stream's chunks, finish reasons, texts in odd forms. Usage is in `usage.rs`.
//!
//! Texts are borrowed from the event they came in. Fields that are seldom needed, or that providers fill with the most
//! different things, stay unread ([`RawValue`]) until they are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::usage::{Count, WireUsage};
use crate::{
    ProviderError, ReadError, SseEvent, StopReason,
    error::read_in_stream,
    head::{lenient, text_of as text_of_body},
    skim::{self, Fault, Skimmer},
};

/// The end mark of a stream.
const DONE: &[u8] = b"[DONE]";

/// Most bytes of a name that is repeated many times.
const REPEATED_BYTES_MAX: usize = 256;

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// What an event of a stream says.
pub(crate) enum Told<'a, C> {
    /// Nothing: it is a comment.
    Nothing,
    /// The answer goes on.
    Chunk(Chunk<'a, C>),
    /// The provider failed.
    Error(ProviderError),
    /// The answer is complete.
    End,
}

/// One chunk of a stream, of chat or of text completions; of its choices `C` is read. Members that are null are not there, and of those that come
/// twice the later one counts.
pub(crate) struct Chunk<'a, C> {
    pub(crate) choices: Vec<C>,
    usage: Option<&'a str>,
    service_tier: Option<&'a str>,
    /// Groq's place for usage.
    x_groq: Option<&'a str>,
    model: Option<&'a str>,
    error: Option<&'a str>,
    /// `error` where the whole chunk is one (vLLM).
    object: Option<&'a str>,
    /// What a search found (Perplexity, xAI, Zhipu); see `sources`.
    search_results: Option<&'a str>,
    citations: Option<&'a str>,
    web_search: Option<&'a str>,
    /// Of a length that makes all chunks equally long (OpenAI).
    obfuscation: Option<&'a str>,
}

/// What every chunk repeats, and the first is asked for.
#[derive(Default, Deserialize)]
pub(crate) struct Identity<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) created: Option<&'a RawValue>,
}

/// One choice of a chunk.
#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default)]
    pub(crate) index: Count,
    /// Of chat.
    #[serde(borrow, default)]
    pub(crate) delta: Option<Delta<'a>>,
    /// Of text completions.
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Choice<'a> {
    /// The text that it says, where that stands there without escapes. What it says besides is not looked at.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        let plain = |text: &'a RawValue| plain_text(text.get()).filter(|text| !text.is_empty());
        let said = |text: &'_ Option<Text<'a>>| match text {
            Some(Text(Cow::Borrowed(text))) if !text.is_empty() => Some(*text),
            _ => None,
        };
        let Some(delta) = &self.delta else {
            return said(&self.text);
        };
        delta.content.and_then(plain).or_else(|| {
            // The same is told again there, and that is what counts.
            let is_alone = delta.reasoning_details.is_none();
            let text = said(&delta.reasoning_content).or_else(|| said(&delta.reasoning));
            text.filter(|_| is_alone)
        })
    }
}

impl Choice<'_> {
    /// Whether the provider failed in this choice.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some() || self.finish_reason.as_ref().is_some_and(is_failure)
    }
}

/// Whether a finish reason says that the provider failed: of Mistral and OpenRouter, DeepSeek, Zhipu, and vLLM.
pub(crate) fn is_failure(word: &Text<'_>) -> bool {
    matches!(
        &*word.0,
        "error" | "insufficient_system_resource" | "network_error" | "abort"
    )
}

/// The error of an event whose choice has failed: what is in it, where it says.
pub(crate) fn failed(event: &SseEvent) -> ProviderError {
    failure(&event.data)
}

/// The error of a body, or of a chunk, whose choice has failed.
pub(crate) fn failure(data: &[u8]) -> ProviderError {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        choices: Vec<Failed<'a>>,
    }
    #[derive(Deserialize)]
    struct Failed<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let body: Option<Body<'_>> = serde_json::from_slice(data).ok();
    let said = body.and_then(|body| body.choices.into_iter().find_map(|choice| choice.error));
    let said = said.map_or(
        r#"{"message": "the provider ended its answer with an error"}"#,
        RawValue::get,
    );
    read_in_stream(Dialect::OpenaiChat, said.as_bytes())
}

/// What a chunk adds to a message.
#[derive(Deserialize)]
pub(crate) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<Vec<ToolCallPiece<'a>>>,
    #[serde(borrow, default)]
    pub(crate) function_call: Option<FunctionPiece<'a>>,
    #[serde(borrow, default)]
    pub(crate) audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) annotations: Option<&'a RawValue>,
}

/// A piece of a tool call.
#[derive(Deserialize)]
pub(crate) struct ToolCallPiece<'a> {
    #[serde(default)]
    pub(crate) index: Count,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) function: Option<FunctionPiece<'a>>,
    /// Of tools whose argument is free text.
    #[serde(borrow, default)]
    pub(crate) custom: Option<FunctionPiece<'a>>,
}

/// A piece of a function's name and arguments.
#[derive(Deserialize)]
pub(crate) struct FunctionPiece<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    /// `input` is what it is called where it is free text.
    #[serde(borrow, default, alias = "input")]
    pub(crate) arguments: Option<&'a RawValue>,
}

/// A member of `reasoning_details`, in OpenRouter's form
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>, read 2026-11).
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ReasoningDetail<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u32>,
}

/// A member of a `content` list, in an answer or a delta. Mistral's reasoning is `{"type": "thinking", "thinking": [{"text"}]}`, that
/// of Databricks `{"type": "reasoning", "summary": [{"text", "signature"}]}`.
#[derive(Deserialize)]
pub(crate) struct ContentPart<'a> {
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) signature: Option<Text<'a>>,
    #[serde(borrow, default, alias = "summary")]
    pub(crate) thinking: Option<Vec<ContentPart<'a>>>,
}

// === impl Chunk ===

/// Reads an event of a stream, and its choices by `read_choice`.
///
/// # Errors
/// When it is no chunk.
pub(crate) fn read_event<'a, C>(
    event: &'a SseEvent,
    read_choice: impl FnMut(&mut Skimmer<'a>) -> Result<C, Fault>,
) -> Result<Told<'a, C>, ReadError> {
    let error = || Told::Error(read_in_stream(Dialect::OpenaiChat, &event.data));
    Ok(match event.data.trim_ascii() {
        b"" => Told::Nothing,
        DONE => Told::End,
        _ if &*event.name == b"error" => error(),
        _ => {
            let chunk = Chunk::read(text_of_body(&event.data)?, read_choice)?;
            if chunk.is_error() {
                error()
            } else {
                Told::Chunk(chunk)
            }
        }
    })
}

/// Reads all of a choice.
pub(crate) fn read_choice<'a>(choice: &mut Skimmer<'a>) -> Result<Choice<'a>, Fault> {
    serde_json::from_str(choice.value()?).map_err(|_| Fault::OtherShape("choices"))
}

impl<'a, C> Chunk<'a, C> {
    fn read(
        text: &'a str,
        mut read_choice: impl FnMut(&mut Skimmer<'a>) -> Result<C, Fault>,
    ) -> Result<Self, ReadError> {
        let mut chunk = Self {
            choices: Vec::new(),
            usage: None,
            service_tier: None,
            x_groq: None,
            model: None,
            error: None,
            object: None,
            search_results: None,
            citations: None,
            web_search: None,
            obfuscation: None,
        };
        // How deep it goes is bounded where it is read.
        skim::members(text, usize::MAX, |name, value| {
            let place = match name {
                "choices" => {
                    chunk.choices.clear();
                    return value.elements(|choice| {
                        chunk.choices.push(read_choice(choice)?);
                        Ok(())
                    });
                }
                "usage" => &mut chunk.usage,
                "service_tier" => &mut chunk.service_tier,
                "x_groq" => &mut chunk.x_groq,
                "model" => &mut chunk.model,
                "error" => &mut chunk.error,
                "object" => &mut chunk.object,
                "search_results" => &mut chunk.search_results,
                "citations" => &mut chunk.citations,
                "web_search" => &mut chunk.web_search,
                "obfuscation" => &mut chunk.obfuscation,
                _ => return value.value().map(|_| ()),
            };
            *place = Some(value.value()?).filter(|value| *value != "null");
            Ok(())
        })?;
        Ok(chunk)
    }

    /// A text that only makes the chunk longer, if it has no escapes.
    pub(crate) fn padding(&self) -> Option<&'a str> {
        plain_text(self.obfuscation?)
    }
}

impl<C> Chunk<'_, C> {
    /// What was used so far, if the chunk says.
    pub(crate) fn usage(&self) -> Option<Usage> {
        #[derive(Deserialize)]
        struct Groq<'a> {
            #[serde(borrow, default)]
            usage: Option<&'a RawValue>,
        }
        let groq = || {
            let groq = self.x_groq.and_then(lenient::<Groq<'_>>);
            groq.and_then(|groq| groq.usage).map(RawValue::get)
        };
        let usage = lenient::<WireUsage>(self.usage.or_else(groq)?)?.into_usage()?;
        let tier = self.service_tier.and_then(lenient::<Text<'_>>);
        Some(usage.in_tier(tier.as_ref().map(|tier| &*tier.0)))
    }

    /// The model that answers, if the chunk says.
    pub(crate) fn model(&self) -> Option<Text<'_>> {
        self.model.and_then(lenient)
    }

    /// What a search found, if the chunk says.
    pub(crate) fn sources(&self) -> Option<&str> {
        self.search_results.or(self.citations).or(self.web_search)
    }

    fn is_error(&self) -> bool {
        self.error.is_some() || self.object == Some(r#""error""#)
    }
}

/// The text that a value holds, if it has no escapes.
pub(crate) fn plain_text(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

/// A value of this type, or nothing where it is something else.
pub(crate) fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A text; anything else as the JSON that it is, null as nothing. Some providers give arguments or structured content as
/// objects.
pub(crate) fn text_of(raw: &RawValue) -> Cow<'_, str> {
    match raw.get() {
        "null" => Cow::Borrowed(""),
        text if text.starts_with('"') => {
            parse::<Text<'_>>(raw).map_or(Cow::Borrowed(""), |text| text.0)
        }
        json => Cow::Borrowed(json),
    }
}

/// The beginning of a name that is going to be repeated many times. No provider was seen to give one that is longer.
pub(crate) fn short(name: &str) -> &str {
    let end = name.floor_char_boundary(REPEATED_BYTES_MAX);
    name.get(..end).unwrap_or(name)
}

/// A date in seconds since 1970, whichever kind of number it is.
pub(crate) fn seconds(value: &Value) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "parts of a second do not matter, and the cast saturates"
    )]
    let whole = |seconds: f64| seconds as i64;
    value
        .as_i64()
        .or_else(|| value.as_f64().map(whole))
        .or_else(|| value.as_str()?.parse().ok())
}

/// What a finish reason means; `None` for the empty one that some send before the end.
pub(crate) fn stop_reason(word: &str) -> Option<StopReason> {
    Some(match word {
        "" => return None,
        "stop" | "eos" | "eos_token" | "end_turn" => StopReason::EndTurn,
        "stop_sequence" => StopReason::StopSequence,
        "length" | "max_tokens" => StopReason::MaxTokens,
        // Mistral's and Zhipu's.
        "model_length" | "model_context_window_exceeded" => StopReason::ContextWindow,
        "tool_calls" | "function_call" | "tool_use" => StopReason::ToolUse,
        // The latter is Zhipu's.
        "content_filter" | "sensitive" => StopReason::ContentFilter,
        other => StopReason::Other(other.to_owned()),
    })
}

/// OpenAI's word. Words of other dialects become `stop`.
pub(crate) fn finish_reason(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::Pause
        | StopReason::Other(_) => "stop",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
    }
}
