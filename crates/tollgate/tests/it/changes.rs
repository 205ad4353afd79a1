//! Configurations that change under load, and going down.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::{interval, sleep};
use tokio_util::task::TaskTracker;
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{
    TWO_PROVIDERS, chat, chat_stream, gateway, nobody, openai_answer, openai_events, program,
};

#[tokio::test]
async fn a_broken_file_keeps_the_old_configuration_and_says_so() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let before = gateway.get("/readyz").await.json()["revision"].clone();
    gateway.write_configuration("routes: [{name: x, modle: {}}]");
    let mut told = json!(null);
    for _ in 0..100 {
        told = gateway.get("/readyz").await.json();
        if told["configuration"]["status"] != "current" {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(told["revision"], before);
    assert!(
        told["configuration"]["problem"]
            .as_str()
            .is_some_and(|problem| problem.contains("modle")),
        "{told}"
    );
    assert!(
        gateway
            .get("/metrics")
            .await
            .text()
            .contains("tollgate_config_current 0")
    );
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("gpt"))
            .await
            .status,
        200
    );

    let renamed = TWO_PROVIDERS
        .replace("name: gpt,", "name: gpt-new,")
        .replace("OPENAI", &openai.url())
        .replace("ANTHROPIC", &openai.url());
    gateway.write_configuration(&renamed);
    gateway.signal("HUP");
    for _ in 0..100 {
        if gateway
            .post("/v1/chat/completions", &chat("gpt-new"))
            .await
            .status
            == 200
        {
            assert_eq!(
                gateway.get("/readyz").await.json()["configuration"]["status"],
                "current"
            );
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the new configuration was not taken:\n{}", gateway.output());
}

#[tokio::test]
async fn a_target_that_is_gone_is_no_longer_said_to_be_left_alone() {
    let openai = nobody().await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &openai)],
    )
    .await;
    for _ in 0..3 {
        gateway.post("/v1/chat/completions", &chat("gpt")).await;
    }
    let cooling = "tollgate_target_cooling{target=\"openai/gpt-4o-mini\"}";
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains(&format!("{cooling} 1")), "{metrics}");

    let other_model = TWO_PROVIDERS
        .replace("gpt-4o-mini", "gpt-5")
        .replace("OPENAI", &openai.url())
        .replace("ANTHROPIC", &openai.url());
    gateway.write_configuration(&other_model);
    gateway.signal("HUP");
    for _ in 0..100 {
        if !gateway.get("/metrics").await.text().contains(cooling) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("still told after the change:\n{}", gateway.output());
}

