//! The table of what a target dialect cannot express as it is, and what is done about it.
//!
//! Readers and writers carry everything else over. The table has three sides: how each client's dialect calls a [`Field`] of our form
//! (`fields/names.rs`), what each provider's dialect does with it (`fields/policies.rs`), and what becomes of the fields that our form does
//! not model (`fields/extras.rs`). A writer that meets something that it cannot write tells [`Gaps`]; what the table does
//! not name is refused. The documentation's table is made from [`rules`].

mod extras;
mod names;
mod policies;

use std::{collections::HashSet, sync::LazyLock};

use serde::Serialize;
use tollgate_domain::Dialect;

use crate::Unsupported;

pub use names::Field;
pub(crate) use names::Place;

/// What is done with a field that a target cannot express as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Policy {
    /// Written in another form, as described, with nothing said about it.
    Mapped(&'static str),
    /// Left out, and named in the `x-tollgate-dropped` header: a hint, which changes no answer's meaning.
    Dropped(&'static str),
    /// Refused with a 400 that names it, or left out and named in the header where the route says `drop_unsupported`.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rule {
    /// The client's dialect.
    pub from: Dialect,
    /// The field's name in that dialect.
    pub name: &'static str,
    /// The field of our form, where it models it.
    pub field: Option<Field>,
    /// The provider's dialect.
    pub to: Dialect,
    /// What is done.
    pub policy: Policy,
}

/// The whole table: every pair of dialects of which one can be asked what the other asks.
pub fn rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let mut rules = Vec::new();
        for from in Dialect::ALL
            .iter()
            .copied()
            .filter(|from| from.is_spoken_by_clients())
        {
            for to in Dialect::ALL.iter().copied().filter(|to| can_ask(from, *to)) {
                rules.extend(pair(from, to));
            }
        }
        rules
    });
    &RULES
}

/// Whether calls of one dialect can go out in another.
fn can_ask(from: Dialect, to: Dialect) -> bool {
    use tollgate_domain::Task::{Chat, Completions, Predict};
    if [from, to].contains(&Dialect::OpenaiMedia) {
        return false;
    }
    let fits = match (from.task(), to.task()) {
        (Predict, _) => false,
        (_, Predict) | (Completions, Chat) => true,
        (asked, served) => asked == served,
    };
    from != to && fits
}

/// The rows of a pair.
fn pair(from: Dialect, to: Dialect) -> impl Iterator<Item = Rule> {
    let fields = policies::of(from, to).into_iter();
    let fields =
        fields.filter_map(move |(field, policy)| Some((field.name(from)?, Some(field), policy)));
    let extras = extras::of(from, to).into_iter();
    let extras = extras.map(|(name, policy)| (name, None, policy));
    fields.chain(extras).map(move |(name, field, policy)| Rule {
        from,
        name,
        field,
        to,
        policy,
    })
}

/// The field of our form that a client's dialect calls so.
pub fn field_named(from: Dialect, name: &str) -> Option<Field> {
    Field::ALL
        .iter()
        .copied()
        .find(|field| field.name(from) == Some(name))
}

/// Collects what could not be written, and passes judgement at the end.
#[derive(Debug)]
pub struct Gaps {
    from: Dialect,
    to: Dialect,
    dropped: Vec<String>,
    refused: Vec<String>,
    /// All that is in one of the lists: a client may send any number of fields that nobody knows.
    known: HashSet<String>,
}

impl Gaps {
    /// For a call that came in one dialect and goes out in another.
    pub fn new(from: Dialect, to: Dialect) -> Self {
        Self {
            from,
            to,
            dropped: Vec::new(),
            refused: Vec::new(),
            known: HashSet::new(),
        }
    }

    /// A field of our form was left out, or written in another form. What the table does not name is refused.
    pub fn left_out(&mut self, field: Field) {
        let policy = policies::of(self.from, self.to)
            .into_iter()
            .find(|(known, _)| *known == field)
            .map(|(_, policy)| policy);
        let name = field.name(self.from).unwrap_or(field.plain_name());
        self.note(policy, name);
    }

