//! Limits whose configuration changes, and what stands in the books of calls that broke off: counts and books say the same.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway, client::Answer};

use crate::stage::{chat, chat_stream, openai_answer, openai_events, program};

const PROVIDER: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - {name: chat, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o}}
  - {name: unknown, retries: {per_target: 0}, model: {provider: openai, name: brand-new}}
"#;

/// A gateway whose calls use 12 tokens in and 7 out; streams break off, or go on for ever where their user says so.
struct Stage {
    provider: ScriptedProvider,
    gateway: TestGateway,
    calls: u64,
}

impl Stage {
    async fn new(limits: &str) -> Self {
        let provider = ScriptedProvider::start(|request| {
            let call = request.json();
            if call["stream"] != true {
                return Reply::json(200, &openai_answer("Hello"));
            }
            let mut events = openai_events(&["Hello"]);
            events.truncate(2);
            Reply::stream(events).ending(match call["user"].as_str() {
                Some("patient") => Ending::Hang,
                _ => Ending::Cut,
            })
        })
        .await;
        let configuration = configuration(&provider, limits);
        let gateway = TestGateway::start(program(), &configuration).await;
        Self {
            provider,
            gateway,
            calls: 0,
        }
    }

    fn write(&self, limits: &str) {
        self.gateway
            .write_configuration(&configuration(&self.provider, limits));
    }

    async fn ask(&mut self) -> Answer {
        let mut call = chat("chat");
        call["max_tokens"] = json!(10);
        self.calls += 1;
        self.gateway.post("/v1/chat/completions", &call).await
    }

