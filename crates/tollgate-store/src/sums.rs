//! Sums of the books by the hour and by the day: kept with the records that are entered, made anew out of them, and where those of a span of
//! time are to be found.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use sqlx::{AnyConnection, AssertSqlSafe};
use tollgate_domain::UsageRecord;

use crate::{
    Store, StoreError,
    batches::{Batches, insertion},
    ledger::{clean, count},
    retention::calls_kept_from,
    values::{Value, bind},
};

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Sums of money are made of two parts, this many picodollars and the rest, since whole they may not fit.
pub(crate) const MILLION: u64 = 1_000_000;

/// The greatest sum, at which all stop: a provider or a caller may have made up the counts.
const SUM_MAX: i64 = i64::MAX;

/// By what all sums are told apart, besides the time.
const DIMENSIONS: [&str; 7] = [
    "key_name", "team", "app", "route", "provider", "model", "outcome",
];

/// What is summed.
pub(crate) const MEASURES: [&str; 10] = [
    "calls",
    "input",
    "output",
    "cost_millions",
    "cost_rest",
    "at_most_millions",
    "at_most_rest",
    "unknown",
    "unmetered_input",
    "unmetered_output",
];

/// The same of one record. Its classes together may be more than fits into 64 bits.
const RECORD_MEASURES: [&str; MEASURES.len()] = [
    "1",
    "CAST(COALESCE(input, 0) AS NUMERIC) + COALESCE(input_cached, 0) + COALESCE(cache_write, 0) + COALESCE(cache_write_1h, 0) + COALESCE(input_audio, 0)",
    "CAST(COALESCE(output, 0) AS NUMERIC) + COALESCE(output_reasoning, 0) + COALESCE(output_audio, 0)",
    "cost_picodollars / 1000000",
    "cost_picodollars % 1000000",
    "cost_at_most_picodollars / 1000000",
    "cost_at_most_picodollars % 1000000",
    "CASE WHEN cost_unknown IS NULL THEN 0 ELSE 1 END",
    "unmetered_input",
    "unmetered_output",
];

/// A table of sums, or the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Days,
    Hours,
    /// By end users, too.
    UserHours,
    /// By tags, too: a call is in the sum of each of its own.
    TagHours,
    Records,
}

/// What a sum is of: the hour or day since 1970, the dimensions, and the end user or the tag where those are told apart.
pub(crate) type Of<'a> = (i64, [Cow<'a, str>; DIMENSIONS.len()], Option<Cow<'a, str>>);

/// A sum, in the order of [`MEASURES`].
pub(crate) type Sum = [u64; MEASURES.len()];

// === impl Source ===

impl Source {
    pub(crate) const SUMS: [Self; 4] = [Self::Days, Self::Hours, Self::UserHours, Self::TagHours];

    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Days => "usage_days",
            Self::Hours => "usage_hours",
            Self::UserHours => "usage_user_hours",
            Self::TagHours => "usage_tag_hours",
            Self::Records => "usage_records",
        }
    }

    /// What one row of it spans, in milliseconds.
    pub(crate) const fn span_ms(self) -> i64 {
        match self {
            Self::Days => DAY_MS,
            Self::Hours | Self::UserHours | Self::TagHours => HOUR_MS,
            Self::Records => 1,
        }
    }

    /// What each of [`MEASURES`] is in a row of it.
    pub(crate) const fn measures(self) -> [&'static str; MEASURES.len()] {
        match self {
            Self::Records => RECORD_MEASURES,
            Self::Days | Self::Hours | Self::UserHours | Self::TagHours => MEASURES,
        }
    }

    fn columns(self) -> Vec<&'static str> {
        let mut columns = vec!["span"];
        columns.extend(DIMENSIONS);
        match self {
            Self::UserHours => columns.push("end_user"),
            Self::TagHours => columns.push("tag"),
            Self::Days | Self::Hours | Self::Records => {}
        }
        columns
    }
}

/// The parts of a span of time in the sources that have them, the coarsest first wherever it fits. `levels` begins with the coarsest;
/// what none of them has is in the records. Each range counts in its source's own units.
pub(crate) fn split(since_ms: i64, until_ms: i64, levels: &[Source]) -> Vec<(Source, Range<i64>)> {
    if since_ms >= until_ms {
        return Vec::new();
    }
    let Some((level, finer)) = levels.split_first() else {
        return vec![(Source::Records, since_ms..until_ms)];
    };
    let length = level.span_ms();
    let first = since_ms.saturating_add(length - 1) / length;
    let last = until_ms / length;
    if first >= last {
        return split(since_ms, until_ms, finer);
    }
    let mut parts = split(since_ms, first * length, finer);
    parts.push((*level, first..last));
    parts.extend(split(last * length, until_ms, finer));
    parts
}

