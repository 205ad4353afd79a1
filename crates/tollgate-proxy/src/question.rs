//! A call on its way: the client's bytes, read no further than each step needs, and written for each target that is asked.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::Uri;
use serde_json::{Map, Value};
use tollgate_dialects::{
    Call, CallForm, Edits, Head, HeadLimits, ModelEdit, ReadError, read_call, write_call,
};
use tollgate_domain::{Dialect, Endpoint, Framing, Limits, Provider, StreamUsage, Task};
use tollgate_upstream::Lane;

use crate::{picture::CompiledRoute, refusal::Refusal};

/// Fields that mean the same in every client's dialect: defaults for them are set before a translation, all others after it, in the
/// provider's own words.
const COMMON_FIELDS: [&str; 3] = ["max_tokens", "temperature", "top_p"];

/// Where the name of the route is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Address<'a> {
    /// In the body's `model`.
    Body(Dialect),
    /// In the path; the route's task tells the dialect.
    Path(&'a str),
    /// In the path, in a dialect whose addresses name the model.
    Named {
        /// What the client speaks.
        dialect: Dialect,
        /// Percent-encoded, as it came.
        name: &'a str,
        /// Whether to stream, where the address says so.
        stream: Option<bool>,
        /// What is wanted of the model.
        errand: Errand,
    },
}

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// An answer.
    Answer,
    /// How many tokens the question has. Nobody but its own provider can tell.
    CountTokens,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Question {
    /// What the client speaks.
    pub(crate) dialect: Dialect,
    /// How streams are cut into events for the client.
    pub(crate) framing: Framing,
    /// What is wanted of the model.
    pub(crate) errand: Errand,
    /// What the gateway needed to know of the body.
    pub(crate) head: Head,
    /// As the client sent it, or as the route's prompt made it anew.
    body: Bytes,
    route: Arc<CompiledRoute>,
    read: OnceLock<Call>,
}

/// A call as it goes to one target.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The request's body.
    pub(crate) body: Bytes,
    /// Where it goes and what is spoken there.
    pub(crate) endpoint: Endpoint,
    /// Whether client and provider speak the same, so that the answer passes through.
    pub(crate) passes: Passes,
    /// Fields that were left out, by their names in the client's dialect.
    pub(crate) dropped: Vec<String>,
    /// Whether the provider is asked for a stream.
    pub(crate) streams: bool,
}

/// Whether an answer passes through or is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    /// The bytes pass through.
    Through,
    /// The answer is read and written anew.
    Translated,
}

impl Question {
    /// Takes in a call whose head was read.
    pub(crate) fn new(
        dialect: Dialect,
        head: Head,
        body: Bytes,
        route: Arc<CompiledRoute>,
        errand: Errand,
    ) -> Self {
        Self {
            dialect,
            framing: dialect.framing(),
            errand,
            head,
            body,
            route,
            read: OnceLock::new(),
        }
    }

    /// The route that was asked for.
    pub(crate) fn route(&self) -> &Arc<CompiledRoute> {
        &self.route
    }

    /// The body as it stands.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// Puts a new body in the place of the client's.
    pub(crate) fn replace_body(&mut self, body: Bytes, limits: &Limits) -> Result<(), Refusal> {
        self.head = scan(self.dialect, &body, limits)?;
        self.body = body;
        self.read = OnceLock::new();
        Ok(())
    }

