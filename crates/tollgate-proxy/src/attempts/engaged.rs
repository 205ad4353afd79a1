//! A target at work on a call, and what its health is told of how that went.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_dialects::ErrorKind;
use tollgate_telemetry::events::{TargetCooling, TargetRecovered};
use tollgate_upstream::{Busy, Change, KeyState, Lane};

use super::jobs::RunningJob;
use crate::{gateway::Gateway, stream::Break};

/// A target at work: counted among the busy, and its health settled exactly once.
#[derive(Debug)]
pub(crate) struct Engaged {
    pub(super) lane: Arc<Lane>,
    pub(super) key: Arc<KeyState>,
    gateway: Arc<Gateway>,
    pub(super) started: Instant,
    /// Whether it came to an answer or a miss; else the client left first.
    pub(super) heard: bool,
    /// What the provider works at, where its answers are jobs.
    pub(super) job: OnceLock<Box<RunningJob>>,
    _busy: Busy,
}

impl Engaged {
    pub(super) fn new(
        lane: &Arc<Lane>,
        key: &Arc<KeyState>,
        gateway: &Arc<Gateway>,
        started: Instant,
    ) -> Self {
        Self {
            lane: Arc::clone(lane),
            key: Arc::clone(key),
            gateway: Arc::clone(gateway),
            started,
            heard: false,
            job: OnceLock::new(),
            _busy: lane.health().busy_guard(),
        }
    }

    /// When the attempt began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Who is at work.
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// The first content has come.
    pub(super) fn began(&self, now: Instant, first_token: Duration) {
        if self.lane.health().began(now, first_token) == Change::Recovered {
            TargetRecovered {
                target: self.lane.name(),
            }
            .emit(self.gateway.telemetry());
        }
        self.key.succeeded();
    }

    /// The answer has come to its end.
    pub(crate) fn succeeded(&self, now: Instant) {
        self.lane.health().succeeded(now);
        if let Some(job) = self.job.get() {
            job.finish();
        }
    }

    /// The stream broke after its first content.
    pub(crate) fn broke(&self, how: &Break) {
        let callers_fault =
            matches!(how, Break::Said { error, .. } if error.kind == ErrorKind::InvalidRequest);
        if !callers_fault {
            fail(&self.lane, how.word(), &self.gateway);
        }
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        if !self.heard {
            self.lane.health().abandoned();
        }
    }
}

/// A target has failed through its own fault.
pub(super) fn fail(lane: &Lane, failure: &'static str, gateway: &Gateway) {
    let now = Instant::now();
    if let Change::Cooling { until } = lane.health().failed(now) {
        TargetCooling {
            target: lane.name(),
            cooling: until.saturating_duration_since(now),
            failure,
        }
        .emit(gateway.telemetry());
    }
}
