//! Counters: one shard a worker, written without contention, summed when they are scraped.
//!
//! The catalogue of names is [`Totals::encode`]; `docs/metrics.md` describes it, and a test compares the two.

mod books;
mod families;
mod process;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tollgate_domain::{Cost, Picodollars, ProviderName, Revision, TargetName, Usage};

pub(crate) use books::Standing;

use crate::{CallRecord, Outcome};
use families::{Family, Histogram, Labels};

/// One worker's counters. The lock is the worker's own, but for the moment of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) calls_in_flight: AtomicI64,
    pub(crate) streams_in_flight: AtomicI64,
    /// Its worker waits for calls no longer.
    pub(crate) has_ended: AtomicBool,
    totals: Mutex<Totals>,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    shards: Vec<Arc<Shard>>,
    pub(crate) reloads_taken: AtomicU64,
    pub(crate) reloads_refused: AtomicU64,
    pub(crate) newest_taken: AtomicBool,
    revision: Mutex<Option<Revision>>,
    coolings: Mutex<HashMap<TargetName, Cooling>>,
    renewals: Mutex<HashMap<ProviderName, Renewals>>,
}

/// Renewals of a provider's credential.
#[derive(Clone, Copy, Debug, Default)]
struct Renewals {
    renewed: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cooling {
    times: u64,
    now: bool,
}

// === impl Shard ===

impl Shard {
    /// Counts a finished call.
    pub(crate) fn count(&self, record: &CallRecord) {
        self.totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(record);
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            shards: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            reloads_taken: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            newest_taken: AtomicBool::new(true),
            revision: Mutex::new(None),
            coolings: Mutex::default(),
            renewals: Mutex::default(),
        }
    }

    pub(crate) fn shard(&self, worker: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[worker % self.shards.len()])
    }

    pub(crate) fn set_revision(&self, revision: Revision) {
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
    }

    pub(crate) fn cooling(&self, target: &TargetName, now: bool) {
        let mut coolings: MutexGuard<'_, HashMap<_, Cooling>> =
            self.coolings.lock().unwrap_or_else(PoisonError::into_inner);
        if coolings.len() < families::SERIES_MAX || coolings.contains_key(target) {
            let cooling = coolings.entry(target.clone()).or_default();
            cooling.times += u64::from(now);
            cooling.now = now;
        }
    }

    /// Takes over who is left alone now; `None` is said of targets that are no longer there.
    pub(crate) fn review_coolings(&self, is_cooling: impl Fn(&TargetName) -> Option<bool>) {
        let mut coolings = self.coolings.lock().unwrap_or_else(PoisonError::into_inner);
        coolings.retain(|target, cooling| match is_cooling(target) {
            Some(now) => {
                cooling.now = now;
                true
            }
            None => false,
        });
    }

    pub(crate) fn renewal(&self, provider: &ProviderName, succeeded: bool) {
        let mut all = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < families::SERIES_MAX || all.contains_key(provider) {
            let renewals = all.entry(provider.clone()).or_default();
            renewals.renewed += u64::from(succeeded);
            renewals.failed += u64::from(!succeeded);
        }
    }

    /// All metrics, in the `OpenMetrics` text format.
    pub(crate) fn encode(&self, log_lines_dropped: u64, standing: Standing) -> String {
        let mut totals = Totals::default();
        for shard in &self.shards {
            totals.add(&shard.totals.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let sum = |gauge: fn(&Shard) -> &AtomicI64| {
            self.shards
                .iter()
                .map(|shard| gauge(shard).load(Ordering::Relaxed))
                .sum()
        };
        let scrape = Scrape {
            totals,
            calls_in_flight: sum(|shard| &shard.calls_in_flight),
            streams_in_flight: sum(|shard| &shard.streams_in_flight),
            reloads: [
                ("taken", self.reloads_taken.load(Ordering::Relaxed)),
                ("refused", self.reloads_refused.load(Ordering::Relaxed)),
            ],
            newest_taken: self.newest_taken.load(Ordering::Relaxed),
            revision: self
                .revision
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            coolings: self
                .coolings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|(target, cooling)| (target.to_string(), *cooling))
                .collect(),
            renewals: self
                .renewals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|(provider, renewals)| (provider.to_string(), *renewals))
                .collect(),
            log_lines_dropped,
            standing,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string cannot fail.
        let _encoded = encode(&mut text, &registry);
        text
    }
}

