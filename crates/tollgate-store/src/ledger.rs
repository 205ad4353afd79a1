//! Entering records into the books, each once, and finding them again.

use std::sync::Arc;

use sqlx::{
    Any, AssertSqlSafe, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tollgate_domain::{ServiceTier, Usage, UsageRecord};

use crate::{Store, StoreError};

const COLUMNS: [&str; 30] = [
    "id",
    "at_ms",
    "request_id",
    "revision",
    "key_name",
    "team",
    "end_user",
    "route",
    "task",
    "provider",
    "model",
    "outcome",
    "status",
    "error_code",
    "input",
    "input_cached",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output",
    "output_reasoning",
    "output_audio",
    "search_units",
    "service_tier",
    "cost_picodollars",
    "cost_at_most_picodollars",
    "cost_unknown",
    "attempts",
    "streamed",
    "duration_ms",
];

/// Records that are entered by one statement: each statement is a way to the database and back.
const AT_ONCE: usize = 50;

impl Store {
    /// Enters records, all or none. One that is there already is passed over: what failed half-way may be done again.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub async fn enter(&self, records: &[UsageRecord]) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut entered = 0;
        let (groups, rest) = records.as_chunks::<AT_ONCE>();
        let singles = rest.chunks(1);
        for group in groups.iter().map(<[_; AT_ONCE]>::as_slice).chain(singles) {
            // Made of words of this file alone.
            let mut query = sqlx::query(AssertSqlSafe(insertion(group.len(), self.is_file)));
            for record in group {
                query = bind(query, record);
            }
            entered += query.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(entered)
    }
}

/// The statement that enters so many records. There are two of them, so that the database need not read them anew. `SQLite` takes `$1`
/// for a name, and looks for each among all: places without names are filled ten times as fast.
fn insertion(rows: usize, is_file: bool) -> String {
    let row = |row: usize| {
        let first = row * COLUMNS.len();
        let places = (1..=COLUMNS.len()).map(|place| match is_file {
            true => "?".to_owned(),
            false => format!("${}", first + place),
        });
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO usage_records ({}) VALUES {} ON CONFLICT (id) DO NOTHING",
        COLUMNS.join(", "),
        rows.join(", ")
    )
}

type Insertion<'q> = Query<'q, Any, AnyArguments>;

/// The values of a record, in the order of the columns.
fn bind<'q>(query: Insertion<'q>, record: &'q UsageRecord) -> Insertion<'q> {
    let usage = &record.usage;
    query
        .bind(&*record.id)
        .bind(record.at_ms)
        .bind(&*record.request_id)
        .bind(&*record.revision)
        .bind(record.key.as_deref())
        .bind(record.team.as_deref())
        .bind(record.user.as_deref().map(clean))
        .bind(record.route.as_deref())
        .bind(record.task.as_deref())
        .bind(record.provider.as_deref())
        .bind(record.model.as_deref().map(clean))
        .bind(&*record.outcome)
        .bind(i64::from(record.status))
        .bind(record.error_code.as_deref().map(clean))
        .bind(usage.input.map(count))
        .bind(usage.input_cached.map(count))
        .bind(usage.cache_write.map(count))
        .bind(usage.cache_write_1h.map(count))
        .bind(usage.input_audio.map(count))
        .bind(usage.output.map(count))
        .bind(usage.output_reasoning.map(count))
        .bind(usage.output_audio.map(count))
        .bind(usage.search_units.map(count))
        .bind(usage.tier.map(ServiceTier::as_str))
        .bind(record.cost.map(count))
        .bind(record.cost_at_most.map(count))
        .bind(record.cost_unknown.as_deref())
        .bind(i64::from(record.attempts))
        .bind(i64::from(record.streamed))
        .bind(count(record.duration_ms))
}

impl Store {
    /// The calls that had a request id, the oldest first, up to 100: clients may use one again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, request_id: &str) -> Result<Vec<UsageRecord>, StoreError> {
        let columns = COLUMNS.join(", ");
        let sql = format!(
            "SELECT {columns} FROM usage_records WHERE request_id = $1 ORDER BY id LIMIT 100"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(request_id)
            .fetch_all(&self.pool)
            .await?;
        let records: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(records?)
    }
}

fn read(row: &AnyRow) -> Result<UsageRecord, sqlx::Error> {
    let text = |name: &str| -> Result<Option<Arc<str>>, sqlx::Error> {
        let text: Option<String> = row.try_get(name)?;
        Ok(text.map(Arc::from))
    };
    let number = |name: &str| -> Result<Option<u64>, sqlx::Error> {
        let number: Option<i64> = row.try_get(name)?;
        Ok(number.and_then(|number| u64::try_from(number).ok()))
    };
    let small = |name: &str| -> Result<u32, sqlx::Error> {
        let number = number(name)?.unwrap_or_default();
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    };
    Ok(UsageRecord {
        id: text("id")?.unwrap_or_default(),
        at_ms: row.try_get("at_ms")?,
        request_id: text("request_id")?.unwrap_or_default(),
        revision: text("revision")?.unwrap_or_default(),
        key: text("key_name")?,
        team: text("team")?,
        user: text("end_user")?,
        route: text("route")?,
        task: text("task")?,
        provider: text("provider")?,
        model: text("model")?,
        outcome: text("outcome")?.unwrap_or_default(),
        status: u16::try_from(small("status")?).unwrap_or_default(),
        error_code: text("error_code")?,
        usage: Usage {
            input: number("input")?,
            input_cached: number("input_cached")?,
            cache_write: number("cache_write")?,
            cache_write_1h: number("cache_write_1h")?,
            input_audio: number("input_audio")?,
            output: number("output")?,
            output_reasoning: number("output_reasoning")?,
            output_audio: number("output_audio")?,
            search_units: number("search_units")?,
            tier: text("service_tier")?.and_then(|word| ServiceTier::special(&word)),
        },
        cost: number("cost_picodollars")?,
        cost_at_most: number("cost_at_most_picodollars")?,
        cost_unknown: text("cost_unknown")?,
        attempts: small("attempts")?,
        streamed: small("streamed")? == 1,
        duration_ms: number("duration_ms")?.unwrap_or_default(),
    })
}

/// A text of a caller's or a provider's as the database takes it: `PostgreSQL` knows no NUL, and one record must not keep all others out.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A count as the database has it: no call uses so much that it would not fit.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
