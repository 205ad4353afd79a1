//! Anthropic's words: usage, stop reasons, kinds of errors.

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
}

#[derive(Deserialize)]
struct WireCacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct WireOutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    pub(crate) fn into_usage(self) -> Option<Usage> {
        let written_1h = self
            .cache_creation
            .and_then(|creation| creation.ephemeral_1h_input_tokens);
        let thinking = self
            .output_tokens_details
            .and_then(|details| details.thinking_tokens);
        let usage = Usage {
            input: self.input_tokens,
            input_cached: self.cache_read_input_tokens,
            cache_write: self
                .cache_creation_input_tokens
                .map(|written| written.saturating_sub(written_1h.unwrap_or(0))),
            cache_write_1h: written_1h,
            output: self
                .output_tokens
                .map(|output| output.saturating_sub(thinking.unwrap_or(0))),
            output_reasoning: thinking,
            ..Usage::default()
        };
        (usage != Usage::default()).then_some(usage)
    }
}

/// Usage as Anthropic writes it. Its clients want both totals, so that what is not known is 0 there.
pub(super) fn write_usage(usage: &Usage) -> Value {
    let plain_input = [usage.input, usage.input_audio]
        .into_iter()
        .flatten()
        .reduce(u64::saturating_add);
    let mut written = Map::new();
    put(&mut written, "input_tokens", Some(plain_input.unwrap_or(0)));
    put(
        &mut written,
        "output_tokens",
        Some(usage.output_total().unwrap_or(0)),
    );
    let cache_written = [usage.cache_write, usage.cache_write_1h]
        .into_iter()
        .flatten()
        .reduce(u64::saturating_add);
    put(&mut written, "cache_creation_input_tokens", cache_written);
    put(&mut written, "cache_read_input_tokens", usage.input_cached);
    if let Some(written_1h) = usage.cache_write_1h {
        let creation = json!({"ephemeral_5m_input_tokens": usage.cache_write.unwrap_or(0), "ephemeral_1h_input_tokens": written_1h});
        put(&mut written, "cache_creation", Some(creation));
    }
    put(
        &mut written,
        "output_tokens_details",
        usage
            .output_reasoning
            .map(|thinking| json!({"thinking_tokens": thinking})),
    );
    Value::Object(written)
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

/// Anthropic's word for a stop reason.
pub(super) fn stop_word(reason: &StopReason, own: bool) -> &str {
    match reason {
        StopReason::EndTurn => "end_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ContextWindow => "model_context_window_exceeded",
        StopReason::ToolUse => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "refusal",
        StopReason::Pause => "pause_turn",
        StopReason::Other(word) if own => word,
        StopReason::Other(_) => "end_turn",
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
