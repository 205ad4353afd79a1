//! What is told alike of a caller's calls to a target: written when the first of them comes, and taken from here for the others. Callers and targets of a
//! busy gateway are few, beside their calls.

use std::{ptr, sync::Arc};

use http::Method;
use tollgate_domain::{Dialect, KeyName, RouteName, TargetName, Task};

use super::{Members, next};
use crate::CallRecord;

/// Kinds of calls that are known at a time; each takes half a kilobyte.
const KNOWN_MAX: usize = 256;

/// The kinds of calls that came last.
#[derive(Debug, Default)]
pub(super) struct Recurring {
    /// Each in its place, which others may take.
    known: Vec<Option<Box<Known>>>,
}

/// What is told of all calls of a kind.
#[derive(Debug)]
pub(crate) struct Known {
    kind: Kind,
    /// By what they are found.
    pub(crate) found_by: Vec<u8>,
    /// What else is known.
    pub(crate) detail: Vec<u8>,
    /// What the journal alone tells.
    pub(crate) own: Vec<u8>,
}

/// What calls of a kind have in common.
#[derive(Debug)]
struct Kind {
    names: [Option<Arc<str>>; NAMES],
    task: Option<Task>,
    streamed: bool,
    method: Method,
    path: &'static str,
    dialect: Option<Dialect>,
}

/// Names that calls have in common.
const NAMES: usize = 8;

impl Recurring {
    /// What is told of all calls of this one's kind.
    pub(super) fn of(&mut self, record: &CallRecord) -> &Known {
        if self.known.is_empty() {
            self.known.resize_with(KNOWN_MAX, || None);
        }
        let known = &mut self.known[place(record)];
        if known.as_ref().is_some_and(|known| !known.kind.has(record)) {
            *known = None;
        }
        known.get_or_insert_with(|| Box::new(Known::of(record)))
    }
}

/// Where calls of a kind are known, by their caller, route and target. A name is known by where it stands: all calls have it from one picture.
fn place(record: &CallRecord) -> usize {
    let [_, key, _, _, route, _, _, target] =
        names(record).map(|name| name.map_or(0, |name| name.as_ptr().addr()));
    let mixed = key ^ route.rotate_left(21) ^ target.rotate_left(42) ^ usize::from(record.streamed);
    // The upper bits of such a product depend on all bits of both.
    let spread = (mixed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(spread).unwrap_or_default() % KNOWN_MAX
}

fn names(record: &CallRecord) -> [Option<&str>; NAMES] {
    [
        Some(record.revision.as_str()),
        record.key.as_ref().map(KeyName::as_str),
        record.team.as_deref(),
        record.app.as_deref(),
        record.route.as_ref().map(RouteName::as_str),
        record.provider_kind.as_deref(),
        record.model.as_deref(),
        record.target.as_ref().map(TargetName::as_str),
    ]
}

impl Kind {
    fn of(record: &CallRecord) -> Self {
        Self {
            names: [
                Some(Arc::from(&record.revision)),
                record.key.as_ref().map(Arc::from),
                record.team.clone(),
                record.app.clone(),
                record.route.as_ref().map(Arc::from),
                record.provider_kind.clone(),
                record.model.clone(),
                record.target.as_ref().map(Arc::from),
            ],
            task: record.task,
            streamed: record.streamed,
            method: record.method.clone(),
            path: record.path,
            dialect: record.client_dialect,
        }
    }

    /// Whether a call is of this kind. Its names are not read: those that stand where this kind's do are the same, as this one keeps them there.
    fn has(&self, record: &CallRecord) -> bool {
        let place = |name: Option<&str>| name.map(ptr::from_ref);
        let mut names = self.names.iter().zip(names(record));
        names.all(|(mine, other)| place(mine.as_deref()) == place(other))
            && self.task == record.task
            && self.streamed == record.streamed
            && self.dialect == record.client_dialect
            && ptr::eq(self.path, record.path)
            && self.method == record.method
    }
}

impl Known {
    fn of(record: &CallRecord) -> Self {
        let mut known = Self {
            kind: Kind::of(record),
            found_by: Vec::new(),
            detail: Vec::new(),
            own: Vec::new(),
        };
        found_by(record, &mut Members::go_on(&mut known.found_by));
        detail(record, &mut Members::go_on(&mut known.detail));
        let provider = record.target.as_ref();
        let provider = provider.and_then(|target| target.as_str().split('/').next());
        Members::go_on(&mut known.own).text_if(next!("provider"), provider);
        known
    }
}

fn found_by(record: &CallRecord, told: &mut Members<'_>) {
    told.text(next!("revision"), record.revision.as_str());
    let key = record.key.as_ref();
    told.text_if(next!("key"), key.map(KeyName::as_str));
    told.text_if(next!("team"), record.team.as_deref());
    told.text_if(next!("app"), record.app.as_deref());
    let route = record.route.as_ref();
    told.text_if(next!("route"), route.map(RouteName::as_str));
    told.word_if(next!("task"), record.task.map(|task| task.as_str()));
    let kind = record.provider_kind.as_deref();
    told.text_if(next!("gen_ai.provider.name"), kind);
    told.text_if(next!("gen_ai.request.model"), record.model.as_deref());
    told.flag(next!("streamed"), record.streamed);
}

fn detail(record: &CallRecord, told: &mut Members<'_>) {
    told.text(next!("method"), record.method.as_str());
    told.word(next!("path"), record.path);
    let dialect = record.client_dialect;
    told.word_if(next!("dialect"), dialect.map(|dialect| dialect.as_str()));
    let target = record.target.as_ref();
    told.text_if(next!("target"), target.map(TargetName::as_str));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_log::tests::record;

    fn told(known: &Known) -> [String; 3] {
        [&known.found_by, &known.detail, &known.own]
            .map(|members| String::from_utf8(members.clone()).unwrap())
    }

    #[test]
    fn what_is_known_of_a_kind_is_told_of_no_other() {
        let call = record();
        let mut recurring = Recurring::default();
        let first = ptr::from_ref(recurring.of(&call));
        assert_eq!(ptr::from_ref(recurring.of(&call.clone())), first);
        let other = |change: fn(&mut CallRecord)| {
            let mut other = record();
            change(&mut other);
            other
        };
        let others = [
            other(|call| call.revision = "another".into()),
            other(|call| call.key = None),
            other(|call| call.key = Some("team-b".into())),
            other(|call| call.team = Some("other".into())),
            other(|call| call.app = Some("app".into())),
            other(|call| call.route = Some("\"route\"".into())),
            other(|call| call.task = Some(Task::Embeddings)),
            other(|call| call.provider_kind = None),
            other(|call| call.model = Some("model".into())),
            other(|call| call.target = Some("provider/model".into())),
            other(|call| call.streamed = false),
            other(|call| call.method = Method::GET),
            other(|call| call.path = "/{http}"),
            other(|call| call.client_dialect = None),
        ];
        // Of the same caller and target some share a place.
        for other in &others {
            assert_eq!(told(recurring.of(other)), told(&Known::of(other)));
            assert_ne!(told(recurring.of(other)), told(recurring.of(&call)));
        }
        assert_eq!(told(recurring.of(&call)), told(&Known::of(&call)));
    }
}
