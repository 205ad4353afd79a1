//! What limits and budgets begin with that a change brings: what the books say was used before. They are asked before the change holds, and a few
//! times after it, for the calls that were under way then.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use tollgate_domain::{Allowance, Snapshot};
use tollgate_proxy::Counters;
use tollgate_store::{Store, StoreError};

use super::spent::{Holders, Spent};
use crate::config::StoreSettings;

/// How long a change of the configuration file waits for the books.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// When the books are looked at first after a change; each further time after twice as long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Looks at most after a change: the last some four minutes behind it.
const LOOKS_MAX: u32 = 9;

/// Who knows what was used before.
#[derive(Debug)]
pub(super) enum Source {
    /// These books; counts are kept in this process.
    Books(StoreSettings),
    /// The counts that several gateways share, which begin by themselves.
    SharedCounts,
    /// Nobody.
    Nobody,
}

/// What new limits and budgets begin with.
#[derive(Debug)]
pub(super) struct Beginnings {
    source: Source,
    fresh: Mutex<Vec<Fresh>>,
}

/// What is to be asked of the books before a change holds.
pub(super) struct Wanted {
    pub(super) allowances: Vec<Arc<Allowance>>,
    pub(super) holders: Holders,
}

/// What a change has brought, as long as calls may be under way that came before it.
#[derive(Debug)]
pub(super) struct Fresh {
    allowances: Vec<Arc<Allowance>>,
    /// Until when calls may have come that it did not hold for, since 1970-01-01 UTC.
    at: Duration,
    /// What the counts have been told so far.
    told: Spent,
    looks: u32,
}

impl Beginnings {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            fresh: Mutex::default(),
        }
    }

    /// What is to be asked of the books before one snapshot takes the place of another.
    pub(super) fn wanted(&self, before: &Snapshot, next: &Snapshot) -> Wanted {
        Wanted {
            allowances: match &self.source {
                Source::Books(_) => added(before, next),
                Source::SharedCounts | Source::Nobody => Vec::new(),
            },
            holders: Holders::of(next),
        }
    }

    /// Asks them, on a connection of its own. Where they do not answer in time, the log says so, and counts begin with what is read later.
    pub(super) async fn read(&self, wanted: &Wanted, now: Duration) -> Spent {
        let Source::Books(settings) = &self.source else {
            return Spent::default();
        };
        if wanted.allowances.is_empty() {
            return Spent::default();
        }
        let read = async {
            let store = Store::open(settings.url.expose()).await?;
            let spent = wanted.read(&store, now).await;
            store.close().await;
            spent
        };
        let read = timeout(READ_TIMEOUT, read).await;
        match read.unwrap_or(Err(StoreError::Slow(READ_TIMEOUT))) {
            Ok(spent) => spent,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the books do not say what was used of new limits and budgets, which begin with nothing until they do"
                );
                Spent::default()
            }
        }
    }

    /// Begins to count what a change brings that is about to hold.
    pub(super) fn begin(
        &self,
        new: Vec<Arc<Allowance>>,
        spent: Spent,
        counters: &Counters,
        now: Duration,
    ) {
        if new.is_empty() || !matches!(self.source, Source::Books(_)) {
            return;
        }
        let identities: HashSet<String> = new.iter().map(|one| one.identity()).collect();
        let mut fresh = self.fresh();
        counters.forget(&new);
        spent.tell(&new, counters, now);
        for before in fresh.iter_mut() {
            let allowances = &mut before.allowances;
            allowances.retain(|one| !identities.contains(&one.identity()));
        }
        fresh.push(Fresh {
            allowances: new,
            at: now,
            told: spent,
            looks: 0,
        });
    }

    /// What was begun with last holds from now on: calls may have come since then that it did not hold for.
    pub(super) fn hold(&self, new: &[Arc<Allowance>], now: Duration) {
        if let Some(fresh) = self.fresh().last_mut()
            && let Some((begun, new)) = fresh.allowances.first().zip(new.first())
            && Arc::ptr_eq(begun, new)
        {
            // Calls are known by the millisecond: one that is counted twice is better than one that is left out.
            fresh.at = now + Duration::from_millis(1);
        }
    }

    /// Tells the counts what has been entered of calls since that came before a change.
    ///
    /// # Errors
    /// When the database fails; then it is to be done again.
    pub(super) async fn look_again(
        &self,
        store: &Store,
        holders: &Holders,
        counters: &Counters,
        now: Duration,
    ) -> Result<(), StoreError> {
        let due: Vec<(Duration, Vec<Arc<Allowance>>)> = {
            let fresh = self.fresh();
            let due = fresh.iter().filter(|fresh| fresh.is_due(now));
            due.map(|fresh| (fresh.at, fresh.allowances.clone()))
                .collect()
        };
        for (at, allowances) in due {
            let spent = Spent::read(store, &allowances, holders, at).await?;
            self.tell(at, spent, counters, now);
        }
        Ok(())
    }

    /// Tells the counts of what a change brought then. What has begun anew meanwhile is none of it any more.
    fn tell(&self, at: Duration, spent: Spent, counters: &Counters, now: Duration) {
        let mut all = self.fresh();
        if let Some(fresh) = all.iter_mut().find(|fresh| fresh.at == at) {
            spent.tell_beyond(&fresh.told, &fresh.allowances, counters, now);
            fresh.told = spent;
            fresh.looks += 1;
        }
        all.retain(|fresh| fresh.looks < LOOKS_MAX && !fresh.allowances.is_empty());
    }

    fn fresh(&self) -> MutexGuard<'_, Vec<Fresh>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    /// Asks the books what calls used that came before a time.
    pub(super) async fn read(&self, store: &Store, now: Duration) -> Result<Spent, StoreError> {
        if self.allowances.is_empty() {
            return Ok(Spent::default());
        }
        Spent::read(store, &self.allowances, &self.holders, now).await
    }
}

impl Fresh {
    fn is_due(&self, now: Duration) -> bool {
        let after = LOOK_AGAIN_AFTER.saturating_mul(1 << self.looks.min(LOOKS_MAX));
        now >= self.at.saturating_add(after)
    }
}

/// Limits and budgets that were not counted before.
pub(super) fn added(before: &Snapshot, after: &Snapshot) -> Vec<Arc<Allowance>> {
    let before = before.allowances.iter();
    let known: HashSet<String> = before.map(|one| one.identity()).collect();
    let after = after.allowances.iter();
    after
        .filter(|one| !known.contains(&one.identity()))
        .cloned()
        .collect()
}
