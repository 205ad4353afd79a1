//! Finding calls in the books, the newest first.

mod said;

use std::{fmt, ops::Range, str::FromStr};

use said::Patterns;
use sqlx::AssertSqlSafe;
use tollgate_domain::UsageRecord;

use crate::{
    Dimension, Store, StoreError,
    ledger::{COLUMNS, read},
    payloads,
    sums::{DAY_MS, HOUR_MS, Source},
    usage::is_one_of,
};

/// The status of nearly all calls; the others have indexes of their own: all of them, those of a key, and those of a team.
const ANSWERED: u16 = 200;

/// Which calls.
#[derive(Clone, Debug, Default)]
pub struct CallsQuery {
    /// Calls that came at this time or later, in milliseconds since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
    /// Calls that came before this time.
    pub until_ms: Option<i64>,
    /// Calls that have these values.
    pub of: Vec<(Dimension, String)>,
    /// Calls with these keys only.
    pub keys: Option<Vec<String>>,
    /// Calls of these teams only.
    pub teams: Option<Vec<String>>,
    /// Calls with this id in `x-request-id`.
    pub request_id: Option<String>,
    /// Calls from this address, as it is usually written.
    pub client_address: Option<String>,
    /// Calls that were answered with this status.
    pub status: Option<u16>,
    /// Calls with this code of an error.
    pub error_code: Option<String>,
    /// Calls that cost at least so many picodollars.
    pub cost_from: Option<u64>,
    /// Calls that took at least so many milliseconds.
    pub duration_from_ms: Option<u64>,
    /// Calls in whose payload, as far as it is kept, this text is.
    pub text: Option<String>,
    /// Calls before one: where a page before ended.
    pub before: Option<Before>,
    /// So many at most.
    pub most: u32,
}

/// A call that others came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// When it came, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Its record's id.
    pub id: String,
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at_ms, self.id)
    }
}

impl FromStr for Before {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('.').ok_or(())?;
        Ok(Self {
            at_ms: at.parse().map_err(|_| ())?,
            id: id.to_owned(),
        })
    }
}

enum Value {
    Text(String),
    Number(i64),
}

impl CallsQuery {
    /// Conditions, each with the value that it is about, for which a `?` stands.
    fn conditions(&self, is_file: bool) -> Vec<(String, Value)> {
        let number = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let text = |text: &String| Value::Text(text.clone());
        // `SQLite` takes an index of some records for a question that has the index's own words in it. Where sums tell where to look, it
        // is not to look elsewhere.
        let is_told = self.is_told_by_sums();
        let status = match self.status {
            Some(status) if status != ANSWERED && !is_told => "status = ? AND status <> 200",
            _ => "status = ?",
        };
        let error_code = if is_told && is_file {
            "+error_code = ?"
        } else {
            "error_code = ?"
        };
        let mut conditions: Vec<(String, Option<Value>)> = vec![
            (
                "request_id = ?".to_owned(),
                self.request_id.as_ref().map(text),
            ),
            (
                "client_address = ?".to_owned(),
                self.client_address.as_ref().map(text),
            ),
            (
                status.to_owned(),
                self.status.map(|status| number(status.into())),
            ),
            (error_code.to_owned(), self.error_code.as_ref().map(text)),
            (
                "cost_picodollars >= ?".to_owned(),
                self.cost_from.map(number),
            ),
            (
                "duration_ms >= ?".to_owned(),
                self.duration_from_ms.map(number),
            ),
        ];
        let of = self.of.iter().map(|(dimension, value)| {
            let condition = match dimension {
                Dimension::Tag if value.is_empty() => {
                    dimension.condition(Source::Records, value, "?")
                }
                Dimension::Tag if is_file => {
                    "? IN (SELECT tag.value FROM json_each(usage_records.tags) AS tag)".to_owned()
                }
                Dimension::Tag => {
                    "? IN (SELECT json_array_elements_text(usage_records.tags::json))".to_owned()
                }
                dimension => dimension.condition(Source::Records, value, "?"),
            };
            (condition, Some(text(value)))
        });
        conditions.extend(of);
        let given = conditions.into_iter();
        given
            .filter_map(|(condition, value)| Some((condition, value?)))
            .collect()
    }
}

