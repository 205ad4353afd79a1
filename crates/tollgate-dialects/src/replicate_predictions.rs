//! Replicate's predictions of language models: `POST /v1/predictions` (<https://replicate.com/docs/reference/http>, read 2026-11).
//! Spoken by providers only.
//!
//! A prediction is a job: the answer to its creation may say only that it has begun. What it says of itself is a [`Job`]; who
//! asks again until it is done is the gateway's affair.

mod stream;
mod write;

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::{Dialect, Usage};

pub(crate) use crate::openai_chat::write_answer;
pub(crate) use stream::StreamReader;
pub(crate) use write::write_call;

use crate::{
    Answer, AnswerChoice, Call, ChatAnswer, ChatCall, ErrorKind, Extra, Message, Part,
    ProviderError, ReadError, Role, json::Fields,
};

/// What comes between the texts of `stop_sequences`.
const STOPS_APART: &str = ",";

/// How far a prediction has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Under this id it is asked for again.
    pub id: String,
    /// Where it stands.
    pub state: JobState,
    /// Where its output can be heard as it comes; none where the model does not stream.
    pub stream: Option<String>,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// It is not over yet.
    Running,
    /// It has succeeded: the body is the answer.
    Done,
    /// It has failed, or was ended by somebody.
    Failed(ProviderError),
}

#[derive(Deserialize)]
struct WireJob {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    urls: Option<WireUrls>,
}

#[derive(Deserialize)]
struct WireUrls {
    #[serde(default)]
    stream: Option<String>,
}

impl Job {
    /// Reads what a prediction says of itself.
    ///
    /// # Errors
    /// When the body is no prediction.
    pub fn read(body: &[u8]) -> Result<Self, ReadError> {
        let job: WireJob =
            serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
        let missing = |name| ReadError::shape(name, "is missing; it must be a text");
        let state = match job.status.ok_or_else(|| missing("status"))?.as_str() {
            "succeeded" | "successful" => JobState::Done,
            "starting" | "processing" | "queued" => JobState::Running,
            status => JobState::Failed(failure(status, job.error.as_ref())),
        };
        Ok(Self {
            id: job.id.ok_or_else(|| missing("id"))?,
            state,
            stream: job.urls.and_then(|urls| urls.stream),
        })
    }
}

/// What went wrong with a job (`failed`, `canceled`, `aborted`).
fn failure(status: &str, error: Option<&Value>) -> ProviderError {
    let said = error.and_then(Value::as_str).unwrap_or_default();
    let message = if said.is_empty() {
        format!("the prediction is `{status}`")
    } else {
        said.to_owned()
    };
    let kind = ErrorKind::Server;
    ProviderError {
        status: kind.status(),
        kind,
        message,
        code: Some(status.to_owned()),
        param: None,
        retry_after: None,
    }
}

// === calls ===

/// Reads a call as a client of this dialect would make it.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let model = fields.text("version")?.unwrap_or_default();
    let stream = fields.flag("stream")?.unwrap_or(false);
    let input = fields
        .any("input")
        .ok_or_else(|| fields.error("input", "is missing; it must be an object"))?;
    let mut input = Fields::of("input", input)?;
    let message = |role, text| Message {
        role,
        name: None,
        content: vec![Part::text(text)],
        extra: Map::new(),
    };
    let system = input.text("system_prompt")?;
    let system = system.filter(|text| !text.is_empty());
    let prompt = input.required_text("prompt")?;
    let stop = input.text("stop_sequences")?.unwrap_or_default();
    let stop = stop.split(STOPS_APART).filter(|stop| !stop.is_empty());
    let mut call = ChatCall {
        model,
        messages: system
            .map(|text| message(Role::System, text))
            .into_iter()
            .chain([message(Role::User, prompt)])
            .collect(),
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_tokens: input.count("max_tokens")?,
        temperature: input.number("temperature")?,
        top_p: input.number("top_p")?,
        top_k: input.count("top_k")?,
        frequency_penalty: input.number("frequency_penalty")?,
        presence_penalty: input.number("presence_penalty")?,
        seed: input.integer("seed")?,
        stop: stop.map(str::to_owned).collect(),
        n: None,
        logprobs: None,
        top_logprobs: None,
        response_format: None,
        reasoning: None,
        user: None,
        service_tier: None,
        stream,
        include_usage: true,
        extra: Extra::new(Dialect::ReplicatePredictions),
    };
    let rest = input.rest();
    if !rest.is_empty() {
        fields.leave("input", Value::Object(rest));
    }
    call.extra.fields = fields.rest();
    Ok(Call::Chat(Box::new(call)))
}

// === answers ===

/// Reads a prediction that has succeeded.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let text = match fields.any("output") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(pieces)) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Value::String(piece) => text.push_str(&piece),
                    other => text.push_str(&other.to_string()),
                }
            }
            text
        }
        Some(other) => other.to_string(),
    };
    let content = (!text.is_empty()).then(|| Part::text(text));
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: fields.text("id")?.unwrap_or_default(),
        model: fields.text("model")?.unwrap_or_default(),
        created: None,
        choices: vec![AnswerChoice {
            index: 0,
            content: content.into_iter().collect(),
            stop: None,
            logprobs: None,
            extra: Map::new(),
        }],
        usage: fields.any("metrics").as_ref().and_then(usage_in),
        service_tier: None,
        extra: Extra {
            dialect: Dialect::ReplicatePredictions,
            fields: fields.rest(),
        },
    })))
}

/// The tokens that `metrics` count; `None` where they count seconds only.
fn usage_in(metrics: &Value) -> Option<Usage> {
    let count = |name: &str| metrics[name].as_u64();
    let usage = Usage {
        input: count("input_token_count"),
        output: count("output_token_count"),
        ..Usage::default()
    };
    (usage.input.is_some() || usage.output.is_some()).then_some(usage)
}

#[cfg(test)]
mod tests;
