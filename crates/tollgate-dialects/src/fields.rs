//! The table of what a target dialect cannot express as it is, and what is done about it.
//!
//! Readers and writers carry everything else over. A writer that meets a field it cannot write tells [`Gaps`], by the field's name in the
//! client's dialect; what the table does not name is refused. The documentation's table is made from [`rules`].

mod table;

use std::{collections::HashSet, sync::LazyLock};

use serde::Serialize;
use tollgate_domain::Dialect;

use crate::Unsupported;

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
    pub field: &'static str,
    /// The provider's dialect.
    pub to: Dialect,
    /// What is done.
    pub policy: Policy,
}

/// The whole table.
pub fn rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let pairs = table::PAIRS.iter();
        let rules = pairs.flat_map(|(from, to, rows)| {
            rows.iter().map(|&(field, policy)| Rule {
                from: *from,
                field,
                to: *to,
                policy,
            })
        });
        rules.collect()
    });
    &RULES
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

    /// A field was left out, or written in another form. What the table does not name is refused.
    pub fn left_out(&mut self, field: &str) {
        let list = match policy(self.from, self.to, field) {
            Some(Policy::Mapped(_)) => return,
            Some(Policy::Dropped(_)) => &mut self.dropped,
            Some(Policy::Refused(_)) | None => &mut self.refused,
        };
        if self.known.insert(field.to_owned()) {
            list.push(field.to_owned());
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

fn policy(from: Dialect, to: Dialect, field: &str) -> Option<Policy> {
    let mut pairs = table::PAIRS.iter();
    let (_, _, rows) = pairs.find(|pair| (pair.0, pair.1) == (from, to))?;
    let (_, policy) = rows.iter().find(|(name, _)| *name == field)?;
    Some(*policy)
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
            assert!(seen.insert((rule.from, rule.field, rule.to)), "{rule:?}");
        }
    }

    #[test]
    fn hints_are_dropped_and_meaning_is_refused_unless_it_may_be_dropped() {
        let judge = |fields: &[&str], drop_unsupported| {
            let mut gaps = Gaps::new(OPENAI, ANTHROPIC);
            fields.iter().for_each(|field| gaps.left_out(field));
            gaps.judge(drop_unsupported)
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            judge(&["user", "store", "store"], false),
            Ok(names(&["store"]))
        );
        assert_eq!(
            judge(&["seed", "store", "brand_new"], false),
            Err(Unsupported {
                fields: names(&["seed", "brand_new"])
            })
        );
        assert_eq!(
            judge(&["seed", "store"], true),
            Ok(names(&["store", "seed"]))
        );
    }

    /// Each was compared with all before it: a call with many unknown fields took minutes.
    #[test]
    fn any_number_of_fields_is_told_once_each() {
        const COUNT: usize = 100_000;
        let mut gaps = Gaps::new(OPENAI, ANTHROPIC);
        for number in (0..COUNT).chain(0..COUNT) {
            gaps.left_out(&format!("brand_new_{number}"));
        }
        assert_eq!(gaps.judge(true).unwrap().len(), COUNT);
    }

    /// A name that a writer reports and no rule names would be refused under a name that nobody explains.
    #[test]
    fn every_name_that_writers_report_has_a_rule() {
        let anthropic = [
            include_str!("anthropic_messages/write.rs"),
            include_str!("anthropic_messages/write/messages.rs"),
        ];
        let openai = [include_str!("openai_chat/write.rs")];
        let completions = [include_str!("openai_completions.rs")];
        for (sources, from, to) in [
            (&anthropic[..], OPENAI, ANTHROPIC),
            (&openai[..], ANTHROPIC, OPENAI),
            (&completions[..], Dialect::OpenaiCompletions, OPENAI),
            (&completions[..], Dialect::OpenaiCompletions, ANTHROPIC),
        ] {
            let names: Vec<&str> = sources.iter().flat_map(|source| reported(source)).collect();
            for name in &names {
                assert!(policy(from, to, name).is_some(), "{from:?} {to:?}: {name}");
            }
            let least = if sources == completions { 0 } else { 5 };
            assert!(names.len() >= least, "names are written in another way now");
        }
    }

    /// The names that are written out where a gap is reported.
    fn reported(source: &str) -> Vec<&str> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let after = |opening: &'static str| {
            code.split(opening)
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect::<Vec<_>>()
        };
        [after("left_out(\""), after("self.none(\"")].concat()
    }
}
