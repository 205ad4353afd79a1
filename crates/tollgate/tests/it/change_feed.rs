//! What is changed through one gateway of a `PostgreSQL` holds there when that is told, at another at once, and soon where nothing is told of it.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep};
use tollgate_testkit::{TestGateway, client, postgres::Postgres};

use crate::{
    administration::Stage,
    stage::{chat, program},
};

/// Two gateways of one database; the first has the administrative API.
struct Pair {
    postgres: Postgres,
    admin: SocketAddr,
    owner: String,
    one: TestGateway,
    two: TestGateway,
}

impl Pair {
    async fn new() -> Self {
        let postgres = Postgres::start();
        let admin = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port");
        let configuration = format!(
            "store: {{url: \"{}\"}}\n\
             providers: [{{name: demo, type: demo}}]\n\
             routes: [{{name: chat, model: {{provider: demo, name: m}}}}]\n",
            postgres.url()
        );
        let with_admin = format!("admin: {{listen: \"{admin}\"}}\n{configuration}");
        let one = TestGateway::start(program(), &with_admin).await;
        let two = TestGateway::start(program(), &configuration).await;
        let owner = one.command(&["user", "create", "--name", "root"]);
        let pair = Self {
            postgres,
            admin,
            owner: owner.trim().to_owned(),
            one,
            two,
        };
        for _ in 0..100 {
            if client::get(admin, "/api/v1/me").await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        pair.change("POST", "/organisations", json!({"name": "acme"}))
            .await;
        let team = json!({"name": "team", "organisation": "acme"});
        pair.change("POST", "/teams", team).await;
        pair
    }

    async fn change(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
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
        assert!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.text(),
            self.one.output()
        );
        if answer.text().is_empty() {
            serde_json::Value::Null
        } else {
            answer.json()
        }
    }

    /// How long it takes until the second gateway answers a key with this status.
    async fn until(&self, key: &str, status: u16) -> Duration {
        let begun = Instant::now();
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        while begun.elapsed() < Duration::from_secs(10) {
            let answer = self
                .two
                .post_with("/v1/chat/completions", &chat("chat"), &headers)
                .await;
            if answer.status == status {
                return begun.elapsed();
            }
            sleep(Duration::from_millis(2)).await;
        }
        unreachable!("{status} does not come: {}", self.two.output());
    }

    /// What the first gateway answers a key right now.
    async fn now(&self, key: &str) -> u16 {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        let call = chat("chat");
        let answer = self.one.post_with("/v1/chat/completions", &call, &headers);
        answer.await.status
    }

    /// How long it takes until a key that is made through the first gateway opens the second, and until one that is removed there does not,
    /// the worse of both.
    async fn makes_and_removes(&self, name: &str) -> Duration {
        let made = json!({"name": name, "team": "team"});
        let made = self.change("POST", "/keys", made).await;
        let (id, key) = (made["id"].as_str(), made["key"].as_str());
        let (id, key) = (id.expect("an id"), key.expect("a key"));
        let opened = self.until(key, 200).await;
        self.change("DELETE", &format!("/keys/{id}"), json!(null))
            .await;
        opened.max(self.until(key, 401).await)
    }

    /// Ends what both gateways hear by; gives how many there were.
    fn deafen(&self) -> String {
        self.postgres.ask(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'",
        )
    }

    /// The third best of nine: a machine that has other work is late now and then, and who only looks is rarely that quick three times.
    async fn usual(&self, label: &str) -> Duration {
        let mut times = Vec::new();
        for round in 0..9 {
            times.push(self.makes_and_removes(&format!("{label}-{round}")).await);
        }
        times.sort_unstable();
        times[2]
    }
}

#[tokio::test]
async fn a_key_that_is_removed_through_one_gateway_opens_nothing_at_another_at_once() {
    let pair = Pair::new().await;
    // It is looked for every 800 ms.
    let usual = pair.usual("told").await;
    assert!(usual < Duration::from_millis(300), "{usual:?}");
    assert_eq!(pair.deafen(), "2");
    for round in 0..5 {
        // Nobody hears while others are about to listen again; within a second it holds all the same.
        let worst = pair.makes_and_removes(&format!("deaf-{round}")).await;
        assert!(worst < Duration::from_millis(3_000), "{worst:?}");
        pair.deafen();
    }
    let told = pair.two.output();
    assert!(told.contains("not heard of at once"), "{told}");
    for _ in 0..100 {
        if pair.two.output().contains("heard of at once again") {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let usual = pair.usual("again").await;
    assert!(usual < Duration::from_millis(300), "{usual:?}");
}

#[tokio::test]
async fn a_change_that_is_told_to_be_made_holds_at_its_gateway_though_the_database_goes() {
    let pair = Pair::new().await;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let make = async |name: &str| {
        let made = json!({"name": name, "team": "team"});
        let made = pair.change("POST", "/keys", made).await;
        let (path, key) = (format!("/keys/{}", text(&made["id"])), text(&made["key"]));
        assert_eq!(pair.now(&key).await, 200, "{name}");
        (path, key)
    };
    for round in 0..5 {
        let (path, key) = make(&format!("rotated-{round}")).await;
        let rotate = format!("{path}/rotate");
        let rotated = pair.change("POST", &rotate, json!({"overlap_seconds": 0}));
        let rotated = text(&rotated.await["key"]);
        assert_eq!((pair.now(&key).await, pair.now(&rotated).await), (401, 200));
        pair.change("PUT", &path, json!({"paths": ["/v1/embeddings"]}))
            .await;
        assert_eq!(pair.now(&rotated).await, 403);
        pair.change("DELETE", &path, json!(null)).await;
        assert_eq!(pair.now(&rotated).await, 401);
    }
    let (_, limited) = make("limited").await;
    let limit = json!({"name": "none", "of": {"key": "limited"}, "tokens": 1, "per": "day"});
    pair.change("POST", "/limits", limit).await;
    assert_eq!(pair.now(&limited).await, 413);
    let (path, blocked) = make("blocked").await;
    pair.change("POST", &format!("{path}/block"), json!(null))
        .await;
    pair.postgres.stop();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(pair.now(&blocked).await, 401);
}

/// A file is looked at five times a second.
#[tokio::test]
async fn a_change_of_a_file_holds_when_it_is_told_to_be_made() {
    let stage = Stage::new().await;
    stage.organisation("acme").await;
    for round in 0..5 {
        let key = json!({"name": format!("key-{round}"), "team": "acme-team"});
        let key = stage.done("POST", "/keys", key, 201).await;
        let (id, key) = (&key["id"], key["key"].as_str().expect("a text"));
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        let call = async || {
            let call = chat("chat");
            let answer = stage
                .gateway
                .post_with("/v1/chat/completions", &call, &headers);
            answer.await.status
        };
        assert_eq!(call().await, 200);
        let block = format!("/keys/{}/block", id.as_str().expect("a text"));
        stage.done("POST", &block, json!(null), 200).await;
        assert_eq!(call().await, 401);
    }
}
