//! What stands in a frame: a call's record as two JSON objects, and behind them what was asked and answered, as it is.
//!
//! The first object is what the books find a call by, the second what else is known of it. Both are for the most part members of the call's line, as
//! they stand there: [`Common`] has them.

use std::{fmt, sync::Arc, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, Visitor},
};
use serde_json::Error;
use tollgate_domain::{Cost, Payload, Picodollars, Unmetered, Usage, UsageRecord};
use uuid::Uuid;

use crate::{
    CRASHED, CallRecord,
    told::{self, Common, Known, Members, first, next},
};

/// What can stand in the journal.
pub trait Entry {
    /// Writes it behind what is there.
    fn write(&self, entry: &mut Vec<u8>);
}

/// A call that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) record: &'a CallRecord,
    pub(crate) common: &'a Common<'a>,
}

/// A call whose provider is about to be asked, and what it can use and cost.
pub(crate) struct Beginning<'a> {
    pub(crate) record: &'a CallRecord,
    pub(crate) known: &'a Known,
    pub(crate) unmetered: Unmetered,
    pub(crate) cost: Cost,
}

/// The first object. Its members down to `payload` are the journal's own, those behind it stand in the call's line as well.
#[derive(Serialize, Deserialize)]
struct FoundBy {
    at_ms: i64,
    /// Of calls whose request's id was made here, it is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Text>,
    #[serde(default)]
    provider: Option<Text>,
    tries: u32,
    took_ms: u64,
    #[serde(default)]
    unmetered_input: u64,
    #[serde(default)]
    unmetered_output: u64,
    #[serde(default)]
    hold: Option<Text>,
    /// How long it is what was asked, and what was answered.
    #[serde(default)]
    payload: Option<(usize, usize)>,
    request_id: Text,
    revision: Text,
    #[serde(default)]
    key: Option<Text>,
    #[serde(default)]
    team: Option<Text>,
    #[serde(default)]
    app: Option<Text>,
    #[serde(default)]
    user: Option<Text>,
    #[serde(default)]
    route: Option<Text>,
    #[serde(default)]
    task: Option<Text>,
    #[serde(default, rename = "gen_ai.request.model")]
    model: Option<Text>,
    streamed: bool,
    outcome: Text,
    status: u16,
    #[serde(default)]
    error_code: Option<Text>,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    cost_dollars: Option<Picodollars>,
    #[serde(default)]
    cost_at_most_dollars: Option<Picodollars>,
    #[serde(default)]
    cost_unknown: Option<Text>,
    #[serde(default)]
    tags: Vec<Text>,
}

/// A text that is copied once, into where it stays.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(Arc<str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.into()))
            }
        }

        deserializer.deserialize_str(Read)
    }
}

/// Reads a record.
///
/// # Errors
/// When it is none.
pub(super) fn read(entry: &[u8]) -> Result<UsageRecord, Error> {
    let entry = str::from_utf8(entry).map_err(Error::custom)?;
    let mut objects = serde_json::Deserializer::from_str(entry).into_iter::<FoundBy>();
    let found_by = objects.next().unwrap_or_else(|| Err(cut_off()))?;
    let rest = entry.get(objects.byte_offset()..).unwrap_or_default();
    let (asked, answered) = found_by.payload.unwrap_or_default();
    let length = asked.saturating_add(answered);
    let (detail, payload) = rest
        .split_at_checked(rest.len().wrapping_sub(length))
        .ok_or_else(cut_off)?;
    let (asked, answered) = payload.split_at_checked(asked).ok_or_else(cut_off)?;
    let payload = found_by.payload.map(|_| Payload {
        request: asked.into(),
        response: answered.into(),
    });
    let detail = Some(detail).filter(|detail| !detail.is_empty());
    Ok(found_by.with(detail.map(Arc::from), payload))
}

fn cut_off() -> Error {
    Error::custom("something is missing")
}

