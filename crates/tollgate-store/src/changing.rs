//! Changes of what is administered come one after the other: each holds the audit's number until it is done, and looks only then at what it
//! changes. What was planned by an earlier look is made only if nothing has changed since, and is planned again otherwise.

use sqlx::{Any, Transaction};

use crate::{Change, Store, StoreError};

/// How often a change is planned at most, while others, by other programs, go before it.
const PLANS_MAX: u32 = 50;

impl Store {
    /// Plans a change and makes it: `make` looks at what is there, and makes the change that it is given. What fails while something else was
    /// changed is planned again; so that this is seldom, changes by this program wait for each other.
    ///
    /// # Errors
    /// When `make` fails though nothing else was changed, or again and again, or the database does.
    pub async fn plan_and_make<T, E, F>(
        &self,
        change: Change,
        make: impl Fn(Change) -> F,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<T, E>>,
    {
        let _alone = self.changing.lock().await;
        let mut plans = 1;
        loop {
            let seen = self.changes_made().await?;
            let change = Change {
                planned_behind: Some(seen),
                ..change.clone()
            };
            match make(change).await {
                Err(_) if plans < PLANS_MAX && self.changes_made().await? != seen => plans += 1,
                made => return made,
            }
        }
    }

    /// How many changes of what is administered there were.
    async fn changes_made(&self) -> Result<i64, StoreError> {
        self.change_of("audit").await
    }

    /// A transaction that changes what is administered, once all others have ended.
    ///
    /// # Errors
    /// When there was a change since this one was planned, or the database fails.
    pub(crate) async fn begin_changing(
        &self,
        change: &Change,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        let mut transaction = self.begin_writing().await?;
        sqlx::query("UPDATE changes SET number = number + 1 WHERE what = 'audit'")
            .execute(&mut *transaction)
            .await?;
        let number = number(&mut transaction).await?;
        match change.planned_behind {
            Some(seen) if number != seen + 1 => Err(StoreError::Overtaken),
            _ => Ok(transaction),
        }
    }
}

/// The number in the audit of the change that a transaction makes.
pub(crate) async fn number(transaction: &mut Transaction<'_, Any>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT number FROM changes WHERE what = 'audit'")
        .fetch_one(&mut **transaction)
        .await
}
