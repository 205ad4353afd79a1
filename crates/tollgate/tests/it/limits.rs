//! Limits and budgets: never overrun, whoever comes at once, and nothing left reserved whatever becomes of calls.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{chat, chat_stream, gateway, openai_answer, openai_events, program};

const PROVIDER: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - {name: chat, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o}}
  - {name: other, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o}}
  - {name: unknown, retries: {per_target: 0}, model: {provider: openai, name: brand-new}}
"#;

/// A call that uses 12 tokens in (4 of them cached) and 7 out, for 0.000095 dollars, and can use some 1,100 in (1,024 of them are what providers may add) and 10 out.
fn small(model: &str) -> Value {
    let mut call = chat(model);
    call["max_tokens"] = json!(10);
    call
}

async fn answers() -> ScriptedProvider {
    ScriptedProvider::start(|request| {
        if request.json()["stream"] == true {
            Reply::stream(openai_events(&["Hello"]))
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await
}

#[tokio::test]
async fn requests_are_limited_and_told() {
    let provider = answers().await;
    let configuration = format!(
        "limits:\n  - {{name: fair, of: {{route: chat}}, requests: 2, per: hour}}\n{PROVIDER}"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let first = gateway.post("/v1/chat/completions", &small("chat")).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), "\"fair\";q=2;w=3600");
    assert!(
        first.header("ratelimit").starts_with("\"fair\";r=1;t="),
        "{first:?}"
    );
    assert_eq!(
        gateway.post("/v1/messages", &small("chat")).await.status,
        200
    );
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let refused = gateway.post(path, &small("chat")).await;
        assert_eq!(refused.status, 429);
        let told = refused.text();
        assert!(
            told.contains("the limit `fair` of route chat allows 2 requests per hour; 2 are used"),
            "{told}"
        );
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=3600).contains(&wait));
        assert_eq!(refused.header("ratelimit-policy"), "\"fair\";q=2;w=3600");
        let left = refused.header("ratelimit");
        assert!(left.starts_with("\"fair\";r=0;t="), "{left}");
    }
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &small("other"))
            .await
            .status,
        200
    );
    // Each worker writes its own lines.
    let calls = gateway.wait_for_calls(5).await;
    let refused = |call: &&Value| call["error_code"] == "rate_limit_exceeded";
    assert_eq!(calls.iter().filter(refused).count(), 2);
}

#[tokio::test]
async fn each_is_counted_alone_and_no_user_escapes() {
    let provider = answers().await;
    let configuration = format!(
        "limits:\n  - {{name: alone, of: {{user: each}}, requests: 1, per: day, time_zone: Europe/Rome}}\n{PROVIDER}"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let mut statuses = Vec::new();
    for user in ["ann", "ann", "bob", "-", "", ""] {
        let mut call = small("chat");
        if !user.is_empty() {
            call["user"] = json!(user);
        }
        statuses.push(gateway.post("/v1/chat/completions", &call).await.status);
    }
    assert_eq!(statuses, [200, 429, 200, 200, 200, 429]);
}

#[tokio::test]
async fn every_try_is_a_request_of_who_is_asked_and_a_call_one_of_its_caller() {
    let fails =
        ScriptedProvider::always(Reply::json(500, &json!({"error": {"message": "no"}}))).await;
    let provider = answers().await;
    let configuration = "
limits:
  - {name: tries, of: {model: odd}, requests: 3, per: hour}
  - {name: calls, requests: 100, per: hour}
providers:
  - {name: odd, type: openai, base_url: FAILS/v1, api_key: sk-up}
  - {name: openai, type: openai, base_url: OPENAI/v1, api_key: sk-up}
routes:
  - name: safe
    retries: {per_target: 0}
    model: {strategy: {type: ordered, models: [{provider: odd, name: odd}, {provider: openai, name: gpt-4o}]}}
  - {name: stubborn, retries: {per_target: 1, backoff: 1ms}, model: {provider: odd, name: odd}}
";
    let gateway = gateway(configuration, &[("FAILS", &fails), ("OPENAI", &provider)]).await;
    let ask = async |route: &str| {
        let answer = gateway.post("/v1/chat/completions", &small(route)).await;
        let left = answer.header("ratelimit").to_owned();
        (answer.status, fails.received().len(), left)
    };
    let (status, tries, _) = ask("stubborn").await;
    assert_eq!((status, tries), (500, 2));
    for (calls, tries) in [(2, 3), (3, 3), (4, 3)] {
        let (status, asked, left) = ask("safe").await;
        assert_eq!((status, asked), (200, tries));
        let left_of_calls = format!("\"calls\";r={}", 100 - calls);
        assert!(left.contains(&left_of_calls), "{left}");
    }
    let (status, tries, _) = ask("stubborn").await;
    assert_eq!((status, tries), (429, 3));
}

#[tokio::test]
async fn tokens_are_reserved_before_and_settled_after() {
    let provider = answers().await;
    let configuration =
        format!("limits:\n  - {{name: tokens, tokens: 1200, per: hour}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    // Each may need some 1,110, and uses 19.
    for left in [1181, 1162, 1143] {
        let answer = gateway.post("/v1/chat/completions", &small("chat")).await;
        assert_eq!(answer.status, 200, "{left}: {}", answer.text());
    }
    let mut long = small("chat");
    long["max_tokens"] = json!(90);
    let refused = gateway.post("/v1/chat/completions", &long).await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.text().contains("57 are used, 0 are reserved"),
        "{}",
        refused.text()
    );
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &small("chat"))
            .await
            .status,
        200
    );
}

