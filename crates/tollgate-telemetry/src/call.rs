//! What one call leaves behind.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::Uri;
use tollgate_domain::{
    Cost, Dialect, KeyName, Revision, RouteName, TargetName, Task, Unmetered, Usage,
};
use uuid::Uuid;

/// The code of a refusal while the books take nothing.
const BOOKS_CLOSED: &str = "books_closed";

/// The facts of one call. Exactly one is made for each request that reached the gateway, however it ended.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Its own in the books, where its request's is the client's; else it is that.
    pub id: Option<Uuid>,
    /// As sent to the client in `x-request-id`.
    pub request_id: Arc<str>,
    /// When it came, since 1970-01-01 UTC.
    pub came_at: Duration,
    /// The configuration it was decided from.
    pub revision: Revision,
    /// Where from.
    pub client_address: IpAddr,
    /// The HTTP method.
    pub method: http::Method,
    /// The matched path pattern, such as `/gateway/{name}/invocations`: few, so fit for a metric's label.
    pub path: &'static str,
    /// The caller's key.
    pub key: Option<KeyName>,
    /// The team that the key belongs to.
    pub team: Option<Arc<str>>,
    /// The app that the key was made for, or that the token names.
    pub app: Option<Arc<str>>,
    /// The end user whom the call names, up to 200 bytes.
    pub user: Option<Arc<str>>,
    /// The route that was used.
    pub route: Option<RouteName>,
    /// What was asked for.
    pub task: Option<Task>,
    /// What the client speaks.
    pub client_dialect: Option<Dialect>,
    /// What the client wrote into `model`, up to 200 bytes.
    pub model_asked: Option<String>,
    /// Who answered (or failed last).
    pub target: Option<TargetName>,
    /// The words that the configuration has for that target in this route.
    pub tags: Vec<Arc<str>>,
    /// The kind of that provider, such as `openai`.
    pub provider_kind: Option<Arc<str>>,
    /// The model that the provider was asked for.
    pub model: Option<Arc<str>>,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The status sent to the client; 499 where the client left before any was sent.
    pub status: u16,
    /// The code of a refusal or of a provider's error.
    pub error_code: Option<Arc<str>>,
    /// The text for the log; may say more than the client was told, never a secret.
    pub error_detail: Option<String>,
    /// Every try, in order.
    pub attempts: Vec<AttemptRecord>,
    /// What it used, all attempts together, as the providers said.
    pub usage: Usage,
    /// What the call may have used beyond that.
    pub unmetered: Unmetered,
    /// What that costs; nothing is said of calls that nobody was asked for.
    pub cost: Option<Cost>,
    /// The name under which counts that several gateways share hold what was reserved.
    pub hold: Option<Arc<str>>,
    /// The model that says it has answered, up to 200 bytes.
    pub answering_model: Option<Arc<str>>,
    /// Why the answer ended, in OpenAI's word.
    pub finish_reason: Option<Arc<str>>,
    /// What the caller asked for.
    pub params: Params,
    /// Fields that the target could not express and that were left out.
    pub dropped: Vec<String>,
    /// From the request's first byte to the answer's last.
    pub duration: Duration,
    /// Of that, spent waiting for providers (connecting, sending, reading), back-off left out.
    pub provider_time: Duration,
    /// From the request's first byte to the first content sent to the client.
    pub time_to_first_token: Option<Duration>,
    /// Bytes of the request's body, as they came.
    pub request_bytes: u64,
    /// Bytes of the answer's body, as they went.
    pub response_bytes: u64,
    /// The trace that the call belongs to, as it came in `traceparent`.
    pub traceparent: Option<Arc<str>>,
    /// What was said, where the operator wants it in the log.
    pub content: Option<CallContent>,
    /// The same, where the operator wants it in the books.
    pub payload: Option<CallContent>,
}

impl CallRecord {
    /// The gateway's own share of the duration: all of it less waiting for providers and for pauses between attempts.
    pub fn gateway_time(&self) -> Duration {
        let pauses: Duration = self.attempts.iter().map(|attempt| attempt.backoff).sum();
        self.duration
            .saturating_sub(self.provider_time)
            .saturating_sub(pauses)
    }

