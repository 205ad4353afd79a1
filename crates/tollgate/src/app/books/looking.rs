//! The thread that looks at the store: for keys, limits and prices that have changed, for what was used of limits that are new, and for what is too old to
//! be kept.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_store::{ChangeFeed, Store, StoreError};
use tollgate_telemetry::events::{StoreAway, StoreBack};

use super::{News, ROUND_TIMEOUT, Troubles, told, within};
use crate::{
    app::{composer::Composer, retention::Retention, since_1970},
    config::StoreSettings,
};

/// While changes in the store are told as they are made, they are looked for once in so many rounds all the same: a word that is lost on its way
/// costs no more than a second.
const LOOK_EVERY_ROUNDS: u32 = 4;

/// The pause between looks, however many changes are told.
const LOOKS_APART: Duration = Duration::from_millis(50);

/// What the thread works with.
pub(super) struct Looking {
    pub(super) settings: StoreSettings,
    /// Until the database was reached there is none.
    pub(super) store: Option<Store>,
    pub(super) troubles: Troubles,
    pub(super) stop: CancellationToken,
}

/// Why the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// Its pause is over.
    Rested,
    /// Something in the store may have changed.
    Told,
    /// It is to end.
    Stopped,
}

impl Looking {
    pub(super) async fn run(mut self, composer: &Composer) {
        let mut feed = ChangeFeed::start(self.settings.url.expose());
        let mut retention = Retention::new(self.settings.calls_kept);
        let mut look_in = 0_u32;
        let mut looked_at = Instant::now();
        loop {
            let pause = self.troubles.pause();
            let woken = self.rest(pause, &mut feed, looked_at + LOOKS_APART).await;
            if woken == Woken::Stopped {
                break;
            }
            let looks = woken == Woken::Told || !feed.is_connected() || look_in == 0;
            look_in = look_in.saturating_sub(1);
            let stop = self.stop.clone();
            let round = self.round(composer, &mut retention, looks);
            let round = stop.run_until_cancelled(within(ROUND_TIMEOUT, round));
            let Some(round) = round.await else {
                break;
            };
            match &round {
                Ok(()) if looks => (look_in, looked_at) = (LOOK_EVERY_ROUNDS - 1, Instant::now()),
                Ok(()) => {}
                // What was told and could not be read is looked for again.
                Err(_) => look_in = 0,
            }
            match (self.troubles.note(&round), &round) {
                (Some(News::Begun), Err(error)) => {
                    let problem = &told(error);
                    StoreAway { problem }.emit();
                }
                (Some(News::Over), _) => StoreBack.emit(),
                _ => {}
            }
        }
        feed.close().await;
        // The other thread closes a file's when it is done with it.
        if let Some(store) = self.store.filter(|_| !self.settings.is_file()) {
            store.close().await;
        }
    }

    /// Waits for a pause to be over, or for a change, which is not taken before a time.
    async fn rest(&self, pause: Duration, feed: &mut ChangeFeed, from: Instant) -> Woken {
        let told = async {
            sleep_until(from).await;
            feed.heard().await;
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stopped,
            () = told => Woken::Told,
            () = sleep(pause) => Woken::Rested,
        }
    }

    async fn round(
        &mut self,
        composer: &Composer,
        retention: &mut Retention,
        looks: bool,
    ) -> Result<(), StoreError> {
        let store = match &self.store {
            Some(store) => store,
            None => {
                let store = Store::open(self.settings.url.expose()).await?;
                self.store.insert(store)
            }
        };
        let payloads_kept = composer.payloads_kept_for();
        retention.round(store, payloads_kept, since_1970()).await?;
        composer.look_again(store).await?;
        if looks {
            composer.look_at(store).await?;
        }
        Ok(())
    }
}
