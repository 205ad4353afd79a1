//! What predictions say and what they can be asked.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, StreamUsage};

use super::*;
use crate::{CallForm, Delta, SseEvent, Stop, StopReason, StreamEvent, translate::ReadEvents};

const OWN: Dialect = Dialect::ReplicatePredictions;

fn form(drop_unsupported: bool) -> CallForm<'static> {
    CallForm {
        dialect: OWN,
        model: Some("meta/meta-llama-3-70b-instruct"),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    }
}

/// What is written, and what is refused or dropped.
fn written(from: Dialect, body: &Value) -> (Value, Vec<String>) {
    let call = crate::read_call(from, body.to_string().as_bytes()).unwrap();
    let lost = match write_call(&call, &form(false)) {
        Ok(written) => written.dropped,
        Err(unsupported) => unsupported.fields,
    };
    let written = write_call(&call, &form(true)).unwrap();
    (serde_json::from_slice(&written.body).unwrap(), lost)
}

#[test]
fn one_question_is_the_prompt_and_sampling_goes_with_it() {
    let call = json!({"model": "m", "stream": true, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["a", "b"], "user": "u",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]});
    let (body, dropped) = written(Dialect::OpenaiChat, &call);
    assert_eq!(
        body,
        json!({"version": "meta/meta-llama-3-70b-instruct", "stream": true, "input": {"prompt": "Hi", "system_prompt": "Be brief.",
            "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop_sequences": "a,b"}})
    );
    assert_eq!(dropped, ["user"]);
}

#[test]
fn a_conversation_is_a_script() {
    let call = json!({"model": "m", "max_tokens": 9, "system": "Be brief.", "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Who?"}]});
    let (body, dropped) = written(Dialect::AnthropicMessages, &call);
    assert_eq!(
        body["input"],
        json!({"prompt": "User: Hi\n\nAssistant: Hello\n\nUser: Who?\n\nAssistant:", "system_prompt": "Be brief.", "max_tokens": 9})
    );
    assert!(dropped.is_empty(), "{dropped:?}");
}

#[test]
fn what_is_no_text_is_refused() {
    let call = json!({"model": "m", "stop": ["a,b"], "n": 2, "tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "json_object"},
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "What?"}]}]});
    let (body, mut refused) = written(Dialect::OpenaiChat, &call);
    refused.sort();
    assert_eq!(
        refused,
        [
            "messages.content.image_url",
            "n",
            "response_format",
            "stop",
            "tools"
        ]
    );
    assert_eq!(body["input"], json!({"prompt": "What?"}));
}

#[test]
fn a_completion_is_a_prompt() {
    let call = json!({"model": "m", "prompt": "Once", "max_tokens": 3});
    let (body, lost) = written(Dialect::OpenaiCompletions, &call);
    assert_eq!(body["input"], json!({"prompt": "Once", "max_tokens": 3}));
    assert!(lost.is_empty(), "{lost:?}");
}

/// As recorded, but for the ids.
#[test]
fn a_job_says_where_it_stands() {
    let begun = json!({"id": "2knut", "model": "meta/llama-2-70b-chat", "version": "d-8f62", "input": {"prompt": "a joke"}, "logs": "", "error": null,
        "status": "starting", "created_at": "2024-02-12T16:45:41.730471035Z",
        "urls": {"cancel": "https://api.replicate.com/v1/predictions/2knut/cancel", "get": "https://api.replicate.com/v1/predictions/2knut",
            "stream": "https://streaming-api.svc.us.c.replicate.net/v1/streams/56o77"}});
    let job = Job::read(begun.to_string().as_bytes()).unwrap();
    assert_eq!((job.id.as_str(), job.state), ("2knut", JobState::Running));
    assert_eq!(
        job.stream.as_deref(),
        Some("https://streaming-api.svc.us.c.replicate.net/v1/streams/56o77")
    );
    let state = |status: &str, error: Value| {
        let body = json!({"id": "a", "status": status, "error": error});
        Job::read(body.to_string().as_bytes()).unwrap().state
    };
    assert_eq!(state("succeeded", Value::Null), JobState::Done);
    for (status, error, message) in [
        ("failed", json!("out of memory"), "out of memory"),
        ("canceled", Value::Null, "the prediction is `canceled`"),
    ] {
        let JobState::Failed(error) = state(status, error) else {
            panic!("{status}")
        };
        assert_eq!(error.message, message);
        assert_eq!(error.code.as_deref(), Some(status));
    }
    assert!(Job::read(b"{}").is_err() && Job::read(b"<html>").is_err());
}

