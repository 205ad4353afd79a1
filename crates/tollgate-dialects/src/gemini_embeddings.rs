//! Gemini's `embedContent`, which takes one text, and `batchEmbedContents`, which takes several
//! (<https://ai.google.dev/api/embeddings>, read 2026-11). Which of the two is meant is told by the body: `requests` or not.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Usage};

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra,
    Field, Gaps, ReadError, Unsupported, Vector, Written,
    anthropic_messages::to_map,
    fields::Place,
    gemini_generate::{WireUsage, camel},
    json::{Fields, put},
    openai_chat::to_bytes,
    openai_embeddings::floats,
};

/// What vectors are for, in Cohere's word, which is ours, and in Gemini's. It has more of them than others.
pub(crate) const USES: [(&str, &str); 4] = [
    ("search_document", "RETRIEVAL_DOCUMENT"),
    ("search_query", "RETRIEVAL_QUERY"),
    ("classification", "CLASSIFICATION"),
    ("clustering", "CLUSTERING"),
];

/// Comes before a model's name.
const MODELS: &str = "models/";

// === calls ===

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let body = Fields::of_body(body)?.rest();
    let mut fields = camel("", Value::Object(body))?;
    let call = if fields.peek("requests").is_some() {
        read_batch(&mut fields)?
    } else {
        read_one(fields)?
    };
    Ok(Call::Embedding(Box::new(call)))
}

/// Other dialects say once for all texts what these requests say each.
fn read_batch(fields: &mut Fields) -> Result<EmbeddingCall, ReadError> {
    let mut texts = Vec::new();
    let mut first: Option<EmbeddingCall> = None;
    for (index, value) in fields.list("requests")?.into_iter().enumerate() {
        let path = format!("requests[{index}]");
        let call = read_one(camel(path.as_str(), value)?)?;
        if let EmbeddingInput::Text(text) = &call.input {
            texts.push(text.clone());
        }
        let shared = |call: &EmbeddingCall| EmbeddingCall {
            input: EmbeddingInput::Texts(Vec::new()),
            ..call.clone()
        };
        match &first {
            Some(first) if shared(first) != shared(&call) => {
                let problem =
                    "asks for something else than those before it; only the texts may differ";
                return Err(ReadError::shape(path, problem));
            }
            _ => first = Some(call),
        }
    }
    let mut call = first.ok_or_else(|| fields.error("requests", "must hold a request"))?;
    call.input = EmbeddingInput::Texts(texts);
    Ok(call)
}

fn read_one(mut fields: Fields) -> Result<EmbeddingCall, ReadError> {
    let model = fields.text("model")?.unwrap_or_default();
    let text = read_text(&mut fields)?;
    let task_type = fields.text("taskType")?;
    let known = |word: &String| USES.iter().find(|(_, theirs)| theirs == word);
    let input_type = task_type.as_ref().and_then(known).map(|(ours, _)| *ours);
    if let Some(other) = task_type.filter(|_| input_type.is_none()) {
        fields.leave("taskType", Value::String(other));
    }
    Ok(EmbeddingCall {
        model: model.strip_prefix(MODELS).unwrap_or(&model).to_owned(),
        input: EmbeddingInput::Text(text),
        dimensions: fields.count("outputDimensionality")?,
        encoding_format: None,
        input_type: input_type.map(str::to_owned),
        truncate: None,
        user: None,
        extra: Extra {
            dialect: Dialect::GeminiEmbeddings,
            fields: fields.rest(),
        },
    })
}

