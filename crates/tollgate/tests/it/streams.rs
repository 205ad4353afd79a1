//! Streams that break, split, stall, and clients that leave or do not read.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{TWO_PROVIDERS, anthropic_events, chat_stream, gateway, nobody, openai_events};

/// Both providers answer with a stream that the request's `max_tokens` cuts or splits at that byte.
async fn at_each_byte(
    openai: Vec<String>,
    anthropic: Vec<String>,
    change: fn(Reply, usize) -> Reply,
) -> (ScriptedProvider, ScriptedProvider) {
    let play = move |events: Vec<String>| {
        move |request: &tollgate_testkit::Received| {
            let at = request.json()["max_tokens"].as_u64().unwrap_or(0);
            change(
                Reply::stream(events.clone()),
                usize::try_from(at).unwrap_or(0),
            )
        }
    };
    (
        ScriptedProvider::start(play(openai)).await,
        ScriptedProvider::start(play(anthropic)).await,
    )
}

/// Asks both routes in both dialects for every offset; `check` gets route, path, offset and answer.
async fn ask_everywhere(
    configuration: &str,
    providers: (&ScriptedProvider, &ScriptedProvider),
    length: usize,
    step: usize,
    check: impl Fn(&str, &str, usize, &client::Answer),
) {
    let gateway = gateway(
        configuration,
        &[("OPENAI", providers.0), ("ANTHROPIC", providers.1)],
    )
    .await;
    for at in (1..length).step_by(step) {
        for (route, path) in [
            ("gpt", "/v1/chat/completions"),
            ("gpt", "/v1/messages"),
            ("claude", "/v1/chat/completions"),
            ("claude", "/v1/messages"),
        ] {
            let mut call = chat_stream(route);
            call["max_tokens"] = json!(at);
            let answer = gateway.post(path, &call).await;
            check(route, path, at, &answer);
        }
    }
}

const NO_RETRIES: &str = r#"
log: {calls: false}
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
routes:
  - {name: gpt, retries: {per_target: 0, attempts_max: 1}, model: {provider: openai, name: gpt-4o-mini}}
  - {name: claude, retries: {per_target: 0, attempts_max: 1}, model: {provider: anthropic, name: claude-sonnet-4-5}}
"#;

/// How often a stream says that it is complete.
fn end_marks(answer: &client::Answer) -> usize {
    answer
        .events()
        .iter()
        .filter(|event| *event == "[DONE]" || event.contains("\"message_stop\""))
        .count()
}

