//! Calls as traces: what a collector is sent, and that nobody waits for one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, chat_stream, openai_answer, openai_events, program};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn gateway(collector: &ScriptedProvider, provider: &ScriptedProvider) -> TestGateway {
    let configuration = format!(
        "traces: {{endpoint: \"{}\", headers: {{x-token: s3cret-of-the-collector}}}}\n\
         providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
         routes:\n  - {{name: chat, model: {{provider: openai, name: gpt-4o}}}}\n",
        collector.url(),
        provider.url()
    );
    TestGateway::start(program(), &configuration).await
}

/// Spans that a collector was sent, once there are so many.
async fn spans(collector: &ScriptedProvider, count: usize) -> Vec<Value> {
    for _ in 0..100 {
        let received = collector.received();
        let spans: Vec<Value> = received
            .iter()
            .flat_map(|request| {
                let told = request.json();
                let spans = told["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array();
                spans.cloned().unwrap_or_default()
            })
            .collect();
        if spans.len() >= count {
            return spans;
        }
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{:?}", collector.received())
}

#[tokio::test]
async fn a_collector_is_told_of_calls_and_of_every_try() {
    let collector = ScriptedProvider::always(Reply::json(200, &json!({}))).await;
    let provider = ScriptedProvider::start(|request| {
        if request.json()["user"] == "unlucky" {
            Reply::json(400, &json!({"error": {"message": "no"}}))
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let mut gateway = gateway(&collector, &provider).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    for (user, traceparent) in [("ann", &parent), ("unlucky", &parent), ("ann", &unsampled)] {
        let mut call = chat("chat");
        call["user"] = json!(user);
        gateway
            .post_with(
                "/v1/chat/completions",
                &call,
                &[("traceparent", traceparent)],
            )
            .await;
    }
    let spans = spans(&collector, 4).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span["traceId"] == TRACE));
    let names: Vec<&str> = spans
        .iter()
        .filter_map(|span| span["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "POST /v1/chat/completions",
            "chat gpt-4o",
            "POST /v1/chat/completions",
            "chat gpt-4o"
        ]
    );
    assert_eq!(
        (&spans[0]["parentSpanId"], &spans[1]["parentSpanId"]),
        (&json!("b7ad6b7169203331"), &spans[0]["spanId"])
    );
    let used = json!({"key": "gen_ai.usage.output_tokens", "value": {"intValue": "7"}});
    assert!(
        spans[1]["attributes"].as_array().unwrap().contains(&used),
        "{}",
        spans[1]
    );
    assert_eq!(
        (&spans[1]["status"], &spans[3]["status"]),
        (&json!({}), &json!({"code": 2}))
    );
    let sent = &collector.received()[0];
    assert_eq!(
        (sent.path.as_str(), sent.header("x-token")),
        ("/v1/traces", Some("s3cret-of-the-collector"))
    );
    // What is queued is sent before the end.
    gateway.post("/v1/chat/completions", &chat("chat")).await;
    gateway.signal("TERM");
    gateway.wait_for_end().await;
    self::spans(&collector, 6).await;
    assert!(!gateway.output().contains("s3cret"), "{}", gateway.output());
}

/// Whether its answer is passed through or translated, whole or streamed.
#[tokio::test]
async fn a_collector_is_told_which_model_has_answered() {
    let collector = ScriptedProvider::always(Reply::json(200, &json!({}))).await;
    let provider = ScriptedProvider::start(|request| {
        if request.json()["stream"] == true {
            return Reply::stream(openai_events(&["Hello"]));
        }
        Reply::json(200, &openai_answer("Hello"))
    })
    .await;
    let gateway = gateway(&collector, &provider).await;
    for (count, (path, mut call)) in [
        ("/v1/chat/completions", chat("chat")),
        ("/v1/chat/completions", chat_stream("chat")),
        ("/v1/messages", chat("chat")),
        ("/v1/messages", chat_stream("chat")),
    ]
    .into_iter()
    .enumerate()
    {
        call["max_tokens"] = json!(9);
        assert_eq!(gateway.post(path, &call).await.status, 200);
        let spans = spans(&collector, 2 * (count + 1)).await;
        let told =
            json!({"key": "gen_ai.response.model", "value": {"stringValue": "gpt-4o-mini-2024"}});
        let attempt = spans.last().expect("a try");
        let attributes = attempt["attributes"].as_array().expect("a list");
        assert!(attributes.contains(&told), "{path} {attempt:#}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_collector() {
    let takes_traces = Arc::<AtomicBool>::default();
    let takes = Arc::clone(&takes_traces);
    let collector = ScriptedProvider::start(move |_| match takes.load(Ordering::Relaxed) {
        true => Reply::json(200, &json!({})),
        false => Reply::json(503, &json!({"message": "full"})),
    })
    .await;
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let mut gateway = gateway(&collector, &provider).await;
    for _ in 0..3 {
        assert_eq!(
            gateway
                .post("/v1/chat/completions", &chat("chat"))
                .await
                .status,
            200
        );
    }
    let mut told = String::new();
    for _ in 0..100 {
        told = gateway.get("/metrics").await.text();
        if told.contains("tollgate_traces_dropped_total 3\n") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(told.contains("tollgate_traces_dropped_total 3\n"), "{told}");
    assert!(
        gateway.output().contains("does not take traces"),
        "{}",
        gateway.output()
    );
    // How many it was not told of is in the log once it is back, and of those after at the end.
    takes_traces.store(true, Ordering::Relaxed);
    gateway.post("/v1/chat/completions", &chat("chat")).await;
    dropped(&gateway, "the collector takes traces again", 3).await;
    takes_traces.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        gateway.post("/v1/chat/completions", &chat("chat")).await;
    }
    gateway.signal("TERM");
    gateway.wait_for_end().await;
    dropped(&gateway, "calls were not told as traces", 2).await;
}

/// A gateway that is told to end does not try again and again.
#[tokio::test]
async fn a_silent_collector_keeps_nobody_from_ending() {
    let collector = ScriptedProvider::always(Reply::hang()).await;
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let mut gateway = gateway(&collector, &provider).await;
    gateway.post("/v1/chat/completions", &chat("chat")).await;
    while collector.received().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    assert!(gateway.wait_for_end().await.success());
    dropped(&gateway, "calls were not told as traces", 1).await;
}

/// Waits for a line of the log that says how many calls were dropped.
async fn dropped(gateway: &TestGateway, message: &str, calls: u64) {
    for _ in 0..100 {
        let output = gateway.output();
        let mut lines = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.find(|line| line["message"] == message) {
            assert_eq!(line["calls_dropped"], calls, "{output}");
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{}", gateway.output())
}
