//! What a call leaves in the books, and where an amount of time begins in them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Cost, Unmetered, Usage};

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

/// One call in the books: exactly one is written for each call that was put to a model, however it ended. `T` are its texts: borrowed ones where it
/// is only written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord<T = Arc<str>> {
    /// Its own: no other record ever has it, and a later one has a greater one.
    pub id: T,
    /// When the call came, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// As sent to the client in `x-request-id`, which clients may choose.
    pub request_id: T,
    /// The configuration that it was decided from.
    pub revision: T,
    /// The name of the caller's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<T>,
    /// The team that the key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<T>,
    /// The app that the key was made for, or that the token names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<T>,
    /// The end user whom the call names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<T>,
    /// The route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<T>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<T>,
    /// The provider that answered, or failed last, by its name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<T>,
    /// What it calls the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<T>,
    /// How it ended: one of [`OUTCOMES`], as in the log.
    pub outcome: T,
    /// As sent to the client.
    pub status: u16,
    /// The code of a refusal or of a provider's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<T>,
    /// What was used.
    #[serde(default)]
    pub usage: Usage,
    /// What it may have used beyond that.
    #[serde(default, skip_serializing_if = "Unmetered::is_nothing")]
    pub unmetered: Unmetered,
    /// What that cost, in picodollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// What it cost at most, in picodollars, where the provider did not say what was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_at_most: Option<u64>,
    /// Why the cost is not known, where it is not: `unpriced`, `unmetered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_unknown: Option<T>,
    /// Tries at targets.
    pub attempts: u32,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// From the request's head to the answer's last byte, in milliseconds.
    pub duration_ms: u64,
    /// What it is tagged with, by its caller and at the target that was asked; each once.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<T>,
    /// What else is known of it, as a JSON object: where it came from, what it asked for, every attempt, how long what took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<T>,
    /// The name under which counts that several gateways share hold what was reserved. It goes no further than the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<T>,
    /// What was asked and answered, where that is kept. It is found apart from the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload<T>>,
}

/// What was asked and answered, cut to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload<T = Arc<str>> {
    /// The request's body as the client sent it.
    pub request: T,
    /// The answer's body as the client got it.
    pub response: T,
}

impl UsageRecord<&str> {
    /// Notes what the call cost.
    #[must_use]
    pub fn costing(mut self, cost: Option<Cost>) -> Self {
        match cost {
            Some(Cost::Known(cost)) => self.cost = Some(cost.as_u64()),
            Some(Cost::Unpriced) => self.cost_unknown = Some("unpriced"),
            Some(Cost::AtMost(most)) => {
                self.cost_at_most = Some(most.as_u64());
                self.cost_unknown = Some("unmetered");
            }
            None => {}
        }
        self
    }
}
