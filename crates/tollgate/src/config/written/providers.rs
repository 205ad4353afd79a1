//! `providers`, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AuthAws, AuthEntra, AuthGoogle, AuthIbm, Wait};

/// A service that answers, and how it is reached.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "type"]))]
pub(crate) struct Provider {
    /// What routes call it. Letters, digits, `_`, `.` and `-`.
    pub(crate) name: Option<String>,
    /// What kind of service it is: `openai`, `azure`, `anthropic`, `gemini`, `vertex`, `bedrock`, `mlflow`, `demo`, `custom`, or a host that speaks
    /// OpenAI's language, such as `mistral`, `groq`, `ollama` or `vllm`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The credential. Better a reference, such as `"{{ env.OPENAI_API_KEY }}"`, than the key itself.
    pub(crate) api_key: Option<String>,
    /// Several credentials to spread calls over; each rests when it is over its limit.
    pub(crate) api_keys: Vec<ApiKey>,
    /// Where it is, as its own clients want it: with `/v1` where they do. A bare host gets the usual path.
    pub(crate) base_url: Option<String>,
    /// Another word for `base_url`.
    pub(crate) api_base: Option<String>,
    /// For `type: bedrock`: the region, such as `eu-central-1`, which tells the address.
    pub(crate) region: Option<String>,
    /// For `type: mlflow`: where `mlflow models serve` runs. Another word for `base_url`.
    pub(crate) model_server_url: Option<String>,
    /// For `type: mlflow`: a model of the registry, `models:/NAME/VERSION`.
    pub(crate) model_uri: Option<String>,
    /// For `type: mlflow`: the tracking server that knows `model_uri`.
    pub(crate) tracking_uri: Option<String>,
    /// For `type: azure`: the dated version of the API; calls then go to deployments' own paths.
    pub(crate) api_version: Option<String>,
    /// For `type: azure` with `api_version`: the deployment to call, whatever the model.
    pub(crate) deployment: Option<String>,
    /// For `type: vertex`: the project of Google Cloud.
    pub(crate) project: Option<String>,
    /// For `type: vertex`: the location, such as `us-central1` or `global`.
    pub(crate) location: Option<String>,
    /// How the credential is sent, where that is not as usual for this kind.
    pub(crate) auth: Option<Auth>,
    /// Headers to send with every request.
    pub(crate) headers: BTreeMap<String, String>,
    /// Query parameters to send with every request.
    pub(crate) query: BTreeMap<String, String>,
    /// Paths after `base_url` (or whole addresses) where they are not as usual. `{model}` stands for the model.
    pub(crate) paths: Paths,
    /// For `type: custom`: the language it speaks. Default: `openai`. For `type: bedrock`: `anthropic` has all chats asked of Claude by
    /// `InvokeModel`, whatever the models are called, `converse` has all asked by Converse. Default: Anthropic's clients are passed on to
    /// models whose names hold `anthropic.`, all others go to Converse.
    pub(crate) dialect: Option<SpokenDialect>,
    /// How a complete stream ends: with its end `mark`, or with a `finish` reason and no mark.
    pub(crate) stream_end: Option<StreamEnd>,
    /// Whether usage in a stream must be asked for (`ask`), or comes `unasked` (or never).
    pub(crate) stream_usage: Option<StreamUsage>,
    /// Whether its answers say what they cost, in US dollars (`usage.cost`), which is then what they cost. Default: no, but of OpenRouter, Perplexity,
    /// Vercel's gateway and xAI.
    pub(crate) says_cost: Option<bool>,
    /// Whether the request's body names the model.
    pub(crate) model_in_body: Option<bool>,
    /// For MLflow's models: what the model takes for a chat: the conversation's `messages`, or, as it is no chat model, one
    /// `text` as `inputs`. Default: `messages`.
    pub(crate) chat_input: Option<ChatInput>,
    /// Fields set in requests where the caller did not set them. `model` is the model for routes that name none.
    pub(crate) params: Map<String, Value>,
    /// How long to wait for it.
    pub(crate) timeouts: Timeouts,
    /// Whether the host of `base_url` may lead to a private address although its name looks public. Addresses and private names (`localhost`,
    /// `vllm`, `vllm.models.svc`) may anyway. Default: `false`.
    pub(crate) private_addresses: Option<bool>,
}

