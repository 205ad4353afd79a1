//! Answers that calls of OpenAI's responses go on from. They are kept where a provider keeps none: a call that names one gets the
//! conversation before it into its `input`. The keeping itself is done by whoever holds the other end of the line.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tollgate_domain::{Dialect, Limits};

use crate::{keys::Caller, question::Question, refusal::Refusal};

/// Errands that wait at most.
const WAITING_MAX: usize = 1024;

/// How long a conversation is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The field that names an answer.
pub(crate) const PREVIOUS: &str = "previous_response_id";

/// An answer, with what was asked. Both are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose it is; nobody else finds it.
    pub owner: String,
    /// The answer's id.
    pub id: String,
    /// The answer that the call went on from.
    pub previous: Option<String>,
    /// An array of items, or a text.
    pub input: Bytes,
    /// An object.
    pub answer: Bytes,
}

/// What is asked of whoever keeps answers. Errands are done in the order in which they come, so that what was kept is found.
#[derive(Debug)]
pub enum Errand {
    /// Keep this, and say when that is done.
    Keep(Turn, oneshot::Sender<()>),
    /// Give the conversation that ends with an answer, from its first turn.
    Find(Wanted, oneshot::Sender<Option<Vec<Turn>>>),
    /// Forget an answer; whether there was one.
    Forget(Wanted, oneshot::Sender<bool>),
}

impl Errand {
    /// Whether nobody waits for it any more: whoever asked has run out of patience, or is gone.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Self::Keep(_, reply) => reply.is_closed(),
            Self::Find(_, reply) => reply.is_closed(),
            Self::Forget(_, reply) => reply.is_closed(),
        }
    }
}

/// An answer that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose it is.
    pub owner: String,
    /// The answer's id.
    pub id: String,
}

/// A way to whoever keeps answers.
#[derive(Clone)]
pub struct Responses(mpsc::Sender<Errand>);

/// What will be kept of a call once it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    line: Responses,
    owner: String,
    /// The id that the answer will have.
    pub(crate) id: String,
    previous: Option<String>,
    input: Bytes,
    /// The call as the client sent it, which answers repeat.
    pub(crate) asked: Bytes,
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responses").finish_non_exhaustive()
    }
}

