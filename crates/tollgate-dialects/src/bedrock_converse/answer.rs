//! Whole answers, and what they share with streams: usage and stop reasons.

use serde_json::{Map, Value};
use tollgate_domain::{Dialect, Usage};

use super::blocks::read_blocks;
use crate::{Answer, AnswerChoice, ChatAnswer, Extra, ReadError, Stop, StopReason, json::Fields};

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let output = fields.any("output").unwrap_or_default();
    let Some(message) = output.get("message").filter(|message| message.is_object()) else {
        return Err(fields.error("output.message", "is missing; it must be an object"));
    };
    let mut message = Fields::of("output.message", message.clone())?;
    let choice = AnswerChoice {
        index: 0,
        content: read_blocks(&mut message, "content")?,
        stop: fields
            .any("stopReason")
            .and_then(|word| Some(Stop::new(stop_reason(word.as_str()?)))),
        logprobs: None,
        extra: Map::new(),
    };
    let usage = fields.any("usage").and_then(|usage| read_usage(&usage));
    let tier = fields.any("serviceTier").unwrap_or_default();
    Ok(Answer::Chat(Box::new(ChatAnswer {
        // Neither is told.
        id: String::new(),
        model: String::new(),
        created: None,
        choices: vec![choice],
        usage: usage.map(|usage| usage.in_tier(tier["type"].as_str())),
        service_tier: tier["type"].as_str().map(str::to_owned),
        extra: Extra {
            dialect: Dialect::BedrockConverse,
            fields: fields.rest(),
        },
    })))
}

/// Usage: `inputTokens` leaves out what was read from or written to the cache. `None` where no tokens are told.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage[name].as_u64();
    let details = usage["cacheDetails"].as_array().into_iter().flatten();
    let written_1h = details
        .filter(|detail| detail["ttl"] == "1h")
        .filter_map(|detail| detail["inputTokens"].as_u64())
        .reduce(u64::saturating_add);
    let written = count("cacheWriteInputTokens").or(count("cacheWriteInputTokenCount"));
    let usage = Usage {
        input: count("inputTokens"),
        input_cached: count("cacheReadInputTokens").or(count("cacheReadInputTokenCount")),
        cache_write: written.map(|sum| sum.saturating_sub(written_1h.unwrap_or(0))),
        cache_write_1h: written_1h,
        output: count("outputTokens"),
        ..Usage::default()
    };
    (usage != Usage::default()).then_some(usage)
}

/// What a stop reason means.
pub(super) fn stop_reason(word: &str) -> StopReason {
    match word {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "guardrail_intervened" | "content_filtered" => StopReason::ContentFilter,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "refusal" => StopReason::Refusal,
        other => StopReason::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_do_not_overlap() {
        let usage = read_usage(&json!({
            "inputTokens": 3, "outputTokens": 61, "totalTokens": 2435,
            "cacheReadInputTokens": 2074, "cacheReadInputTokenCount": 2074,
            "cacheWriteInputTokens": 297, "cacheWriteInputTokenCount": 297,
            "cacheDetails": [{"inputTokens": 97, "ttl": "5m"}, {"inputTokens": 200, "ttl": "1h"}],
        }));
        let usage = usage.unwrap();
        assert_eq!(
            (usage.cache_write, usage.cache_write_1h),
            (Some(97), Some(200))
        );
        assert_eq!(usage.total(), Some(2435));
        assert_eq!(read_usage(&json!({"serverToolUsage": {}})), None);
    }
}
