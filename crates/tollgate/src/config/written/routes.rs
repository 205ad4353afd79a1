//! `routes`, as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::Task;

use super::Wait;

/// Something that clients may ask for by name.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "model"]))]
pub(crate) struct Route {
    /// What a client writes into `model`, or into the path. Letters, digits, `_`, `.` and `-`.
    pub(crate) name: Option<String>,
    /// Other names for it; they may hold other signs too.
    pub(crate) aliases: Vec<String>,
    /// What it does. Default: `llm/v1/chat`.
    pub(crate) route_type: Option<RouteType>,
    /// Who answers.
    pub(crate) model: Option<Choice>,
    /// A Jinja2 template that replaces the caller's prompt or messages. `input` is the caller's request.
    pub(crate) prompt_template: Option<PromptTemplate>,
    /// Fields set in requests where the caller did not set them. They win over the provider's.
    pub(crate) params: Map<String, Value>,
    /// Drop what a provider cannot express, and say so in a header, instead of refusing the call.
    pub(crate) drop_unsupported: bool,
    /// How often and how patiently to try.
    pub(crate) retries: Retries,
    /// Of a route of type `http`: where it begins at the gateway. What comes behind goes to the provider. Default: `/NAME`.
    pub(crate) path: Option<String>,
    /// Of a route of type `http`: the methods that it has. Default: all.
    pub(crate) methods: Vec<String>,
}

/// What a route does.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
pub(crate) enum RouteType {
    /// Conversations.
    #[serde(rename = "llm/v1/chat")]
    Chat,
    /// Texts to continue.
    #[serde(rename = "llm/v1/completions")]
    Completions,
    /// Texts to vectors.
    #[serde(rename = "llm/v1/embeddings")]
    Embeddings,
    /// Documents to put in the order of their relevance.
    #[serde(rename = "llm/v1/rerank")]
    Rerank,
    /// Pictures to make or to change.
    #[serde(rename = "llm/v1/images")]
    Images,
    /// Text to sound.
    #[serde(rename = "llm/v1/speech")]
    Speech,
    /// Sound to text.
    #[serde(rename = "llm/v1/transcriptions")]
    Transcriptions,
    /// Texts and pictures to judge.
    #[serde(rename = "llm/v1/moderations")]
    Moderations,
    /// Talks over a WebSocket.
    #[serde(rename = "llm/v1/realtime")]
    Realtime,
    /// A model that is not a language model.
    #[serde(rename = "ml/v1/predict")]
    Predict,
    /// Whatever a provider's own API does: requests are passed on as they are.
    #[serde(rename = "http")]
    Http,
}

/// A model of a provider, or a strategy that chooses among several.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Choice {
    /// The provider's name.
    pub(crate) provider: Option<String>,
    /// What the provider calls the model. Default: the provider's `params.model`.
    pub(crate) name: Option<String>,
    /// Instead of `provider`: how one of several is chosen.
    pub(crate) strategy: Option<Strategy>,
    /// Share of calls, relative to the others of the strategy. Default: 1.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) weight: Option<u32>,
    /// Words for logs.
    pub(crate) tags: Vec<String>,
}

/// How one of several models is chosen.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["type", "models"]))]
pub(crate) struct Strategy {
    /// The rule.
    #[serde(rename = "type")]
    pub(crate) rule: Option<StrategyRule>,
    /// Whom it chooses among; each is a model or, one level deep, another strategy.
    pub(crate) models: Option<Vec<Choice>>,
    /// For `ratio`: what keeps a caller with the same choice.
    pub(crate) sticky: Option<Sticky>,
}

/// The rule of a strategy.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StrategyRule {
    /// The only one.
    Single,
    /// The first that is healthy.
    Ordered,
    /// Each in turn.
    RoundRobin,
    /// By weight.
    Ratio,
    /// The one with the fewest calls in flight.
    LeastBusy,
    /// The one whose first token came soonest of late.
    Fastest,
}

/// What keeps a caller with the same choice.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Sticky {
    /// The end user that the call names, else the caller's key.
    User(StickyUser),
    /// The value of a header.
    Header(StickyHeader),
}

/// The end user that the call names, else the caller's key.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StickyUser {
    User,
}

/// The value of a header.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["header"]))]
pub(crate) struct StickyHeader {
    /// The header's name.
    pub(crate) header: Option<String>,
}

/// A Jinja2 template for what is sent to the model.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PromptTemplate {
    /// One text: the prompt, or the only message.
    Text(String),
    /// A list of messages.
    Messages(Vec<PromptItem>),
}

/// A member of a list of messages.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PromptItem {
    /// `"{{ input.messages }}"`: the caller's own messages, as they came.
    Callers(String),
    /// A message.
    Message(PromptMessage),
}

/// A message whose text is a template.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["role", "content"]))]
pub(crate) struct PromptMessage {
    /// Who speaks.
    pub(crate) role: Option<Role>,
    /// A Jinja2 template.
    pub(crate) content: Option<String>,
}

/// Who speaks.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

/// How often and how patiently to try.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retries {
    /// Further tries at the same model after a failure that may pass. Default: 1.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) per_target: Option<u32>,
    /// All tries of one call. Default: 6.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) attempts_max: Option<u32>,
    /// Wait before the first retry; it doubles each time. Default: `250ms`.
    pub(crate) backoff: Option<Wait>,
    /// Longest wait, what a provider asks for included. Default: `5s`.
    pub(crate) backoff_max: Option<Wait>,
}

// === impl RouteType ===

impl From<RouteType> for Task {
    fn from(written: RouteType) -> Self {
        match written {
            RouteType::Chat => Self::Chat,
            RouteType::Completions => Self::Completions,
            RouteType::Embeddings => Self::Embeddings,
            RouteType::Rerank => Self::Rerank,
            RouteType::Images => Self::Images,
            RouteType::Speech => Self::Speech,
            RouteType::Transcriptions => Self::Transcriptions,
            RouteType::Moderations => Self::Moderations,
            RouteType::Realtime => Self::Realtime,
            RouteType::Predict => Self::Predict,
            RouteType::Http => Self::Http,
        }
    }
}

// === impl Role ===

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}
