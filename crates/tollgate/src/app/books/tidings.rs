//! What the log is told of how the books are kept: once when it begins, and once when it is over.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tollgate_store::StoreError;
use tollgate_telemetry::{
    events::{
        BooksBehind, BooksClosed, BooksInOrder, BooksLosing, BooksLost, BooksOpen, BooksOverfull,
    },
    journal::Journal,
};

use super::{News, Troubles, told};

/// How often the journal is looked at while the database is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was told.
pub(super) struct Tidings {
    journal: Arc<Journal>,
    /// Whether calls are refused that cannot be written down.
    refuses_when_full: bool,
    troubles: Troubles,
    /// Whether it was told that there is no room, and not yet that there is some again.
    is_closed: bool,
    /// Whether it was told that calls are lost, and not yet how many.
    is_losing: bool,
    /// Calls that were lost and told of.
    lost_told: u64,
}

impl Tidings {
    pub(super) fn new(journal: Arc<Journal>, refuses_when_full: bool) -> Self {
        Self {
            journal,
            refuses_when_full,
            troubles: Troubles::default(),
            is_closed: false,
            is_losing: false,
            lost_told: 0,
        }
    }

    /// The pause before the next round.
    pub(super) fn pause(&self) -> Duration {
        self.troubles.pause()
    }

    /// Waits for a round, and looks at the journal meanwhile: what cannot be written to it is tried again, and what becomes of calls is told. A database
    /// may take its time.
    pub(super) async fn told_during<T>(&mut self, round: impl Future<Output = T>) -> T {
        let mut round = std::pin::pin!(round);
        loop {
            self.journal.retry();
            self.tell_of_room();
            self.tell_of_losses();
            tokio::select! {
                biased;
                ended = &mut round => return ended,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tells of what is new in how rounds go.
    pub(super) fn tell_round<T>(&mut self, round: &Result<T, StoreError>) {
        match (self.troubles.note(round), round) {
            (Some(News::Begun), Err(error)) => {
                let problem = &told(error);
                BooksBehind { problem }.emit();
            }
            (Some(News::Over), _) => BooksInOrder.emit(),
            _ => {}
        }
    }

    /// Tells when there is no room for calls, and when there is some again: not before half of the journal is free, or it would tell of nothing
    /// else where room comes and goes.
    fn tell_of_room(&mut self) {
        let state = self.journal.state();
        if !self.is_closed && !state.takes_records() {
            self.is_closed = true;
            let waiting_bytes = state.waiting();
            match self.refuses_when_full {
                true => BooksClosed { waiting_bytes }.emit(),
                false => BooksOverfull { waiting_bytes }.emit(),
            }
        } else if self.is_closed && self.has_room() {
            self.is_closed = false;
            BooksOpen.emit();
        }
    }

    /// Tells when calls begin to be lost, and how many they were once there is room again.
    fn tell_of_losses(&mut self) {
        let state = self.journal.state();
        if !self.is_losing && state.lost() > self.lost_told {
            self.is_losing = true;
            let waiting_bytes = state.waiting();
            BooksLosing { waiting_bytes }.emit();
        } else if self.is_losing && self.has_room() {
            self.is_losing = false;
            self.tell_lost();
        }
    }

    /// The process ends: tells how many calls were lost, where some were.
    pub(super) fn tell_last_losses(&mut self) {
        if self.is_losing || self.journal.state().lost() > self.lost_told {
            self.tell_lost();
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.journal.state().lost();
        let calls = lost - self.lost_told;
        self.lost_told = lost;
        BooksLost { calls }.emit();
    }

    /// Whether half of the journal is free, and it can be written to.
    fn has_room(&self) -> bool {
        let state = self.journal.state();
        state.takes_records() && state.waiting() <= state.bytes_max() / 2
    }
}