/// A credential.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ApiKey {
    /// The credential alone.
    Key(String),
    /// With its share of calls.
    Weighted(WeightedKey),
}

/// A credential with its share of calls.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["key"]))]
pub(crate) struct WeightedKey {
    /// The credential.
    pub(crate) key: Option<String>,
    /// Share of calls, relative to the other keys. Default: 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) weight: Option<u32>,
}

/// How a credential is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Auth {
    /// By a known rule.
    Rule(AuthRule),
    /// In a header.
    Header(AuthHeader),
    /// In the query.
    Query(AuthQuery),
    /// As AWS's signature.
    Aws(AuthAws),
    /// As Google's access token.
    Google(AuthGoogle),
    /// As Entra's access token.
    Entra(AuthEntra),
    /// As IBM Cloud's access token.
    Ibm(AuthIbm),
}

/// A known rule for credentials.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthRule {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// No credential is sent.
    None,
    /// Requests are signed with the keys that AWS's own tools would find.
    Aws,
}

/// A credential in a header.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["header"]))]
pub(crate) struct AuthHeader {
    /// The header's name.
    pub(crate) header: Option<String>,
    /// What stands before the credential. Default: nothing.
    #[serde(default)]
    pub(crate) prefix: String,
}

/// A credential in the query.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["query"]))]
pub(crate) struct AuthQuery {
    /// The parameter's name.
    pub(crate) query: Option<String>,
}

/// Paths after `base_url`, or whole addresses.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Paths {
    /// For `llm/v1/chat`.
    pub(crate) chat: Option<String>,
    /// For streams of `llm/v1/chat`, where a provider of this kind has an address of its own for them.
    pub(crate) chat_stream: Option<String>,
    /// For `llm/v1/completions`.
    pub(crate) completions: Option<String>,
    /// For `llm/v1/embeddings`.
    pub(crate) embeddings: Option<String>,
    /// For `llm/v1/rerank`.
    pub(crate) rerank: Option<String>,
    /// For `llm/v1/images`; `{operation}` stands for `generations`, `edits` or `variations`.
    pub(crate) images: Option<String>,
    /// For `llm/v1/speech`.
    pub(crate) speech: Option<String>,
    /// For `llm/v1/transcriptions`; `{operation}` stands for `transcriptions` or `translations`.
    pub(crate) transcriptions: Option<String>,
    /// For `llm/v1/moderations`.
    pub(crate) moderations: Option<String>,
    /// For `llm/v1/realtime`, with `{model}` in its query.
    pub(crate) realtime: Option<String>,
    /// For `ml/v1/predict`.
    pub(crate) predict: Option<String>,
}

/// A language that a `custom` provider may speak, or a `bedrock` one.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpokenDialect {
    /// OpenAI's chat, completions and embeddings.
    Openai,
    /// OpenAI's responses alone.
    OpenaiResponses,
    /// Anthropic's messages.
    Anthropic,
    /// Bedrock's Converse. For `type: bedrock` alone.
    Converse,
    /// Ollama's chat, completions and embeddings.
    Ollama,
    /// Gemini's `generateContent` and `batchEmbedContents`.
    Gemini,
    /// Cohere's chat, embeddings and rerank.
    Cohere,
    /// `POST /invocations`, as `mlflow models serve` answers it.
    Mlflow,
}

/// How a complete stream ends.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamEnd {
    /// With the dialect's end mark; a stream without it was cut.
    Mark,
    /// With a finish reason; the end mark may be missing.
    Finish,
}

/// How usage gets into a stream.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamUsage {
    /// It is asked for.
    Ask,
    /// It comes unasked, or never.
    Unasked,
}

/// What a model takes for a chat.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChatInput {
    /// The whole conversation.
    Messages,
    /// One text, as `inputs`.
    Text,
}

/// How long to wait for a provider.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// For a connection. Default: `5s`.
    pub(crate) connect: Option<Wait>,
    /// For the first token, or for the head of an answer that is not streamed. Default: `120s`.
    pub(crate) first_token: Option<Wait>,
    /// Between two pieces of an answer. Default: `60s`.
    pub(crate) idle: Option<Wait>,
    /// For a whole attempt. Default: `10m`.
    pub(crate) whole: Option<Wait>,
}
