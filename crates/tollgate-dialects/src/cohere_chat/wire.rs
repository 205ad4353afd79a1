//! Shapes that calls, answers and streams share: usage, finish reasons, log-probabilities.

use serde_json::{Map, Value, json};
use tollgate_domain::Usage;

use crate::{StopReason, json::put};

/// The end mark of a stream.
pub(super) const DONE: &[u8] = b"[DONE]";

/// Reads `usage` of a chat, or `meta` of the other endpoints.
///
/// Cohere bills `billed_units`, and its own answers in OpenAI's form count these (seen in recordings of its compatibility API, 2025):
/// they are the classes. `tokens` is what the model saw, the operator's words of Cohere's own included, which is mostly far more; it stands in where nothing
/// is said of bills. `cached_tokens` are among `tokens`, and change no bill. Reasoning is told among `tokens` alone, and is billed as output.
pub(crate) fn read_usage(told: &Value) -> Option<Usage> {
    let billed = &told["billed_units"];
    let tokens = &told["tokens"];
    let reasoning = count(&tokens["reasoning_tokens"]);
    let mut usage = Usage {
        search_units: count(&billed["search_units"]),
        ..Usage::default()
    };
    let output = if billed_tokens(billed) {
        usage.input = input(billed);
        count(&billed["output_tokens"])
    } else {
        let cached = count(&told["cached_tokens"]).or(count(&tokens["cached_tokens"]));
        let input = input(tokens);
        usage.input_cached = input
            .and(cached)
            .map(|cached| cached.min(input.unwrap_or(0)));
        usage.input = input.map(|input| input - usage.input_cached.unwrap_or(0));
        count(&tokens["output_tokens"])
    };
    usage.output_reasoning = output
        .and(reasoning)
        .map(|reasoning| reasoning.min(output.unwrap_or(0)));
    usage.output = output.map(|output| output - usage.output_reasoning.unwrap_or(0));
    (usage != Usage::default()).then_some(usage)
}

fn billed_tokens(billed: &Value) -> bool {
    ["input_tokens", "output_tokens", "image_tokens"]
        .iter()
        .any(|name| count(&billed[*name]).is_some())
}

/// Pictures are counted beside the text.
fn input(counts: &Value) -> Option<u64> {
    [&counts["input_tokens"], &counts["image_tokens"]]
        .into_iter()
        .filter_map(count)
        .reduce(u64::saturating_add)
}

/// A count; Cohere's own clients take them for fractions.
fn count(value: &Value) -> Option<u64> {
    let whole = || {
        let number = value
            .as_f64()
            .filter(|number| (0.0..9.0e15).contains(number))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and far within the range"
        )]
        Some(number as u64)
    };
    value.as_u64().or_else(whole)
}

/// Usage as Cohere writes it: the same is billed and counted.
pub(crate) fn write_usage(usage: &Usage) -> Map<String, Value> {
    let mut billed = Map::new();
    put(&mut billed, "input_tokens", usage.input_total());
    put(&mut billed, "output_tokens", usage.output_total());
    let mut tokens = billed.clone();
    put(&mut billed, "search_units", usage.search_units);
    put(&mut tokens, "reasoning_tokens", usage.output_reasoning);
    let mut written = Map::new();
    put(
        &mut written,
        "billed_units",
        (!billed.is_empty()).then_some(billed),
    );
    put(
        &mut written,
        "tokens",
        (!tokens.is_empty()).then_some(tokens),
    );
    put(&mut written, "cached_tokens", usage.input_cached);
    written
}

/// What a finish reason means. `ERROR` is none: see [`is_failure`].
pub(super) fn stop_reason(word: &str) -> StopReason {
    match word {
        "COMPLETE" => StopReason::EndTurn,
        "STOP_SEQUENCE" => StopReason::StopSequence,
        // Cut off by a limit as well, of time.
        "MAX_TOKENS" | "TIMEOUT" => StopReason::MaxTokens,
        "ERROR_LIMIT" => StopReason::ContextWindow,
        "TOOL_CALL" => StopReason::ToolUse,
        "ERROR_TOXIC" => StopReason::ContentFilter,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Whether a finish reason says that there is no answer.
pub(super) fn is_failure(word: &str) -> bool {
    word == "ERROR"
}

/// Cohere's word for a stop reason. `ERROR_TOXIC` is of its older endpoints; the newer ones have no word for a filter
/// (<https://docs.cohere.com/reference/generate>, read 2026-11).
pub(super) fn stop_word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::Pause | StopReason::Other(_) => "COMPLETE",
        StopReason::StopSequence => "STOP_SEQUENCE",
        StopReason::MaxTokens | StopReason::ContextWindow => "MAX_TOKENS",
        StopReason::ToolUse => "TOOL_CALL",
        StopReason::ContentFilter | StopReason::Refusal => "ERROR_TOXIC",
    }
}

/// Log-probabilities in OpenAI's form. Cohere tells them of pieces of text, which may be several tokens.
pub(super) fn read_logprobs(pieces: &[Value]) -> Option<Value> {
    let read = |piece: &Value| {
        let logprobs = piece["logprobs"].as_array()?;
        let logprob: f64 = logprobs.iter().filter_map(Value::as_f64).sum();
        let text = piece["text"].as_str()?;
        Some(
            json!({"token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": []}),
        )
    };
    let content: Vec<Value> = pieces.iter().filter_map(read).collect();
    (!content.is_empty()).then(|| json!({"content": content}))
}

/// Log-probabilities as Cohere tells them, without the numbers of its tokens.
pub(super) fn write_logprobs(logprobs: &Value) -> Vec<Value> {
    let tokens = logprobs["content"].as_array().into_iter().flatten();
    tokens
        .map(|token| {
            json!({"text": token["token"], "token_ids": [], "logprobs": [token["logprob"]]})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_billed_is_counted() {
        // As recorded, of a question with a picture, and of one that was reasoned about.
        for (told, input, output, reasoning) in [
            (
                json!({"billed_units": {"input_tokens": 522, "output_tokens": 65}, "tokens": {"input_tokens": 501, "output_tokens": 65, "image_tokens": 518}, "cached_tokens": 480}),
                522,
                65,
                None,
            ),
            (
                json!({"billed_units": {"input_tokens": 44.0, "output_tokens": 1781.0}, "tokens": {"input_tokens": 1430, "output_tokens": 1786, "reasoning_tokens": 1516}, "cached_tokens": 1392}),
                44,
                265,
                Some(1516),
            ),
        ] {
            let expected = Usage {
                input: Some(input),
                output: Some(output),
                output_reasoning: reasoning,
                ..Usage::default()
            };
            assert_eq!(read_usage(&told), Some(expected), "{told}");
        }
    }

    #[test]
    fn tokens_stand_in_for_a_bill() {
        let told = json!({"tokens": {"input_tokens": 501, "output_tokens": 65, "image_tokens": 10}, "cached_tokens": 480});
        let expected = Usage {
            input: Some(31),
            input_cached: Some(480),
            output: Some(65),
            ..Usage::default()
        };
        assert_eq!(read_usage(&told), Some(expected));
        assert_eq!(read_usage(&json!({})), None);
        assert_eq!(read_usage(&json!({"tokens": {"output_tokens": -1}})), None);
    }

    #[test]
    fn usage_is_the_same_when_written_again() {
        let usage = Usage {
            input: Some(10),
            output: Some(5),
            output_reasoning: Some(2),
            search_units: Some(1),
            ..Usage::default()
        };
        assert_eq!(read_usage(&Value::Object(write_usage(&usage))), Some(usage));
        assert_eq!(write_usage(&Usage::default()), Map::new());
    }
}
