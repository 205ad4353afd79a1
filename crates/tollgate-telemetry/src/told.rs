//! What is told of a call both in its line and in the journal, as members of JSON objects: written once for both.
//!
//! Each call has a line, so that it is written member by member rather than by way of a form of it: that is a third of the work. `docs/logs.md`
//! describes every member.

mod members;
mod recurring;

use std::time::Duration;

use tollgate_domain::{Cost, Usage};

pub(crate) use self::{members::Members, recurring::Known};
pub(crate) use members::{first, next};
use recurring::Recurring;

use crate::{AttemptRecord, CallRecord};

/// Tells calls, one after the other: a worker's own.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    recurring: Recurring,
    /// Room for the members of the call that is told.
    members: Vec<u8>,
    second: Second,
}

/// What is told of a call everywhere.
#[derive(Debug)]
pub(crate) struct Common<'a> {
    pub(crate) known: &'a Known,
    /// Those of its members that are not known before.
    members: &'a [u8],
    /// Those before this are what calls are found by, those behind it what else is known.
    detail_at: usize,
    /// When it came, as the line begins with it.
    came_at: &'a [u8],
}

/// The beginning of the lines of calls that came in a second.
#[derive(Debug, Default)]
struct Second {
    /// Since 1970-01-01 UTC.
    seconds: u64,
    text: Vec<u8>,
}

impl Teller {
    /// What is told of all calls like this one.
    pub(crate) fn known(&mut self, record: &CallRecord) -> &Known {
        self.recurring.of(record)
    }

    /// What is told of a call that has ended.
    pub(crate) fn tell(&mut self, record: &CallRecord) -> Common<'_> {
        self.members.clear();
        let mut told = Members::go_on(&mut self.members);
        named(record, &mut told);
        told.word(next!("outcome"), record.outcome.as_str());
        told.number(next!("status"), record.status.into());
        told.text_if(next!("error_code"), record.error_code.as_deref());
        told.milliseconds(next!("duration_ms"), record.duration);
        used(record, &mut told);
        tags(record, &mut told);
        let detail_at = self.members.len();
        detail(record, &mut Members::go_on(&mut self.members));
        Common {
            known: self.recurring.of(record),
            members: &self.members,
            detail_at,
            came_at: self.second.of(record.came_at),
        }
    }
}

impl Second {
    /// Begins a line: its second, to which the thousandths are added.
    fn of(&mut self, came_at: Duration) -> &[u8] {
        let seconds = came_at.as_secs();
        if self.text.is_empty() || self.seconds != seconds {
            self.text.clear();
            self.seconds = seconds;
            Members::go_on(&mut self.text).second(first!("timestamp"), came_at);
        }
        &self.text
    }
}

impl Common<'_> {
    /// Adds what calls are found by.
    pub(crate) fn find_by(&self, told: &mut Members<'_>) {
        told.written(&self.known.found_by);
        told.written(self.members.get(..self.detail_at).unwrap_or_default());
    }

    /// Adds what else is known. It begins with the client's address, where the books look for it.
    fn add_detail(&self, told: &mut Members<'_>) {
        told.written(self.members.get(self.detail_at..).unwrap_or_default());
        told.written(&self.known.detail);
    }

    /// What else is known, as an object.
    pub(crate) fn write_detail(&self, record: &CallRecord, out: &mut Vec<u8>) {
        Members::go_on(out).object(|told| {
            self.add_detail(told);
            let params = &record.params;
            if let Some(temperature) = &params.temperature {
                told.other(next!("temperature"), temperature);
            }
            if let Some(top_p) = &params.top_p {
                told.other(next!("top_p"), top_p);
            }
            told.number_if(next!("max_tokens"), params.max_tokens);
        });
    }

    /// The call's line, without its end.
    pub(crate) fn write_line(&self, record: &CallRecord, line: &mut Vec<u8>) {
        let mut told = Members::go_on(line);
        told.written(self.came_at);
        told.thousandths(record.came_at);
        told.word(next!("event"), "call");
        self.find_by(&mut told);
        params(record, &mut told);
        self.add_detail(&mut told);
        if let Some(content) = &record.content {
            told.text(next!("request"), &content.request);
            told.text(next!("response"), &content.response);
        }
        told.end();
    }
}