impl FoundBy {
    fn with(self, detail: Option<Arc<str>>, payload: Option<Payload>) -> UsageRecord {
        let text = |Text(text)| text;
        UsageRecord {
            id: self.id.map_or_else(|| self.request_id.0.clone(), text),
            at_ms: self.at_ms,
            request_id: self.request_id.0,
            revision: self.revision.0,
            key: self.key.map(text),
            team: self.team.map(text),
            app: self.app.map(text),
            user: self.user.map(text),
            route: self.route.map(text),
            task: self.task.map(text),
            provider: self.provider.map(text),
            model: self.model.map(text),
            outcome: self.outcome.0,
            status: self.status,
            error_code: self.error_code.map(text),
            usage: self.usage,
            unmetered: Unmetered {
                input: self.unmetered_input,
                output: self.unmetered_output,
            },
            cost: self.cost_dollars.map(Picodollars::as_u64),
            cost_at_most: self.cost_at_most_dollars.map(Picodollars::as_u64),
            cost_unknown: self.cost_unknown.map(text),
            attempts: self.tries,
            streamed: self.streamed,
            duration_ms: self.took_ms,
            tags: self.tags.into_iter().map(text).collect(),
            detail,
            hold: self.hold.map(text),
            payload,
        }
    }
}

impl Entry for Ended<'_> {
    fn write(&self, entry: &mut Vec<u8>) {
        let record = self.record;
        let mut told = Members::go_on(entry);
        own(record, self.common.known, record.unmetered, &mut told);
        if let Some(content) = &record.payload {
            let lengths = [content.request.len(), content.response.len()];
            told.other(next!("payload"), &lengths);
        }
        self.common.find_by(&mut told);
        told.end();
        self.common.write_detail(record, entry);
        if let Some(content) = &record.payload {
            entry.extend_from_slice(content.request.as_bytes());
            entry.extend_from_slice(content.response.as_bytes());
        }
    }
}

impl Entry for Beginning<'_> {
    fn write(&self, entry: &mut Vec<u8>) {
        let record = self.record;
        let mut told = Members::go_on(entry);
        own(record, self.known, self.unmetered, &mut told);
        told::named(record, &mut told);
        told.written(&self.known.found_by);
        told.word(next!("outcome"), CRASHED);
        told.number(next!("status"), record.status.into());
        told::cost(self.cost, &mut told);
        told::tags(record, &mut told);
        told.end();
    }
}

/// What the books alone keep, or otherwise than it is told in the line.
fn own(record: &CallRecord, known: &Known, unmetered: Unmetered, told: &mut Members<'_>) {
    let milliseconds = |time: Duration| {
        let seconds = time.as_secs().saturating_mul(1000);
        seconds.saturating_add(time.subsec_millis().into())
    };
    told.number(first!("at_ms"), milliseconds(record.came_at));
    if let Some(id) = record.id {
        let mut digits = Uuid::encode_buffer();
        told.word(next!("id"), id.simple().encode_lower(&mut digits));
    }
    told.written(&known.own);
    told.number(next!("tries"), record.attempts.len() as u64);
    told.number(next!("took_ms"), milliseconds(record.duration));
    if !unmetered.is_nothing() {
        told.number(next!("unmetered_input"), unmetered.input);
        told.number(next!("unmetered_output"), unmetered.output);
    }
    told.text_if(next!("hold"), record.hold.as_deref());
}

