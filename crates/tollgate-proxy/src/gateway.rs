//! What all requests share: the picture they are decided from, the witness of what happens, and whether the gateway is
//! going down.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_telemetry::{Telemetry, Witness};
use tollgate_upstream::Upstream;

use crate::{
    admission::{Counters, SharingLine},
    picture::Picture,
    pulse::Pulse,
    responses::Responses,
    turn::TurnEnd,
};

/// Shared by all workers.
#[derive(Debug)]
pub struct Gateway {
    picture: ArcSwap<Picture>,
    telemetry: Telemetry,
    exposure: Exposure,
    bookless: Bookless,
    counters: Arc<Counters>,
    draining: AtomicBool,
    /// Why the newest configuration was not taken, where it was not.
    stale: Mutex<Option<String>>,
}

/// What is served beside calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// `/metrics` too.
    Metrics,
    /// Not even that.
    NoMetrics,
}

/// What becomes of calls that cannot be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bookless {
    /// They are refused.
    Refused,
    /// They are answered.
    Answered,
}

/// One worker's own: nothing here is shared on the way of a request.
#[derive(Debug)]
pub struct Worker {
    /// What all share.
    pub gateway: Arc<Gateway>,
    /// The worker's connections to providers.
    pub upstream: Arc<Upstream>,
    /// The worker's counters.
    pub witness: Witness,
    /// The worker's way to counts that several gateways share, where they do.
    pub sharing: Option<SharingLine>,
    /// The way to whoever keeps answers that others go on from, where somebody does.
    pub responses: Option<Responses>,
    /// Whether the worker keeps up.
    pub pulse: Arc<Pulse>,
    /// Where the worker's calls wait for each other.
    pub turn_end: Arc<TurnEnd>,
    /// The worker is about to stop: who waits for an answer gets none.
    pub stopping: CancellationToken,
}

impl Worker {
    /// Waits until what is ready now is done, and what is known of all calls of the turn is written down, in one write.
    pub(crate) async fn end_of_turn(&self) {
        self.turn_end.reach(|| self.witness.write_down()).await;
    }
}

impl Gateway {
    /// With a first picture.
    pub fn new(
        picture: Picture,
        telemetry: Telemetry,
        exposure: Exposure,
        bookless: Bookless,
    ) -> Self {
        Self {
            picture: ArcSwap::from_pointee(picture),
            telemetry,
            exposure,
            bookless,
            counters: Arc::default(),
            draining: AtomicBool::new(false),
            stale: Mutex::new(None),
        }
    }

    /// The picture that a request is decided from, from its beginning to its end.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// Replaces the picture; requests under way keep theirs.
    pub fn replace(&self, picture: Picture) {
        let now = Instant::now();
        self.telemetry.review_targets(|target| {
            let lane = picture.fleet.lane(target)?;
            Some(lane.health().is_cooling(now))
        });
        self.picture.store(Arc::new(picture));
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Replaces the picture with one that has other keys; what is said of the configuration stays.
    pub fn take_keys(&self, picture: Picture) {
        self.picture.store(Arc::new(picture));
    }

    /// Notes that the newest configuration was not taken, and why.
    pub fn keep(&self, why: String) {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why the newest configuration was not taken, where it was not.
    pub fn stale(&self) -> Option<String> {
        self.stale
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on the gateway says that it wants no more traffic.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts of allowances; they outlive a change of the configuration.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether a call may be made: it can be written down, or need not be.
    pub(crate) fn takes_calls(&self) -> bool {
        let journal = self.telemetry.journal();
        self.bookless == Bookless::Answered || journal.is_none_or(|journal| journal.takes_records())
    }

    /// What is served beside calls.
    pub(crate) fn exposure(&self) -> Exposure {
        self.exposure
    }

    /// Counters and logs.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}
