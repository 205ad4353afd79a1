//! Cohere's rerank: `POST /v2/rerank` (<https://docs.cohere.com/reference/rerank>, read 2026-11), and what Jina, vLLM, llama.cpp, Together
//! and OpenRouter have made of it.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Accent, Dialect, Documents, Usage};

use crate::{
    Answer, AnswerForm, Call, CallForm, Extra, Field, Gaps, ReadError, RerankAnswer, RerankCall,
    RerankResult, Unsupported, Written,
    cohere_chat::{read_usage, write_usage},
    fields::Place,
    json::{Fields, put},
    openai_chat::{self, WireUsage, to_bytes},
};

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let top_n = fields.count("top_n")?;
    read_call_with(fields, top_n, Dialect::CohereRerank)
}

/// Reads what this dialect and Voyage's have in common.
pub(crate) fn read_call_with(
    mut fields: Fields,
    top_n: Option<u64>,
    dialect: Dialect,
) -> Result<Call, ReadError> {
    if fields.peek("documents").is_none() {
        return Err(fields.error("documents", "is missing; it must be a list of texts"));
    }
    let documents = fields.list("documents")?;
    if !documents
        .iter()
        .all(|document| document.is_string() || document.is_object())
    {
        return Err(fields.error("documents", "must hold texts, or objects"));
    }
    let call = RerankCall {
        model: fields.text("model")?.unwrap_or_default(),
        query: fields.required_text("query")?,
        documents,
        top_n,
        return_documents: fields.flag("return_documents")?,
        extra: Extra {
            dialect,
            fields: fields.rest(),
        },
    };
    Ok(Call::Rerank(Box::new(call)))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    write_call_in(&Accent::NONE, call, form)
}