/// The parts of a content become one vector.
fn read_text(fields: &mut Fields) -> Result<String, ReadError> {
    let content = fields.any("content");
    let content =
        content.ok_or_else(|| fields.error("content", "is missing; it must be a content"))?;
    let mut content = camel(fields.path("content"), content)?;
    let parts = match content.any("parts") {
        Some(Value::Array(parts)) => parts,
        Some(part @ Value::Object(_)) => vec![part],
        _ => return Err(content.error("parts", "is missing; it must be a list of parts")),
    };
    let text = |part: &Value| part["text"].as_str().map(str::to_owned);
    let texts: Option<Vec<String>> = parts.iter().map(text).collect();
    texts.map(|texts| texts.join("\n")).ok_or_else(|| {
        content.error(
            "parts",
            "must hold texts only, for a provider of another kind",
        )
    })
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let Call::Embedding(embedding) = call else {
        return Err(Unsupported::call(call));
    };
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::GeminiEmbeddings);
    let settings = settings(embedding, &mut gaps);
    let request = |text: &str| {
        let mut request = to_map(json!({"content": {"parts": [{"text": text}]}}));
        request.extend(settings.clone());
        request
    };
    let body = match &embedding.input {
        EmbeddingInput::Text(text) => request(text),
        EmbeddingInput::Texts(texts) => {
            let model = form.model.unwrap_or(&embedding.model);
            let requests = texts.iter().map(|text| {
                let mut request = request(text);
                let model = format!("{MODELS}{model}");
                request.shift_insert(0, "model".to_owned(), Value::String(model));
                Value::Object(request)
            });
            to_map(json!({"requests": requests.collect::<Vec<_>>()}))
        }
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// What is asked for each text.
fn settings(call: &EmbeddingCall, gaps: &mut Gaps) -> Map<String, Value> {
    let mut settings = Map::new();
    if let Some(wanted) = &call.input_type {
        match USES.iter().find(|(ours, _)| ours == wanted) {
            Some((_, theirs)) => put(&mut settings, "taskType", Some(*theirs)),
            None => gaps.left_out(Field::InputType),
        }
    }
    put(&mut settings, "outputDimensionality", call.dimensions);
    for (field, is_set) in [
        (Field::Truncate, call.truncate.is_some()),
        (Field::User, call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for (name, value) in &call.extra.fields {
        if call.extra.dialect == Dialect::GeminiEmbeddings {
            settings.insert(name.clone(), value.clone());
        } else {
            gaps.left_out_extra(Place::Body, name);
        }
    }
    settings
}

// === answers ===

/// Reads a provider's answer to one text or to several.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let embeddings = match (fields.any("embedding"), fields.any("embeddings")) {
        (_, Some(Value::Array(several))) => several,
        (Some(one), _) => vec![one],
        (None, _) => {
            let problem = "is missing; it must be a list of embeddings";
            return Err(fields.error("embeddings", problem));
        }
    };
    let vectors = embeddings.into_iter().enumerate().map(|(index, value)| {
        let mut embedding = Fields::of(format!("embeddings[{index}]"), value)?;
        let values = embedding.list("values")?;
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        numbers
            .map(Vector::Floats)
            .ok_or_else(|| embedding.error("values", "must hold numbers only"))
    });
    let vectors = vectors.collect::<Result<_, _>>()?;
    let usage = fields.any("usageMetadata");
    let usage = usage.and_then(|usage| serde_json::from_value::<WireUsage>(usage).ok());
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors,
        usage: usage.and_then(WireUsage::into_usage).map(|usage| Usage {
            // The total leaves nothing for an answer, which has no tokens.
            output: None,
            ..usage
        }),
        extra: Extra {
            dialect: Dialect::GeminiEmbeddings,
            fields: fields.rest(),
        },
    })))
}

