//! Finding calls in the books, the newest first.

use sqlx::AssertSqlSafe;
use tollgate_domain::UsageRecord;

use crate::{
    Dimension, Store, StoreError,
    ledger::{COLUMNS, read},
};

/// Which calls.
#[derive(Clone, Debug, Default)]
pub struct CallsQuery {
    /// Calls that came at this time or later, in milliseconds since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// Calls that came before this time.
    pub until_ms: Option<i64>,
    /// Calls that have these values.
    pub of: Vec<(Dimension, String)>,
    /// Calls of these teams only.
    pub teams: Option<Vec<String>>,
    /// Calls with this id in `x-request-id`.
    pub request_id: Option<String>,
    /// Calls that were answered with this status.
    pub status: Option<u16>,
    /// Calls with this code of an error.
    pub error_code: Option<String>,
    /// Calls that cost at least so many picodollars.
    pub cost_from: Option<u64>,
    /// Calls that took at least so many milliseconds.
    pub duration_from_ms: Option<u64>,
    /// Calls before one, by its record's id: where a page before ended.
    pub before: Option<String>,
    /// So many at most.
    pub most: u32,
}

enum Value {
    Text(String),
    Number(i64),
}

impl CallsQuery {
    /// Conditions, each with the value that it is about.
    fn conditions(&self) -> Vec<(String, Value)> {
        let number = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let text = |text: &String| Value::Text(text.clone());
        let mut conditions: Vec<(String, Option<Value>)> = vec![
            ("at_ms >=".to_owned(), self.since_ms.map(Value::Number)),
            ("at_ms <".to_owned(), self.until_ms.map(Value::Number)),
            ("id <".to_owned(), self.before.as_ref().map(text)),
            (
                "request_id =".to_owned(),
                self.request_id.as_ref().map(text),
            ),
            (
                "status =".to_owned(),
                self.status.map(|status| number(status.into())),
            ),
            (
                "error_code =".to_owned(),
                self.error_code.as_ref().map(text),
            ),
            ("cost_picodollars >=".to_owned(), self.cost_from.map(number)),
            (
                "duration_ms >=".to_owned(),
                self.duration_from_ms.map(number),
            ),
        ];
        let of = self.of.iter().map(|(dimension, value)| {
            (format!("{} =", dimension.record_value()), Some(text(value)))
        });
        conditions.extend(of);
        let given = conditions.into_iter();
        given
            .filter_map(|(condition, value)| Some((condition, value?)))
            .collect()
    }
}

impl Store {
    /// Calls, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calls(&self, query: &CallsQuery) -> Result<Vec<UsageRecord>, StoreError> {
        let conditions = query.conditions();
        let mut sql = format!(
            "SELECT {} FROM usage_records WHERE 1 = 1",
            COLUMNS.join(", ")
        );
        for (place, (condition, _)) in (1..).zip(&conditions) {
            sql += &format!(" AND {condition} ${place}");
        }
        if let Some(teams) = &query.teams {
            let first = conditions.len() + 1;
            sql += &format!(
                " AND {}",
                crate::usage::is_one_of("team", teams.len(), first)
            );
        }
        sql += &format!(" ORDER BY id DESC LIMIT {}", query.most);
        // Made of words of this room alone.
        let mut asked = sqlx::query(AssertSqlSafe(sql));
        for (_, value) in conditions {
            asked = match value {
                Value::Text(text) => asked.bind(text),
                Value::Number(number) => asked.bind(number),
            };
        }
        for team in query.teams.iter().flatten() {
            asked = asked.bind(team);
        }
        let rows = asked.fetch_all(&self.pool).await?;
        let records: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(records?)
    }
}
