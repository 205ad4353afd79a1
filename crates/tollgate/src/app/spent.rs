//! What has been used of allowances already, out of the books: counts begin where they ended when the process stopped.

use std::{sync::Arc, time::Duration};

use tollgate_domain::{Allowance, Quantity, Scope, Whose, Window};
use tollgate_proxy::Counters;
use tollgate_store::{Dimension, Store, StoreError, UsageQuery, UsageRow};

/// Windows shorter than this begin anew: a restart takes about as long.
const SHORT: Duration = Duration::from_secs(5);

/// Who is meant where a call did not say, as in [`Scope::subject`].
const NOBODY: &str = "-";

/// What has been used of allowances, and by whom.
#[derive(Default)]
pub(super) struct Spent(Vec<(Arc<Allowance>, String, u128)>);

impl Spent {
    /// Reads it out of the books: what calls used that came before `now`, the time since 1970-01-01 UTC, in the window that is then.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn read(
        store: &Store,
        allowances: &[Arc<Allowance>],
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
            for row in store.usage(&query).await? {
                let used = used(allowance.quantity, &row);
                spent.push((Arc::clone(allowance), subject(&row), used));
            }
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

/// The calls of a scope, those of each whom it tells apart by themselves.
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
    ] {
        match whose {
            None => {}
            Some(Whose::Named(name)) => query.of.push((dimension, name.to_string())),
            Some(Whose::Each) => query.by.push(dimension),
        }
    }
    query
}

fn subject(row: &UsageRow) -> String {
    let parts = row.of.iter();
    let parts: Vec<&str> = parts
        .map(|part| part.as_deref().unwrap_or(NOBODY))
        .collect();
    parts.join("\n")
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