/// A model of which nobody says what it gives at most is taken to give 65,536 tokens, whatever becomes of the call.
#[tokio::test]
async fn a_price_says_what_its_model_gives_at_most() {
    let provider = ScriptedProvider::start(|request| {
        if request.json()["stream"] == true {
            let mut events = openai_events(&["Hello"; 5]);
            events.truncate(4);
            Reply::stream(events).ending(Ending::Cut)
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let configuration = "budgets: [{name: small, of: {user: ann}, dollars: 0.15, per: month}]\n\
         prices:\n  - {provider: openai, model: open, input: 0, output: 8}\n  - {provider: openai, model: bound, input: 0, output: 8, output_max: 1000}\n\
         direct_use: true\nroutes: []\n\
         providers: [{name: openai, type: openai, base_url: \"OPENAI/v1\", api_key: sk-up}]\n";
    let gateway = gateway(configuration, &[("OPENAI", &provider)]).await;
    for (model, status) in [("openai/open", 413), ("openai/bound", 200)] {
        let mut call = chat(model);
        call["user"] = json!("ann");
        let answer = gateway.post("/v1/chat/completions", &call).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.text());
    }
    for (calls, model, most) in [(3, "openai/open", "0.524288"), (4, "openai/bound", "0.008")] {
        let call = chat_stream(model);
        gateway.post("/v1/chat/completions", &call).await;
        let line = gateway.wait_for_calls(calls).await.pop();
        let line = line.expect("a call");
        assert_eq!(line["cost_at_most_dollars"], most, "{line:#}");
    }
}

#[tokio::test]
async fn a_call_that_can_never_fit_is_not_told_to_come_back() {
    let provider = answers().await;
    for (allowance, code, told) in [
        (
            "limits:\n  - {name: few, tokens: 5000, per: hour}",
            "call_exceeds_limit",
            "more than the limit `few` allows in all: 5000 per hour; a smaller `max_tokens`",
        ),
        (
            "budgets:\n  - {name: few, dollars: 0.02, per: day}",
            "call_exceeds_budget",
            "more than the budget `few` allows in all: $0.02 per day; a smaller `max_tokens`",
        ),
    ] {
        let configuration = format!("{allowance}\n{PROVIDER}");
        let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
        let mut call = small("chat");
        call["max_tokens"] = json!(4_000);
        let refused = gateway.post("/v1/chat/completions", &call).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (413, &json!(code)),
            "{refused:?}"
        );
        assert!(refused.text().contains(told), "{}", refused.text());
        assert_eq!(refused.header("retry-after"), "");
        let answer = gateway.post("/v1/chat/completions", &small("chat")).await;
        assert_eq!(answer.status, 200);
    }
}

/// What is left of a limit in its window, and of that window in seconds.
fn left(answer: &client::Answer) -> (u64, u64) {
    let told = answer.header("ratelimit").split(';');
    let number = |name: &str| {
        let number = told.clone().find_map(|item| item.strip_prefix(name));
        number.and_then(|number| number.parse().ok()).expect(name)
    };
    (number("r="), number("t="))
}

#[tokio::test]
async fn a_call_that_ends_in_the_next_window_has_used_nothing_of_it() {
    let provider = ScriptedProvider::start(|request| {
        let answer = Reply::json(200, &openai_answer("Hello"));
        match request.json()["user"].as_str() {
            Some("slow") => answer.after(Duration::from_millis(2_500)),
            _ => answer,
        }
    })
    .await;
    let configuration = format!("limits:\n  - {{name: each, requests: 1000, per: 5s}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let ask = async |call: &Value| {
        let answer = gateway.post("/v1/chat/completions", call).await;
        assert_eq!(answer.status, 200);
        left(&answer)
    };
    while ask(&small("chat")).await.1 != 2 {
        sleep(Duration::from_millis(50)).await;
    }
    let mut slow = small("chat");
    slow["user"] = json!("slow");
    ask(&slow).await;
    assert_eq!(ask(&small("chat")).await.0, 999);
}

#[tokio::test]
async fn who_may_have_nothing_is_not_told_to_come_back() {
    let provider = answers().await;
    for (allowance, code, told) in [
        (
            "limits: [{name: no, requests: 0, per: day}]",
            "limit",
            "0 per day",
        ),
        (
            "limits: [{name: no, tokens: 0, per: day}]",
            "limit",
            "0 per day",
        ),
        ("limits: [{name: no, concurrent: 0}]", "limit", "0"),
        (
            "budgets: [{name: no, dollars: 0, per: day}]",
            "budget",
            "$0 per day",
        ),
    ] {
        let configuration = format!("{allowance}\n{PROVIDER}");
        let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
        let refused = gateway.post("/v1/chat/completions", &small("chat")).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (413, &json!(format!("call_exceeds_{code}"))),
            "{refused:?}"
        );
        let told = format!("more than the {code} `no` allows in all: {told}\"");
        assert!(refused.text().contains(&told), "{}", refused.text());
        assert_eq!(refused.header("retry-after"), "");
    }
}

