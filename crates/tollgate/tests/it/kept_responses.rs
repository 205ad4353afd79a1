//! Responses that the gateway keeps where the provider keeps none: calls go on from them, and nobody finds another's.

use serde_json::{Value, json};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{anthropic_answer, anthropic_events, gateway};

const CONFIGURATION: &str = r#"
store: {responses_kept: 30d}
keys:
  - {name: one, hash: "sha256:50a6026c825adc1b55a595b6e95cb04a6ea2930457fe286a9975138221333c04"}
  - {name: two, hash: "sha256:441ea268ee9665e9333441b230fc3cfac5d9d422d92fbf082c17abb3ac2ae30f"}
providers:
  - {name: anthropic, type: anthropic, base_url: "ANTHROPIC", api_key: sk-ant-up}
  - {name: responds, type: custom, dialect: openai_responses, base_url: "RESPONDS/v1"}
routes:
  - {name: claude, model: {provider: anthropic, name: claude-sonnet-4-5}}
  - {name: responds, model: {provider: responds, name: gpt-5}}
"#;

const ONE: (&str, &str) = ("authorization", "Bearer tg_one_aaaaaaaaaaaaaaaaaaaaaaaa");
const TWO: (&str, &str) = ("authorization", "Bearer tg_two_aaaaaaaaaaaaaaaaaaaaaaaa");

async fn stage() -> (ScriptedProvider, ScriptedProvider, TestGateway) {
    let anthropic = ScriptedProvider::start(|request| {
        if request.json()["stream"] == true {
            Reply::stream(anthropic_events(&["Hel", "lo"]))
        } else {
            Reply::json(200, &anthropic_answer("Hello"))
        }
    })
    .await;
    let responds = ScriptedProvider::start(|_| {
        Reply::json(
            200,
            &json!({"id": "resp_of_the_provider", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5", "output": []}),
        )
    })
    .await;
    let providers = [("ANTHROPIC", &anthropic), ("RESPONDS", &responds)];
    let gateway = gateway(CONFIGURATION, &providers).await;
    (anthropic, responds, gateway)
}

async fn ask(gateway: &TestGateway, key: (&str, &str), call: &Value) -> client::Answer {
    gateway.post_with("/v1/responses", call, &[key]).await
}

/// What the provider was sent last, as roles and texts.
fn said(provider: &ScriptedProvider) -> Vec<(String, String)> {
    let received = provider.received();
    let last = received.last().expect("something was sent").json();
    let messages = last["messages"].as_array().cloned().unwrap_or_default();
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        content => content[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    messages
        .iter()
        .map(|message| {
            let role = message["role"].as_str().unwrap_or_default().to_owned();
            (role, text(&message["content"]))
        })
        .collect()
}

#[tokio::test]
async fn a_call_goes_on_from_an_answer_that_was_kept() {
    let (anthropic, _responds, gateway) = stage().await;
    let first = ask(
        &gateway,
        ONE,
        &json!({"model": "claude", "input": "Hi", "instructions": "Be brief."}),
    )
    .await
    .json();
    let id = first["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("resp_"), "{id}");
    assert_eq!(
        (&first["store"], &first["previous_response_id"]),
        (&json!(true), &Value::Null)
    );

    // Streamed, from the first.
    let second = json!({"model": "claude", "input": [{"role": "user", "content": "And?"}], "previous_response_id": id, "stream": true});
    let second = ask(&gateway, ONE, &second).await;
    assert_eq!(
        said(&anthropic),
        [("user", "Hi"), ("assistant", "Hello"), ("user", "And?")]
            .map(|(role, text)| (role.to_owned(), text.to_owned()))
    );
    let last: Value = serde_json::from_str(second.events().last().expect("events")).expect("JSON");
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["previous_response_id"], id.as_str());
    let second = last["response"]["id"].as_str().expect("an id").to_owned();

    // The provider's own id is the same each time, and the gateway's is not.
    assert_ne!(second, id);
    let gateway = gateway.kill_and_restart().await;
    let third = json!({"model": "claude", "input": "So?", "previous_response_id": second});
    assert_eq!(ask(&gateway, ONE, &third).await.status, 200);
    assert_eq!(said(&anthropic).len(), 5);

    // It can be looked at, and forgotten.
    let path = format!("/v1/responses/{id}");
    let found = client::send(gateway.address(), "GET", &path, &[ONE], Vec::new())
        .await
        .expect("an answer");
    assert_eq!(found.json(), first);
    let gone = client::send(gateway.address(), "DELETE", &path, &[ONE], Vec::new())
        .await
        .expect("an answer");
    assert_eq!(
        gone.json(),
        json!({"id": id, "object": "response", "deleted": true})
    );
    let again = client::send(gateway.address(), "GET", &path, &[ONE], Vec::new())
        .await
        .expect("an answer");
    assert_eq!(again.status, 404);
    // What went on from it has lost its beginning, which is said rather than passed over.
    let refused = ask(&gateway, ONE, &third).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (404, &json!("previous_response_not_found"))
    );
}

#[tokio::test]
async fn nobody_finds_what_is_anothers_or_was_not_to_be_kept() {
    let (_anthropic, responds, gateway) = stage().await;
    let first = ask(&gateway, ONE, &json!({"model": "claude", "input": "Hi"}))
        .await
        .json();
    let id = &first["id"];
    let refused = ask(
        &gateway,
        TWO,
        &json!({"model": "claude", "input": "Hi", "previous_response_id": id}),
    )
    .await;
    assert_eq!(refused.status, 404, "{}", refused.text());

    let unkept = ask(
        &gateway,
        ONE,
        &json!({"model": "claude", "input": "Hi", "store": false}),
    )
    .await
    .json();
    assert_eq!(unkept["store"], false);
    let refused = ask(
        &gateway,
        ONE,
        &json!({"model": "claude", "input": "Hi", "previous_response_id": unkept["id"]}),
    )
    .await;
    assert_eq!(refused.status, 404, "{}", refused.text());

    // A provider that speaks responses gets the conversation that was kept here, and its own ids as they are.
    let on = json!({"model": "responds", "input": "On", "previous_response_id": id});
    assert_eq!(ask(&gateway, ONE, &on).await.status, 200);
    let sent = responds.received()[0].json();
    assert_eq!(
        (
            sent["input"].as_array().map(Vec::len),
            sent.get("previous_response_id")
        ),
        (Some(3), None)
    );
    let on =
        json!({"model": "responds", "input": "On", "previous_response_id": "resp_of_the_provider"});
    assert_eq!(ask(&gateway, ONE, &on).await.status, 200);
    let sent = responds.received()[1].json();
    assert_eq!(sent["previous_response_id"], "resp_of_the_provider");
}
