//! Calls and answers in MLflow's forms.

use tollgate_domain::Task;

use super::*;
use crate::{Answer, Vector};

fn write(call: &Call, chat_input: ChatInput) -> Result<Value, Unsupported> {
    let form = CallForm {
        dialect: Dialect::MlflowServing,
        model: Some("m"),
        stream_usage: StreamUsage::Ask,
        chat_input,
        drop_unsupported: false,
    };
    let written = write_call(call, &form)?;
    Ok(serde_json::from_slice(&written.body).unwrap())
}

fn chat(body: Value) -> Call {
    openai_chat::read_call(body.to_string().as_bytes()).unwrap()
}

fn read(task: Task, body: Value) -> Result<Answer, ReadError> {
    read_answer_to(task, body.to_string().as_bytes())
}

#[test]
fn a_chat_passes_whole_but_for_what_the_address_stands_for() {
    let call = chat(json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 5, "custom_inputs": {"a": 1},
        "messages": [{"role": "user", "content": "Hi"}],
    }));
    assert_eq!(
        write(&call, ChatInput::Messages),
        Ok(
            json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "custom_inputs": {"a": 1}})
        )
    );
}

#[test]
fn the_only_text_of_a_chat_becomes_inputs() {
    let call = |messages: Value, more: Value| {
        let mut body = json!({"model": "m", "temperature": 0.5, "messages": messages});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        write(&chat(body), ChatInput::Text)
    };
    let hi = json!({"role": "user", "content": "Hi"});
    assert_eq!(
        call(json!([hi]), json!({})),
        Ok(json!({"inputs": ["Hi"], "params": {"temperature": 0.5}}))
    );
    let brief = json!({"role": "system", "content": "Be brief"});
    let picture =
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]});
    for messages in [
        json!([]),
        json!([hi, hi]),
        json!([brief, hi]),
        json!([brief]),
        json!([picture]),
    ] {
        assert_eq!(
            call(messages, json!({})),
            Err(Unsupported::field("messages"))
        );
    }
    let format = json!({"response_format": {"type": "json_object"}});
    assert_eq!(
        call(json!([hi]), format),
        Err(Unsupported::field("response_format"))
    );
}

#[test]
fn a_completion_becomes_inputs_and_params() {
    let call = |body: Value| {
        let call = openai_completions::read_call(body.to_string().as_bytes()).unwrap();
        write(&call, ChatInput::Messages)
    };
    assert_eq!(
        call(
            json!({"model": "m", "prompt": "Hi", "temperature": 0.5, "stop": "x", "seed": 7, "own": true, "stream": true})
        ),
        Ok(
            json!({"inputs": ["Hi"], "params": {"temperature": 0.5, "seed": 7, "stop": ["x"], "own": true}})
        )
    );
    assert_eq!(
        call(json!({"prompt": ["a", "b"]})),
        Ok(json!({"inputs": ["a", "b"]}))
    );
    assert_eq!(
        call(json!({"prompt": [1, 2]})),
        Err(Unsupported::field("prompt"))
    );
}

#[test]
fn texts_to_embed_become_inputs() {
    let call = |body: Value| {
        let call = openai_embeddings::read_call(body.to_string().as_bytes()).unwrap();
        write(&call, ChatInput::Messages)
    };
    assert_eq!(
        call(
            json!({"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64"})
        ),
        Ok(json!({"inputs": ["a", "b"], "params": {"dimensions": 2}}))
    );
    assert_eq!(
        call(json!({"input": [[1, 2]]})),
        Err(Unsupported::field("input"))
    );
}

#[test]
fn predictions_are_texts_in_many_forms() {
    let candidates = json!({"candidates": [{"text": "Ho", "metadata": {}}]});
    for predictions in [
        json!(["Ho"]),
        json!("Ho"),
        json!([["Ho"]]),
        json!([{"text": "Ho"}]),
        json!([{"generated_text": "Ho"}]),
        json!([{"message": {"role": "assistant", "content": "Ho"}}]),
        json!([candidates]),
        candidates,
    ] {
        let body = json!({"predictions": predictions});
        let Ok(Answer::Chat(answer)) = read(Task::Completions, body) else {
            panic!("{predictions} is a text")
        };
        let [choice] = answer.choices.as_slice() else {
            panic!("{predictions} is one text")
        };
        assert_eq!(choice.content, [crate::Part::text("Ho")], "{predictions}");
    }
}

#[test]
fn what_is_no_text_and_no_vector_is_told_so() {
    let error = |task, body| read(task, body).unwrap_err().to_string();
    assert_eq!(
        error(Task::Chat, json!({"predictions": [1.5]})),
        "predictions[0]: is not a text"
    );
    assert_eq!(error(Task::Chat, json!({})), "predictions: is missing");
    assert_eq!(
        error(Task::Embeddings, json!({"predictions": [[1], ["a"]]})),
        "predictions[1]: is not a list of numbers"
    );
}

#[test]
fn vectors_are_read() {
    let body = json!({"predictions": [[0.5, 1], {"embedding": [2, 3]}]});
    let Ok(Answer::Embedding(answer)) = read(Task::Embeddings, body) else {
        panic!("vectors")
    };
    let expected = [
        Vector::Floats(vec![0.5, 1.0]),
        Vector::Floats(vec![2.0, 3.0]),
    ];
    assert_eq!(answer.vectors, expected);
}

#[test]
fn scores_pass_whole_both_ways() {
    let asked = json!({"dataframe_split": {"columns": ["a"], "data": [[1]]}});
    let call = read_call(asked.to_string().as_bytes()).unwrap();
    assert_eq!(write(&call, ChatInput::Messages), Ok(asked));
    let answered = json!({"predictions": [[1.0, null]]});
    let form = crate::AnswerForm {
        dialect: Dialect::MlflowServing,
        fallback_id: "",
        fallback_model: "",
        created: 0,
        include_usage: false,
        base64_vectors: false,
        asked: &[],
        kept: false,
    };
    let answer = read(Task::Predict, answered.clone()).unwrap();
    assert_eq!(write_answer(&answer, &form), answered.to_string());
    assert!(read_call(b"[1]").is_err());
}
