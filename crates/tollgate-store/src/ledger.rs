//! Entering records into the books, each once, and finding them again.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use tollgate_domain::{ServiceTier, Unmetered, Usage, UsageRecord};

use crate::{
    Store, StoreError,
    batches::{Batches, insertion},
    file::FileWriter,
    payloads,
    sums::{self, Source, addition},
    usage::is_one_of,
    values::{Value, bind},
};

pub(crate) const COLUMNS: [&str; 38] = [
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
    "web_searches",
    "service_tier",
    "cost_picodollars",
    "cost_at_most_picodollars",
    "cost_unknown",
    "attempts",
    "streamed",
    "duration_ms",
    "estimated",
    "tags",
    "unmetered_input",
    "unmetered_output",
    "detail",
    "app",
    "client_address",
];

/// Records that are looked for by one statement.
const AT_ONCE: usize = 50;

/// Times that records are entered while others enter some of them.
const TRIES_MAX: u32 = 5;

/// How records are entered into the books.
#[derive(Debug)]
pub(crate) enum Entering {
    File(Box<FileWriter>),
    Server(Box<Statements>),
}

/// The statements by which a server is given records.
#[derive(Debug)]
pub(crate) struct Statements {
    records: Batches,
    /// For each of [`Source::SUMS`].
    sums: [Batches; Source::SUMS.len()],
}

impl Statements {
    pub(crate) fn new() -> Self {
        let insertion = |rows| insertion("usage_records", &COLUMNS, rows, false);
        Self {
            records: Batches::new(|rows| insertion(rows) + " ON CONFLICT (id) DO NOTHING"),
            sums: Source::SUMS.map(|source| Batches::new(|rows| addition(source, rows, false))),
        }
    }
}

impl Store {
    /// Enters records, all or none. One that is there already is passed over: what failed half-way may be done again. Where the database is a
    /// file, all of it is done in the caller's own thread.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub async fn enter(&self, records: &[UsageRecord]) -> Result<u64, StoreError> {
        let mut new: Vec<&UsageRecord> = records.iter().collect();
        for _ in 0..TRIES_MAX {
            if self.enter_new(&new).await? {
                return Ok(new.len() as u64);
            }
            self.forget_entered(&mut new).await?;
        }
        Err(StoreError::Busy)
    }

    /// Enters those of these records that are not there yet, and gives them. As [`Self::enter`] otherwise.
    ///
    /// # Errors
    /// When the database fails; then nothing was entered.
    pub(crate) async fn enter_unknown<'a>(
        &self,
        records: &'a [UsageRecord],
    ) -> Result<Vec<&'a UsageRecord>, StoreError> {
        let mut new: Vec<&UsageRecord> = records.iter().collect();
        for _ in 0..TRIES_MAX {
            self.forget_entered(&mut new).await?;
            if new.is_empty() || self.enter_new(&new).await? {
                return Ok(new);
            }
        }
        Err(StoreError::Busy)
    }

    /// From when on single calls are kept, for who enters them: a file is asked by his own connection, so that nobody who waits for the pool's waits
    /// for him.
    pub(crate) async fn entered_from(&self) -> Result<i64, StoreError> {
        match &*self.entering {
            Entering::File(writer) => Ok(writer.calls_kept_from()?),
            Entering::Server(_) => self.calls_kept_from().await,
        }
    }

    /// Enters records and adds them to the sums, unless one of them is there already; then nothing is done.
    async fn enter_new(&self, records: &[&UsageRecord]) -> Result<bool, StoreError> {
        match &*self.entering {
            Entering::File(writer) => Ok(writer.enter(records)?),
            Entering::Server(statements) => self.give_to_server(statements, records).await,
        }
    }

    async fn give_to_server(
        &self,
        statements: &Statements,
        records: &[&UsageRecord],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        for (statement, group) in statements.records.of(records) {
            // Made of words of this file alone.
            let query = sqlx::query(AssertSqlSafe(statement));
            let rows = group.iter().flat_map(|record| values(record));
            let entered = bind(query, rows).execute(&mut *transaction).await?;
            if entered.rows_affected() != group.len() as u64 {
                transaction.rollback().await?;
                return Ok(false);
            }
        }
        sums::add(&mut transaction, records, &statements.sums).await?;
        payloads::add(&mut transaction, records).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Leaves those that have not been entered, each once.
    async fn forget_entered(&self, records: &mut Vec<&UsageRecord>) -> Result<(), StoreError> {
        let mut known = HashSet::new();
        for group in records.chunks(AT_ONCE) {
            let places: Vec<String> = (1..=group.len()).map(|place| format!("${place}")).collect();
            let places = places.join(", ");
            let sql = format!("SELECT id FROM usage_records WHERE id IN ({places})");
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
            for record in group {
                query = query.bind(&*record.id);
            }
            let entered: Vec<String> = query.fetch_all(&self.pool).await?;
            known.extend(entered);
        }
        records.retain(|record| known.insert(record.id.to_string()));
        Ok(())
    }
}

