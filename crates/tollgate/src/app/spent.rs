//! What has been used of allowances already, out of the books: counts begin where they ended when the process stopped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tollgate_admin::Spent as Told;
use tollgate_domain::{Allowance, Facts, Key, Quantity, Scope, Snapshot, Whose, Window};
use tollgate_proxy::Counters;
use tollgate_store::{Dimension, Store, StoreError, UsageQuery, UsageRow};

/// Windows shorter than this begin anew: a restart takes about as long.
const SHORT: Duration = Duration::from_secs(5);

/// What has been used of allowances, and by whom.
#[derive(Default)]
pub(super) struct Spent(Vec<One>);

struct One {
    allowance: Arc<Allowance>,
    subject: String,
    used: u128,
    /// When, at the latest; of a rolling time that matters.
    at: Duration,
}

/// Rolling times up to this long are read by the minute, longer ones by the hour.
const BY_MINUTE: Duration = Duration::from_secs(6 * 3600);

/// Whose keys are, which the books do not say.
#[derive(Default)]
pub(super) struct Holders(HashMap<String, Arc<Key>>);

impl Holders {
    /// Of the keys that a snapshot has.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let keys = snapshot.keys.values();
        Self(
            keys.map(|key| (key.name.to_string(), Arc::clone(key)))
                .collect(),
        )
    }
}

impl Spent {
    /// Reads it out of the books: what calls used that came before `now`, the time since 1970-01-01 UTC, in the window that is then.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn read(
        store: &Store,
        allowances: &[Arc<Allowance>],
        holders: &Holders,
        now: Duration,
    ) -> Result<Self, StoreError> {
        let mut spent = Vec::new();
        for allowance in allowances {
            let Some(window) = allowance.window.as_ref().filter(|window| !is_short(window)) else {
                continue;
            };
            let (begin, _) = window.around(now);
            let mut query = query(&allowance.scope);
            query.since_ms = Some(milliseconds(begin));
            query.until_ms = Some(milliseconds(now));
            let part = match window {
                Window::Rolling(span) if *span <= BY_MINUTE => Some(Dimension::Minute),
                Window::Rolling(_) => Some(Dimension::Hour),
                _ => None,
            };
            query.by.extend(part);
            let mut sums: BTreeMap<(String, Duration), u128> = BTreeMap::new();
            for row in store.usage(&query).await? {
                let at = part.map_or(now, |part| end_of(part, &row).min(now));
                if let Some(subject) = subject(&allowance.scope, &query, &row, holders) {
                    *sums.entry((subject, at)).or_default() += used(allowance.quantity, &row);
                }
            }
            spent.extend(sums.into_iter().map(|((subject, at), used)| One {
                allowance: Arc::clone(allowance),
                subject,
                used,
                at,
            }));
        }
        Ok(Self(spent))
    }

    /// What was used of an allowance, by whom, and when.
    pub(super) fn of(&self, allowance: &Allowance) -> Vec<(&str, u64, Duration)> {
        let amount = |used: u128| u64::try_from(used).unwrap_or(u64::MAX);
        self.all_of(allowance)
            .map(|one| (one.subject.as_str(), amount(one.used), one.at))
            .collect()
    }

    fn all_of(&self, allowance: &Allowance) -> impl Iterator<Item = &One> {
        let name = Arc::clone(&allowance.name);
        self.0.iter().filter(move |one| one.allowance.name == name)
    }

    /// For people: one of which nothing was used yet is told, too, where it is for all together.
    pub(super) fn told(&self, allowances: &[Arc<Allowance>], now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        for allowance in allowances {
            let Some(window) = &allowance.window else {
                continue;
            };
            let one = |subject: &str, used: u128| Told {
                allowance: Arc::clone(allowance),
                subject: subject.to_owned(),
                used,
                window: window.around(now),
            };
            let before = told.len();
            let mut sums: BTreeMap<&str, u128> = BTreeMap::new();
            for one in self.all_of(allowance) {
                *sums.entry(&one.subject).or_default() += one.used;
            }
            told.extend(sums.into_iter().map(|(subject, used)| one(subject, used)));
            if told.len() == before && !allowance.scope.tells_apart() {
                told.push(one("", 0));
            }
        }
        told
    }

    /// Tells it to whoever keeps count.
    pub(super) fn tell(&self, counters: &Counters, now: Duration) {
        for one in &self.0 {
            counters.add_used(&one.allowance, &one.subject, one.used, one.at, now);
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn is_short(window: &Window) -> bool {
    matches!(window, Window::Span(span) | Window::Rolling(span) if *span < SHORT)
}

/// When the part of time that a sum is of was over, since 1970-01-01 UTC.
fn end_of(part: Dimension, row: &UsageRow) -> Duration {
    let number = row
        .of
        .last()
        .and_then(|text| text.as_deref()?.parse::<u64>().ok());
    let span = u64::try_from(part.span_ms().unwrap_or_default()).unwrap_or_default();
    // Its last millisecond: what begins then is in the part of the time that it belongs to.
    let end = number.map(|number| (number + 1).saturating_mul(span).saturating_sub(1));
    Duration::from_millis(end.unwrap_or(u64::MAX))
}

/// The calls of a scope, told apart by all that decides whose they are.
fn query(scope: &Scope) -> UsageQuery {
    let mut query = UsageQuery {
        made: true,
        ..UsageQuery::default()
    };
    for (whose, dimension) in [
        (&scope.key, Dimension::Key),
        (&scope.team, Dimension::Team),
        (&scope.route, Dimension::Route),
        (&scope.user, Dimension::User),
        (&scope.provider, Dimension::Provider),
        (&scope.model, Dimension::Model),
    ] {
        if let Some(Whose::Named(name)) = whose {
            query.of.push((dimension, name.to_string()));
        }
        if whose.is_some() {
            query.by.push(dimension);
        }
    }
    // Apps and organisations are known by their keys.
    if (scope.app.is_some() || scope.organisation.is_some()) && scope.key.is_none() {
        query.by.push(Dimension::Key);
    }
    query
}

/// Whom of an allowance's scope a sum belongs to.
fn subject(scope: &Scope, query: &UsageQuery, row: &UsageRow, holders: &Holders) -> Option<String> {
    let told = |dimension| {
        let place = query.by.iter().position(|by| *by == dimension)?;
        row.of.get(place)?.as_deref()
    };
    let key = told(Dimension::Key);
    let holder = key.and_then(|key| holders.0.get(key));
    scope.subject(&Facts {
        key,
        team: told(Dimension::Team),
        route: told(Dimension::Route),
        user: told(Dimension::User),
        app: holder.and_then(|key| key.app.as_deref()),
        organisation: holder.and_then(|key| key.organisation.as_deref()),
        provider: told(Dimension::Provider),
        model: told(Dimension::Model),
    })
}

fn used(quantity: Quantity, row: &UsageRow) -> u128 {
    match quantity {
        Quantity::Requests => row.calls.into(),
        Quantity::Tokens => u128::from(row.input) + u128::from(row.output),
        Quantity::InputTokens => row.input.into(),
        Quantity::OutputTokens => row.output.into(),
        Quantity::Concurrent | Quantity::Size => 0,
        // What may have been spent counts as spent.
        Quantity::Picodollars => u128::from(row.cost.as_u64()) + u128::from(row.at_most.as_u64()),
    }
}
