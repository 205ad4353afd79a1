//! MLflow's own files, paths and models.

use serde_json::json;
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway};

use crate::stage::{gateway, openai_answer, program};

const MLFLOW_FILE: &str = r#"
endpoints:
  - name: chat
    endpoint_type: llm/v1/chat
    model: {provider: openai, name: gpt-4o-mini, config: {openai_api_key: $MOCK_KEY, openai_api_base: "OPENAI/v1"}}
    limit: {calls: 200, renewal_period: minute}
  - name: claude
    endpoint_type: llm/v1/chat
    model: {provider: anthropic, name: claude-sonnet-4-5, config: {anthropic_api_key: $MOCK_KEY, anthropic_api_base: "OPENAI"}}
routes:
  - {name: split, task_type: llm/v1/chat, destinations: [{name: chat, traffic_percentage: 100}, {name: claude, traffic_percentage: 0}]}
"#;

#[tokio::test]
async fn mlflows_file_and_its_clients_paths_work_as_they_are() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = TestGateway::start_with(
        program(),
        &MLFLOW_FILE.replace("OPENAI", &provider.url()),
        &[("MOCK_KEY", "sk-mock")],
    )
    .await;
    let body = json!({"messages": [{"role": "user", "content": "Hi"}]});
    for path in [
        "/gateway/chat/invocations",
        "/endpoints/chat/invocations",
        "/gateway/routes/chat",
        "/gateway/split/invocations",
    ] {
        let answer = gateway.post(path, &body).await;
        assert_eq!(
            (
                answer.status,
                &answer.json()["choices"][0]["message"]["content"]
            ),
            (200, &json!("Hello")),
            "{path}"
        );
    }
    assert_eq!(
        provider.received()[0].header("authorization"),
        Some("Bearer sk-mock")
    );
    assert_eq!(provider.received()[0].json()["model"], "gpt-4o-mini");

    let endpoints = gateway.get("/api/2.0/endpoints/").await.json();
    assert_eq!(endpoints["endpoints"].as_array().map(Vec::len), Some(3));
    let one = gateway.get("/api/2.0/endpoints/chat").await.json();
    assert_eq!(one["endpoint_url"], "/gateway/chat/invocations");
    assert_eq!(
        (&one["endpoint_type"], &one["model"]["name"]),
        (&json!("llm/v1/chat"), &json!("gpt-4o-mini"))
    );
    assert!(one.as_object().unwrap().contains_key("limit"));
    assert_eq!(
        gateway.get("/api/2.0/gateway/routes/chat").await.json()["route_type"],
        "llm/v1/chat"
    );
    assert_eq!(gateway.get("/api/2.0/endpoints/nothing").await.status, 404);
    assert_eq!(gateway.get("/gateway/mlflow/v1/models").await.status, 200);
    let mut by_model = body.clone();
    by_model["model"] = json!("chat");
    assert_eq!(
        gateway
            .post("/gateway/mlflow/v1/chat/completions", &by_model)
            .await
            .status,
        200
    );
    assert_eq!(
        gateway
            .post("/gateway/openai/v1/chat/completions", &by_model)
            .await
            .status,
        200
    );
    by_model["max_tokens"] = json!(5);
    assert_eq!(
        gateway
            .post("/gateway/anthropic/v1/messages", &by_model)
            .await
            .json()["content"][0]["text"],
        "Hello"
    );
}

const SERVED: &str = r#"
providers:
  - {name: served, type: mlflow, model_server_url: "MLFLOW"}
  - {name: older, type: mlflow, model_server_url: "MLFLOW", chat_input: text}
routes:
  - {name: ask, model: {provider: older, name: m}}
  - {name: chat, model: {provider: served, name: m}}
  - {name: complete, route_type: llm/v1/completions, model: {provider: served, name: m}}
  - {name: iris, route_type: ml/v1/predict, model: {provider: served, name: m}}
"#;

#[tokio::test]
async fn served_models_answer_chats_texts_and_scores() {
    let served = ScriptedProvider::start(|request| {
        let body = request.json();
        if body["messages"].is_array() {
            Reply::json(200, &openai_answer("Hello"))
        } else if body["inputs"][0].is_string() {
            Reply::json(200, &json!({"predictions": ["and so on"]}))
        } else {
            Reply::json(200, &json!({"predictions": [0, 2]}))
        }
    })
    .await;
    let gateway = gateway(SERVED, &[("MLFLOW", &served)]).await;
    let answer = gateway
        .post(
            "/v1/completions",
            &json!({"model": "complete", "prompt": "Once", "max_tokens": 5}),
        )
        .await
        .json();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["text"]),
        (&json!("text_completion"), &json!("and so on"))
    );
    let scores = gateway
        .post(
            "/endpoints/iris/invocations",
            &json!({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}),
        )
        .await;
    assert_eq!(scores.text(), "{\"predictions\":[0,2]}");

    // A served chat model does not stream; its client gets a stream all the same.
    let call = json!({"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "He"}]});
    let text = gateway.post("/v1/chat/completions", &call).await.text();
    assert!(
        text.contains("Hello") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    let sent = served.received().last().unwrap().clone();
    assert_eq!(
        (sent.path.as_str(), &sent.json()["messages"][2]["content"]),
        ("/invocations", &json!("He"))
    );
    assert!(sent.json().get("stream").is_none() && sent.json().get("model").is_none());

    // A model that is no chat model answers one message; a conversation would lose what came before.
    let mut call = json!({"model": "ask", "temperature": 0.5, "messages": [{"role": "user", "content": "Once"}]});
    let answer = gateway.post("/v1/chat/completions", &call).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "and so on");
    assert_eq!(
        served.received().last().unwrap().json(),
        json!({"inputs": ["Once"], "params": {"temperature": 0.5}})
    );
    call["messages"] =
        json!([{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Once"}]);
    let answer = gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("messages"), "{}", answer.text());
}