/// What calls have left behind.
#[derive(Clone, Debug, Default)]
struct Totals {
    requests: Family<u64, 4>,
    refusals: Family<u64, 1>,
    attempts: Family<u64, 3>,
    retries: Family<u64, 1>,
    tokens: Family<u64, 3>,
    search_units: Family<u64, 2>,
    cost: Family<Picodollars, 2>,
    cost_unknown: Family<u64, 3>,
    fields_dropped: Family<u64, 1>,
    gateway_duration: Family<Histogram, 1>,
    operation_duration: Family<Histogram, 4>,
    first_token: Family<Histogram, 3>,
    token_usage: Family<Histogram, 4>,
}

impl Totals {
    fn count(&mut self, record: &CallRecord) {
        let route = record.route.as_ref().map_or("none", |route| route.as_str());
        let task = record.task.map_or("none", |task| task.as_str());
        let status = record.status.to_string();
        let outcome = crate::call_log::outcome(record.outcome);
        *self.requests.entry([route, task, &status, outcome]) += 1;
        if let (Outcome::Refused | Outcome::ProviderError, Some(code)) =
            (record.outcome, &record.error_code)
        {
            *self.refusals.entry([code]) += 1;
        }
        for (index, attempt) in record.attempts.iter().enumerate() {
            let target = attempt.target.as_str();
            *self.attempts.entry([
                target,
                crate::call_log::attempt_outcome(attempt.outcome),
                attempt.failure.unwrap_or("none"),
            ]) += 1;
            if index > 0 {
                *self.retries.entry([target]) += 1;
            }
        }
        if !record.dropped.is_empty() {
            *self.fields_dropped.entry([route]) += record.dropped.len() as u64;
        }
        self.gateway_duration
            .entry([route])
            .observe(record.gateway_time().as_secs_f64(), &GATEWAY_SECONDS);
        self.count_target(record, route);
    }

    /// What is told of calls that were put to a target.
    fn count_target(&mut self, record: &CallRecord, route: &str) {
        let (Some(target), Some(provider), Some(model), Some(task)) = (
            &record.target,
            &record.provider_kind,
            &record.model,
            record.task,
        ) else {
            return;
        };
        let operation = task.operation_name();
        let error = match record.outcome {
            Outcome::Answered => "none",
            Outcome::ClientGone => "client_gone",
            Outcome::Refused | Outcome::ProviderError | Outcome::Cut => {
                record.error_code.as_deref().unwrap_or("unknown")
            }
        };
        self.operation_duration
            .entry([operation, provider, model, error])
            .observe(record.duration.as_secs_f64(), &OPERATION_SECONDS);
        if let (true, Some(first)) = (record.streamed, record.time_to_first_token) {
            self.first_token
                .entry([operation, provider, model])
                .observe(first.as_secs_f64(), &FIRST_TOKEN_SECONDS);
        }
        for (kind, tokens) in [
            ("input", record.usage.input_total()),
            ("output", record.usage.output_total()),
        ] {
            if let Some(tokens) = tokens {
                self.token_usage
                    .entry([operation, provider, model, kind])
                    .observe(approximate(tokens), &TOKENS);
            }
        }
        for (class, tokens) in classes(&record.usage) {
            if let Some(tokens) = tokens {
                *self.tokens.entry([route, target.as_str(), class]) += tokens;
            }
        }
        let labels = [route, target.as_str()];
        match record.cost {
            Some(Cost::Known(cost)) => {
                let sum = self.cost.entry(labels);
                *sum = sum.plus(cost);
            }
            Some(Cost::Unpriced) => {
                *self
                    .cost_unknown
                    .entry([route, target.as_str(), "unpriced"]) += 1;
            }
            Some(Cost::AtMost(_)) => {
                *self
                    .cost_unknown
                    .entry([route, target.as_str(), "unmetered"]) += 1;
            }
            None => {}
        }
        if let Some(units) = record.usage.search_units {
            *self.search_units.entry([route, target.as_str()]) += units;
        }
    }

