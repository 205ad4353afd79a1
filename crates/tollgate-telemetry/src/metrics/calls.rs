//! What calls have left behind in a shard, summed up by all that any metric tells apart: a call is looked up once. What metrics are made of it is
//! not known here.

use tollgate_domain::{Cost, Picodollars, Usage};

use super::families::{Family, Histogram};
use crate::{AttemptOutcome, CallRecord, Outcome};

/// What calls are told apart by. Calls that were put to nobody have nothing in the last four.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) route: &'a str,
    pub(super) task: &'a str,
    pub(super) status: &'a str,
    pub(super) outcome: &'a str,
    pub(super) target: &'a str,
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) error: &'a str,
}

/// Calls that no metric tells apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Alike {
    pub(super) calls: u64,
    /// Of them, those that were answered at the first try.
    pub(super) answered_at_once: u64,
    pub(super) gateway_seconds: Histogram,
    /// What was done, in the conventions' word; nothing where nobody was asked.
    pub(super) operation: &'static str,
    pub(super) seconds: Histogram,
    pub(super) first_token_seconds: Histogram,
    pub(super) input: Histogram,
    pub(super) output: Histogram,
    pub(super) tokens: [(&'static str, Option<u64>); 10],
    pub(super) search_units: Option<u64>,
    pub(super) cost: Option<Picodollars>,
    pub(super) unpriced: u64,
    pub(super) unmetered: u64,
}

/// All calls of a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) alike: Family<Alike, 8>,
    pub(super) refusals: Family<u64, 1>,
    /// But for those that answered at the first try.
    pub(super) attempts: Family<u64, 3>,
    pub(super) retries: Family<u64, 1>,
    pub(super) fields_dropped: Family<u64, 1>,
}

// === impl Told ===

impl<'a> Told<'a> {
    pub(super) fn labels(self) -> [&'a str; 8] {
        [
            self.route,
            self.task,
            self.status,
            self.outcome,
            self.target,
            self.provider,
            self.model,
            self.error,
        ]
    }

    /// Out of labels.
    pub(super) fn of(labels: [&'a str; 8]) -> Self {
        let [route, task, status, outcome, target, provider, model, error] = labels;
        Self {
            route,
            task,
            status,
            outcome,
            target,
            provider,
            model,
            error,
        }
    }
}

// === impl Calls ===

impl Calls {
    /// Counts a finished call.
    pub(super) fn count(&mut self, record: &CallRecord) {
        let mut status = itoa::Buffer::new();
        let route = record.route.as_ref().map_or("none", |route| route.as_str());
        let mut told = Told {
            route,
            task: record.task.map_or("none", |task| task.as_str()),
            status: status.format(record.status),
            outcome: record.outcome.as_str(),
            target: "",
            provider: "",
            model: "",
            error: "",
        };
        let mut operation = "";
        if let (Some(target), Some(provider), Some(model), Some(task)) = (
            &record.target,
            &record.provider_kind,
            &record.model,
            record.task,
        ) {
            told = Told {
                target: target.as_str(),
                provider,
                model,
                error: error(record),
                ..told
            };
            operation = task.operation_name();
        }
        let alike = self.alike.entry(told.labels());
        alike.count(record);
        if !operation.is_empty() {
            alike.operation = operation;
            alike.count_target(record);
        }
        let answered_at_once = is_answered_at_once(record);
        alike.answered_at_once += u64::from(answered_at_once);
        if !answered_at_once {
            self.count_attempts(record);
        }
        if let (Outcome::Refused | Outcome::ProviderError, Some(code)) =
            (record.outcome, &record.error_code)
        {
            *self.refusals.entry([code]) += 1;
        }
        if !record.dropped.is_empty() {
            *self.fields_dropped.entry([route]) += record.dropped.len() as u64;
        }
    }

    fn count_attempts(&mut self, record: &CallRecord) {
        for (index, attempt) in record.attempts.iter().enumerate() {
            let target = attempt.target.as_str();
            *self.attempts.entry([
                target,
                attempt.outcome.as_str(),
                attempt.failure.unwrap_or("none"),
            ]) += 1;
            if index > 0 {
                *self.retries.entry([target]) += 1;
            }
        }
    }
}

/// Whether the first who was asked answered, and is told as who did.
fn is_answered_at_once(record: &CallRecord) -> bool {
    matches!(&record.attempts[..], [attempt]
        if attempt.outcome == AttemptOutcome::Answered
            && attempt.failure.is_none()
            && Some(&attempt.target) == record.target.as_ref()
            && record.provider_kind.is_some()
            && record.model.is_some()
            && record.task.is_some())
}

fn error(record: &CallRecord) -> &str {
    match record.outcome {
        Outcome::Answered => "none",
        Outcome::ClientGone => "client_gone",
        Outcome::Refused | Outcome::ProviderError | Outcome::Cut => {
            record.error_code.as_deref().unwrap_or("unknown")
        }
    }
}

// === impl Alike ===

impl Alike {
    fn count(&mut self, record: &CallRecord) {
        self.calls += 1;
        let gateway = record.gateway_time().as_secs_f64();
        self.gateway_seconds.observe(gateway, &GATEWAY_SECONDS);
    }

    /// What is told of calls that were put to a target.
    fn count_target(&mut self, record: &CallRecord) {
        let usage = &record.usage;
        self.seconds
            .observe(record.duration.as_secs_f64(), &OPERATION_SECONDS);
        if let (true, Some(first)) = (record.streamed, record.time_to_first_token) {
            self.first_token_seconds
                .observe(first.as_secs_f64(), &FIRST_TOKEN_SECONDS);
        }
        if let Some(tokens) = usage.input_total() {
            self.input.observe(approximate(tokens), &TOKENS);
        }
        if let Some(tokens) = usage.output_total() {
            self.output.observe(approximate(tokens), &TOKENS);
        }
        for ((name, mine), (class, tokens)) in self.tokens.iter_mut().zip(classes(usage)) {
            *name = class;
            add(mine, tokens);
        }
        add(&mut self.search_units, usage.search_units);
        match record.cost {
            Some(Cost::Known(cost)) => {
                self.cost = Some(self.cost.map_or(cost, |sum| sum.plus(cost)));
            }
            Some(Cost::Unpriced) => self.unpriced += 1,
            Some(Cost::AtMost(_)) => self.unmetered += 1,
            None => {}
        }
    }
}

/// Adds what is known; what never was stays so.
fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default().saturating_add(more));
    }
}

/// Bounds in seconds: ours are microseconds to milliseconds.
pub(super) const GATEWAY_SECONDS: [f64; 14] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003_2, 0.006_4, 0.012_8,
    0.05, 0.2, 1.0, 5.0,
];

/// Bounds that the GenAI conventions advise (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>, read 2026-11).
pub(super) const OPERATION_SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
pub(super) const FIRST_TOKEN_SECONDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
pub(super) const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

fn classes(usage: &Usage) -> [(&'static str, Option<u64>); 10] {
    [
        ("input", usage.input),
        ("input_cached", usage.input_cached),
        ("cache_write", usage.cache_write),
        ("cache_write_1h", usage.cache_write_1h),
        ("input_audio", usage.input_audio),
        ("input_image", usage.input_image),
        ("output", usage.output),
        ("output_reasoning", usage.output_reasoning),
        ("output_audio", usage.output_audio),
        ("output_image", usage.output_image),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram's sum may be off by one in 2^53 tokens"
)]
fn approximate(tokens: u64) -> f64 {
    tokens as f64
}