    /// Waits until all calls are counted, of so many. One that comes in the very millisecond of a change may be counted twice, and none is
    /// left out.
    async fn agrees(&mut self, most: u64) {
        let mut told = 0;
        for _ in 0..100 {
            told = left(&self.ask().await);
            if told == most - self.calls || told + 1 == most - self.calls {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        unreachable!("{told} are left after {} calls", self.calls);
    }

    /// Waits until all calls are in the books.
    async fn entered(&self) {
        let mut told = String::new();
        for _ in 0..100 {
            told = self.gateway.command(&["usage", "--json"]);
            let rows: Value = serde_json::from_str(&told).expect("JSON");
            let rows = rows.as_array().into_iter().flatten();
            let calls: u64 = rows.filter_map(|row| row["calls"].as_u64()).sum();
            if calls == self.calls {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        unreachable!("{} calls, and the books say {told}", self.calls);
    }
}

fn configuration(provider: &ScriptedProvider, limits: &str) -> String {
    let provider = PROVIDER.replace("OPENAI", &provider.url());
    format!("limits:\n  - {limits}\n{provider}")
}

/// What an answer says is left.
fn left(answer: &Answer) -> u64 {
    let told = answer.header("ratelimit");
    let left = told.split(";r=").nth(1).unwrap_or_default();
    let left = left.split(';').next().unwrap_or_default();
    left.parse().expect("a number is left")
}

#[tokio::test]
async fn what_changes_a_limits_meaning_begins_with_the_books_at_once() {
    let mut stage = Stage::new("{name: team, tokens: 9000000, per: 1000h}").await;
    for _ in 0..3 {
        assert_eq!(stage.ask().await.status, 200);
    }
    for (limits, policy) in [
        (
            "{name: team, requests: 9000, per: 1000h}",
            "\"team\";q=9000;w=3600000",
        ),
        (
            "{name: team, requests: 9000, per: 2000h}",
            "\"team\";q=9000;w=7200000",
        ),
        (
            "{name: team, requests: 9000, per: day, rolling: true}",
            "\"team\";q=9000;w=86400",
        ),
        (
            "{name: chats, of: {route: chat}, requests: 9000, per: day, rolling: true}",
            "\"chats\";q=9000;w=86400",
        ),
        // As it was before, and has not counted since.
        (
            "{name: team, requests: 9000, per: 1000h}",
            "\"team\";q=9000;w=3600000",
        ),
        (
            "{name: new, requests: 9000, per: 1000h}",
            "\"new\";q=9000;w=3600000",
        ),
    ] {
        stage.entered().await;
        let known = stage.calls;
        stage.write(limits);
        let mut answer = stage.ask().await;
        while answer.header("ratelimit-policy") != policy {
            sleep(Duration::from_millis(50)).await;
            answer = stage.ask().await;
        }
        // The first that is counted so knows what the books say, and others will be told soon.
        assert!(left(&answer) < 9000 - known, "{limits}: {answer:?}");
        stage.agrees(9000).await;
    }
}

#[tokio::test]
async fn what_was_under_way_when_a_limit_came_counts_when_it_is_done() {
    let mut stage = Stage::new("{name: old, requests: 9000, per: 1000h}").await;
    let mut call = chat_stream("chat");
    call["user"] = json!("patient");
    call["max_tokens"] = json!(40);
    let address = stage.gateway.address();
    let mut patient = JoinSet::new();
    patient.spawn(async move {
        let body = call.to_string().into_bytes();
        let asked = tollgate_testkit::client::post(address, "/v1/chat/completions", &[], body);
        let _left = timeout(Duration::from_millis(1500), asked).await;
    });
    sleep(Duration::from_millis(300)).await;
    stage.write("{name: new, requests: 9000, per: 1000h}");
    while stage.ask().await.header("ratelimit-policy") != "\"new\";q=9000;w=3600000" {
        sleep(Duration::from_millis(50)).await;
    }
    while patient.join_next().await.is_some() {}
    stage.calls += 1;
    stage.agrees(9000).await;
}

#[tokio::test]
async fn a_number_that_changes_leaves_the_count_as_it_is() {
    let mut stage = Stage::new("{name: team, requests: 9000, per: 1000h}").await;
    for _ in 0..3 {
        stage.ask().await;
    }
    // The books have not been asked: what was counted stays.
    stage.write("{name: team, requests: 7000, per: 1000h}");
    let mut answer = stage.ask().await;
    while answer.header("ratelimit-policy") != "\"team\";q=7000;w=3600000" {
        sleep(Duration::from_millis(50)).await;
        answer = stage.ask().await;
    }
    assert_eq!(left(&answer), 7000 - stage.calls);
}

#[tokio::test]
async fn a_stream_that_breaks_off_counts_what_was_asked_for_at_most() {
    const MOST: u64 = 1_000_000;
    let mut stage = Stage::new("{name: out, output_tokens: 1000000, per: 1000h}").await;
    let broken = |model: &str, max: Option<u64>, user: &str| {
        let mut call = chat_stream(model);
        call["user"] = json!(user);
        if let Some(max) = max {
            call["max_tokens"] = json!(max);
            call["n"] = json!(2);
        }
        call
    };
    let gateway = &stage.gateway;
    for user in ["", "patient"] {
        let call = broken("chat", Some(40), user);
        let asked = gateway.post("/v1/chat/completions", &call);
        let _left = timeout(Duration::from_millis(500), asked).await;
    }
    stage.calls += 2;
    stage.entered().await;
    // Two answers of forty, twice; and the ten that this call may use.
    assert_eq!(left(&stage.ask().await), MOST - 2 * 2 * 40 - 10);
    // Where nobody says how much, what may have been on its way counts, too.
    let call = broken("unknown", None, "");
    stage.gateway.post("/v1/chat/completions", &call).await;
    stage.calls += 1;
    stage.entered().await;
    let live = left(&stage.ask().await);
    assert!(live < MOST - 160 - 65_536, "{live}");
    stage.entered().await;
    // The books say the same.
    stage.gateway = stage.gateway.kill_and_restart().await;
    assert_eq!(left(&stage.ask().await), live - 7);
}
