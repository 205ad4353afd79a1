//! The table of what a target dialect cannot express, and what is done about it.
//!
//! Readers and writers carry everything else over. A writer that meets a field it cannot write asks [`Gaps`];
//! the documentation's table and the tests are made from [`rules`].

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
    RULES
}

const RULES: &[Rule] = &[];

/// Collects what could not be written, and passes judgement at the end.
#[derive(Debug)]
pub struct Gaps {
    from: Dialect,
    to: Dialect,
    dropped: Vec<String>,
    refused: Vec<String>,
}

impl Gaps {
    /// For a call that came in one dialect and goes out in another.
    pub fn new(from: Dialect, to: Dialect) -> Self {
        Self {
            from,
            to,
            dropped: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// A field was left out. What the table does not name is refused.
    pub fn left_out(&mut self, field: &str) {
        let rule = RULES
            .iter()
            .find(|rule| rule.from == self.from && rule.to == self.to && rule.field == field);
        let list = match rule.map(|rule| rule.policy) {
            Some(Policy::Mapped(_)) => return,
            Some(Policy::Dropped(_)) => &mut self.dropped,
            Some(Policy::Refused(_)) | None => &mut self.refused,
        };
        if !list.iter().any(|known| known == field) {
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
