//! Cohere's embeddings: `POST /v2/embed` (<https://docs.cohere.com/reference/embed>, read 2026-11).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Usage};

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra,
    Field, Gaps, ReadError, Unsupported, Vector, Written,
    cohere_chat::{read_usage, write_usage},
    fields::Place,
    json::{Fields, put},
    openai_chat::{self, to_bytes},
    openai_embeddings::{floats, read_numbers, to_base64},
};

/// What stands for a purpose that was not told: Cohere wants one.
const INPUT_TYPE: &str = "search_document";

/// Types of vectors that our form holds, in the order in which they are believed.
const TYPES: [&str; 2] = ["float", "base64"];

/// What its predecessor has as well.
const OLD_FIELDS: [&str; 2] = ["images", "embedding_types"];

/// Both versions.
const VERSIONS: [Dialect; 2] = [Dialect::CohereEmbeddings, Dialect::CohereOldEmbeddings];

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let call = EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input: read_input(&mut fields)?,
        dimensions: fields.count("output_dimension")?,
        encoding_format: read_type(&mut fields),
        input_type: fields.text("input_type")?,
        truncate: fields.text("truncate")?,
        user: None,
        extra: Extra {
            dialect: Dialect::CohereEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Call::Embedding(Box::new(call)))
}

/// Takes `texts`, or `inputs` that are nothing else. Pictures stay where they are.
fn read_input(fields: &mut Fields) -> Result<EmbeddingInput, ReadError> {
    if fields.peek("texts").is_some() {
        return Ok(EmbeddingInput::Texts(fields.texts("texts")?));
    }
    if let Some(texts) = fields.peek("inputs").and_then(texts_of) {
        drop(fields.any("inputs"));
        return Ok(EmbeddingInput::Texts(texts));
    }
    if fields.peek("images").is_none() && fields.peek("inputs").is_none() {
        return Err(fields.error("texts", "is missing; it must be a list of texts"));
    }
    Ok(EmbeddingInput::Texts(Vec::new()))
}

