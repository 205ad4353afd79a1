//! The thread that enters what journals hold into the books. Whoever serves calls on the same core goes before it, unless it falls behind.

use std::{sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tollgate_domain::Allowance;
use tollgate_store::{Keeper, Skipped, Store, StoreError};
use tollgate_telemetry::{
    events::{
        BooksBehind, BooksClosed, BooksInOrder, BooksLosing, BooksLost, BooksOpen, JournalOutdated,
        JournalUnreadable,
    },
    journal::Journal,
    stand_back,
};

use super::{CLOSING_TIMEOUT, News, ROUND_TIMEOUT, Troubles, keeper_of, told, within};
use crate::{
    app::{composer::Composer, estates::Estates},
    config::StoreSettings,
};

/// The part of what may wait in a journal that makes haste, and the one that is calm again.
const HASTE_FROM: u64 = 4;
const CALM_FROM: u64 = 16;

/// What the thread works with.
pub(super) struct Entering {
    pub(super) settings: StoreSettings,
    pub(super) journal: Arc<Journal>,
    /// Until the database was reached there is none.
    pub(super) keeper: Option<Keeper>,
    pub(super) estates: Estates,
    pub(super) troubles: Troubles,
    /// Whether it was told that calls are refused, and not yet that they are taken again.
    pub(super) is_closed: bool,
    /// Whether it was told that calls are lost, and not yet how many.
    pub(super) is_losing: bool,
    /// Calls that were lost and told of.
    pub(super) lost_told: u64,
    pub(super) stop: CancellationToken,
}

/// How the thread works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// While nobody else wants the core.
    Calm,
    /// With its own share of it, since too much waits.
    Haste,
}

impl Entering {
    /// Enters all there is until it is stopped, and then once more.
    pub(super) fn enter_all(mut self, runtime: &Runtime, composer: &Composer) {
        while !self.stop.is_cancelled() {
            // A thread that has stood back cannot come forward again.
            let calm = thread::scope(|scope| {
                let calm = scope.spawn(|| {
                    stand_back();
                    runtime.block_on(self.run(Pace::Calm, composer));
                });
                calm.join()
            });
            if calm.is_err() {
                return; // It has panicked, and said so.
            }
            runtime.block_on(self.run(Pace::Haste, composer));
        }
        runtime.block_on(self.finish(composer));
    }

    /// Goes round until it is stopped, or another pace would be right.
    async fn run(&mut self, pace: Pace, composer: &Composer) {
        while !self.stop.is_cancelled() && self.pace(pace) == pace {
            self.journal.retry();
            let round = within(ROUND_TIMEOUT, self.round(&composer.allowances())).await;
            if round.is_err() {
                self.journal.state().failed();
            }
            self.tell(&round);
            self.tell_of_refusals();
            self.tell_of_losses();
            if !matches!(round, Ok(true)) {
                self.rest(self.troubles.pause()).await;
            }
        }
    }

    /// Tells of what is new in how rounds go.
    fn tell<T>(&mut self, round: &Result<T, StoreError>) {
        match (self.troubles.note(round), round) {
            (Some(News::Begun), Err(error)) => {
                let problem = &told(error);
                BooksBehind { problem }.emit();
            }
            (Some(News::Over), _) => BooksInOrder.emit(),
            _ => {}
        }
    }

    /// Tells when calls begin to be refused, and when they are taken again: not before half of the journal is free, or it would tell of nothing
    /// else where room comes and goes.
    fn tell_of_refusals(&mut self) {
        let state = self.journal.state();
        if !self.is_closed && !state.takes_records() && self.settings.refuses_when_full {
            self.is_closed = true;
            let waiting_bytes = state.waiting();
            BooksClosed { waiting_bytes }.emit();
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

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = sleep(pause) => {}
        }
    }

    /// The pace that is right while this one is kept.
    fn pace(&self, now: Pace) -> Pace {
        let state = self.journal.state();
        let part = match now {
            Pace::Calm => HASTE_FROM,
            Pace::Haste => CALM_FROM,
        };
        if state.waiting() > state.bytes_max() / part {
            Pace::Haste
        } else {
            Pace::Calm
        }
    }

    /// Enters some of what there is; says whether there is more.
    async fn round(&mut self, allowances: &[Arc<Allowance>]) -> Result<bool, StoreError> {
        let keeper = match &mut self.keeper {
            Some(keeper) => keeper,
            None => {
                let store = Store::open(self.settings.url.expose()).await?;
                let keeper = keeper_of(store, &self.settings, &self.journal);
                self.keeper.insert(keeper)
            }
        };
        let own = keeper.round().await?;
        report_skipped(own.skipped);
        let skipped = self.estates.enter(keeper, allowances).await?;
        report_skipped(skipped);
        Ok(own.has_more)
    }

    /// The last rounds.
    async fn finish(mut self, composer: &Composer) {
        let last = async {
            while self.round(&composer.allowances()).await? {}
            Ok(())
        };
        let last = within(CLOSING_TIMEOUT, last).await;
        self.tell(&last);
        if self.is_losing || self.journal.state().lost() > self.lost_told {
            self.tell_lost();
        }
        if let Some(keeper) = self.keeper {
            let _ended = timeout(CLOSING_TIMEOUT, keeper.finish()).await;
        }
    }
}

/// Tells of records that were not entered.
pub(super) fn report_skipped(skipped: Skipped) {
    if skipped.unreadable > 0 {
        JournalUnreadable {
            records: skipped.unreadable,
        }
        .emit();
    }
    if skipped.too_old > 0 {
        JournalOutdated {
            records: skipped.too_old,
        }
        .emit();
    }
}
