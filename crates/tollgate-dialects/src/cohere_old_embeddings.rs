//! Cohere's older way to ask for vectors: `POST /v1/embed` (<https://docs.cohere.com/v1/reference/embed>, read 2026-11). Where no types of vectors are
//! asked for, answers hold a bare list of them.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingCall, EmbeddingInput, Extra, ReadError,
    Unsupported, Written,
    cohere_embeddings::{self, add_own, by_type, read_type, write_meta},
    json::{Fields, put},
    openai_chat::{self, to_bytes},
    openai_embeddings::floats,
};

/// What is looked at in a call once more when its answer is written.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    embedding_types: Option<Vec<String>>,
    #[serde(default)]
    texts: Option<Vec<String>>,
}

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let (has_texts, has_pictures) = (
        fields.peek("texts").is_some(),
        fields.peek("images").is_some(),
    );
    if !has_texts && !has_pictures {
        return Err(fields.error("texts", "is missing; it must be a list of texts"));
    }
    let texts = if has_texts {
        fields.texts("texts")?
    } else {
        Vec::new()
    };
    let call = EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input: EmbeddingInput::Texts(texts),
        dimensions: None,
        encoding_format: read_type(&mut fields),
        input_type: fields.text("input_type")?,
        truncate: fields.text("truncate")?,
        user: None,
        extra: Extra {
            dialect: Dialect::CohereOldEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Call::Embedding(Box::new(call)))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    cohere_embeddings::write_call_of(Dialect::CohereOldEmbeddings, call, form)
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut answer = cohere_embeddings::read_answer(body)?;
    if let Answer::Embedding(answer) = &mut answer {
        answer.extra.dialect = Dialect::CohereOldEmbeddings;
    }
    Ok(answer)
}

/// Writes an answer for a client: by type where it asked for types.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        return openai_chat::write_answer(answer, form);
    };
    let asked: Asked = serde_json::from_slice(form.asked).unwrap_or_default();
    let mut written = Map::new();
    put(&mut written, "id", Some(form.fallback_id));
    put(&mut written, "texts", Some(asked.texts.unwrap_or_default()));
    if asked.embedding_types.is_some() {
        put(&mut written, "embeddings", Some(by_type(answer, form)));
    } else {
        let vectors: Vec<Value> = answer.vectors.iter().map(floats).collect();
        put(&mut written, "embeddings", Some(vectors));
    }
    put(&mut written, "meta", Some(write_meta(answer, "1")));
    let kind = match asked.embedding_types {
        Some(_) => "embeddings_by_type",
        None => "embeddings_floats",
    };
    put(&mut written, "response_type", Some(kind));
    add_own(&mut written, answer, Dialect::CohereOldEmbeddings);
    to_bytes(&Value::Object(written))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;

    const OWN: Dialect = Dialect::CohereOldEmbeddings;
    const NEW: Dialect = Dialect::CohereEmbeddings;
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

    #[test]
    fn texts_go_to_the_newer_form_and_back() {
        let old =
            json!({"model": "m", "texts": ["a"], "input_type": "clustering", "truncate": "END"});
        let new = json!({"model": "m", "texts": ["a"], "input_type": "clustering", "embedding_types": ["float"], "truncate": "END"});
        assert_eq!(translated(OWN, NEW, &old), Ok((new.clone(), Vec::new())));
        assert_eq!(translated(NEW, OWN, &new), Ok((old.clone(), Vec::new())));
        assert_eq!(translated(OWN, OWN, &old), Ok((old, Vec::new())));
        let picture = json!({"model": "m", "images": ["data:image/png;base64,AAAA"], "input_type": "image", "embedding_types": ["int8"]});
        assert_eq!(translated(OWN, NEW, &picture).unwrap().0, picture);
        assert_eq!(translated(NEW, OWN, &picture).unwrap().0, picture);
        assert_eq!(
            translated(OWN, OPENAI, &picture),
            Err(vec!["images".to_owned(), "embedding_types".to_owned()])
        );
        let short = json!({"model": "m", "input": "a", "dimensions": 8});
        assert_eq!(
            translated(OPENAI, OWN, &short),
            Err(vec!["dimensions".to_owned()])
        );
    }

    #[test]
    fn vectors_stand_bare_unless_types_were_asked_for() {
        let body = json!({"id": "1", "embeddings": {"float": [[0.5, -1.0]]}, "meta": {"billed_units": {"input_tokens": 3}}});
        let answer = crate::read_answer(
            NEW,
            tollgate_domain::Task::Embeddings,
            body.to_string().as_bytes(),
        );
        let answer = answer.unwrap();
        let written = |asked: Value| -> Value {
            let asked = asked.to_string();
            let form = AnswerForm {
                dialect: OWN,
                fallback_id: "id",
                fallback_model: "m",
                created: 0,
                include_usage: true,
                base64_vectors: false,
                asked: asked.as_bytes(),
                kept: false,
            };
            serde_json::from_slice(&write_answer(&answer, &form)).unwrap()
        };
        let bare = written(json!({"texts": ["a"]}));
        assert_eq!(
            bare,
            json!({"id": "id", "texts": ["a"], "embeddings": [[0.5, -1.0]], "meta": {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 3}, "tokens": {"input_tokens": 3}}, "response_type": "embeddings_floats"})
        );
        let typed = written(json!({"texts": ["a"], "embedding_types": ["float"]}));
        assert_eq!(typed["embeddings"], json!({"float": [[0.5, -1.0]]}));
        assert_eq!(typed["response_type"], "embeddings_by_type");
        let own = read_answer(bare.to_string().as_bytes()).unwrap();
        let form = AnswerForm {
            dialect: OWN,
            fallback_id: "other",
            fallback_model: "m",
            created: 0,
            include_usage: true,
            base64_vectors: false,
            asked: br#"{"texts": ["a"]}"#,
            kept: false,
        };
        let again: Value = serde_json::from_slice(&write_answer(&own, &form)).unwrap();
        assert_eq!(again, bare);
        assert!(read_call(br#"{"model": "m"}"#).is_err());
    }
}
