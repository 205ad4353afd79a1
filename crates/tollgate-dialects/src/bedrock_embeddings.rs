//! Embedding models behind AWS Bedrock's `InvokeModel`: Amazon's Titan and Cohere's, each in its own language
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html> and
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html>, read 2026-11). The model's id tells which.
//! Spoken by providers only.

use serde_json::{Map, Value};
use tollgate_domain::{Dialect, Usage};

pub(crate) use crate::openai_embeddings::write_answer;

use crate::{
    Answer, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra, Field, Gaps,
    ReadError, Unsupported, Vector, Written,
    fields::Place,
    json::{Fields, put},
    openai_chat::to_bytes,
};

/// What the vectors are for where nobody says: Cohere's models insist on a word.
const INPUT_TYPE: &str = "search_document";

/// Reads a call, of either language.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let (input, dimensions) = match fields.text("inputText")? {
        Some(text) => (EmbeddingInput::Text(text), "dimensions"),
        None if fields.peek("texts").is_some() => (
            EmbeddingInput::Texts(fields.texts("texts")?),
            "output_dimension",
        ),
        None => return Err(fields.error("inputText", "is missing, and so is texts")),
    };
    let call = EmbeddingCall {
        model: String::new(),
        input,
        dimensions: fields.count(dimensions)?,
        encoding_format: None,
        input_type: fields.text("input_type")?,
        truncate: fields.text("truncate")?,
        user: None,
        extra: Extra {
            dialect: Dialect::BedrockEmbeddings,
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
    let own = from == Dialect::BedrockEmbeddings;
    let mut gaps = Gaps::new(from, Dialect::BedrockEmbeddings);
    let model = form.model.unwrap_or(&call.model);
    let mut body =
        if model.contains("cohere.") || own && matches!(call.input, EmbeddingInput::Texts(_)) {
            write_cohere(call, own)?
        } else {
            write_titan(call, model, &mut gaps)?
        };
    if call.user.is_some() {
        gaps.left_out(Field::User);
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

/// Titan takes one text. The first Titan makes vectors of one length.
fn write_titan(
    call: &EmbeddingCall,
    model: &str,
    gaps: &mut Gaps,
) -> Result<Map<String, Value>, Unsupported> {
    let text = match &call.input {
        EmbeddingInput::Text(text) => text,
        EmbeddingInput::Texts(texts) if texts.len() == 1 => &texts[0],
        // Nothing may be left out of these.
        EmbeddingInput::Texts(_) | EmbeddingInput::Tokens(_) => {
            return Err(Unsupported::field("input"));
        }
    };
    let mut body = Map::new();
    put(&mut body, "inputText", Some(text.clone()));
    let has_one_length = model.contains("titan-embed-text-v1") || model.contains("titan-embed-g1");
    if call.dimensions.is_some() && has_one_length {
        gaps.left_out(Field::Dimensions);
    } else {
        put(&mut body, "dimensions", call.dimensions);
    }
    // Its vectors are the same for every purpose, so that nothing is lost with `input_type`.
    if call.truncate.as_deref().is_some_and(|word| word != "NONE") {
        gaps.left_out(Field::Truncate);
    }
    Ok(body)
}

fn write_cohere(call: &EmbeddingCall, own: bool) -> Result<Map<String, Value>, Unsupported> {
    let texts = match &call.input {
        EmbeddingInput::Text(text) => vec![text.clone()],
        EmbeddingInput::Texts(texts) => texts.clone(),
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    let mut body = Map::new();
    put(&mut body, "texts", Some(texts));
    let otherwise = (!own).then_some(INPUT_TYPE);
    put(
        &mut body,
        "input_type",
        call.input_type.as_deref().or(otherwise),
    );
    put(&mut body, "truncate", call.truncate.clone());
    put(&mut body, "output_dimension", call.dimensions);
    Ok(body)
}

/// Reads a provider's answer, of either language.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut vectors = Vec::new();
    if let Some(vector) = fields.any("embedding") {
        vectors.push(read_vector(&vector)?);
    } else {
        // Cohere's, alone or by their types.
        let told = fields.any("embeddings").unwrap_or_default();
        let list = if told.is_array() {
            &told
        } else {
            &told["float"]
        };
        let Some(list) = list.as_array() else {
            return Err(fields.error("embedding", "is missing; it must be a list of numbers"));
        };
        for vector in list {
            vectors.push(read_vector(vector)?);
        }
    }
    let tokens = fields.any("inputTextTokenCount");
    let usage = tokens
        .and_then(|tokens| tokens.as_u64())
        .map(|input| Usage {
            input: Some(input),
            ..Usage::default()
        });
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors,
        usage,
        extra: Extra {
            dialect: Dialect::BedrockEmbeddings,
            fields: fields.rest(),
        },
    })))
}

