//! The books: every call in them once, whatever becomes of the client, the provider, the gateway or the database.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use tollgate_domain::UsageRecord;
use tollgate_store::{CallsQuery, Store};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway, client, postgres::Postgres};

use crate::stage::{
    TWO_PROVIDERS, anthropic_events, chat, chat_stream, gateway, openai_answer, openai_events,
    program,
};

const CONFIGURATION: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - {name: chat, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o}}
  - {name: unknown, retries: {per_target: 0}, model: {provider: openai, name: brand-new}}
"#;

/// Sums out of the books, once they agree; for five seconds at most.
async fn books(
    gateway: &TestGateway,
    arguments: &[&str],
    agrees: impl Fn(&Value) -> bool,
) -> Value {
    let arguments = [&["usage", "--json"], arguments].concat();
    let mut told = Value::Null;
    for _ in 0..50 {
        told = serde_json::from_str(&gateway.command(&arguments)).expect("JSON");
        if agrees(&told) {
            return told;
        }
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("the books say {told:#}\n{}", gateway.output());
}

fn calls(rows: &Value) -> u64 {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| row["calls"].as_u64()).sum()
}

#[tokio::test]
async fn every_call_is_in_the_books_however_it_ended() {
    let provider = ScriptedProvider::start(|request| {
        let call = request.json();
        match call["user"].as_str() {
            Some("error") => Reply::json(400, &json!({"error": {"message": "no"}})),
            Some("cut") => {
                let mut events = openai_events(&["Hello"]);
                events.truncate(2);
                Reply::stream(events).ending(Ending::Cut)
            }
            _ if call["stream"] == true => Reply::stream(openai_events(&["Hello"])),
            _ => Reply::json(200, &openai_answer("Hello")),
        }
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let ask = |mut call: Value, user: &'static str| {
        call["user"] = json!(user);
        let gateway = &gateway;
        async move { gateway.post("/v1/chat/completions", &call).await.status }
    };
    assert_eq!(ask(chat("chat"), "").await, 200);
    assert_eq!(ask(chat_stream("chat"), "").await, 200);
    assert_eq!(ask(chat("unknown"), "").await, 200);
    assert_eq!(ask(chat("chat"), "error").await, 400);
    assert_eq!(ask(chat_stream("chat"), "cut").await, 200);
    // Nobody could be asked for it.
    assert_eq!(ask(chat("nothing"), "").await, 404);

    let rows = books(&gateway, &["--by", "route,outcome"], |rows| {
        calls(rows) == 5
    })
    .await;
    let row = |route: &str, outcome: &str| {
        let rows = rows.as_array().unwrap();
        let found = rows
            .iter()
            .find(|row| row["route"] == route && row["outcome"] == outcome);
        found.unwrap_or_else(|| panic!("{route} {outcome}: {rows:#?}"))
    };
    // Twice 8 input tokens at 2.5 dollars for a million, 4 cached ones (of the whole answer) at 1.25, 7 output tokens at 10:
    // 12 of the stream are all uncached.
    let answered = row("chat", "answered");
    assert_eq!(
        (
            &answered["calls"],
            &answered["input_tokens"],
            &answered["output_tokens"],
            &answered["cost_dollars"]
        ),
        (&json!(2), &json!(24), &json!(14), &json!("0.000195"))
    );
    let unknown = row("unknown", "answered");
    assert_eq!(
        (&unknown["cost_dollars"], &unknown["calls_of_unknown_cost"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(row("chat", "provider_error")["calls_of_unknown_cost"], 0);
    assert_eq!(row("chat", "cut")["calls_of_unknown_cost"], 1);
}

/// Asks again and again, until the gateway goes away; gives how many answers came whole, and how many calls were made.
async fn ask_until_it_dies(gateway: std::net::SocketAddr) -> (u64, u64) {
    let body = chat_stream("chat").to_string().into_bytes();
    let (mut whole, mut made) = (0, 0);
    loop {
        made += 1;
        let answer = client::post(gateway, "/v1/chat/completions", &[], body.clone()).await;
        match answer {
            Ok(answer) if answer.text().contains("[DONE]") => whole += 1,
            Ok(_) | Err(_) => return (whole, made),
        }
    }
}

async fn nothing_is_lost(database: &str, rounds: usize) {
    let provider = ScriptedProvider::always(Reply::stream(openai_events(&["Hello"]))).await;
    let configuration = CONFIGURATION.replace("OPENAI", &provider.url());
    let mut gateway = TestGateway::start(program(), &format!("{database}{configuration}")).await;
    let (mut whole, mut made) = (0, 0);
    for _ in 0..rounds {
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            clients.spawn(ask_until_it_dies(gateway.address()));
        }
        sleep(Duration::from_millis(300)).await;
        gateway = gateway.kill_and_restart().await;
        while let Some(client) = clients.join_next().await {
            let (answers, calls) = client.expect("no panic");
            whole += answers;
            made += calls;
        }
    }
    assert!(whole > 50, "there was load: {whole}");
    let rows = books(&gateway, &["--by", "outcome"], |rows| calls(rows) >= whole).await;
    let answered = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["outcome"] == "answered")
        .map(calls_of)
        .sum::<u64>();
    assert!(
        (whole..=made).contains(&answered),
        "{whole} whole answers of {made} calls, and {answered} in the books"
    );
    // What was asked of a provider is there, and no call twice.
    let all = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(calls_of)
        .sum::<u64>();
    assert!(
        (answered..=made).contains(&all),
        "{made} calls were made, and {all} are in the books"
    );
    // Looked at again: nothing is entered twice.
    let again = books(&gateway, &["--by", "outcome"], |_| true).await;
    assert_eq!(again, rows);
}

fn calls_of(row: &Value) -> u64 {
    row["calls"].as_u64().unwrap_or_default()
}

/// A provider may charge for what it was asked, whatever becomes of who asked.
#[tokio::test]
async fn a_call_under_way_when_the_gateway_dies_is_in_the_books_with_what_it_can_have_cost() {
    let provider =
        ScriptedProvider::always(Reply::stream(openai_events(&["Hello"])).only(200, Ending::Hang))
            .await;
    let store =
        "store: {url: \"sqlite:books.db\"}\nlimits: [{name: outs, output_tokens: 150, per: day}]\n";
    let gateway = gateway(&format!("{store}{CONFIGURATION}"), &[("OPENAI", &provider)]).await;
    let mut body = chat_stream("chat");
    body["max_tokens"] = json!(40);
    let body = body.to_string().into_bytes();
    let address = gateway.address();
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        let body = body.clone();
        clients
            .spawn(async move { client::post(address, "/v1/chat/completions", &[], body).await });
    }
    while provider.received().len() < 3 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(200)).await;
    let gateway = gateway.kill_and_restart().await;
    let rows = books(&gateway, &["--by", "outcome"], |rows| calls(rows) == 3).await;
    let row = &rows[0];
    assert_eq!(row["outcome"], "crashed", "{rows}");
    assert_eq!(row["calls"], 3);
    assert_eq!(row["calls_of_unknown_cost"], 3);
    let url = format!("sqlite:{}", gateway.folder().join("books.db").display());
    let store = Store::open(&url).await.unwrap();
    let crashed = store
        .calls(&CallsQuery {
            most: 10,
            ..CallsQuery::default()
        })
        .await
        .unwrap();
    for call in &crashed {
        assert_eq!(call.model.as_deref(), Some("gpt-4o"), "{call:?}");
        assert!(call.cost_at_most.is_some_and(|most| most > 0), "{call:?}");
        assert_eq!(call.unmetered.output, 40, "{call:?}");
    }
    store.close().await;
    // Limits go on from there.
    let mut body = chat("chat");
    body["max_tokens"] = json!(40);
    let refused = gateway.post("/v1/chat/completions", &body).await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.text().contains("120 are used"),
        "{}",
        refused.text()
    );
    // The gateway that takes over says so.
    assert!(
        gateway
            .output()
            .contains("calls were under way when a gateway died")
    );
}

