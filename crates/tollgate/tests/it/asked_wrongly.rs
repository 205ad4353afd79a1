//! What the administrative API says to requests that are not what it wants, and what it keeps from going.

use serde_json::{Value, json};
use tollgate_testkit::{client, postgres::Postgres};

use crate::administration::Stage;

#[tokio::test]
async fn what_is_wrong_is_said() {
    let stage = Stage::new().await;
    for (path, word) in [
        ("/usage?since=2026-11-02&until=2026-11-01", "`since`"),
        ("/calls?since=2026-11-02&until=2026-11-01", "`since`"),
        ("/usage?outcome=weird", "client_gone"),
        ("/calls?outcome=weird", "client_gone"),
        // A time of nowhere.
        ("/usage?since=2026-11-30T23:59", "2026-11-01T08:00:00Z"),
        ("/calls?until=2026-11-30%2023:59:00", "2026-11-01T08:00:00Z"),
    ] {
        let refused = stage.done("GET", path, Value::Null, 422).await;
        let detail = refused["detail"].as_str().expect("a text");
        assert!(detail.contains(word), "{path}: {detail}");
    }
    stage
        .done("GET", "/calls?outcome=cut", Value::Null, 200)
        .await;
    stage
        .done("POST", "/organisations", json!({"name": "acme"}), 201)
        .await;
    let of_nowhere = "2026-12-31T18:00:00[America/New_York]";
    let me = stage.done("GET", "/me", Value::Null, 200).await;
    let tokens = format!("/users/{}/tokens", me["id"].as_str().expect("an id"));
    for (expires_at, status) in [
        (of_nowhere, 422),
        ("2099-12-31", 201),
        ("9999-12-31", 201),
        ("9999-12-31T23:59:59Z", 201),
    ] {
        let token = json!({"name": "t", "expires_at": expires_at});
        stage.done("POST", &tokens, token, status).await;
    }
    for body in [json!(["arr", "acme", "d"]), json!("arr"), json!(1)] {
        let refused = stage.done("POST", "/teams", body, 422).await;
        let detail = refused["detail"].as_str().expect("a text");
        assert!(detail.contains("JSON object"), "{detail}");
        assert!(!detail.contains("struct"), "{detail}");
    }
    // Where it is wrong is said, too.
    let key = json!({"name": "k", "team": "t", "routes": ["a", 1]});
    let user = json!({"name": "u", "role": "member", "teams": ["t"]});
    let member = json!({"name": "u", "role": "member", "teams": {"t": "boss"}});
    let limit = json!({"name": "l", "of": {"team": ["t"]}, "requests": 1, "per": "hour"});
    for (path, body, field) in [
        ("/keys", key, "`routes[1]`"),
        ("/users", user, "`teams`"),
        ("/users", member, "`teams.t`"),
        ("/teams", json!({"name": 1}), "`name`"),
        ("/apps", json!({"name": "a", "taem": "t"}), "`taem`"),
        ("/organisations", json!({}), "`name`"),
        ("/limits", limit, "team"),
        (tokens.as_str(), json!({"name": true}), "`name`"),
    ] {
        let refused = stage.done("POST", path, body, 422).await;
        let detail = refused["detail"].as_str().expect("a text");
        assert!(detail.contains(field), "{path}: {detail}");
        assert_eq!(detail.matches(field).count(), 1, "{path}: {detail}");
    }
    // What is no mistake is not told with one.
    let team = json!({"name": "research", "organisation": "acme"});
    stage.done("POST", "/teams", team, 201).await;
    let limit = json!({"name": "l", "of": {"team": "research"}, "requests": 1, "per": "hour", "thenn": "warn"});
    let refused = stage.done("POST", "/limits", limit, 422).await;
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.contains("thenn"), "{detail}");
    assert!(!detail.contains("research"), "{detail}");
    let endless = "k".repeat(256);
    for key in ["", " ", "schl\u{fc}ssel", endless.as_str()] {
        let body = json!({"name": "twice", "organisation": "acme"});
        let headers = [("idempotency-key", key)];
        let refused = stage.send(&stage.owner, "POST", "/teams", body, &headers);
        let refused = refused.await;
        assert_eq!(refused.status, 422, "{key:?}: {}", refused.text());
    }
    let long = json!({"name": "a", "description": "d".repeat(1 << 20)});
    let refused = stage
        .send(&stage.owner, "POST", "/organisations", long, &[])
        .await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["code"], "body_too_large");
}

