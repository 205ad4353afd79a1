//! What is told of a call both in its line and in the journal, as members of JSON objects: written once for both.
//!
//! Each call has a line, so that it is written member by member rather than by way of a form of it: that is a third of the work. `docs/logs.md`
//! describes every member.

mod members;

use tollgate_domain::{Cost, Usage};

pub(crate) use self::members::Members;
pub(crate) use members::{first, next};

use crate::{AttemptRecord, CallRecord};

/// Room for what is common of nearly every call.
const COMMON_BYTES_USUAL: usize = 1024;

/// What is told of a call everywhere.
#[derive(Debug)]
pub(crate) struct Common {
    members: Vec<u8>,
    /// Those before this are what calls are found by, those behind it what else is known.
    detail_at: usize,
}

impl Common {
    pub(crate) fn of(record: &CallRecord) -> Self {
        let mut members = Vec::with_capacity(COMMON_BYTES_USUAL);
        let mut told = Members::go_on(&mut members);
        asked(record, &mut told);
        told.word(next!("outcome"), record.outcome.as_str());
        told.number(next!("status"), record.status.into());
        told.text_if(next!("error_code"), record.error_code.as_deref());
        told.milliseconds(next!("duration_ms"), record.duration);
        used(record, &mut told);
        tags(record, &mut told);
        let detail_at = members.len();
        detail(record, &mut Members::go_on(&mut members));
        Self { members, detail_at }
    }

    /// What calls are found by.
    pub(crate) fn found_by(&self) -> &[u8] {
        self.members.get(..self.detail_at).unwrap_or_default()
    }

    fn detail(&self) -> &[u8] {
        self.members.get(self.detail_at..).unwrap_or_default()
    }

    /// What else is known, as an object.
    pub(crate) fn write_detail(&self, record: &CallRecord, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(self.detail().strip_prefix(b",").unwrap_or_default());
        let mut told = Members::go_on(out);
        let params = &record.params;
        if let Some(temperature) = &params.temperature {
            told.other(next!("temperature"), temperature);
        }
        if let Some(top_p) = &params.top_p {
            told.other(next!("top_p"), top_p);
        }
        told.number_if(next!("max_tokens"), params.max_tokens);
        told.end();
    }

    /// The call's line, without its end.
    pub(crate) fn write_line(&self, record: &CallRecord, line: &mut Vec<u8>) {
        let mut told = Members::go_on(line);
        told.moment(first!("timestamp"), record.came_at);
        told.word(next!("event"), "call");
        told.written(self.found_by());
        params(record, &mut told);
        told.written(self.detail());
        if let Some(content) = &record.content {
            told.text(next!("request"), &content.request);
            told.text(next!("response"), &content.response);
        }
        told.end();
    }
}

/// What is known of a call when its provider is about to be asked.
pub(crate) fn asked(record: &CallRecord, told: &mut Members<'_>) {
    told.text(next!("request_id"), &record.request_id);
    told.text(next!("revision"), record.revision.as_str());
    let key = record.key.as_ref();
    told.text_if(next!("key"), key.map(|key| key.as_str()));
    told.text_if(next!("team"), record.team.as_deref());
    told.text_if(next!("app"), record.app.as_deref());
    told.text_if(next!("user"), record.user.as_deref());
    let route = record.route.as_ref();
    told.text_if(next!("route"), route.map(|route| route.as_str()));
    told.word_if(next!("task"), record.task.map(|task| task.as_str()));
    let kind = record.provider_kind.as_deref();
    told.text_if(next!("gen_ai.provider.name"), kind);
    told.text_if(next!("gen_ai.request.model"), record.model.as_deref());
    told.flag(next!("streamed"), record.streamed);
}

pub(crate) fn tags(record: &CallRecord, told: &mut Members<'_>) {
    if !record.tags.is_empty() {
        told.other(next!("tags"), &record.tags);
    }
}

fn used(record: &CallRecord, told: &mut Members<'_>) {
    let usage = &record.usage;
    told.number_if(next!("gen_ai.usage.input_tokens"), usage.input_total());
    told.number_if(next!("gen_ai.usage.output_tokens"), usage.output_total());
    if *usage != Usage::default() {
        told.other(next!("usage"), usage);
    }
    if let Some(known) = record.cost {
        cost(known, told);
    }
}

pub(crate) fn cost(cost: Cost, told: &mut Members<'_>) {
    match cost {
        Cost::Known(cost) => told.dollars(next!("cost_dollars"), cost),
        Cost::AtMost(most) => {
            told.dollars(next!("cost_at_most_dollars"), most);
            told.word(next!("cost_unknown"), "unmetered");
        }
        Cost::Unpriced => told.word(next!("cost_unknown"), "unpriced"),
    }
}

fn params(record: &CallRecord, told: &mut Members<'_>) {
    let params = &record.params;
    if let Some(temperature) = &params.temperature {
        told.other(next!("gen_ai.request.temperature"), temperature);
    }
    if let Some(top_p) = &params.top_p {
        told.other(next!("gen_ai.request.top_p"), top_p);
    }
    told.number_if(next!("gen_ai.request.max_tokens"), params.max_tokens);
}

fn detail(record: &CallRecord, told: &mut Members<'_>) {
    told.address(next!("client_address"), record.client_address);
    told.text(next!("method"), record.method.as_str());
    told.word(next!("path"), record.path);
    let dialect = record.client_dialect;
    told.word_if(next!("dialect"), dialect.map(|dialect| dialect.as_str()));
    told.text_if(next!("model_asked"), record.model_asked.as_deref());
    let target = record.target.as_ref();
    told.text_if(next!("target"), target.map(|target| target.as_str()));
    told.text_if(next!("finish_reason"), record.finish_reason.as_deref());
    told.text_if(next!("error"), record.error_detail.as_deref());
    times(record, told);
    way(record, told);
}

/// How long what took.
fn times(record: &CallRecord, told: &mut Members<'_>) {
    told.milliseconds(next!("provider_ms"), record.provider_time);
    told.milliseconds(next!("gateway_ms"), record.gateway_time());
    if let Some(time) = record.time_to_first_token {
        told.milliseconds(next!("first_token_ms"), time);
    }
}

/// What went which way.
fn way(record: &CallRecord, told: &mut Members<'_>) {
    if !record.dropped.is_empty() {
        told.other(next!("dropped"), &record.dropped);
    }
    told.number(next!("request_bytes"), record.request_bytes);
    told.number(next!("response_bytes"), record.response_bytes);
    told.text_if(next!("traceparent"), record.traceparent.as_deref());
    told.list(next!("attempts"), &record.attempts, attempt);
}

fn attempt(attempt: &AttemptRecord, told: &mut Members<'_>) {
    told.text(first!("target"), attempt.target.as_str());
    if attempt.key_ordinal > 0 {
        told.number(next!("key"), attempt.key_ordinal as u64);
    }
    told.word(next!("outcome"), attempt.outcome.as_str());
    told.number_if(next!("status"), attempt.status.map(u64::from));
    told.word_if(next!("failure"), attempt.failure);
    told.milliseconds(next!("backoff_ms"), attempt.backoff);
    told.milliseconds(next!("duration_ms"), attempt.duration);
    if let Some(lost) = &attempt.lost {
        if lost.usage != Usage::default() {
            told.other(next!("usage"), &lost.usage);
        }
        cost(lost.cost, told);
    }
}
