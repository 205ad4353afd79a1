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
    events::{JournalOutdated, JournalUnreadable},
    journal::Journal,
    stand_back,
};

use super::{CLOSING_TIMEOUT, ROUND_TIMEOUT, keeper_of, tidings::Tidings, within};
use crate::{
    app::{composer::Composer, estates::Estates},
    config::StoreSettings,
};

/// The part of what may wait in a journal that makes haste, and the one that is calm again.
const HASTE_FROM: u64 = 4;
const CALM_FROM: u64 = 16;

/// What the thread works with.
pub(super) struct Entering {
    pub(super) rounds: Rounds,
    pub(super) tidings: Tidings,
    pub(super) stop: CancellationToken,
}

/// How what is new gets into the books.
pub(super) struct Rounds {
    pub(super) settings: StoreSettings,
    pub(super) journal: Arc<Journal>,
    /// Until the database was reached there is none.
    pub(super) keeper: Option<Keeper>,
    pub(super) estates: Estates,
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
            let allowances = composer.allowances();
            let round = within(ROUND_TIMEOUT, self.rounds.round(&allowances));
            let round = self.tidings.told_during(round).await;
            if round.is_err() {
                self.rounds.journal.state().failed();
            }
            self.tidings.tell_round(&round);
            if !matches!(round, Ok(true)) {
                self.rest(self.tidings.pause()).await;
            }
        }
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
        let state = self.rounds.journal.state();
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

    /// The last rounds.
    async fn finish(mut self, composer: &Composer) {
        let journal = Arc::clone(&self.rounds.journal);
        journal.retry();
        let last = async {
            while self.rounds.round(&composer.allowances()).await? {}
            Ok(())
        };
        let last = within(CLOSING_TIMEOUT, last).await;
        self.tidings.tell_round(&last);
        if !journal.retry() {
            journal.give_up();
        }
        self.tidings.tell_last_losses();
        if let Some(keeper) = self.rounds.keeper {
            let _ended = timeout(CLOSING_TIMEOUT, keeper.finish()).await;
        }
    }
}

impl Rounds {
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