#[tokio::test]
async fn nothing_is_called_by_a_command_as_the_api_would_not_call_it() {
    let stage = Stage::new().await;
    let long = "x".repeat(101);
    for name in [
        "each",
        "x/y",
        "a\nb",
        "\u{1b}[31mred",
        " ",
        "ann ",
        "ann\u{200b}",
        long.as_str(),
    ] {
        let user = json!({"name": name, "role": "owner"});
        stage.done("POST", "/users", user, 422).await;
        for what in ["key", "user"] {
            let told = stage
                .gateway
                .command_output(&[what, "create", "--name", name]);
            assert!(!told.status.success(), "{what} {name:?}");
            let told = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(told.contains("a name has 1 to 100"), "{told}");
        }
    }
}

/// What was made before names were looked at so closely.
#[tokio::test]
async fn what_is_there_goes_on_under_its_name() {
    let postgres = Postgres::start();
    let stage = Stage::with(&format!("store: {{url: \"{}\"}}\n", postgres.url())).await;
    stage
        .done("POST", "/organisations", json!({"name": "acme"}), 201)
        .await;
    let team = |name: &str| json!({"name": name, "organisation": "acme"});
    stage.done("POST", "/teams", team("odd "), 422).await;
    stage.done("POST", "/teams", team("odd"), 201).await;
    postgres.ask(
        "UPDATE objects SET id = 'odd ', name = 'odd ', team = 'odd ', body = replace(body, '\"odd\"', '\"odd \"') WHERE kind = 'team'",
    );
    stage.done("PUT", "/teams/odd%20", team("odd "), 200).await;
    let key = json!({"name": "k", "team": "odd "});
    stage.done("POST", "/keys", key, 201).await;
}

#[tokio::test]
async fn a_token_that_was_sent_and_opens_nothing_is_told_so() {
    let stage = Stage::new().await;
    let none = client::get(stage.admin, "/api/v1/me").await;
    let none = none.expect("it answers");
    assert_eq!(none.header("www-authenticate"), "Bearer");
    assert!(none.text().contains("send `Authorization"));
    let (id, _) = stage.user("ann", "owner", "", json!({})).await;
    let expired = json!({"name": "old", "expires_at": "2020-01-01"});
    let path = format!("/users/{id}/tokens");
    let expired = stage.done("POST", &path, expired, 201).await;
    for token in ["tga_none", expired["token"].as_str().expect("a token")] {
        let refused = stage.send(token, "GET", "/me", Value::Null, &[]).await;
        assert_eq!(refused.status, 401);
        assert_eq!(
            refused.header("www-authenticate"),
            "Bearer error=\"invalid_token\""
        );
        assert!(refused.text().contains("opens nothing"));
    }
}

