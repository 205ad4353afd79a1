//! What calls cost whose providers bill more than plain text: tiers, pictures, time, searches; and what broken streams come to.

use serde_json::{Value, json};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway};

use crate::stage::{anthropic_answer, anthropic_events, chat, gateway, openai_answer};

const CONFIGURATION: &str = r#"
prices:
  - {provider: router, model: own, input: 1, output: 1}
  - {provider: own, model: m, input: 1, "input>10": 2, "input@flex": 0.5, output: 4, "output@flex": 2, "output>10@flex": 3}
providers:
  - {name: openai, type: openai, base_url: "SERVER/v1", api_key: sk-up}
  - {name: own, type: openai, base_url: "SERVER/v1", api_key: sk-up}
  - {name: anthropic, type: anthropic, base_url: "SERVER", api_key: sk-up}
  - {name: gemini, type: gemini, base_url: "SERVER/v1beta", api_key: sk-up}
  - {name: router, type: openrouter, base_url: "SERVER/v1", api_key: sk-up}
  - {name: xai, type: xai, base_url: "SERVER/v1", api_key: sk-up}
  - {name: house, type: custom, base_url: "SERVER/v1", says_cost: true}
  - {name: perplexity, type: perplexity, base_url: "SERVER", api_key: sk-up}
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
        (2, "claude-haiku-4-5", json!("0.0302")),
    ] {
        let call = json!({"model": format!("anthropic/{model}"), "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(gateway.post("/v1/messages", &call).await.status, 200);
        assert_eq!(cost(&gateway, calls).await, expected, "{model}");
    }
}

/// OpenAI bills each search, and has two tools with two prices; the pages that it opens are free.
#[tokio::test]
async fn searches_of_openai_have_the_price_of_their_tool() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}});
    let opened = json!({"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "https://example.org"}});
    let said = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]});
    for (tool, model, expected) in [
        ("web_search", "gpt-4.1", json!("0.02028")),
        ("web_search_preview", "gpt-4.1", json!("0.05028")),
        // The map does not say it of this one.
        ("web_search", "gpt-4o", json!("0.02035")),
        ("web_search_preview_2025_03_11", "gpt-5", json!("0.020225")),
        // It is not sold with that model.
        ("web_search", "gpt-3.5-turbo-instruct", Value::Null),
    ] {
        let answer = json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": model, "error": null,
            "output": [search, opened, search, said], "tools": [{"type": tool}],
            "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
        });
        let streamed = [
            json!({"type": "response.created", "response": {"id": "resp_1", "model": model, "status": "in_progress", "output": []}}),
            json!({"type": "response.completed", "response": answer}),
        ];
        let provider = ScriptedProvider::start(move |request| {
            if request.json()["stream"] == true {
                let events = streamed.iter();
                let event = |event: &Value| {
                    format!(
                        "event: {}\ndata: {event}\n\n",
                        event["type"].as_str().unwrap_or_default()
                    )
                };
                return Reply::stream(events.map(event).collect::<Vec<_>>());
            }
            Reply::json(200, &answer)
        })
        .await;
        let gateway = gateway(CONFIGURATION, &[("SERVER", &provider)]).await;
        for (calls, stream) in [(1, false), (2, true)] {
            let call = json!({"model": format!("openai/{model}"), "input": "Hi", "tools": [{"type": tool}], "stream": stream});
            let answer = gateway.post("/v1/responses", &call).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(
                cost(&gateway, calls).await,
                expected,
                "{tool} {model} {stream}"
            );
        }
    }
}

#[tokio::test]
async fn searches_of_gemini_are_billed() {
    let grounding = json!({"webSearchQueries": ["", "a", "b"], "groundingChunks": [{"web": {"uri": "https://example.org", "title": "x"}}]});
    for (model, expected) in [
        ("gemini-2.5-flash", "0.03528"),
        ("gemini-3-flash-preview", "0.02835"),
    ] {
        let answer = json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "groundingMetadata": grounding}],
            "modelVersion": model,
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 100, "totalTokenCount": 200},
        });
        let (_provider, gateway) = answering(&answer).await;
        let path = format!("/v1beta/models/gemini%2F{model}:generateContent");
        let call = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "tools": [{"googleSearch": {}}]});
        assert_eq!(gateway.post(&path, &call).await.status, 200);
        assert_eq!(cost(&gateway, 1).await, expected, "{model}");
    }
}

/// Who says what an answer cost knows it better than a list of prices does: what the model's host of that moment takes, searches, discounts.
#[tokio::test]
async fn what_a_provider_says_that_an_answer_cost_is_what_it_cost() {
    for (model, usage, expected) in [
        (
            "router/openai/gpt-4o-mini",
            json!({"cost": 0.000_06}),
            "0.00006",
        ),
        // Nobody has a price of it.
        (
            "router/unheard-of",
            json!({"cost": 8.5e-5, "is_byok": false}),
            "0.000085",
        ),
        ("router/some:free", json!({"cost": 0}), "0"),
        // What is paid to the model's own provider with a key of one's own comes to it.
        (
            "router/unheard-of",
            json!({"cost": 0.001, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.02}}),
            "0.021",
        ),
        ("router/own", json!({"cost": 8.5e-5}), "0.000015"),
        (
            "xai/unheard-of",
            json!({"cost_in_usd_ticks": 160_708_500}),
            "0.01607085",
        ),
        (
            "perplexity/sonar",
            json!({"cost": {"input_tokens_cost": 0.0, "request_cost": 0.008, "total_cost": 0.008_05}}),
            "0.00805",
        ),
        // Where it is not said, by the list: a call with a search of little.
        ("perplexity/sonar", json!({}), "0.005015"),
        ("house/unheard-of", json!({"cost": 2.5}), "2.5"),
        // Nobody knows what that is: this one does not say what its answers cost.
        ("openai/gpt-4o", json!({"cost": 77}), "0.000075"),
    ] {
        let mut answer = openai_answer("Hello");
        answer["usage"] = usage;
        for (name, count) in [
            ("prompt_tokens", 10),
            ("completion_tokens", 5),
            ("total_tokens", 15),
        ] {
            answer["usage"][name] = json!(count);
        }
        let (_provider, gateway) = answering(&answer).await;
        let sent = gateway.post("/v1/chat/completions", &chat(model)).await;
        assert_eq!(sent.status, 200, "{}", sent.text());
        assert_eq!(
            cost(&gateway, 1).await,
            expected,
            "{model} {}",
            answer["usage"]
        );
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
