//! Which allowances can be for a call, found without a look at all the others: those that name somebody else are never seen.

use std::{borrow::Cow, sync::Arc};

use hashbrown::HashMap;
use tollgate_domain::{Allowance, Facts, Scope, Whose};

use super::counters::Counted;

/// Parts of a scope that can name somebody who is known before it is known who is asked.
const PARTS: usize = 6;

/// Allowances by whom they name.
#[derive(Debug, Default)]
pub(crate) struct AllowanceIndex {
    /// Those that name nobody, by their place.
    unnamed: Vec<usize>,
    /// Those that name somebody, by the first part that does, the name, and their place.
    named: [HashMap<Arc<str>, Vec<usize>>; PARTS],
    /// Each, by its place.
    counted: Vec<Arc<Counted>>,
}

impl AllowanceIndex {
    pub(crate) fn of(allowances: &[Arc<Allowance>]) -> Self {
        let mut index = Self::default();
        for (place, allowance) in allowances.iter().enumerate() {
            index.counted.push(Arc::new(Counted::of(allowance)));
            let mut named = parts(&allowance.scope).into_iter().enumerate();
            let named = named.find_map(|(part, whose)| match whose {
                Some(Whose::Named(name)) => Some((part, name)),
                _ => None,
            });
            match named.and_then(|(part, name)| Some((index.named.get_mut(part)?, name))) {
                Some((names, name)) => names.entry(Arc::clone(name)).or_default().push(place),
                None => index.unnamed.push(place),
            }
        }
        index
    }

    /// The one at a place.
    pub(crate) fn counted(&self, place: usize) -> Option<&Arc<Counted>> {
        self.counted.get(place)
    }

    /// The places of those that can be for a call, in their order.
    pub(crate) fn places(&self, facts: &Facts<'_>) -> Cow<'_, [usize]> {
        let mut places = Cow::Borrowed(&*self.unnamed);
        for (names, fact) in self.named.iter().zip(told(facts)) {
            if let Some(found) = fact.and_then(|fact| names.get(fact)) {
                places.to_mut().extend(found);
            }
        }
        if let Cow::Owned(places) = &mut places {
            places.sort_unstable();
        }
        places
    }
}

fn parts(scope: &Scope) -> [&Option<Whose>; PARTS] {
    [
        &scope.key,
        &scope.team,
        &scope.route,
        &scope.user,
        &scope.app,
        &scope.organisation,
    ]
}

/// What is known of a call, in the order of the parts.
fn told<'a>(facts: &Facts<'a>) -> [Option<&'a str>; PARTS] {
    [
        facts.key,
        facts.team,
        facts.route,
        facts.user,
        facts.app,
        facts.organisation,
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_domain::{Quantity, Then};

    use super::*;

    fn whose() -> impl Strategy<Value = Option<Whose>> {
        prop_oneof![
            Just(None),
            Just(Some(Whose::Each)),
            prop::sample::select(vec!["one", "two"])
                .prop_map(|name| Some(Whose::Named(name.into()))),
        ]
    }

    fn allowance() -> impl Strategy<Value = Arc<Allowance>> {
        let parts = (whose(), whose(), whose(), whose(), whose(), whose());
        (parts, whose()).prop_map(|((key, team, route, user, app, organisation), model)| {
            let scope = Scope {
                key,
                team,
                route,
                user,
                app,
                organisation,
                model,
                ..Scope::default()
            };
            Arc::new(Allowance {
                name: "limit".into(),
                scope,
                quantity: Quantity::Requests,
                most: 1,
                raise: None,
                window: None,
                then: Then::Refuse,
                is_told: false,
            })
        })
    }

    fn fact() -> impl Strategy<Value = Option<&'static str>> {
        prop::sample::select(vec![None, Some("one"), Some("two"), Some("three")])
    }

    proptest! {
        #[test]
        fn whoever_is_for_a_call_is_found_in_order_and_once(
            allowances in prop::collection::vec(allowance(), 0..12),
            facts in (fact(), fact(), fact(), fact(), fact(), fact()),
        ) {
            let (key, team, route, user, app, organisation) = facts;
            let facts = Facts { key, team, route, user, app, organisation, ..Facts::default() };
            let index = AllowanceIndex::of(&allowances);
            let places = index.places(&facts);
            prop_assert!(places.is_sorted_by(|one, next| one < next));
            for (place, allowance) in allowances.iter().enumerate() {
                // Who is asked is not known yet: any model may be.
                let scope = Scope { model: None, ..allowance.scope.clone() };
                if scope.subject(&facts).is_some() {
                    prop_assert!(places.contains(&place));
                }
            }
        }
    }

    #[test]
    fn others_are_not_looked_at() {
        let of = |name: &str| {
            Arc::new(Allowance {
                name: name.into(),
                scope: Scope {
                    key: Some(Whose::Named(name.into())),
                    ..Scope::default()
                },
                quantity: Quantity::Requests,
                most: 1,
                raise: None,
                window: None,
                then: Then::Refuse,
                is_told: false,
            })
        };
        let allowances: Vec<_> = (0..1000).map(|key| of(&key.to_string())).collect();
        let facts = Facts {
            key: Some("7"),
            ..Facts::default()
        };
        assert_eq!(*AllowanceIndex::of(&allowances).places(&facts), [7]);
    }
}
