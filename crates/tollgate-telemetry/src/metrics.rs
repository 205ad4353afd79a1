//! Counters: one shard a worker, written without contention, summed when they are scraped.
//!
//! The catalogue of names is here and in [`Totals::encode`]; `docs/metrics.md` describes it, and a test compares the two.

mod books;
mod calls;
mod families;
mod process;
mod totals;

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
use tollgate_domain::{Picodollars, ProviderName, Revision, TargetName};

pub(crate) use books::Standing;

use crate::CallRecord;
use calls::Calls;
use families::{Family, Histogram, Labels};
use totals::Totals;

/// One worker's counters. The lock is the worker's own, but for the moment of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) calls_in_flight: AtomicI64,
    pub(crate) streams_in_flight: AtomicI64,
    /// Its worker waits for calls no longer.
    pub(crate) has_ended: AtomicBool,
    calls: Mutex<Calls>,
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
        self.calls
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
            // What a worker waits for is the copy.
            let calls = shard.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = calls.clone();
            totals.add(&calls);
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
