//! A call on its way: the client's bytes, read no further than each step needs, and written for each target that is asked.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Uri};
use serde_json::{Map, Value};
use tollgate_dialects::{
    Answer, Call, CallForm, Edits, Form, Head, HeadLimits, ModelEdit, ReadError, enclose_call,
    enclose_count, give_back, has_others_proof, read_call, write_call, write_call_in,
};
use tollgate_domain::{
    BodyModel, ChatInput, Dialect, Documents, Endpoint, Envelope, Framing, Limits, Provider,
    StreamUsage, Task,
};
use tollgate_upstream::{Lane, RequestBody, Rest, with_operation};

use crate::{
    estimate::Sample,
    paths::{COUNTING, What},
    picture::CompiledRoute,
    refusal::Refusal,
    responses::{self, Keeping, PREVIOUS},
    upload::Upload,
    visit::ANTHROPIC_BETA,
};

/// Fields that mean the same in every client's dialect: defaults for them are set before a translation, all others after it, in the
/// provider's own words.
const COMMON_FIELDS: [&str; 3] = ["max_tokens", "temperature", "top_p"];

/// Fields of a call of responses that name what was stored before.
const STORED_STATE: [&str; 2] = [PREVIOUS, "conversation"];

/// An item of theirs that stands for a stored one, as the table calls it.
const STORED_ITEM: &str = "input.item_reference";

/// How the addresses of Anthropic's models on Vertex AI end.
const PREDICTING: &str = ":rawPredict";

