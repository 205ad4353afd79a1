//! Providers that fail, and who is asked then.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, client};

use crate::stage::{
    TWO_PROVIDERS, anthropic_answer, anthropic_events, chat, chat_stream, gateway, nobody,
    openai_answer, openai_events,
};

/// First OpenAI, then Anthropic.
const ORDERED: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up, timeouts: {first_token: 300ms, idle: 300ms, connect: 500ms}}
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
routes:
  - name: safe
    retries: {per_target: 1, backoff: 10ms}
    model: {strategy: {type: ordered, models: [{provider: openai, name: gpt}, {provider: anthropic, name: claude}]}}
"#;

fn error(status: u16) -> Reply {
    Reply::json(
        status,
        &json!({"error": {"message": "provider's own words", "type": "x", "param": "p", "code": "c"}}),
    )
}

#[tokio::test]
async fn whatever_is_wrong_with_the_first_the_second_answers() {
    let faults = [
        ("500", error(500), 2),
        ("503", error(503), 1),
        ("429", error(429).header("retry-after", "30"), 1),
        ("401", error(401), 1),
        ("404", error(404), 1),
        (
            "redirect",
            error(302).header("location", "http://127.0.0.1:1/"),
            1,
        ),
        ("closed", Reply::close(), 2),
        (
            "reset",
            Reply::body(200, "application/json", "{\"id\"").ending(Ending::Reset),
            2,
        ),
        (
            "cut",
            Reply::json(200, &openai_answer("Hello")).only(40, Ending::Cut),
            2,
        ),
        (
            "garbage",
            Reply::garbage("\u{1}\u{2} no http at all\r\n\r\n"),
            2,
        ),
        ("not json", Reply::body(200, "text/html", "<html>"), 1),
        ("hang", Reply::hang(), 1),
        (
            "slow",
            Reply::json(200, &openai_answer("late")).after(Duration::from_secs(2)),
            1,
        ),
    ];
    for (name, fault, attempts_at_first) in faults {
        let openai = ScriptedProvider::always(fault).await;
        let anthropic =
            ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
        let gateway = gateway(ORDERED, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
        let answer = gateway.post("/v1/chat/completions", &chat("safe")).await;
        assert_eq!(
            answer.json()["choices"][0]["message"]["content"],
            "Salve",
            "{name}: {}",
            answer.text()
        );
        assert_eq!(
            answer.header("x-tollgate-target"),
            "anthropic/claude",
            "{name}"
        );
        assert_eq!(
            answer.header("x-tollgate-attempts"),
            (attempts_at_first + 1).to_string(),
            "{name}"
        );
        let attempts = gateway.wait_for_calls(1).await[0]["attempts"].clone();
        assert_eq!(
            attempts.as_array().map(Vec::len),
            Some(attempts_at_first + 1),
            "{name}: {attempts}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_content_is_asked_for_elsewhere() {
    let error_event =
        "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";
    let faults = [
        ("error event", Reply::stream([error_event])),
        (
            "role only, then an end",
            Reply::stream(openai_events(&[])).only(150, Ending::Clean),
        ),
        (
            "role only, then a cut",
            Reply::stream(openai_events(&["Hi"])).only(150, Ending::Cut),
        ),
        (
            "role only, then silence",
            Reply::stream(openai_events(&["Hi"])).only(160, Ending::Hang),
        ),
    ];
    for (name, fault) in faults {
        let openai = ScriptedProvider::always(fault).await;
        let anthropic =
            ScriptedProvider::always(Reply::stream(anthropic_events(&["Sal", "ve"]))).await;
        let gateway = gateway(ORDERED, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
        let answer = gateway
            .post("/v1/chat/completions", &chat_stream("safe"))
            .await;
        let text = answer.text();
        assert!(
            text.contains("\"Sal\"")
                && text.ends_with("data: [DONE]\n\n")
                && !text.contains("error"),
            "{name}: {text}"
        );
    }
}

#[tokio::test]
async fn a_providers_error_reaches_the_client_in_its_own_dialect() {
    let openai = ScriptedProvider::always(error(429).header("retry-after", "7")).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let answer = gateway.post("/v1/chat/completions", &chat("gpt")).await;
    assert_eq!(
        (
            answer.status,
            answer.header("retry-after"),
            answer.header("x-tollgate-upstream-status")
        ),
        (429, "7", "429")
    );
    assert_eq!(
        (
            &answer.json()["error"]["message"],
            &answer.json()["error"]["code"],
            &answer.json()["error"]["param"]
        ),
        (&json!("provider's own words"), &json!("c"), &json!("p"))
    );
    // The provider asked for a pause, so it is not asked again within it.
    let call =
        json!({"model": "gpt", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = gateway.post("/v1/messages", &call).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
    assert_eq!(openai.received().len(), 1);
}

#[tokio::test]
async fn a_refused_key_is_set_aside_and_never_blamed_on_the_caller() {
    let openai = ScriptedProvider::start(|request| {
        if request.header("authorization") == Some("Bearer dead") {
            error(401)
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let two_keys = r#"
providers: [{name: openai, type: openai, base_url: "OPENAI/v1", api_keys: [dead, alive]}]
routes: [{name: gpt, model: {provider: openai, name: gpt}}]
"#;
    let first = gateway(two_keys, &[("OPENAI", &openai)]).await;
    for _ in 0..20 {
        assert_eq!(
            first
                .post("/v1/chat/completions", &chat("gpt"))
                .await
                .status,
            200
        );
    }
    let dead = openai
        .received()
        .iter()
        .filter(|request| request.header("authorization") == Some("Bearer dead"))
        .count();
    assert!(dead <= 1, "a dead key was tried {dead} times");

    let one_key = two_keys.replace("[dead, alive]", "[dead]");
    let second = gateway(&one_key, &[("OPENAI", &openai)]).await;
    let answer = second.post("/v1/chat/completions", &chat("gpt")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (502, &json!("upstream_credentials_exhausted"))
    );
    assert!(
        !answer.text().contains("dead") && !second.output().contains("dead"),
        "a key was told"
    );
}

#[tokio::test]
async fn what_a_caller_did_wrong_sets_nobody_aside() {
    let openai = ScriptedProvider::start(|request| {
        if request.json()["bad"] == true {
            error(400)
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let mut bad = chat("gpt");
    bad["bad"] = json!(true);
    for _ in 0..10 {
        let answer = gateway.post("/v1/chat/completions", &bad).await;
        assert_eq!(
            (answer.status, answer.header("x-tollgate-attempts")),
            (400, "1")
        );
    }
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("gpt"))
            .await
            .status,
        200
    );
    assert_eq!(openai.received().len(), 11);
}

#[tokio::test]
async fn a_target_that_fails_is_left_alone_and_its_retries_are_bounded() {
    let openai = ScriptedProvider::always(error(500)).await;
    let anthropic = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let gateway = gateway(ORDERED, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
    for _ in 0..30 {
        assert_eq!(
            gateway
                .post("/v1/chat/completions", &chat("safe"))
                .await
                .status,
            200
        );
    }
    assert!(
        openai.received().len() <= 4,
        "a broken target was asked {} times",
        openai.received().len()
    );
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics.contains("tollgate_target_cooling{target=\"openai/gpt\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_quickly_and_without_an_address() {
    let gone = ScriptedProvider::always(Reply::close()).await;
    let url = gone.url();
    drop(gone);
    let configuration = TWO_PROVIDERS.replace("OPENAI", &url);
    let gateway = gateway(&configuration, &[("ANTHROPIC", &nobody().await)]).await;
    let answer = gateway.post("/v1/chat/completions", &chat("gpt")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (502, &json!("upstream_unreachable"))
    );
    assert!(!answer.text().contains("127.0.0.1"));
}

#[tokio::test]
async fn answers_that_come_compressed_unasked_are_unpacked() {
    let gzip = |status, content_type: &str, plain: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain.as_bytes()).unwrap();
        Reply::body(status, content_type, encoder.finish().unwrap())
            .header("content-encoding", "gzip")
    };
    let openai = ScriptedProvider::in_turn(vec![
        gzip(200, "application/json", &openai_answer("Hello").to_string()),
        gzip(
            200,
            "text/event-stream",
            &openai_events(&["Hel", "lo"]).concat(),
        )
        .dripped(7, Duration::from_millis(1)),
        gzip(
            400,
            "application/json",
            &json!({"error": {"message": "too hot"}}).to_string(),
        ),
        Reply::json(400, &json!({})).header("content-encoding", "unheard-of"),
    ])
    .await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let path = "/v1/chat/completions";
    let answer = gateway.post(path, &chat("gpt")).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello");
    let events = gateway.post(path, &chat_stream("gpt")).await.events();
    assert!(events[1].contains("\"Hel\""), "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let refused = gateway.post(path, &chat("gpt")).await;
    assert_eq!(refused.json()["error"]["message"], "too hot");
    let unread = gateway.post(path, &chat("gpt")).await;
    assert_eq!(unread.status, 400, "the status can be told all the same");
    assert_eq!(
        openai.received()[0].header("accept-encoding"),
        Some("identity")
    );
}

#[tokio::test]
async fn an_error_told_with_status_200_is_an_error_for_every_client() {
    let said = json!({"error": {"message": "no capacity", "type": "server_error", "code": 503}});
    let openai = ScriptedProvider::always(Reply::json(200, &said)).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let mut call = chat("gpt");
    call["max_tokens"] = json!(9);
    for stream in [false, true] {
        call["stream"] = json!(stream);
        for path in ["/v1/messages", "/v1/chat/completions"] {
            let answer = gateway.post(path, &call).await;
            assert_eq!(
                answer.json()["error"]["message"],
                "no capacity",
                "{path}, streamed: {stream}: {}",
                answer.text()
            );
            assert!(answer.status >= 500);
        }
    }
}

#[tokio::test]
async fn failed_calls_say_of_which_route_and_target_they_are() {
    let openai = ScriptedProvider::always(error(400)).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let answer = gateway.post("/v1/chat/completions", &chat("gpt")).await;
    assert_eq!(
        (
            answer.header("x-tollgate-route"),
            answer.header("x-tollgate-target")
        ),
        ("gpt", "openai/gpt-4o-mini")
    );
}

#[tokio::test]
async fn streams_that_break_count_against_their_target_where_it_can_be_seen() {
    let cut = Reply::stream(openai_events(&["Hel", "lo"])).only(420, Ending::Cut);
    let openai = ScriptedProvider::always(cut.paced(Duration::from_millis(20))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    for _ in 0..3 {
        let answer = gateway
            .post("/v1/chat/completions", &chat_stream("gpt"))
            .await;
        assert!(answer.text().contains("upstream_cut"), "{}", answer.text());
    }
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics.contains("tollgate_target_cooldowns_total{target=\"openai/gpt-4o-mini\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_probe_whose_client_leaves_makes_room_for_the_next() {
    let openai = ScriptedProvider::in_turn(vec![
        error(503),
        error(503),
        error(503),
        Reply::hang(),
        Reply::json(200, &openai_answer("back")),
    ])
    .await;
    let anthropic = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let patient = ORDERED.replace("first_token: 300ms", "first_token: 20s");
    let gateway = gateway(&patient, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
    let call = chat("safe");
    for _ in 0..4 {
        gateway.post("/v1/chat/completions", &call).await;
    }
    assert_eq!(openai.received().len(), 3, "it is left alone");
    sleep(Duration::from_secs(6)).await;
    let probe = gateway.post("/v1/chat/completions", &call);
    assert!(timeout(Duration::from_millis(500), probe).await.is_err());
    assert!(openai.wait_for_disconnect().await);
    let answer = gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(answer.header("x-tollgate-target"), "openai/gpt");
}

/// Far more calls than it can do at once: some are refused without delay, the others answered, and afterwards all are.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_keep_up_refuses_some_calls() {
    let provider = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let configuration = format!(
        "server: {{workers: 1, limits: {{late: 20ms}}}}\nstore: {{url: none}}\n{TWO_PROVIDERS}"
    );
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &nobody().await), ("ANTHROPIC", &provider)],
    )
    .await;
    // Long, and to be translated.
    let mut call = chat("claude");
    call["messages"] = (0..3000)
        .map(|number| {
            let role = if number % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": "word ".repeat(10)})
        })
        .chain([json!({"role": "user", "content": "Hi"})])
        .collect();
    let body = call.to_string().into_bytes();
    let address = gateway.address();
    let until = Instant::now() + Duration::from_secs(4);
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        let body = body.clone();
        callers.spawn(async move {
            let (mut answered, mut refused) = (0, 0);
            while Instant::now() < until {
                let sent = client::post(address, "/v1/chat/completions", &[], body.clone());
                let Ok(answer) = sent.await else {
                    continue;
                };
                match answer.status {
                    200 => answered += 1,
                    503 => {
                        assert_eq!(answer.json()["error"]["code"], "gateway_overloaded");
                        assert_eq!(answer.header("retry-after"), "1");
                        refused += 1;
                    }
                    status => panic!("{status}: {}", answer.text()),
                }
            }
            (answered, refused)
        });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(counts) = callers.join_next().await {
        let counts = counts.expect("no panic");
        answered += counts.0;
        refused += counts.1;
    }
    assert!(
        answered > 10 && refused > 10,
        "{answered} answered, {refused} refused"
    );
    sleep(Duration::from_millis(1500)).await;
    for _ in 0..20 {
        let answer = gateway.post("/v1/chat/completions", &chat("claude")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    println!("{answered} answered, {refused} refused");
}

/// Those beyond 256 were closed after each call, and others opened: with 2,000 callers, two in three.
#[tokio::test]
async fn as_many_connections_are_kept_as_callers_wait_at_once() {
    const CALLERS: usize = 350;
    let slow = Reply::json(200, &openai_answer("Hello")).after(Duration::from_millis(700));
    let provider = ScriptedProvider::always(slow).await;
    let configuration = r#"
server: {workers: 1}
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - {name: slow, model: {provider: openai, name: gpt}}
"#;
    let gateway = gateway(configuration, &[("OPENAI", &provider)]).await;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (address, call) = (gateway.address(), chat("slow").to_string());
        callers.spawn(async move {
            let headers = [("content-type", "application/json")];
            client::post(address, "/v1/chat/completions", &headers, call.into()).await
        });
    }
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.expect("no panic").expect("an answer").status, 200);
    }
    let open = provider.open_connections();
    assert!(open > 300, "{open} of {CALLERS}");
}
