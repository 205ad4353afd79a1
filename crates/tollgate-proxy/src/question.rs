//! A call on its way: the client's bytes, read no further than each step needs, and written for each target that is asked.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use tollgate_dialects::{
    Call, CallForm, Edits, Head, HeadLimits, ModelEdit, ReadError, read_call, write_call_in,
};
use tollgate_domain::{Dialect, Endpoint, Limits, StreamUsage, Task};
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
    },
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Question {
    /// What the client speaks.
    pub(crate) dialect: Dialect,
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
    ) -> Self {
        Self {
            dialect,
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
        let task = self.route.route.task;
        let provider = lane.provider();
        let endpoint =
            lane.endpoint(task, self.dialect)
                .cloned()
                .ok_or_else(|| Refusal::NotServed {
                    target: lane.name().to_string(),
                    task: task.as_str(),
                })?;
        let model = provider.quirks.model_in_body.then(|| lane.model().as_ref());
        let ask_usage = self.head.stream && provider.quirks.stream_usage == StreamUsage::Ask;
        if endpoint.dialect == self.dialect {
            let edits = Edits {
                model: match (model, endpoint.dialect) {
                    (_, Dialect::MlflowServing) => ModelEdit::Keep,
                    (Some(model), _) => ModelEdit::Set(model),
                    (None, _) => ModelEdit::Remove,
                },
                defaults: &[&self.route.route.params, &provider.params],
                ask_usage,
            };
            return Ok(Outgoing {
                body: edits.apply(&self.head, &self.body),
                passes: Passes::Through,
                dropped: Vec::new(),
                streams: self.head.stream && !matches!(task, Task::Predict | Task::Rerank),
                endpoint,
            });
        }
        let form = CallForm {
            dialect: endpoint.dialect,
            model,
            stream_usage: provider.quirks.stream_usage,
            chat_input: provider.quirks.chat_input,
            drop_unsupported: self.route.route.drop_unsupported,
        };
        let call = self.read_with_defaults(&provider.params)?;
        let accent = &provider.quirks.accent;
        let written =
            write_call_in(accent, &call, &form).map_err(|unsupported| Refusal::Unsupported {
                fields: unsupported.fields,
                target: lane.name().to_string(),
            })?;
        Ok(Outgoing {
            body: self.with_other_defaults(&endpoint, written.body, &provider.params, limits)?,
            passes: Passes::Translated,
            dropped: written.dropped,
            streams: self.head.stream && endpoint.dialect != Dialect::MlflowServing,
            endpoint,
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

    /// Sets defaults for the fields that only the provider's dialect knows.
    fn with_other_defaults(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        params: &Map<String, Value>,
        limits: &Limits,
    ) -> Result<Bytes, Refusal> {
        let route = pick(&self.route.route.params, |name| {
            !COMMON_FIELDS.contains(&name)
        });
        let provider = pick(params, |name| !COMMON_FIELDS.contains(&name));
        if route.is_empty() && provider.is_empty() || endpoint.dialect == Dialect::MlflowServing {
            return Ok(body);
        }
        let head = scan(endpoint.dialect, &body, limits)?;
        let edits = Edits {
            model: ModelEdit::Keep,
            defaults: &[&route, &provider],
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