impl CallsQuery {
    /// Whether the sums tell where to look: something is asked for that they tell apart.
    fn is_told_by_sums(&self) -> bool {
        let mut of = self.of.iter();
        self.request_id.is_none()
            && self.client_address.is_none()
            && !self.is_about_failures_of_a_caller()
            && (self.teams.is_some()
                || self.keys.is_some()
                || of.any(|(dimension, _)| is_summed(*dimension, self.hours())))
    }

    fn is_about_failures_of_a_caller(&self) -> bool {
        let mut of = self.of.iter();
        self.status.is_some_and(|status| status != ANSWERED)
            && of.any(|(dimension, _)| matches!(dimension, Dimension::Key | Dimension::Team))
    }

    /// The sums by the hour that tell most of what is asked for apart.
    fn hours(&self) -> Source {
        // Of calls without any there are no sums.
        let asks_tag = self
            .of
            .iter()
            .any(|(dimension, value)| *dimension == Dimension::Tag && !value.is_empty());
        if asks_tag {
            Source::TagHours
        } else {
            Source::Hours
        }
    }

    /// Columns of which one of several values is asked for.
    fn names(&self) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
        let lists = [("key_name", &self.keys), ("team", &self.teams)];
        let lists = lists.into_iter();
        lists.filter_map(|(column, names)| Some((column, names.as_ref()?)))
    }

    /// The span that is asked for, in milliseconds since 1970-01-01 UTC.
    fn span(&self) -> Range<i64> {
        let before = self
            .before
            .as_ref()
            .map(|before| before.at_ms.saturating_add(1));
        let until = self.until_ms.unwrap_or(i64::MAX);
        let since = self.since_ms.unwrap_or_default().max(0);
        since..until.min(before.unwrap_or(i64::MAX))
    }
}

/// Whether sums tell it apart.
fn is_summed(dimension: Dimension, sums: Source) -> bool {
    match dimension {
        Dimension::User => false,
        Dimension::Tag => sums == Source::TagHours,
        dimension => dimension.span_ms().is_none(),
    }
}

impl Store {
    /// Calls, the newest first, as far as they are kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calls(&self, query: &CallsQuery) -> Result<Vec<UsageRecord>, StoreError> {
        let owners = self.owners(query.of.iter().map(|(of, _)| *of)).await?;
        let mut query = query.clone();
        owners.narrow(&mut query.of, &mut query.teams);
        let query = &query;
        let span = query.span();
        let span = span.start.max(self.calls_kept_from().await?)..span.end;
        if query.text.is_some() {
            return self.calls_with_text(query, &span).await;
        }
        if !query.is_told_by_sums() {
            return self.calls_within(query, &[span], query.most).await;
        }
        // Day by day, only into hours that have such calls: one among millions is found without a look at all of them.
        let mut calls = Vec::new();
        for day in self.days(query, &span).await? {
            let day = day * DAY_MS..(day + 1) * DAY_MS;
            let day = day.start.max(span.start)..day.end.min(span.end);
            let hours = self.spans(query, query.hours(), &day).await?;
            let hours: Vec<Range<i64>> = hours
                .into_iter()
                .map(|hour| (hour * HOUR_MS).max(day.start)..((hour + 1) * HOUR_MS).min(day.end))
                .collect();
            let most = query.most - u32::try_from(calls.len()).unwrap_or(query.most);
            calls.extend(self.calls_within(query, &hours, most).await?);
            if calls.len() >= usize::try_from(query.most).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(calls)
    }

    /// Day by day, as far as payloads are kept.
    async fn calls_with_text(
        &self,
        query: &CallsQuery,
        span: &Range<i64>,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let mut days = self.payload_days().await?;
        days.sort_unstable_by(|one, other| other.cmp(one));
        let mut calls = Vec::new();
        for day in days {
            let day = (day * DAY_MS).max(span.start)..((day + 1) * DAY_MS).min(span.end);
            let most = query.most - u32::try_from(calls.len()).unwrap_or(query.most);
            if most == 0 {
                break;
            }
            if !day.is_empty() {
                calls.extend(self.calls_within(query, &[day], most).await?);
            }
        }
        Ok(calls)
    }

