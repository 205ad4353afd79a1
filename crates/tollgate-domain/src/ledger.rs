//! What a call leaves in the books, and where an amount of time begins in them.

use std::sync::Arc;

use serde::Deserialize;

use crate::{Unmetered, Usage};

/// How calls may end, in the words of records.
pub const OUTCOMES: [&str; 6] = [
    "answered",
    "refused",
    "provider_error",
    "cut",
    "client_gone",
    // Its gateway died.
    "crashed",
];

/// One call in the books: exactly one is written for each call that was put to a model, however it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UsageRecord {
    /// Its own: no other record ever has it, and a later one has a greater one.
    pub id: Arc<str>,
    /// When the call came, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// As sent to the client in `x-request-id`, which clients may choose.
    pub request_id: Arc<str>,
    /// The configuration that it was decided from.
    pub revision: Arc<str>,
    /// The name of the caller's key.
    #[serde(default)]
    pub key: Option<Arc<str>>,
    /// The team that the key belongs to.
    #[serde(default)]
    pub team: Option<Arc<str>>,
    /// The app that the key was made for, or that the token names.
    #[serde(default)]
    pub app: Option<Arc<str>>,
    /// The end user whom the call names.
    #[serde(default)]
    pub user: Option<Arc<str>>,
    /// The route.
    #[serde(default)]
    pub route: Option<Arc<str>>,
    /// What was asked for.
    #[serde(default)]
    pub task: Option<Arc<str>>,
    /// The provider that answered, or failed last, by its name in the configuration.
    #[serde(default)]
    pub provider: Option<Arc<str>>,
    /// What it calls the model.
    #[serde(default)]
    pub model: Option<Arc<str>>,
    /// How it ended: one of [`OUTCOMES`], as in the log.
    pub outcome: Arc<str>,
    /// As sent to the client.
    pub status: u16,
    /// The code of a refusal or of a provider's error.
    #[serde(default)]
    pub error_code: Option<Arc<str>>,
    /// What was used.
    #[serde(default)]
    pub usage: Usage,
    /// What it may have used beyond that.
    #[serde(default)]
    pub unmetered: Unmetered,
    /// What that cost, in picodollars.
    #[serde(default)]
    pub cost: Option<u64>,
    /// What it cost at most, in picodollars, where the provider did not say what was used.
    #[serde(default)]
    pub cost_at_most: Option<u64>,
    /// Why the cost is not known, where it is not: `unpriced`, `unmetered`.
    #[serde(default)]
    pub cost_unknown: Option<Arc<str>>,
    /// Tries at targets.
    pub attempts: u32,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// From the request's head to the answer's last byte, in milliseconds.
    pub duration_ms: u64,
    /// What it is tagged with, by its caller and at the target that was asked; each once.
    #[serde(default)]
    pub tags: Vec<Arc<str>>,
    /// What else is known of it, as a JSON object: where it came from, what it asked for, every attempt, how long what took.
    #[serde(default)]
    pub detail: Option<Arc<str>>,
    /// The name under which counts that several gateways share hold what was reserved. It goes no further than the journal.
    #[serde(default)]
    pub hold: Option<Arc<str>>,
    /// What was asked and answered, where that is kept. It is found apart from the record.
    #[serde(default)]
    pub payload: Option<Payload>,
}

/// What was asked and answered, cut to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Payload {
    /// The request's body as the client sent it.
    pub request: Arc<str>,
    /// The answer's body as the client got it.
    pub response: Arc<str>,
}
