//! What was answered to requests that may be sent again: under a key of the client's, for a day.

use std::time::Duration;

use sqlx::{Any, Row, Transaction};

use crate::{Change, Store, StoreError, objects::milliseconds};

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

/// An answer that is to be kept, and under what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnswer {
    /// Whom it is given to.
    pub actor: String,
    /// The key that the request came with.
    pub key: String,
    /// The answer, and to what.
    pub answered: Answered,
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
}

/// Keeps the answer that goes with a change in the change's own transaction, and forgets those that are too old: whoever sends the request
/// again finds both or neither.
///
/// # Errors
/// When there is an answer under the key already, or the database fails.
pub(crate) async fn keep(
    transaction: &mut Transaction<'_, Any>,
    change: &Change,
) -> Result<(), StoreError> {
    let Some(answer) = &change.answer else {
        return Ok(());
    };
    sqlx::query("DELETE FROM answered WHERE at_ms <= $1")
        .bind(milliseconds(change.at.saturating_sub(KEPT_FOR)))
        .execute(&mut **transaction)
        .await?;
    let kept = sqlx::query(
        "INSERT INTO answered (actor, request_key, request_hash, answer, at_ms) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (actor, request_key) DO NOTHING",
    )
    .bind(&answer.actor)
    .bind(&answer.key)
    .bind(&answer.answered.request_hash)
    .bind(&answer.answered.answer)
    .bind(milliseconds(change.at))
    .execute(&mut **transaction)
    .await?;
    match kept.rows_affected() {
        0 => Err(StoreError::Repeated),
        _ => Ok(()),
    }
}