    /// The days of a span that have such calls as far as sums tell, the newest first.
    async fn days(&self, query: &CallsQuery, span: &Range<i64>) -> Result<Vec<i64>, StoreError> {
        match query.hours() {
            Source::Hours => self.spans(query, Source::Days, span).await,
            hours => {
                let hours = self.spans(query, hours, span).await?;
                let mut days: Vec<i64> = hours.iter().map(|hour| hour * HOUR_MS / DAY_MS).collect();
                days.dedup();
                Ok(days)
            }
        }
    }

    /// The hours, or days, of a span that have such calls as far as sums tell, the newest first.
    async fn spans(
        &self,
        query: &CallsQuery,
        source: Source,
        span: &Range<i64>,
    ) -> Result<Vec<i64>, StoreError> {
        let length = source.span_ms();
        let last = span.end.saturating_sub(1) / length;
        let mut sql = format!(
            "SELECT DISTINCT span FROM {} WHERE span >= {} AND span <= {last}",
            source.table(),
            span.start / length
        );
        let summed = query
            .of
            .iter()
            .filter(|(dimension, _)| is_summed(*dimension, source));
        let summed: Vec<_> = summed.collect();
        for (place, (dimension, value)) in (1..).zip(&summed) {
            let condition = dimension.condition(source, value, &format!("${place}"));
            sql += &format!(" AND {condition}");
        }
        let mut places = summed.len();
        for (column, names) in query.names() {
            sql += &format!(" AND {}", is_one_of(column, names.len(), places + 1));
            places += names.len();
        }
        sql += " ORDER BY span DESC";
        // Made of words of this room alone.
        let mut asked = sqlx::query_scalar(AssertSqlSafe(sql));
        for (_, value) in summed {
            asked = asked.bind(value);
        }
        for name in query.names().flat_map(|(_, names)| names) {
            asked = asked.bind(name);
        }
        Ok(asked.fetch_all(&self.pool).await?)
    }

    async fn calls_within(
        &self,
        query: &CallsQuery,
        spans: &[Range<i64>],
        most: u32,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        if spans.is_empty() || most == 0 {
            return Ok(Vec::new());
        }
        let conditions = query.conditions(self.is_file);
        let times = spans
            .iter()
            .map(|span| format!("at_ms >= {} AND at_ms < {}", span.start, span.end));
        let times: Vec<String> = times.collect();
        let mut sql = format!(
            "SELECT {} FROM usage_records WHERE ({})",
            COLUMNS.join(", "),
            times.join(" OR ")
        );
        for (place, (condition, _)) in (1..).zip(&conditions) {
            sql += &format!(" AND {}", condition.replace('?', &format!("${place}")));
        }
        let mut places = conditions.len();
        for (column, names) in query.names() {
            sql += &format!(" AND {}", is_one_of(column, names.len(), places + 1));
            places += names.len();
        }
        if let Some(before) = &query.before {
            let at = before.at_ms;
            sql += &format!(
                " AND (at_ms < {at} OR at_ms = {at} AND id < ${})",
                places + 1
            );
        }
        if query.before.is_some() {
            places += 1;
        }
        let patterns = if self.is_file {
            Patterns::Globs
        } else {
            Patterns::Expressions
        };
        let ways = query.text.as_deref().map(|text| patterns.of(text));
        let ways = ways.unwrap_or_default();
        if let (false, [span]) = (ways.is_empty(), spans) {
            let table = payloads::table(span.start);
            let has = patterns.operator();
            let fits = (places + 1..)
                .take(ways.len())
                .map(|place| format!("request {has} ${place} OR response {has} ${place}"));
            let fits: Vec<String> = fits.collect();
            sql += &format!(
                " AND id IN (SELECT id FROM {table} WHERE {})",
                fits.join(" OR ")
            );
        }
        sql += &format!(" ORDER BY at_ms DESC, id DESC LIMIT {most}");
        // Made of words of this room alone.
        let mut asked = sqlx::query(AssertSqlSafe(sql));
        for (_, value) in conditions {
            asked = match value {
                Value::Text(text) => asked.bind(text),
                Value::Number(number) => asked.bind(number),
            };
        }
        for name in query.names().flat_map(|(_, names)| names) {
            asked = asked.bind(name);
        }
        if let Some(before) = &query.before {
            asked = asked.bind(&before.id);
        }
        for way in ways {
            asked = asked.bind(way);
        }
        let rows = asked.fetch_all(&self.pool).await?;
        let records: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        Ok(records?)
    }
}
