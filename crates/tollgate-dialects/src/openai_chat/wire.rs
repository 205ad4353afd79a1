//! Shapes that OpenAI's endpoints share: what is read of a stream's chunks, usage, finish reasons, texts in odd forms.
//!
//! Texts are borrowed from the event they came in. Fields that are seldom needed, or that providers fill with the most
//! different things, stay unread ([`RawValue`]) until they are.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use serde_json::{Value, value::RawValue};
use tollgate_domain::{Dialect, Usage};

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

// === usage ===

/// `usage` as providers write it.
#[derive(Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
    /// Without the plural with Writer.
    #[serde(default, alias = "prompt_token_details")]
    prompt_tokens_details: Option<Details>,
    #[serde(default, alias = "completion_token_details")]
    completion_tokens_details: Option<Details>,
    /// DeepSeek's name for cached tokens.
    #[serde(default)]
    prompt_cache_hit_tokens: Count,
    /// Mistral's.
    #[serde(default)]
    num_cached_tokens: Count,
    /// Together's place for them.
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    reasoning_tokens: Count,
    /// What Databricks has of Claude.
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    /// Perplexity's and Vercel's alone: these count reasoning beside both totals.
    #[serde(default)]
    citation_tokens: Count,
    #[serde(default)]
    market_cost: Option<f64>,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    cache_write_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
    #[serde(default)]
    reasoning_tokens: Count,
}

/// A number that is whole and not negative, or nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count(Option<u64>);

impl Count {
    /// As it is.
    pub(crate) fn get(self) -> Option<u64> {
        self.0
    }

    /// As a place in a list.
    pub(crate) fn index(self) -> Option<u32> {
        self.0.and_then(|count| u32::try_from(count).ok())
    }
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    ///
    /// `prompt_tokens` holds cached, written and audio tokens, `completion_tokens` holds reasoning and audio. Some count
    /// reasoning (xAI, Google's copy, which does not name it) or audio (Mistral) beside them: that is where the total says so. Perplexity
    /// and Vercel's gateway, for Google's models, leave reasoning out of the total as well, and charge it.
    pub(crate) fn into_usage(self) -> Option<Usage> {
        let names_output = self.completion_tokens_details.is_some();
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.completion_tokens_details.unwrap_or_default();
        let (prompt, completion) = (self.prompt_tokens.0, self.completion_tokens.0);
        let beside = self.total_tokens.0.zip(prompt).map(|(total, prompt)| {
            total
                .saturating_sub(prompt)
                .saturating_sub(completion.unwrap_or(0))
        });
        let is_beside = |class: Option<u64>| class.is_some() && class != Some(0) && class == beside;

        let mut rest = prompt;
        let input_audio = take(
            &mut rest,
            input.audio_tokens.0,
            is_beside(input.audio_tokens.0),
        );
        let cached = input
            .cached_tokens
            .0
            .or(self.prompt_cache_hit_tokens.0)
            .or(self.num_cached_tokens.0)
            .or(self.cached_tokens.0)
            .or(self.cache_read_input_tokens.0);
        let input_cached = take(&mut rest, cached, false);
        let written = input.cache_write_tokens.0;
        let written = written.or(self.cache_creation_input_tokens.0);
        let cache_write = take(&mut rest, written, false);
        let input = rest;

        let mut rest = completion;
        let reasoning = output.reasoning_tokens.0.or(self.reasoning_tokens.0);
        let is_charged_beside = reasoning > completion
            && (self.citation_tokens.0.is_some() || self.market_cost.is_some());
        let unnamed = beside.filter(|_| !names_output && input_audio.is_none());
        let (reasoning, reasoning_is_beside) = match reasoning {
            Some(_) => (reasoning, is_beside(reasoning) || is_charged_beside),
            None => (unnamed.filter(|count| *count > 0), true),
        };
        let output_reasoning = take(&mut rest, reasoning, reasoning_is_beside);
        let output_audio = take(&mut rest, output.audio_tokens.0, false);
        let usage = Usage {
            input,
            input_cached,
            cache_write,
            cache_write_1h: None,
            input_audio,
            output: rest,
            output_reasoning,
            output_audio,
            search_units: None,
            tier: None,
            is_estimated: false,
        };
        (usage != Usage::default()).then_some(usage)
    }

    /// The same of a call that generates nothing: where the sum alone is told, it is the input.
    pub(crate) fn into_input_usage(self) -> Option<Usage> {
        let total = self.total_tokens.0;
        let of_total = || {
            Some(Usage {
                input: Some(total?),
                ..Usage::default()
            })
        };
        self.into_usage().or_else(of_total)
    }
}

/// Takes a class out of what is left of a total. A class larger than that is cut down: the total is what was charged.
fn take(rest: &mut Option<u64>, class: Option<u64>, beside: bool) -> Option<u64> {
    let Some(total) = *rest else { return class };
    if beside {
        return class;
    }
    let class = class.map(|class| class.min(total));
    *rest = Some(total - class.unwrap_or(0));
    class
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(count).ok()))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative"
    )]
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(Count(
            (count >= 0.0 && count.fract() == 0.0).then_some(count as u64),
        ))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }
}