#[tokio::test]
async fn a_model_without_a_price_has_no_budget() {
    let provider = answers().await;
    let configuration =
        format!("budgets:\n  - {{name: all, dollars: 1, per: month, tell: true}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let answer = gateway.post("/v1/chat/completions", &small("chat")).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("x-tollgate-budget-remaining")
            .starts_with("all=0.9"),
        "{answer:?}"
    );
    let refused = gateway
        .post("/v1/chat/completions", &small("unknown"))
        .await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (403, json!("model_unpriced"))
    );
}

/// So many callers at once; gives how many were answered.
async fn rush(gateway: &TestGateway, callers: usize, call: Value) -> usize {
    let address = gateway.address();
    let body = Arc::new(call.to_string().into_bytes());
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let body = Arc::clone(&body);
        tasks.spawn(async move {
            // Whoever is refused because of what others may need comes again.
            for _ in 0..400 {
                let answer =
                    client::post(address, "/v1/chat/completions", &[], body.to_vec()).await;
                let Ok(answer) = answer else { continue };
                if answer.status == 200 {
                    return 1;
                }
                assert_eq!(answer.status, 429, "{}", answer.text());
                let told = answer.text();
                if told.contains(" 0 are reserved") || told.contains(" $0 are reserved") {
                    return 0;
                }
                sleep(Duration::from_millis(20)).await;
            }
            0
        });
    }
    let mut answered = 0;
    while let Some(one) = tasks.join_next().await {
        answered += one.expect("no panic");
    }
    answered
}