/// A member knows the own organisation: it is not one that is not there.
#[tokio::test]
async fn what_is_a_members_own_and_not_to_be_changed_is_forbidden() {
    let stage = Stage::new().await;
    stage.organisation("acme").await;
    let teams = json!({"acme-team": "admin"});
    let (_, token) = stage.user("ann", "member", "acme", teams).await;
    for (path, body) in [
        ("/teams", json!({"name": "t", "organisation": "acme"})),
        ("/teams", json!({"name": "t"})),
        (
            "/users",
            json!({"name": "u", "role": "member", "organisation": "acme"}),
        ),
        (
            "/limits",
            json!({"name": "l", "of": {"organisation": "acme"}, "requests": 1, "per": "hour"}),
        ),
    ] {
        let refused = stage.send(&token, "POST", path, body, &[]).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
    let authorization = format!("bearer  {token}");
    let headers = [("authorization", authorization.as_str())];
    let me = client::get_with(stage.admin, "/api/v1/me", &headers).await;
    assert_eq!(me.expect("it answers").status, 200);
}

#[tokio::test]
async fn what_is_needed_stays() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let app = format!("/apps/{}", acme["apps"].as_str().expect("an id"));
    let key = format!("/keys/{}", acme["keys"].as_str().expect("an id"));
    let refused = stage.done("DELETE", &app, Value::Null, 409).await;
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.contains("acme-key"), "{detail}");
    for path in [&key, &app] {
        stage.done("DELETE", path, Value::Null, 204).await;
    }
    // The team has a user still.
    let team = "/teams/acme-team";
    for kind in ["limits", "budgets"] {
        let path = format!("/{kind}/{}", acme[kind].as_str().expect("an id"));
        stage.done("DELETE", &path, Value::Null, 204).await;
    }
    let refused = stage.done("DELETE", team, Value::Null, 409).await;
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.contains("acme-member"), "{detail}");
    let member = format!("/users/{}", acme["users"].as_str().expect("an id"));
    for path in [member.as_str(), team] {
        stage.done("DELETE", path, Value::Null, 204).await;
    }
    let me = stage.done("GET", "/me", Value::Null, 200).await;
    let me = format!("/users/{}", me["id"].as_str().expect("an id"));
    let refused = stage.done("DELETE", &me, Value::Null, 409).await;
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.contains("last owner"), "{detail}");
    stage.user("other", "owner", "", json!({})).await;
    stage.done("DELETE", &me, Value::Null, 204).await;
}

#[tokio::test]
async fn the_description_says_what_is_taken() {
    let stage = Stage::new().await;
    let told = stage.done("GET", "/openapi.json", Value::Null, 200).await;
    let body = |path: &str| {
        let request = &told["paths"][path]["post"]["requestBody"];
        (
            request["required"].clone(),
            request["content"]["application/json"]["schema"]["properties"].clone(),
        )
    };
    for path in ["/api/v1/limits", "/api/v1/budgets"] {
        let (required, fields) = body(path);
        assert_eq!(required, true);
        let name = &fields["name"];
        assert_eq!(name["minLength"], 1, "{name}");
        assert!(name["pattern"].is_string() && name["description"].is_string());
        assert_eq!(name.get("default"), None);
    }
    let (_, budget) = body("/api/v1/budgets");
    let raise = &budget["raise"];
    for (field, kind) in [("dollars", "number"), ("until", "string")] {
        let field = &raise["properties"][field];
        assert_eq!(field["type"], kind, "{raise}");
        assert_eq!(field.get("default"), None);
    }
    let (_, price) = body("/api/v1/prices");
    for field in ["provider", "model"] {
        assert_eq!(price[field]["minLength"], 1);
        assert_eq!(price[field].get("default"), None);
    }
    for path in ["/api/v1/keys", "/api/v1/users/{id}/tokens"] {
        let (_, fields) = body(path);
        let ends = fields["expires_at"]["anyOf"].as_array().expect("a list");
        assert!(ends.contains(&json!({"type": "null"})), "{path}: {ends:?}");
    }
    let (required, fields) = body("/api/v1/keys/{id}/rotate");
    assert_eq!(required, false);
    assert!(fields["keep_old"].is_object());
    let summary = |path: &str| told["paths"][path]["post"]["summary"].clone();
    assert_eq!(summary("/api/v1/organisations"), "Makes an organisation");
    assert_eq!(summary("/api/v1/apps"), "Makes an app");
    assert_eq!(summary("/api/v1/teams"), "Makes a team");
    let summed = &told["components"]["schemas"]["Usage"]["properties"]["items"]["items"];
    let cost = &summed["properties"]["cost_dollars"]["type"];
    assert_eq!(cost, &json!(["string", "null"]), "{summed}");
    let asked = told["paths"]["/api/v1/usage"]["get"]["parameters"].as_array();
    let mut asked = asked.expect("a list").iter();
    let by = asked
        .find(|asked| asked["name"] == "by")
        .expect("it is there");
    assert!(
        by["description"]
            .as_str()
            .is_some_and(|text| text.contains("`tag`"))
    );
}
