//! Shapes that calls, answers and streams share: usage, stop reasons, kinds of errors.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::Usage;

use crate::{ErrorKind, StopReason, json::put};

/// `usage` as Anthropic writes it: `input_tokens` leaves out what was read from or written to the cache.
#[derive(Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<WireCacheCreation>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<WireOutputDetails>,
    #[serde(default)]
    service_tier: Option<String>,
    #[serde(default)]
    server_tool_use: Option<WireServerToolUse>,
}

#[derive(Default, Deserialize)]
struct WireCacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: Option<u64>,
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

/// What its own tools did. A page that is fetched is billed by its tokens alone.
#[derive(Deserialize)]
struct WireServerToolUse {
    #[serde(default)]
    web_search_requests: Option<u64>,
}

#[derive(Deserialize)]
struct WireOutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    ///
    /// A stream tells at its start what was written to the cache for how long, and later the sum alone: `before` is what it
    /// has told so far.
    pub(crate) fn into_usage(self, before: Option<&Usage>) -> Option<Usage> {
        let written = self.cache_creation.unwrap_or_default();
        let written_1h = written
            .ephemeral_1h_input_tokens
            .or(before.and_then(|before| before.cache_write_1h));
        let written_5m = self
            .cache_creation_input_tokens
            .map(|sum| sum.saturating_sub(written_1h.unwrap_or(0)));
        let thinking = self
            .output_tokens_details
            .and_then(|details| details.thinking_tokens);
        let usage = Usage {
            input: self.input_tokens,
            input_cached: self.cache_read_input_tokens,
            cache_write: written_5m.or(written.ephemeral_5m_input_tokens),
            cache_write_1h: written.ephemeral_1h_input_tokens,
            output: self
                .output_tokens
                .map(|output| output.saturating_sub(thinking.unwrap_or(0))),
            output_reasoning: thinking,
            web_searches: self
                .server_tool_use
                .and_then(|tools| tools.web_search_requests),
            ..Usage::default()
        };
        (usage != Usage::default()).then(|| usage.in_tier(self.service_tier.as_deref()))
    }
}

/// Usage as Anthropic writes it. Its clients insist on both totals, so that what is not known is 0 there.
pub(super) fn write_usage(usage: &Usage) -> Map<String, Value> {
    let sum = |classes: [Option<u64>; 2]| classes.into_iter().flatten().reduce(u64::saturating_add);
    let input = sum([usage.input, sum([usage.input_audio, usage.input_image])]).unwrap_or(0);
    let mut written = Map::new();
    put(&mut written, "input_tokens", Some(input));
    put(
        &mut written,
        "cache_creation_input_tokens",
        sum([usage.cache_write, usage.cache_write_1h]),
    );
    put(&mut written, "cache_read_input_tokens", usage.input_cached);
    let creation = usage.cache_write_1h.map(|written_1h| {
        json!({
            "ephemeral_5m_input_tokens": usage.cache_write.unwrap_or(0),
            "ephemeral_1h_input_tokens": written_1h,
        })
    });
    put(&mut written, "cache_creation", creation);
    put(
        &mut written,
        "output_tokens",
        Some(usage.output_total().unwrap_or(0)),
    );
    let details = usage
        .output_reasoning
        .map(|thinking| json!({"thinking_tokens": thinking}));
    put(&mut written, "output_tokens_details", details);
    let searches = usage.web_searches;
    let tools = searches.map(|searches| json!({"web_search_requests": searches}));
    put(&mut written, "server_tool_use", tools);
    written
}

/// What a stop reason means.
pub(crate) fn stop_reason(word: &str) -> StopReason {
    match word {
        "end_turn" => StopReason::EndTurn,
        "stop_sequence" => StopReason::StopSequence,
        "max_tokens" => StopReason::MaxTokens,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Anthropic's word for a stop reason. Words of other dialects become `end_turn`.
pub(super) fn stop_word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::Other(_) => "end_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ContextWindow => "model_context_window_exceeded",
        StopReason::ToolUse => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "refusal",
        StopReason::Pause => "pause_turn",
    }
}

/// The id as Anthropic's clients know it: they tell ids by how they begin.
pub(super) fn message_id(id: &str, fallback: &str) -> String {
    match id {
        "" if fallback.starts_with("msg_") => fallback.to_owned(),
        "" => format!("msg_{fallback}"),
        id => id.to_owned(),
    }
}

/// Anthropic's word for a kind of error (<https://docs.claude.com/en/api/errors>, read 2026-11).
pub(crate) fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest => "invalid_request_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Billing => "billing_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Server => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(usage: Value, before: Option<&Usage>) -> Usage {
        let usage: WireUsage = serde_json::from_value(usage).unwrap();
        usage.into_usage(before).unwrap_or_default()
    }

    #[test]
    fn classes_do_not_overlap() {
        let wire = json!({
            "input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
            "output_tokens": 25, "output_tokens_details": {"thinking_tokens": 15},
        });
        let usage = read(wire.clone(), None);
        let expected = Usage {
            input: Some(10),
            input_cached: Some(90),
            cache_write: Some(20),
            cache_write_1h: Some(30),
            output: Some(10),
            output_reasoning: Some(15),
            ..Usage::default()
        };
        assert_eq!((usage, usage.total()), (expected, Some(175)));
        assert_eq!(Value::Object(write_usage(&usage)), wire);
    }

    #[test]
    fn a_sum_that_is_told_later_is_not_counted_twice() {
        let start = json!({
            "input_tokens": 1, "cache_creation_input_tokens": 50, "output_tokens": 1,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        });
        let mut usage = read(start, None);
        let end = json!({"input_tokens": 1, "cache_creation_input_tokens": 50, "output_tokens": 9});
        usage.update(&read(end, Some(&usage)));
        assert_eq!((usage.input_total(), usage.output), (Some(51), Some(9)));
    }

    #[test]
    fn what_was_not_told_stays_untold_but_for_the_totals() {
        let usage = read(json!({"output_tokens": 3, "input_tokens": null}), None);
        let expected = Usage {
            output: Some(3),
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        let written = Value::Object(write_usage(&usage));
        assert_eq!(written, json!({"input_tokens": 0, "output_tokens": 3}));
    }
}