#[tokio::test]
async fn a_budget_is_not_overrun_by_many_at_once() {
    let provider = answers().await;
    // What 200 calls cost, and not enough for what the 201st can cost at most.
    let configuration =
        format!("budgets:\n  - {{name: all, dollars: 0.0192, per: month}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let answered = rush(&gateway, 400, small("chat")).await;
    // Each costs 0.000095, and is let in while the most that it can cost is left, which is less than 0.005: at the prices of priority, and with
    // what providers may add.
    let spent = answered * 95;
    assert!(
        spent <= 19_200,
        "{answered} calls spent {spent} millionths of a dollar"
    );
    assert!(
        spent > 19_200 - 5_000,
        "{answered}: nothing is left reserved, and what was left was used"
    );
    assert_eq!(provider.received().len(), answered);
}

#[tokio::test]
async fn a_limit_on_requests_is_kept_exactly_by_many_at_once() {
    let provider = answers().await;
    let configuration =
        format!("limits:\n  - {{name: all, requests: 150, per: month}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    assert_eq!(rush(&gateway, 400, chat_stream("chat")).await, 150);
    assert_eq!(provider.received().len(), 150);
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_allowed() {
    let provider = ScriptedProvider::always(
        Reply::json(200, &openai_answer("Hello")).after(Duration::from_millis(50)),
    )
    .await;
    let configuration = format!("limits:\n  - {{name: at once, concurrent: 3}}\n{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let started = tokio::time::Instant::now();
    assert_eq!(rush(&gateway, 30, small("chat")).await, 30);
    // Ten rounds of three: less time would mean more at once.
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn nothing_is_left_reserved_whatever_becomes_of_calls() {
    let provider = ScriptedProvider::start(|request| match request.json()["user"].as_str() {
        Some("error") => Reply::json(500, &json!({"error": {"message": "broken"}})),
        Some("close") => Reply::close(),
        Some("cut") => {
            let mut events = openai_events(&["Hello"]);
            events.truncate(2);
            Reply::stream(events).ending(Ending::Cut)
        }
        Some("slow") => Reply::json(200, &openai_answer("Hello")).after(Duration::from_secs(5)),
        _ => Reply::json(200, &openai_answer("Hello")),
    })
    .await;
    let configuration = format!(
        "limits:\n  - {{name: at once, concurrent: 1}}\n  - {{name: many, requests: 1000, per: hour}}\n{PROVIDER}"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    for user in ["error", "close", "cut", "slow"] {
        let mut call = if user == "cut" {
            chat_stream("chat")
        } else {
            small("chat")
        };
        call["user"] = json!(user);
        let asked = gateway.post("/v1/chat/completions", &call);
        // The slow one's client leaves.
        let _answer = tokio::time::timeout(Duration::from_millis(300), asked).await;
        let mut status = 0;
        for _ in 0..100 {
            status = gateway
                .post("/v1/chat/completions", &small("chat"))
                .await
                .status;
            if status == 200 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, 200, "after {user}");
    }
}

#[tokio::test]
async fn what_was_spent_is_spent_after_a_kill() {
    let provider = answers().await;
    let configuration = format!(
        "budgets:\n  - {{name: all, of: {{route: chat}}, dollars: 0.0056, per: month}}\nlimits:\n  - {{name: few, of: {{user: each}}, requests: 5, per: day}}\n{}",
        PROVIDER.replace("OPENAI", &provider.url())
    );
    let mut gateway = TestGateway::start(program(), &configuration).await;
    let mut call = small("other");
    call["user"] = json!("ann");
    for _ in 0..5 {
        assert_eq!(
            gateway.post("/v1/chat/completions", &call).await.status,
            200
        );
    }
    for user in ["bob", "cyd"] {
        let mut call = small("chat");
        call["user"] = json!(user);
        for _ in 0..4 {
            assert_eq!(
                gateway.post("/v1/chat/completions", &call).await.status,
                200
            );
        }
    }
    gateway = gateway.kill_and_restart().await;
    let refused = gateway.post("/v1/chat/completions", &call).await;
    assert!(
        refused
            .text()
            .contains("the limit `few` of user ann allows 5 requests per day; 5 are used"),
        "{}",
        refused.text()
    );
    call["user"] = json!("dan");
    assert_eq!(
        gateway.post("/v1/chat/completions", &call).await.status,
        200
    );
    call = small("chat");
    call["max_tokens"] = json!(20);
    let refused = gateway.post("/v1/chat/completions", &call).await;
    assert!(
        refused
            .text()
            .contains("the budget `all` of route chat allows $0.0056 per month; $0.00076 are used"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.json()["error"]["code"], "budget_exceeded");
}

#[tokio::test]
async fn a_soft_budget_is_told_and_refuses_nobody() {
    let provider = answers().await;
    let configuration = format!(
        "budgets:\n  - {{name: soft, dollars: 0.0001, per: month, then: warn}}\n{PROVIDER}"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    for _ in 0..4 {
        assert_eq!(
            gateway
                .post("/v1/chat/completions", &small("chat"))
                .await
                .status,
            200
        );
    }
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &small("unknown"))
            .await
            .status,
        200
    );
    gateway.wait_for_calls(5).await;
    let output = gateway.output();
    assert_eq!(
        output.matches("an allowance is used up").count(),
        1,
        "{output}"
    );
}

#[tokio::test]
async fn a_limit_of_mlflows_is_kept() {
    let provider = answers().await;
    let configuration = r#"
endpoints:
  - name: chat
    endpoint_type: llm/v1/chat
    model: {provider: openai, name: gpt-4o, config: {openai_api_key: sk-up, openai_api_base: "OPENAI/v1"}}
    limit: {calls: 2, renewal_period: year}
"#;
    let gateway = gateway(configuration, &[("OPENAI", &provider)]).await;
    let mut statuses = Vec::new();
    for path in [
        "/gateway/chat/invocations",
        "/endpoints/chat/invocations",
        "/v1/chat/completions",
    ] {
        statuses.push(gateway.post(path, &small("chat")).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn whoever_may_not_be_asked_any_more_is_passed_over() {
    let provider = answers().await;
    let configuration = r#"
limits:
  - {name: dear, of: {model: gpt-4o}, requests: 2, per: year}
  - {name: each, of: {provider: each}, requests: 3, per: year}
budgets:
  - {name: mini, of: {model: gpt-4o-mini}, dollars: 1, per: year}
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
  - {name: spare, type: openai, base_url: "OPENAI/v1", api_key: sk-spare}
routes:
  - name: chat
    retries: {per_target: 0}
    model:
      strategy:
        type: ordered
        models:
          - {provider: openai, name: gpt-4o}
          - {provider: openai, name: gpt-4o-mini}
          - {provider: spare, name: gpt-4o-mini}
  - {name: dear-only, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o}}
"#;
    let gateway = gateway(configuration, &[("OPENAI", &provider)]).await;
    for _ in 0..6 {
        let answer = gateway.post("/v1/chat/completions", &small("chat")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Two of the dear one, then the other of the same provider until that has had three, then the spare one's three.
    let asked: Vec<(String, String)> = provider
        .received()
        .iter()
        .map(|request| {
            let key = request.header("authorization").unwrap_or_default();
            (
                request.json()["model"].as_str().unwrap().to_owned(),
                key.to_owned(),
            )
        })
        .collect();
    let expected = [
        ("gpt-4o", "up"),
        ("gpt-4o", "up"),
        ("gpt-4o-mini", "up"),
        ("gpt-4o-mini", "spare"),
        ("gpt-4o-mini", "spare"),
        ("gpt-4o-mini", "spare"),
    ];
    let expected = expected.map(|(model, key)| (model.to_owned(), format!("Bearer sk-{key}")));
    assert_eq!(asked, expected);
    let refused = gateway.post("/v1/chat/completions", &small("chat")).await;
    assert_eq!(refused.status, 429);
    let refused = gateway
        .post("/v1/chat/completions", &small("dear-only"))
        .await;
    assert!(
        refused
            .text()
            .contains("the limit `dear` of model gpt-4o allows 2 requests per year; 2 are used"),
        "{}",
        refused.text()
    );
    // Counts are found again.
    let gateway = gateway.kill_and_restart().await;
    let refused = gateway
        .post("/v1/chat/completions", &small("dear-only"))
        .await;
    assert_eq!(refused.status, 429, "{}", refused.text());
}

#[tokio::test]
async fn a_body_is_no_larger_than_its_callers_may_send() {
    let provider = answers().await;
    let configuration = format!(
        "limits:\n  - {{name: short, of: {{route: chat}}, size: 1KiB}}\n  - {{name: pictures, of: {{route: pictures}}, size: 1KiB}}\n\
         {PROVIDER}  - {{name: pictures, route_type: llm/v1/images, model: {{provider: openai, name: gpt-image-1}}}}\n"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let mut long = small("chat");
    assert_eq!(
        gateway.post("/v1/chat/completions", &long).await.status,
        200
    );
    long["messages"][0]["content"] = json!("a".repeat(1024));
    let refused = gateway.post("/v1/chat/completions", &long).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (413, &json!("size_limit_exceeded"))
    );
    assert!(
        refused
            .text()
            .contains("`short` of route chat allows bodies of 1024 bytes"),
        "{}",
        refused.text()
    );
    long["model"] = json!("other");
    assert_eq!(
        gateway.post("/v1/chat/completions", &long).await.status,
        200
    );
    // Of a form that is passed on as it comes, too.
    let form = |bytes: usize| {
        let head = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\npictures\r\n--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n";
        format!("{head}{}\r\n--b--\r\n", "a".repeat(bytes)).into_bytes()
    };
    for (bytes, status) in [(100, 200), (100_000, 413)] {
        let headers = [("content-type", "multipart/form-data; boundary=b")];
        let answer = client::post(gateway.address(), "/v1/images/edits", &headers, form(bytes));
        assert_eq!(answer.await.expect("an answer").status, status, "{bytes}");
    }
    let calls = gateway.wait_for_calls(5).await;
    assert_eq!(calls.iter().filter(|call| call["status"] == 413).count(), 2);
}

#[tokio::test]
async fn a_rolling_budget_goes_on_after_a_restart() {
    let provider = answers().await;
    let configuration = format!(
        "store: {{url: \"sqlite:books.db\"}}\nlimits:\n  - {{name: last ten, requests: 3, per: 10s, rolling: true}}\n{PROVIDER}"
    );
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    for _ in 0..3 {
        assert_eq!(
            gateway
                .post("/v1/chat/completions", &small("chat"))
                .await
                .status,
            200
        );
    }
    let refused = gateway.post("/v1/chat/completions", &small("chat")).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((5..=11).contains(&wait), "{wait}");
    sleep(Duration::from_millis(500)).await;
    let gateway = gateway.kill_and_restart().await;
    assert_eq!(
        gateway
            .post("/v1/chat/completions", &small("chat"))
            .await
            .status,
        429
    );
}

#[tokio::test]
async fn headers_are_structured_fields_whatever_limits_are_called() {
    let provider = answers().await;
    let configuration = r#"
limits:
  - {name: "q\"; w=1, \"z", tokens: 18446744073709551615, per: year}
  - {name: zürich, concurrent: 3}
budgets:
  - {name: "a b", dollars: 5, per: year, tell: true}
"#;
    let configuration = format!("{configuration}{PROVIDER}");
    let gateway = gateway(&configuration, &[("OPENAI", &provider)]).await;
    let answer = gateway.post("/v1/chat/completions", &small("chat")).await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("ratelimit-policy");
    assert!(
        policy.starts_with(r#""q\"; w=1, \"z";q=999999999999999;qu="tokens";w=31"#),
        "{policy}"
    );
    assert!(
        policy.ends_with(r#", "z%c3%bcrich";q=3;qu="concurrent-requests""#),
        "{policy}"
    );
    let left = answer.header("ratelimit");
    assert!(left.ends_with(r#", "z%c3%bcrich";r=2"#), "{left}");
    let budget = answer.header("x-tollgate-budget-remaining");
    assert!(budget.starts_with("a%20b=4.99"), "{budget}");
}
