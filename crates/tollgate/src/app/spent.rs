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
pub(super) struct Spent(Vec<(Arc<Allowance>, String, u128)>);

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
            let mut sums: BTreeMap<String, u128> = BTreeMap::new();
            for row in store.usage(&query).await? {
                if let Some(subject) = subject(&allowance.scope, &query, &row, holders) {
                    *sums.entry(subject).or_default() += used(allowance.quantity, &row);
                }
            }
            let sums = sums.into_iter();
            spent.extend(sums.map(|(subject, used)| (Arc::clone(allowance), subject, used)));
        }
        Ok(Self(spent))
    }

    /// What was used of an allowance, and by whom.
    pub(super) fn of(&self, allowance: &Allowance) -> Vec<(&str, u64)> {
        let of_it = self.0.iter().filter(|(of, ..)| of.name == allowance.name);
        let amount = |used: u128| u64::try_from(used).unwrap_or(u64::MAX);
        of_it
            .map(|(_, subject, used)| (subject.as_str(), amount(*used)))
            .collect()
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
            let of_it = self.0.iter().filter(|(of, ..)| of.name == allowance.name);
            told.extend(of_it.map(|(_, subject, used)| one(subject, *used)));
            if told.len() == before && !allowance.scope.tells_apart() {
                told.push(one("", 0));
            }
        }
        told
    }

    /// Tells it to whoever keeps count.
    pub(super) fn tell(&self, counters: &Counters, now: Duration) {
        for (allowance, subject, used) in &self.0 {
            counters.add_used(allowance, subject, *used, now);
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn is_short(window: &Window) -> bool {
    matches!(window, Window::Span(span) if *span < SHORT)
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
        Quantity::Concurrent => 0,
        // What may have been spent counts as spent.
        Quantity::Picodollars => u128::from(row.cost.as_u64()) + u128::from(row.at_most.as_u64()),
    }
}