    fn add(&mut self, other: &Self) {
        let add = |mine: &mut u64, theirs: &u64| *mine += theirs;
        self.requests.add(&other.requests, add);
        self.refusals.add(&other.refusals, add);
        self.attempts.add(&other.attempts, add);
        self.retries.add(&other.retries, add);
        self.tokens.add(&other.tokens, add);
        self.search_units.add(&other.search_units, add);
        self.cost
            .add(&other.cost, |mine, theirs| *mine = mine.plus(*theirs));
        self.cost_unknown.add(&other.cost_unknown, add);
        self.fields_dropped.add(&other.fields_dropped, add);
        self.gateway_duration
            .add(&other.gateway_duration, Histogram::add);
        self.operation_duration
            .add(&other.operation_duration, Histogram::add);
        self.first_token.add(&other.first_token, Histogram::add);
        self.token_usage.add(&other.token_usage, Histogram::add);
    }
}

/// Bounds in seconds: ours are microseconds to milliseconds.
const GATEWAY_SECONDS: [f64; 14] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003_2, 0.006_4, 0.012_8,
    0.05, 0.2, 1.0, 5.0,
];

/// Bounds that the GenAI conventions advise (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>, read 2026-11).
const OPERATION_SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const FIRST_TOKEN_SECONDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const TOKENS: [f64; 14] = [
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

/// All that a scrape tells.
#[derive(Debug)]
struct Scrape {
    totals: Totals,
    calls_in_flight: i64,
    streams_in_flight: i64,
    reloads: [(&'static str, u64); 2],
    newest_taken: bool,
    revision: String,
    coolings: Vec<(String, Cooling)>,
    renewals: Vec<(String, Renewals)>,
    log_lines_dropped: u64,
    standing: Standing,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.totals.encode(&mut encoder)?;
        gauge(
            &mut encoder,
            "tollgate_requests_in_flight",
            "Requests that are being served.",
            self.calls_in_flight,
        )?;
        gauge(
            &mut encoder,
            "tollgate_streams_in_flight",
            "Answers that are being streamed.",
            self.streams_in_flight,
        )?;
        let mut family = encoder.encode_descriptor(
            "tollgate_config_reloads",
            "Configurations that were taken or refused.",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in self.reloads {
            ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
        }
        gauge(
            &mut encoder,
            "tollgate_config_current",
            "1 where the newest configuration is in force, 0 where it was refused.",
            i64::from(self.newest_taken),
        )?;
        info(
            &mut encoder,
            "tollgate_config_info",
            "The configuration in force.",
            ("revision", &self.revision),
        )?;
        let mut family = encoder.encode_descriptor(
            "tollgate_target_cooldowns",
            "How often a target was left alone.",
            None,
            MetricType::Counter,
        )?;
        for (target, cooling) in &self.coolings {
            ConstCounter::new(cooling.times)
                .encode(family.encode_family(&[("target", target.as_str())])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "tollgate_target_cooling",
            "1 while a target is left alone.",
            None,
            MetricType::Gauge,
        )?;
        for (target, cooling) in &self.coolings {
            ConstGauge::new(i64::from(cooling.now))
                .encode(family.encode_family(&[("target", target.as_str())])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "tollgate_credential_renewals",
            "Renewals of providers' credentials, by how they went.",
            None,
            MetricType::Counter,
        )?;
        for (provider, renewals) in &self.renewals {
            for (result, count) in [("renewed", renewals.renewed), ("failed", renewals.failed)] {
                let labels = [("provider", provider.as_str()), ("result", result)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        counter(
            &mut encoder,
            "tollgate_log_lines_dropped",
            "Call lines that were not written because the queue was full.",
            self.log_lines_dropped,
        )?;
        self.standing.encode(&mut encoder)?;
        info(
            &mut encoder,
            "tollgate_build_info",
            "The program.",
            ("version", env!("CARGO_PKG_VERSION")),
        )?;
        process::encode(&mut encoder)
    }
}

impl Totals {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        counters(
            encoder,
            "tollgate_requests",
            "Requests, by how they ended.",
            ["route", "task", "status", "outcome"],
            &self.requests,
        )?;
        counters(
            encoder,
            "tollgate_refusals",
            "Requests that were refused or met a provider's error, by code.",
            ["code"],
            &self.refusals,
        )?;
        counters(
            encoder,
            "tollgate_attempts",
            "Tries at targets, by how they went.",
            ["target", "outcome", "failure"],
            &self.attempts,
        )?;
        counters(
            encoder,
            "tollgate_retries",
            "Tries at targets after another try of the same call had failed.",
            ["target"],
            &self.retries,
        )?;
        counters(
            encoder,
            "tollgate_tokens",
            "Tokens by class; the classes do not overlap.",
            ["route", "target", "class"],
            &self.tokens,
        )?;
        counters(
            encoder,
            "tollgate_search_units",
            "Searches that were billed, of rerank calls.",
            ["route", "target"],
            &self.search_units,
        )?;
        costs(
            encoder,
            "tollgate_cost_dollars",
            "What calls cost, as far as that is known, in US dollars.",
            ["route", "target"],
            &self.cost,
        )?;
        counters(
            encoder,
            "tollgate_cost_unknown",
            "Calls whose cost is not known.",
            ["route", "target", "reason"],
            &self.cost_unknown,
        )?;
        counters(
            encoder,
            "tollgate_fields_dropped",
            "Fields that targets could not express and that were left out.",
            ["route"],
            &self.fields_dropped,
        )?;
        let seconds = Some(&Unit::Seconds);
        histograms(
            encoder,
            "tollgate_gateway_duration",
            "The gateway's own time for a request: all of it less waiting for providers and pauses.",
            seconds,
            ["route"],
            &GATEWAY_SECONDS,
            &self.gateway_duration,
        )?;
        histograms(
            encoder,
            "gen_ai_client_operation_duration",
            "Time of a call, by who answered.",
            seconds,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
                "error_type",
            ],
            &OPERATION_SECONDS,
            &self.operation_duration,
        )?;
        histograms(
            encoder,
            "gen_ai_server_time_to_first_token",
            "Time to the first content of a stream.",
            seconds,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
            ],
            &FIRST_TOKEN_SECONDS,
            &self.first_token,
        )?;
        histograms(
            encoder,
            "gen_ai_client_token_usage",
            "Tokens of a call.",
            None,
            [
                "gen_ai_operation_name",
                "gen_ai_provider_name",
                "gen_ai_request_model",
                "gen_ai_token_type",
            ],
            &TOKENS,
            &self.token_usage,
        )
    }
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: [&'static str; N],
    family: &Family<u64, N>,
) -> std::fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (values, count) in family.iter() {
        ConstCounter::new(*count).encode(metric.encode_family(&Labels(labels, values))?)?;
    }
    Ok(())
}

fn costs<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: [&'static str; N],
    family: &Family<Picodollars, N>,
) -> std::fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (values, cost) in family.iter() {
        let labels = Labels(labels, values);
        ConstCounter::new(cost.as_dollars()).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn histograms<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    labels: [&'static str; N],
    bounds: &[f64],
    family: &Family<Histogram, N>,
) -> std::fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    for (values, histogram) in family.iter() {
        histogram.encode(metric.encode_family(&Labels(labels, values))?, bounds)?;
    }
    Ok(())
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    count: u64,
) -> std::fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(count).encode(metric)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: i64,
) -> std::fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

/// A gauge that is always 1 and tells something by its label.
fn info(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: (&str, &str),
) -> std::fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(1_i64).encode(metric.encode_family(&[label])?)
}

#[cfg(test)]
mod tests;
