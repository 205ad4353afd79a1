//! Replicate: answers that are jobs, which are asked for again, listened to, and ended where nobody waits for them.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{chat, chat_stream, gateway};

const CONFIGURATION: &str = r#"
providers:
  - {name: replicate, type: replicate, base_url: "REPLICATE/v1", api_key: r8_key}
routes:
  - {name: llama, retries: {per_target: 0, attempts_max: 1}, model: {provider: replicate, name: meta/meta-llama-3-70b-instruct}}
"#;

async fn stage(provider: &ScriptedProvider) -> TestGateway {
    gateway(CONFIGURATION, &[("REPLICATE", provider)]).await
}

fn job(status: &str, more: Value) -> Value {
    let mut job = json!({"id": "abc123", "model": "meta/meta-llama-3-70b-instruct", "status": status, "error": null,
        "urls": {"get": "http://elsewhere.invalid/v1/predictions/abc123"}});
    if let (Some(job), Value::Object(more)) = (job.as_object_mut(), more) {
        job.extend(more);
    }
    job
}

fn done() -> Value {
    job(
        "succeeded",
        json!({"output": ["Hel", "lo"], "metrics": {"input_token_count": 5, "output_token_count": 2}}),
    )
}

fn asked(provider: &ScriptedProvider) -> Vec<(String, String)> {
    let received = provider.received().into_iter();
    received.map(|asked| (asked.method, asked.path)).collect()
}