#[tokio::test]
async fn what_a_client_has_whole_is_in_the_books_after_a_kill() {
    nothing_is_lost("", 5).await;
}

#[tokio::test]
async fn what_a_client_has_whole_is_in_the_books_of_postgresql_after_a_kill() {
    let postgres = Postgres::start();
    nothing_is_lost(&format!("store: {{url: \"{}\"}}\n", postgres.url()), 3).await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask soak"]
async fn a_hundred_kills_lose_nothing() {
    nothing_is_lost("", 100).await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask soak"]
async fn a_hundred_kills_lose_nothing_of_postgresql() {
    let postgres = Postgres::start();
    nothing_is_lost(&format!("store: {{url: \"{}\"}}\n", postgres.url()), 100).await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask soak"]
async fn a_database_that_is_away_for_a_minute_under_load_loses_nothing() {
    let postgres = Postgres::start();
    let provider = ScriptedProvider::always(Reply::stream(openai_events(&["Hello"]))).await;
    let configuration = format!(
        "store: {{url: \"{}\"}}\n{}",
        postgres.url(),
        CONFIGURATION.replace("OPENAI", &provider.url())
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(ask_for(gateway.address(), Duration::from_secs(70)));
    }
    sleep(Duration::from_secs(5)).await;
    postgres.stop();
    sleep(Duration::from_secs(60)).await;
    postgres.resume();
    let mut whole = 0;
    while let Some(answers) = clients.join_next().await {
        whole += answers.expect("no panic");
    }
    assert!(whole > 1_000, "there was load: {whole}");
    for _ in 0..60 {
        let metrics = gateway.get("/metrics").await.text();
        if metrics.contains("tollgate_books_waiting_bytes 0\n") {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let rows = books(&gateway, &["--by", "outcome"], |rows| calls(rows) >= whole).await;
    assert_eq!(calls(&rows), whole);
}

/// Asks again and again for a time; gives how many answers came, all of which are whole.
async fn ask_for(gateway: std::net::SocketAddr, time: Duration) -> u64 {
    let body = chat_stream("chat").to_string().into_bytes();
    let begun = tokio::time::Instant::now();
    let mut whole = 0;
    while begun.elapsed() < time {
        let answer = client::post(gateway, "/v1/chat/completions", &[], body.clone());
        let answer = answer.await.expect("it is answered");
        assert!(answer.text().contains("[DONE]"), "{}", answer.text());
        whole += 1;
    }
    whole
}

#[tokio::test]
async fn calls_go_on_while_the_database_is_away_and_are_entered_later() {
    let postgres = Postgres::start();
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!(
        "store: {{url: \"{}\"}}\n{}",
        postgres.url(),
        CONFIGURATION.replace("OPENAI", &provider.url())
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let ask = || async {
        let answer = gateway.post("/v1/chat/completions", &chat("chat")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    ask().await;
    books(&gateway, &[], |rows| calls(rows) == 1).await;
    postgres.stop();
    for _ in 0..20 {
        ask().await;
    }
    for _ in 0..100 {
        if gateway.output().contains("the books are behind") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(gateway.output().contains("the books are behind"));
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        !metrics.contains("tollgate_books_waiting_bytes 0\n"),
        "{metrics}"
    );
    postgres.resume();
    let mut entered = String::new();
    for _ in 0..100 {
        entered = gateway.get("/metrics").await.text();
        if entered.contains("tollgate_books_entered_total 21\n") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        entered.contains("tollgate_books_entered_total 21\n"),
        "{entered}"
    );
    books(&gateway, &[], |rows| calls(rows) == 21).await;
    // That is said when the round has ended which entered them.
    for _ in 0..100 {
        if gateway.output().contains("the books are in order again") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(gateway.output().contains("the books are in order again"));
    assert!(!gateway.output().contains(&postgres.url()));
}

#[tokio::test]
async fn calls_that_cannot_be_written_down_are_refused_unless_the_operator_says_otherwise() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    for (more, status) in [("", 503), (", when_full: answer", 200)] {
        // The database is nowhere, so that the journal fills; a key in the file opens all the same.
        let configuration = format!(
            "store: {{url: \"postgres://127.0.0.1:1/none\", journal_max: 1000B{more}}}
keys: [{{name: caller, hash: \"sha256:9160eaea8bc1cf2e234ad2da6a90ae86c1ae1f68d63f5a53358d66e01cbc9ce1\"}}]
{}",
            CONFIGURATION.replace("OPENAI", &provider.url())
        );
        let mut gateway = TestGateway::start(program(), &configuration).await;
        let (call, key) = (chat("chat"), [("authorization", "Bearer tg_talks")]);
        let post = async |gateway: &TestGateway| {
            gateway.post_with("/v1/chat/completions", &call, &key).await
        };
        assert_eq!(post(&gateway).await.status, 200);
        assert_eq!(post(&gateway).await.status, 200);
        let answer = post(&gateway).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 503 {
            assert_eq!(answer.json()["error"]["code"], "books_closed");
        }
        // A balancer sends calls elsewhere, and the log says why.
        let ready = client::get(gateway.address(), "/readyz").await.unwrap();
        assert_eq!(ready.status, status, "{}", ready.text());
        let begins = if status == 503 {
            assert_eq!(ready.json()["status"], "books_closed");
            "calls are refused"
        } else {
            // There is room for twice as much, and no more.
            for _ in 0..9 {
                assert_eq!(post(&gateway).await.status, 200);
            }
            "calls are lost to the books"
        };
        for _ in 0..100 {
            if gateway.output().contains(begins) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let told = |text: &str| gateway.output().matches(text).count();
        assert_eq!(told(begins), 1, "{}", gateway.output());
        let goes_on = told("calls go on while the journal is full");
        assert_eq!(goes_on, usize::from(status == 200), "{}", gateway.output());
        gateway.signal("TERM");
        assert!(gateway.wait_for_end().await.success());
        let lost = gateway
            .output()
            .matches("calls were lost to the books")
            .count();
        assert_eq!(lost, usize::from(status == 200), "{}", gateway.output());
    }
}

/// An auditor sees that a key tried what it may not, for whom, and what was said where that is kept.
#[tokio::test]
async fn who_asks_for_a_route_that_is_not_his_is_in_the_books() {
    let keys = "keys: [{name: beta, hash: \"sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753\", routes: [unknown]}]\n";
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let payloads = "payloads: {keep: all, routes: {unknown: none}}\n";
    let configuration = format!("{CONFIGURATION}{keys}{payloads}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    for (key, path, model, status) in [
        ("beta", "/v1/chat/completions", "chat", 403),
        ("beta", "/gateway/chat/invocations", "chat", 403),
        ("beta", "/v1/embeddings", "unknown", 400),
        // Without a key nobody fills the books.
        ("other", "/v1/chat/completions", "chat", 401),
        ("beta", "/v1/chat/completions", "nothing", 404),
    ] {
        let (mut call, headers) = (chat_stream(model), [("x-api-key", key)]);
        call["user"] = json!("alice");
        call["max_tokens"] = json!(5);
        let answer = gateway.post_with(path, &call, &headers).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let by = ["--by", "key,user,route,outcome"];
    let rows = books(&gateway, &by, |rows| calls(rows) >= 3).await;
    let expected = [("chat", 2), ("unknown", 1)].map(
        |(route, calls)| json!({"key": "beta", "user": "alice", "route": route, "outcome": "refused", "calls": calls}),
    );
    for expected in &expected {
        let members = expected.as_object().expect("members");
        let is_there = |row: &Value| members.iter().all(|(name, value)| row[name] == *value);
        let mut rows = rows.as_array().into_iter().flatten();
        assert!(rows.any(is_there), "{expected}: {rows:?}");
    }
    assert_eq!(calls(&rows), 3, "{rows:#}");
    let store = gateway.folder().join("books.db");
    let store = Store::open(&format!("sqlite:{}", store.display()))
        .await
        .unwrap();
    let all = CallsQuery {
        most: 10,
        ..CallsQuery::default()
    };
    for call in store.calls(&all).await.unwrap() {
        let detail: Value = serde_json::from_str(call.detail.as_deref().unwrap()).unwrap();
        assert_eq!((call.streamed, &detail["max_tokens"]), (true, &json!(5)));
        let kept = store.payload(&call).await.unwrap();
        let said = kept.map(|kept| (kept.request.contains("Hi"), kept.response.contains("chat")));
        let expected = (call.route.as_deref() == Some("chat")).then_some((true, true));
        assert_eq!(said, expected, "{call:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn calls_of_a_turn_are_written_down_together() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!("server: {{workers: 1}}\nlog: {{calls: false}}\n{CONFIGURATION}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let ask = async |times: usize| {
        let mut callers = JoinSet::new();
        let address = gateway.address();
        for _ in 0..64 {
            callers.spawn(async move {
                for _ in 0..times {
                    let body = chat("chat").to_string().into_bytes();
                    let answer = client::post(address, "/v1/chat/completions", &[], body).await;
                    assert_eq!(answer.expect("an answer").status, 200);
                }
            });
        }
        while let Some(asked) = callers.join_next().await {
            asked.unwrap();
        }
    };
    ask(1).await;
    let before = gateway.writes();
    ask(10).await;
    // Each call is put to its provider in one write; the answer is sent. Where each is written down by itself, before and behind, that is two more.
    let each = (gateway.writes() - before) * 100 / 640;
    assert!(each < 190, "{each} writes for a hundred calls");
}

#[tokio::test]
async fn books_that_are_not_wanted_leave_no_files() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!("store: {{url: none}}\n{CONFIGURATION}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let answer = gateway.post("/v1/chat/completions", &chat("chat")).await;
    assert_eq!(answer.status, 200);
    let files = fs::read_dir(gateway.folder()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["tollgate.yaml"]);
}

#[tokio::test]
async fn a_clean_end_leaves_an_empty_journal() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let mut gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    gateway.post("/v1/chat/completions", &chat("chat")).await;
    gateway.signal("TERM");
    assert!(gateway.wait_for_end().await.success());
    let journal = fs::read_dir(gateway.folder().join("tollgate.journal")).unwrap();
    assert_eq!(journal.count(), 0);
    let rows = books(&gateway, &["--by", "key"], |_| true).await;
    assert_eq!(calls(&rows), 1);
}

/// Ollama leaves out a prompt that it had read before, and nobody takes anything for that.
#[tokio::test]
async fn a_prompt_that_ollama_had_read_before_is_not_counted() {
    let line = json!({"model": "m", "message": {"role": "assistant", "content": "Hello"}, "done": true, "done_reason": "stop", "eval_count": 7});
    let provider = ScriptedProvider::always(Reply::json(200, &line)).await;
    let configuration = r#"
providers: [{name: local, type: ollama, base_url: "OLLAMA"}]
routes: [{name: chat, model: {provider: local, name: m}}]
"#;
    let gateway = gateway(configuration, &[("OLLAMA", &provider)]).await;
    let mut call = chat("chat");
    call["stream"] = json!(false);
    call["max_tokens"] = json!(100);
    for path in ["/api/chat", "/v1/messages"] {
        assert_eq!(gateway.post(path, &call).await.status, 200);
    }
    for call in gateway.wait_for_calls(2).await {
        assert_eq!(call["usage"], json!({"output": 7}), "{call:#}");
    }
}

/// Of anybody else a half that is missing is not free.
#[tokio::test]
async fn the_half_that_a_provider_does_not_say_is_counted() {
    let provider = ScriptedProvider::start(|request| {
        let user = request.json()["user"].as_str().map(str::to_owned);
        let usage: Value = serde_json::from_str(&user.expect("a user")).expect("JSON");
        if request.json()["stream"] == true {
            let usage = format!("\"usage\":{usage},\"_\":{{");
            let events = openai_events(&["Hello", " wide", " world"]);
            let told = |event: String| event.replace("\"usage\":{", &usage);
            return Reply::stream(events.into_iter().map(told));
        }
        let mut answer = openai_answer("Hello wide world");
        answer["usage"] = usage;
        Reply::json(200, &answer)
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let mut made = 0;
    for (usage, input, output) in [
        (json!({"completion_tokens": 7}), 8, 7),
        (json!({"prompt_tokens": null, "completion_tokens": 7}), 8, 7),
        (json!({"prompt_tokens": -9, "completion_tokens": 7}), 8, 7),
        (json!({"prompt_tokens": 9}), 9, 3),
        (json!({"prompt_tokens": 9, "completion_tokens": 7.5}), 9, 3),
        (json!({"prompt_tokens": 9, "completion_tokens": "7"}), 9, 3),
    ] {
        let mut calls = [chat("chat"), chat_stream("chat"), chat("chat")];
        calls[2]["max_tokens"] = json!(100);
        let paths = [
            "/v1/chat/completions",
            "/v1/chat/completions",
            "/v1/messages",
        ];
        for (path, mut call) in paths.into_iter().zip(calls) {
            match path {
                "/v1/messages" => call["metadata"] = json!({"user_id": usage.to_string()}),
                _ => call["user"] = json!(usage.to_string()),
            }
            assert_eq!(gateway.post(path, &call).await.status, 200);
            made += 1;
            let line = gateway.wait_for_calls(made).await.pop().expect("a call");
            let expected = json!({"input": input, "output": output, "is_estimated": true});
            assert_eq!(line["usage"], expected, "{path} {usage} {line:#}");
            let cost = f64::from(input) * 2.5e-6 + f64::from(output) * 1e-5;
            let told = line["cost_dollars"].as_str().expect("a cost");
            let told: f64 = told.parse().expect("a number");
            assert!((told - cost).abs() < 1e-9, "{line:#}");
        }
    }
}

#[tokio::test]
async fn what_a_provider_does_not_say_is_counted() {
    let provider = ScriptedProvider::start(|request| {
        let call = request.json();
        let is_absurd = call.to_string().contains(":101");
        let user = call["user"].as_str().or(is_absurd.then_some("absurd"));
        match (call["stream"] == true, user) {
            // What no answer can have used is not believed.
            (true, Some("absurd")) => {
                let events = openai_events(&["Hello", " wide", " world"]);
                let absurd = |event: String| event.replace("_tokens\":", "_tokens\":9e29,\"_\":");
                Reply::stream(events.into_iter().map(absurd))
            }
            (false, Some("absurd")) => {
                let mut answer = openai_answer("Hello wide world");
                answer["usage"]["prompt_tokens"] = json!(9_223_372_036_854_775_800_u64);
                Reply::json(200, &answer)
            }
            // The chunk with the usage is left out.
            (true, user) if user != Some("whole") => {
                let mut events = openai_events(&["Hello", " wide", " world"]);
                events.retain(|event| !event.contains("\"usage\":{"));
                let ending = if user == Some("cut") {
                    Ending::Cut
                } else {
                    Ending::Clean
                };
                if user == Some("cut") {
                    events.truncate(3);
                }
                Reply::stream(events).ending(ending)
            }
            // One that does not stream, whatever it is asked.
            _ => {
                let mut answer = openai_answer("Hello wide world");
                answer.as_object_mut().expect("an object").remove("usage");
                Reply::json(200, &answer)
            }
        }
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let mut translated = chat("chat");
    translated["max_tokens"] = json!(100);
    let mut cut = chat_stream("chat");
    cut["user"] = json!("cut");
    let mut whole = chat_stream("chat");
    whole["user"] = json!("whole");
    let [mut absurd, mut absurd_stream] = [translated.clone(), chat_stream("chat")];
    absurd["max_tokens"] = json!(101);
    absurd_stream["max_tokens"] = json!(101);
    for (path, call, output, is_whole) in [
        ("/v1/chat/completions", chat("chat"), 3, true),
        ("/v1/chat/completions", chat_stream("chat"), 3, true),
        ("/v1/messages", translated, 3, true),
        ("/v1/chat/completions", whole, 3, true),
        ("/v1/chat/completions", absurd.clone(), 3, true),
        ("/v1/chat/completions", absurd_stream, 3, true),
        ("/v1/messages", absurd, 3, true),
        ("/v1/chat/completions", cut, 2, false),
    ] {
        assert_eq!(gateway.post(path, &call).await.status, 200);
        let calls = gateway.calls();
        let _seen = gateway.wait_for_calls(calls.len().max(1)).await;
        sleep(Duration::from_millis(200)).await;
        let line = gateway.calls().pop().expect("a call");
        let usage = &line["usage"];
        // "Hi" is one token, with three around it and three before the answer, and one for the role.
        assert_eq!(
            (&usage["input"], &usage["output"], &usage["is_estimated"]),
            (&json!(8), &json!(output), &json!(true)),
            "{path} {line:#}"
        );
        // What broke off costs at most what it can have cost, which is more than was counted.
        let cost = if is_whole { "0.00005" } else { "" };
        assert_eq!(
            line["cost_dollars"].as_str().unwrap_or_default(),
            cost,
            "{line:#}"
        );
    }
}

/// A short stream, or one that somebody on the way has gathered, is as much an answer as one that comes in pieces.
#[tokio::test]
async fn a_stream_that_comes_at_once_was_answered() {
    let openai = openai_events(&["Hello", " world"]).concat();
    let anthropic = anthropic_events(&["Salve"]).concat();
    let at_once = |text: String| Reply::body(200, "text/event-stream", text);
    let openai = ScriptedProvider::always(at_once(openai)).await;
    let anthropic = ScriptedProvider::always(at_once(anthropic)).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;
    for route in ["gpt", "claude"] {
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let mut call = chat_stream(route);
            call["max_tokens"] = json!(100);
            assert_eq!(gateway.post(path, &call).await.status, 200);
        }
    }
    for call in gateway.wait_for_calls(4).await {
        assert_eq!(call["outcome"], "answered", "{call:#}");
        assert!(call["usage"]["output"].is_u64(), "{call:#}");
        assert_eq!(call["attempts"][0]["outcome"], "answered", "{call:#}");
    }
}

/// Those of the caller's and those of the target that was asked.
#[tokio::test]
async fn what_calls_are_tagged_with_is_summed_up() {
    let provider = ScriptedProvider::start(|request| {
        if request.json()["model"] == "broken" {
            Reply::json(500, &json!({"error": {"message": "broken"}}))
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let configuration = CONFIGURATION.to_owned()
        + "  - {name: tagged, retries: {per_target: 0}, model: {strategy: {type: ordered, models: [{provider: openai, name: broken, tags: [old]}, {provider: openai, name: gpt-4o, tags: [canary, eu]}]}}}\n";
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let ask = async |route: &str, tags: &str| {
        let headers = [("x-tollgate-tags", tags)];
        gateway
            .post_with("/v1/chat/completions", &chat(route), &headers)
            .await
    };
    for (route, tags) in [
        ("tagged", "search, canary"),
        ("chat", "search,search, "),
        ("chat", ""),
    ] {
        assert_eq!(ask(route, tags).await.status, 200);
    }
    let many: Vec<String> = (0..17).map(|number| format!("a{number}")).collect();
    for tags in [many.join(","), "a".repeat(65), "schön".to_owned()] {
        let refused = ask("chat", &tags).await;
        assert_eq!(refused.status, 400, "{tags}");
        assert_eq!(refused.json()["error"]["code"], "tags_invalid");
    }
    assert_eq!(
        provider.received()[0].header("x-tollgate-tags"),
        None,
        "it is nobody else's affair"
    );
    let calls = gateway.wait_for_calls(3).await;
    assert_eq!(calls[0]["tags"], json!(["search", "canary", "eu"]));
    assert_eq!(calls[1]["tags"], json!(["search"]));
    let told = books(&gateway, &["--by", "tag"], |rows| {
        let rows = rows.as_array().into_iter().flatten();
        let calls: u64 = rows.filter_map(|row| row["calls"].as_u64()).sum();
        calls == 4
    })
    .await;
    let mut by_tag: Vec<(String, u64)> = told
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let tag = row["tag"].as_str().unwrap_or_default();
            (tag.to_owned(), row["calls"].as_u64().unwrap_or_default())
        })
        .collect();
    by_tag.sort();
    let row = |tag: &str, calls| (tag.to_owned(), calls);
    assert_eq!(
        by_tag,
        [row("canary", 1), row("eu", 1), row("search", 2)],
        "{told:#}"
    );
    let searched = books(&gateway, &["--tag", "search", "--by", "route"], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 2)
    })
    .await;
    assert_eq!(searched[0]["calls"], 1, "{searched:#}");
}

/// Limits over more time than single calls are kept for are counted by sums.
#[tokio::test]
async fn what_limits_count_is_known_when_single_calls_are_gone() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let limited = format!(
        "store: {{url: \"sqlite:books.db\", calls_kept: 30d}}\n\
         limits:\n  - {{name: many days, requests: 43, per: 1440h, rolling: true}}\n{CONFIGURATION}"
    );
    let gateway = gateway(&limited, &[("OPENAI", &provider)]).await;
    let ask = async |gateway: &TestGateway| {
        let answer = gateway.post("/v1/chat/completions", &chat("chat")).await;
        (answer.status, answer.text().to_string())
    };
    assert_eq!(ask(&gateway).await.0, 200);
    books(&gateway, &[], |rows| calls(rows) == 1).await;
    let url = format!("sqlite:{}", gateway.folder().join("books.db").display());
    let store = Store::open(&url).await.unwrap();
    let newest = CallsQuery {
        most: 1,
        ..CallsQuery::default()
    };
    let newest = store.calls(&newest).await.unwrap().remove(0);
    // Forty of fifty days ago, and some that the limit does not know any more.
    let old = (0..80).map(|number| UsageRecord {
        id: format!("old-{number}").into(),
        at_ms: newest.at_ms - (if number < 40 { 50 } else { 70 }) * 86_400_000,
        ..newest.clone()
    });
    let old: Vec<_> = old.collect();
    assert_eq!(store.enter(&old).await.unwrap(), 80);
    let now = Duration::from_millis(u64::try_from(newest.at_ms).unwrap());
    let kept = Duration::from_secs(30 * 86_400);
    store.keep_calls_for(kept, now).await.unwrap();
    let from = store.calls_kept_from().await.unwrap();
    assert_eq!(store.drop_calls_before(from, 1_000).await.unwrap(), 80);
    store.close().await;
    let gateway = gateway.kill_and_restart().await;
    assert_eq!(ask(&gateway).await.0, 200);
    assert_eq!(ask(&gateway).await.0, 200);
    let (status, told) = ask(&gateway).await;
    assert_eq!(status, 429);
    assert!(told.contains("43 are used"), "{told}");
    books(&gateway, &[], |rows| calls(rows) == 84).await;
}

/// Names may be anybody's: none moves the cursor of who reads them.
#[tokio::test]
async fn tables_hold_nothing_that_a_terminal_obeys() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let mut call = chat("chat");
    call["user"] = json!("\u{1b}[31mred\n\u{9b}0m");
    assert_eq!(
        gateway.post("/v1/chat/completions", &call).await.status,
        200
    );
    books(&gateway, &[], |rows| calls(rows) == 1).await;
    let table = gateway.command(&["usage", "--by", "user"]);
    assert!(table.contains("\\u{1b}[31mred\\n\\u{9b}0m"), "{table:?}");
    assert_eq!(table.lines().count(), 2, "{table:?}");
}
