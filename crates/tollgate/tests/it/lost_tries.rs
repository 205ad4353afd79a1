//! Tries that failed after their provider had begun to answer: what they used is in the books, and no budget pays for a further one that it has
//! nothing left for.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway};

use crate::stage::{anthropic_events, chat, chat_stream, gateway, openai_answer, openai_events};

/// First Anthropic, then OpenAI, at a hundred dollars and at one for a million tokens.
const ORDERED: &str = r#"
providers:
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - name: safe
    retries: {per_target: 0, backoff: 10ms}
    model: {strategy: {type: ordered, models: [{provider: anthropic, name: claude}, {provider: openai, name: gpt}]}}
prices:
  - {provider: anthropic, model: "*", input: 100, output: 100}
  - {provider: openai, model: "*", input: 1, output: 1}
"#;

/// The call of this outcome, with all that is known of it.
async fn entered(gateway: &TestGateway) -> Value {
    for _ in 0..50 {
        let told = gateway.command(&["usage", "--json"]);
        let rows: Value = serde_json::from_str(&told).expect("JSON");
        if rows[0]["calls"] == 1 {
            return rows[0].clone();
        }
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("nothing is entered\n{}", gateway.output());
}

/// What begins to answer and says what that used, and then that it cannot go on.
fn begun_and_failed() -> Reply {
    let mut events = anthropic_events(&[]);
    events.truncate(1);
    events.push(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n".to_owned(),
    );
    Reply::stream(events)
}

#[tokio::test]
async fn what_a_failed_try_said_it_used_is_paid_for() {
    let anthropic = ScriptedProvider::always(begun_and_failed()).await;
    let openai = ScriptedProvider::always(Reply::stream(openai_events(&["Hello"]))).await;
    let gateway = gateway(ORDERED, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
    let answer = gateway
        .post("/v1/chat/completions", &chat_stream("safe"))
        .await;
    assert!(answer.text().contains("Hello"), "{answer:?}");
    let entered = entered(&gateway).await;
    // 12 and 1 at a hundred millionths of a dollar, then 12 and 7 at one.
    assert_eq!(
        (
            &entered["input_tokens"],
            &entered["output_tokens"],
            &entered["cost_dollars"],
            &entered["calls_of_unknown_cost"],
        ),
        (&json!(24), &json!(8), &json!("0.001319"), &json!(0)),
        "{entered:#}"
    );
}

#[tokio::test]
async fn a_failed_try_that_did_not_say_what_it_used_costs_what_it_can_have_cost() {
    let answer = json!({"id": "msg_1", "type": "message"});
    let json = |text: &str| Reply::body(200, "application/json", text);
    let page = Reply::body(200, "text/html; charset=utf-8", "<html>Log in</html>");
    let whole = [
        ("cut", Reply::json(200, &answer).only(10, Ending::Cut), 1),
        ("unreadable", json("{\"id\": \"msg_1\", \"type\":"), 1),
        ("page", page.clone(), 0),
    ];
    let streamed = [
        (
            "unreadable event",
            Reply::stream(["event: message_start\ndata: {\"type\":\n\n"]),
            1,
        ),
        ("nothing", Reply::stream([": not yet\n\n"]), 1),
        ("page for a stream", page, 0),
    ];
    let whole = whole.map(|fault| {
        (
            fault,
            chat("safe"),
            Reply::json(200, &openai_answer("Hello")),
        )
    });
    let events = Reply::stream(openai_events(&["Hello"]));
    let streamed = streamed.map(|fault| (fault, chat_stream("safe"), events.clone()));
    for ((name, fault, unknown), mut call, answer) in whole.into_iter().chain(streamed) {
        let anthropic = ScriptedProvider::always(fault).await;
        let openai = ScriptedProvider::always(answer).await;
        let gateway = gateway(ORDERED, &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)]).await;
        call["max_tokens"] = json!(50);
        let answer = gateway.post("/v1/chat/completions", &call).await;
        assert!(answer.text().contains("Hello"), "{name}: {answer:?}");
        let entered = entered(&gateway).await;
        assert_eq!(
            (
                &entered["input_tokens"],
                &entered["output_tokens"],
                &entered["calls_of_unknown_cost"],
            ),
            (&json!(12), &json!(7), &json!(unknown)),
            "{name}: {entered:#}"
        );
    }
}

#[tokio::test]
async fn a_further_try_is_paid_for_out_of_what_is_left() {
    let anthropic = ScriptedProvider::always(
        Reply::json(200, &json!({"id": "msg_1", "type": "message"})).only(10, Ending::Cut),
    )
    .await;
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let mut call = chat("safe");
    call["max_tokens"] = json!(50);
    let ordered = ORDERED.replace("input: 1, output: 1", "input: 100, output: 100");
    let gateway_with = async |dollars: f64| {
        let budget = format!(
            "budgets:\n  - {{name: all, dollars: {dollars:.6}, per: month}}\nlimits:\n  - {{name: few, requests: 1, per: hour}}\n"
        );
        gateway(
            &format!("{budget}{ordered}"),
            &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
        )
        .await
    };
    let ample = gateway_with(1.0).await;
    let answer = ample.post("/v1/chat/completions", &call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = entered(&ample).await["unknown_cost_at_most_dollars"].clone();
    // It was one request, however many were asked.
    let refused = ample.post("/v1/chat/completions", &call).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let once: f64 = told.as_str().and_then(|text| text.parse().ok()).unwrap();

    // Enough for one try, and not for what two can cost.
    let short = gateway_with(once * 1.5).await;
    let refused = short.post("/v1/chat/completions", &call).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (429, &json!("budget_exceeded")),
        "{refused:?}"
    );
    assert_eq!(openai.received().len(), 1);

    // What was lost is spent after a restart, too.
    let _entered = entered(&short).await;
    let short = short.kill_and_restart().await;
    let asked = anthropic.received().len();
    let refused = short.post("/v1/chat/completions", &call).await;
    assert_eq!((refused.status, anthropic.received().len()), (429, asked));
}