/// Usage in OpenAI's form. Classes that were not told are left out; the totals have to be there.
pub(crate) fn write_usage(usage: &Usage) -> Value {
    let mut wire = serde_json::json!({
        "prompt_tokens": usage.input_total().unwrap_or(0),
        "completion_tokens": usage.output_total().unwrap_or(0),
        "total_tokens": usage.total().unwrap_or(0),
    });
    let cache_write = match (usage.cache_write, usage.cache_write_1h) {
        (None, None) => None,
        (write, write_1h) => Some(write.unwrap_or(0).saturating_add(write_1h.unwrap_or(0))),
    };
    let prompt = [
        ("cached_tokens", usage.input_cached),
        ("cache_write_tokens", cache_write),
        ("audio_tokens", usage.input_audio),
    ];
    let completion = [
        ("reasoning_tokens", usage.output_reasoning),
        ("audio_tokens", usage.output_audio),
    ];
    for (name, classes) in [
        ("prompt_tokens_details", &prompt[..]),
        ("completion_tokens_details", &completion[..]),
    ] {
        let told: serde_json::Map<String, Value> = classes
            .iter()
            .filter_map(|(name, count)| Some(((*name).to_owned(), Value::from((*count)?))))
            .collect();
        if !told.is_empty() {
            wire[name] = Value::Object(told);
        }
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(usage: Value) -> Usage {
        serde_json::from_value::<WireUsage>(usage)
            .unwrap()
            .into_usage()
            .unwrap_or_default()
    }

    #[test]
    fn classes_do_not_overlap() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10, "cache_write_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": null},
        }));
        assert_eq!(
            (
                usage.input,
                usage.input_cached,
                usage.cache_write,
                usage.input_audio
            ),
            (Some(25), Some(60), Some(5), Some(10))
        );
        assert_eq!(
            (usage.output, usage.output_reasoning, usage.output_audio),
            (Some(20), Some(30), None)
        );
        assert_eq!(usage.total(), Some(150));
    }

    #[test]
    fn reasoning_is_beside_where_the_total_says_so() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 468, "completion_tokens": 82, "total_tokens": 870,
            "completion_tokens_details": {"reasoning_tokens": 320},
        }));
        assert_eq!(
            (usage.output, usage.output_reasoning, usage.total()),
            (Some(82), Some(320), Some(870))
        );
    }

    #[test]
    fn reasoning_that_no_total_holds_is_told_by_who_charges_it() {
        for (usage, output, reasoning) in [
            // Vercel's gateway of Gemini: 28 and 54 tokens at the model's price are the cost.
            (
                serde_json::json!({"prompt_tokens": 28, "completion_tokens": 5, "total_tokens": 33, "market_cost": 0.000_143_4,
                    "completion_tokens_details": {"reasoning_tokens": 49}}),
                5,
                49,
            ),
            (
                serde_json::json!({"prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016,
                    "reasoning_tokens": 73997}),
                7163,
                73997,
            ),
            // Google's copy of OpenAI's API.
            (
                serde_json::json!({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}),
                12,
                62,
            ),
        ] {
            let usage = read(usage);
            assert_eq!(
                (usage.output, usage.output_reasoning),
                (Some(output), Some(reasoning))
            );
        }
        // What is missing has a name elsewhere, or nobody knows what it is.
        for usage in [
            serde_json::json!({"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 401, "prompt_tokens_details": {"audio_tokens": 375}}),
            serde_json::json!({"prompt_tokens": 25, "completion_tokens": 2, "total_tokens": 32, "completion_tokens_details": {"reasoning_tokens": 0}}),
            serde_json::json!({"prompt_tokens": 8, "total_tokens": 8}),
        ] {
            assert!(read(usage).output_reasoning.unwrap_or(0) == 0);
        }
    }

    #[test]
    fn cached_tokens_are_found_in_every_place() {
        for (name, place) in [
            ("cached_tokens", "prompt_tokens_details"),
            ("cached_tokens", "prompt_token_details"),
            ("cached_tokens", ""),
            ("num_cached_tokens", ""),
            ("prompt_cache_hit_tokens", ""),
            ("cache_read_input_tokens", ""),
        ] {
            let mut told =
                serde_json::json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10});
            if place.is_empty() {
                told[name] = 4.into();
            } else {
                told[place] = serde_json::json!({name: 4});
            }
            let usage = read(told);
            assert_eq!(
                (usage.input, usage.input_cached, usage.total()),
                (Some(5), Some(4), Some(10)),
                "{place} {name}"
            );
        }
    }

    #[test]
    fn a_class_larger_than_its_total_is_cut_down() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 7, "completion_tokens": 16, "total_tokens": 23,
            "prompt_tokens_details": {"cached_tokens": 161}, "completion_tokens_details": {"reasoning_tokens": 22},
        }));
        assert_eq!((usage.input, usage.input_cached), (Some(0), Some(7)));
        assert_eq!((usage.output, usage.output_reasoning), (Some(0), Some(16)));
    }

    #[test]
    fn what_was_not_told_stays_untold() {
        assert_eq!(
            read(serde_json::json!({"prompt_tokens": 3})),
            Usage {
                input: Some(3),
                ..Usage::default()
            }
        );
        assert!(
            serde_json::from_value::<WireUsage>(serde_json::json!({"prompt_tokens": null}))
                .unwrap()
                .into_usage()
                .is_none()
        );
        let written = write_usage(&Usage {
            input: Some(3),
            output: Some(2),
            ..Usage::default()
        });
        assert_eq!(
            written,
            serde_json::json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
        );
    }
}