    /// A field that our form does not model was left out. What the table does not name is refused.
    pub(crate) fn left_out_extra(&mut self, place: Place, name: &str) {
        let name = format!("{}{name}", place.prefix(self.from));
        if self.known.contains(&name) {
            return;
        }
        let named = pair(self.from, self.to).filter(|rule| rule.name == name);
        // A field that our form models in part has two rows.
        let rule = named.min_by_key(|rule| rule.field.is_some());
        self.note(rule.map(|rule| rule.policy), &name);
    }

    /// A field that the dialect has was left out, as this provider does not take it.
    pub(crate) fn not_taken(&mut self, field: Field, policy: Policy) {
        let name = field.name(self.from).unwrap_or(field.plain_name());
        self.note(Some(policy), name);
    }

    fn note(&mut self, policy: Option<Policy>, name: &str) {
        let list = match policy {
            Some(Policy::Mapped(_)) => return,
            Some(Policy::Dropped(_)) => &mut self.dropped,
            Some(Policy::Refused(_)) | None => &mut self.refused,
        };
        if self.known.insert(name.to_owned()) {
            list.push(name.to_owned());
        }
    }

    /// The names of what was left out, or the refusal.
    ///
    /// # Errors
    /// When something must be refused and `drop_unsupported` is not set.
    pub fn judge(mut self, drop_unsupported: bool) -> Result<Vec<String>, Unsupported> {
        if self.refused.is_empty() || drop_unsupported {
            self.dropped.append(&mut self.refused);
            Ok(self.dropped)
        } else {
            Err(Unsupported {
                fields: self.refused,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const OPENAI: Dialect = Dialect::OpenaiChat;
    const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

    #[test]
    fn no_field_has_two_rules() {
        let mut seen = HashSet::new();
        for rule in rules() {
            assert!(
                seen.insert((rule.from, rule.name, rule.field, rule.to)),
                "{rule:?}"
            );
        }
    }

    #[test]
    fn hints_are_dropped_and_meaning_is_refused_unless_it_may_be_dropped() {
        let judge = |drop_unsupported, fields: &[Field], extras: &[&str]| {
            let mut gaps = Gaps::new(OPENAI, ANTHROPIC);
            fields.iter().for_each(|field| gaps.left_out(*field));
            extras
                .iter()
                .for_each(|name| gaps.left_out_extra(Place::Body, name));
            gaps.judge(drop_unsupported)
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            judge(false, &[Field::User], &["store", "store"]),
            Ok(names(&["store"]))
        );
        assert_eq!(
            judge(false, &[Field::Seed], &["store", "brand_new"]),
            Err(Unsupported {
                fields: names(&["seed", "brand_new"])
            })
        );
        assert_eq!(
            judge(true, &[Field::Seed], &["store"]),
            Ok(names(&["store", "seed"]))
        );
    }

    /// Each was compared with all before it: a call with many unknown fields took minutes.
    #[test]
    fn any_number_of_fields_is_told_once_each() {
        const COUNT: usize = 100_000;
        let mut gaps = Gaps::new(OPENAI, ANTHROPIC);
        for number in (0..COUNT).chain(0..COUNT) {
            gaps.left_out_extra(Place::Body, &format!("brand_new_{number}"));
        }
        assert_eq!(gaps.judge(true).unwrap().len(), COUNT);
    }

    /// A gap that nothing explains would be refused under a name that the documentation does not have.
    #[test]
    fn every_policy_is_about_a_field_that_some_client_can_ask_for() {
        for rule in rules() {
            assert!(!rule.name.is_empty(), "{rule:?}");
        }
        for to in Dialect::ALL {
            for from in Dialect::ALL.iter().filter(|from| can_ask(**from, *to)) {
                for (field, _) in policies::of(*from, *to) {
                    let known = Dialect::ALL.iter().any(|from| field.name(*from).is_some());
                    assert!(known, "{field:?}");
                }
            }
        }
    }
}