#[test]
fn an_answer_is_its_pieces_and_its_metrics() {
    let done = json!({"id": "a", "model": "meta/m", "status": "succeeded", "output": ["Hel", "lo", ""], "metrics": {"input_token_count": 5, "output_token_count": 2, "predict_time": 0.3}});
    let Ok(Answer::Chat(answer)) = read_answer(done.to_string().as_bytes()) else {
        panic!("a chat")
    };
    assert_eq!(answer.choices[0].content, [Part::text("Hello")]);
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(5), Some(2)));
    let whole =
        json!({"id": "a", "status": "succeeded", "output": "Hi", "metrics": {"predict_time": 0.3}});
    let Ok(Answer::Chat(answer)) = read_answer(whole.to_string().as_bytes()) else {
        panic!("a chat")
    };
    assert_eq!(answer.choices[0].content, [Part::text("Hi")]);
    assert_eq!(answer.usage, None);
}

fn told(events: &[(&str, &str)]) -> Vec<StreamEvent> {
    let mut reader = StreamReader::default();
    let mut out = Vec::new();
    for (name, data) in events {
        let event = SseEvent {
            raw: Bytes::new(),
            name: Bytes::copy_from_slice(name.as_bytes()),
            data: Bytes::copy_from_slice(data.as_bytes()),
        };
        reader.read(&event, &mut out).unwrap();
    }
    out
}

#[test]
fn a_stream_is_pieces_of_text_and_its_end() {
    let events = told(&[
        ("output", "Hel"),
        ("logs", "x"),
        ("output", "lo\n"),
        ("done", "{}"),
    ]);
    let said: String = events
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Delta {
                delta: Delta::Text(text),
                ..
            } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, "Hello\n");
    assert!(matches!(events[0], StreamEvent::Start { .. }));
    let stop = Stop::new(StopReason::EndTurn);
    assert_eq!(
        events[events.len() - 2..],
        [StreamEvent::Stop { choice: 0, stop }, StreamEvent::End]
    );
}

#[test]
fn a_stream_that_is_ended_is_no_answer() {
    for (events, message) in [
        (
            [("output", "a"), ("error", r#"{"detail": "out of memory"}"#)],
            "out of memory",
        ),
        (
            [("output", "a"), ("done", r#"{"reason": "canceled"}"#)],
            "the prediction is `canceled`",
        ),
    ] {
        let events = told(&events);
        let Some(StreamEvent::Error(error)) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!(error.message, message);
    }
}

proptest! {
    #[test]
    fn a_call_of_its_own_comes_back_as_it_went(
        prompt in "[a-z ]{1,20}",
        system in proptest::option::of("[a-z]{1,9}"),
        max_tokens in proptest::option::of(1_u64..9999),
        stream in any::<bool>(),
    ) {
        let mut body = json!({"version": "meta/meta-llama-3-70b-instruct", "webhook": "https://example.com", "input": {"prompt": prompt, "prompt_template": "{prompt}"}});
        if let Some(system) = system {
            body["input"]["system_prompt"] = json!(system);
        }
        if let Some(max_tokens) = max_tokens {
            body["input"]["max_tokens"] = json!(max_tokens);
        }
        if stream {
            body["stream"] = json!(true);
        }
        let (back, lost) = written(OWN, &body);
        prop_assert_eq!(back, body);
        prop_assert!(lost.is_empty());
    }
}
