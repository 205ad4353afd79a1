//! What was used and what it cost, by whom and of what.

use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use tollgate_domain::Picodollars;

use crate::{Store, StoreError};

/// By what usage is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The day, UTC.
    Day,
    /// The caller's key.
    Key,
    /// The team that the key belongs to.
    Team,
    /// The end user.
    User,
    /// The route.
    Route,
    /// The provider.
    Provider,
    /// The model.
    Model,
    /// How calls ended.
    Outcome,
}

/// Which usage.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Calls that came at this time or later, in milliseconds since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// Calls that came before this time.
    pub until_ms: Option<i64>,
    /// Calls that have these values.
    pub of: Vec<(Dimension, String)>,
    /// Only calls that were made, and not refused.
    pub made: bool,
    /// By what it is told apart; by nothing, it is one sum.
    pub by: Vec<Dimension>,
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// What it is the sum of, a value for each dimension; days are numbers since 1970-01-01.
    pub of: Vec<Option<String>>,
    /// Calls.
    pub calls: u64,
    /// Their input tokens, of all classes.
    pub input: u64,
    /// Their output tokens, of all classes.
    pub output: u64,
    /// What they cost, as far as that is known.
    pub cost: Picodollars,
    /// What those cost at most whose cost is not known, as far as even that is known.
    pub at_most: Picodollars,
    /// Calls whose cost is not known.
    pub unknown: u64,
}

/// Sums of amounts do not fit where amounts do, so that they are made of two parts, millions of picodollars and the rest.
const SUMS: &str = "COUNT(*), \
     CAST(COALESCE(SUM(COALESCE(input, 0) + COALESCE(input_cached, 0) + COALESCE(cache_write, 0) + COALESCE(cache_write_1h, 0) \
         + COALESCE(input_audio, 0)), 0) AS BIGINT), \
     CAST(COALESCE(SUM(COALESCE(output, 0) + COALESCE(output_reasoning, 0) + COALESCE(output_audio, 0)), 0) AS BIGINT), \
     CAST(COALESCE(SUM(cost_picodollars / 1000000), 0) AS BIGINT), \
     CAST(COALESCE(SUM(cost_picodollars % 1000000), 0) AS BIGINT), \
     CAST(COALESCE(SUM(cost_at_most_picodollars / 1000000), 0) AS BIGINT), \
     CAST(COALESCE(SUM(cost_at_most_picodollars % 1000000), 0) AS BIGINT), \
     CAST(COUNT(cost_unknown) AS BIGINT)";

impl Dimension {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Day,
        Self::Key,
        Self::Team,
        Self::User,
        Self::Route,
        Self::Provider,
        Self::Model,
        Self::Outcome,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key",
            Self::Team => "team",
            Self::User => "user",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Day => "CAST(at_ms / 86400000 AS TEXT)",
            Self::Key => "key_name",
            Self::Team => "team",
            Self::User => "end_user",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }
}

impl Store {
    /// Sums of what was used, the dearest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let columns: Vec<&str> = query.by.iter().map(|by| by.column()).collect();
        let places: Vec<String> = (1..=columns.len()).map(|place| place.to_string()).collect();
        let mut sql = "SELECT ".to_owned();
        for column in &columns {
            sql += column;
            sql += ", ";
        }
        sql += SUMS;
        sql += " FROM usage_records WHERE at_ms >= $1 AND at_ms < $2";
        if query.made {
            sql += " AND outcome <> 'refused'";
        }
        for (place, (dimension, _)) in query.of.iter().enumerate() {
            sql += &format!(" AND {} = ${}", dimension.column(), place + 3);
        }
        if !places.is_empty() {
            sql += &format!(" GROUP BY {}", places.join(", "));
        }
        // Made of words of this file alone.
        let mut asked = sqlx::query(AssertSqlSafe(sql))
            .bind(query.since_ms.unwrap_or(i64::MIN))
            .bind(query.until_ms.unwrap_or(i64::MAX));
        for (_, value) in &query.of {
            asked = asked.bind(value);
        }
        let rows = asked.fetch_all(&self.pool).await?;
        let rows: Result<Vec<UsageRow>, sqlx::Error> =
            rows.iter().map(|row| read(row, columns.len())).collect();
        let mut rows = rows?;
        rows.retain(|row| row.calls > 0);
        rows.sort_by(|one, other| {
            other
                .cost
                .cmp(&one.cost)
                .then_with(|| one.of.cmp(&other.of))
        });
        Ok(rows)
    }
}

fn read(row: &AnyRow, dimensions: usize) -> Result<UsageRow, sqlx::Error> {
    let of: Result<_, sqlx::Error> = (0..dimensions).map(|place| row.try_get(place)).collect();
    let number = |place: usize| -> Result<u64, sqlx::Error> {
        let number: i64 = row.try_get(dimensions + place)?;
        Ok(u64::try_from(number).unwrap_or_default())
    };
    let money = |place| -> Result<Picodollars, sqlx::Error> {
        let millions = Picodollars::new(1_000_000).times(number(place)?);
        Ok(millions.plus(Picodollars::new(number(place + 1)?)))
    };
    Ok(UsageRow {
        of: of?,
        calls: number(0)?,
        input: number(1)?,
        output: number(2)?,
        cost: money(3)?,
        at_most: money(5)?,
        unknown: number(7)?,
    })
}
