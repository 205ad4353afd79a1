//! Changes that do not go together, and are asked for at once: one of them is made.

use serde_json::{Value, json};
use tollgate_testkit::postgres::Postgres;

use crate::administration::Stage;

/// A change, and the status that it has when it is made.
type Asked = (&'static str, String, Value, u16);

/// Both changes are asked for at once, and one of them is made.
async fn one_of(stage: &Stage, one: Asked, other: Asked) {
    let send = |(method, path, body, made): Asked| async move {
        let answer = stage.send(&stage.owner, method, &path, body, &[]).await;
        let told = format!("{method} {path}: {} {}", answer.status, answer.text());
        (answer.status == made, answer.status == 409, told)
    };
    let (one, other) = tokio::join!(send(one), send(other));
    let is_one = one.0 && other.1 || one.1 && other.0;
    assert!(is_one, "{}\n{}", one.2, other.2);
}

async fn races(stage: &Stage, round: u32) {
    let organisation = format!("o{round}");
    let body = json!({"name": organisation});
    stage.done("POST", "/organisations", body, 201).await;
    let team = |name: &str| json!({"name": format!("{name}{round}"), "organisation": organisation});
    for name in ["keyed", "peopled", "apped"] {
        stage.done("POST", "/teams", team(name), 201).await;
    }
    let remove = |path: String| ("DELETE", path, Value::Null, 204);
    let make = |path: &str, body: Value| ("POST", path.to_owned(), body, 201);

    let key = json!({"name": format!("key{round}"), "team": format!("keyed{round}")});
    let gone = remove(format!("/teams/keyed{round}"));
    one_of(stage, gone, make("/keys", key)).await;

    let app = json!({"name": "app", "team": format!("apped{round}")});
    let app = stage.done("POST", "/apps", app, 201).await;
    let id = app["id"].as_str().expect("a text");
    let key =
        json!({"name": format!("appkey{round}"), "team": format!("apped{round}"), "app": "app"});
    let gone = remove(format!("/apps/{id}"));
    one_of(stage, make("/keys", key), gone).await;

    let user =
        json!({"name": format!("ann{round}"), "role": "member", "organisation": organisation});
    let made = stage.done("POST", "/users", user.clone(), 201).await;
    let path = format!("/users/{}", made["id"].as_str().expect("a text"));
    let mut joined = user;
    joined["teams"] = json!({format!("peopled{round}"): "member"});
    let gone = remove(format!("/teams/peopled{round}"));
    one_of(stage, ("PUT", path, joined, 200), gone).await;

    let empty = json!({"name": format!("empty{round}")});
    stage.done("POST", "/organisations", empty, 201).await;
    let team = json!({"name": format!("late{round}"), "organisation": format!("empty{round}")});
    let gone = remove(format!("/organisations/empty{round}"));
    one_of(stage, gone, make("/teams", team)).await;

    let name = format!("named{round}");
    let limit = json!({"name": name, "requests": 9, "per": "hour"});
    let budget = json!({"name": name, "dollars": 9, "per": "month"});
    let made = make("/limits", limit);
    one_of(stage, made, make("/budgets", budget)).await;
}

#[tokio::test]
async fn of_two_changes_that_do_not_go_together_one_is_made() {
    let postgres = Postgres::start();
    for store in [
        String::new(),
        format!("store: {{url: \"{}\"}}\n", postgres.url()),
    ] {
        let stage = Stage::with(&store).await;
        for round in 0..6 {
            races(&stage, round).await;
        }
    }
}

/// An emergency does not wait until somebody has looked again.
#[tokio::test]
async fn whoever_says_no_version_is_never_too_late() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let key = format!("/keys/{}", acme["keys"].as_str().expect("a text"));
    for _ in 0..10 {
        let send = |method: &'static str, path: String, body: Value| {
            let stage = &stage;
            async move {
                let answer = stage.send(&stage.owner, method, &path, body, &[]).await;
                (answer.status, answer.text())
            }
        };
        let team = json!({"name": "acme-team", "organisation": "acme"});
        let (blocked, changed, rotated, renewed, again) = tokio::join!(
            send("POST", format!("{key}/block"), Value::Null),
            send("PUT", key.clone(), json!({})),
            send(
                "POST",
                format!("{key}/rotate"),
                json!({"overlap_seconds": 0})
            ),
            send("PUT", "/teams/acme-team".to_owned(), team.clone()),
            send("PUT", "/teams/acme-team".to_owned(), team),
        );
        for (status, told) in [blocked, changed, rotated, renewed, again] {
            assert_eq!(status, 200, "{told}");
        }
    }
}