/// The texts of `inputs` where each of them is one text.
fn texts_of(inputs: &Value) -> Option<Vec<String>> {
    let inputs = inputs.as_array()?.iter();
    inputs
        .map(|input| match input["content"].as_array()?.as_slice() {
            [part] if part["type"] == "text" => part["text"].as_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

/// Takes `embedding_types` where it is one that our form has; others stay where they are.
pub(crate) fn read_type(fields: &mut Fields) -> Option<String> {
    let types = fields.peek("embedding_types")?.as_array()?;
    let known = match types.as_slice() {
        [one] => TYPES.into_iter().find(|known| one == known)?.to_owned(),
        _ => return None,
    };
    drop(fields.any("embedding_types"));
    Some(known)
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    write_call_of(Dialect::CohereEmbeddings, call, form)
}

/// Writes a call in one of the versions. The older one makes floats unless it is told otherwise, and no shorter vectors.
pub(crate) fn write_call_of(
    to: Dialect,
    call: &Call,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let own = from == to;
    let is_old = to == Dialect::CohereOldEmbeddings;
    let Call::Embedding(call) = call else {
        return Err(Unsupported::call(call));
    };
    let mut gaps = Gaps::new(from, to);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    let texts = match &call.input {
        EmbeddingInput::Text(text) => vec![text.clone()],
        EmbeddingInput::Texts(texts) => texts.clone(),
        EmbeddingInput::Tokens(_) => {
            gaps.left_out(Field::InputTokens);
            Vec::new()
        }
    };
    // Pictures come without texts.
    let has_pictures = ["images", "inputs"]
        .iter()
        .any(|name| call.extra.fields.contains_key(*name));
    let is_cohere = VERSIONS.contains(&from);
    let is_left_out = is_cohere && has_pictures && texts.is_empty();
    put(&mut body, "texts", (!is_left_out).then_some(texts));
    let otherwise = (!own).then_some(INPUT_TYPE);
    put(
        &mut body,
        "input_type",
        call.input_type.as_deref().or(otherwise),
    );
    // Every model makes floats, and the gateway writes them as they are asked for.
    let wanted = call.encoding_format.as_deref().filter(|_| own);
    let wanted = wanted.or((!own && !is_old).then_some("float"));
    put(
        &mut body,
        "embedding_types",
        wanted.map(|wanted| vec![wanted]),
    );
    if is_old && call.dimensions.is_some() {
        gaps.left_out(Field::Dimensions);
    } else {
        put(&mut body, "output_dimension", call.dimensions);
    }
    put(&mut body, "truncate", call.truncate.clone());
    if call.user.is_some() {
        gaps.left_out(Field::User);
    }
    for (name, value) in &call.extra.fields {
        if own || is_cohere && OLD_FIELDS.contains(&name.as_str()) {
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

/// Reads a provider's answer. Vectors of other types stay where they are.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let vectors = match fields.any("embeddings") {
        // As it was before there were types.
        Some(list @ Value::Array(_)) => read_vectors(list)?,
        Some(Value::Object(mut types)) => {
            types.retain(|_, list| !list.is_null());
            let known = TYPES.iter().find_map(|known| types.shift_remove(*known));
            let vectors = known.map(read_vectors).transpose()?;
            if !types.is_empty() {
                fields.leave("embeddings", Value::Object(types));
            }
            vectors.unwrap_or_default()
        }
        _ => return Err(fields.error("embeddings", "is missing; it must hold vectors by type")),
    };
    let usage = fields.peek("meta").and_then(read_usage);
    drop(fields.any("response_type"));
    let answer = EmbeddingAnswer {
        model: String::new(),
        vectors,
        usage,
        extra: Extra {
            dialect: Dialect::CohereEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Answer::Embedding(Box::new(answer)))
}

/// What an answer tells of usage, read without its vectors.
///
/// # Errors
/// When the body is not a JSON object.
pub(crate) fn read_usage_of(body: &[u8]) -> Result<Option<Usage>, ReadError> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        meta: Value,
    }
    let told: Meta =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    Ok(read_usage(&told.meta))
}

fn read_vectors(list: Value) -> Result<Vec<Vector>, ReadError> {
    const PATH: &str = "embeddings";
    let Value::Array(vectors) = list else {
        return Err(ReadError::shape(PATH, "must hold lists of vectors"));
    };
    vectors
        .into_iter()
        .map(|vector| match vector {
            Value::String(base64) => Ok(Vector::Base64(base64)),
            Value::Array(numbers) => read_numbers(&numbers)
                .ok_or_else(|| ReadError::shape(PATH, "must hold numbers only")),
            _ => Err(ReadError::shape(
                PATH,
                "must hold lists of numbers, or base64",
            )),
        })
        .collect()
}

/// Writes an answer for a client, in the type that it asked for.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        return openai_chat::write_answer(answer, form);
    };
    let mut written = Map::new();
    put(&mut written, "id", Some(form.fallback_id));
    put(&mut written, "embeddings", Some(by_type(answer, form)));
    put(&mut written, "meta", Some(write_meta(answer, "2")));
    put(&mut written, "response_type", Some("embeddings_by_type"));
    add_own(&mut written, answer, Dialect::CohereEmbeddings);
    to_bytes(&Value::Object(written))
}

/// Adds what only this version told, but for its vectors.
pub(crate) fn add_own(
    written: &mut Map<String, Value>,
    answer: &EmbeddingAnswer,
    version: Dialect,
) {
    if answer.extra.dialect == version {
        let extra = answer.extra.fields.iter();
        let extra = extra.filter(|(name, _)| *name != "embeddings");
        written.extend(extra.map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// The vectors by the type that the client asked for, and those of Cohere's own types.
pub(crate) fn by_type(answer: &EmbeddingAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let (name, write): (_, fn(&Vector) -> Value) = if form.base64_vectors {
        ("base64", to_base64)
    } else {
        ("float", floats)
    };
    let mut types = Map::new();
    let vectors: Vec<Value> = answer.vectors.iter().map(write).collect();
    put(&mut types, name, Some(vectors));
    let is_own = VERSIONS.contains(&answer.extra.dialect);
    if let Some(Value::Object(others)) = answer.extra.fields.get("embeddings")
        && is_own
    {
        types.extend(others.clone());
    }
    types
}

/// What an answer tells besides, of this version of the API.
pub(crate) fn write_meta(answer: &EmbeddingAnswer, version: &str) -> Map<String, Value> {
    let mut meta = Map::new();
    put(&mut meta, "api_version", Some(json!({"version": version})));
    meta.extend(answer.usage.as_ref().map(write_usage).unwrap_or_default());
    meta
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;

    const OWN: Dialect = Dialect::CohereEmbeddings;
    const OPENAI: Dialect = Dialect::OpenaiEmbeddings;

    fn translated(
        from: Dialect,
        to: Dialect,
        body: &Value,
    ) -> Result<(Value, Vec<String>), Vec<String>> {
        let call = crate::read_call(from, body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: to,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = crate::write_call(&call, &form).map_err(|unsupported| unsupported.fields)?;
        Ok((
            serde_json::from_slice(&written.body).unwrap(),
            written.dropped,
        ))
    }

    fn form(base64_vectors: bool) -> AnswerForm<'static> {
        AnswerForm {
            dialect: OWN,
            fallback_id: "id",
            fallback_model: "m",
            created: 0,
            include_usage: true,
            base64_vectors,
            asked: &[],
            kept: false,
        }
    }

    #[test]
    fn texts_go_there_and_back() {
        let openai = json!({"model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64"});
        let cohere = json!({"model": "m", "texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 256});
        assert_eq!(
            translated(OPENAI, OWN, &openai),
            Ok((cohere.clone(), Vec::new()))
        );
        let back = json!({"model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "float"});
        let named = vec!["input_type".to_owned()];
        assert_eq!(translated(OWN, OPENAI, &cohere), Ok((back, named)));
        assert_eq!(translated(OWN, OWN, &cohere), Ok((cohere, Vec::new())));
        let none = json!({"model": "m", "texts": [], "input_type": "clustering"});
        assert_eq!(translated(OWN, OWN, &none), Ok((none, Vec::new())));
    }

    #[test]
    fn what_only_cohere_makes_is_refused_elsewhere() {
        let picture = json!({"model": "m", "images": ["data:image/png;base64,AAAA"], "input_type": "image", "embedding_types": ["float"]});
        let small = json!({"model": "m", "texts": ["a"], "input_type": "clustering", "embedding_types": ["float", "int8"]});
        for (body, field) in [(&picture, "images"), (&small, "embedding_types")] {
            assert_eq!(translated(OWN, OPENAI, body), Err(vec![field.to_owned()]));
            assert_eq!(translated(OWN, OWN, body).unwrap().0, *body);
        }
        let tokens = json!({"model": "m", "input": [1, 2]});
        assert_eq!(
            translated(OPENAI, OWN, &tokens),
            Err(vec!["input".to_owned()])
        );
    }

    #[test]
    fn inputs_of_texts_alone_are_texts() {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        let body =
            json!({"model": "m", "input_type": "clustering", "inputs": [text("a"), text("b")]});
        let (written, _) = translated(OWN, OPENAI, &body).unwrap();
        assert_eq!(written["input"], json!(["a", "b"]));
    }

    #[test]
    fn vectors_come_in_the_type_that_was_asked_for() {
        let body = json!({"id": "1", "embeddings": {"float": [[0.5, -1.0]], "int8": [[1, 2]]}, "meta": {"billed_units": {"input_tokens": 3}}});
        let answer = read_answer(body.to_string().as_bytes()).unwrap();
        let written = |base64| -> Value {
            serde_json::from_slice(&write_answer(&answer, &form(base64))).unwrap()
        };
        assert_eq!(written(false)["embeddings"], body["embeddings"]);
        assert_eq!(
            written(true)["embeddings"]["base64"],
            json!(["AAAAPwAAgL8="])
        );
        assert_eq!(
            written(false)["meta"]["billed_units"],
            json!({"input_tokens": 3})
        );
        let others = json!({"id": "1", "embeddings": {"int8": [[1, 2]]}});
        assert!(read_answer(others.to_string().as_bytes()).is_ok());
        assert!(read_answer(br#"{"id": "1"}"#).is_err());
    }
}
