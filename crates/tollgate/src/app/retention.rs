//! What the books' thread does so that single calls and payloads go when their time is over. How they go is the store's.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_store::{Store, StoreError};

/// It is looked at once in so many rounds: about every ten minutes.
const LOOK_EVERY_ROUNDS: u32 = 3_000;

/// Calls that are dropped by one statement, and how long a round may be at it. What is to be entered waits no longer than that.
const DROPPED_AT_ONCE: u32 = 200;
const ROUND_MAX: Duration = Duration::from_millis(50);

/// What has been said of what is kept, and what is being dropped.
#[derive(Debug)]
pub(super) struct Retention {
    /// How long calls are kept, where not for ever.
    calls_kept: Option<Duration>,
    look_in: u32,
    /// From when on calls were kept at the last look, in milliseconds since 1970-01-01 UTC.
    announced: Option<i64>,
    /// Calls from before this are being dropped.
    dropping: Option<i64>,
}

impl Retention {
    pub(super) fn new(calls_kept: Option<Duration>) -> Self {
        Self {
            calls_kept,
            look_in: 0,
            announced: None,
            dropping: None,
        }
    }

    /// What is due of it in a round.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn round(
        &mut self,
        store: &Store,
        payloads_kept: Duration,
        now: Duration,
    ) -> Result<(), StoreError> {
        if self.look_in > 0 {
            self.look_in -= 1;
        } else {
            self.look_in = LOOK_EVERY_ROUNDS;
            // Whether any are kept now, or not any more; none is for longer than its call.
            let kept = self
                .calls_kept
                .map_or(payloads_kept, |kept| kept.min(payloads_kept));
            store.drop_payloads_before(now.saturating_sub(kept)).await?;
            if let Some(kept) = self.calls_kept {
                self.look(store, kept, now).await?;
            }
        }
        self.drop_some(store).await
    }

    /// What was said at the look before has been heard by everybody, and is done now. What is said now is done at the next look.
    async fn look(
        &mut self,
        store: &Store,
        kept: Duration,
        now: Duration,
    ) -> Result<(), StoreError> {
        if self.dropping.is_none() {
            self.dropping = self.announced.filter(|before| *before > 0);
        }
        store.keep_calls_for(kept, now).await?;
        self.announced = Some(store.calls_kept_from().await?);
        Ok(())
    }

    async fn drop_some(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some(before) = self.dropping else {
            return Ok(());
        };
        let begun = Instant::now();
        while begun.elapsed() < ROUND_MAX {
            let dropped = store.drop_calls_before(before, DROPPED_AT_ONCE).await?;
            if dropped < u64::from(DROPPED_AT_ONCE) {
                self.dropping = None;
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::UsageRecord;
    use tollgate_store::{CallsQuery, UsageQuery};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn calls_are_dropped_a_look_after_that_was_said_and_their_sums_stay() {
        let folder =
            std::env::temp_dir().join(format!("tollgate-retention-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite:{}", folder.join("books.db").display());
        let store = Store::open(&url).await.unwrap();
        let record = |number: u32| UsageRecord {
            id: format!("{number:08}").into(),
            // Ten a day for a hundred days.
            at_ms: i64::from(20_000 + number / 10) * 86_400_000
                + i64::from(number % 10) * 7_000_000,
            outcome: "answered".into(),
            status: 200,
            ..UsageRecord::default()
        };
        let records: Vec<_> = (0..1_000).map(record).collect();
        store.enter(&records).await.unwrap();
        let now = DAY * 20_100;
        let mut retention = Retention::new(Some(DAY * 30));
        let left = async || {
            let mut left = 0;
            for number in (0..1_000).step_by(10) {
                let id = format!("{number:08}");
                left += usize::from(store.call(None, &id).await.unwrap().is_some());
            }
            left
        };
        let look = async |retention: &mut Retention| {
            retention.look_in = 0;
            for _ in 0..20 {
                retention.round(&store, DAY * 30, now).await.unwrap();
            }
        };
        look(&mut retention).await;
        assert_eq!(left().await, 100, "nothing is dropped that was just said");
        let all = CallsQuery {
            most: 2_000,
            ..CallsQuery::default()
        };
        // The newest came on the day 20,099.
        assert_eq!(store.calls(&all).await.unwrap().len(), 310);
        look(&mut retention).await;
        assert_eq!((left().await, retention.dropping), (31, None));
        assert_eq!(store.calls(&all).await.unwrap().len(), 310);
        let sums = store.usage(&UsageQuery::default()).await.unwrap();
        assert_eq!(sums[0].calls, 1_000);
        // For ever.
        let mut retention = Retention::new(None);
        look(&mut retention).await;
        look(&mut retention).await;
        assert_eq!(left().await, 31);
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
