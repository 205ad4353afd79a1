//! A provider as configured: where it is, how to sign in, what it speaks, how it differs.
//!
//! The table of known kinds lives in `tollgate-upstream`; here is only the resolved form.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri};

use crate::{Accent, Dialect, Framing, Issuer, ProviderName, Secret, Task};

/// One configured provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// As the configuration calls it.
    pub name: ProviderName,
    /// The kind's name, such as `openai`; what OpenTelemetry calls `gen_ai.provider.name`.
    pub kind: Arc<str>,
    /// How it is reached.
    pub transport: Transport,
    /// What it can be asked for. Where a task is served in several dialects, the usual one comes first.
    pub endpoints: Vec<Endpoint>,
    /// How a key is sent.
    pub auth: Auth,
    /// Keys to choose from; empty where the provider wants none.
    pub keys: Vec<Arc<ProviderKey>>,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The model to ask for where a target names none.
    pub default_model: Option<Arc<str>>,
    /// Fields set in a request body where the caller did not set them.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// How it differs from its dialect's own description.
    pub quirks: Quirks,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Whether its host's name may lead to a private address although it looks public.
    pub private_addresses: bool,
}

impl Provider {
    /// The endpoint that serves a task for a client: one in the client's own dialect if there is any; a text completion is
    /// served by a chat endpoint where there is no better one.
    pub fn endpoint(&self, task: Task, client: Dialect) -> Option<&Endpoint> {
        serving(&self.endpoints, task, client)
    }

    /// Whether it serves a task at all.
    pub fn serves(&self, task: Task) -> bool {
        self.endpoint(task, Dialect::OpenaiChat).is_some()
    }
}

/// The one of these endpoints that serves a task best for a client.
pub fn serving(endpoints: &[Endpoint], task: Task, client: Dialect) -> Option<&Endpoint> {
    let serves = |task: Task| {
        endpoints
            .iter()
            .filter(move |endpoint| endpoint.task == task)
    };
    serves(task)
        .find(|endpoint| endpoint.dialect == client)
        .or_else(|| serves(task).next())
        .or_else(|| match task {
            Task::Completions => serves(Task::Chat).next(),
            Task::Chat
            | Task::Embeddings
            | Task::Rerank
            | Task::Images
            | Task::Speech
            | Task::Transcriptions
            | Task::Moderations
            | Task::Realtime
            | Task::Predict
            | Task::Http => None,
        })
}

/// How a provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By HTTP at its endpoints' addresses.
    Http,
    /// Inside the gateway: the demo provider.
    Demo,
    /// Not yet: a registry model whose tracking server is not configured. Calls are refused with
    /// this text.
    Unresolved(Arc<str>),
}

/// An address of a provider and the language spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it serves.
    pub task: Task,
    /// What is spoken there.
    pub dialect: Dialect,
    /// Scheme, host, path and fixed query: the whole address. `{model}` in the path or query of the
    /// configuration has been left as `%7Bmodel%7D` and is filled in for each model.
    pub uri: Uri,
    /// The address for streams, where it is another.
    pub stream_uri: Option<Uri>,
    /// For which models it is.
    pub models: Models,
    /// Texts that its bodies have to hold, by field.
    pub fields: &'static [(&'static str, &'static str)],
    /// What its bodies call the model.
    pub model: BodyModel,
    /// What its bodies and streams are put into.
    pub envelope: Envelope,
}

/// For which models an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// For all that no other endpoint of its task has to itself.
    Others,
    /// For those whose names begin so, which it has to itself.
    Beginning(&'static str),
    /// For those whose names hold this, which other endpoints are for as well.
    Holding(&'static str),
}

/// What a dialect's bodies and streams are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing: they are as the dialect has them.
    Plain,
    /// `InvokeModel` of AWS Bedrock with Anthropic's messages: the address says whether to stream, beta features are in the body,
    /// events are in binary frames, and tokens are counted at an address of Bedrock's own.
    Invocation,
}

/// What a body calls the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyModel {
    /// Nothing: the address says it.
    Unnamed,
    /// As the target says.
    Asked,
    /// Always this: what the operator's deployment is called.
    Fixed(Arc<str>),
}

impl Endpoint {
    /// How its streams are cut into events.
    pub const fn framing(&self) -> Framing {
        match self.envelope {
            Envelope::Plain => self.dialect.framing(),
            Envelope::Invocation => Framing::AwsChunks,
        }
    }

    /// What a body calls the model that a target names.
    pub fn model_in_body<'a>(&'a self, asked: &'a str) -> Option<&'a str> {
        match &self.model {
            BodyModel::Unnamed => None,
            BodyModel::Asked => Some(asked),
            BodyModel::Fixed(name) => Some(name),
        }
    }
}

