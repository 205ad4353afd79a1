//! OpenAI's embeddings: `POST /v1/embeddings`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Accent, Dialect};

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra,
    Field, Gaps, ReadError, Unsupported, Vector, Written,
    fields::Place,
    json::{Fields, put},
    openai_chat::{self, WireUsage, to_bytes},
};

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let call = EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input: read_input(&mut fields)?,
        dimensions: fields.count("dimensions")?,
        encoding_format: fields.text("encoding_format")?,
        user: fields.text("user")?,
        input_type: None,
        truncate: None,
        extra: Extra {
            dialect: Dialect::OpenaiEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Call::Embedding(Box::new(call)))
}

pub(crate) fn read_input(fields: &mut Fields) -> Result<EmbeddingInput, ReadError> {
    match fields.peek("input") {
        Some(Value::String(_)) => Ok(EmbeddingInput::Text(fields.required_text("input")?)),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            Ok(EmbeddingInput::Texts(fields.texts("input")?))
        }
        Some(Value::Array(list)) if list.iter().all(|item| item.is_u64() || item.is_array()) => Ok(
            EmbeddingInput::Tokens(fields.any("input").unwrap_or_default()),
        ),
        Some(_) => Err(fields.error("input", "must be a text, a list of texts, or tokens")),
        None => Err(fields.error(
            "input",
            "is missing; it must be a text, a list of texts, or tokens",
        )),
    }
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    write_call_in(&Accent::NONE, call, form)
}