impl Responses {
    /// A line, and its other end.
    pub fn line() -> (Self, mpsc::Receiver<Errand>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    async fn ask<T>(
        &self,
        errand: impl FnOnce(oneshot::Sender<T>) -> Errand,
    ) -> Result<T, Refusal> {
        let (sender, answer) = oneshot::channel();
        let asked = async {
            self.0.send(errand(sender)).await.ok()?;
            answer.await.ok()
        };
        let answered = timeout(PATIENCE, asked).await.ok().flatten();
        answered.ok_or(Refusal::ResponsesAway)
    }

    /// One answer, as it was given.
    pub(crate) async fn find(&self, caller: &Caller, id: &str) -> Result<Bytes, Refusal> {
        let wanted = wanted(caller, id);
        let found = self.ask(|reply| Errand::Find(wanted, reply)).await?;
        let last = found.and_then(|mut turns| turns.pop());
        last.map(|turn| turn.answer).ok_or_else(|| unknown(id))
    }

    /// Forgets one answer; gives what OpenAI says to that.
    pub(crate) async fn forget(&self, caller: &Caller, id: &str) -> Result<Bytes, Refusal> {
        let wanted = wanted(caller, id);
        if !self.ask(|reply| Errand::Forget(wanted, reply)).await? {
            return Err(unknown(id));
        }
        let told = json!({"id": id, "object": "response", "deleted": true});
        Ok(Bytes::from(told.to_string()))
    }
}

/// Puts what was said before in front of a call that goes on from an answer kept here, and notes what is to be kept of it. An answer that is
/// not kept here may be the provider's.
///
/// # Errors
/// When nobody can look now, or the conversation is too long for a call.
pub(crate) async fn recall(
    line: Option<&Responses>,
    caller: &Caller,
    question: &mut Question,
    limits: &Limits,
) -> Result<(), Refusal> {
    let Some(line) = line else { return Ok(()) };
    if question.dialect != Dialect::OpenaiResponses || question.is_aside() {
        return Ok(());
    }
    let asked = question.body().clone();
    let field = |name| question.head.field(name).map(|range| asked.slice(range));
    let input = field("input").unwrap_or(Bytes::from_static(b"[]"));
    let previous: Option<String> = field(PREVIOUS).and_then(|id| serde_json::from_slice(&id).ok());
    let wants_keeping = field("store").is_none_or(|store| &store[..] != b"false");
    let owner = owner(caller);
    if let Some(id) = &previous {
        let wanted = wanted(caller, id);
        let Some(turns) = line.ask(|reply| Errand::Find(wanted, reply)).await? else {
            question.previous_is_unknown();
            return Ok(());
        };
        question.replace_body(with_history(&asked, &turns, &input)?, limits)?;
    }
    if wants_keeping {
        question.keep(Keeping {
            line: line.clone(),
            owner,
            id: format!("resp_{}", uuid::Uuid::now_v7().simple()),
            previous,
            input,
            asked,
        });
    }
    Ok(())
}

/// A call with a conversation in front of what it asks.
fn with_history(asked: &[u8], turns: &[Turn], input: &[u8]) -> Result<Bytes, Refusal> {
    let malformed = |error: serde_json::Error| Refusal::BodyMalformed {
        problem: error.to_string(),
    };
    let mut call: serde_json::Map<String, Value> =
        serde_json::from_slice(asked).map_err(malformed)?;
    let mut items = Vec::new();
    for turn in turns {
        items.extend(items_of(&turn.input));
        let answer: Value = serde_json::from_slice(&turn.answer).unwrap_or_default();
        items.extend(answer["output"].as_array().cloned().unwrap_or_default());
    }
    items.extend(items_of(input));
    call.shift_remove(PREVIOUS);
    call.insert("input".to_owned(), Value::Array(items));
    serde_json::to_vec(&call)
        .map(Bytes::from)
        .map_err(malformed)
}

/// What was asked, as items.
fn items_of(input: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(input) {
        Ok(Value::Array(items)) => items,
        Ok(Value::String(text)) => vec![json!({"role": "user", "content": text})],
        _ => Vec::new(),
    }
}

fn wanted(caller: &Caller, id: &str) -> Wanted {
    Wanted {
        owner: owner(caller),
        id: id.to_owned(),
    }
}

pub(crate) fn unknown(id: &str) -> Refusal {
    Refusal::ResponseUnknown {
        id: crate::picture::shorten(id).to_string(),
    }
}

/// Whose answers a caller's are: its app's, so that all keys of an app find them, or its key's.
fn owner(caller: &Caller) -> String {
    let Some(key) = caller.key() else {
        return String::new();
    };
    match (&key.organisation, &key.app) {
        (Some(organisation), Some(app)) => format!("app {organisation}/{app}"),
        // An app that nobody has made may be called so by several who have nothing to do with each other.
        _ => format!("key {}", key.name.as_str()),
    }
}

/// Until an answer is kept, or it is clear that it will not be.
pub(crate) type Kept = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Keeping {
    /// Has an answer kept; its client gets the end of it when that is done. One that is not kept in time may be, or not: the client is told so
    /// when it goes on from it.
    pub(crate) fn keep(&self, answer: Bytes) -> Kept {
        let turn = Turn {
            owner: self.owner.clone(),
            id: self.id.clone(),
            previous: self.previous.clone(),
            input: self.input.clone(),
            answer,
        };
        let (sender, kept) = oneshot::channel();
        let (line, id) = (self.line.clone(), self.id.clone());
        Box::pin(async move {
            let asked = async {
                line.0.send(Errand::Keep(turn, sender)).await.ok()?;
                kept.await.ok()
            };
            if timeout(PATIENCE, asked).await.ok().flatten().is_none() {
                tracing::warn!(response = %id, "an answer was not kept in time");
            }
        })
    }

    /// Has the answer kept that the last event of a stream holds.
    pub(crate) fn keep_from_event(&self, event: &[u8]) -> Option<Kept> {
        #[derive(serde::Deserialize)]
        struct Last<'a> {
            #[serde(borrow)]
            response: &'a serde_json::value::RawValue,
        }
        let data = event
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data: "))
            .next_back();
        let last = serde_json::from_slice::<Last<'_>>(data?).ok()?;
        Some(self.keep(Bytes::copy_from_slice(last.response.get().as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_stands_before_what_is_asked() {
        let turn = Turn {
            owner: String::new(),
            id: "resp_1".to_owned(),
            previous: None,
            input: Bytes::from_static(b"\"a\""),
            answer: Bytes::from_static(
                br#"{"output": [{"type": "message", "role": "assistant", "content": []}]}"#,
            ),
        };
        let asked = br#"{"model":"m","previous_response_id":"resp_1","input":[{"role":"user","content":"b"}]}"#;
        let body = with_history(asked, &[turn], br#"[{"role":"user","content":"b"}]"#).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["input"].as_array().map(Vec::len), Some(3));
        assert_eq!(body["input"][0]["content"], "a");
        assert_eq!(body["input"][2]["content"], "b");
        assert_eq!(body.get(PREVIOUS), None);
    }
}
