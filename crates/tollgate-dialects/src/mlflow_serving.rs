//! MLflow's scoring server: `POST /invocations` (MLflow 3.17, `mlflow.pyfunc.scoring_server`).
//!
//! A chat body passes as it is, and a chat model answers in OpenAI's form; anything else is `inputs` in and `predictions` out. There
//! are no streams.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, StreamUsage, Task};

use crate::{
    Answer, AnswerChoice, AnswerForm, Call, CallForm, ChatAnswer, CompletionCall, EmbeddingAnswer,
    EmbeddingCall, EmbeddingInput, Extra, Gaps, Part, PromptInput, ReadError, Stop, StopReason,
    Unsupported, Vector, Written,
    json::put,
    openai_chat::{self, to_bytes},
    openai_embeddings,
};

// === calls ===

/// Reads a client's call: a score, whatever it holds.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    if value.is_object() {
        Ok(Call::Predict(value))
    } else {
        Err(ReadError::shape("body", "is not a JSON object"))
    }
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    match call {
        Call::Chat(_) => write_chat(call, form),
        Call::Completion(call) => write_completion(call, form),
        Call::Embedding(call) => write_embedding(call, form),
        Call::Predict(value) => Ok(Written {
            body: to_bytes(value),
            dropped: Vec::new(),
        }),
    }
}

/// OpenAI's form, as MLflow's chat models take it: without the model, and never streamed.
fn write_chat(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let as_openai = CallForm {
        dialect: Dialect::OpenaiChat,
        model: None,
        stream_usage: StreamUsage::Unasked,
        ..*form
    };
    let written = openai_chat::write_call(call, &as_openai)?;
    let mut body: Map<String, Value> = serde_json::from_slice(&written.body).unwrap_or_default();
    body.remove("stream");
    body.remove("stream_options");
    if let Some(cap) = body.remove("max_completion_tokens") {
        body.insert("max_tokens".to_owned(), cap);
    }
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        ..written
    })
}