/// What a call is named by, and for whom it is.
pub(crate) fn named(record: &CallRecord, told: &mut Members<'_>) {
    told.text(next!("request_id"), &record.request_id);
    told.text_if(next!("user"), record.user.as_deref());
}

pub(crate) fn tags(record: &CallRecord, told: &mut Members<'_>) {
    if !record.tags.is_empty() {
        told.other(next!("tags"), &record.tags);
    }
}

fn used(record: &CallRecord, told: &mut Members<'_>) {
    let used = &record.usage;
    told.number_if(next!("gen_ai.usage.input_tokens"), used.input_total());
    told.number_if(next!("gen_ai.usage.output_tokens"), used.output_total());
    usage(used, told);
    if let Some(known) = record.cost {
        cost(known, told);
    }
}

/// What was used, as [`Usage`] is read.
fn usage(usage: &Usage, told: &mut Members<'_>) {
    if *usage == Usage::default() {
        return;
    }
    told.name(next!("usage"));
    told.object(|told| {
        told.number_if(next!("input"), usage.input);
        told.number_if(next!("input_cached"), usage.input_cached);
        told.number_if(next!("cache_write"), usage.cache_write);
        told.number_if(next!("cache_write_1h"), usage.cache_write_1h);
        told.number_if(next!("input_audio"), usage.input_audio);
        told.number_if(next!("input_image"), usage.input_image);
        told.number_if(next!("output"), usage.output);
        told.number_if(next!("output_reasoning"), usage.output_reasoning);
        told.number_if(next!("output_audio"), usage.output_audio);
        told.number_if(next!("output_image"), usage.output_image);
        told.number_if(next!("seconds"), usage.seconds);
        told.number_if(next!("search_units"), usage.search_units);
        told.number_if(next!("web_searches"), usage.web_searches);
        told.number_if(next!("web_search_previews"), usage.web_search_previews);
        if let Some(billed) = &usage.billed {
            told.other(next!("billed"), billed);
        }
        if let Some(tier) = &usage.tier {
            told.other(next!("tier"), tier);
        }
        if usage.is_estimated {
            told.flag(next!("is_estimated"), true);
        }
    });
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
    told.text_if(next!("model_asked"), record.model_asked.as_deref());
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
        usage(&lost.usage, told);
        cost(lost.cost, told);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{Picodollars, ServiceTier};

    use super::*;

    #[test]
    fn usage_is_told_as_it_is_read() {
        let all = Usage {
            input: Some(1),
            input_cached: Some(2),
            cache_write: Some(3),
            cache_write_1h: Some(4),
            input_audio: Some(5),
            input_image: Some(6),
            output: Some(7),
            output_reasoning: Some(8),
            output_audio: Some(9),
            output_image: Some(10),
            seconds: Some(11),
            search_units: Some(12),
            web_searches: Some(13),
            web_search_previews: Some(14),
            billed: Some(Picodollars::new(15)),
            tier: Some(ServiceTier::Flex),
            is_estimated: true,
        };
        let one = Usage {
            output: Some(0),
            ..Usage::default()
        };
        for told in [all, one] {
            let mut out = b"{\"before\":1".to_vec();
            let mut members = Members::go_on(&mut out);
            usage(&told, &mut members);
            members.end();
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(read["usage"], serde_json::to_value(told).unwrap());
        }
    }

    #[test]
    fn lines_begin_with_their_own_time() {
        let mut teller = Teller::default();
        for (milliseconds, told) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_225_600_123, "2026-01-01T00:00:00.123Z"),
            (1_767_225_600_999, "2026-01-01T00:00:00.999Z"),
            (1_767_225_601_000, "2026-01-01T00:00:01.000Z"),
        ] {
            let record = CallRecord {
                came_at: Duration::from_millis(milliseconds),
                ..crate::call_log::tests::record()
            };
            let mut line = Vec::new();
            teller.tell(&record).write_line(&record, &mut line);
            let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(line["timestamp"], told);
        }
    }
}
