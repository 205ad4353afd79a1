//! The witness: what happened, as one log line a call and as metrics.
//!
//! The data plane hands a finished [`CallRecord`] to its worker's [`Witness`]; counting happens there, in
//! the worker's own shard, and its line is formatted; writing happens on a thread of its own, from bounded room. Nothing here
//! ever waits in the way of a request. What happens apart from calls is in [`events`].

mod background;
mod call;
mod call_log;
mod counts;
pub mod events;
pub mod journal;
mod metrics;
mod told;
pub mod traces;

use std::{
    io::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tollgate_domain::{Cost, TargetName, Unmetered};

pub use background::{give_way, stand_back};
pub use call::{AttemptOutcome, AttemptRecord, CallContent, CallRecord, Lost, Outcome, Params};
pub use call_log::{CallLog, LogWriter, printable};
pub use counts::CountsState;
pub use journal::begun::BegunCall;
use journal::{
    Journal, JournalState, Pen,
    entries::{Beginning, Ended},
};
use metrics::{Metrics, Shard};
use told::Teller;
use traces::TraceQueue;

/// The content type of [`Telemetry::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a call ended whose process died.
pub const CRASHED: &str = "crashed";

/// How calls are witnessed.
#[derive(Clone, Copy, Debug)]
pub struct TelemetrySettings {
    /// How call lines look, if they are written.
    pub log: CallLog,
    /// Lines of each worker that may wait to be written; further ones are dropped and counted.
    pub queue_max: usize,
    /// How many workers there are; each counts for itself.
    pub workers: usize,
}

/// Counters and logs of the whole program.
#[derive(Clone, Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    log: call_log::Queue,
    journal: Option<Arc<Journal>>,
    counts: Option<Arc<CountsState>>,
    traces: Option<TraceQueue>,
}

/// One worker's counters and its way to the log.
#[derive(Clone, Debug)]
pub struct Witness {
    shard: Arc<Shard>,
    teller: Arc<Mutex<Teller>>,
    log: Arc<call_log::Lines>,
    pen: Option<Arc<Pen>>,
    traces: Option<TraceQueue>,
}

/// Something in flight; counted while it lives.
#[derive(Debug)]
pub struct InFlight {
    shard: Arc<Shard>,
    gauge: fn(&Shard) -> &AtomicI64,
}

impl Telemetry {
    /// Starts the log's thread. Lines go to `out`.
    pub fn start(settings: TelemetrySettings, out: Box<dyn Write + Send>) -> (Self, LogWriter) {
        let metrics = Arc::new(Metrics::new(settings.workers));
        let (log, writer) = call_log::start(settings.log, settings.queue_max, out);
        let telemetry = Self {
            metrics,
            log,
            journal: None,
            counts: None,
            traces: None,
        };
        (telemetry, writer)
    }

    /// From now on, new witnesses write calls into a journal.
    pub fn keep_journal(&mut self, journal: Arc<Journal>) {
        self.journal = Some(journal);
    }

    /// From now on, what is told of shared counts is told in the metrics, too.
    pub fn keep_counts(&mut self, counts: Arc<CountsState>) {
        self.counts = Some(counts);
    }

    /// From now on, new witnesses queue calls to be told as traces.
    pub fn keep_traces(&mut self, traces: TraceQueue) {
        self.traces = Some(traces);
    }

    /// What is told of the journal, where there is one.
    pub fn journal(&self) -> Option<&Arc<JournalState>> {
        self.journal.as_ref().map(|journal| journal.state())
    }

    /// The witness of one worker.
    pub fn witness(&self, worker: usize) -> Witness {
        Witness {
            shard: self.metrics.shard(worker),
            teller: Arc::default(),
            log: self.log.lines(),
            pen: self.journal.as_ref().map(|journal| journal.pen(worker)),
            traces: self.traces.clone(),
        }
    }

    /// After a change of the configuration: whether a target is left alone now, and `None` where there is no such target any more.
    pub fn review_targets(&self, is_cooling: impl Fn(&TargetName) -> Option<bool>) {
        self.metrics.review_coolings(is_cooling);
    }

    /// All metrics, in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let standing = metrics::Standing {
            journal: self.journal().cloned(),
            counts: self.counts.clone(),
            traces: self.traces.as_ref().map(TraceQueue::dropped),
        };
        self.metrics.encode(self.log.dropped(), standing)
    }
}

impl Witness {
    /// Whether calls are written down.
    pub fn keeps_books(&self) -> bool {
        self.pen.is_some()
    }

    /// Notes what is known of a call whose provider is about to be asked, and what it can use and cost, so that it is in the books even if the process
    /// dies. Written down with [`Self::write_down`].
    pub fn begin(
        &self,
        record: &CallRecord,
        unmetered: Unmetered,
        cost: Cost,
    ) -> Option<BegunCall> {
        let pen = self.pen.as_ref().filter(|_| record.is_kept())?;
        pen.begin(&Beginning {
            record,
            known: self.teller().known(record),
            unmetered,
            cost,
        })
    }

    /// The call has ended; its record was made.
    pub fn end_begun(&self, call: BegunCall) {
        if let Some(pen) = &self.pen {
            pen.end(call);
        }
    }

    /// Counts a finished call, and puts its line on its way. The journal has it after [`Self::write_down`]: before the client has its last byte.
    pub fn record(&self, record: &CallRecord) {
        self.shard.count(record);
        if let Some(traces) = &self.traces {
            traces.send(record);
        }
        if self.pen.is_none() && !self.log.are_written() {
            return;
        }
        let mut teller = self.teller();
        let common = teller.tell(record);
        if let (Some(pen), true) = (&self.pen, record.is_kept()) {
            pen.add(&Ended {
                record,
                common: &common,
            });
        }
        self.log.add(record, &common);
    }

    fn teller(&self) -> MutexGuard<'_, Teller> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into the journal what is not there yet.
    pub fn write_down(&self) {
        if let Some(pen) = &self.pen {
            pen.flush();
        }
    }

    /// Notes that the worker waits for calls no longer: those that have not ended are ended by it.
    pub fn end(&self) {
        self.shard.has_ended.store(true, Ordering::Relaxed);
    }

    /// Whether the worker waits for calls no longer.
    pub fn has_ended(&self) -> bool {
        self.shard.has_ended.load(Ordering::Relaxed)
    }

    /// A call has begun.
    pub fn call_started(&self) -> InFlight {
        InFlight::new(&self.shard, |shard| &shard.calls_in_flight)
    }

    /// An answer is being streamed.
    pub fn stream_opened(&self) -> InFlight {
        InFlight::new(&self.shard, |shard| &shard.streams_in_flight)
    }
}

impl InFlight {
    fn new(shard: &Arc<Shard>, gauge: fn(&Shard) -> &AtomicI64) -> Self {
        gauge(shard).fetch_add(1, Ordering::Relaxed);
        Self {
            shard: Arc::clone(shard),
            gauge,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        (self.gauge)(&self.shard).fetch_sub(1, Ordering::Relaxed);
    }
}