/// Writes a call for a provider that may take texts alone. Objects go as YAML then, as Cohere asks for, with the fields that are to be
/// ranked by; the documents are given back by the gateway.
pub(crate) fn write_call_in(
    accent: &Accent,
    call: &Call,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let Call::Rerank(call) = call else {
        return Err(Unsupported::call(call));
    };
    let mut gaps = Gaps::new(from, Dialect::CohereRerank);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    put(&mut body, "query", Some(call.query.clone()));
    let is_texts = accent.documents == Documents::Texts;
    let documents: Vec<Value> = if is_texts {
        let fields = call.extra.fields.get("rank_fields");
        let documents = call.documents.iter();
        documents
            .map(|document| as_text(document, fields))
            .collect()
    } else {
        call.documents.clone()
    };
    put(&mut body, "documents", Some(documents));
    put(&mut body, "top_n", call.top_n);
    put(
        &mut body,
        "return_documents",
        call.return_documents.filter(|_| !is_texts),
    );
    for (name, value) in &call.extra.fields {
        if is_texts && name == "rank_fields" {
            continue;
        }
        if from == Dialect::CohereRerank {
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

/// A document as a text: as it is, or its fields as YAML
/// (<https://docs.cohere.com/docs/rerank-overview>, read 2026-11).
fn as_text(document: &Value, rank_fields: Option<&Value>) -> Value {
    let Value::Object(members) = document else {
        return document.clone();
    };
    let names: Vec<&str> = match rank_fields.and_then(Value::as_array) {
        Some(names) => names.iter().filter_map(Value::as_str).collect(),
        None => members.keys().map(String::as_str).collect(),
    };
    if let (["text"], Some(text @ Value::String(_))) = (names.as_slice(), members.get("text")) {
        return text.clone();
    }
    let lines = names.into_iter().filter_map(|name| {
        let value = members.get(name)?;
        Some(format!("{}: {}\n", in_yaml(&json!(name)), in_yaml(value)))
    });
    Value::String(lines.collect())
}

/// A value in YAML: JSON is YAML, and a plain text needs no quotes.
fn in_yaml(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Whether YAML takes a text for itself and nothing else.
fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(char::is_alphabetic)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(char::is_control)
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// Puts the documents that were asked for into an answer that does not have them.
pub fn give_back(call: &RerankCall, answer: &mut RerankAnswer) {
    if call.return_documents != Some(true) {
        return;
    }
    for result in &mut answer.results {
        let index = usize::try_from(result.index).ok();
        let sent = index.and_then(|index| call.documents.get(index));
        if result.document.is_none() {
            result.document = sent.cloned();
        }
    }
}

/// Texts of documents, for a provider that takes nothing else. An object that is a text and nothing more is one.
pub(crate) fn texts(documents: &[Value], gaps: &mut Gaps) -> Vec<Value> {
    let text = |document: &Value| match document {
        Value::Object(members) if members.len() == 1 && members.contains_key("text") => {
            document["text"].clone()
        }
        other => other.clone(),
    };
    let texts: Vec<Value> = documents.iter().map(text).collect();
    if !texts.iter().all(Value::is_string) {
        gaps.left_out(Field::Documents);
    }
    texts
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    read_answer_with(body, Dialect::CohereRerank, "results")
}

/// Reads an answer whose results have this name.
pub(crate) fn read_answer_with(
    body: &[u8],
    dialect: Dialect,
    results: &str,
) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if !fields.peek(results).is_some_and(Value::is_array) {
        return Err(fields.error(results, "is missing; it must be a list of results"));
    }
    let list = fields.list(results)?.into_iter().enumerate();
    let list = list.map(|(index, result)| {
        read_result(Fields::of(format!("{results}[{index}]"), result)?, index)
    });
    let list = list.collect::<Result<_, _>>()?;
    let mut loose_text = |name: &str| match fields.any(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (id, model) = (loose_text("id"), loose_text("model"));
    drop(fields.any("object"));
    let usage = read_all_usage(fields.peek("meta"), fields.peek("usage"));
    Ok(Answer::Rerank(Box::new(RerankAnswer {
        id,
        model,
        results: list,
        usage,
        extra: Extra {
            dialect,
            fields: fields.rest(),
        },
    })))
}

fn read_result(mut result: Fields, position: usize) -> Result<RerankResult, ReadError> {
    let position = u64::try_from(position).unwrap_or(u64::MAX);
    // `score` is llama.cpp's and TEI's other name for it.
    let score = match result.number("relevance_score")? {
        None => result.number("score")?,
        score => score,
    };
    Ok(RerankResult {
        index: result.count("index")?.unwrap_or(position),
        score: score
            .ok_or_else(|| result.error("relevance_score", "is missing; it must be a number"))?,
        document: result.any("document"),
    })
}

/// Cohere tells what it bills under `meta`; all others tell tokens as OpenAI does, and some tell both.
fn read_all_usage(meta: Option<&Value>, usage: Option<&Value>) -> Option<Usage> {
    let tokens = usage.and_then(|usage| {
        let told: WireUsage = serde_json::from_value(usage.clone()).ok()?;
        told.into_input_usage()
    });
    let mut all = meta.and_then(read_usage).unwrap_or_default();
    all.update(&tokens.unwrap_or_default());
    all.search_units = all
        .search_units
        .or(usage.and_then(|usage| usage["search_units"].as_u64()));
    (all != Usage::default()).then_some(all)
}

/// Writes an answer for a client, with what Cohere's clients read (`meta`) and what those of others do (`model`, `usage`).
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Rerank(answer) = answer else {
        return openai_chat::write_answer(answer, form);
    };
    let own = answer.extra.dialect == Dialect::CohereRerank;
    let told = |text: &str, otherwise: &str| match text {
        "" if own => None,
        "" => Some(otherwise.to_owned()),
        text => Some(text.to_owned()),
    };
    let results: Vec<Value> = answer.results.iter().map(write_result).collect();
    let mut written = Map::new();
    put(&mut written, "id", told(&answer.id, form.fallback_id));
    put(
        &mut written,
        "model",
        told(&answer.model, form.fallback_model),
    );
    put(&mut written, "results", Some(results));
    if own {
        written.extend(answer.extra.fields.clone());
    } else {
        let mut meta = Map::new();
        put(&mut meta, "api_version", Some(json!({"version": "2"})));
        meta.extend(answer.usage.as_ref().map(write_usage).unwrap_or_default());
        put(&mut written, "meta", Some(meta));
        let total = answer.usage.and_then(|usage| usage.total());
        let usage = total.map(|total| json!({"total_tokens": total}));
        put(&mut written, "usage", usage);
    }
    to_bytes(&Value::Object(written))
}

fn write_result(result: &RerankResult) -> Value {
    let mut written = Map::new();
    put(&mut written, "index", Some(result.index));
    put(&mut written, "relevance_score", Some(result.score));
    // Voyage gives a text, all others an object.
    let document = match &result.document {
        Some(Value::String(text)) => Some(json!({"text": text})),
        other => other.clone(),
    };
    put(&mut written, "document", document);
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;

    fn read(body: &Value) -> RerankAnswer {
        match read_answer(body.to_string().as_bytes()) {
            Ok(Answer::Rerank(answer)) => *answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_used_is_told_in_many_ways() {
        let usage = |input, search_units| {
            Some(Usage {
                input,
                search_units,
                ..Usage::default()
            })
        };
        for (told, expected) in [
            (
                json!({"meta": {"billed_units": {"search_units": 2}}}),
                usage(None, Some(2)),
            ),
            (
                json!({"usage": {"total_tokens": 17, "cost": 3.4e-7}}),
                usage(Some(17), None).map(|usage| Usage {
                    billed: "0.00000034".parse().ok(),
                    ..usage
                }),
            ),
            (
                json!({"usage": {"prompt_tokens": 55, "total_tokens": 55}}),
                usage(Some(55), None),
            ),
            (
                json!({"meta": {"billed_units": {"search_units": 1}}, "usage": {"total_tokens": 5}}),
                usage(Some(5), Some(1)),
            ),
            (json!({}), None),
        ] {
            let mut body = told.clone();
            body["results"] = json!([{"index": 1, "relevance_score": 0.5}]);
            assert_eq!(read(&body).usage, expected, "{told}");
        }
    }

    #[test]
    fn an_answer_is_the_same_when_written_again() {
        let body = json!({
            "id": "1", "model": "r",
            "results": [{"index": 2, "relevance_score": 0.9, "document": {"text": "c"}}, {"index": 0, "relevance_score": -4.5}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        });
        let form = AnswerForm {
            dialect: Dialect::CohereRerank,
            fallback_id: "other",
            fallback_model: "other",
            created: 0,
            include_usage: true,
            base64_vectors: false,
            asked: &[],
            kept: false,
        };
        let answer = Answer::Rerank(Box::new(read(&body)));
        let written: Value = serde_json::from_slice(&write_answer(&answer, &form)).unwrap();
        assert_eq!(written, body);
    }

    #[test]
    fn a_call_is_the_same_when_written_again() {
        let body = json!({
            "model": "m", "query": "q", "documents": ["a", {"text": "b", "title": "t"}], "top_n": 1, "return_documents": true,
            "rank_fields": ["title"], "max_tokens_per_doc": 512, "max_chunks_per_doc": 3, "priority": 1,
        });
        let call = read_call(body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: Dialect::CohereRerank,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = write_call(&call, &form).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&written.body).unwrap(),
            body
        );
    }

    #[test]
    fn documents_are_texts_where_nothing_else_is_taken() {
        let accent = Accent {
            documents: Documents::Texts,
            ..Accent::NONE
        };
        let documents = json!([
            "plain: as it is", {"text": "b"}, {"title": "Tom: a tale", "year": 1876, "body": "It was 5 #now", "tags": ["x"]},
            {"text": "yes", "other": "two\nlines"},
        ]);
        let body = json!({"model": "m", "query": "q", "documents": documents, "return_documents": true, "priority": 1});
        let texts = |rank_fields: Option<Value>| {
            let mut body = body.clone();
            if let Some(fields) = rank_fields {
                body["rank_fields"] = fields;
            }
            let call = read_call(body.to_string().as_bytes()).unwrap();
            let form = CallForm {
                dialect: Dialect::CohereRerank,
                model: Some("m"),
                stream_usage: StreamUsage::Unasked,
                chat_input: ChatInput::Messages,
                drop_unsupported: false,
            };
            let written = write_call_in(&accent, &call, &form).unwrap();
            let written: Value = serde_json::from_slice(&written.body).unwrap();
            let names = written.as_object().unwrap().keys();
            let names: Vec<&str> = names.map(String::as_str).collect();
            assert_eq!(names, ["model", "query", "documents", "priority"]);
            written["documents"].clone()
        };
        assert_eq!(
            texts(None),
            json!([
                "plain: as it is",
                "b",
                "title: \"Tom: a tale\"\nyear: 1876\nbody: \"It was 5 #now\"\ntags: [\"x\"]\n",
                "text: \"yes\"\nother: \"two\\nlines\"\n",
            ])
        );
        assert_eq!(
            texts(Some(json!(["body", "text"]))),
            json!([
                "plain: as it is",
                "text: b\n",
                "body: \"It was 5 #now\"\n",
                "text: \"yes\"\n"
            ])
        );
    }

    #[test]
    fn documents_are_given_back_where_they_are_missing() {
        let call = |more: &str| {
            let body = format!(r#"{{"query": "q", "documents": ["a", {{"title": "b"}}]{more}}}"#);
            match read_call(body.as_bytes()) {
                Ok(Call::Rerank(call)) => *call,
                other => panic!("{other:?}"),
            }
        };
        let answer = json!({"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1, "document": "mine"}, {"index": 7, "relevance_score": 0}]});
        let documents = |call: &RerankCall| {
            let mut answer = read(&answer);
            give_back(call, &mut answer);
            let results = answer.results.into_iter();
            results.map(|result| result.document).collect::<Vec<_>>()
        };
        assert_eq!(
            documents(&call(r#", "return_documents": true"#)),
            [Some(json!({"title": "b"})), Some(json!("mine")), None]
        );
        for more in ["", r#", "return_documents": false"#] {
            assert_eq!(documents(&call(more)), [None, Some(json!("mine")), None]);
        }
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for body in [
            json!({"query": "q"}),
            json!({"documents": ["a"]}),
            json!({"query": "q", "documents": [1]}),
        ] {
            assert!(read_call(body.to_string().as_bytes()).is_err(), "{body}");
        }
        assert!(read_answer(br#"{"results": [{"index": 0}]}"#).is_err());
        assert!(read_answer(br#"{"id": "1"}"#).is_err());
    }
}
