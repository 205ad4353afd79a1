//! What is told of counts that several gateways share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether shared counts answer. Written when they are asked, read by whoever looks.
#[derive(Debug, Default)]
pub struct CountsState {
    away: AtomicBool,
    unanswered: AtomicU64,
    lost: AtomicU64,
}

impl CountsState {
    /// Notes that they answered; says whether they had not before.
    pub fn answered(&self) -> bool {
        self.away.swap(false, Ordering::Relaxed)
    }

    /// Notes that they did not answer in time; says whether they had before.
    pub fn unheard(&self) -> bool {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        !self.away.swap(true, Ordering::Relaxed)
    }

    /// Notes that they will not be told a call's end; says whether it is the first.
    pub fn lost_one(&self) -> bool {
        self.lost.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Whether they did not answer when they were asked last.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Times that they did not answer in time.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Calls whose end they will not be told.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
