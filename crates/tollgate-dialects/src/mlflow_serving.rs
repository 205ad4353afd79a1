//! MLflow's scoring server: `POST /invocations` (MLflow 3.17, `mlflow.pyfunc.scoring_server`).
//!
//! A chat passes in OpenAI's form, and a chat model answers in it; everything else is `inputs` in and `predictions` out.
//! Models do not stream.

mod answer;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamUsage};

pub(crate) use answer::{read_answer, read_answer_to, write_answer};

use crate::{
    Call, CallForm, ChatCall, CompletionCall, EmbeddingCall, EmbeddingInput, Field, Gaps, PartKind,
    PromptInput, ReadError, Role, Unsupported, Written,
    json::put,
    openai_chat::{self, to_bytes},
    openai_completions, openai_embeddings,
};

/// Fields of a call that the address or the way of answering stands for.
const STOOD_FOR: [&str; 3] = ["model", "stream", "stream_options"];

/// Reads a client's call: a score, whatever it holds.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(Call::Predict(value)),
        Ok(_) => Err(ReadError::shape("body", "is not a JSON object")),
        Err(error) => Err(ReadError::Json(error.to_string())),
    }
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    match call {
        Call::Chat(chat) => match form.chat_input {
            ChatInput::Messages => write_chat(call, form),
            ChatInput::Text => write_chat_as_text(call, chat, form),
        },
        Call::Completion(completion) => write_completion(call, completion, form),
        Call::Embedding(embedding) => write_embedding(call, embedding, form),
        Call::Rerank(_) => Err(Unsupported::call(call)),
        Call::Predict(value) => Ok(Written {
            body: to_bytes(value),
            dropped: Vec::new(),
        }),
    }
}

/// OpenAI's form, as MLflow's chat models take it.
fn write_chat(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let (body, dropped) = in_openais_form(call, form, openai_chat::write_call)?;
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped,
    })
}

/// The one text of a chat, for a model that is no chat model.
fn write_chat_as_text(
    call: &Call,
    chat: &ChatCall,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let text = only_text(chat).ok_or_else(|| Unsupported::field("messages"))?;
    let (mut params, mut dropped) = in_openais_form(call, form, openai_chat::write_call)?;
    params.shift_remove("messages");
    let mut gaps = Gaps::new(call.dialect(), Dialect::MlflowServing);
    for (field, name) in [
        (Field::Tools, "tools"),
        (Field::ToolChoice, "tool_choice"),
        (Field::ParallelToolCalls, "parallel_tool_calls"),
        (Field::ResponseFormat, "response_format"),
    ] {
        if params.shift_remove(name).is_some() {
            gaps.left_out(field);
        }
    }
    dropped.append(&mut gaps.judge(form.drop_unsupported)?);
    let body = write_inputs(json!([text]), params);
    Ok(Written { body, dropped })
}

/// What the user says, where nobody says anything else.
fn only_text(chat: &ChatCall) -> Option<&str> {
    let [message] = chat.messages.as_slice() else {
        return None;
    };
    match (message.role, message.content.as_slice()) {
        (Role::User, [part]) => match &part.kind {
            PartKind::Text { text, .. } => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn write_completion(
    call: &Call,
    completion: &CompletionCall,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let inputs = match &completion.prompt {
        PromptInput::Text(text) => json!([text]),
        PromptInput::Texts(texts) => json!(texts),
        PromptInput::Tokens(_) => return Err(Unsupported::field("prompt")),
    };
    let (mut params, dropped) = in_openais_form(call, form, openai_completions::write_call)?;
    params.shift_remove("prompt");
    let body = write_inputs(inputs, params);
    Ok(Written { body, dropped })
}

fn write_embedding(
    call: &Call,
    embedding: &EmbeddingCall,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let inputs = match &embedding.input {
        EmbeddingInput::Text(text) => json!([text]),
        EmbeddingInput::Texts(texts) => json!(texts),
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    let (mut params, dropped) = in_openais_form(call, form, openai_embeddings::write_call)?;
    params.shift_remove("input");
    // The gateway writes the vectors in the form that was asked for.
    params.shift_remove("encoding_format");
    let body = write_inputs(inputs, params);
    Ok(Written { body, dropped })
}

/// A call in OpenAI's form, and what was dropped from it.
fn in_openais_form(
    call: &Call,
    form: &CallForm<'_>,
    write: impl Fn(&Call, &CallForm<'_>) -> Result<Written, Unsupported>,
) -> Result<(Map<String, Value>, Vec<String>), Unsupported> {
    let form = CallForm {
        model: None,
        stream_usage: StreamUsage::Unasked,
        ..*form
    };
    let Written { body, dropped } = write(call, &form)?;
    let mut body: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    for name in STOOD_FOR {
        body.shift_remove(name);
    }
    if let Some(cap) = body.shift_remove("max_completion_tokens") {
        body.insert("max_tokens".to_owned(), cap);
    }
    Ok((body, dropped))
}

fn write_inputs(inputs: Value, params: Map<String, Value>) -> Bytes {
    let mut body = Map::new();
    put(&mut body, "inputs", Some(inputs));
    put(&mut body, "params", (!params.is_empty()).then_some(params));
    to_bytes(&Value::Object(body))
}

#[cfg(test)]
mod tests;
