//! Answers that later calls go on from, each with what was asked: a conversation is the way back from its last answer to its first.

use std::time::Duration;

use sqlx::Row;

use crate::{Store, StoreError, objects::milliseconds};

/// Turns of a conversation at most.
const TURNS_MAX: i64 = 1_000;

/// An answer, with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResponse {
    /// Whose it is; nobody else finds it.
    pub owner: String,
    /// The answer's.
    pub id: String,
    /// The answer that the call went on from.
    pub previous: Option<String>,
    /// What was asked: JSON, an array of items or a text.
    pub input: String,
    /// The answer: JSON, an object.
    pub answer: String,
}

impl Store {
    /// Keeps an answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_response(
        &self,
        kept: &KeptResponse,
        now: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO responses (owner, id, previous, input, answer, at_ms) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (owner, id) DO NOTHING",
        )
        .bind(&kept.owner)
        .bind(&kept.id)
        .bind(kept.previous.as_deref())
        .bind(&kept.input)
        .bind(&kept.answer)
        .bind(milliseconds(now))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The conversation that ends with an answer, from its first turn. `None` where a turn of it is not there (any more), or where it is
    /// longer than a thousand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn conversation(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<Vec<KeptResponse>>, StoreError> {
        let rows = sqlx::query(
            "WITH RECURSIVE turns (depth, id, previous, input, answer) AS ( \
               SELECT 0, id, previous, input, answer FROM responses WHERE owner = $1 AND id = $2 \
               UNION ALL \
               SELECT turns.depth + 1, responses.id, responses.previous, responses.input, responses.answer \
               FROM turns JOIN responses ON responses.owner = $3 AND responses.id = turns.previous \
               WHERE turns.depth < $4) \
             SELECT id, previous, input, answer FROM turns ORDER BY depth DESC",
        )
        .bind(owner)
        .bind(id)
        .bind(owner)
        .bind(TURNS_MAX)
        .fetch_all(&self.pool)
        .await?;
        let turn = |row: &sqlx::any::AnyRow| {
            Ok::<_, sqlx::Error>(KeptResponse {
                owner: owner.to_owned(),
                id: row.try_get("id")?,
                previous: row.try_get("previous")?,
                input: row.try_get("input")?,
                answer: row.try_get("answer")?,
            })
        };
        let turns = rows.iter().map(turn).collect::<Result<Vec<_>, _>>()?;
        let is_whole = turns.first().is_some_and(|first| first.previous.is_none());
        Ok(is_whole.then_some(turns))
    }

    /// Forgets an answer; says whether there was one. Conversations that went on from it cannot be gone on with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_response(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM responses WHERE owner = $1 AND id = $2")
            .bind(owner)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets answers that were given before a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_responses_before(&self, time: Duration) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM responses WHERE at_ms < $1")
            .bind(milliseconds(time))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }
}
