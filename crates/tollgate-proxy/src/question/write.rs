//! A call as it is written for one target: passed on but for a few fields, or translated. Where it goes is its endpoint's affair.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};
use tollgate_dialects::{
    Call, CallForm, Edits, Head, ModelEdit, enclose_call, enclose_count, has_others_proof,
    write_call, write_call_in,
};
use tollgate_domain::{
    BodyModel, ChatInput, Dialect, Documents, Endpoint, Envelope, Limits, Provider, StreamUsage,
    Task,
};
use tollgate_upstream::{Lane, with_operation};

use super::{
    Media, Question,
    endpoints::{aside, for_body, with_method},
    scan,
};
use crate::{
    address::Errand,
    plain::PlainRequest,
    refusal::Refusal,
    responses::{self, PREVIOUS},
    visit::ANTHROPIC_BETA,
};

/// Fields that mean the same in every client's dialect: defaults for them are set before a translation, all others after it, in the
/// provider's own words.
const COMMON_FIELDS: [&str; 3] = ["max_tokens", "temperature", "top_p"];

/// Fields of a call of responses that name what was stored before.
const STORED_STATE: [&str; 2] = [PREVIOUS, "conversation"];

/// An item of theirs that stands for a stored one, as the table calls it.
const STORED_ITEM: &str = "input.item_reference";

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
        let outgoing = self.write_bare(lane, limits)?;
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
    fn write_bare(&self, lane: &Lane, limits: &Limits) -> Result<Outgoing, Refusal> {
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
        if let Some(request) = &self.plain {
            return self.write_plain_for(request, lane, endpoint);
        }
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
        self.check_state(lane)?;
        self.translate_for(lane, endpoint, limits)
    }

    /// Nobody but a provider of the client's own dialect goes on from what is not here.
    fn check_state(&self, lane: &Lane) -> Result<(), Refusal> {
        let Some(field) = self.stored_state() else {
            return Ok(());
        };
        if self.previous_is_unknown
            && let Some(id) = self.text_of(PREVIOUS)
        {
            return Err(responses::unknown(&id));
        }
        let target = lane.name().to_string();
        Err(Refusal::StoredState { field, target })
    }

    /// The call in the words of another dialect.
    fn translate_for(
        &self,
        lane: &Lane,
        endpoint: Endpoint,
        limits: &Limits,
    ) -> Result<Outgoing, Refusal> {
        let provider = lane.provider();
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
        let named = match endpoint.dialect {
            Dialect::GeminiEmbeddings => model_name(lane),
            _ => String::new(),
        };
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

    /// A request that goes on as it is, to the same place below the provider's address.
    fn write_plain_for(
        &self,
        request: &PlainRequest,
        lane: &Lane,
        endpoint: Endpoint,
    ) -> Result<Outgoing, Refusal> {
        let uri = request
            .address(&endpoint.uri, &lane.provider().auth)
            .ok_or(Refusal::PathLeadsBack)?;
        Ok(Outgoing {
            body: self.body.clone(),
            endpoint: Endpoint { uri, ..endpoint },
            passes: Passes::Through,
            dropped: Vec::new(),
            streams: false,
        })
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

    /// A field that holds a text.
    fn text_of(&self, name: &str) -> Option<String> {
        let range = self.head.field(name)?;
        serde_json::from_slice(&self.body[range]).ok()
    }

    /// The field by which the call goes on from what was stored before.
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

fn pick(fields: &Map<String, Value>, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
