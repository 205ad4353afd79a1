//! What was used and what it cost, by whom and of what.

use std::ops::Range;

use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use tollgate_domain::{Picodollars, Unmetered};

use crate::{
    Store, StoreError,
    sums::{
        DAY_MS, HOUR_MS, MEASURES, MILLION, Source, UNTAGGED_RECORDS, split, split_whole, sum_of,
        tagged_records,
    },
};

/// So many characters of the end user whom a call names are kept.
const USER_MAX: usize = 100;

/// By what usage is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The minute.
    Minute,
    /// The hour.
    Hour,
    /// The day, UTC.
    Day,
    /// The caller's key.
    Key,
    /// The team that the key belongs to.
    Team,
    /// The app that the key was made for, or that the token names.
    App,
    /// The organisation that the team belongs to.
    Organisation,
    /// The end user.
    User,
    /// The tag; a call has any number of them, and is in the sum of each.
    Tag,
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
    /// Calls with these keys only.
    pub keys: Option<Vec<String>>,
    /// Calls of these teams only.
    pub teams: Option<Vec<String>>,
    /// Only calls that were made, and not refused.
    pub made: bool,
    /// By what it is told apart; by nothing, it is one sum.
    pub by: Vec<Dimension>,
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// What it is the sum of, a value for each dimension; times are numbers of minutes, hours or days since 1970-01-01.
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
    /// What calls may have used beyond that whose providers did not say, in tokens.
    pub unmetered: Unmetered,
}

impl Dimension {
    /// All.
    pub const ALL: [Self; 13] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Key,
        Self::Team,
        Self::App,
        Self::Organisation,
        Self::User,
        Self::Tag,
        Self::Route,
        Self::Provider,
        Self::Model,
        Self::Outcome,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Key => "key",
            Self::Team => "team",
            Self::App => "app",
            Self::Organisation => "organisation",
            Self::User => "user",
            Self::Tag => "tag",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }

    /// How long a value of it lasts, in milliseconds, where it is a time.
    pub const fn span_ms(self) -> Option<i64> {
        match self {
            Self::Minute => Some(60_000),
            Self::Hour => Some(HOUR_MS),
            Self::Day => Some(DAY_MS),
            _ => None,
        }
    }

    const fn column(self, source: Source) -> &'static str {
        match self {
            Self::Tag if matches!(source, Source::Records) => "tag.value",
            Self::Tag => "tag",
            Self::Minute | Self::Hour | Self::Day => "span",
            Self::Key => "key_name",
            Self::App => "app",
            // Organisations are found by their teams.
            Self::Team | Self::Organisation => "team",
            Self::User => "end_user",
            Self::Route => "route",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }

    /// Its value in a row of a source, as it stands there.
    pub(crate) fn plain_value(self, source: Source) -> String {
        match self.span_ms() {
            Some(_) => self.value(source),
            None => self.column(source).to_owned(),
        }
    }

    /// The condition that it has a value in a row of a source, for which a place stands. An empty one is that of calls which did not say.
    pub(crate) fn condition(self, source: Source, value: &str, place: &str) -> String {
        match (self, source) {
            (Self::Tag, Source::Records) if value.is_empty() => {
                format!("COALESCE(usage_records.tags, '') = {place}")
            }
            (dimension, Source::Records) if value.is_empty() => {
                format!("COALESCE({}, '') = {place}", dimension.plain_value(source))
            }
            (Self::User, _) if value.chars().count() > USER_MAX => {
                let cut = format!("substr(CAST({place} AS TEXT), 1, {USER_MAX})");
                format!("end_user IN ({place}, {cut})")
            }
            (dimension, source) => format!("{} = {place}", dimension.plain_value(source)),
        }
    }

    /// Its value in a row of a source, as text; null where the call did not say.
    fn value(self, source: Source) -> String {
        match (self.span_ms(), source) {
            (Some(span), Source::Records) => format!("CAST(at_ms / {span} AS TEXT)"),
            (Some(span), sums) => format!("CAST(span / {} AS TEXT)", span / sums.span_ms()),
            (None, source) => format!("NULLIF({}, '')", self.column(source)),
        }
    }
}

impl UsageRow {
    /// What the calls cost, as far as that is known; `None` where it is known of none of them, which is not zero.
    pub fn known_cost(&self) -> Option<Picodollars> {
        let is_unknown = self.unknown > 0 && self.unknown == self.calls;
        (!is_unknown || self.cost > Picodollars::ZERO).then_some(self.cost)
    }

    /// Adds another sum of the same.
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cost = self.cost.plus(other.cost);
        self.at_most = self.at_most.plus(other.at_most);
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.unmetered = self.unmetered.plus(other.unmetered);
    }
}

impl UsageQuery {
    /// Whether it is about a dimension.
    fn tells(&self, dimension: Dimension) -> bool {
        let of = self.of.iter().map(|(of, _)| of);
        self.by.iter().chain(of).any(|asked| *asked == dimension)
    }

    /// Whether calls without any tag are asked for, which no sums tell apart.
    fn is_of_untagged(&self) -> bool {
        self.of.contains(&(Dimension::Tag, String::new()))
    }

