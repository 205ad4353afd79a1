//! Keys get another secret: once for each request, and without cutting off what was said of the one before.

use serde_json::{Value, json};

use crate::administration::Stage;

/// The API's answer to a rotation of a key, with headers.
async fn rotate(
    stage: &Stage,
    id: &str,
    body: Value,
    headers: &[(&str, &str)],
) -> (u16, Value, String) {
    let path = format!("/keys/{id}/rotate");
    let answer = stage.send(&stage.owner, "POST", &path, body, headers).await;
    let replayed = answer.header("idempotent-replayed").to_owned();
    (answer.status, answer.json(), replayed)
}

#[tokio::test]
async fn a_rotation_that_is_sent_again_makes_no_other_secret() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let id = acme["keys"].as_str().expect("an id");
    let once = [("idempotency-key", "today")];
    let (status, first, replayed) = rotate(&stage, id, Value::Null, &once).await;
    assert_eq!((status, replayed.as_str()), (200, ""), "{first}");
    let secret = first["key"].as_str().expect("a secret");
    let (status, mut again, replayed) = rotate(&stage, id, Value::Null, &once).await;
    assert_eq!((status, replayed.as_str()), (200, "true"), "{again}");
    assert_eq!(again["key"], Value::Null);
    // All but the secret is as it was told.
    again["key"] = first["key"].clone();
    assert_eq!(again, first);
    let (status, reused, _) = rotate(&stage, id, json!({"overlap_seconds": 0}), &once).await;
    assert_eq!(status, 422, "{reused}");
    assert_eq!(reused["code"], "idempotency_key_reused");
    // Both secrets open: the new one, and the one before for a day.
    stage.call(secret, 200).await;
    stage
        .call(acme["secret"].as_str().expect("a key"), 200)
        .await;
}

#[tokio::test]
async fn an_old_secret_opens_as_long_as_was_said() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let (id, first) = (&acme["keys"], &acme["secret"]);
    let (id, first) = (id.as_str().expect("an id"), first.as_str().expect("a key"));
    let (status, refused, _) = rotate(&stage, id, json!({"keep_old": true}), &[]).await;
    assert_eq!(status, 409, "{refused}");
    let (_, second, _) = rotate(&stage, id, Value::Null, &[]).await;
    let until = second["old_key_until"].as_str().expect("a time");
    for body in [Value::Null, json!({"overlap_seconds": 3600})] {
        let (status, refused, _) = rotate(&stage, id, body, &[]).await;
        assert_eq!(status, 409, "{refused}");
        assert_eq!(refused["code"], "old_key_still_opens");
        let detail = refused["detail"].as_str().expect("a text");
        for word in [until, "overlap_seconds: 0", "keep_old"] {
            assert!(detail.contains(word), "{detail}");
        }
    }
    let told = stage.gateway.command_output(&["key", "rotate", "acme-key"]);
    assert!(!told.status.success());
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    for word in [until, "--overlap 0s", "--keep-old"] {
        assert!(told.contains(word), "{told}");
    }
    // Nobody got the second.
    let third = stage
        .gateway
        .command(&["key", "rotate", "acme-key", "--keep-old"]);
    stage.call(third.trim(), 200).await;
    stage.call(first, 200).await;
    stage
        .call(second["key"].as_str().expect("a key"), 401)
        .await;
    let (status, fourth, _) = rotate(&stage, id, json!({"overlap_seconds": 0}), &[]).await;
    assert_eq!(status, 200, "{fourth}");
    stage
        .call(fourth["key"].as_str().expect("a key"), 200)
        .await;
    stage.call(third.trim(), 401).await;
    stage.call(first, 401).await;
    let (status, refused, _) = rotate(
        &stage,
        id,
        json!({"overlap_seconds": 1, "keep_old": true}),
        &[],
    )
    .await;
    assert_eq!(status, 422, "{refused}");
}

#[tokio::test]
async fn what_was_looked_at_long_ago_changes_no_key() {
    let stage = Stage::new().await;
    let acme = stage.organisation("acme").await;
    let id = acme["keys"].as_str().expect("an id");
    for deed in ["rotate", "block", "unblock"] {
        let path = format!("/keys/{id}/{deed}");
        let seen = format!("/keys/{id}");
        let seen = stage.send(&stage.owner, "GET", &seen, Value::Null, &[]);
        let tag = seen.await.header("etag").to_owned();
        for (versions, status) in [
            ("\"99\"".to_owned(), 412),
            ("\"1\", \"2\" , \"3\"".to_owned(), 412),
            // A proxy that compresses makes it weak.
            (format!("\"98\" , W/{tag}"), 200),
            // What is stale comes before what else is wrong.
            (tag, 412),
        ] {
            let headers = [("if-match", versions.as_str())];
            let answer = stage
                .send(&stage.owner, "POST", &path, Value::Null, &headers)
                .await;
            assert_eq!(
                answer.status,
                status,
                "{deed} {versions}: {}",
                answer.text()
            );
        }
    }
}

/// Versions count from one again: what was looked at is not what is there now.
#[tokio::test]
async fn what_is_made_again_is_not_what_was_looked_at() {
    let stage = Stage::new().await;
    let limit = |requests: u32| json!({"name": "again", "requests": requests, "per": "hour"});
    let path = "/limits/again";
    let send = async |method, path, body, headers: &[(&str, &str)]| {
        stage.send(&stage.owner, method, path, body, headers).await
    };
    let first = send("POST", "/limits", limit(7), &[]).await;
    let first = first.header("etag");
    assert_eq!(send("DELETE", path, Value::Null, &[]).await.status, 204);
    let second = send("POST", "/limits", limit(8), &[]).await;
    let known = send("GET", path, Value::Null, &[("if-none-match", first)]).await;
    assert_eq!(known.status, 200);
    let matching = [("if-match", first)];
    let put = send("PUT", path, limit(9), &matching).await;
    assert_eq!(put.status, 412, "{}", put.text());
    let matching = [("if-match", second.header("etag"))];
    let put = send("PUT", path, limit(9), &matching).await;
    assert_eq!(put.status, 200, "{}", put.text());

    // A key's end is no change of anybody's, and is seen. Its secret is not of what is seen.
    stage.organisation("acme").await;
    let end = jiff::Timestamp::now() + std::time::Duration::from_secs(3);
    let key = json!({"name": "short", "team": "acme-team", "expires_at": end.to_string()});
    let made = send("POST", "/keys", key, &[]).await;
    let path = format!("/keys/{}", made.json()["id"].as_str().expect("an id"));
    let known = [("if-none-match", made.header("etag"))];
    assert_eq!(send("GET", &path, Value::Null, &known).await.status, 304);
    tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
    let expired = send("GET", &path, Value::Null, &known).await;
    assert_eq!(expired.json()["state"], "expired", "{}", expired.text());

    let me = send("GET", "/me", Value::Null, &[]).await.json();
    let tokens = format!("/users/{}/tokens", me["id"].as_str().expect("an id"));
    let token = send("POST", &tokens, json!({"name": "t"}), &[]).await;
    let path = format!("{tokens}/{}", token.json()["id"].as_str().expect("an id"));
    for (tag, status) in [("\"99\"", 412), (token.header("etag"), 204)] {
        let removed = send("DELETE", &path, Value::Null, &[("if-match", tag)]).await;
        assert_eq!(removed.status, status, "{}", removed.text());
    }
}