/// Where the name of the route is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Address<'a> {
    /// In the body's `model`.
    Body(Dialect),
    /// In the body's `model`, of a call that asks something about a call.
    Side {
        /// What the client speaks.
        dialect: Dialect,
        /// What comes after the dialect's own path.
        side: &'static str,
    },
    /// In the path; the route's task tells the dialect.
    Path(&'a str),
    /// In the body's `model`, or in that of a form.
    Media {
        /// What is asked for.
        task: Task,
        /// The last part of the address.
        operation: &'static str,
    },
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

impl<'a> Address<'a> {
    /// Of a call to a model; `None` of anything else. `name` is what a path names, decoded.
    pub(crate) fn of(what: &What<'a>, name: &'a str) -> Option<Self> {
        Some(match *what {
            What::CallByModel(dialect) => Self::Body(dialect),
            What::SideCall { dialect, side } => Self::Side { dialect, side },
            What::CallByName(_) => Self::Path(name),
            What::Media { task, operation } => Self::Media { task, operation },
            What::CallAt {
                dialect,
                name,
                stream,
            } => Self::Named {
                dialect,
                name,
                stream,
                errand: Errand::Answer,
            },
            What::CountTokens(name) => Self::Named {
                dialect: Dialect::GeminiGenerate,
                name,
                stream: Some(false),
                errand: Errand::CountTokens,
            },
            _ => return None,
        })
    }
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
    /// What comes after the dialect's own path, where something is asked about a call.
    side: Option<&'static str>,
    /// As the client sent it, or as the route's prompt made it anew.
    body: Bytes,
    route: Arc<CompiledRoute>,
    read: OnceLock<Call>,
    media: Option<Media>,
    /// What is kept once it is answered.
    keeping: Option<Keeping>,
    /// Nobody here knows the answer that it goes on from.
    previous_is_unknown: bool,
}

/// What a call for media has besides.
struct Media {
    /// The last part of the address.
    operation: &'static str,
    /// The beginning of a form; without one the body is JSON.
    form: Option<Form>,
    /// What the client is still sending of it.
    rest: Mutex<RestState>,
}

enum RestState {
    /// There is none.
    None,
    /// Nobody got it yet.
    Waiting(Rest),
    /// A provider got it, and no other can.
    Sent,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
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
            side: None,
            body,
            route,
            read: OnceLock::new(),
            media: None,
            keeping: None,
            previous_is_unknown: false,
        }
    }

    /// Takes in a call for media: its body, or the beginning of its form.
    pub(crate) fn media(
        operation: &'static str,
        head: Head,
        upload: Upload,
        route: Arc<CompiledRoute>,
    ) -> Self {
        let (form, rest) = upload.form.unzip();
        let rest = rest.flatten().map_or(RestState::None, RestState::Waiting);
        Self {
            media: Some(Media {
                operation,
                form,
                rest: Mutex::new(rest),
            }),
            ..Self::new(
                Dialect::OpenaiMedia,
                head,
                upload.bytes,
                route,
                Errand::Answer,
            )
        }
    }

    /// The body to send, with what the client is still sending of it.
    pub(crate) fn request_body(&self, bytes: Bytes) -> RequestBody {
        let Some(media) = &self.media else {
            return RequestBody::whole(bytes);
        };
        let mut rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *rest, RestState::None) {
            RestState::Waiting(waiting) => {
                *rest = RestState::Sent;
                RequestBody::beginning(bytes, waiting)
            }
            other => {
                *rest = other;
                RequestBody::whole(bytes)
            }
        }
    }

    /// Whether a part of the body went to a provider and is not there any more, so that no other can be asked.
    pub(crate) fn is_spent(&self) -> bool {
        self.media.as_ref().is_some_and(|media| {
            let rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(*rest, RestState::Sent)
        })
    }

    /// Asks something about the call, if that is what the path says.
    pub(crate) fn asking(self, side: Option<&'static str>) -> Self {
        Self { side, ..self }
    }

    /// What its tokens can be counted by later; of what has no tokens, nothing.
    pub(crate) fn sample(&self) -> Option<Sample> {
        let has_tokens = matches!(
            self.route.route.task,
            Task::Chat | Task::Completions | Task::Embeddings
        );
        (has_tokens && self.errand == Errand::Answer && self.side.is_none())
            .then(|| Sample::of(&self.body))
    }

    /// Bytes of its body; `None` for a form whose client does not say how long it is.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let Some(media) = &self.media else {
            return Some(self.body.len() as u64);
        };
        let known = media.form.as_ref().map_or(self.body.len(), Form::len) as u64;
        let rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rest {
            RestState::Waiting(rest) => Some(known + http_body::Body::size_hint(rest).exact()?),
            RestState::None | RestState::Sent => Some(known),
        }
    }

    /// Whether something is asked about the call, rather than an answer to it.
    pub(crate) fn is_aside(&self) -> bool {
        self.side.is_some()
    }

    /// Notes what is kept once it is answered.
    pub(crate) fn keep(&mut self, keeping: Keeping) {
        self.keeping = Some(keeping);
    }

    /// What is kept of its answer, where that is written here: a provider of the client's own dialect keeps its answers itself.
    pub(crate) fn keeping(&self, passes: Passes) -> Option<&Keeping> {
        self.keeping
            .as_ref()
            .filter(|_| passes == Passes::Translated)
    }

    /// Notes that nobody here knows the answer that it goes on from.
    pub(crate) fn previous_is_unknown(&mut self) {
        self.previous_is_unknown = true;
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

    /// Writes the call for one target. `forwarded` are the caller's headers that may go along.
    ///
    /// # Errors
    /// When the target cannot be asked this, or the body is not what the client's dialect wants.
    pub(crate) fn write_for(
        &self,
        lane: &Lane,
        forwarded: &HeaderMap,
        limits: &Limits,
    ) -> Result<Outgoing, Refusal> {
        let outgoing = self.write_plain(lane, limits)?;
        if outgoing.endpoint.envelope == Envelope::Plain {
            return Ok(outgoing);
        }
        let betas = forwarded.get_all(ANTHROPIC_BETA).iter();
        let betas: Vec<&str> = betas.filter_map(|value| value.to_str().ok()).collect();
        let head = scan(outgoing.endpoint.dialect, &outgoing.body, limits)?;
        let body = enclose_call(&head, &outgoing.body, &betas.join(","));
        let body = if self.is_aside() {
            enclose_count(&body)
        } else {
            body
        };
        Ok(Outgoing { body, ..outgoing })
    }

    /// Writes the call without an envelope.
    fn write_plain(&self, lane: &Lane, limits: &Limits) -> Result<Outgoing, Refusal> {
        if self.errand == Errand::CountTokens {
            return self.write_count_for(lane);
        }
        let task = self.route.route.task;
        let provider = lane.provider();
        let mut endpoint =
            lane.endpoint(task, self.dialect)
                .cloned()
                .ok_or_else(|| Refusal::NotServed {
                    target: lane.name().to_string(),
                    task: task.as_str(),
                })?;
        if let Some(media) = &self.media {
            return Ok(self.write_media_for(media, lane, endpoint));
        }
        if let Some(side) = self.side {
            endpoint = aside(endpoint, side)
                .filter(|endpoint| endpoint.dialect == self.dialect)
                .ok_or_else(|| Refusal::NotServed {
                    target: lane.name().to_string(),
                    task: side,
                })?;
        }
        if endpoint.dialect == self.dialect && !self.is_told_otherwise(provider) {
            return self.pass_to(lane, endpoint, limits);
        }
        if let Some(field) = self.stored_state() {
            if self.previous_is_unknown
                && let Some(id) = self.text_of(PREVIOUS)
            {
                return Err(responses::unknown(&id));
            }
            let target = lane.name().to_string();
            return Err(Refusal::StoredState { field, target });
        }
        let model = endpoint.model_in_body(lane.model());
        let form = CallForm {
            dialect: endpoint.dialect,
            model: match endpoint.dialect {
                // What is written depends on the model, whether the body names it or not.
                Dialect::AnthropicMessages
                | Dialect::GeminiGenerate
                | Dialect::BedrockConverse
                | Dialect::BedrockEmbeddings => Some(lane.model()),
                _ => model,
            },
            stream_usage: provider.quirks.stream_usage,
            chat_input: provider.quirks.chat_input,
            drop_unsupported: self.route.route.drop_unsupported,
        };
        let call = self.read_with_defaults(&provider.params)?;
        let refuse = |fields: Vec<String>| {
            let target = lane.name().to_string();
            match fields.iter().any(|field| field == STORED_ITEM) {
                true => Refusal::StoredState {
                    field: STORED_ITEM,
                    target,
                },
                false => Refusal::Unsupported { fields, target },
            }
        };
        let written = write_call_in(&provider.quirks.accent, &call, &form)
            .map_err(|unsupported| refuse(unsupported.fields))?;
        if written.dropped.iter().any(|field| field == STORED_ITEM) {
            return Err(refuse(written.dropped));
        }
        let body = self.with_other_defaults(&endpoint, written.body, provider, limits)?;
        let body = spelt(&endpoint, provider, body, limits)?;
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

    /// Whether a call for documents to be ranked has to be told otherwise, although the provider speaks the client's dialect.
    fn is_told_otherwise(&self, provider: &Provider) -> bool {
        let has = |name| self.head.field(name).is_some();
        let has_objects = || {
            let range = self.head.field("documents");
            range.is_some_and(|range| self.body[range].contains(&b'{'))
        };
        self.dialect == Dialect::CohereRerank
            && provider.quirks.accent.documents == Documents::Texts
            && (has("return_documents") || has("rank_fields") || has_objects())
    }

    /// Puts into an answer what the provider does not repeat of the call, and the client asked for.
    pub(crate) fn complete(&self, answer: &mut Answer) {
        if let (Some(Call::Rerank(call)), Answer::Rerank(answer)) = (self.read.get(), answer) {
            give_back(call, answer);
        }
    }

    /// The call as it came, but for the model and what the route and the provider set.
    fn pass_to(
        &self,
        lane: &Lane,
        endpoint: Endpoint,
        limits: &Limits,
    ) -> Result<Outgoing, Refusal> {
        let provider = lane.provider();
        let model = endpoint.model_in_body(lane.model());
        let (head, body, dropped) = self.own_body(model, limits)?;
        let named = model_name(lane);
        let fields = texts(endpoint.fields);
        let countable = self.countable(&endpoint);
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
            // What is asked about a call has no place for how to answer it.
            defaults: if self.is_aside() {
                &[&countable]
            } else {
                &[&self.route.route.params, &provider.params, &fields]
            },
            ask_usage: self.head.stream && provider.quirks.stream_usage == StreamUsage::Ask,
        };
        let is_streamable = !matches!(self.route.route.task, Task::Predict | Task::Rerank);
        let body = edits.apply(&head, &body);
        Ok(Outgoing {
            body: spelt(&endpoint, provider, body, limits)?,
            passes: Passes::Through,
            dropped,
            streams: self.head.stream && is_streamable,
            endpoint: for_body(endpoint, &self.head),
        })
    }

    /// What a call has to hold that something is asked about: what the endpoint's bodies have to. In an envelope it has to be one that
    /// could be answered, with room for more than thoughts.
    fn countable(&self, endpoint: &Endpoint) -> Map<String, Value> {
        if !self.is_aside() {
            return Map::new();
        }
        if endpoint.envelope == Envelope::Plain {
            return texts(endpoint.fields);
        }
        let thinking = self.head.field("thinking");
        let thinking = thinking
            .and_then(|range| serde_json::from_slice::<Value>(&self.body[range]).ok())
            .unwrap_or_default();
        let room = thinking["budget_tokens"].as_u64().unwrap_or(0);
        let mut countable = texts(endpoint.fields);
        let max_tokens = Value::from(room.saturating_add(1));
        countable.insert("max_tokens".to_owned(), max_tokens);
        countable
    }

    /// A call for pictures, speech and the like, which has one dialect only.
    fn write_media_for(&self, media: &Media, lane: &Lane, endpoint: Endpoint) -> Outgoing {
        let provider = lane.provider();
        let body = match &media.form {
            Some(form) => form.with_model(lane.model()),
            None => Edits {
                model: endpoint
                    .model_in_body(lane.model())
                    .map_or(ModelEdit::Remove, ModelEdit::Set),
                defaults: &[&self.route.route.params, &provider.params],
                ask_usage: false,
            }
            .apply(&self.head, &self.body),
        };
        Outgoing {
            body,
            endpoint: Endpoint {
                uri: with_operation(&endpoint.uri, media.operation),
                ..endpoint
            },
            passes: Passes::Through,
            dropped: Vec::new(),
            streams: false,
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

    /// The body for a target that speaks the client's dialect: as it is, unless it holds what only another provider takes back.
    fn own_body(
        &self,
        model: Option<&str>,
        limits: &Limits,
    ) -> Result<(Cow<'_, Head>, Bytes, Vec<String>), Refusal> {
        if !has_others_proof(self.dialect, &self.body) {
            return Ok((Cow::Borrowed(&self.head), self.body.clone(), Vec::new()));
        }
        let form = CallForm {
            dialect: self.dialect,
            model,
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: true,
        };
        let call = self.read_with_defaults(&Map::new())?;
        let written = write_call(&call, &form).map_err(|unsupported| Refusal::Unsupported {
            fields: unsupported.fields,
            target: self.dialect.as_str().to_owned(),
        })?;
        let head = scan(self.dialect, &written.body, limits)?;
        Ok((Cow::Owned(head), written.body, written.dropped))
    }

    /// The field by which the call goes on from what was stored before. A store of the gateway's own would be asked here.
    /// A field that holds a text.
    fn text_of(&self, name: &str) -> Option<String> {
        let range = self.head.field(name)?;
        serde_json::from_slice(&self.body[range]).ok()
    }

    fn stored_state(&self) -> Option<&'static str> {
        let is_set = |name: &&str| {
            let range = self.head.field(name);
            range.is_some_and(|range| &self.body[range] != b"null")
        };
        match self.dialect {
            Dialect::OpenaiResponses => STORED_STATE.into_iter().find(is_set),
            _ => None,
        }
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
            endpoint.model != BodyModel::Unnamed || endpoint.dialect != Dialect::AnthropicMessages;
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

/// A body as the provider spells it, where that is not as OpenAI does.
fn spelt(
    endpoint: &Endpoint,
    provider: &Provider,
    body: Bytes,
    limits: &Limits,
) -> Result<Bytes, Refusal> {
    let spelling = provider.quirks.accent.spelling;
    if spelling.is_empty() || endpoint.dialect != Dialect::OpenaiChat {
        return Ok(body);
    }
    Ok(scan(endpoint.dialect, &body, limits)?.spelt(spelling, &provider.params, &body))
}

/// The endpoint at which something about a call is asked.
///
/// Vertex AI counts at one address for all of Anthropic's models, and the body names the model
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens>, read 2026-11).
fn aside(mut endpoint: Endpoint, side: &str) -> Option<Endpoint> {
    let mut parts = endpoint.uri.clone().into_parts();
    let path = match endpoint.envelope {
        Envelope::Plain => match endpoint.uri.path().rsplit_once('/') {
            Some((models, last)) if last.ends_with(PREDICTING) => {
                endpoint.model = BodyModel::Asked;
                format!("{models}/count-tokens{PREDICTING}")
            }
            _ => format!("{}{side}", endpoint.uri.path()),
        },
        Envelope::Invocation if side == COUNTING => {
            let model = endpoint.uri.path().strip_suffix("/invoke")?;
            format!("{model}/count-tokens")
        }
        Envelope::Invocation => return None,
    };
    let query = endpoint.uri.query();
    let extended = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    parts.path_and_query = Some(extended.parse().ok()?);
    let uri = Uri::from_parts(parts).ok()?;
    Some(Endpoint {
        uri,
        stream_uri: None,
        ..endpoint
    })
}

/// What a task's own client speaks where the path does not say: MLflow's invocations.
pub(crate) fn dialect_of(task: Task) -> Dialect {
    match task {
        Task::Chat => Dialect::OpenaiChat,
        Task::Completions => Dialect::OpenaiCompletions,
        Task::Embeddings => Dialect::OpenaiEmbeddings,
        Task::Rerank => Dialect::CohereRerank,
        Task::Images | Task::Speech | Task::Transcriptions | Task::Moderations | Task::Realtime => {
            Dialect::OpenaiMedia
        }
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
