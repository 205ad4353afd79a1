//! Payloads go when their time is over, whether any are kept by then or not.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use tollgate_domain::{Payload, UsageRecord};
use tollgate_store::Store;
use tollgate_testkit::{TestGateway, client, postgres::Postgres};

use crate::stage::program;

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn payloads_of_before_are_shown_and_kept_as_long_as_was_said() {
    let postgres = Postgres::start();
    let store = Store::open(&postgres.url()).await.unwrap();
    let now = postgres.ask("SELECT (EXTRACT(EPOCH FROM NOW()) * 1000)::BIGINT");
    let now: i64 = now.parse().unwrap();
    let record = |id: &str, at_ms: i64| UsageRecord {
        id: id.into(),
        at_ms,
        outcome: "answered".into(),
        status: 200,
        payload: Some(Payload {
            request: "a cat".into(),
            response: "a mouse".into(),
        }),
        ..UsageRecord::default()
    };
    let records = [
        record("new", now - DAY_MS / 2),
        record("over", now - DAY_MS - 60_000),
        record("old", now - 40 * DAY_MS),
    ];
    store.enter(&records).await.unwrap();
    store.close().await;

    let admin = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port");
    let configuration = format!(
        "admin: {{listen: \"{admin}\"}}\n\
         store: {{url: \"{}\"}}\n\
         payloads: {{keep: none, kept_for: 1d}}\n\
         providers: [{{name: demo, type: demo}}]\n\
         routes: [{{name: chat, model: {{provider: demo, name: m}}}}]\n",
        postgres.url()
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let owner = gateway.command(&["user", "create", "--name", "root"]);
    let authorization = format!("Bearer {}", owner.trim());
    let get = async |path: &str| -> Value {
        let headers = [("authorization", authorization.as_str())];
        let path = format!("/api/v1{path}");
        for _ in 0..100 {
            match client::send(admin, "GET", &path, &headers, Vec::new()).await {
                Ok(answer) if answer.status == 200 => return answer.json(),
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
        unreachable!("{path}: {}", gateway.output())
    };
    let found = get("/calls?text=cat").await;
    let found = found["items"].as_array().expect("a list");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["id"], "new");
    assert_eq!(get("/calls/new").await["request"], "a cat");
    for id in ["over", "old"] {
        let call = get(&format!("/calls/{id}")).await;
        assert_eq!(
            (&call["request"], &call["response"]),
            (&Value::Null, &Value::Null)
        );
    }
    let days = "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'payloads_";
    let old = format!("{days}{}'", (now - 40 * DAY_MS) / DAY_MS);
    for _ in 0..100 {
        if postgres.ask(&old) == "0" {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    unreachable!("they stay: {}", gateway.output());
}