/// A provider whose job runs for as many questions.
async fn working(questions: usize) -> ScriptedProvider {
    let seen = AtomicUsize::new(0);
    ScriptedProvider::start(move |request: &Received| match request.method.as_str() {
        "POST" if !request.path.ends_with("cancel") => {
            Reply::json(201, &job("starting", json!({})))
        }
        "GET" if seen.fetch_add(1, Ordering::Relaxed) + 1 >= questions => Reply::json(200, &done()),
        _ => Reply::json(200, &job("processing", json!({"output": ["Hel"]}))),
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_there_at_once_is_taken() {
    let provider = ScriptedProvider::always(Reply::json(201, &done())).await;
    let gateway = stage(&provider).await;
    let heard = gateway.post("/v1/chat/completions", &chat("llama")).await;
    let answer = heard.json();
    assert_eq!(
        answer["choices"][0]["message"]["content"], "Hello",
        "{answer}"
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 7);
    let received = provider.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].path, "/v1/predictions");
    assert_eq!(received[0].header("authorization"), Some("Bearer r8_key"));
    assert_eq!(received[0].header("prefer"), Some("wait"));
    assert_eq!(
        received[0].json(),
        json!({"version": "meta/meta-llama-3-70b-instruct", "input": {"prompt": "Hi"}})
    );
}

#[tokio::test]
async fn a_job_is_asked_for_until_it_is_done() {
    let provider = working(2).await;
    let gateway = stage(&provider).await;
    let call =
        json!({"model": "llama", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let heard = gateway.post("/v1/messages", &call).await;
    assert_eq!(
        heard.json()["content"][0]["text"],
        "Hello",
        "{}",
        heard.text()
    );
    // At the address that is configured, whatever the answer says.
    let again = || ("GET".to_owned(), "/v1/predictions/abc123".to_owned());
    assert_eq!(
        asked(&provider),
        [
            ("POST".to_owned(), "/v1/predictions".to_owned()),
            again(),
            again()
        ]
    );
    let again = &provider.received()[1];
    assert_eq!(again.header("authorization"), Some("Bearer r8_key"));
    assert_eq!((again.header("prefer"), again.body.len()), (None, 0));
    let call = &gateway.wait_for_calls(1).await[0];
    assert_eq!(call["gen_ai.usage.output_tokens"], 2, "{call}");
}

/// A stream elsewhere is not listened to: the whole answer is told as a stream.
#[tokio::test]
async fn where_a_job_does_not_stream_its_answer_is_told_as_a_stream() {
    let provider = ScriptedProvider::start(|request: &Received| match request.method.as_str() {
        "POST" => Reply::json(
            201,
            &job(
                "starting",
                json!({"urls": {"stream": "http://127.0.0.1:9/v1/streams/a"}}),
            ),
        ),
        _ => Reply::json(200, &done()),
    })
    .await;
    let gateway = stage(&provider).await;
    let heard = gateway
        .post("/v1/chat/completions", &chat_stream("llama"))
        .await;
    let text = heard.text();
    assert!(
        text.contains("Hello") && text.trim_end().ends_with("[DONE]"),
        "{text}"
    );
}

async fn streaming(events: &'static [&'static str], paced: bool) -> ScriptedProvider {
    use std::sync::{Arc, OnceLock};
    let url = Arc::new(OnceLock::<String>::new());
    let own = Arc::clone(&url);
    let provider = ScriptedProvider::start(move |request: &Received| {
        if request.path == "/v1/streams/a" {
            return match paced {
                true => Reply::stream(events.iter().copied()).paced(Duration::from_millis(5)),
                false => Reply::body(200, "text/event-stream", events.concat()),
            };
        }
        let stream = format!("{}/v1/streams/a", own.get().map_or("", String::as_str));
        Reply::json(201, &job("starting", json!({"urls": {"stream": stream}})))
    })
    .await;
    url.get_or_init(|| provider.url());
    provider
}

#[tokio::test]
async fn a_job_that_streams_is_listened_to() {
    // Piece by piece, and all at once.
    for paced in [true, false] {
        let events = &[
            "event: output\nid: 1:0\ndata: Hel\n\n",
            "event: output\nid: 2:0\ndata: lo\n\n",
            "event: done\nid: 3:0\ndata: {}\n\n",
        ];
        let provider = streaming(events, paced).await;
        let gateway = stage(&provider).await;
        let heard = gateway
            .post("/v1/chat/completions", &chat_stream("llama"))
            .await;
        let events = heard.events();
        let said: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter_map(|event| {
                let text = event["choices"][0]["delta"]["content"].as_str();
                text.map(str::to_owned)
            })
            .collect();
        assert_eq!(said, "Hello");
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        let received = provider.received();
        assert_eq!(received[0].json()["stream"], true);
        assert_eq!(received[0].header("prefer"), None);
        assert_eq!(received[1].header("accept"), Some("text/event-stream"));
        let call = &gateway.wait_for_calls(1).await[0];
        assert_eq!(call["outcome"], "answered", "{call}");
        // A stream counts nothing, so that the gateway does.
        assert_eq!(call["usage"]["is_estimated"], true, "{call}");
        // It is over, and nobody has to end it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(asked(&provider).len(), 2, "{:?}", asked(&provider));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_and_a_job_that_fails_are_told() {
    let events = &[
        "event: output\ndata: Hel\n\n",
        "event: error\ndata: {\"detail\": \"out of memory\"}\n\n",
    ];
    let provider = streaming(events, true).await;
    let gateway = stage(&provider).await;
    let heard = gateway
        .post("/v1/chat/completions", &chat_stream("llama"))
        .await;
    let text = heard.text();
    assert!(
        text.contains("out of memory") && !text.contains("[DONE]"),
        "{text}"
    );
    let failed = job("failed", json!({"error": "CUDA out of memory"}));
    let provider = ScriptedProvider::always(Reply::json(201, &failed)).await;
    let gateway = stage(&provider).await;
    let heard = gateway.post("/v1/chat/completions", &chat("llama")).await;
    assert_eq!(heard.status, 500, "{}", heard.text());
    assert!(
        heard.text().contains("CUDA out of memory"),
        "{}",
        heard.text()
    );
    // Recorded.
    let wrong = json!({"detail": "- input: text is required\n", "status": 422, "title": "Input validation failed",
        "invalid_fields": [{"type": "required", "field": "input", "description": "text is required"}]});
    let provider = ScriptedProvider::always(Reply::body(
        422,
        "application/problem+json",
        wrong.to_string(),
    ))
    .await;
    let gateway = stage(&provider).await;
    let heard = gateway.post("/v1/chat/completions", &chat("llama")).await;
    assert_eq!(heard.status, 422, "{}", heard.text());
    assert!(
        heard.text().contains("text is required"),
        "{}",
        heard.text()
    );
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_is_ended() {
    let provider = working(usize::MAX).await;
    let gateway = stage(&provider).await;
    let body = chat("llama").to_string().into_bytes();
    let call = client::post(gateway.address(), "/v1/chat/completions", &[], body);
    let left = tokio::time::timeout(Duration::from_millis(400), call).await;
    assert!(left.is_err(), "the client leaves first");
    let cancel = (
        "POST".to_owned(),
        "/v1/predictions/abc123/cancel".to_owned(),
    );
    for _ in 0..100 {
        if asked(&provider).contains(&cancel) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", asked(&provider));
}
