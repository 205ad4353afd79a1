//! Ollama's older way to ask for the vector of one text: `POST /api/embeddings`
//! (<https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embedding>, read 2026-11). Its answers do not tell what was used.

use bytes::Bytes;
use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{
    Answer, AnswerForm, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra,
    Field, Gaps, ReadError, Unsupported, Written,
    fields::Place,
    json::{Fields, put},
    ollama_chat,
    openai_chat::to_bytes,
    openai_embeddings::{floats, read_numbers},
};

/// What is done with a text that is too long, without a word.
const CUT: &str = "END";

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let call = EmbeddingCall {
        model: fields.text("model")?.unwrap_or_default(),
        input: EmbeddingInput::Text(fields.required_text("prompt")?),
        dimensions: None,
        encoding_format: None,
        input_type: None,
        truncate: None,
        user: None,
        extra: Extra {
            dialect: Dialect::OllamaOldEmbeddings,
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
    let text = match &call.input {
        EmbeddingInput::Text(text) => text,
        EmbeddingInput::Texts(texts) if texts.len() == 1 => &texts[0],
        // Nothing may be left out of these.
        EmbeddingInput::Texts(_) | EmbeddingInput::Tokens(_) => {
            return Err(Unsupported::field("input"));
        }
    };
    let mut gaps = Gaps::new(from, Dialect::OllamaOldEmbeddings);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    put(&mut body, "prompt", Some(text.as_str()));
    let cuts_otherwise = call.truncate.as_deref().is_some_and(|word| word != CUT);
    for (field, is_set) in [
        (Field::Dimensions, call.dimensions.is_some()),
        (Field::InputType, call.input_type.is_some()),
        (Field::Truncate, cuts_otherwise),
        (Field::User, call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for (name, value) in &call.extra.fields {
        if matches!(
            from,
            Dialect::OllamaEmbeddings | Dialect::OllamaOldEmbeddings
        ) {
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
    let numbers = fields.any("embedding");
    let numbers = numbers.as_ref().and_then(Value::as_array);
    let vector = numbers.and_then(|numbers| read_numbers(numbers));
    let vector = vector
        .ok_or_else(|| fields.error("embedding", "is missing; it must be a list of numbers"))?;
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors: vec![vector],
        usage: None,
        extra: Extra {
            dialect: Dialect::OllamaOldEmbeddings,
            fields: fields.rest(),
        },
    })))
}

/// Writes an answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Embedding(answer) = answer else {
        return ollama_chat::write_answer(answer, form);
    };
    let mut written = Map::new();
    put(
        &mut written,
        "embedding",
        answer.vectors.first().map(floats),
    );
    if answer.extra.dialect == Dialect::OllamaOldEmbeddings {
        written.extend(answer.extra.fields.clone());
    }
    to_bytes(&Value::Object(written))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;
    use crate::{Vector, ollama_embeddings, openai_embeddings, translate};

    fn told(dialect: Dialect, call: Result<Call, ReadError>) -> Result<Value, Vec<String>> {
        let form = CallForm {
            dialect,
            model: Some("m"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let written = translate::write_call(&call.unwrap(), &form);
        let written = written.map_err(|unsupported| unsupported.fields)?;
        Ok(serde_json::from_slice(&written.body).unwrap())
    }

    #[test]
    fn a_text_goes_over_to_the_newer_form_with_what_they_have_in_common() {
        let old =
            json!({"model": "m", "prompt": "a", "options": {"num_ctx": 9}, "keep_alive": "1m"});
        let new =
            json!({"model": "m", "input": "a", "options": {"num_ctx": 9}, "keep_alive": "1m"});
        let (of_old, of_new) = (old.to_string(), new.to_string());
        let of_old = || read_call(of_old.as_bytes());
        let of_new = || ollama_embeddings::read_call(of_new.as_bytes());
        assert_eq!(told(Dialect::OllamaEmbeddings, of_old()), Ok(new));
        assert_eq!(
            told(Dialect::OllamaOldEmbeddings, of_new()),
            Ok(old.clone())
        );
        assert_eq!(told(Dialect::OllamaOldEmbeddings, of_old()), Ok(old));
    }

    #[test]
    fn one_text_alone_is_taken() {
        for (input, taken) in [
            (json!("a"), true),
            (json!(["a"]), true),
            (json!(["a", "b"]), false),
            (json!([1, 2]), false),
        ] {
            let body = json!({"model": "e", "input": input});
            let call = openai_embeddings::read_call(body.to_string().as_bytes());
            let told = told(Dialect::OllamaOldEmbeddings, call);
            assert_eq!(told.is_ok(), taken, "{input}");
        }
        for body in [json!({"model": "m"}), json!({"prompt": ["a"]})] {
            assert!(read_call(body.to_string().as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_answer_is_a_vector() {
        let body = json!({"embedding": [0.5, -1.0]});
        let answer = read_answer(body.to_string().as_bytes()).unwrap();
        let Answer::Embedding(embedding) = &answer else {
            panic!("{answer:?}");
        };
        assert_eq!(embedding.vectors, [Vector::Floats(vec![0.5, -1.0])]);
        assert_eq!(embedding.usage, None);
        let form = AnswerForm {
            dialect: Dialect::OllamaOldEmbeddings,
            fallback_id: "",
            fallback_model: "m",
            created: 0,
            include_usage: false,
            base64_vectors: false,
            asked: &[],
            kept: false,
        };
        let written: Value = serde_json::from_slice(&write_answer(&answer, &form)).unwrap();
        assert_eq!(written, body);
        for broken in [
            json!({}),
            json!({"embedding": "x"}),
            json!({"error": "model not found"}),
        ] {
            assert!(
                read_answer(broken.to_string().as_bytes()).is_err(),
                "{broken}"
            );
        }
    }
}
