//! Models of Vertex AI that make vectors, asked by `predict`
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>, read 2026-11). Spoken by providers only.

use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Usage};

pub(crate) use crate::openai_embeddings::write_answer;

use crate::{
    Answer, Call, CallForm, EmbeddingAnswer, EmbeddingCall, EmbeddingInput, Extra, Field, Gaps,
    ReadError, Unsupported, Written,
    fields::Place,
    gemini_embeddings::USES,
    json::{Fields, put},
    openai_chat::to_bytes,
    openai_embeddings::read_numbers,
};

/// What Gemini's own calls say beside their texts, and what is taken over as it is.
const TOLD: [&str; 3] = ["taskType", "title", "autoTruncate"];

/// Reads a call as a client of this dialect would make it.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut texts = Vec::new();
    let mut purpose = None;
    for (index, value) in fields.list("instances")?.into_iter().enumerate() {
        let mut instance = Fields::of(format!("instances[{index}]"), value)?;
        texts.push(instance.required_text("content")?);
        let task_type = instance.text("task_type")?;
        if index > 0 && task_type != purpose || !instance.rest().is_empty() {
            let problem = "asks for something else than a vector for the same purpose";
            return Err(ReadError::shape(format!("instances[{index}]"), problem));
        }
        purpose = task_type;
    }
    let mut parameters = match fields.any("parameters") {
        Some(parameters) => Fields::of("parameters", parameters)?,
        None => Fields::of("parameters", json!({}))?,
    };
    let cuts = parameters.flag("autoTruncate")?;
    let known = |word: &str| USES.iter().find(|(_, theirs)| *theirs == word);
    let input_type = match &purpose {
        Some(word) => match known(word) {
            Some((ours, _)) => Some((*ours).to_owned()),
            None => Some(word.clone()),
        },
        None => None,
    };
    let dimensions = parameters.count("outputDimensionality")?;
    let left = parameters.rest();
    if !left.is_empty() {
        fields.leave("parameters", Value::Object(left));
    }
    Ok(Call::Embedding(Box::new(EmbeddingCall {
        model: String::new(),
        input: EmbeddingInput::Texts(texts),
        dimensions,
        encoding_format: None,
        input_type,
        truncate: cuts.map(|cuts| if cuts { "END" } else { "NONE" }.to_owned()),
        user: None,
        extra: Extra {
            dialect: Dialect::VertexEmbeddings,
            fields: fields.rest(),
        },
    })))
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let Call::Embedding(call) = call else {
        return Err(Unsupported::call(call));
    };
    let own = from == Dialect::VertexEmbeddings;
    let mut gaps = Gaps::new(from, Dialect::VertexEmbeddings);
    let texts = match &call.input {
        EmbeddingInput::Text(text) => std::slice::from_ref(text),
        EmbeddingInput::Texts(texts) => texts,
        // Nothing may be left out of these.
        EmbeddingInput::Tokens(_) => return Err(Unsupported::field("input")),
    };
    let purpose = call.input_type.as_deref().and_then(|wanted| {
        let known = USES.iter().find(|(ours, _)| *ours == wanted);
        let word = known.map(|(_, theirs)| *theirs).or(own.then_some(wanted));
        if word.is_none() {
            gaps.left_out(Field::InputType);
        }
        word
    });
    // Gemini has the same models, and says the same beside each text.
    let of_gemini = |name: &str| {
        let extra = call.extra.fields.get(name);
        extra.filter(|_| from == Dialect::GeminiEmbeddings)
    };
    let purpose = purpose.map(Value::from);
    let purpose = purpose.as_ref().or(of_gemini("taskType"));
    let instances = texts.iter().map(|text| {
        let mut instance = Map::new();
        put(&mut instance, "content", Some(text.as_str()));
        put(&mut instance, "task_type", purpose.cloned());
        put(&mut instance, "title", of_gemini("title").cloned());
        Value::Object(instance)
    });
    let mut body = Map::new();
    let instances: Vec<Value> = instances.collect();
    put(&mut body, "instances", Some(instances));
    let mut parameters = Map::new();
    put(&mut parameters, "outputDimensionality", call.dimensions);
    match call.truncate.as_deref() {
        None => put(
            &mut parameters,
            "autoTruncate",
            of_gemini("autoTruncate").cloned(),
        ),
        Some("NONE") => put(&mut parameters, "autoTruncate", Some(false)),
        Some("END") => put(&mut parameters, "autoTruncate", Some(true)),
        Some(_) => gaps.left_out(Field::Truncate),
    }
    if call.user.is_some() {
        gaps.left_out(Field::User);
    }
    for (name, value) in &call.extra.fields {
        match value {
            _ if of_gemini(name).is_some() && TOLD.contains(&name.as_str()) => {}
            Value::Object(members) if own && name == "parameters" => {
                parameters.extend(members.clone());
            }
            _ if own => put(&mut body, name, Some(value.clone())),
            _ => gaps.left_out_extra(Place::Body, name),
        }
    }
    if !parameters.is_empty() {
        put(&mut body, "parameters", Some(Value::Object(parameters)));
    }
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// Reads a provider's answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut vectors = Vec::new();
    let mut tokens: Option<u64> = None;
    if !fields.peek("predictions").is_some_and(Value::is_array) {
        return Err(fields.error(
            "predictions",
            "is missing; it must be a list of predictions",
        ));
    }
    for (index, prediction) in fields.list("predictions")?.into_iter().enumerate() {
        let path = format!("predictions[{index}].embeddings.values");
        let embeddings = &prediction["embeddings"];
        let values = embeddings["values"].as_array();
        let vector = values.and_then(|values| read_numbers(values));
        let problem = "is missing; it must be a list of numbers";
        vectors.push(vector.ok_or_else(|| ReadError::shape(path, problem))?);
        if let Some(counted) = whole(&embeddings["statistics"]["token_count"]) {
            tokens = Some(tokens.unwrap_or(0).saturating_add(counted));
        }
    }
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors,
        usage: tokens.map(|input| Usage {
            input: Some(input),
            ..Usage::default()
        }),
        extra: Extra {
            dialect: Dialect::VertexEmbeddings,
            fields: fields.rest(),
        },
    })))
}