/// The values of a record, in the order of the columns.
pub(crate) fn values(record: &UsageRecord) -> [Value<'_>; COLUMNS.len()] {
    let usage = &record.usage;
    let number = |number: Option<u64>| Value::Number(number.map(count));
    // Pictures have no columns of their own.
    let with = |class: Option<u64>, pictures: Option<u64>| {
        number(class.map_or(pictures, |class| {
            Some(class.saturating_add(pictures.unwrap_or(0)))
        }))
    };
    [
        (&*record.id).into(),
        record.at_ms.into(),
        (&*record.request_id).into(),
        (&*record.revision).into(),
        record.key.as_deref().into(),
        record.team.as_deref().into(),
        record.user.as_deref().map(clean).into(),
        record.route.as_deref().into(),
        record.task.as_deref().into(),
        record.provider.as_deref().into(),
        record.model.as_deref().map(clean).into(),
        (&*record.outcome).into(),
        i64::from(record.status).into(),
        record.error_code.as_deref().map(clean).into(),
        with(usage.input, usage.input_image),
        number(usage.input_cached),
        number(usage.cache_write),
        number(usage.cache_write_1h),
        number(usage.input_audio),
        with(usage.output, usage.output_image),
        number(usage.output_reasoning),
        number(usage.output_audio),
        number(usage.search_units),
        number(usage.web_searches_total()),
        usage.tier.map(ServiceTier::as_str).into(),
        number(record.cost),
        number(record.cost_at_most),
        record.cost_unknown.as_deref().into(),
        i64::from(record.attempts).into(),
        i64::from(record.streamed).into(),
        count(record.duration_ms).into(),
        i64::from(usage.is_estimated).into(),
        Value::Text(written_tags(&record.tags).map(Cow::Owned)),
        count(record.unmetered.input).into(),
        count(record.unmetered.output).into(),
        record.detail.as_deref().into(),
        record.app.as_deref().map(clean).into(),
        record.detail.as_deref().and_then(client_address).into(),
    ]
}

/// Where a call came from, which its detail begins with.
fn client_address(detail: &str) -> Option<&str> {
    let begun = detail.strip_prefix("{\"client_address\":\"")?;
    let (address, _) = begun.split_once('"')?;
    Some(address)
}

/// Tags as a JSON list; nothing for none.
fn written_tags(tags: &[Arc<str>]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let tags: Vec<Cow<'_, str>> = tags.iter().map(|tag| clean(tag)).collect();
    serde_json::to_string(&tags).ok()
}

impl Store {
    /// A call by its record's own id, of these teams; `None` for calls of everybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn call(
        &self,
        teams: Option<&[String]>,
        id: &str,
    ) -> Result<Option<UsageRecord>, StoreError> {
        let columns = COLUMNS.join(", ");
        let mut sql = format!("SELECT {columns} FROM usage_records WHERE id = $1");
        if let Some(teams) = teams {
            sql += &format!(" AND {}", is_one_of("team", teams.len(), 2));
        }
        let mut asked = sqlx::query(AssertSqlSafe(sql)).bind(id);
        for team in teams.into_iter().flatten() {
            asked = asked.bind(team);
        }
        let row = asked.fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

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

pub(crate) fn read(row: &AnyRow) -> Result<UsageRecord, sqlx::Error> {
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
        app: text("app")?,
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
            web_searches: number("web_searches")?,
            tier: text("service_tier")?.and_then(|word| ServiceTier::special(&word)),
            is_estimated: small("estimated")? == 1,
            ..Usage::default()
        },
        unmetered: Unmetered {
            input: number("unmetered_input")?.unwrap_or_default(),
            output: number("unmetered_output")?.unwrap_or_default(),
        },
        cost: number("cost_picodollars")?,
        cost_at_most: number("cost_at_most_picodollars")?,
        cost_unknown: text("cost_unknown")?,
        attempts: small("attempts")?,
        streamed: small("streamed")? == 1,
        duration_ms: number("duration_ms")?.unwrap_or_default(),
        tags: text("tags")?
            .and_then(|tags| serde_json::from_str(&tags).ok())
            .unwrap_or_default(),
        detail: text("detail")?,
        hold: None,
        payload: None,
    })
}

/// A text of a caller's or a provider's as the database takes it: `PostgreSQL` knows no NUL, and one record must not keep all others out.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A count as the database has it: no call uses so much that it would not fit.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