fn read_vector(value: &Value) -> Result<Vector, ReadError> {
    let numbers = value.as_array().into_iter().flatten().map(Value::as_f64);
    numbers
        .collect::<Option<Vec<f64>>>()
        .filter(|_| value.is_array())
        .map(Vector::Floats)
        .ok_or_else(|| ReadError::shape("embedding", "must be a list of numbers"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;
    use crate::openai_embeddings;

    fn write(model: &str, body: &Value, drop_unsupported: bool) -> Result<Value, Unsupported> {
        let call = openai_embeddings::read_call(body.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: Dialect::BedrockEmbeddings,
            model: Some(model),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported,
        };
        let written = write_call(&call, &form)?;
        Ok(serde_json::from_slice(&written.body).unwrap())
    }

    #[test]
    fn each_model_is_asked_in_its_own_language() {
        let one = json!({"model": "e", "input": ["a"], "dimensions": 256});
        assert_eq!(
            write("amazon.titan-embed-text-v2:0", &one, false),
            Ok(json!({"inputText": "a", "dimensions": 256}))
        );
        assert_eq!(
            write("cohere.embed-v4:0", &one, false),
            Ok(json!({"texts": ["a"], "input_type": "search_document", "output_dimension": 256}))
        );
    }

    #[test]
    fn what_a_model_cannot_do_is_refused() {
        let refused = |model, body: &Value| write(model, body, false).unwrap_err().fields;
        let two = json!({"model": "e", "input": ["a", "b"]});
        assert_eq!(refused("amazon.titan-embed-text-v2:0", &two), ["input"]);
        assert!(write("amazon.titan-embed-text-v2:0", &two, true).is_err());
        let tokens = json!({"model": "e", "input": [1, 2]});
        assert_eq!(refused("cohere.embed-english-v3", &tokens), ["input"]);
        let sized = json!({"model": "e", "input": "a", "dimensions": 256});
        assert_eq!(
            refused("amazon.titan-embed-text-v1", &sized),
            ["dimensions"]
        );
    }

    #[test]
    fn calls_mean_the_same_when_written_again() {
        for (model, body) in [
            (
                "amazon.titan-embed-text-v2:0",
                json!({"inputText": "a", "dimensions": 256, "normalize": true}),
            ),
            (
                "cohere.embed-english-v3",
                json!({"texts": ["a", "b"], "input_type": "clustering", "truncate": "END", "embedding_types": ["float"]}),
            ),
        ] {
            let call = read_call(body.to_string().as_bytes()).unwrap();
            let form = CallForm {
                dialect: Dialect::BedrockEmbeddings,
                model: Some(model),
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
    }

    #[test]
    fn answers_of_both_are_read() {
        for (body, count, tokens) in [
            (
                json!({"embedding": [0.5, 1], "inputTextTokenCount": 3, "embeddingsByType": {}}),
                1,
                Some(3),
            ),
            (
                json!({"embeddings": [[0.5], [1.0]], "id": "x", "response_type": "embeddings_floats", "texts": ["a", "b"]}),
                2,
                None,
            ),
            (json!({"embeddings": {"float": [[0.5]]}}), 1, None),
        ] {
            let Ok(Answer::Embedding(answer)) = read_answer(body.to_string().as_bytes()) else {
                panic!("{body}");
            };
            assert_eq!(answer.vectors.len(), count);
            assert_eq!(answer.usage.and_then(|usage| usage.input), tokens);
        }
        assert!(read_answer(br#"{"message": "no"}"#).is_err());
    }
}