/// The parts of a span of time whose records are gone: whole hours, those in which it begins and ends among them. Where no sums tell apart
/// what is asked for, there are none.
pub(crate) fn split_whole(
    since_ms: i64,
    until_ms: i64,
    levels: &[Source],
) -> Vec<(Source, Range<i64>)> {
    if levels.is_empty() || since_ms >= until_ms {
        return Vec::new();
    }
    let until = until_ms.saturating_add(HOUR_MS - 1) / HOUR_MS * HOUR_MS;
    split(since_ms / HOUR_MS * HOUR_MS, until, levels)
}

// === keeping ===

/// Adds records to all sums. They are new: what was added once is not looked for. There are statements for each of [`Source::SUMS`].
pub(crate) async fn add(
    connection: &mut AnyConnection,
    records: &[&UsageRecord],
    statements: &[Batches; Source::SUMS.len()],
) -> Result<(), sqlx::Error> {
    for (statements, sums) in statements.iter().zip(of_records(records)) {
        for (statement, group) in statements.of(&sums) {
            // Made of words of this file alone.
            let query = sqlx::query(AssertSqlSafe(statement));
            let rows = group.iter().flat_map(|(of, sum)| values(of, sum));
            bind(query, rows).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The sums of records, for each of [`Source::SUMS`].
pub(crate) fn of_records<'a>(
    records: &[&'a UsageRecord],
) -> [Vec<(Of<'a>, Sum)>; Source::SUMS.len()] {
    let finest = records.iter().map(|record| (of(record), measures(record)));
    let finest = sum_up(finest);
    let tagged = records.iter().flat_map(|record| {
        let (span, dimensions, _) = of(record);
        let sum = measures(record);
        let tags = record.tags.iter();
        tags.map(move |tag| ((span, dimensions.clone(), Some(clean(tag))), sum))
    });
    let tagged = sum_up(tagged);
    let hours = sum_up(finest.iter().map(|((span, dimensions, _), sum)| {
        let of = (*span, dimensions.clone(), None);
        (of, *sum)
    }));
    let days = sum_up(hours.iter().map(|((span, dimensions, _), sum)| {
        let of = (span * HOUR_MS / DAY_MS, dimensions.clone(), None);
        (of, *sum)
    }));
    [days, hours, finest, tagged].map(|sums| sums.into_iter().collect())
}

/// In order, so that two gateways that add to the same sums do not wait for each other.
fn sum_up<'a>(parts: impl Iterator<Item = (Of<'a>, Sum)>) -> BTreeMap<Of<'a>, Sum> {
    let mut sums: BTreeMap<Of<'a>, Sum> = BTreeMap::new();
    for (of, part) in parts {
        let sum = sums.entry(of).or_default();
        for (sum, more) in sum.iter_mut().zip(part) {
            *sum = sum.saturating_add(more);
        }
    }
    sums
}

/// What a record is summed up by, as finely as any sums are.
fn of(record: &UsageRecord) -> Of<'_> {
    let dimensions = [
        Cow::Borrowed(record.key.as_deref().unwrap_or_default()),
        Cow::Borrowed(record.team.as_deref().unwrap_or_default()),
        clean(record.app.as_deref().unwrap_or_default()),
        Cow::Borrowed(record.route.as_deref().unwrap_or_default()),
        Cow::Borrowed(record.provider.as_deref().unwrap_or_default()),
        clean(record.model.as_deref().unwrap_or_default()),
        Cow::Borrowed(&*record.outcome),
    ];
    let user = clean(record.user.as_deref().unwrap_or_default());
    (record.at_ms / HOUR_MS, dimensions, Some(user))
}

fn measures(record: &UsageRecord) -> Sum {
    let cost = record.cost.unwrap_or_default();
    let at_most = record.cost_at_most.unwrap_or_default();
    [
        1,
        record.usage.input_total().unwrap_or_default(),
        record.usage.output_total().unwrap_or_default(),
        cost / MILLION,
        cost % MILLION,
        at_most / MILLION,
        at_most % MILLION,
        u64::from(record.cost_unknown.is_some()),
        record.unmetered.input,
        record.unmetered.output,
    ]
}

