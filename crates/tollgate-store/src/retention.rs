//! From when on single calls are kept, and how those before it go. Their sums stay; payloads have a time of their own (`payloads.rs`).
//!
//! Whoever wants calls dropped says first from when on they are kept, and drops them a while later: until everybody has heard, all that may
//! be entered a second time is still there to be found.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::{Store, StoreError, objects::milliseconds, sums::DAY_MS};

pub(crate) const KEPT_FROM: &str = "SELECT from_ms FROM calls_kept";

/// From when on single calls are kept, in milliseconds since 1970-01-01 UTC.
pub(crate) async fn calls_kept_from(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(KEPT_FROM).fetch_one(connection).await
}

impl Store {
    /// From when on single calls are kept, in milliseconds since 1970-01-01 UTC; the beginning of a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calls_kept_from(&self) -> Result<i64, StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(calls_kept_from(&mut connection).await?)
    }

    /// Says that calls are kept for so long before `now`, the time since 1970-01-01 UTC, or before the newest call where that is earlier: a
    /// clock that goes wrong alone drops nothing. What is no longer kept is never kept again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_calls_for(&self, kept: Duration, now: Duration) -> Result<(), StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(at_ms) FROM usage_records")
            .fetch_one(&self.pool)
            .await?;
        let Some(newest) = newest else {
            return Ok(());
        };
        let from = newest.min(milliseconds(now)) - milliseconds(kept);
        let from = from / DAY_MS * DAY_MS;
        sqlx::query("UPDATE calls_kept SET from_ms = $1 WHERE from_ms < $1")
            .bind(from)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Drops calls that came before a time, the oldest first and so many at most; gives how many. That calls are kept from there on was said
    /// some time before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_calls_before(&self, at_ms: i64, most: u32) -> Result<u64, StoreError> {
        // Where others drop the same ones, nobody waits.
        let skipping = if self.is_file {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        };
        // Made of words of this file and numbers.
        let done = sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM usage_records WHERE id IN \
             (SELECT id FROM usage_records WHERE at_ms < {at_ms} ORDER BY at_ms LIMIT {most}{skipping})"
        )))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
