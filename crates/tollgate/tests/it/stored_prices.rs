//! Prices that are made by the administrative API: they hold for calls, and the file's go first.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{chat, openai_answer, program};

struct Stage {
    gateway: TestGateway,
    admin: SocketAddr,
    owner: String,
    _provider: ScriptedProvider,
}

impl Stage {
    async fn new() -> Self {
        let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
        let admin = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port");
        let configuration = format!(
            "admin: {{listen: \"{admin}\"}}\n\
             prices:\n  - {{provider: openai, model: filed, input: 3, output: 3}}\n\
             providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
             routes:\n  - {{name: chat, model: {{provider: openai, name: brand-new}}}}\n",
            provider.url()
        );
        let gateway = TestGateway::start(program(), &configuration).await;
        let owner = gateway.command(&["user", "create", "--name", "root"]);
        let stage = Self {
            gateway,
            admin,
            owner: owner.trim().to_owned(),
            _provider: provider,
        };
        for _ in 0..100 {
            if client::get(admin, "/api/v1/me").await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        stage
    }

    /// As the owner; the answer has this status.
    async fn done(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let authorization = format!("Bearer {}", self.owner);
        let headers = [("authorization", authorization.as_str())];
        let path = format!("/api/v1{path}");
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let answer = client::send(self.admin, method, &path, &headers, body)
            .await
            .expect("the API answers");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.text().is_empty() {
            Value::Null
        } else {
            answer.json()
        }
    }

    /// What a call costs, once that is as expected; for three seconds at most.
    async fn costs(&self, expected: &Value) {
        let mut last = Value::Null;
        for _ in 0..30 {
            let before = self.gateway.calls().len();
            self.gateway
                .post("/v1/chat/completions", &chat("chat"))
                .await;
            let calls = self.gateway.wait_for_calls(before + 1).await;
            last = calls
                .last()
                .map_or(Value::Null, |call| call["cost_dollars"].clone());
            if last == *expected {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(&last, expected, "{}", self.gateway.output());
    }
}

#[tokio::test]
async fn a_price_that_is_made_holds_for_calls() {
    let stage = Stage::new().await;
    // 12 tokens in and 7 out, of a model that nobody knows.
    stage.costs(&Value::Null).await;
    let price = json!({"provider": "openai", "model": "brand-new", "input": 1, "output": 1, "output_max": 1000});
    let made = stage.done("POST", "/prices", price.clone(), 201).await;
    stage.costs(&json!("0.000019")).await;
    let path = format!("/prices/{}", made["id"].as_str().unwrap());
    let dearer = json!({"provider": "openai", "model": "brand-new", "input": 2, "output": 2});
    stage.done("PUT", &path, dearer, 200).await;
    stage.costs(&json!("0.000038")).await;
    // One that begins later changes nothing yet; one that has begun does.
    let later = json!({"provider": "openai", "model": "brand-new", "from": "2099-01-01", "input": 9, "output": 9});
    stage.done("POST", "/prices", later, 201).await;
    let begun = json!({"provider": "openai", "model": "brand-new", "from": "2020-01-01", "input": 3, "output": 3});
    let begun = stage.done("POST", "/prices", begun, 201).await;
    stage.costs(&json!("0.000057")).await;
    let targets = stage.done("GET", "/targets", Value::Null, 200).await;
    assert_eq!(
        targets["items"][0]["dollars_per_million"]["input"], "3",
        "{targets}"
    );
    let listed = stage.done("GET", "/prices", Value::Null, 200).await;
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(3),
        "{listed}"
    );
    let own = stage.gateway.command(&["prices", "--own", "--json"]);
    let own: Value = serde_json::from_str(&own).unwrap();
    let told = |place: usize| {
        let own = &own[place];
        (
            own["model"].as_str(),
            own["from"].as_str(),
            own["dollars_per_million"]["output"].as_str(),
            own["stands_in"].as_str(),
        )
    };
    assert_eq!(
        told(0),
        (Some("openai/brand-new"), None, Some("2"), Some("store"))
    );
    assert_eq!(
        told(1),
        (
            Some("openai/brand-new"),
            Some("2020-01-01T00:00:00Z"),
            Some("3"),
            Some("store")
        )
    );
    assert_eq!(
        told(3),
        (Some("openai/filed"), None, Some("3"), Some("configuration"))
    );
    let lines = stage.gateway.command(&["prices", "--own", "filed"]);
    assert_eq!(
        lines.trim(),
        "openai/filed  input 3  output 3  (configuration)"
    );

    // They outlive a restart, and what is removed holds no more.
    let stage = Stage {
        gateway: stage.gateway.kill_and_restart().await,
        ..stage
    };
    for _ in 0..100 {
        if client::get(stage.admin, "/api/v1/me").await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    stage.costs(&json!("0.000057")).await;
    let begun = format!("/prices/{}", begun["id"].as_str().unwrap());
    stage.done("DELETE", &begun, Value::Null, 204).await;
    stage.costs(&json!("0.000038")).await;
    stage.done("DELETE", &path, Value::Null, 204).await;
    stage.costs(&Value::Null).await;
    stage.done("GET", &path, Value::Null, 404).await;
    let audited = stage.gateway.command(&["audit", "verify"]);
    assert!(audited.contains("all as they were written"), "{audited}");
}

#[tokio::test]
async fn a_price_that_is_none_is_not_taken() {
    let stage = Stage::new().await;
    for (body, status) in [
        (json!({"provider": "openai", "model": "m"}), 422),
        (json!({"provider": "opneai", "model": "m", "input": 1}), 422),
        (
            json!({"provider": "openai", "model": "m", "input": -1}),
            422,
        ),
        (
            json!({"provider": "openai", "model": "m", "input": 1, "from": "soon"}),
            422,
        ),
        (json!({"provider": "openai", "input": 1}), 422),
        (
            json!({"provider": "openai", "model": "m".repeat(513), "input": 1}),
            422,
        ),
        (
            json!({"provider": "openai", "model": "m".repeat(512), "input": 1}),
            201,
        ),
        // The file goes first.
        (
            json!({"provider": "openai", "model": "filed", "input": 1}),
            409,
        ),
        (
            json!({"provider": "openai", "model": "filed", "input": 1, "from": "2099-01-01"}),
            409,
        ),
        (json!({"provider": "openai", "model": "m", "input": 1}), 201),
        (json!({"provider": "openai", "model": "m", "input": 2}), 409),
        (json!({"provider": "openai", "model": "*", "input": 2}), 201),
    ] {
        let told = stage.done("POST", "/prices", body.clone(), status).await;
        assert!(status == 201 || told["code"].is_string(), "{body}: {told}");
    }
    // Whose it is stays for ever: another model is another price.
    let listed = stage.done("GET", "/prices", Value::Null, 200).await;
    let id = listed["items"][0]["id"].as_str().unwrap();
    let other = json!({"provider": "openai", "model": "other", "input": 2});
    stage
        .done("PUT", &format!("/prices/{id}"), other, 409)
        .await;
}
