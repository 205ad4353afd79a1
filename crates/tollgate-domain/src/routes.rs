//! A route as configured: what clients may ask for, and who may answer.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::{ProviderName, RouteName, TargetName, Task};

/// Bytes at most of a model's name where clients or prices say it: databases tell calls and prices apart by it, and compare no texts of any length.
pub const MODEL_BYTES_MAX: usize = 512;

/// What clients may ask for by name.
#[derive(Clone, Debug)]
pub struct Route {
    /// What a client writes into `model`.
    pub name: RouteName,
    /// Other names for it.
    pub aliases: Vec<RouteName>,
    /// What it does.
    pub task: Task,
    /// Who may answer, and how one is chosen.
    pub strategy: Strategy,
    /// Fields set in the request body where the caller did not set them. Win over the provider's.
    pub params: Map<String, Value>,
    /// Replaces the caller's messages or prompt.
    pub prompt: Option<Prompt>,
    /// Drop what a target cannot express, and say so in a header, instead of refusing the call.
    pub drop_unsupported: bool,
    /// How often and how patiently to try.
    pub retries: Retries,
    /// Where it is and what may be asked, where it is for plain HTTP ([`Task::Http`]).
    pub plain: Option<Plain>,
}

/// What a route for plain HTTP is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Where it begins at the gateway: a slash at its beginning, none at its end. What comes behind goes to the provider.
    pub path: Arc<str>,
    /// The methods that it has; all of them where none is named.
    pub methods: Vec<http::Method>,
}

/// How one of several choices is picked.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// The only one.
    Single(Choice),
    /// The first that is healthy, in the order written.
    Ordered(Vec<Choice>),
    /// Each in turn.
    RoundRobin(Vec<Choice>),
    /// By weight, at random or sticky; the others, by weight, when it fails.
    Ratio {
        /// With their weights.
        choices: Vec<Choice>,
        /// What keeps a caller with the same choice.
        sticky: Option<Sticky>,
    },
    /// The one with the fewest calls in flight, relative to its weight.
    LeastBusy(Vec<Choice>),
    /// The one whose first token came soonest of late.
    Fastest(Vec<Choice>),
}

impl Strategy {
    /// What it chooses among.
    pub fn choices(&self) -> &[Choice] {
        match self {
            Self::Single(choice) => std::slice::from_ref(choice),
            Self::Ordered(choices)
            | Self::RoundRobin(choices)
            | Self::LeastBusy(choices)
            | Self::Fastest(choices)
            | Self::Ratio { choices, .. } => choices,
        }
    }

    /// The name used in configuration files.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Single(_) => "single",
            Self::Ordered(_) => "ordered",
            Self::RoundRobin(_) => "round_robin",
            Self::Ratio { .. } => "ratio",
            Self::LeastBusy(_) => "least_busy",
            Self::Fastest(_) => "fastest",
        }
    }

    /// Every target, in the order written.
    pub fn targets(&self) -> Vec<&Arc<Target>> {
        let mut targets = Vec::new();
        for choice in self.choices() {
            match choice {
                Choice::Target(target) => targets.push(target),
                Choice::Nested { strategy, .. } => targets.extend(strategy.targets()),
            }
        }
        targets
    }
}

/// A member of a strategy.
#[derive(Clone, Debug)]
pub enum Choice {
    /// A model of a provider.
    Target(Arc<Target>),
    /// A strategy of its own, one level deep.
    Nested {
        /// Share of calls, relative to the others.
        weight: u32,
        /// Chooses among targets only.
        strategy: Box<Strategy>,
    },
}

impl Choice {
    /// Share of calls, relative to the others.
    pub fn weight(&self) -> u32 {
        match self {
            Self::Target(target) => target.weight,
            Self::Nested { weight, .. } => *weight,
        }
    }
}

/// A model of a provider, as a member of a route.
#[derive(Clone, Debug)]
pub struct Target {
    /// `provider/model`.
    pub name: TargetName,
    /// Who answers.
    pub provider: ProviderName,
    /// What the provider calls the model.
    pub model: Arc<str>,
    /// Share of calls, relative to the others of its strategy; 0 takes none unless the others fail.
    pub weight: u32,
    /// For people and for logs.
    pub tags: Vec<Arc<str>>,
}

/// What keeps a caller with the same choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The value of a header.
    Header(http::HeaderName),
    /// The end user that the call names (`user`, `metadata.user_id`), else the caller's key.
    User,
}

/// A prompt template, as written; compiled by the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// One text: the prompt of a completion, or for a chat the only message (or, where the
    /// rendered text is a JSON list, the messages).
    Text(Arc<str>),
    /// A list of messages.
    Messages(Vec<PromptMessage>),
}

/// One message of a prompt template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptMessage {
    /// A message whose text is a template.
    Templated {
        /// `system`, `user`, `assistant`.
        role: Arc<str>,
        /// Jinja2.
        content: Arc<str>,
    },
    /// The caller's own messages, as they came.
    CallersMessages,
}

/// How often and how patiently to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Further tries at the same target after a failure that may pass; moving on to another target is not
    /// counted.
    pub per_target: u32,
    /// All attempts of one call, the first included.
    pub attempts_max: u32,
    /// Wait before the first retry; doubles each time.
    pub backoff: Duration,
    /// Longest wait, a provider's `Retry-After` included: one that asks for more is passed over.
    pub backoff_max: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            per_target: 1,
            attempts_max: 6,
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(5),
        }
    }
}