#[tokio::test]
async fn no_request_is_lost_while_the_file_changes() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!("log: {{calls: false}}\n{TWO_PROVIDERS}");
    let gateway = Arc::new(
        gateway(
            &configuration,
            &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
        )
        .await,
    );
    let (failed, done, over) = (
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicBool>::default(),
    );
    let callers = TaskTracker::new();
    for _ in 0..8 {
        let (gateway, failed, done) =
            (Arc::clone(&gateway), Arc::clone(&failed), Arc::clone(&done));
        callers.spawn(async move {
            for _ in 0..1_250 {
                let answer = client::post(
                    gateway.address(),
                    "/v1/chat/completions",
                    &[],
                    chat("gpt").to_string().into_bytes(),
                )
                .await;
                let good = answer.is_ok_and(|answer| answer.status == 200 && answer.complete);
                failed.fetch_add(usize::from(!good), Ordering::Relaxed);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.close();
    let changer = Arc::clone(&over);
    let (writing, url) = (Arc::clone(&gateway), openai.url());
    let writer = TaskTracker::new().spawn(async move {
        let mut ticks = interval(Duration::from_millis(100));
        let mut round = 0;
        while !changer.load(Ordering::Relaxed) {
            ticks.tick().await;
            round += 1;
            let next = configuration
                .replace("OPENAI", &url)
                .replace("ANTHROPIC", &url)
                .replace("gpt-4o-mini", &format!("gpt-{round}"));
            writing.write_configuration(&next);
        }
        round
    });
    callers.wait().await;
    over.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    assert_eq!(
        (failed.load(Ordering::Relaxed), done.load(Ordering::Relaxed)),
        (0, 10_000),
        "{rounds} changes"
    );
    let reloads = gateway.get("/metrics").await.text();
    let taken = reloads
        .lines()
        .find_map(|line| line.strip_prefix("tollgate_config_reloads_total{result=\"taken\"} "))
        .and_then(|count| count.parse::<u32>().ok());
    assert!(
        taken.is_some_and(|taken| taken > 3),
        "{taken:?} of {rounds} changes were taken"
    );
}

#[tokio::test]
async fn going_down_lets_streams_finish_and_exits_with_success() {
    let openai = ScriptedProvider::always(
        Reply::stream(openai_events(&["a"; 10])).paced(Duration::from_millis(60)),
    )
    .await;
    let mut gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let address = gateway.address();
    let stream = TaskTracker::new().spawn(async move {
        client::post(
            address,
            "/v1/chat/completions",
            &[],
            chat_stream("gpt").to_string().into_bytes(),
        )
        .await
    });
    sleep(Duration::from_millis(200)).await;
    gateway.signal("TERM");
    sleep(Duration::from_millis(150)).await;
    assert!(
        client::get(address, "/readyz").await.is_err(),
        "nothing new is taken"
    );
    let answer = stream.await.unwrap().unwrap();
    assert!(
        answer.complete && answer.text().ends_with("data: [DONE]\n\n"),
        "{}",
        answer.text()
    );
    assert!(gateway.wait_for_end().await.success());
    assert_eq!(gateway.calls().len(), 1, "its line was written");
}

#[tokio::test]
async fn a_call_that_the_gateway_ends_was_not_left_by_its_client() {
    let openai = ScriptedProvider::always(
        Reply::stream(openai_events(&["a"; 200])).paced(Duration::from_millis(60)),
    )
    .await;
    let configuration = format!("server: {{limits: {{drain_timeout: 300ms}}}}\n{TWO_PROVIDERS}");
    let nobody = nobody().await;
    let providers = [("OPENAI", &openai), ("ANTHROPIC", &nobody)];
    let mut gateway = gateway(&configuration, &providers).await;
    let address = gateway.address();
    let stream = TaskTracker::new().spawn(async move {
        let body = chat_stream("gpt").to_string().into_bytes();
        client::post(address, "/v1/chat/completions", &[], body).await
    });
    sleep(Duration::from_millis(300)).await;
    gateway.signal("TERM");
    gateway.wait_for_end().await;
    let _broken = stream.await.unwrap();
    let call = gateway.wait_for_calls(1).await.pop().expect("a call");
    assert_eq!(
        (&call["outcome"], &call["error_code"]),
        (&"cut".into(), &"gateway_stopped".into()),
        "{call:#}"
    );
}

#[tokio::test]
async fn who_waits_for_an_answer_when_the_gateway_ends_is_told_so() {
    let openai = ScriptedProvider::always(Reply::hang()).await;
    let configuration = format!("server: {{limits: {{drain_timeout: 1s}}}}\n{TWO_PROVIDERS}");
    let nobody = nobody().await;
    let providers = [("OPENAI", &openai), ("ANTHROPIC", &nobody)];
    let mut gateway = gateway(&configuration, &providers).await;
    let address = gateway.address();
    let call = TaskTracker::new().spawn(async move {
        let body = chat("gpt").to_string().into_bytes();
        client::post(address, "/v1/chat/completions", &[], body).await
    });
    sleep(Duration::from_millis(300)).await;
    gateway.signal("TERM");
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "gateway_stopped");
    assert!(gateway.wait_for_end().await.success());
    // Its provider may have gone on, and charge for it.
    let call = gateway.wait_for_calls(1).await.pop().expect("a call");
    assert_eq!(
        (&call["outcome"], &call["status"], &call["error_code"]),
        (&"cut".into(), &503.into(), &"gateway_stopped".into()),
        "{call:#}"
    );
    assert_eq!(call["cost_unknown"], "unmetered", "{call:#}");
}

#[tokio::test]
async fn newer_prices_are_taken_while_calls_go_on() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let prices = Arc::new(Mutex::new("no prices".to_owned()));
    let told = Arc::clone(&prices);
    let server = ScriptedProvider::start(move |_| {
        let text = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Reply::body(200, "text/plain", text)
    })
    .await;
    let configuration = format!(
        "catalogue: {{url: \"{}/prices\", every: 1s}}\n\
         prices:\n  - {{provider: dated, model: m, input: 1, output: 1}}\n  - {{provider: dated, model: m, from: 2020-01-01, input: 2, output: 2}}\n  - {{provider: dated, model: m, from: 2099-01-01, input: 3, output: 3}}\n\
         providers:\n  - {{name: openai, type: openai, base_url: \"{1}/v1\", api_key: sk-up}}\n  - {{name: dated, type: openai, base_url: \"{1}/v1\", api_key: sk-up}}\n\
         routes:\n  - {{name: chat, model: {{provider: openai, name: brand-new}}}}\n  - {{name: dated, model: {{provider: dated, name: m}}}}\n",
        server.url(),
        provider.url()
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let mut calls = 0;
    let mut cost = async |route: &str| {
        gateway.post("/v1/chat/completions", &chat(route)).await;
        calls += 1;
        gateway.wait_for_calls(calls).await.pop().expect("a call")["cost_dollars"].clone()
    };
    // 12 tokens in and 7 out.
    assert_eq!(cost("dated").await, "0.000038");
    assert_eq!(cost("chat").await, serde_json::Value::Null);
    let set =
        |text: &str| text.clone_into(&mut prices.lock().unwrap_or_else(PoisonError::into_inner));
    // As long as the map that is published.
    let map = format!(
        r#"{{"sample_spec": "{}", "brand-new": {{"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}}}}"#,
        " ".repeat(4 << 20)
    );
    for (text, expected) in [
        (&*map, "0.000019"),
        (
            "openai brand-new input=2 output=2\ndated m input=5 output=5",
            "0.000038",
        ),
        ("what is this", "0.000038"),
        ("Not Found", "0.000038"),
        (
            "openai other input=1 output=1\nopenai brand-new",
            "0.000038",
        ),
    ] {
        set(text);
        let is_price = text.contains("output");
        let is_whole = !text.ends_with("brand-new");
        let mut found = serde_json::Value::Null;
        for _ in 0..if is_price { 50 } else { 15 } {
            sleep(Duration::from_millis(100)).await;
            found = cost("chat").await;
            if found == expected && is_price && is_whole {
                break;
            }
        }
        assert_eq!(found, expected, "{}", text.trim());
    }
    let output = gateway.output();
    assert!(output.contains("newer prices cannot be read"), "{output}");
    // Lines name the types of providers.
    assert_eq!(output.matches("are of no provider").count(), 1, "{output}");
    assert!(output.contains(r#""types":"dated""#), "{output}");
    let told = "line 2 is no price: it says no price, such as `input=2.5`";
    assert!(output.contains(told), "{output}");
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_told_by_its_section() {
    let provider = nobody().await;
    let providers = [("OPENAI", &provider), ("ANTHROPIC", &provider)];
    let gateway = gateway(TWO_PROVIDERS, &providers).await;
    let filled = TWO_PROVIDERS
        .replace("OPENAI", &provider.url())
        .replace("ANTHROPIC", &provider.url());
    let changed = "counters: {url: \"redis://127.0.0.1:1/0\"}\nlog: {level: warn}\n";
    gateway.write_configuration(&format!("{changed}{filled}"));
    let told = |output: &str| {
        let lines = output.lines();
        let lines = lines.filter(|line| line.contains("take effect at the next start"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..100 {
        if told(&gateway.output()).len() >= 2 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let lines = told(&gateway.output());
    for section in ["counters", "log"] {
        let names = |line: &String| line.contains(&format!("\"{section}\""));
        assert!(lines.iter().any(names), "{section}: {lines:?}");
    }
    for section in ["server", "store", "admin", "traces"] {
        let names = |line: &String| line.contains(&format!("\"{section}\""));
        assert!(!lines.iter().any(names), "{section}: {lines:?}");
    }
}
