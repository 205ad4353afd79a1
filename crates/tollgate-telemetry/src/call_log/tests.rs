//! Lines as they are written.

use std::sync::{Arc, Mutex, PoisonError};

use tollgate_domain::{Cost, Dialect, Picodollars, Task, Unmetered, Usage};

use super::*;
use crate::{AttemptOutcome, AttemptRecord, CallContent, Lost, Outcome, Params, told::Teller};

/// A call that failed over from one target to another.
pub(crate) fn record() -> CallRecord {
    CallRecord {
        id: None,
        request_id: "req-1".into(),
        came_at: Duration::from_millis(1_767_225_600_123),
        revision: "0a1b2c3d4e5f".into(),
        client_address: [127, 0, 0, 1].into(),
        method: http::Method::POST,
        path: "/v1/chat/completions",
        key: Some("team-a".into()),
        team: Some("research".into()),
        app: None,
        user: None,
        route: Some("chat".into()),
        task: Some(Task::Chat),
        client_dialect: Some(Dialect::OpenaiChat),
        model_asked: Some("chat".to_owned()),
        target: Some("anthropic/claude".into()),
        provider_kind: Some("anthropic".into()),
        model: Some("claude".into()),
        streamed: true,
        outcome: Outcome::Answered,
        status: 200,
        error_code: None,
        error_detail: None,
        attempts: vec![
            AttemptRecord {
                target: "openai/gpt".into(),
                provider_kind: "azure".into(),
                server: http::Uri::from_static("https://azure.example/v1"),
                key_ordinal: 2,
                outcome: AttemptOutcome::Failed,
                status: Some(503),
                failure: Some("overloaded"),
                begun: Duration::from_millis(1),
                backoff: Duration::ZERO,
                duration: Duration::from_micros(12_345),
                lost: Some(Box::new(Lost {
                    usage: Usage {
                        input: Some(3),
                        ..Usage::default()
                    },
                    unmetered: Unmetered::default(),
                    cost: Cost::Known(Picodollars::new(1_000_000)),
                })),
            },
            AttemptRecord {
                target: "anthropic/claude".into(),
                provider_kind: "anthropic".into(),
                server: http::Uri::from_static("http://anthropic.example:8443/v1"),
                key_ordinal: 1,
                outcome: AttemptOutcome::Answered,
                status: Some(200),
                failure: None,
                begun: Duration::from_millis(1),
                backoff: Duration::from_millis(250),
                duration: Duration::from_millis(80),
                lost: None,
            },
        ],
        usage: Usage {
            input: Some(10),
            input_cached: Some(90),
            output: Some(7),
            ..Usage::default()
        },
        unmetered: Unmetered::default(),
        cost: Some(Cost::Known(Picodollars::new(123_000_000))),
        hold: None,
        answering_model: Some("claude-20260901".into()),
        finish_reason: Some("stop".into()),
        params: Params {
            temperature: Some(0.5),
            top_p: None,
            max_tokens: Some(100),
            stream: true,
        },
        tags: vec!["canary".into()],
        dropped: vec!["seed".to_owned()],
        duration: Duration::from_millis(400),
        provider_time: Duration::from_millis(149),
        time_to_first_token: Some(Duration::from_millis(343)),
        request_bytes: 120,
        response_bytes: 900,
        traceparent: None,
        content: None,
        payload: None,
    }
}

#[test]
fn a_line_for_machines() {
    let mut line = Vec::new();
    Teller::default()
        .tell(&record())
        .write_line(&record(), &mut line);
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    insta::assert_json_snapshot!(value);
}

#[test]
fn a_line_for_people() {
    let mut line = Vec::new();
    pretty::format(&record(), &mut line);
    insta::assert_snapshot!(String::from_utf8(line).unwrap());
}

#[test]
fn content_is_told_only_where_it_was_kept() {
    let mut line = Vec::new();
    let content = CallContent {
        request: "ask".to_owned(),
        response: "tell".to_owned(),
    };
    let record = CallRecord {
        content: Some(content),
        ..record()
    };
    Teller::default()
        .tell(&record)
        .write_line(&record, &mut line);
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        (&value["request"], &value["response"]),
        (&"ask".into(), &"tell".into())
    );
}

#[test]
fn names_that_clients_make_up_do_not_reach_a_terminal() {
    let record = CallRecord {
        route: Some("openai/\u{1b}[2J\n".into()),
        ..record()
    };
    let mut line = Vec::new();
    pretty::format(&record, &mut line);
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains("openai/\\u{1b}[2J\\n →"), "{line:?}");
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn people_are_told_content_within_the_line_and_who_left() {
    let record = CallRecord {
        outcome: Outcome::ClientGone,
        content: Some(CallContent {
            request: "one\ntwo".to_owned(),
            response: "tell".to_owned(),
        }),
        ..record()
    };
    let mut line = Vec::new();
    pretty::format(&record, &mut line);
    let line = String::from_utf8(line).unwrap();
    assert!(
        line.contains("client_gone")
            && line.ends_with(r#"request "one\ntwo"  response "tell""#)
            && !line.contains('\n'),
        "{line}"
    );
}

/// A log that is held up until it is let go.
#[derive(Clone, Default)]
struct Out {
    bytes: Arc<Mutex<Vec<u8>>>,
    held: Arc<Mutex<()>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn long_lines_fill_the_room_before_there_are_many() {
    let out = Out::default();
    let _held = out.held.lock().unwrap();
    let (queue, _writer) = start(CallLog::Json, 1_000_000, Box::new(out.clone()));
    let lines = queue.lines();
    let content = CallContent {
        request: "ask".repeat(1 << 18),
        response: String::new(),
    };
    let record = CallRecord {
        content: Some(content),
        ..record()
    };
    let room = WAITING_BYTES_MAX as u64 / (3 << 18) + 1;
    for _ in 0..200 {
        lines.add(&record, &Teller::default().tell(&record));
    }
    // As much as there is room for may have been taken by the thread, which is held up then.
    assert!(queue.dropped() >= 200 - 2 * room);
    assert!(lines.waiting().bytes.len() < WAITING_BYTES_MAX + (1 << 20));
}

#[test]
fn a_full_queue_drops_lines_and_counts_them() {
    let out = Out::default();
    let held = out.held.lock().unwrap();
    let (queue, writer) = start(CallLog::Pretty, 2, Box::new(out.clone()));
    let workers = [queue.lines(), queue.lines()];
    for _ in 0..5_000 {
        workers
            .iter()
            .for_each(|lines| lines.add(&record(), &Teller::default().tell(&record())));
    }
    let dropped = queue.dropped();
    assert!(dropped > 0);
    drop(held);
    writer.finish(Duration::from_secs(10));
    let lines = out
        .bytes
        .lock()
        .unwrap()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count() as u64;
    assert_eq!(lines + dropped, 10_000, "every line was written or counted");
}