/// Those of these endpoints that are for a model.
pub fn for_model<'a>(
    endpoints: &'a [Endpoint],
    model: &'a str,
) -> impl Iterator<Item = &'a Endpoint> {
    let has_to_itself = move |endpoint: &Endpoint| matches!(endpoint.models, Models::Beginning(begin) if model.starts_with(begin));
    endpoints
        .iter()
        .filter(move |endpoint| match endpoint.models {
            Models::Beginning(_) => has_to_itself(endpoint),
            Models::Holding(part) => model.contains(part),
            Models::Others => {
                let mut others = endpoints.iter();
                !others.any(|other| other.task == endpoint.task && has_to_itself(other))
            }
        })
}

/// One of a provider's keys.
#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// The key's place in the configuration, from 1; stands for it in logs: `openai#2`.
    pub ordinal: usize,
    /// The credential.
    pub secret: Secret,
    /// Share of calls, relative to the other keys; at least 1.
    pub weight: u32,
}

/// How a key is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// In a header, after a prefix such as `Bearer `.
    Header {
        /// The header.
        name: HeaderName,
        /// What comes before the key.
        prefix: Arc<str>,
    },
    /// As a query parameter.
    Query {
        /// The parameter.
        name: Arc<str>,
    },
    /// There is no key: somebody issues credentials that expire.
    Issued(Arc<Issuer>),
}

/// How a provider differs from the description of its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// How a complete stream ends.
    pub stream_end: StreamEnd,
    /// How usage gets into a stream.
    pub stream_usage: StreamUsage,
    /// Whether the body names the model (Azure's deployment paths do without).
    pub model_in_body: bool,
    /// What its model takes for a chat, where it is an MLflow scoring server.
    pub chat_input: ChatInput,
    /// What it takes otherwise, where it speaks OpenAI's chat.
    pub accent: Accent,
    /// What vectors in base64 hold.
    pub vector_bytes: VectorBytes,
    /// Its answers say what they cost in dollars, which goes before what a catalogue says.
    pub says_cost: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            stream_end: StreamEnd::Mark,
            stream_usage: StreamUsage::Ask,
            model_in_body: true,
            chat_input: ChatInput::Messages,
            accent: Accent::NONE,
            vector_bytes: VectorBytes::Floats,
            says_cost: false,
        }
    }
}

/// What vectors in base64 hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorBytes {
    /// Little-endian `f32`.
    Floats,
    /// `i8`, of whatever was asked (Perplexity).
    Integers,
}

/// How a complete stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With the dialect's end mark (`[DONE]`, `message_stop`); a stream without it is cut.
    Mark,
    /// With a finish reason and a clean end of the body; the end mark may be missing.
    Finish,
}

/// How usage gets into a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// When asked by `stream_options.include_usage`.
    Ask,
    /// Without asking, or never; asking may be refused.
    Unasked,
}

/// What a model behind an MLflow scoring server takes for a chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatInput {
    /// The whole conversation: it is a chat model.
    #[default]
    Messages,
    /// One text, as `inputs`: it is another kind of model, which can be asked by one message of the user's.
    Text,
}

/// How long to wait for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the first content: the first event with content of a stream, or
    /// the head of a whole answer.
    pub first_token: Duration,
    /// Between two pieces of an answer's body.
    pub idle: Duration,
    /// For one attempt, from its start to the last byte.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_models_have_an_endpoint_of_their_own() {
        let endpoint = |task, dialect, models| Endpoint {
            task,
            dialect,
            uri: Uri::from_static("https://example.com/"),
            stream_uri: None,
            models,
            fields: &[],
            model: BodyModel::Asked,
            envelope: Envelope::Plain,
        };
        let endpoints = [
            endpoint(Task::Chat, Dialect::GeminiGenerate, Models::Others),
            endpoint(
                Task::Chat,
                Dialect::AnthropicMessages,
                Models::Beginning("claude"),
            ),
            endpoint(Task::Chat, Dialect::OpenaiResponses, Models::Holding("pro")),
            endpoint(Task::Embeddings, Dialect::GeminiEmbeddings, Models::Others),
        ];
        let spoken = |model| -> Vec<Dialect> {
            for_model(&endpoints, model)
                .map(|endpoint| endpoint.dialect)
                .collect()
        };
        assert_eq!(
            spoken("claude-opus-5"),
            [Dialect::AnthropicMessages, Dialect::GeminiEmbeddings]
        );
        assert_eq!(
            spoken("gemini-3-pro"),
            [
                Dialect::GeminiGenerate,
                Dialect::OpenaiResponses,
                Dialect::GeminiEmbeddings
            ]
        );
    }
}