fn write_completion(call: &CompletionCall, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let mut gaps = Gaps::new(Dialect::OpenaiCompletions, Dialect::MlflowServing);
    let inputs = match &call.prompt {
        PromptInput::Text(text) => vec![text.clone()],
        PromptInput::Texts(texts) => texts.clone(),
        PromptInput::Tokens(_) => {
            return Err(Unsupported {
                fields: vec!["prompt".to_owned()],
            });
        }
    };
    let mut params = call.extra.fields.clone();
    put(&mut params, "max_tokens", call.max_tokens);
    put(&mut params, "temperature", call.temperature);
    put(&mut params, "top_p", call.top_p);
    put(
        &mut params,
        "stop",
        (!call.stop.is_empty()).then(|| call.stop.clone()),
    );
    put(&mut params, "n", call.n.filter(|n| *n != 1));
    for (name, is_set) in [
        ("suffix", call.suffix.is_some()),
        ("echo", call.echo == Some(true)),
        ("best_of", call.best_of.is_some_and(|best| best > 1)),
        ("frequency_penalty", call.frequency_penalty.is_some()),
        ("presence_penalty", call.presence_penalty.is_some()),
        ("seed", call.seed.is_some()),
        ("logprobs", call.logprobs.is_some()),
        ("user", call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(name);
        }
    }
    Ok(Written {
        body: write_inputs(&json!(inputs), params),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

fn write_embedding(call: &EmbeddingCall, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let mut gaps = Gaps::new(Dialect::OpenaiEmbeddings, Dialect::MlflowServing);
    let inputs = match &call.input {
        EmbeddingInput::Text(text) => vec![text.clone()],
        EmbeddingInput::Texts(texts) => texts.clone(),
        EmbeddingInput::Tokens(_) => {
            return Err(Unsupported {
                fields: vec!["input".to_owned()],
            });
        }
    };
    if call.dimensions.is_some() {
        gaps.left_out("dimensions");
    }
    if call.user.is_some() {
        gaps.left_out("user");
    }
    Ok(Written {
        body: write_inputs(&json!(inputs), call.extra.fields.clone()),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

fn write_inputs(inputs: &Value, params: Map<String, Value>) -> Bytes {
    let mut body = Map::new();
    put(&mut body, "inputs", Some(inputs.clone()));
    put(&mut body, "params", (!params.is_empty()).then_some(params));
    to_bytes(&Value::Object(body))
}

// === answers ===

/// Reads a provider's whole answer to a task.
pub(crate) fn read_answer(task: Task, body: &[u8]) -> Result<Answer, ReadError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    match task {
        Task::Predict => Ok(Answer::Predict(value)),
        Task::Chat | Task::Completions if value["choices"].is_array() => {
            openai_chat::read_answer(body)
        }
        Task::Chat | Task::Completions => read_texts(&value),
        Task::Embeddings if value["data"].is_array() => openai_embeddings::read_answer(body),
        Task::Embeddings => read_vectors(&value),
    }
}

fn read_texts(value: &Value) -> Result<Answer, ReadError> {
    let choice = |(index, prediction): (usize, &Value)| {
        let text = text_of(prediction)
            .ok_or_else(|| ReadError::shape(format!("predictions[{index}]"), "is not a text"))?;
        Ok(AnswerChoice {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            content: vec![Part::text(text)],
            stop: Some(Stop::new(StopReason::EndTurn)),
            logprobs: None,
            extra: Map::new(),
        })
    };
    let choices = predictions(value)?
        .into_iter()
        .enumerate()
        .map(choice)
        .collect::<Result<_, _>>()?;
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: String::new(),
        model: String::new(),
        created: None,
        choices,
        usage: None,
        service_tier: None,
        extra: Extra::new(Dialect::MlflowServing),
    })))
}

/// `predictions`: a list, one value, or an object that holds `candidates`.
fn predictions(value: &Value) -> Result<Vec<&Value>, ReadError> {
    match &value["predictions"] {
        Value::Null => Err(ReadError::shape("predictions", "is missing")),
        Value::Array(list) => Ok(list.iter().collect()),
        Value::Object(object) => match object.get("candidates").and_then(Value::as_array) {
            Some(candidates) => Ok(candidates.iter().collect()),
            None => Ok(vec![&value["predictions"]]),
        },
        single => Ok(vec![single]),
    }
}

/// The text of a prediction, in the forms that MLflow's own flavors give.
fn text_of(prediction: &Value) -> Option<String> {
    match prediction {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => text_of(parts.first()?),
        Value::Object(object) => ["text", "content", "generated_text", "output", "message"]
            .iter()
            .find_map(|name| text_of(object.get(*name)?)),
        _ => None,
    }
}

fn read_vectors(value: &Value) -> Result<Answer, ReadError> {
    let vector = |(index, prediction): (usize, &Value)| {
        let numbers = prediction
            .as_array()
            .or_else(|| prediction["embedding"].as_array());
        let floats = numbers.and_then(|numbers| numbers.iter().map(Value::as_f64).collect());
        floats.map(Vector::Floats).ok_or_else(|| {
            ReadError::shape(format!("predictions[{index}]"), "is not a list of numbers")
        })
    };
    let vectors = predictions(value)?
        .into_iter()
        .enumerate()
        .map(vector)
        .collect::<Result<_, _>>()?;
    Ok(Answer::Embedding(Box::new(EmbeddingAnswer {
        model: String::new(),
        vectors,
        usage: None,
        extra: Extra::new(Dialect::MlflowServing),
    })))
}

/// Writes a whole answer for a client that scores.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Predict(value) => to_bytes(value),
        Answer::Chat(_) => openai_chat::write_answer(answer, form),
        Answer::Embedding(_) => openai_embeddings::write_answer(answer, form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartKind;

    fn body(call: &Call) -> Value {
        let form = CallForm {
            dialect: Dialect::MlflowServing,
            model: None,
            stream_usage: StreamUsage::Unasked,
            drop_unsupported: true,
        };
        serde_json::from_slice(&write_call(call, &form).unwrap().body).unwrap()
    }

    #[test]
    fn a_chat_passes_whole_but_for_model_and_stream() {
        let call = openai_chat::read_call(br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}"#).unwrap();
        assert_eq!(
            body(&call),
            json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5})
        );
    }

    #[test]
    fn a_completion_becomes_inputs_and_predictions_become_its_texts() {
        let call = crate::openai_completions::read_call(
            br#"{"model":"m","prompt":"Hi","temperature":0.5}"#,
        )
        .unwrap();
        assert_eq!(
            body(&call),
            json!({"inputs": ["Hi"], "params": {"temperature": 0.5}})
        );
        for predictions in [
            json!(["Ho"]),
            json!("Ho"),
            json!([{"text": "Ho"}]),
            json!({"candidates": [{"text": "Ho"}]}),
            json!([["Ho"]]),
        ] {
            let answer = read_answer(
                Task::Completions,
                json!({"predictions": predictions}).to_string().as_bytes(),
            )
            .unwrap();
            let Answer::Chat(answer) = answer else {
                panic!("a text")
            };
            assert!(
                matches!(&answer.choices[0].content[0].kind, PartKind::Text { text, .. } if text == "Ho"),
                "{predictions}"
            );
        }
    }

    #[test]
    fn vectors_are_read() {
        let answer = read_answer(Task::Embeddings, br#"{"predictions":[[0.5,1],[2,3]]}"#).unwrap();
        let Answer::Embedding(answer) = answer else {
            panic!("vectors")
        };
        assert_eq!(
            answer.vectors,
            [
                Vector::Floats(vec![0.5, 1.0]),
                Vector::Floats(vec![2.0, 3.0])
            ]
        );
    }

    #[test]
    fn what_is_neither_is_told_so() {
        assert_eq!(
            read_answer(Task::Chat, b"{\"predictions\":[1.5]}")
                .unwrap_err()
                .to_string(),
            "predictions[0]: is not a text"
        );
        assert!(read_answer(Task::Chat, b"{}").is_err());
    }

    #[test]
    fn a_score_passes_whole() {
        let call = read_call(br#"{"dataframe_split":{"columns":["a"],"data":[[1]]}}"#).unwrap();
        assert_eq!(
            body(&call),
            json!({"dataframe_split": {"columns": ["a"], "data": [[1]]}})
        );
    }

    #[test]
    fn a_chat_model_answers_in_openais_form() {
        let answer = read_answer(Task::Chat, br#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Ho"},"finish_reason":"stop"}]}"#);
        assert!(matches!(answer, Ok(Answer::Chat(_))));
    }
}
