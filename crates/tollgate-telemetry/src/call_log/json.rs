//! The call's line as JSON; `docs/logs.md` describes every field.

use std::time::Duration;

use serde::Serialize;
use tollgate_domain::{Cost, Picodollars, Usage};

use super::moment;
use crate::{AttemptOutcome, AttemptRecord, CallRecord, Outcome};

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    event: &'static str,
    request_id: &'a str,
    revision: &'a str,
    client_address: String,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_asked: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(
        rename = "gen_ai.provider.name",
        skip_serializing_if = "Option::is_none"
    )]
    provider: Option<&'a str>,
    #[serde(
        rename = "gen_ai.request.model",
        skip_serializing_if = "Option::is_none"
    )]
    model: Option<&'a str>,
    streamed: bool,
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    duration_ms: f64,
    provider_ms: f64,
    gateway_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    #[serde(
        rename = "gen_ai.usage.input_tokens",
        skip_serializing_if = "Option::is_none"
    )]
    input_tokens: Option<u64>,
    #[serde(
        rename = "gen_ai.usage.output_tokens",
        skip_serializing_if = "Option::is_none"
    )]
    output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "is_unknown")]
    usage: &'a Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_dollars: Option<Picodollars>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_at_most_dollars: Option<Picodollars>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_unknown: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(
        rename = "gen_ai.request.temperature",
        skip_serializing_if = "Option::is_none"
    )]
    temperature: Option<f64>,
    #[serde(
        rename = "gen_ai.request.top_p",
        skip_serializing_if = "Option::is_none"
    )]
    top_p: Option<f64>,
    #[serde(
        rename = "gen_ai.request.max_tokens",
        skip_serializing_if = "Option::is_none"
    )]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    dropped: &'a [String],
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    attempts: Vec<Attempt<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
}

#[derive(Serialize)]
struct Attempt<'a> {
    target: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    key: usize,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    backoff_ms: f64,
    duration_ms: f64,
}

pub(super) fn format(record: &CallRecord, line: &mut Vec<u8>) {
    let usage = &record.usage;
    let told = Line {
        timestamp: moment(record.came_at),
        event: "call",
        request_id: &record.request_id,
        revision: record.revision.as_str(),
        client_address: record.client_address.to_string(),
        method: record.method.as_str(),
        path: record.path,
        key: record.key.as_ref().map(|key| key.as_str()),
        team: record.team.as_deref(),
        user: record.user.as_deref(),
        route: record.route.as_ref().map(|route| route.as_str()),
        task: record.task.map(|task| task.as_str()),
        dialect: record.client_dialect.map(|dialect| dialect.as_str()),
        model_asked: record.model_asked.as_deref(),
        target: record.target.as_ref().map(|target| target.as_str()),
        provider: record.provider_kind.as_deref(),
        model: record.model.as_deref(),
        streamed: record.streamed,
        outcome: outcome(record.outcome),
        status: record.status,
        error_code: record.error_code.as_deref(),
        error: record.error_detail.as_deref(),
        duration_ms: milliseconds(record.duration),
        provider_ms: milliseconds(record.provider_time),
        gateway_ms: milliseconds(record.gateway_time()),
        first_token_ms: record.time_to_first_token.map(milliseconds),
        input_tokens: usage.input_total(),
        output_tokens: usage.output_total(),
        usage,
        cost_dollars: match record.cost {
            Some(Cost::Known(cost)) => Some(cost),
            _ => None,
        },
        cost_at_most_dollars: match record.cost {
            Some(Cost::AtMost(most)) => Some(most),
            _ => None,
        },
        cost_unknown: match record.cost {
            Some(Cost::Unpriced) => Some("unpriced"),
            Some(Cost::AtMost(_)) => Some("unmetered"),
            Some(Cost::Known(_)) | None => None,
        },
        finish_reason: record.finish_reason.as_deref(),
        temperature: record.params.temperature,
        top_p: record.params.top_p,
        max_tokens: record.params.max_tokens,
        tags: record.tags.iter().map(|tag| &**tag).collect(),
        dropped: &record.dropped,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        traceparent: record.traceparent.as_deref(),
        attempts: record.attempts.iter().map(attempt).collect(),
        request: record
            .content
            .as_ref()
            .map(|content| content.request.as_str()),
        response: record
            .content
            .as_ref()
            .map(|content| content.response.as_str()),
    };
    // Nothing in a line can fail to be written as JSON, and a line lost would not be worth more.
    let _written = serde_json::to_writer(line, &told);
}

fn attempt(attempt: &AttemptRecord) -> Attempt<'_> {
    Attempt {
        target: attempt.target.as_str(),
        key: attempt.key_ordinal,
        outcome: attempt_outcome(attempt.outcome),
        status: attempt.status,
        failure: attempt.failure,
        backoff_ms: milliseconds(attempt.backoff),
        duration_ms: milliseconds(attempt.duration),
    }
}

/// The outcome's stable name.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::ProviderError => "provider_error",
        Outcome::Cut => "cut",
        Outcome::ClientGone => "client_gone",
    }
}

/// The attempt's outcome's stable name.
pub(crate) fn attempt_outcome(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Answered => "answered",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::FailedForGood => "failed_for_good",
        AttemptOutcome::Abandoned => "abandoned",
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn is_unknown(usage: &&Usage) -> bool {
    **usage == Usage::default()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
