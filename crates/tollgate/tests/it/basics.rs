//! One call to one provider.

use serde_json::json;
use tollgate_testkit::{Reply, ScriptedProvider, client};

use crate::stage::{
    TWO_PROVIDERS, anthropic_answer, anthropic_events, chat, chat_stream, gateway, nobody,
    openai_answer, openai_events,
};

#[tokio::test]
async fn an_answer_in_the_clients_own_dialect_passes_byte_for_byte() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let mut call = chat("gpt");
    call["x_future_field"] = json!({"deep": [1, 2.50]});
    let answer = gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, openai_answer("Hello").to_string())
    );

    let received = &openai.received()[0];
    call["model"] = json!("gpt-4o-mini");
    assert_eq!(
        String::from_utf8_lossy(&received.body),
        call.to_string(),
        "only the model was set"
    );
    assert_eq!(
        (received.path.as_str(), received.header("authorization")),
        ("/v1/chat/completions", Some("Bearer sk-up"))
    );

    assert_eq!(answer.header("x-tollgate-route"), "gpt");
    assert_eq!(answer.header("x-tollgate-target"), "openai/gpt-4o-mini");
    assert_eq!(answer.header("x-tollgate-attempts"), "1");
    assert_eq!(answer.header("x-tollgate-revision").len(), 12);
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_stream_in_the_clients_own_dialect_passes_and_usage_that_was_not_asked_for_is_hidden() {
    let openai = ScriptedProvider::always(Reply::stream(openai_events(&["Hel", "lo"]))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let answer = gateway
        .post("/v1/chat/completions", &chat_stream("gpt"))
        .await;
    let mut expected = openai_events(&["Hel", "lo"]);
    expected.remove(4);
    assert_eq!((answer.status, answer.text()), (200, expected.concat()));
    assert_eq!(
        openai.received()[0].json()["stream_options"],
        json!({"include_usage": true})
    );
    let line = &gateway.wait_for_calls(1).await[0];
    assert_eq!(
        (
            &line["outcome"],
            &line["gen_ai.usage.output_tokens"],
            &line["finish_reason"]
        ),
        (&json!("answered"), &json!(7), &json!("stop"))
    );
}

#[tokio::test]
async fn an_anthropic_client_reaches_an_openai_model_and_the_reverse() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let anthropic = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;

    let call = json!({"model": "gpt", "max_tokens": 50, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = gateway
        .post_with(
            "/v1/messages",
            &call,
            &[("anthropic-version", "2023-06-01")],
        )
        .await
        .json();
    assert_eq!(
        (&answer["content"][0]["text"], &answer["stop_reason"]),
        (&json!("Hello"), &json!("end_turn"))
    );
    assert_eq!(
        (
            &answer["usage"]["input_tokens"],
            &answer["usage"]["cache_read_input_tokens"]
        ),
        (&json!(8), &json!(4))
    );
    assert_eq!(
        openai.received()[0].json()["messages"][0],
        json!({"role": "system", "content": "Be brief."})
    );

    let answer = gateway
        .post("/v1/chat/completions", &chat("claude"))
        .await
        .json();
    assert_eq!(
        (
            &answer["choices"][0]["message"]["content"],
            &answer["choices"][0]["finish_reason"]
        ),
        (&json!("Salve"), &json!("stop"))
    );
    assert_eq!(
        (
            &answer["usage"]["prompt_tokens"],
            &answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        ),
        (&json!(12), &json!(4))
    );
    assert_eq!(
        anthropic.received()[0].header("x-api-key"),
        Some("sk-ant-up")
    );
    assert_eq!(
        anthropic.received()[0].header("anthropic-version"),
        Some("2023-06-01")
    );
}

#[tokio::test]
async fn streams_are_translated_as_they_come() {
    let openai = ScriptedProvider::always(Reply::stream(openai_events(&["Hel", "lo"]))).await;
    let anthropic = ScriptedProvider::always(Reply::stream(anthropic_events(&["Sal", "ve"]))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;

    let mut call = chat_stream("claude");
    call["stream_options"] = json!({"include_usage": true});
    let answer = gateway.post("/v1/chat/completions", &call).await;
    let events = answer.events();
    assert!(
        events
            .iter()
            .any(|event| event.contains("\"content\":\"Sal\"")),
        "{events:?}"
    );
    assert!(
        events[events.len() - 2].contains("\"prompt_tokens\":12"),
        "{events:?}"
    );
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));

    let call = json!({"model": "gpt", "max_tokens": 50, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let text = gateway.post("/v1/messages", &call).await.text();
    assert!(
        text.contains("\"text\":\"Hel\"")
            && text.contains("\"output_tokens\":7")
            && text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        "{text}"
    );
}

#[tokio::test]
async fn names_in_paths_are_understood_as_clients_write_them() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = TWO_PROVIDERS.replace("name: gpt,", "name: gpt, aliases: [vendor/gpt],");
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    for path in ["/v1/models/vendor/gpt", "/v1/models/vendor%2Fgpt"] {
        assert_eq!(gateway.get(path).await.json()["id"], "vendor/gpt");
    }
    let call = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let answer = gateway
        .post("/gateway/vendor%2Fgpt/invocations", &call)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let unknown = gateway.get("/v1/models/vendor%2Fother").await.text();
    assert!(unknown.contains("`vendor/other`"), "{unknown}");
}

#[tokio::test]
async fn who_lists_models_is_told_errors_in_their_own_dialect() {
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &nobody().await), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let version = [("anthropic-version", "2023-06-01")];
    let path = "/v1/models/nobody";
    let answer = client::get_with(gateway.address(), path, &version)
        .await
        .unwrap();
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
    let answer = gateway.get(path).await;
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn tokens_are_counted_by_those_who_know_and_by_nobody_else() {
    let anthropic = ScriptedProvider::always(Reply::json(200, &json!({"input_tokens": 14}))).await;
    let configuration =
        TWO_PROVIDERS.replace("{name: claude,", "{name: claude, params: {max_tokens: 9},");
    let providers = [("OPENAI", &nobody().await), ("ANTHROPIC", &anthropic)];
    let gateway = gateway(&configuration, &providers).await;
    let mut call = chat("claude");
    let answer = gateway.post("/v1/messages/count_tokens", &call).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"input_tokens": 14}))
    );
    let sent = anthropic.received().remove(0);
    call["model"] = json!("claude-sonnet-4-5");
    assert_eq!(
        (sent.path.as_str(), sent.json()),
        ("/v1/messages/count_tokens", call)
    );
    let answer = gateway
        .post("/v1/messages/count_tokens", &chat("gpt"))
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["type"], "error");
}
