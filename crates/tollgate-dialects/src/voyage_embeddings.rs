//! Voyage's embeddings: OpenAI's with other names (<https://docs.voyageai.com/reference/embeddings-api>, read 2026-11).

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingInput, Field, Gaps, ReadError, Unsupported,
    Written,
    fields::Place,
    json::{Fields, put},
    openai_chat::to_bytes,
    openai_embeddings::{self, read_input},
};

/// Reads a call as a client of this dialect would make it.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let input_type = fields.text("input_type")?;
    let truncation = fields.flag("truncation")?;
    let call = crate::EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input: read_input(&mut fields)?,
        dimensions: fields.count("output_dimension")?,
        encoding_format: fields.text("encoding_format")?,
        input_type: input_type.map(|word| match word.as_str() {
            "query" => "search_query".to_owned(),
            "document" => "search_document".to_owned(),
            _ => word,
        }),
        truncate: truncation.map(|cuts| if cuts { "END" } else { "NONE" }.to_owned()),
        user: None,
        extra: crate::Extra {
            dialect: Dialect::VoyageEmbeddings,
            fields: fields.rest(),
        },
    };
    Ok(Call::Embedding(Box::new(call)))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let Call::Embedding(call) = call else {
        return Err(Unsupported::call(call));
    };
    let mut gaps = Gaps::new(from, Dialect::VoyageEmbeddings);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    let input = match &call.input {
        EmbeddingInput::Text(text) => json!(text),
        EmbeddingInput::Texts(texts) => json!(texts),
        EmbeddingInput::Tokens(_) => {
            gaps.left_out(Field::InputTokens);
            json!([])
        }
    };
    put(&mut body, "input", Some(input));
    put(
        &mut body,
        "input_type",
        input_type(call.input_type.as_deref(), &mut gaps),
    );
    put(&mut body, "output_dimension", call.dimensions);
    // Floats are what comes without a word.
    let encoding = call.encoding_format.as_deref();
    put(
        &mut body,
        "encoding_format",
        encoding.filter(|format| *format == "base64"),
    );
    match call.truncate.as_deref() {
        None => {}
        Some("NONE") => put(&mut body, "truncation", Some(false)),
        Some("END") => put(&mut body, "truncation", Some(true)),
        Some(_) => gaps.left_out(Field::Truncate),
    }
    if call.user.is_some() {
        gaps.left_out(Field::User);
    }
    for (name, value) in &call.extra.fields {
        match (from, name.as_str()) {
            // Clients of OpenAI's form say it in Voyage's own words.
            (Dialect::VoyageEmbeddings, _)
            | (Dialect::OpenaiEmbeddings, "input_type" | "truncation" | "output_dtype") => {
                body.insert(name.clone(), value.clone());
            }
            _ => gaps.left_out_extra(Place::Body, name),
        }
    }
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// There are questions and documents; other purposes are told by no word.
fn input_type(word: Option<&str>, gaps: &mut Gaps) -> Option<&'static str> {
    match word? {
        "search_query" | "query" => Some("query"),
        "search_document" | "document" => Some("document"),
        _ => {
            gaps.left_out(Field::InputType);
            None
        }
    }
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut answer = openai_embeddings::read_answer(body)?;
    if let Answer::Embedding(answer) = &mut answer {
        answer.extra.dialect = Dialect::VoyageEmbeddings;
    }
    Ok(answer)
}

/// Writes an answer in the form that it has in common with OpenAI's.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    openai_embeddings::write_answer(answer, form)
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{ChatInput, StreamUsage, Usage};

    use super::*;

    fn written(from: Dialect, body: &Value) -> (Value, Vec<String>) {
        let call = crate::read_call(from, body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: Dialect::VoyageEmbeddings,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = write_call(&call, &form).unwrap();
        (
            serde_json::from_slice(&written.body).unwrap(),
            written.dropped,
        )
    }

    #[test]
    fn calls_are_told_in_voyages_words() {
        let openai = json!({"model": "x", "input": "a", "dimensions": 256, "encoding_format": "float", "user": "u", "input_type": "query"});
        let there =
            json!({"model": "m", "input": "a", "output_dimension": 256, "input_type": "query"});
        assert_eq!(
            written(Dialect::OpenaiEmbeddings, &openai),
            (there, vec!["user".to_owned()])
        );
        let cohere = json!({"model": "x", "texts": ["a"], "input_type": "search_document", "truncate": "END", "embedding_types": ["base64"]});
        let there = json!({"model": "m", "input": ["a"], "input_type": "document", "truncation": true, "encoding_format": "base64"});
        assert_eq!(
            written(Dialect::CohereEmbeddings, &cohere),
            (there.clone(), Vec::new())
        );
        assert_eq!(
            written(Dialect::VoyageEmbeddings, &there),
            (there, Vec::new())
        );
    }

    #[test]
    fn the_sum_is_the_input() {
        let body = json!({"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "model": "v", "usage": {"total_tokens": 7}});
        let Ok(Answer::Embedding(answer)) = read_answer(body.to_string().as_bytes()) else {
            panic!("vectors")
        };
        let expected = Usage {
            input: Some(7),
            ..Usage::default()
        };
        assert_eq!(answer.usage, Some(expected));
    }
}