#[tokio::test]
async fn a_stream_cut_anywhere_never_looks_complete() {
    for (ending, name) in [(Ending::Cut, "cut"), (Ending::Clean, "ended")] {
        let change: fn(Reply, usize) -> Reply = if ending == Ending::Cut {
            |reply, at| reply.only(at, Ending::Cut)
        } else {
            |reply, at| reply.only(at, Ending::Clean)
        };
        let (openai, anthropic) = at_each_byte(
            openai_events(&["Grü", "ße"]),
            anthropic_events(&["Grü", "ße"]),
            change,
        )
        .await;
        let complete = |route: &str, at: usize| {
            let whole: String = if route == "gpt" {
                openai_events(&["Grü", "ße"]).concat()
            } else {
                anthropic_events(&["Grü", "ße"]).concat()
            };
            // The last blank line may be missing where the body ends cleanly, and after `[DONE]`, which nothing can follow.
            let needed = if ending == Ending::Clean || route == "gpt" {
                whole.len() - 2
            } else {
                whole.len()
            };
            at >= needed
        };
        let longest = anthropic_events(&["Grü", "ße"]).concat().len();
        ask_everywhere(
            NO_RETRIES,
            (&openai, &anthropic),
            longest,
            7,
            |route, path, at, answer| {
                let what = format!("{route} {path} {name} at {at}: {}", answer.text());
                assert!(answer.complete, "{what}");
                if complete(route, at) {
                    assert_eq!((answer.status, end_marks(answer)), (200, 1), "{what}");
                } else {
                    assert_eq!(end_marks(answer), 0, "{what}");
                    assert!(answer.text().contains("error"), "{what}");
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn an_end_mark_without_its_blank_line_is_the_end_however_the_connection_ends() {
    let whole = openai_events(&["Hello"]).concat();
    let (openai, anthropic) = at_each_byte(
        openai_events(&["Hello"]),
        anthropic_events(&["Hello"]),
        |reply, at| reply.only(at, Ending::Cut),
    )
    .await;
    let gateway = gateway(
        NO_RETRIES,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;
    for missing in [1, 2] {
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let mut call = chat_stream("gpt");
            call["max_tokens"] = json!(whole.len() - missing);
            let answer = gateway.post(path, &call).await;
            assert_eq!(end_marks(&answer), 1, "{path}: {}", answer.text());
            assert!(answer.text().ends_with("\n\n"), "{}", answer.text());
            assert!(!answer.text().contains("error"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn events_that_are_called_json_are_events() {
    let events = openai_events(&["Hel", "lo"]).concat();
    let openai = ScriptedProvider::always(Reply::body(200, "application/json", events)).await;
    let gateway = gateway(
        NO_RETRIES,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let answer = gateway.post(path, &chat_stream("gpt")).await;
        assert_eq!(
            (answer.status, end_marks(&answer)),
            (200, 1),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("Hel"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_split_anywhere_is_the_same_stream() {
    let (openai, anthropic) = at_each_byte(
        openai_events(&["Grü", "ße"]),
        anthropic_events(&["Grü", "ße"]),
        Reply::split_at,
    )
    .await;
    let longest = anthropic_events(&["Grü", "ße"]).concat().len();
    let first = std::sync::Mutex::new(std::collections::HashMap::new());
    ask_everywhere(
        NO_RETRIES,
        (&openai, &anthropic),
        longest,
        5,
        |route, path, at, answer| {
            let text = answer.events().join("\n");
            let created = text.find("\"created\":").map(|_| ());
            let mut first = first.lock().unwrap();
            let whole = first
                .entry(format!("{route} {path}"))
                .or_insert_with(|| text.clone());
            assert!(
                created.is_some() || *whole == text,
                "{route} {path} split at {at}"
            );
            assert_eq!(end_marks(answer), 1, "{route} {path} split at {at}: {text}");
            assert!(
                text.contains("Grü") && text.contains("ße"),
                "{route} {path} split at {at}: {text}"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_with_an_error_event() {
    let anthropic = ScriptedProvider::always(
        Reply::stream(anthropic_events(&["Sal", "ve"])[..4].to_vec()).ending(Ending::Hang),
    )
    .await;
    let configuration = TWO_PROVIDERS.replace(
        "api_key: sk-ant-up",
        "api_key: sk-ant-up, timeouts: {idle: 200ms}",
    );
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &nobody().await), ("ANTHROPIC", &anthropic)],
    )
    .await;
    let answer = gateway
        .post("/v1/chat/completions", &chat_stream("claude"))
        .await;
    let events = answer.events();
    assert!(
        events
            .last()
            .is_some_and(|event| event.contains("upstream_timeout")),
        "{events:?}"
    );
    assert_eq!(gateway.wait_for_calls(1).await[0]["outcome"], "cut");
}

#[tokio::test]
async fn words_leave_as_they_come() {
    let openai = ScriptedProvider::always(
        Reply::stream(openai_events(&["a", "b", "c"])).paced(Duration::from_millis(150)),
    )
    .await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let began = Instant::now();
    let mut stream = client::open(gateway.address(), "POST", "/v1/messages", &[], json!({"model": "gpt", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}).to_string().into_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\"text\":\"a\"") {
        text.push_str(&String::from_utf8_lossy(
            &stream.next().await.unwrap().expect("more"),
        ));
    }
    assert!(
        began.elapsed() < Duration::from_millis(450),
        "the first word waited for the others"
    );
    assert!(!text.contains("\"text\":\"c\""));
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_provider_at_once() {
    let openai = ScriptedProvider::always(
        Reply::stream(openai_events(&["x"; 500])).paced(Duration::from_millis(20)),
    )
    .await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let mut stream = client::open(
        gateway.address(),
        "POST",
        "/v1/chat/completions",
        &[],
        chat_stream("gpt").to_string().into_bytes(),
    )
    .await
    .unwrap();
    stream.next().await.unwrap();
    drop(stream);
    assert!(openai.wait_for_disconnect().await, "the provider goes on");
    assert_eq!(gateway.wait_for_calls(1).await[0]["outcome"], "client_gone");
}

/// Who cancels does not make the gateway look slow: what was waited for was the provider, before its answer and within it.
#[tokio::test]
async fn what_a_client_waits_for_that_leaves_is_the_providers_time() {
    let mut events = openai_events(&["x"; 9]);
    let first: String = events.drain(..2).collect();
    events.insert(0, first);
    let within = Reply::stream(events).paced(Duration::from_secs(9));
    for (reply, begins) in [(Reply::hang(), false), (within, true)] {
        let openai = ScriptedProvider::always(reply).await;
        let gateway = gateway(
            TWO_PROVIDERS,
            &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
        )
        .await;
        let call = chat_stream("gpt").to_string().into_bytes();
        let address = gateway.address();
        let left = tokio::time::timeout(Duration::from_millis(600), async {
            let opened = client::open(address, "POST", "/v1/chat/completions", &[], call);
            let mut stream = opened.await.unwrap();
            while stream.next().await.unwrap().is_some() {}
        })
        .await;
        assert!(left.is_err(), "the provider takes its time");
        let line = &gateway.wait_for_calls(1).await[0];
        assert_eq!(line["outcome"], "client_gone");
        let provider = line["provider_ms"].as_f64().expect("milliseconds");
        let own = line["gateway_ms"].as_f64().expect("milliseconds");
        assert!(provider > 300.0 && own < 300.0, "{line:#}");
        let attempt = line["attempts"][0]["duration_ms"].as_f64();
        assert!(begins || attempt > Some(300.0), "{line:#}");
    }
}

#[tokio::test]
async fn a_slow_client_slows_the_provider_and_takes_no_memory() {
    let word = "x".repeat(4_000);
    let events = openai_events(&vec![word.as_str(); 20_000]);
    let openai = ScriptedProvider::always(Reply::stream(events)).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let before = resident_bytes(&gateway).await;
    let mut stream = client::open(
        gateway.address(),
        "POST",
        "/v1/chat/completions",
        &[],
        chat_stream("gpt").to_string().into_bytes(),
    )
    .await
    .unwrap();
    stream.next().await.unwrap();
    sleep(Duration::from_millis(800)).await;
    let grown = resident_bytes(&gateway).await.saturating_sub(before);
    assert!(
        grown < 20_000_000,
        "{grown} bytes for 80 MB that nobody reads"
    );
}

/// What the gateway says that it has in memory.
async fn resident_bytes(gateway: &TestGateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let memory = metrics
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    memory
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(u64::MAX)
}