    /// Writes the call for one target.
    ///
    /// # Errors
    /// When the target cannot be asked this, or the body is not what the client's dialect wants.
    pub(crate) fn write_for(&self, lane: &Lane, limits: &Limits) -> Result<Outgoing, Refusal> {
        if self.errand == Errand::CountTokens {
            return self.write_count_for(lane);
        }
        let task = self.route.route.task;
        let provider = lane.provider();
        let endpoint =
            lane.endpoint(task, self.dialect)
                .cloned()
                .ok_or_else(|| Refusal::NotServed {
                    target: lane.name().to_string(),
                    task: task.as_str(),
                })?;
        if endpoint.dialect == self.dialect {
            return Ok(self.pass_to(lane, endpoint));
        }
        let model = provider.quirks.model_in_body.then(|| lane.model().as_ref());
        let form = CallForm {
            dialect: endpoint.dialect,
            model: match endpoint.dialect {
                // What is written depends on the model, whether the body names it or not.
                Dialect::AnthropicMessages | Dialect::GeminiGenerate => Some(lane.model()),
                _ => model,
            },
            stream_usage: provider.quirks.stream_usage,
            chat_input: provider.quirks.chat_input,
            drop_unsupported: self.route.route.drop_unsupported,
        };
        let call = self.read_with_defaults(&provider.params)?;
        let written = write_call(&call, &form).map_err(|unsupported| Refusal::Unsupported {
            fields: unsupported.fields,
            target: lane.name().to_string(),
        })?;
        let body = self.with_other_defaults(&endpoint, written.body, provider, limits)?;
        let endpoint = if endpoint.dialect == Dialect::GeminiEmbeddings {
            for_body(endpoint, &scan(Dialect::GeminiEmbeddings, &body, limits)?)
        } else {
            endpoint
        };
        Ok(Outgoing {
            body,
            passes: Passes::Translated,
            dropped: written.dropped,
            streams: self.head.stream && endpoint.dialect != Dialect::MlflowServing,
            endpoint,
        })
    }

    /// The call as it came, but for the model and what the route and the provider set.
    fn pass_to(&self, lane: &Lane, endpoint: Endpoint) -> Outgoing {
        let provider = lane.provider();
        let model = provider.quirks.model_in_body.then(|| lane.model().as_ref());
        let named = model_name(lane);
        let edits = Edits {
            model: match (model, endpoint.dialect) {
                (_, Dialect::MlflowServing) => ModelEdit::Keep,
                (_, Dialect::GeminiGenerate) => ModelEdit::Remove,
                (_, Dialect::GeminiEmbeddings) => ModelEdit::Inside {
                    field: "requests",
                    model: &named,
                },
                (Some(model), _) => ModelEdit::Set(model),
                (None, _) => ModelEdit::Remove,
            },
            defaults: &[
                &self.route.route.params,
                &provider.params,
                &texts(endpoint.fields),
            ],
            ask_usage: self.head.stream && provider.quirks.stream_usage == StreamUsage::Ask,
        };
        let is_streamable = !matches!(self.route.route.task, Task::Predict | Task::Rerank);
        Outgoing {
            body: edits.apply(&self.head, &self.body),
            passes: Passes::Through,
            dropped: Vec::new(),
            streams: self.head.stream && is_streamable,
            endpoint: for_body(endpoint, &self.head),
        }
    }

    /// Writes the question how many tokens the call has. It goes to a provider of the client's own dialect or to nobody: an estimate
    /// would be taken for the truth.
    fn write_count_for(&self, lane: &Lane) -> Result<Outgoing, Refusal> {
        let not_served = || Refusal::NotServed {
            target: lane.name().to_string(),
            task: "countTokens",
        };
        let endpoint = lane
            .endpoint(self.route.route.task, self.dialect)
            .filter(|endpoint| endpoint.dialect == self.dialect && self.route.template.is_none())
            .ok_or_else(not_served)?;
        let named = model_name(lane);
        let edits = Edits {
            model: ModelEdit::Inside {
                field: "generateContentRequest",
                model: &named,
            },
            defaults: &[],
            ask_usage: false,
        };
        Ok(Outgoing {
            body: edits.apply(&self.head, &self.body),
            endpoint: with_method(endpoint.clone(), "countTokens"),
            passes: Passes::Through,
            dropped: Vec::new(),
            streams: false,
        })
    }

