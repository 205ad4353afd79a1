//! What was asked and answered, where the operator wants it kept: a table for each day, which is dropped as a whole when its time is over.

use std::time::Duration;

use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use tollgate_domain::{Payload, UsageRecord};

use crate::{Store, StoreError, ledger::clean, objects::milliseconds, sums::DAY_MS};

/// What the tables' names begin with; the number of the day since 1970-01-01 UTC follows.
const PREFIX: &str = "payloads_";

/// The table of a day.
pub(crate) fn table(at_ms: i64) -> String {
    format!("{PREFIX}{}", at_ms.max(0) / DAY_MS)
}

/// Enters the payloads of records.
pub(crate) async fn add(
    transaction: &mut Transaction<'_, Any>,
    records: &[&UsageRecord],
) -> Result<(), sqlx::Error> {
    let mut made = None;
    for record in records {
        let Some(payload) = &record.payload else {
            continue;
        };
        let table = table(record.at_ms);
        if made.as_ref() != Some(&table) {
            // Made of a word of this file and a number.
            sqlx::query(AssertSqlSafe(format!(
                "CREATE TABLE IF NOT EXISTS {table} (id TEXT NOT NULL PRIMARY KEY, request TEXT NOT NULL, response TEXT NOT NULL)"
            )))
            .execute(&mut **transaction)
            .await?;
            made = Some(table.clone());
        }
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO {table} (id, request, response) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
        )))
        .bind(&*record.id)
        .bind(clean(&payload.request).into_owned())
        .bind(clean(&payload.response).into_owned())
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