    /// The sources that tell apart what is asked for, the coarsest first.
    fn levels(&self) -> &'static [Source] {
        let (user, tag) = (self.tells(Dimension::User), self.tells(Dimension::Tag));
        if self.tells(Dimension::Minute) || user && tag || self.is_of_untagged() {
            &[]
        } else if user {
            &[Source::UserHours]
        } else if tag {
            &[Source::TagHours]
        } else if self.tells(Dimension::Hour) {
            &[Source::Hours]
        } else {
            &[Source::Days, Source::Hours]
        }
    }

    /// The statement that asks for it: sums over rows of all sources that have a part of the span. Records are there from a time on.
    fn statement(&self, is_file: bool, kept_from_ms: i64) -> String {
        let since = self.since_ms.unwrap_or_default().max(0);
        let until = self.until_ms.unwrap_or(i64::MAX);
        let levels = self.levels();
        let before = split_whole(since, until.min(kept_from_ms), levels);
        let kept = split(since.max(kept_from_ms), until, levels);
        let mut parts: Vec<String> = before
            .into_iter()
            .chain(kept)
            .map(|(source, range)| self.part(source, &range, is_file))
            .collect();
        if parts.is_empty() {
            // A span without length; the database is asked all the same, which tells whether it is there.
            parts.push(self.part(Source::Records, &(0..0), is_file));
        }
        let places = 1..=self.by.len();
        let places: Vec<String> = places.map(|place| place.to_string()).collect();
        let by = (0..self.by.len()).map(|place| format!("by_{place}, "));
        let sums = MEASURES.map(|measure| sum_of(measure, is_file));
        let mut sql = format!(
            "SELECT {}{} FROM ({}) AS parts",
            by.collect::<String>(),
            sums.join(", "),
            parts.join(" UNION ALL ")
        );
        if !places.is_empty() {
            sql += &format!(" GROUP BY {}", places.join(", "));
        }
        sql
    }

    fn part(&self, source: Source, range: &Range<i64>, is_file: bool) -> String {
        let by = self.by.iter().enumerate();
        let by = by.map(|(place, by)| format!("{} AS by_{place}, ", by.value(source)));
        let measures = source.measures().into_iter().zip(MEASURES);
        let measures = measures.map(|(measure, name)| format!("{measure} AS {name}"));
        let time = if source == Source::Records {
            "at_ms"
        } else {
            "span"
        };
        let table = match source {
            Source::Records if self.is_of_untagged() => UNTAGGED_RECORDS,
            Source::Records if self.tells(Dimension::Tag) => tagged_records(is_file),
            source => source.table(),
        };
        let mut sql = format!(
            "SELECT {}{} FROM {table} WHERE {time} >= {} AND {time} < {}",
            by.collect::<String>(),
            measures.collect::<Vec<_>>().join(", "),
            range.start,
            range.end
        );
        if self.made {
            sql += " AND outcome <> 'refused'";
        }
        for (place, (dimension, value)) in (1..).zip(&self.of) {
            let condition = dimension.condition(source, value, &format!("${place}"));
            sql += &format!(" AND {condition}");
        }
        let mut places = self.of.len();
        for (column, names) in [("key_name", &self.keys), ("team", &self.teams)] {
            if let Some(names) = names {
                sql += &format!(" AND {}", is_one_of(column, names.len(), places + 1));
                places += names.len();
            }
        }
        sql
    }
}

/// A condition that a column has one of so many values, the first of which has this place.
pub(crate) fn is_one_of(column: &str, count: usize, first: usize) -> String {
    let places = (first..first + count).map(|place| format!("${place}"));
    let places: Vec<String> = places.collect();
    if places.is_empty() {
        "1 = 0".to_owned()
    } else {
        format!("{column} IN ({})", places.join(", "))
    }
}

impl Store {
    /// Sums of what was used, the dearest first. Of the time whose calls are no longer kept, hours count as a whole, and what no sums tell apart
    /// is not known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let asked = query.of.iter().map(|(of, _)| of).chain(&query.by);
        let owners = self.owners(asked.copied()).await?;
        let mut query = query.clone();
        owners.narrow(&mut query.of, &mut query.teams);
        // Made of words of this file alone.
        let statement = query.statement(self.is_file, self.calls_kept_from().await?);
        let mut asked = sqlx::query(AssertSqlSafe(statement));
        for (_, value) in &query.of {
            asked = asked.bind(value);
        }
        for name in query.keys.iter().chain(&query.teams).flatten() {
            asked = asked.bind(name);
        }
        let rows = asked.fetch_all(&self.pool).await?;
        let rows: Result<Vec<UsageRow>, sqlx::Error> =
            rows.iter().map(|row| read(row, query.by.len())).collect();
        let mut rows = owners.sum_up(rows?, &query.by);
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
        let millions = Picodollars::new(MILLION).times(number(place)?);
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
        unmetered: Unmetered {
            input: number(8)?,
            output: number(9)?,
        },
    })
}