    /// The call read, with defaults for the fields that every dialect knows.
    fn read_with_defaults(&self, params: &Map<String, Value>) -> Result<Cow<'_, Call>, Refusal> {
        let call = match self.read.get() {
            Some(call) => call,
            None => {
                let call = self.read()?;
                self.read.get_or_init(|| call)
            }
        };
        let given = [&self.route.route.params, params];
        let mut defaults = given
            .iter()
            .flat_map(|params| params.iter())
            .filter(|(name, _)| COMMON_FIELDS.contains(&name.as_str()))
            .peekable();
        if defaults.peek().is_none() {
            return Ok(Cow::Borrowed(call));
        }
        let mut call = call.clone();
        for (name, value) in defaults {
            call.set_default(name, value);
        }
        Ok(Cow::Owned(call))
    }

    fn read(&self) -> Result<Call, Refusal> {
        let mut call = read_call(self.dialect, &self.body).map_err(Refusal::BodyInvalid)?;
        // Some dialects say so in their address.
        if let Call::Chat(chat) = &mut call {
            chat.stream = self.head.stream;
        }
        Ok(call)
    }

    /// Sets defaults for the fields that only the provider's dialect knows, and takes the model out where the body must not name
    /// it.
    fn with_other_defaults(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        provider: &Provider,
        limits: &Limits,
    ) -> Result<Bytes, Refusal> {
        let others = |params| pick(params, |name| !COMMON_FIELDS.contains(&name));
        let route = others(&self.route.route.params);
        let providers = others(&provider.params);
        let fields = texts(endpoint.fields);
        let names_model =
            provider.quirks.model_in_body || endpoint.dialect != Dialect::AnthropicMessages;
        let is_done = names_model
            && [&route, &providers, &fields]
                .iter()
                .all(|set| set.is_empty());
        if is_done || endpoint.dialect == Dialect::MlflowServing {
            return Ok(body);
        }
        let head = scan(endpoint.dialect, &body, limits)?;
        let edits = Edits {
            model: if names_model {
                ModelEdit::Keep
            } else {
                ModelEdit::Remove
            },
            defaults: &[&route, &providers, &fields],
            ask_usage: false,
        };
        Ok(edits.apply(&head, &body))
    }
}

/// Reads what the gateway needs of a body, and proves that it is JSON of bearable depth.
pub(crate) fn scan(dialect: Dialect, body: &Bytes, limits: &Limits) -> Result<Head, Refusal> {
    let limits = HeadLimits {
        depth_max: limits.json_depth_max,
    };
    Head::scan(dialect, body, limits).map_err(Refusal::BodyInvalid)
}

/// A name out of a path, without its percent-encoding.
pub(crate) fn decode(name: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(name).decode_utf8_lossy()
}

/// What a task's own client speaks where the path does not say: MLflow's invocations.
pub(crate) fn dialect_of(task: Task) -> Dialect {
    match task {
        Task::Chat => Dialect::OpenaiChat,
        Task::Completions => Dialect::OpenaiCompletions,
        Task::Embeddings => Dialect::OpenaiEmbeddings,
        Task::Rerank => Dialect::CohereRerank,
        Task::Predict => Dialect::MlflowServing,
    }
}

/// A model as Gemini's bodies name it.
fn model_name(lane: &Lane) -> String {
    format!("models/{}", lane.model())
}

/// Texts that a body has to hold.
fn texts(fields: &[(&str, &str)]) -> Map<String, Value> {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    fields.collect()
}

/// The address that a body belongs to: one text and several have different ones with Gemini.
fn for_body(endpoint: Endpoint, head: &Head) -> Endpoint {
    if endpoint.dialect == Dialect::GeminiEmbeddings && head.field("requests").is_none() {
        with_method(endpoint, "embedContent")
    } else {
        endpoint
    }
}

/// An address of Google's with another method at its end.
fn with_method(mut endpoint: Endpoint, method: &str) -> Endpoint {
    let mut parts = endpoint.uri.clone().into_parts();
    let path = endpoint.uri.path();
    let (model, _) = path.rsplit_once(':').unwrap_or((path, ""));
    let query = endpoint.uri.query().map(|query| format!("?{query}"));
    let path = format!("{model}:{method}{}", query.unwrap_or_default());
    if let Ok(path) = path.parse() {
        parts.path_and_query = Some(path);
        endpoint.uri = Uri::from_parts(parts).unwrap_or(endpoint.uri);
    }
    endpoint
}

fn pick(fields: &Map<String, Value>, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// For errors that a reader of the client's body gives.
impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::BodyInvalid(error)
    }
}
