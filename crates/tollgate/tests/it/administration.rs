//! The administrative API: what people make there holds for calls within a second, and nobody reaches what belongs to others.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{chat, openai_answer, program};

/// A gateway with the administrative API, and an owner's token.
pub(crate) struct Stage {
    pub(crate) gateway: TestGateway,
    pub(crate) admin: SocketAddr,
    pub(crate) owner: String,
    _provider: ScriptedProvider,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more in the configuration.
    pub(crate) async fn with(more: &str) -> Self {
        let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
        let admin = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port");
        let configuration = format!(
            "{more}admin: {{listen: \"{admin}\"}}\n\
             payloads: {{keep: all, routes: {{quiet: none}}, redact: ['[0-9]{{13,16}}']}}\n\
             prices:\n  - {{provider: openai, model: of-the-file, input: 3, output: 3}}\n\
             limits:\n  - {{name: of the file, requests: 100000, per: hour}}\n\
             providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
             routes:\n  - {{name: chat, model: {{provider: openai, name: gpt-4o}}}}\n  - {{name: quiet, model: {{provider: openai, name: gpt-4o}}}}\n",
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

    pub(crate) async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> client::Answer {
        let authorization = format!("Bearer {token}");
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        let path = format!("/api/v1{path}");
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        client::send(self.admin, method, &path, &all, body)
            .await
            .expect("the API answers")
    }

    /// As the owner; the answer has this status.
    pub(crate) async fn done(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let answer = self.send(&self.owner, method, path, body, &[]).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// A user and a token of that user.
    pub(crate) async fn user(
        &self,
        name: &str,
        role: &str,
        organisation: &str,
        teams: Value,
    ) -> (String, String) {
        let user =
            json!({"name": name, "role": role, "organisation": organisation, "teams": teams});
        let user = self.done("POST", "/users", user, 201).await;
        let id = user["id"].as_str().expect("a text").to_owned();
        let token = self
            .done(
                "POST",
                &format!("/users/{id}/tokens"),
                json!({"name": "test"}),
                201,
            )
            .await;
        (id, token["token"].as_str().expect("a text").to_owned())
    }

    /// An organisation with a team, and one object of everything in it; ids by the plural of their kinds.
    pub(crate) async fn organisation(&self, name: &str) -> Value {
        let team = format!("{name}-team");
        self.done("POST", "/organisations", json!({"name": name}), 201)
            .await;
        self.done(
            "POST",
            "/teams",
            json!({"name": team, "organisation": name}),
            201,
        )
        .await;
        let app = self
            .done("POST", "/apps", json!({"name": "app", "team": team}), 201)
            .await;
        let key = json!({"name": format!("{name}-key"), "team": team, "app": "app"});
        let key = self.done("POST", "/keys", key, 201).await;
        let limit = json!({"name": format!("{name}-limit"), "of": {"team": team}, "requests": 1000, "per": "hour"});
        let limit = self.done("POST", "/limits", limit, 201).await;
        let budget = json!({"name": format!("{name}-budget"), "of": {"team": team}, "dollars": 10, "per": "month"});
        let budget = self.done("POST", "/budgets", budget, 201).await;
        let (user, _) = self
            .user(
                &format!("{name}-member"),
                "member",
                name,
                json!({team.as_str(): "member"}),
            )
            .await;
        let price = json!({"provider": "openai", "model": format!("{name}-model"), "input": 1, "output": 1});
        let price = self.done("POST", "/prices", price, 201).await;
        json!({"organisations": name, "prices": price["id"], "teams": team, "apps": app["id"], "keys": key["id"], "limits": limit["id"], "budgets": budget["id"], "users": user, "secret": key["key"]})
    }

    /// What a call with a key comes to, once that is as expected; for three seconds at most.
    pub(crate) async fn call(&self, key: &str, expected: u16) -> client::Answer {
        let authorization = format!("Bearer {key}");
        let mut last = None;
        for _ in 0..30 {
            let answer = self
                .gateway
                .post_with(
                    "/v1/chat/completions",
                    &chat("chat"),
                    &[("authorization", &authorization)],
                )
                .await;
            if answer.status == expected {
                return answer;
            }
            last = Some(answer);
            sleep(Duration::from_millis(100)).await;
        }
        unreachable!("{last:?}\n{}", self.gateway.output())
    }
}

#[tokio::test]
async fn what_is_made_holds_for_calls() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let key = acme["secret"].as_str().unwrap();
    stage.call(key, 200).await;
    stage.call("tg_wrong", 401).await;

    let narrow = json!({"name": "narrow", "of": {"key": "acme-key"}, "requests": 1, "per": "day"});
    stage.done("POST", "/limits", narrow.clone(), 201).await;
    // One call was made before, and counts: the limit begins with what the books say.
    let refused = stage.call(key, 429).await;
    assert!(
        refused.text().contains("the limit `narrow`"),
        "{}",
        refused.text()
    );
    let wider =
        json!({"name": "narrow", "of": {"key": "acme-key"}, "requests": 100_000, "per": "day"});
    stage.done("PUT", "/limits/narrow", wider, 200).await;
    stage.call(key, 200).await;
    stage
        .done("DELETE", "/limits/narrow", Value::Null, 204)
        .await;
    stage.done("GET", "/limits/narrow", Value::Null, 404).await;
    // A name may come again, and be that of a team, too.
    let again = json!({"name": "narrow", "of": {"team": "acme-team"}, "dollars": 5, "per": "day"});
    stage.done("POST", "/budgets", again, 201).await;
    stage
        .done(
            "POST",
            "/teams",
            json!({"name": "narrow", "organisation": "acme"}),
            201,
        )
        .await;
    stage
        .done("DELETE", "/budgets/narrow", Value::Null, 204)
        .await;
    stage.done("GET", "/teams/narrow", Value::Null, 200).await;
    stage.done("POST", "/limits", narrow, 201).await;
    stage
        .done("DELETE", "/limits/narrow", Value::Null, 204)
        .await;

    let path = format!("/keys/{}", acme["keys"].as_str().unwrap());
    stage
        .done("POST", &format!("{path}/block"), Value::Null, 200)
        .await;
    stage.call(key, 401).await;
    stage
        .done("POST", &format!("{path}/unblock"), Value::Null, 200)
        .await;
    stage.call(key, 200).await;
    let rotated = stage
        .done(
            "POST",
            &format!("{path}/rotate"),
            json!({"overlap_seconds": 0}),
            200,
        )
        .await;
    stage.call(rotated["key"].as_str().unwrap(), 200).await;
    stage.call(key, 401).await;

    // Who spent what, and each call.
    let mut usage = Value::Null;
    for _ in 0..50 {
        usage = stage
            .done("GET", "/usage?by=team,key&team=acme-team", Value::Null, 200)
            .await;
        if usage["items"][0]["calls"].as_u64() >= Some(4) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(usage["items"][0]["key"], "acme-key");
    for (address, found) in [("127.0.0.1", true), ("::1", false)] {
        let path = format!("/calls?key=acme-key&client_address={address}");
        let calls = stage.done("GET", &path, Value::Null, 200).await;
        let items = calls["items"].as_array().expect("calls");
        assert_eq!(!items.is_empty(), found, "{calls:#}");
    }
    let nowhere = "/calls?client_address=here";
    stage.done("GET", nowhere, Value::Null, 422).await;
    let calls = stage
        .done(
            "GET",
            "/calls?key=acme-key&status=200&limit=2",
            Value::Null,
            200,
        )
        .await;
    assert_eq!(calls["items"].as_array().unwrap().len(), 2);
    assert_eq!(calls["items"][0]["team"], "acme-team");
    let detail = &calls["items"][0]["detail"];
    assert_eq!(
        (
            &detail["client_address"],
            &detail["path"],
            &detail["attempts"][0]["outcome"]
        ),
        (
            &json!("127.0.0.1"),
            &json!("/v1/chat/completions"),
            &json!("answered")
        ),
        "{detail:#}"
    );
    assert!(
        detail["request_bytes"].as_u64() > Some(0) && detail["gateway_ms"].is_f64(),
        "{detail:#}"
    );
    let next = calls["next"].as_str().unwrap();
    let more = stage
        .done(
            "GET",
            &format!("/calls?key=acme-key&status=200&limit=2&after={next}"),
            Value::Null,
            200,
        )
        .await;
    assert_ne!(more["items"][0]["id"], calls["items"][0]["id"]);
    let csv = stage
        .send(
            &stage.owner,
            "GET",
            "/calls?format=csv&limit=1",
            Value::Null,
            &[],
        )
        .await;
    assert!(
        csv.text().starts_with("id,at,request_id,")
            && csv.text().lines().count() == 2
            && csv
                .text()
                .contains(r#""{""client_address"":""127.0.0.1"","#),
        "{}",
        csv.text()
    );

    let spending = stage.done("GET", "/spending", Value::Null, 200).await;
    let items = spending["items"].as_array().unwrap();
    let budget = items
        .iter()
        .find(|item| item["name"] == "acme-budget")
        .unwrap();
    let dollars = |name: &str| budget[name].as_str().unwrap().parse::<f64>().unwrap();
    assert!(
        dollars("used") > 0.0 && dollars("forecast") >= dollars("used"),
        "{budget}"
    );
    assert!(
        (dollars("used") + dollars("left") - 10.0).abs() < 1e-9,
        "{budget}"
    );

    let targets = stage.done("GET", "/targets", Value::Null, 200).await;
    let price = &targets["items"][0];
    assert_eq!(
        (&price["target"], &price["dollars_per_million"]["input"]),
        (&json!("openai/gpt-4o"), &json!("2.5")),
        "{targets}"
    );

    // A whole organisation's, and an app's.
    for (name, of) in [
        ("whole", json!({"organisation": "acme"})),
        ("app", json!({"app": "app", "team": "acme-team"})),
    ] {
        let limit = json!({"name": name, "of": of, "requests": 1, "per": "year"});
        stage.done("POST", "/limits", limit, 201).await;
        let refused = stage.call(rotated["key"].as_str().unwrap(), 429).await;
        assert!(
            refused.text().contains(&format!("the limit `{name}`")),
            "{}",
            refused.text()
        );
        stage
            .done("DELETE", &format!("/limits/{name}"), Value::Null, 204)
            .await;
        stage.call(rotated["key"].as_str().unwrap(), 200).await;
    }

    // A team goes when nothing needs it.
    let refused = stage
        .done("DELETE", "/teams/acme-team", Value::Null, 409)
        .await;
    assert!(
        refused["detail"].as_str().unwrap().contains("it still has"),
        "{refused}"
    );
    assert!(
        stage
            .gateway
            .command(&["audit", "verify"])
            .contains("all as they were written")
    );
}

#[tokio::test]
async fn versions_pages_and_keys_of_requests() {
    let stage = Stage::new().await;
    stage
        .done("POST", "/organisations", json!({"name": "acme"}), 201)
        .await;
    for number in 0..5 {
        let team = json!({"name": format!("team {number}"), "organisation": "acme"});
        stage.done("POST", "/teams", team, 201).await;
    }
    let first = stage.done("GET", "/teams?limit=3", Value::Null, 200).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let after = first["next"].as_str().unwrap().replace(' ', "%20");
    let second = stage
        .done(
            "GET",
            &format!("/teams?limit=3&after={after}"),
            Value::Null,
            200,
        )
        .await;
    assert_eq!(
        (second["items"].as_array().unwrap().len(), &second["next"]),
        (2, &Value::Null)
    );

    let path = "/teams/team%201";
    let seen = stage
        .send(&stage.owner, "GET", path, Value::Null, &[])
        .await;
    let tag = seen.header("etag").to_owned();
    let body = json!({"name": "team 1", "organisation": "acme", "description": "first"});
    let put = |tag: String| {
        let (stage, body) = (&stage, body.clone());
        async move {
            stage
                .send(&stage.owner, "PUT", path, body, &[("if-match", &tag)])
                .await
        }
    };
    assert_eq!(put(tag.clone()).await.status, 200);
    let stale = put(tag.clone()).await;
    assert_eq!(
        (stale.status, stale.header("content-type")),
        (412, "application/problem+json")
    );
    let now = stage
        .send(&stage.owner, "GET", path, Value::Null, &[])
        .await;
    let now = now.header("etag").to_owned();
    for (known, status) in [
        (now.clone(), 304),
        (format!("W/{now}"), 304),
        (format!("{tag}, W/{now}"), 304),
        ("*".to_owned(), 304),
        (tag, 200),
    ] {
        let headers = [("if-none-match", known.as_str())];
        let seen = stage.send(&stage.owner, "GET", path, Value::Null, &headers);
        let seen = seen.await;
        assert_eq!((seen.status, seen.header("etag")), (status, now.as_str()));
    }
    let other = json!({"name": "team 2", "organisation": "acme"});
    stage.done("PUT", path, other, 409).await;

    let once = [("idempotency-key", "k1")];
    let app = json!({"name": "app", "team": "team 1"});
    let made = stage
        .send(&stage.owner, "POST", "/apps", app.clone(), &once)
        .await;
    let again = stage.send(&stage.owner, "POST", "/apps", app, &once).await;
    assert_eq!(
        (
            made.status,
            again.status,
            again.header("idempotent-replayed")
        ),
        (201, 201, "true")
    );
    assert_eq!(made.json(), again.json());
    let reused = stage
        .send(
            &stage.owner,
            "POST",
            "/apps",
            json!({"name": "b", "team": "team 1"}),
            &once,
        )
        .await;
    assert_eq!(reused.json()["code"], "idempotency_key_reused");
    let once = [("idempotency-key", "k2")];
    let key = json!({"name": "of once", "team": "team 1"});
    let send = || stage.send(&stage.owner, "POST", "/keys", key.clone(), &once);
    let (first, second) = tokio::join!(send(), send());
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let told = [&first, &second].map(|answer| answer.json()["key"].is_string());
    assert_ne!(told[0], told[1], "the secret is told once");
    // What stands in the file goes first, so that nothing else has its name.
    let limit = json!({"name": "of the file", "requests": 1, "per": "hour"});
    stage.done("POST", "/limits", limit, 409).await;
    let unsigned = client::get(stage.admin, "/api/v1/teams").await.unwrap();
    assert_eq!(
        (unsigned.status, unsigned.header("www-authenticate")),
        (401, "Bearer")
    );
}

/// Every operation of the API's own description, by every role, on every object of another organisation: refused.
#[tokio::test]
async fn nobody_reaches_what_belongs_to_others() {
    let stage = Stage::new().await;
    let (acme, mut other) = (
        stage.organisation("acme").await,
        stage.organisation("other").await,
    );
    // Keys are wanted from the first one on.
    stage.call("tg_unknown", 401).await;
    stage.call(other["secret"].as_str().unwrap(), 200).await;
    for _ in 0..50 {
        let calls = stage
            .done("GET", "/calls?key=other-key", Value::Null, 200)
            .await;
        other["calls"] = calls["items"][0]["id"].clone();
        if other["calls"].is_string() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let team = acme["teams"].as_str().unwrap();
    let mut people = Vec::new();
    for (role, teams) in [
        ("admin", json!({})),
        ("auditor", json!({})),
        ("member", json!({team: "admin"})),
        ("member", json!({team: "member"})),
    ] {
        let name = format!("person-{}", people.len());
        people.push((role, stage.user(&name, role, "acme", teams).await.1));
    }
    let description = stage.done("GET", "/openapi.json", Value::Null, 200).await;
    let mut tried = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        let plural = path.split('/').nth(1).unwrap();
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            for (role, token) in &people {
                if path.contains("{id}") {
                    let id = other[plural].as_str().unwrap();
                    let path = path.replace("{id}", id).replace("{token}", "any");
                    let answer = stage.send(token, &method, &path, json!({}), &[]).await;
                    assert_eq!(
                        answer.status,
                        404,
                        "{role}: {method} {path}: {}",
                        answer.text()
                    );
                    tried += 1;
                } else if method == "GET" {
                    let answer = stage.send(token, &method, path, Value::Null, &[]).await;
                    let told = answer.text();
                    let is_general = ["openapi.json", "configuration"].contains(&plural);
                    assert!(
                        is_general || !told.contains("other"),
                        "{role}: {method} {path}: {told}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 100, "{tried}");

    // Nothing is made for others, or wider than one's own.
    let other_team = other["teams"].as_str().unwrap();
    for (path, body) in [
        ("/organisations", json!({"name": "mine"})),
        ("/teams", json!({"name": "t", "organisation": "other"})),
        ("/apps", json!({"name": "a", "team": other_team})),
        ("/keys", json!({"name": "k", "team": other_team})),
        (
            "/limits",
            json!({"name": "l", "of": {"team": other_team}, "requests": 1, "per": "hour"}),
        ),
        (
            "/limits",
            json!({"name": "l", "of": {"key": "other-key"}, "requests": 1, "per": "hour"}),
        ),
        (
            "/limits",
            json!({"name": "l", "requests": 1, "per": "hour"}),
        ),
        (
            "/prices",
            json!({"provider": "openai", "model": "gpt-4o", "input": 0, "output": 0}),
        ),
        (
            "/budgets",
            json!({"name": "b", "of": {"user": "each"}, "dollars": 1, "per": "hour"}),
        ),
        ("/users", json!({"name": "u", "role": "owner"})),
        (
            "/users",
            json!({"name": "u", "role": "member", "organisation": "other"}),
        ),
        (
            "/users",
            json!({"name": "u", "role": "member", "organisation": "acme", "teams": {other_team: "admin"}}),
        ),
    ] {
        for (role, token) in &people {
            let answer = stage.send(token, "POST", path, body.clone(), &[]).await;
            assert!(
                [403, 409].contains(&answer.status),
                "{role}: {path} {body}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    // What is one's own is there.
    let key = acme["keys"].as_str().unwrap();
    for (role, token) in &people {
        let answer = stage
            .send(token, "GET", &format!("/keys/{key}"), Value::Null, &[])
            .await;
        assert_eq!(answer.status, 200, "{role}");
    }
    let statuses = async {
        let mut statuses = Vec::new();
        for (_, token) in &people {
            let path = format!("/keys/{key}/block");
            let block = stage.send(token, "POST", &path, Value::Null, &[]);
            statuses.push(block.await.status);
        }
        statuses
    };
    assert_eq!(statuses.await, [200, 403, 200, 403]);
    // A token that is removed opens nothing any more, and nobody else's user goes with it.
    let (id, token) = stage.user("leaver", "auditor", "acme", json!({})).await;
    let tokens = stage
        .send(
            &token,
            "GET",
            &format!("/users/{id}/tokens"),
            Value::Null,
            &[],
        )
        .await
        .json();
    let own = tokens["items"][0]["id"].as_str().unwrap();
    let removed = stage
        .send(
            &token,
            "DELETE",
            &format!("/users/{id}/tokens/{own}"),
            Value::Null,
            &[],
        )
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(
        stage
            .send(&token, "GET", "/me", Value::Null, &[])
            .await
            .status,
        401
    );
}

/// Whoever has the database has no key, and no token.
#[tokio::test]
async fn a_stolen_database_opens_nothing() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let (_, token) = stage.user("ann", "auditor", "acme", json!({})).await;
    let path = format!("/keys/{}/rotate", acme["keys"].as_str().unwrap());
    let rotated = stage.done("POST", &path, Value::Null, 200).await;
    let by_command = stage
        .gateway
        .command(&["key", "create", "--name", "by command"]);
    let secrets = [
        stage.owner.as_str(),
        &token,
        acme["secret"].as_str().unwrap(),
        rotated["key"].as_str().unwrap(),
        by_command.trim(),
        "sk-up",
    ];
    let backup = stage.gateway.command(&["backup", "-"]);
    assert!(backup.contains("acme-key") && backup.contains("by command"));
    let files = std::fs::read_dir(stage.gateway.folder()).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut looked_at = 0;
    for file in files.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("tollgate.db"))
    }) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            let is_there = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!is_there && !backup.contains(secret), "{}", file.display());
        }
        looked_at += 1;
    }
    assert!(looked_at >= 1);
    let told = stage.gateway.output();
    assert!(
        secrets.iter().all(|secret| !told.contains(secret)),
        "{told}"
    );
}

#[tokio::test]
async fn payloads_are_kept_as_the_policy_says() {
    let stage = Stage::new().await;
    let made = stage
        .done("POST", "/organisations", json!({"name": "acme"}), 201)
        .await;
    assert_eq!(made["name"], "acme");
    stage
        .done(
            "POST",
            "/teams",
            json!({"name": "research", "organisation": "acme"}),
            201,
        )
        .await;
    let key = json!({"name": "k", "team": "research"});
    let key = stage.done("POST", "/keys", key, 201).await["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let authorization = format!("Bearer {key}");
    for (route, text) in [
        ("chat", "my card is 4111111111111111, thanks"),
        ("quiet", "thanks"),
    ] {
        let mut call = chat(route);
        call["messages"][0]["content"] = json!(text);
        let headers = [("authorization", authorization.as_str())];
        let gateway = &stage.gateway;
        let answer = gateway.post_with("/v1/chat/completions", &call, &headers);
        assert_eq!(answer.await.status, 200);
    }
    // An error may tell what was asked.
    let before = stage.gateway.wait_for_calls(2).await.len();
    let headers = [("authorization", authorization.as_str())];
    let call = chat("4111111111111111");
    let unknown = stage
        .gateway
        .post_with("/v1/chat/completions", &call, &headers);
    assert_eq!(unknown.await.status, 404);
    let lines = stage.gateway.wait_for_calls(before + 1).await;
    let told = lines.last().expect("a line")["error"].as_str();
    assert!(
        told.is_some_and(|told| told.contains("[redacted]")),
        "{told:?}"
    );
    let mut found = json!(null);
    for _ in 0..50 {
        found = stage
            .done("GET", "/calls?text=thanks", Value::Null, 200)
            .await;
        if found["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
        {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let items = found["items"].as_array().expect("a list");
    assert_eq!(items.len(), 1, "{found:#}");
    assert_eq!(items[0]["route"], "chat");
    let id = items[0]["id"].as_str().expect("an id");
    let call = stage
        .done("GET", &format!("/calls/{id}"), Value::Null, 200)
        .await;
    let request = call["request"].as_str().expect("a text");
    assert!(
        request.contains("my card is [redacted], thanks"),
        "{request}"
    );
    assert!(
        call["response"].as_str().expect("a text").contains("Hello"),
        "{call:#}"
    );
    assert_eq!(call["cost_dollars"], "0.000095");
    // Who belongs to another organisation finds nothing.
    stage
        .done("POST", "/organisations", json!({"name": "other"}), 201)
        .await;
    let (_, stranger) = stage.user("stranger", "admin", "other", json!({})).await;
    let refused = stage
        .send(&stranger, "GET", &format!("/calls/{id}"), Value::Null, &[])
        .await;
    assert_eq!(refused.status, 404);
}

/// All that is said on a connection until its end.
async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = String::new();
    let all = timeout(Duration::from_secs(10), stream.read_to_string(&mut heard));
    all.await.expect("it ends").expect("it is text");
    heard
}

#[tokio::test]
async fn nobody_holds_its_connections_for_ever() {
    let limits = "server: {limits: {connections: 4, header_timeout: 1s}}\n";
    let stage = Stage::with(limits).await;
    // Those of the test's own beginning are gone.
    sleep(Duration::from_millis(200)).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(stage.admin).await;
        held.push(stream.expect("it is taken"));
    }
    let mut slow = held.pop().expect("there are four");
    let head = b"GET /api/v1/me HTTP/1.1\r\nhost:";
    slow.write_all(head).await.expect("it is read");
    let fifth = TcpStream::connect(stage.admin).await;
    let told = hear(&mut fifth.expect("the kernel takes it")).await;
    assert!(
        told.starts_with("HTTP/1.1 503")
            && told.contains("application/problem+json")
            && told.contains("retry-after: 1")
            && told.contains("too_many_connections"),
        "{told}"
    );
    // Calls have connections of their own.
    assert_eq!(stage.gateway.get("/readyz").await.status, 200);
    let told = hear(&mut slow).await;
    assert!(
        told.starts_with("HTTP/1.1 408") && told.contains("head_too_slow"),
        "{told}"
    );
    for mut idle in held {
        assert_eq!(hear(&mut idle).await, "");
    }
    stage.done("GET", "/me", Value::Null, 200).await;
}

/// The books name whoever was there: nobody is called so after them, nor as a caller with a token.
#[tokio::test]
async fn names_are_one_persons_for_ever() {
    let stage = Stage::with(
        "issuers: [{name: login, issuer: \"https://login.example.com\", audience: tollgate}]\n",
    )
    .await;
    let acme = stage.organisation("acme").await;
    stage.organisation("other").await;
    for (kind, again) in [
        ("keys", json!({"name": "acme-key", "team": "other-team"})),
        (
            "users",
            json!({"name": "ann", "role": "member", "organisation": "other"}),
        ),
    ] {
        let id = match kind {
            "users" => stage.user("ann", "auditor", "acme", json!({})).await.0,
            _ => acme[kind].as_str().expect("a text").to_owned(),
        };
        let path = format!("/{kind}/{id}");
        stage.done("DELETE", &path, Value::Null, 204).await;
        let refused = stage.done("POST", &format!("/{kind}"), again, 409).await;
        assert!(
            refused["detail"]
                .as_str()
                .expect("a text")
                .contains("stays for ever"),
            "{refused}"
        );
    }
    let key = json!({"name": "login:bot", "team": "acme-team"});
    let refused = stage.done("POST", "/keys", key, 422).await;
    assert!(
        refused["detail"]
            .as_str()
            .expect("a text")
            .contains("callers with tokens"),
        "{refused}"
    );
    for (issuer, status) in [("login", 201), ("elsewhere", 409)] {
        let of = json!({"key": format!("{issuer}:bot")});
        let limit = json!({"name": issuer, "of": of, "requests": 1, "per": "hour"});
        stage.done("POST", "/limits", limit, status).await;
    }
}

#[tokio::test]
async fn a_key_that_reaches_certain_models_is_made_and_changed() {
    let stage = Stage::new().await;
    stage.organisation("acme").await;
    let key = |models: &str| json!({"name": "narrow", "team": "acme-team", "models": [models]});
    let refused = stage.done("POST", "/keys", key("a*b"), 422).await;
    assert!(refused.to_string().contains("names no model"), "{refused}");
    let key = stage.done("POST", "/keys", key("claude*"), 201).await;
    assert_eq!(key["models"], json!(["claude*"]));
    let secret = key["key"].as_str().expect("a text");
    let refused = stage.call(secret, 403).await;
    assert_eq!(refused.json()["error"]["code"], "model_not_allowed");
    let path = format!("/keys/{}", key["id"].as_str().expect("a text"));
    let change = json!({"models": ["openai/gpt-4o"]});
    let changed = stage.done("PUT", &path, change, 200).await;
    assert_eq!(changed["models"], json!(["openai/gpt-4o"]));
    stage.call(secret, 200).await;
    // The command line knows its app.
    let create = [
        "key",
        "create",
        "--name",
        "of an app",
        "--team",
        "acme-team",
        "--app",
        "app",
    ];
    stage.gateway.command(&create);
    let listed = stage.gateway.command(&["key", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let listed = listed.as_array().expect("a list").iter();
    let app = listed.filter(|key| key["name"] == "of an app");
    assert_eq!(app.map(|key| &key["app"]).collect::<Vec<_>>(), ["app"]);
}
