//! Voyage's rerank: Cohere's with other names (<https://docs.voyageai.com/reference/reranker-api>, read 2026-11).

use bytes::Bytes;
use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{
    Answer, AnswerForm, Call, CallForm, Gaps, ReadError, Unsupported, Written,
    cohere_rerank::{self, read_answer_with, read_call_with, texts},
    fields::Place,
    json::{Fields, put},
    openai_chat::to_bytes,
};

/// Reads a call as a client of this dialect would make it.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let top_n = fields.count("top_k")?;
    read_call_with(fields, top_n, Dialect::VoyageRerank)
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let Call::Rerank(call) = call else {
        return Err(Unsupported::call(call));
    };
    let mut gaps = Gaps::new(from, Dialect::VoyageRerank);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    put(&mut body, "query", Some(call.query.clone()));
    put(
        &mut body,
        "documents",
        Some(texts(&call.documents, &mut gaps)),
    );
    put(&mut body, "top_k", call.top_n);
    put(&mut body, "return_documents", call.return_documents);
    for (name, value) in &call.extra.fields {
        // Jina's clients have the name as well.
        if from == Dialect::VoyageRerank || name == "truncation" {
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
    read_answer_with(body, Dialect::VoyageRerank, "data")
}

/// Writes an answer as Cohere's clients know it: no client of this dialect asks the gateway.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    cohere_rerank::write_answer(answer, form)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;

    fn written(body: &Value) -> Result<Value, Vec<String>> {
        let call = cohere_rerank::read_call(body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: Dialect::VoyageRerank,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = write_call(&call, &form).map_err(|unsupported| unsupported.fields)?;
        Ok(serde_json::from_slice(&written.body).unwrap())
    }

    #[test]
    fn calls_are_told_in_voyages_words() {
        let body = json!({"model": "x", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": true});
        let there = json!({"model": "m", "query": "q", "documents": ["a", "b"], "top_k": 1, "return_documents": true});
        assert_eq!(written(&body), Ok(there));
        let body = json!({"model": "x", "query": "q", "documents": [{"title": "b"}], "max_tokens_per_doc": 9});
        let names = ["documents", "max_tokens_per_doc"].map(str::to_owned);
        assert_eq!(written(&body), Err(names.to_vec()));
    }

    #[test]
    fn answers_are_told_in_coheres_form() {
        let body = json!({"object": "list", "data": [{"index": 1, "relevance_score": 0.5, "document": "b"}], "model": "v", "usage": {"total_tokens": 12}});
        let answer = read_answer(body.to_string().as_bytes()).unwrap();
        let form = AnswerForm {
            dialect: Dialect::CohereRerank,
            fallback_id: "id",
            fallback_model: "m",
            created: 0,
            include_usage: true,
            base64_vectors: false,
            asked: &[],
            kept: false,
        };
        let written: Value = serde_json::from_slice(&write_answer(&answer, &form)).unwrap();
        let expected = json!({
            "id": "id", "model": "v",
            "results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 12}, "tokens": {"input_tokens": 12}},
            "usage": {"total_tokens": 12},
        });
        assert_eq!(written, expected);
    }
}