/// A count, which may be written as a number with a point (`7.0`).
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64()?;
    let is_count = number >= 0.0 && number.fract() == 0.0;
    is_count.then(|| number.to_string().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{ChatInput, StreamUsage};

    use super::*;
    use crate::{Vector, cohere_embeddings, gemini_embeddings, openai_embeddings};

    const FORM: CallForm<'static> = CallForm {
        dialect: Dialect::VertexEmbeddings,
        model: None,
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported: false,
    };

    fn written(call: Result<Call, ReadError>) -> Result<Value, Unsupported> {
        let written = write_call(&call.unwrap(), &FORM)?;
        Ok(serde_json::from_slice(&written.body).unwrap())
    }

    fn of_openai(body: &Value) -> Result<Value, Unsupported> {
        written(openai_embeddings::read_call(body.to_string().as_bytes()))
    }

    fn of_cohere(body: &Value) -> Result<Value, Unsupported> {
        written(cohere_embeddings::read_call(body.to_string().as_bytes()))
    }

    #[test]
    fn each_text_is_an_instance() {
        assert_eq!(
            of_openai(&json!({"model": "e", "input": "a"})),
            Ok(json!({"instances": [{"content": "a"}]}))
        );
        assert_eq!(
            of_openai(
                &json!({"model": "e", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64"})
            ),
            Ok(json!({
                "instances": [{"content": "a"}, {"content": "b"}],
                "parameters": {"outputDimensionality": 256},
            }))
        );
        assert_eq!(
            of_cohere(
                &json!({"model": "e", "texts": ["a"], "input_type": "search_query", "truncate": "NONE", "embedding_types": ["float"]})
            ),
            Ok(json!({
                "instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}],
                "parameters": {"autoTruncate": false},
            }))
        );
    }

    #[test]
    fn what_gemini_says_beside_a_text_goes_over() {
        let text = |text: &str| json!({"model": "models/e", "content": {"parts": [{"text": text}]}, "taskType": "FACT_VERIFICATION", "title": "t", "autoTruncate": false});
        let body = json!({"requests": [text("a"), text("b")]});
        let instance =
            |text: &str| json!({"content": text, "task_type": "FACT_VERIFICATION", "title": "t"});
        assert_eq!(
            written(gemini_embeddings::read_call(body.to_string().as_bytes())),
            Ok(
                json!({"instances": [instance("a"), instance("b")], "parameters": {"autoTruncate": false}})
            )
        );
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let tokens = json!({"model": "e", "input": [1, 2]});
        assert_eq!(of_openai(&tokens).unwrap_err().fields, ["input"]);
        let cut = json!({"model": "e", "texts": ["a"], "input_type": "classification", "truncate": "START"});
        assert_eq!(of_cohere(&cut).unwrap_err().fields, ["truncate"]);
    }

    #[test]
    fn calls_mean_the_same_when_written_again() {
        for body in [
            json!({"instances": [{"content": "a"}, {"content": "b"}]}),
            json!({"instances": [{"content": "a", "task_type": "FACT_VERIFICATION"}], "parameters": {"outputDimensionality": 5, "autoTruncate": true, "x": 1}}),
        ] {
            assert_eq!(written(read_call(body.to_string().as_bytes())), Ok(body));
        }
        let differing =
            json!({"instances": [{"content": "a"}, {"content": "b", "task_type": "CLUSTERING"}]});
        assert!(read_call(differing.to_string().as_bytes()).is_err());
    }

    #[test]
    fn vectors_and_tokens_are_read() {
        let body = json!({
            "predictions": [
                {"embeddings": {"values": [0.5, -1], "statistics": {"truncated": false, "token_count": 7.0}}},
                {"embeddings": {"values": [2], "statistics": {"token_count": 3}}},
            ],
            "metadata": {"billableCharacterCount": 30},
        });
        let Ok(Answer::Embedding(answer)) = read_answer(body.to_string().as_bytes()) else {
            panic!("an answer");
        };
        assert_eq!(
            answer.vectors,
            [Vector::Floats(vec![0.5, -1.0]), Vector::Floats(vec![2.0])]
        );
        assert_eq!(answer.usage.unwrap().input, Some(10));
        for broken in [
            json!({}),
            json!({"predictions": [{"bytesBase64Encoded": "x"}]}),
            json!({"predictions": [{"embeddings": {"values": ["x"]}}]}),
        ] {
            assert!(
                read_answer(broken.to_string().as_bytes()).is_err(),
                "{broken}"
            );
        }
        let silent = json!({"predictions": [{"embeddings": {"values": [1]}}]});
        let Ok(Answer::Embedding(answer)) = read_answer(silent.to_string().as_bytes()) else {
            panic!("an answer");
        };
        assert_eq!(answer.usage, None);
    }
}
