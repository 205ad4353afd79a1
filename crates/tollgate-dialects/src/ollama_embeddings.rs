//! Ollama's embeddings: `POST /api/embed` (<https://docs.ollama.com/api/embed>, read 2026-11).

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra,
    Field, Gaps, ReadError, Unsupported, Vector, Written,
    fields::Place,
    json::{Fields, put},
    ollama_chat::{self, read_metrics},
    openai_chat::to_bytes,
    openai_embeddings::floats,
};

/// Cohere's words for what is done with a text that is too long; here it is cut at its end, or not.
const CUT: &str = "END";
const NOT_CUT: &str = "NONE";

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let input = match fields.peek("input") {
        Some(Value::String(_)) => EmbeddingInput::Text(fields.required_text("input")?),
        Some(Value::Array(_)) => EmbeddingInput::Texts(fields.texts("input")?),
        _ => return Err(fields.error("input", "must be a text or a list of texts")),
    };
    let truncate = fields.flag("truncate")?;
    let call = EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input,
        dimensions: fields.count("dimensions")?,
        encoding_format: None,
        input_type: None,
        truncate: truncate.map(|cut| if cut { CUT } else { NOT_CUT }.to_owned()),
        user: None,
        extra: Extra {
            dialect: Dialect::OllamaEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Call::Embedding(Box::new(call)))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let call = match call {
        Call::Embedding(call) => call,
        other => return Err(Unsupported::call(other)),
    };
    // Its predecessor has the other fields in common with it.
    let own = matches!(
        from,
        Dialect::OllamaEmbeddings | Dialect::OllamaOldEmbeddings
    );
    let mut gaps = Gaps::new(from, Dialect::OllamaEmbeddings);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    let input = match &call.input {
        EmbeddingInput::Text(text) => json!(text),
        EmbeddingInput::Texts(texts) => json!(texts),
        // Nothing could stand for them.
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    put(&mut body, "input", Some(input));
    put(&mut body, "dimensions", call.dimensions);
    match call.truncate.as_deref() {
        None => {}
        Some(CUT) => put(&mut body, "truncate", Some(true)),
        Some(NOT_CUT) => put(&mut body, "truncate", Some(false)),
        Some(_) => gaps.left_out(Field::Truncate),
    }
    for (field, is_set) in [
        (Field::InputType, call.input_type.is_some()),
        (Field::EncodingFormat, call.encoding_format.is_some()),
        (Field::User, call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for (name, value) in &call.extra.fields {
        if own {
            body.insert(name.clone(), value.clone());
        } else {
            gaps.left_out_extra(Place::Body, name);
        }
    }
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if let Some(error) = fields.any("error") {
        let message = error.as_str().unwrap_or("the provider reports an error");
        return Err(fields.error("error", message));
    }
    if fields.peek("embeddings").is_none() {
        return Err(fields.error("embeddings", "is missing; it must be a list of vectors"));
    }
    let vector = |(index, value): (usize, Value)| {
        let numbers = value.as_array();
        let numbers = numbers.and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.map(Vector::Floats).ok_or_else(|| {
            ReadError::shape(format!("embeddings[{index}]"), "must be a list of numbers")
        })
    };
    let vectors = fields.list("embeddings")?.into_iter().enumerate();
    let answer = EmbeddingAnswer {
        vectors: vectors.map(vector).collect::<Result<_, _>>()?,
        model: match fields.any("model") {
            Some(Value::String(model)) => model,
            _ => String::new(),
        },
        usage: read_metrics(&mut fields),
        extra: Extra {
            dialect: Dialect::OllamaEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Answer::Embedding(Box::new(answer)))
}

/// Writes an answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        return ollama_chat::write_answer(answer, form);
    };
    let model = match answer.model.as_str() {
        "" => form.fallback_model,
        model => model,
    };
    let mut written = Map::new();
    put(&mut written, "model", Some(model));
    let vectors: Vec<Value> = answer.vectors.iter().map(floats).collect();
    put(&mut written, "embeddings", Some(vectors));
    if answer.extra.dialect == Dialect::OllamaEmbeddings {
        written.extend(answer.extra.fields.clone());
    }
    let tokens = answer.usage.and_then(|usage| usage.input_total());
    put(&mut written, "prompt_eval_count", tokens);
    to_bytes(&Value::Object(written))
}
