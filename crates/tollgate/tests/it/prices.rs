//! What calls cost whose providers bill more than plain text: tiers, pictures, time, searches; and what broken streams come to.

use serde_json::{Value, json};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway};

use crate::stage::{anthropic_answer, anthropic_events, chat, gateway, openai_answer};

const CONFIGURATION: &str = r#"
prices:
  - {provider: own, model: m, input: 1, "input>10": 2, "input@flex": 0.5, output: 4, "output@flex": 2, "output>10@flex": 3}
providers:
  - {name: openai, type: openai, base_url: "SERVER/v1", api_key: sk-up}
  - {name: own, type: openai, base_url: "SERVER/v1", api_key: sk-up}
  - {name: anthropic, type: anthropic, base_url: "SERVER", api_key: sk-up}
  - {name: gemini, type: gemini, base_url: "SERVER/v1beta", api_key: sk-up}
direct_use: true
routes:
  - {name: chat, model: {provider: openai, name: gpt-4o}}
  - {name: draw, route_type: llm/v1/images, model: {provider: openai, name: gpt-image-1.5}}
  - {name: hear, route_type: llm/v1/transcriptions, model: {provider: openai, name: whisper-1}}
"#;

/// What the latest of so many calls cost, in dollars.
async fn cost(gateway: &TestGateway, calls: usize) -> Value {
    let calls = gateway.wait_for_calls(calls).await;
    calls.last().expect("a call")["cost_dollars"].clone()
}

/// A provider that answers every call with this, and a gateway before it.
async fn answering(answer: &Value) -> (ScriptedProvider, TestGateway) {
    let provider = ScriptedProvider::always(Reply::json(200, answer)).await;
    let gateway = gateway(CONFIGURATION, &[("SERVER", &provider)]).await;
    (provider, gateway)
}

#[tokio::test]
async fn reasoning_and_pictures_of_gemini_have_the_price_of_their_tier() {
    for (model, usage, expected) in [
        (
            "gemini-2.5-flash",
            json!({"promptTokenCount": 1000, "candidatesTokenCount": 100, "thoughtsTokenCount": 900, "totalTokenCount": 2000, "serviceTier": "flex"}),
            "0.0014",
        ),
        (
            "gemini-2.5-flash",
            json!({"promptTokenCount": 1000, "candidatesTokenCount": 100, "thoughtsTokenCount": 900, "totalTokenCount": 2000, "serviceTier": "priority"}),
            "0.00504",
        ),
        (
            "gemini-2.5-flash-image",
            json!({"promptTokenCount": 10, "candidatesTokenCount": 1290, "totalTokenCount": 1300,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}),
            "0.038703",
        ),
    ] {
        let answer = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "usageMetadata": usage});
        let (_provider, gateway) = answering(&answer).await;
        let path = format!("/v1beta/models/gemini%2F{model}:generateContent");
        let call = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
        assert_eq!(gateway.post(&path, &call).await.status, 200);
        assert_eq!(cost(&gateway, 1).await, expected, "{model}");
    }
}

#[tokio::test]
async fn pictures_and_time_are_not_sold_as_text() {
    let answer = json!({"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}, "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0}}});
    let (_provider, mut gateway) = answering(&answer).await;
    let call = json!({"model": "draw", "prompt": "a fish"});
    gateway.post("/v1/images/generations", &call).await;
    assert_eq!(cost(&gateway, 1).await, "0.13349");
    gateway.signal("TERM");
    gateway.wait_for_end().await;
    // The totals hold the pictures.
    let rows = gateway.command(&["usage", "--json"]);
    let rows: Value = serde_json::from_str(&rows).expect("rows");
    let used = (&rows[0]["input_tokens"], &rows[0]["output_tokens"]);
    assert_eq!(used, (&json!(50), &json!(4160)), "{rows:#}");

    let answer = json!({"text": "hi", "usage": {"type": "duration", "seconds": 61}});
    let (_provider, gateway) = answering(&answer).await;
    let form = "--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nhear\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nx\r\n--xyz--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=xyz")];
    let sent = tollgate_testkit::client::post(
        gateway.address(),
        "/v1/audio/transcriptions",
        &headers,
        form.into(),
    );
    assert_eq!(sent.await.expect("an answer").status, 200);
    assert_eq!(cost(&gateway, 1).await, "0.0061");
}

#[tokio::test]
async fn searches_of_the_web_are_billed_or_the_cost_is_not_known() {
    let mut answer = anthropic_answer("Hello");
    answer["usage"] = json!({"input_tokens": 100, "output_tokens": 20, "server_tool_use": {"web_search_requests": 3}});
    let (_provider, gateway) = answering(&answer).await;
    for (calls, model, expected) in [
        (1, "claude-sonnet-4-5", json!("0.0306")),
        (2, "claude-haiku-4-5", Value::Null),
    ] {
        let call = json!({"model": format!("anthropic/{model}"), "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(gateway.post("/v1/messages", &call).await.status, 200);
        assert_eq!(cost(&gateway, calls).await, expected, "{model}");
    }
}

/// An operator says what all is paid.
#[tokio::test]
async fn the_operators_prices_are_all_that_is_paid() {
    let mut answer = openai_answer("Hello");
    answer["usage"] = json!({
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "completion_tokens_details": {"image_tokens": 5}
    });
    let (_provider, gateway) = answering(&answer).await;
    let answer = gateway.post("/v1/chat/completions", &chat("own/m")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(cost(&gateway, 1).await, "0.00003");
}

#[tokio::test]
async fn the_operators_prices_know_long_calls_and_tiers() {
    for (input, tier, expected) in [
        (10, "default", "0.000014"),
        (11, "default", "0.000026"),
        (10, "flex", "0.000007"),
        // The tier says nothing of long input, and half of everything.
        (11, "flex", "0.000014"),
    ] {
        let mut answer = openai_answer("Hello");
        answer["usage"] =
            json!({"prompt_tokens": input, "completion_tokens": 1, "total_tokens": input + 1});
        answer["service_tier"] = json!(tier);
        let (_provider, gateway) = answering(&answer).await;
        let answer = gateway.post("/v1/chat/completions", &chat("own/m")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(cost(&gateway, 1).await, expected, "{input} {tier}");
    }
}

#[tokio::test]
async fn what_came_of_a_cut_stream_is_counted_whatever_was_told_at_its_start() {
    let provider = ScriptedProvider::start(|_| {
        let mut events = anthropic_events(&[" word"; 40]);
        // The start told of its usage; what tells the total is at the end.
        events.truncate(30);
        Reply::stream(events).ending(Ending::Cut)
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("SERVER", &provider)]).await;
    let call = json!({"model": "anthropic/claude-sonnet-4-5", "max_tokens": 99, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    gateway.post("/v1/messages", &call).await;
    let line = gateway.wait_for_calls(1).await.pop().expect("a call");
    assert_eq!(line["outcome"], "cut", "{line:#}");
    let usage = &line["usage"];
    let counted = usage["output"].as_u64().expect("tokens");
    assert!(counted > 20, "{usage}");
    assert_eq!(usage["is_estimated"], true, "{usage}");
}