/// Writes an answer for a client. A vector alone is told in both ways: which address was asked is not known here, and clients
/// look for their own.
pub(crate) fn write_answer(answer: &Answer, _form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        // No such answer is given to a call of this dialect.
        return to_bytes(&json!({}));
    };
    let embeddings = answer.vectors.iter();
    let embeddings = embeddings.map(|vector| json!({"values": floats(vector)}));
    let embeddings: Vec<Value> = embeddings.collect();
    let mut written = Map::new();
    if let [one] = embeddings.as_slice() {
        put(&mut written, "embedding", Some(one.clone()));
    }
    put(&mut written, "embeddings", Some(embeddings));
    let tokens = answer.usage.and_then(|usage| usage.input_total());
    let usage = tokens.map(|tokens| json!({"promptTokenCount": tokens, "totalTokenCount": tokens}));
    put(&mut written, "usageMetadata", usage);
    if answer.extra.dialect == Dialect::GeminiEmbeddings {
        written.extend(answer.extra.fields.clone());
    }
    to_bytes(&Value::Object(written))
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;

    const GEMINI: Dialect = Dialect::GeminiEmbeddings;
    const OPENAI: Dialect = Dialect::OpenaiEmbeddings;

    fn translated(
        from: Dialect,
        to: Dialect,
        call: &Value,
    ) -> Result<(Value, Vec<String>), String> {
        let call = crate::read_call(from, call.to_string().as_bytes());
        let call = call.map_err(|error| error.to_string())?;
        let form = CallForm {
            dialect: to,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = crate::write_call(&call, &form).map_err(|error| error.to_string())?;
        Ok((
            serde_json::from_slice(&written.body).unwrap(),
            written.dropped,
        ))
    }

    #[test]
    fn one_text_and_several_have_bodies_of_their_own() {
        let one = json!({"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3, "title": "t"});
        assert_eq!(translated(GEMINI, GEMINI, &one), Ok((one, vec![])));
        let request = |text: &str| json!({"model": "models/m", "content": {"parts": [{"text": text}]}, "taskType": "FACT_VERIFICATION"});
        let several = json!({"requests": [request("a"), request("b")]});
        assert_eq!(translated(GEMINI, GEMINI, &several), Ok((several, vec![])));
    }

    #[test]
    fn openais_calls_go_over_and_back() {
        for call in [
            json!({"model": "m", "input": "a", "dimensions": 3}),
            json!({"model": "m", "input": ["a", "b"]}),
        ] {
            let (there, dropped) = translated(OPENAI, GEMINI, &call).unwrap();
            assert_eq!(dropped, Vec::<String>::new());
            assert_eq!(translated(GEMINI, OPENAI, &there), Ok((call, vec![])));
        }
        let tokens = json!({"model": "m", "input": [1, 2]});
        assert!(translated(OPENAI, GEMINI, &tokens).is_err());
    }

    #[test]
    fn what_only_one_of_several_asks_is_refused_elsewhere() {
        let request = |more: Value| {
            let mut request = to_map(json!({"content": {"parts": {"text": "a"}}}));
            request.extend(to_map(more));
            Value::Object(request)
        };
        let differing =
            json!({"requests": [request(json!({})), request(json!({"output_dimensionality": 5}))]});
        let error = translated(GEMINI, OPENAI, &differing).unwrap_err();
        assert!(
            error.starts_with("requests[1]: asks for something else"),
            "{error}"
        );
        let picture = json!({"content": {"parts": [{"inlineData": {}}]}});
        let error = translated(GEMINI, OPENAI, &picture).unwrap_err();
        assert!(
            error.starts_with("content.parts: must hold texts"),
            "{error}"
        );
    }

    #[test]
    fn answers_are_read_in_both_forms() {
        let form = AnswerForm {
            dialect: GEMINI,
            fallback_id: "",
            fallback_model: "m",
            created: 0,
            include_usage: false,
            base64_vectors: false,
            asked: &[],
            kept: false,
        };
        let one = json!({"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}});
        let several = json!({"embeddings": [{"values": [0.5]}, {"values": [-1.25]}]});
        for answer in [one, several] {
            let read = read_answer(answer.to_string().as_bytes()).unwrap();
            let written: Value = serde_json::from_slice(&write_answer(&read, &form)).unwrap();
            for (name, value) in answer.as_object().unwrap() {
                assert_eq!(&written[name], value);
            }
        }
        assert!(read_answer(b"{}").is_err());
    }
}
