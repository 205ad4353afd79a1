//! Whole answers: OpenAI's form, or `predictions`.

use bytes::Bytes;
use serde_json::{Map, Value};
use tollgate_domain::{Dialect, Task};

use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, EmbeddingAnswer, Extra, Part, ReadError, Stop,
    StopReason, Vector, cohere_rerank,
    openai_chat::{self, to_bytes},
    openai_embeddings,
};

/// Where models put the text of a prediction.
const TEXT_FIELDS: [&str; 6] = [
    "text",
    "content",
    "generated_text",
    "output",
    "message",
    "candidates",
];

/// Reads a score.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    read_answer_to(Task::Predict, body)
}

/// Reads a provider's whole answer to a task.
pub(crate) fn read_answer_to(task: Task, body: &[u8]) -> Result<Answer, ReadError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    match task {
        Task::Predict => Ok(Answer::Predict(value)),
        Task::Chat | Task::Completions if value["choices"].is_array() => {
            openai_chat::read_answer(body)
        }
        Task::Chat | Task::Completions => read_texts(&value),
        Task::Embeddings if value["data"].is_array() => openai_embeddings::read_answer(body),
        Task::Embeddings => read_vectors(&value),
        Task::Rerank
        | Task::Images
        | Task::Speech
        | Task::Transcriptions
        | Task::Moderations
        | Task::Realtime
        | Task::Http => Err(ReadError::shape("predictions", "are no answer to this")),
    }
}

fn read_texts(value: &Value) -> Result<Answer, ReadError> {
    let choice = |(index, prediction): (usize, &Value)| {
        let text = text_of(prediction).ok_or_else(|| problem(index, "is not a text"))?;
        Ok(AnswerChoice {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            content: vec![Part::text(text)],
            stop: Some(Stop::new(StopReason::EndTurn)),
            logprobs: None,
            extra: Map::new(),
        })
    };
    let choices = predictions(value)?.into_iter().enumerate().map(choice);
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: String::new(),
        model: String::new(),
        created: None,
        choices: choices.collect::<Result<_, _>>()?,
        usage: None,
        service_tier: None,
        extra: Extra::new(Dialect::MlflowServing),
    })))
}

/// `predictions`: a list, one value, or an object that holds `candidates`.
fn predictions(value: &Value) -> Result<Vec<&Value>, ReadError> {
    match &value["predictions"] {
        Value::Null => Err(ReadError::shape("predictions", "is missing")),
        Value::Array(list) => Ok(list.iter().collect()),
        single => Ok(match single["candidates"].as_array() {
            Some(candidates) => candidates.iter().collect(),
            None => vec![single],
        }),
    }
}

/// The text of a prediction, in the forms that MLflow's own flavours give.
fn text_of(prediction: &Value) -> Option<&str> {
    match prediction {
        Value::String(text) => Some(text),
        Value::Array(parts) => text_of(parts.first()?),
        Value::Object(members) => TEXT_FIELDS
            .iter()
            .find_map(|name| text_of(members.get(*name)?)),
        _ => None,
    }
}

fn read_vectors(value: &Value) -> Result<Answer, ReadError> {
    let vector = |(index, prediction): (usize, &Value)| {
        let numbers = prediction
            .as_array()
            .or_else(|| prediction["embedding"].as_array());
        numbers
            .and_then(|numbers| numbers.iter().map(Value::as_f64).collect())
            .map(Vector::Floats)
            .ok_or_else(|| problem(index, "is not a list of numbers"))
    };
    let vectors = predictions(value)?.into_iter().enumerate().map(vector);
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors: vectors.collect::<Result<_, _>>()?,
        usage: None,
        extra: Extra::new(Dialect::MlflowServing),
    })))
}

fn problem(index: usize, problem: &str) -> ReadError {
    ReadError::shape(format!("predictions[{index}]"), problem)
}

/// Writes a whole answer for a client that scores.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Predict(value) => to_bytes(value),
        Answer::Chat(_) => openai_chat::write_answer(answer, form),
        Answer::Embedding(_) => openai_embeddings::write_answer(answer, form),
        Answer::Rerank(_) => cohere_rerank::write_answer(answer, form),
    }
}
