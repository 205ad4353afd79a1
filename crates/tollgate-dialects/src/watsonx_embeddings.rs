//! watsonx.ai's embeddings: `POST /ml/v1/text/embeddings`
//! (<https://cloud.ibm.com/apidocs/watsonx-ai#text-embeddings>, read 2026-11). Spoken by providers only.

use serde_json::{Map, Value};
use tollgate_domain::{Dialect, Usage};

pub(crate) use crate::openai_embeddings::write_answer;

use crate::{
    Answer, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra, Field, Gaps,
    ReadError, Unsupported, Written,
    fields::Place,
    json::{Fields, put},
    openai_chat::to_bytes,
    openai_embeddings::read_numbers,
};

/// Reads a call as a client of this dialect would make it.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    Ok(Call::Embedding(Box::new(EmbeddingCall {
        model: fields.text("model_id")?.unwrap_or_default(),
        input: EmbeddingInput::Texts(fields.texts("inputs")?),
        dimensions: None,
        encoding_format: None,
        input_type: None,
        truncate: None,
        user: None,
        extra: Extra {
            dialect: Dialect::WatsonxEmbeddings,
            fields: fields.rest(),
        },
    })))
}

/// Writes a call for a provider. The project is set from the configuration.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let Call::Embedding(call) = call else {
        return Err(Unsupported::call(call));
    };
    let mut gaps = Gaps::new(from, Dialect::WatsonxEmbeddings);
    let texts = match &call.input {
        EmbeddingInput::Text(text) => vec![text.clone()],
        EmbeddingInput::Texts(texts) => texts.clone(),
        // Nothing may be left out of these.
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    let mut body = Map::new();
    put(&mut body, "model_id", form.model);
    put(&mut body, "inputs", Some(texts));
    // Without a word, a text that is too long is an error, which is what `NONE` asks for.
    let cuts = call.truncate.as_deref().is_some_and(|word| word != "NONE");
    for (field, is_set) in [
        (Field::Dimensions, call.dimensions.is_some()),
        (Field::InputType, call.input_type.is_some()),
        (Field::Truncate, cuts),
        (Field::User, call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for (name, value) in &call.extra.fields {
        if from == Dialect::WatsonxEmbeddings {
            put(&mut body, name, Some(value.clone()));
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
    if !fields.peek("results").is_some_and(Value::is_array) {
        return Err(fields.error("results", "is missing; it must be a list of embeddings"));
    }
    let mut vectors = Vec::new();
    for (index, result) in fields.list("results")?.into_iter().enumerate() {
        let path = format!("results[{index}].embedding");
        let numbers = result["embedding"].as_array();
        let vector = numbers.and_then(|numbers| read_numbers(numbers));
        let problem = "is missing; it must be a list of numbers";
        vectors.push(vector.ok_or_else(|| ReadError::shape(path, problem))?);
    }
    let tokens = fields.any("input_token_count");
    let usage = tokens
        .and_then(|tokens| tokens.as_u64())
        .map(|input| Usage {
            input: Some(input),
            ..Usage::default()
        });
    let model = fields.any("model_id");
    let model = model.and_then(|model| model.as_str().map(str::to_owned));
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: model.unwrap_or_default(),
        vectors,
        usage,
        extra: Extra {
            dialect: Dialect::WatsonxEmbeddings,
            fields: fields.rest(),
        },
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;
    use crate::{Vector, cohere_embeddings, openai_embeddings};

    const FORM: CallForm<'static> = CallForm {
        dialect: Dialect::WatsonxEmbeddings,
        model: Some("ibm/slate"),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported: false,
    };

    fn written(call: Result<Call, ReadError>) -> Result<Value, Unsupported> {
        let written = write_call(&call.unwrap(), &FORM)?;
        Ok(serde_json::from_slice(&written.body).unwrap())
    }

    #[test]
    fn texts_are_a_list_and_the_model_has_an_id() {
        for (input, inputs) in [
            (json!("a"), json!(["a"])),
            (json!(["a", "b"]), json!(["a", "b"])),
        ] {
            let body = json!({"model": "e", "input": input, "encoding_format": "base64"});
            assert_eq!(
                written(openai_embeddings::read_call(body.to_string().as_bytes())),
                Ok(json!({"model_id": "ibm/slate", "inputs": inputs}))
            );
        }
        let body = json!({"model_id": "ibm/slate", "inputs": ["a"], "project_id": "p", "parameters": {"truncate_input_tokens": 5}});
        assert_eq!(written(read_call(body.to_string().as_bytes())), Ok(body));
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let openai = |body: Value| {
            let call = openai_embeddings::read_call(body.to_string().as_bytes());
            written(call).unwrap_err().fields
        };
        assert_eq!(openai(json!({"model": "e", "input": [1]})), ["input"]);
        assert_eq!(
            openai(json!({"model": "e", "input": "a", "dimensions": 5})),
            ["dimensions"]
        );
        for (truncate, taken) in [("NONE", true), ("END", false)] {
            let body = json!({"model": "e", "texts": ["a"], "input_type": "search_query", "truncate": truncate});
            let call = cohere_embeddings::read_call(body.to_string().as_bytes());
            assert_eq!(written(call).is_ok(), taken, "{truncate}");
        }
    }

    #[test]
    fn vectors_and_tokens_are_read() {
        let body = json!({"model_id": "ibm/slate", "created_at": "2026-11-25T00:00:00Z", "results": [{"embedding": [0.5, -1]}, {"embedding": [2]}], "input_token_count": 9});
        let Ok(Answer::Embedding(answer)) = read_answer(body.to_string().as_bytes()) else {
            panic!("an answer");
        };
        assert_eq!(answer.model, "ibm/slate");
        assert_eq!(
            answer.vectors,
            [Vector::Floats(vec![0.5, -1.0]), Vector::Floats(vec![2.0])]
        );
        assert_eq!(answer.usage.unwrap().input, Some(9));
        for broken in [json!({}), json!({"results": [{"generated_text": "x"}]})] {
            assert!(
                read_answer(broken.to_string().as_bytes()).is_err(),
                "{broken}"
            );
        }
    }
}
