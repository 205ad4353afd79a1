//! What was asked and answered, where the operator wants it kept: a table for each day, which is dropped as a whole when its time is over.

use std::time::Duration;

use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use tollgate_domain::{Payload, UsageRecord};

use crate::{
    Store, StoreError,
    ledger::clean,
    objects::milliseconds,
    sums::DAY_MS,
    values::{Value, bind},
};

/// What the tables' names begin with; the number of the day since 1970-01-01 UTC follows.
const PREFIX: &str = "payloads_";

/// The table of a day.
pub(crate) fn table(at_ms: i64) -> String {
    format!("{PREFIX}{}", at_ms.max(0) / DAY_MS)
}

/// A payload, and how it is entered.
pub(crate) struct Entry<'a> {
    id: &'a str,
    payload: &'a Payload,
    /// Makes the table, where it is not there.
    pub(crate) making: String,
    /// Has three places.
    pub(crate) insertion: String,
}

impl<'a> Entry<'a> {
    pub(crate) fn values(&self) -> [Value<'a>; 3] {
        let Payload { request, response } = self.payload;
        [
            self.id.into(),
            Some(clean(request)).into(),
            Some(clean(response)).into(),
        ]
    }
}

/// The payloads of those records that have some.
pub(crate) fn entries<'a>(records: &[&'a UsageRecord]) -> impl Iterator<Item = Entry<'a>> {
    records.iter().filter_map(|record| {
        let payload = record.payload.as_ref()?;
        let table = table(record.at_ms);
        Some(Entry {
            id: &record.id,
            payload,
            making: format!(
                "CREATE TABLE IF NOT EXISTS {table} (id TEXT NOT NULL PRIMARY KEY, request TEXT NOT NULL, response TEXT NOT NULL)"
            ),
            insertion: format!(
                "INSERT INTO {table} (id, request, response) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
            ),
        })
    })
}

/// Enters the payloads of records.
pub(crate) async fn add(
    transaction: &mut Transaction<'_, Any>,
    records: &[&UsageRecord],
) -> Result<(), sqlx::Error> {
    let mut made = String::new();
    for entry in entries(records) {
        // Both are made of words of this file and a number.
        if made != entry.making {
            sqlx::query(AssertSqlSafe(entry.making.clone()))
                .execute(&mut **transaction)
                .await?;
            made.clone_from(&entry.making);
        }
        bind(
            sqlx::query(AssertSqlSafe(entry.insertion.clone())),
            entry.values(),
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

impl Store {
    /// The days that payloads are kept of, by their numbers since 1970-01-01 UTC.
    pub(crate) async fn payload_days(&self) -> Result<Vec<i64>, StoreError> {
        let sql = if self.is_file {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'payloads\\_%' ESCAPE '\\'"
        } else {
            "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'payloads\\_%'"
        };
        let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.pool).await?;
        let days = names.iter();
        Ok(days
            .filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok())
            .collect())
    }

    /// What was asked and answered in a call, where that is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn payload(&self, call: &UsageRecord) -> Result<Option<Payload>, StoreError> {
        if !self.payload_days().await?.contains(&(call.at_ms / DAY_MS)) {
            return Ok(None);
        }
        let table = table(call.at_ms);
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT request, response FROM {table} WHERE id = $1"
        )))
        .bind(&*call.id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let text = |name: &str| row.try_get::<String, _>(name);
        Ok(Some(Payload {
            request: text("request")?.into(),
            response: text("response")?.into(),
        }))
    }

    /// Drops the days that are over before a time; gives how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_payloads_before(&self, time: Duration) -> Result<usize, StoreError> {
        let first = milliseconds(time) / DAY_MS;
        let mut days = self.payload_days().await?;
        days.retain(|day| *day < first);
        for day in &days {
            sqlx::query(AssertSqlSafe(format!("DROP TABLE IF EXISTS {PREFIX}{day}")))
                .execute(&self.pool)
                .await?;
        }
        Ok(days.len())
    }
}
