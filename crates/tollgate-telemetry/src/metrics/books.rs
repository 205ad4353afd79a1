//! Metrics of what stands behind calls: the books, and the counts that several gateways share.

use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::{counter, gauge};
use crate::{CountsState, journal::JournalState};

/// What stands behind calls, where it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) journal: Option<Arc<JournalState>>,
    pub(crate) counts: Option<Arc<CountsState>>,
    /// Calls that were not told as traces.
    pub(crate) traces: Option<u64>,
}

impl Standing {
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        if let Some(journal) = &self.journal {
            books(journal, encoder)?;
        }
        if let Some(dropped) = self.traces {
            counter(
                encoder,
                "tollgate_traces_dropped",
                "Calls that were not told as traces: the queue was full, or the collector did not take them.",
                dropped,
            )?;
        }
        match &self.counts {
            Some(counts) => shared_counts(counts, encoder),
            None => Ok(()),
        }
    }
}

fn books(journal: &JournalState, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let (entered, failures) = journal.totals();
    for (name, help, count) in [
        (
            "tollgate_books_entered",
            "Calls that were entered into the books.",
            entered,
        ),
        (
            "tollgate_books_failures",
            "Times that calls could not be entered into the books; they wait in the journal.",
            failures,
        ),
        (
            "tollgate_books_lost",
            "Calls that could not be written into the journal, not even later.",
            journal.lost(),
        ),
    ] {
        counter(encoder, name, help, count)?;
    }
    gauge(
        encoder,
        "tollgate_books_waiting_bytes",
        "Bytes that wait to be entered into the books, in the journal and in memory.",
        i64::try_from(journal.waiting()).unwrap_or(i64::MAX),
    )
}

fn shared_counts(counts: &CountsState, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    counter(
        encoder,
        "tollgate_counters_unanswered",
        "Times that the shared counts of limits and budgets did not answer in time.",
        counts.unanswered(),
    )?;
    counter(
        encoder,
        "tollgate_counters_lost",
        "Calls whose end the shared counts will not be told; what they reserved stays reserved until this process ends.",
        counts.lost(),
    )?;
    gauge(
        encoder,
        "tollgate_counters_away",
        "1 while the shared counts do not answer.",
        i64::from(counts.is_away()),
    )
}
