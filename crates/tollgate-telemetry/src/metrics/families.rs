//! Counters and histograms by labels, with a bound on how many there may be.

use std::{collections::HashMap, sync::Arc};

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder};

/// Series of one metric in one shard; what comes beyond is counted together, under `other`.
pub(super) const SERIES_MAX: usize = 10_000;

/// Values by labels.
#[derive(Clone, Debug)]
pub(super) struct Family<V, const N: usize>(HashMap<[Arc<str>; N], V>);

impl<V, const N: usize> Default for Family<V, N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Default, const N: usize> Family<V, N> {
    /// The value of these labels.
    pub(super) fn entry(&mut self, labels: [&str; N]) -> &mut V {
        let key = labels.map(Arc::from);
        if self.0.len() >= SERIES_MAX && !self.0.contains_key(&key) {
            return self
                .0
                .entry([(); N].map(|()| Arc::from("other")))
                .or_default();
        }
        self.0.entry(key).or_default()
    }

    /// Adds another shard's values.
    pub(super) fn add(&mut self, other: &Self, add: impl Fn(&mut V, &V)) {
        for (labels, value) in &other.0 {
            add(self.0.entry(labels.clone()).or_default(), value);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[Arc<str>; N], &V)> {
        self.0.iter()
    }
}

/// Names and values of labels, side by side.
#[derive(Debug)]
pub(super) struct Labels<'a, const N: usize>(
    pub(super) [&'static str; N],
    pub(super) &'a [Arc<str>; N],
);

impl<const N: usize> EncodeLabelSet for Labels<'_, N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        for (name, value) in self.0.iter().zip(self.1) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// How many observations fell under each bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Counts an observation.
    pub(super) fn observe(&mut self, value: f64, bounds: &[f64]) {
        self.counts.resize(bounds.len() + 1, 0);
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Adds another shard's observations.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.resize(other.counts.len(), 0);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum += other.sum;
    }

    pub(super) fn encode(
        &self,
        mut encoder: MetricEncoder<'_>,
        bounds: &[f64],
    ) -> std::fmt::Result {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.counts.iter().copied()).collect();
        encoder.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
            self.sum,
            self.counts.iter().sum(),
            &buckets,
            None,
        )
    }
}