/// Writes a call for a provider that may know what vectors are for.
pub(crate) fn write_call_in(
    accent: &Accent,
    call: &Call,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let call = match call {
        Call::Embedding(call) => call,
        other => return Err(Unsupported::call(other)),
    };
    let mut gaps = Gaps::new(from, Dialect::OpenaiEmbeddings);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    let input = match &call.input {
        EmbeddingInput::Text(text) => json!(text),
        EmbeddingInput::Texts(texts) => json!(texts),
        EmbeddingInput::Tokens(tokens) => tokens.clone(),
    };
    put(&mut body, "input", Some(input));
    put(&mut body, "dimensions", call.dimensions);
    put(&mut body, "encoding_format", call.encoding_format.clone());
    put(&mut body, "user", call.user.clone());
    let purpose = purpose(accent, call.input_type.as_deref());
    if let Some((field, word)) = purpose {
        put(&mut body, field, Some(word));
    }
    for (field, is_set) in [
        (
            Field::InputType,
            call.input_type.is_some() && purpose.is_none(),
        ),
        (Field::Truncate, call.truncate.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for (name, value) in &call.extra.fields {
        if from == Dialect::OpenaiEmbeddings {
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

/// What vectors are for, as a provider is told.
fn purpose(accent: &Accent, wanted: Option<&str>) -> Option<(&'static str, &'static str)> {
    let purpose = accent.purpose?;
    let mut words = purpose.words.iter();
    let (_, word) = words.find(|(ours, _)| Some(*ours) == wanted)?;
    Some((purpose.field, word))
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if !fields.peek("data").is_some_and(Value::is_array) {
        return Err(fields.error("data", "is missing; it must be a list of embeddings"));
    }
    let mut vectors = Vec::new();
    for (position, value) in fields.list("data")?.into_iter().enumerate() {
        let mut item = Fields::of(format!("data[{position}]"), value)?;
        let index = item
            .count("index")?
            .and_then(|index| usize::try_from(index).ok())
            .unwrap_or(position);
        vectors.push((index, read_vector(&mut item)?));
    }
    vectors.sort_by_key(|(index, _)| *index);
    drop(fields.any("object"));
    let answer = EmbeddingAnswer {
        model: fields
            .any("model")
            .and_then(|model| model.as_str().map(str::to_owned))
            .unwrap_or_default(),
        vectors: vectors.into_iter().map(|(_, vector)| vector).collect(),
        usage: fields.any("usage").and_then(|usage| {
            serde_json::from_value::<WireUsage>(usage)
                .ok()?
                .into_input_usage()
        }),
        extra: Extra {
            dialect: Dialect::OpenaiEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Answer::Embedding(Box::new(answer)))
}

fn read_vector(item: &mut Fields) -> Result<Vector, ReadError> {
    match item.any("embedding") {
        Some(Value::String(base64)) => Ok(Vector::Base64(base64)),
        Some(Value::Array(numbers)) => {
            read_numbers(&numbers).ok_or_else(|| item.error("embedding", "must hold numbers only"))
        }
        _ => Err(item.error("embedding", "must be a list of numbers, or base64")),
    }
}

/// A vector of numbers and nothing else.
pub(crate) fn read_numbers(numbers: &[Value]) -> Option<Vector> {
    let numbers: Option<Vec<f64>> = numbers.iter().map(Value::as_f64).collect();
    numbers.map(Vector::Floats)
}

/// Writes an answer for a client, in the encoding that it asked for.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        return openai_chat::write_answer(answer, form);
    };
    let embedding = |vector| {
        if form.base64_vectors {
            to_base64(vector)
        } else {
            floats(vector)
        }
    };
    let data = answer.vectors.iter().enumerate();
    let data = data.map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": embedding(vector)}));
    let model = if answer.model.is_empty() {
        form.fallback_model
    } else {
        &answer.model
    };
    let mut written = Map::new();
    put(&mut written, "object", Some("list"));
    put(&mut written, "data", Some(data.collect::<Vec<_>>()));
    put(&mut written, "model", Some(model));
    if let Some(usage) = &answer.usage {
        let tokens = usage.total().unwrap_or(0);
        put(
            &mut written,
            "usage",
            Some(
                json!({"prompt_tokens": usage.input_total().unwrap_or(tokens), "total_tokens": tokens}),
            ),
        );
    }
    if answer.extra.dialect == Dialect::OpenaiEmbeddings {
        written.extend(answer.extra.fields.clone());
    }
    to_bytes(&Value::Object(written))
}

pub(crate) fn to_base64(vector: &Vector) -> Value {
    match vector {
        Vector::Base64(base64) => json!(base64),
        Vector::Floats(numbers) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the encoding has f32, which is what models make"
            )]
            let bytes: Vec<u8> = numbers
                .iter()
                .flat_map(|number| (*number as f32).to_le_bytes())
                .collect();
            json!(STANDARD.encode(bytes))
        }
    }
}

/// Numbers. What cannot be decoded is left as it is, so that the client sees what the provider sent.
pub(crate) fn floats(vector: &Vector) -> Value {
    match vector {
        Vector::Floats(numbers) => json!(numbers),
        Vector::Base64(base64) => match STANDARD.decode(base64) {
            Ok(bytes) => json!(numbers_in(&bytes)),
            Err(_) => json!(base64),
        },
    }
}

/// The `f32`s of a vector.
fn numbers_in(bytes: &[u8]) -> Vec<f64> {
    let (numbers, _) = bytes.as_chunks();
    let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
    numbers.map(f64::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(base64_vectors: bool) -> AnswerForm<'static> {
        AnswerForm {
            dialect: Dialect::OpenaiEmbeddings,
            fallback_id: "",
            fallback_model: "m",
            created: 0,
            include_usage: false,
            base64_vectors,
            asked: &[],
            kept: false,
        }
    }

    fn written(answer: &Answer, base64_vectors: bool) -> Value {
        serde_json::from_slice(&write_answer(answer, &form(base64_vectors))).unwrap()
    }

    #[test]
    fn vectors_are_the_same_in_both_encodings() {
        // All are exact in f32, so that nothing may change on the way there and back.
        let numbers = json!([
            0.5,
            -1.25,
            0.0,
            3.4028234663852886e38,
            -0.006929283495992422
        ]);
        let body = json!({"data": [{"index": 0, "embedding": numbers}], "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}});
        let floats = read_answer(body.to_string().as_bytes()).unwrap();
        let base64 = read_answer(&write_answer(&floats, &form(true))).unwrap();
        assert_eq!(written(&floats, true), written(&base64, true));
        assert_eq!(written(&base64, false)["data"][0]["embedding"], numbers);
        assert_eq!(written(&base64, false)["usage"], body["usage"]);
    }

    #[test]
    fn vectors_come_in_the_order_of_their_inputs() {
        let body =
            json!({"data": [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.0]}]});
        let answer = read_answer(body.to_string().as_bytes()).unwrap();
        assert_eq!(
            written(&answer, false)["data"][0]["embedding"],
            json!([0.0])
        );
    }

    #[test]
    fn tokens_and_texts_are_told_apart() {
        let input = |input: Value| match read_call(
            json!({"model": "e", "input": input}).to_string().as_bytes(),
        ) {
            Ok(Call::Embedding(call)) => Ok(call.input),
            other => Err(other),
        };
        assert_eq!(
            input(json!(["a", "b"])).unwrap(),
            EmbeddingInput::Texts(vec!["a".into(), "b".into()])
        );
        assert_eq!(
            input(json!([[1, 2], [3]])).unwrap(),
            EmbeddingInput::Tokens(json!([[1, 2], [3]]))
        );
        assert!(input(json!([{"text": "a"}])).is_err());
    }
}
