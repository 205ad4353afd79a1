//! Prompt templates on routes, the article's own file among them.

use serde_json::json;
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{anthropic_answer, chat, gateway, openai_answer, program};

#[tokio::test]
async fn the_articles_file_starts_as_it_stands() {
    let article = include_str!("../../../../examples/article.yaml");
    let environment = [("OPENAI_API_KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-2")];
    let gateway = TestGateway::start_with(program(), article, &environment).await;
    let answer = gateway
        .post("/gateway/routes/summarize_text", &json!({"text": "long"}))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("model_unresolved")),
        "{}",
        answer.text()
    );
    assert!(
        gateway.output().contains("my_mlflow_model"),
        "a warning at start: {}",
        gateway.output()
    );
    let models = gateway.get("/v1/models").await.json();
    let names: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["chat_standard", "summarize_text", "resilient_chat"]);
}

const PROMPTS: &str = r#"
providers: [{name: p, type: openai, base_url: "OPENAI/v1", api_key: k}]
routes:
  - {name: plain, model: {provider: p, name: m}, prompt_template: "You are a helpful assistant.\nUser: {{ input.messages }}"}
  - name: parts
    model: {provider: p, name: m}
    prompt_template:
      - {role: system, content: "Speak {{ input.language }}{% if input.tone is defined %} in a {{ input.tone }} tone{% endif %}."}
      - "{{ input.messages }}"
  - {name: complete, route_type: llm/v1/completions, model: {provider: p, name: m}, prompt_template: "Sum up: {{ input.text }}"}
"#;

#[tokio::test]
async fn a_prompt_takes_the_place_of_what_was_sent() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("x"))).await;
    let gateway = gateway(PROMPTS, &[("OPENAI", &provider)]).await;
    let last = || provider.received().last().expect("a request").json();

    assert_eq!(
        gateway
            .post("/v1/chat/completions", &chat("plain"))
            .await
            .status,
        200
    );
    assert_eq!(
        last()["messages"],
        json!([{"role": "user", "content": "You are a helpful assistant.\nUser: Hi"}])
    );

    let mut call = chat("parts");
    call["language"] = json!("French");
    assert_eq!(
        gateway.post("/v1/chat/completions", &call).await.status,
        200
    );
    assert_eq!(
        last()["messages"],
        json!([{"role": "system", "content": "Speak French."}, {"role": "user", "content": "Hi"}])
    );
    assert!(
        last().get("language").is_none(),
        "a variable of the prompt is no parameter of the provider"
    );

    assert_eq!(
        gateway
            .post("/gateway/routes/complete", &json!({"text": "a long story"}))
            .await
            .status,
        200
    );
    assert_eq!(last()["prompt"], "Sum up: a long story");

    let answer = gateway.post("/v1/chat/completions", &chat("parts")).await;
    assert_eq!(
        (
            answer.status,
            &answer.json()["error"]["code"],
            &answer.json()["error"]["param"]
        ),
        (400, &json!("variables_missing"), &json!("input.language"))
    );
}

const MORE_PROMPTS: &str = r#"
providers:
  - {name: p, type: openai, base_url: "OPENAI/v1", api_key: k}
  - {name: a, type: anthropic, base_url: "ANTHROPIC", api_key: k}
routes:
  - {name: optional, model: {provider: p, name: m}, prompt_template: "Speak {{ input.language or 'English' }}{% if input.tone %} in a {{ input.tone }} tone{% endif %}."}
  - name: kind
    model: {provider: a, name: m}
    prompt_template:
      - {role: system, content: "You are {{ input.mood }}."}
      - "{{ input.messages }}"
"#;

#[tokio::test]
async fn a_prompt_may_ask_whether_there_is_something() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("x"))).await;
    let gateway = gateway(
        MORE_PROMPTS,
        &[("OPENAI", &provider), ("ANTHROPIC", &provider)],
    )
    .await;
    let answer = gateway
        .post("/v1/chat/completions", &chat("optional"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        provider.received()[0].json()["messages"][0]["content"],
        "Speak English."
    );
}

#[tokio::test]
async fn system_messages_are_where_anthropic_has_them() {
    let provider = ScriptedProvider::always(Reply::json(200, &anthropic_answer("x"))).await;
    let gateway = gateway(
        MORE_PROMPTS,
        &[("OPENAI", &provider), ("ANTHROPIC", &provider)],
    )
    .await;
    let mut call = chat("kind");
    (call["max_tokens"], call["mood"]) = (json!(9), json!("kind"));
    gateway.post("/v1/messages", &call).await;
    call["system"] = json!("Be brief.");
    gateway.post("/v1/messages", &call).await;

    let block = |text: &str| json!({"type": "text", "text": text});
    let asked: Vec<_> = provider.received().iter().map(Received::json).collect();
    assert_eq!(asked[0]["system"], json!([block("You are kind.")]));
    assert_eq!(
        asked[1]["system"],
        json!([block("You are kind."), block("Be brief.")])
    );
    assert_eq!(
        asked[1]["messages"],
        json!([{"role": "user", "content": "Hi"}])
    );
}