    /// Adds what a try used that failed.
    pub fn add(&mut self, lost: &Lost) {
        // The tier that is told is that of the last.
        let mut usage = lost.usage;
        usage.add(&self.usage);
        self.usage = usage;
        self.unmetered = self.unmetered.plus(lost.unmetered);
        let cost = self.cost;
        self.cost = Some(cost.map_or(lost.cost, |cost| lost.cost.plus(cost)));
    }

    /// Whether the books keep it. Not requests that were refused before it was known what they are for: whoever has no key could fill the books with
    /// them. And not those that are refused because nothing can be written down.
    pub(crate) fn is_kept(&self) -> bool {
        self.route.is_some() && self.error_code.as_deref() != Some(BOOKS_CLOSED)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has the whole answer.
    Answered,
    /// The gateway said no (`status` and `error_code` say why).
    Refused,
    /// A provider's error was passed on.
    ProviderError,
    /// The stream broke after its first content; the client was told.
    Cut,
    /// The client left.
    ClientGone,
}

impl Outcome {
    /// Its stable name, one of [`tollgate_domain::OUTCOMES`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ProviderError => "provider_error",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
        }
    }
}

/// One try at one target.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// At whom.
    pub target: TargetName,
    /// The kind of that provider, such as `openai`.
    pub provider_kind: Arc<str>,
    /// Where it was sent.
    pub server: Uri,
    /// With which of the provider's keys; 0 where it has none.
    pub key_ordinal: usize,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// The provider's status, where there was one.
    pub status: Option<u16>,
    /// What went wrong, in a stable word: `connect`, `connect_timeout`, `first_token_timeout`,
    /// `rate_limited`, `server` ...
    pub failure: Option<&'static str>,
    /// When it began, after the call's first byte.
    pub begun: Duration,
    /// Waited before it, for back-off.
    pub backoff: Duration,
    /// From its start to its end.
    pub duration: Duration,
    /// What it used and cost where it failed: that is in the call's usage and cost as well. Boxed, since few attempts do.
    pub lost: Option<Box<Lost>>,
}

/// What an attempt used that failed after its provider had begun to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// As the provider said.
    pub usage: Usage,
    /// What it may have used beyond that.
    pub unmetered: Unmetered,
    /// What that costs.
    pub cost: Cost,
}

impl Lost {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut usage = self.usage;
        usage.add(&other.usage);
        Self {
            usage,
            unmetered: self.unmetered.plus(other.unmetered),
            cost: self.cost.plus(other.cost),
        }
    }

    /// All tokens that it can have used.
    pub fn at_most(&self) -> Unmetered {
        self.unmetered.plus(Unmetered {
            input: self.usage.input_total().unwrap_or_default(),
            output: self.usage.output_total().unwrap_or_default(),
        })
    }
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// It answered.
    Answered,
    /// It failed, and another try was made.
    Failed,
    /// It failed, and its failure ended the call.
    FailedForGood,
    /// The client left during it.
    Abandoned,
}

impl AttemptOutcome {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::FailedForGood => "failed_for_good",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What the caller asked for, as far as logs show it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Params {
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Cap on generated tokens.
    pub max_tokens: Option<u64>,
    /// Whether a stream was asked for.
    pub stream: bool,
}

/// What was said, cut to a bound.
#[derive(Clone, Debug)]
pub struct CallContent {
    /// The request's body as the client sent it.
    pub request: String,
    /// The answer's body as the client got it.
    pub response: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_called_as_the_books_call_them() {
        let all = [
            Outcome::Answered,
            Outcome::Refused,
            Outcome::ProviderError,
            Outcome::Cut,
            Outcome::ClientGone,
        ];
        assert_eq!(
            [all.map(Outcome::as_str).as_slice(), &[crate::CRASHED]].concat(),
            tollgate_domain::OUTCOMES
        );
    }
}