/// As anybody has it who has read it.
impl Entry for UsageRecord {
    fn write(&self, entry: &mut Vec<u8>) {
        let payload = self.payload.as_ref();
        let found_by = FoundBy {
            at_ms: self.at_ms,
            id: Some(Text(self.id.clone())),
            provider: self.provider.clone().map(Text),
            tries: self.attempts,
            took_ms: self.duration_ms,
            unmetered_input: self.unmetered.input,
            unmetered_output: self.unmetered.output,
            hold: self.hold.clone().map(Text),
            payload: payload.map(|payload| (payload.request.len(), payload.response.len())),
            request_id: Text(self.request_id.clone()),
            revision: Text(self.revision.clone()),
            key: self.key.clone().map(Text),
            team: self.team.clone().map(Text),
            app: self.app.clone().map(Text),
            user: self.user.clone().map(Text),
            route: self.route.clone().map(Text),
            task: self.task.clone().map(Text),
            model: self.model.clone().map(Text),
            streamed: self.streamed,
            outcome: Text(self.outcome.clone()),
            status: self.status,
            error_code: self.error_code.clone().map(Text),
            usage: self.usage,
            cost_dollars: self.cost.map(Picodollars::new),
            cost_at_most_dollars: self.cost_at_most.map(Picodollars::new),
            cost_unknown: self.cost_unknown.clone().map(Text),
            tags: self.tags.iter().cloned().map(Text).collect(),
        };
        entry.extend(serde_json::to_vec(&found_by).unwrap_or_default());
        let detail = self.detail.as_deref().unwrap_or_default();
        entry.extend_from_slice(detail.as_bytes());
        if let Some(payload) = payload {
            entry.extend_from_slice(payload.request.as_bytes());
            entry.extend_from_slice(payload.response.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{Picodollars, Usage};

    use super::*;
    use crate::{CallContent, call_log::tests::record, told::Teller};

    fn written(entry: &impl Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        bytes
    }

    fn ended(record: &CallRecord) -> Vec<u8> {
        written(&Ended {
            record,
            common: &Teller::default().tell(record),
        })
    }

    #[test]
    fn a_call_that_has_ended_is_read_as_it_was() {
        let call = CallRecord {
            id: Some(Uuid::from_u128(7)),
            app: Some("a \"new\" app".into()),
            hold: Some("hold".into()),
            unmetered: Unmetered {
                input: 1,
                output: 2,
            },
            payload: Some(CallContent {
                request: "{\"ask\":1}".to_owned(),
                response: "größe}{".to_owned(),
            }),
            ..record()
        };
        let read = read(&ended(&call)).unwrap();
        let detail: serde_json::Value =
            serde_json::from_str(read.detail.as_deref().unwrap()).unwrap();
        assert_eq!(detail["client_address"], "127.0.0.1");
        let begun = read.detail.as_deref().unwrap();
        assert!(begun.starts_with("{\"client_address\":\"127.0.0.1\""));
        assert_eq!(detail["temperature"], 0.5);
        assert_eq!(detail["max_tokens"], 100);
        assert_eq!(detail["attempts"].as_array().unwrap().len(), 2);
        let expected = UsageRecord {
            id: "00000000000000000000000000000007".into(),
            at_ms: 1_767_225_600_123,
            request_id: "req-1".into(),
            revision: "0a1b2c3d4e5f".into(),
            key: Some("team-a".into()),
            team: Some("research".into()),
            app: Some("a \"new\" app".into()),
            user: None,
            route: Some("chat".into()),
            task: Some("llm/v1/chat".into()),
            provider: Some("anthropic".into()),
            model: Some("claude".into()),
            outcome: "answered".into(),
            status: 200,
            error_code: None,
            usage: Usage {
                input: Some(10),
                input_cached: Some(90),
                output: Some(7),
                ..Usage::default()
            },
            unmetered: call.unmetered,
            cost: Some(123_000_000),
            cost_at_most: None,
            cost_unknown: None,
            attempts: 2,
            streamed: true,
            duration_ms: 400,
            tags: vec!["canary".into()],
            detail: read.detail.clone(),
            hold: Some("hold".into()),
            payload: Some(Payload {
                request: "{\"ask\":1}".into(),
                response: "größe}{".into(),
            }),
        };
        assert_eq!(read, expected);
        // Written by whoever has read it, it is the same.
        assert_eq!(super::read(&written(&read)).unwrap(), expected);
    }

    #[test]
    fn a_call_that_has_begun_tells_what_it_can_cost() {
        let call = CallRecord {
            usage: Usage::default(),
            attempts: Vec::new(),
            ..record()
        };
        let most = Unmetered {
            input: 100,
            output: 200,
        };
        let begun = |cost| {
            let mut teller = Teller::default();
            let entry = Beginning {
                record: &call,
                known: teller.known(&call),
                unmetered: most,
                cost,
            };
            read(&written(&entry)).unwrap()
        };
        let read = begun(Cost::AtMost(Picodollars::new(u64::MAX)));
        assert_eq!((&*read.outcome, read.unmetered), (CRASHED, most));
        assert_eq!((&*read.id, &*read.request_id), ("req-1", "req-1"));
        assert_eq!(read.cost_at_most, Some(u64::MAX));
        assert_eq!(read.cost_unknown.as_deref(), Some("unmetered"));
        assert_eq!((read.detail, read.payload), (None, None));
        assert_eq!(read.tags, ["canary".into()]);
        let read = begun(Cost::Unpriced);
        assert_eq!(read.cost_unknown.as_deref(), Some("unpriced"));
    }

    #[test]
    fn what_was_asked_and_answered_is_as_long_as_it_says() {
        let call = CallRecord {
            payload: Some(CallContent {
                request: "ask".to_owned(),
                response: "tell".to_owned(),
            }),
            ..record()
        };
        let bytes = ended(&call);
        let found_by = bytes.iter().position(|byte| *byte == b'}').unwrap();
        assert!(read(&bytes[..=found_by]).is_err());
        assert!(read(b"{}").is_err() && read(b"").is_err());
        let text = String::from_utf8(bytes).unwrap();
        let far = text.replace("[3,4]", "[18446744073709551615,4]");
        assert!(read(far.as_bytes()).is_err());
    }
}
