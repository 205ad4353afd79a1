//! Counters and histograms by labels, with a bound on how many there may be.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use hashbrown::{Equivalent, HashMap, hash_map::EntryRef};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder};

/// Series of one metric in one shard; what comes beyond is counted together, under `other`.
pub(super) const SERIES_MAX: usize = 10_000;

/// Values by labels. They are looked up many times a call, and almost always found: that costs no allocation.
#[derive(Clone, Debug)]
pub(super) struct Family<V, const N: usize>(HashMap<[Arc<str>; N], V>);

/// Labels as they are looked up.
struct Wanted<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Hash for Wanted<'_, N> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl<const N: usize> Equivalent<[Arc<str>; N]> for Wanted<'_, N> {
    fn equivalent(&self, labels: &[Arc<str>; N]) -> bool {
        self.0
            .iter()
            .zip(labels)
            .all(|(one, other)| **one == **other)
    }
}

impl<V, const N: usize> Default for Family<V, N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Default, const N: usize> Family<V, N> {
    /// The value of these labels.
    pub(super) fn entry(&mut self, labels: [&str; N]) -> &mut V {
        let is_full = self.0.len() >= SERIES_MAX;
        let wanted = if is_full && !self.0.contains_key(&Wanted(labels)) {
            ["other"; N]
        } else {
            labels
        };
        match self.0.entry_ref(&Wanted(wanted)) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(entry) => {
                let key = wanted.map(Arc::from);
                entry.insert_entry_with_key(key, V::default()).into_mut()
            }
        }
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

    /// Whether anything was observed.
    pub(super) fn is_told(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Adds other observations, under the same bounds.
    pub(super) fn add(&mut self, other: &Self) {
        let bounds = self.counts.len().max(other.counts.len());
        self.counts.resize(bounds, 0);
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
