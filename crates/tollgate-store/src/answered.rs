//! What was answered to requests that may be sent again: under a key of the client's, for a day.

use std::time::Duration;

use sqlx::Row;

use crate::{Store, StoreError, objects::milliseconds};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Of the request that it was given to.
    pub request_hash: String,
    /// The answer.
    pub answer: String,
}

impl Store {
    /// What was answered to somebody under a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answered(
        &self,
        actor: &str,
        key: &str,
        now: Duration,
    ) -> Result<Option<Answered>, StoreError> {
        let since = milliseconds(now.saturating_sub(KEPT_FOR));
        let row = sqlx::query(
            "SELECT request_hash, answer FROM answered WHERE actor = $1 AND request_key = $2 AND at_ms > $3",
        )
        .bind(actor)
        .bind(key)
        .bind(since)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Answered {
            request_hash: row.try_get("request_hash")?,
            answer: row.try_get("answer")?,
        }))
    }

    /// Keeps an answer, and forgets those that are too old.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_answer(
        &self,
        actor: &str,
        key: &str,
        answered: &Answered,
        now: Duration,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("DELETE FROM answered WHERE at_ms <= $1")
            .bind(milliseconds(now.saturating_sub(KEPT_FOR)))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO answered (actor, request_key, request_hash, answer, at_ms) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (actor, request_key) DO NOTHING",
        )
        .bind(actor)
        .bind(key)
        .bind(&answered.request_hash)
        .bind(&answered.answer)
        .bind(milliseconds(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}
