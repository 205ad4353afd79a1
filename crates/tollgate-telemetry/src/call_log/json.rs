//! The call's line as JSON; `docs/logs.md` describes every field.
//!
//! Each call has a line, so that it is written member by member rather than by way of a form of it: that is a third of the work.

mod members;

use tollgate_domain::{Cost, Usage};

use self::members::Members;
use crate::{AttemptOutcome, AttemptRecord, CallRecord, Outcome};

/// Room for what is common of nearly every call.
const COMMON_BYTES_USUAL: usize = 512;

/// What is told of a call both in its line and in the books, as the members of an object: written once for both.
#[derive(Debug)]
pub(crate) struct Common(Vec<u8>);

impl Common {
    pub(crate) fn of(record: &CallRecord) -> Self {
        let mut members = Vec::with_capacity(COMMON_BYTES_USUAL);
        let mut told = Members::go_on(&mut members);
        told.address("client_address", record.client_address);
        told.text("method", record.method.as_str());
        told.word("path", record.path);
        let dialect = record.client_dialect;
        told.word_if("dialect", dialect.map(|dialect| dialect.as_str()));
        told.text_if("model_asked", record.model_asked.as_deref());
        let target = record.target.as_ref();
        told.text_if("target", target.map(|target| target.as_str()));
        told.text_if("finish_reason", record.finish_reason.as_deref());
        told.text_if("error", record.error_detail.as_deref());
        times(record, &mut told);
        way(record, &mut told);
        Self(members)
    }
}

pub(super) fn format(record: &CallRecord, common: &Common, line: &mut Vec<u8>) {
    let mut told = Members::begin(line);
    told.moment("timestamp", record.came_at);
    told.word("event", "call");
    told.text("request_id", &record.request_id);
    told.text("revision", record.revision.as_str());
    who_and_what(record, &mut told);
    told.flag("streamed", record.streamed);
    told.word("outcome", outcome(record.outcome));
    told.number("status", record.status.into());
    told.text_if("error_code", record.error_code.as_deref());
    told.milliseconds("duration_ms", record.duration);
    used(record, &mut told);
    params(record, &mut told);
    if !record.tags.is_empty() {
        told.other("tags", &record.tags);
    }
    told.written(&common.0);
    if let Some(content) = &record.content {
        told.text("request", &content.request);
        told.text("response", &content.response);
    }
    told.end();
}

/// What the books keep of a call beside what they find it by, as a JSON object; `docs/administration.md` describes every field.
pub(crate) fn detail(record: &CallRecord, common: &Common) -> String {
    let mut detail = Vec::with_capacity(common.0.len() + 64);
    let mut told = Members::begin(&mut detail);
    told.written(&common.0);
    let params = &record.params;
    if let Some(temperature) = &params.temperature {
        told.other("temperature", temperature);
    }
    if let Some(top_p) = &params.top_p {
        told.other("top_p", top_p);
    }
    told.number_if("max_tokens", params.max_tokens);
    told.end();
    String::from_utf8(detail).unwrap_or_default()
}

/// How long what took.
fn times(record: &CallRecord, told: &mut Members<'_>) {
    told.milliseconds("provider_ms", record.provider_time);
    told.milliseconds("gateway_ms", record.gateway_time());
    if let Some(time) = record.time_to_first_token {
        told.milliseconds("first_token_ms", time);
    }
}

/// What went which way.
fn way(record: &CallRecord, told: &mut Members<'_>) {
    if !record.dropped.is_empty() {
        told.other("dropped", &record.dropped);
    }
    told.number("request_bytes", record.request_bytes);
    told.number("response_bytes", record.response_bytes);
    told.text_if("traceparent", record.traceparent.as_deref());
    told.list("attempts", &record.attempts, attempt);
}

fn who_and_what(record: &CallRecord, told: &mut Members<'_>) {
    told.text_if("key", record.key.as_ref().map(|key| key.as_str()));
    told.text_if("team", record.team.as_deref());
    told.text_if("app", record.app.as_deref());
    told.text_if("user", record.user.as_deref());
    told.text_if("route", record.route.as_ref().map(|route| route.as_str()));
    told.word_if("task", record.task.map(|task| task.as_str()));
    told.text_if("gen_ai.provider.name", record.provider_kind.as_deref());
    told.text_if("gen_ai.request.model", record.model.as_deref());
}

fn used(record: &CallRecord, told: &mut Members<'_>) {
    let usage = &record.usage;
    told.number_if("gen_ai.usage.input_tokens", usage.input_total());
    told.number_if("gen_ai.usage.output_tokens", usage.output_total());
    if *usage != Usage::default() {
        told.other("usage", usage);
    }
    if let Some(known) = record.cost {
        cost(known, told);
    }
}

fn cost(cost: Cost, told: &mut Members<'_>) {
    match cost {
        Cost::Known(cost) => told.dollars("cost_dollars", cost),
        Cost::AtMost(most) => {
            told.dollars("cost_at_most_dollars", most);
            told.word("cost_unknown", "unmetered");
        }
        Cost::Unpriced => told.word("cost_unknown", "unpriced"),
    }
}

fn params(record: &CallRecord, told: &mut Members<'_>) {
    let params = &record.params;
    if let Some(temperature) = &params.temperature {
        told.other("gen_ai.request.temperature", temperature);
    }
    if let Some(top_p) = &params.top_p {
        told.other("gen_ai.request.top_p", top_p);
    }
    told.number_if("gen_ai.request.max_tokens", params.max_tokens);
}

fn attempt(attempt: &AttemptRecord, told: &mut Members<'_>) {
    told.text("target", attempt.target.as_str());
    if attempt.key_ordinal > 0 {
        told.number("key", attempt.key_ordinal as u64);
    }
    told.word("outcome", attempt_outcome(attempt.outcome));
    told.number_if("status", attempt.status.map(u64::from));
    told.word_if("failure", attempt.failure);
    told.milliseconds("backoff_ms", attempt.backoff);
    told.milliseconds("duration_ms", attempt.duration);
    if let Some(lost) = &attempt.lost {
        if lost.usage != Usage::default() {
            told.other("usage", &lost.usage);
        }
        cost(lost.cost, told);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_called_as_the_books_call_them() {
        let all = [
            Outcome::Answered,
            Outcome::Refused,
            Outcome::ProviderError,
            Outcome::Cut,
            Outcome::ClientGone,
        ];
        assert_eq!(
            [all.map(outcome).as_slice(), &[crate::CRASHED]].concat(),
            tollgate_domain::OUTCOMES
        );
    }
}
