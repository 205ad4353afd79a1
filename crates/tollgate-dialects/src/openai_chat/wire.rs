//! Shapes that OpenAI's endpoints share: what is read of a stream's chunks, finish reasons, texts in odd forms. Usage is in `usage.rs`.
//!
//! Texts are borrowed from the event they came in. Fields that are seldom needed, or that providers fill with the most
//! different things, stay unread ([`RawValue`]) until they are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::usage::{Count, WireUsage};
use crate::{ProviderError, SseEvent, StopReason, error::read_in_stream};

/// The end mark of a stream.
const DONE: &[u8] = b"[DONE]";

/// Most bytes of a name that is repeated many times.
const REPEATED_BYTES_MAX: usize = 256;

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// What an event of a stream says.
pub(crate) enum Told<'a, C = Choice<'a>> {
    /// Nothing: it is a comment.
    Nothing,
    /// The answer goes on.
    Chunk(Chunk<'a, C>),
    /// The provider failed.
    Error(ProviderError),
    /// The answer is complete.
    End,
}

/// One chunk of a stream, of chat or of text completions; of its choices `C` is read.
#[derive(Deserialize)]
pub(crate) struct Chunk<'a, C = Choice<'a>> {
    #[serde(default = "Option::default")]
    pub(crate) choices: Option<Vec<C>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    /// Groq's place for usage.
    #[serde(borrow, default)]
    x_groq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    /// `error` where the whole chunk is one (vLLM).
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    /// What a search found (Perplexity, xAI, Zhipu); see `sources`.
    #[serde(borrow, default)]
    search_results: Option<&'a RawValue>,
    #[serde(borrow, default)]
    citations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    web_search: Option<&'a RawValue>,
    /// Of a length that makes all chunks equally long (OpenAI).
    #[serde(borrow, default)]
    obfuscation: Option<&'a RawValue>,
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
        let plain = |text: &'a RawValue| {
            let text = text.get().strip_prefix('"')?.strip_suffix('"')?;
            (!text.is_empty() && !text.contains('\\')).then_some(text)
        };
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

/// Reads an event of a stream.
pub(crate) fn read_event<'a, C: Deserialize<'a>>(
    event: &'a SseEvent,
) -> Result<Told<'a, C>, serde_json::Error> {
    let error = || Told::Error(read_in_stream(Dialect::OpenaiChat, &event.data));
    Ok(match event.data.trim_ascii() {
        b"" => Told::Nothing,
        DONE => Told::End,
        _ if &*event.name == b"error" => error(),
        _ => {
            let chunk: Chunk<'_, C> = serde_json::from_slice(&event.data)?;
            if chunk.is_error() {
                error()
            } else {
                Told::Chunk(chunk)
            }
        }
    })
}

impl<'a, C> Chunk<'a, C> {
    /// A text that only makes the chunk longer, if it has no escapes.
    pub(crate) fn padding(&self) -> Option<&'a str> {
        let text = self.obfuscation?.get();
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        (!text.contains('\\')).then_some(text)
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
            self.x_groq
                .and_then(parse::<Groq<'_>>)
                .and_then(|groq| groq.usage)
        };
        let usage = parse::<WireUsage>(self.usage.or_else(groq)?)?.into_usage()?;
        let tier = self.service_tier.and_then(parse::<Text<'_>>);
        Some(usage.in_tier(tier.as_ref().map(|tier| &*tier.0)))
    }

    /// What a search found, if the chunk says.
    pub(crate) fn sources(&self) -> Option<&RawValue> {
        self.search_results.or(self.citations).or(self.web_search)
    }

    fn is_error(&self) -> bool {
        self.error.is_some()
            || self
                .object
                .is_some_and(|object| object.get() == r#""error""#)
    }
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