/// The statement that adds so many sums to those that are there.
pub(crate) fn addition(source: Source, rows: usize, is_file: bool) -> String {
    let (table, of) = (source.table(), source.columns());
    let columns: Vec<&str> = of.iter().copied().chain(MEASURES).collect();
    let insertion = insertion(table, &columns, rows, is_file);
    let sums = MEASURES.map(|name| {
        format!(
            "{name} = CASE WHEN {table}.{name} > {SUM_MAX} - excluded.{name} THEN {SUM_MAX} ELSE {table}.{name} + excluded.{name} END"
        )
    });
    format!(
        "{insertion} ON CONFLICT ({}) DO UPDATE SET {}",
        of.join(", "),
        sums.join(", ")
    )
}

/// The sum of a measure over rows; nothing of none. A file's own sums fail where they do not fit; its totals are as exact up to nine
/// thousand million million, and a number of any size.
pub(crate) fn sum_of(measure: &str, is_file: bool) -> String {
    if is_file {
        format!("CAST(TOTAL({measure}) AS BIGINT)")
    } else {
        format!("CAST(LEAST(COALESCE(SUM({measure}), 0), {SUM_MAX}) AS BIGINT)")
    }
}

/// The values of a row of sums.
pub(crate) fn values<'a>(of: &'a Of<'_>, sum: &'a Sum) -> impl Iterator<Item = Value<'a>> {
    let (span, dimensions, finer) = of;
    let texts = dimensions.iter().chain(finer);
    let texts = texts.map(|text| Value::from(&**text));
    let numbers = sum.iter().map(|number| count(*number).into());
    std::iter::once((*span).into()).chain(texts).chain(numbers)
}

impl Store {
    /// Makes all sums anew out of the records, of the time from which on they are kept.
    ///
    /// # Errors
    /// When the database fails; then the sums are as they were.
    pub async fn make_sums_anew(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin_writing().await?;
        make_anew(&mut transaction, self.is_file).await?;
        transaction.commit().await?;
        Ok(())
    }
}

pub(crate) async fn make_anew(
    connection: &mut AnyConnection,
    is_file: bool,
) -> Result<(), sqlx::Error> {
    // The beginning of a day, which is that of an hour, too.
    let from = calls_kept_from(connection).await?;
    for source in Source::SUMS {
        let (table, first) = (source.table(), from / source.span_ms());
        let old = format!("DELETE FROM {table} WHERE span >= {first}");
        for sql in [old, summing(source, from, is_file)] {
            // Made of words of this file alone.
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// The records, each once for each of its tags, as `tag.value`.
pub(crate) const fn tagged_records(is_file: bool) -> &'static str {
    if is_file {
        "usage_records, json_each(usage_records.tags) AS tag"
    } else {
        "usage_records CROSS JOIN LATERAL json_array_elements_text(usage_records.tags::json) AS tag(value)"
    }
}

/// The records, each with a tag that is none.
pub(crate) const UNTAGGED_RECORDS: &str =
    "usage_records CROSS JOIN (SELECT CAST(NULL AS TEXT) AS value) AS tag";

/// The statement that makes the sums of a table from a time on.
fn summing(source: Source, from_ms: i64, is_file: bool) -> String {
    let of = source.columns();
    let told = of.iter().map(|column| match *column {
        "span" => format!("at_ms / {}", source.span_ms()),
        "tag" => "tag.value".to_owned(),
        column => format!("COALESCE({column}, '')"),
    });
    let told: Vec<String> = told.collect();
    let sums = Source::Records
        .measures()
        .map(|measure| sum_of(measure, is_file));
    let places: Vec<String> = (1..=of.len()).map(|place| place.to_string()).collect();
    let records = match source {
        Source::TagHours => tagged_records(is_file),
        Source::Days | Source::Hours | Source::UserHours | Source::Records => "usage_records",
    };
    format!(
        "INSERT INTO {} ({}, {}) SELECT {}, {} FROM {records} WHERE at_ms >= {from_ms} GROUP BY {}",
        source.table(),
        of.join(", "),
        MEASURES.join(", "),
        told.join(", "),
        sums.join(", "),
        places.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The parts of a span are the span: nothing twice, nothing left out.
        #[test]
        fn parts_are_the_whole(since in 0..200 * HOUR_MS, length in 0..200 * HOUR_MS, levels in 0_usize..4) {
            let levels = [&[][..], &[Source::Days], &[Source::Days, Source::Hours], &[Source::UserHours]][levels];
            let until = since + length;
            let parts = split(since, until, levels);
            let mut reached = since;
            for (source, range) in parts {
                prop_assert_eq!(range.start * source.span_ms(), reached);
                prop_assert!(range.start < range.end);
                reached = range.end * source.span_ms();
            }
            prop_assert_eq!(reached, until.max(since));
        }
    }
}
