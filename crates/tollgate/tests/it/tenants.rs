//! What the people of one organisation learn of another's: nothing.

use serde_json::{Value, json};

use crate::administration::Stage;

fn names(of: &Value) -> Vec<&str> {
    let items = of.as_array().expect("a list").iter();
    items.filter_map(|item| item["name"].as_str()).collect()
}

/// What is shown once the limit that was made last is there: things in the store hold within a second.
async fn configuration_with(stage: &Stage, token: &str, limit: &str) -> Value {
    for _ in 0..50 {
        let shown = stage
            .send(token, "GET", "/configuration", Value::Null, &[])
            .await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let shown = shown.json();
        if names(&shown["limits_and_budgets"]).contains(&limit) {
            return shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    unreachable!("{}", stage.gateway.output())
}

#[tokio::test]
async fn the_configuration_shows_everybodys_and_ones_own() {
    let stage = Stage::new().await;
    for name in ["acme", "umbra"] {
        stage.organisation(name).await;
        let limit = json!({"name": format!("{name}-whole"), "of": {"organisation": name}, "requests": 9, "per": "hour"});
        stage.done("POST", "/limits", limit, 201).await;
        let limit = json!({"name": format!("{name}-one"), "of": {"key": format!("{name}-key")}, "requests": 9, "per": "hour"});
        stage.done("POST", "/limits", limit, 201).await;
    }
    let all = configuration_with(&stage, &stage.owner, "umbra-one").await;
    assert_eq!(names(&all["keys"]), ["acme-key", "umbra-key"]);
    assert_eq!(names(&all["limits_and_budgets"]).len(), 9, "{all:#}");
    for role in ["admin", "auditor"] {
        let (_, token) = stage.user(role, role, "acme", json!({})).await;
        let own = configuration_with(&stage, &token, "acme-one").await;
        assert!(!own.to_string().contains("umbra"), "{role}: {own:#}");
        let mut limits = names(&own["limits_and_budgets"]);
        limits.sort_unstable();
        let expected = [
            "acme-budget",
            "acme-limit",
            "acme-one",
            "acme-whole",
            "of the file",
        ];
        assert_eq!(limits, expected);
        assert_eq!(own["routes"], all["routes"]);
        assert_eq!(own["providers"], all["providers"]);
    }
    let allowances = all["limits_and_budgets"].as_array().expect("a list");
    let budget = allowances.iter().find(|one| one["name"] == "acme-budget");
    assert_eq!(
        budget.expect("it is there"),
        &json!({"name": "acme-budget", "of": "dollars", "most": "10", "for": {"team": "acme-team"}})
    );
    let tasks = all["providers"][0]["tasks"].as_array().expect("a list");
    let mut once = tasks.clone();
    once.dedup();
    assert_eq!(*tasks, once);
    assert_eq!(all["routes"][0]["strategy"], "single");
    assert_eq!(all["keys"][0]["routes"], Value::Null);
    assert_eq!(all["who_may_call"], "key_holders");
}

/// The audit tells the client's address, and not that of a proxy that is trusted.
#[tokio::test]
async fn the_audit_tells_the_client_behind_a_proxy() {
    for (more, source) in [
        ("server: {trusted_proxies: [127.0.0.1]}\n", "203.0.113.9"),
        ("", "127.0.0.1"),
    ] {
        let stage = Stage::with(more).await;
        let made = stage
            .send(
                &stage.owner,
                "POST",
                "/organisations",
                json!({"name": "acme"}),
                &[("x-forwarded-for", "198.51.100.1, 203.0.113.9")],
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.text());
        let audit = stage.done("GET", "/audit?limit=1", Value::Null, 200).await;
        assert_eq!(audit["items"][0]["source"], source);
    }
}

#[tokio::test]
async fn a_key_is_of_a_team_that_is_there() {
    let stage = Stage::new().await;
    // Where no teams are administered a team is a name.
    stage
        .gateway
        .command(&["key", "create", "--name", "early", "--team", "ghost"]);
    stage.organisation("acme").await;
    let told =
        stage
            .gateway
            .command_output(&["key", "create", "--name", "late", "--team", "acme-taem"]);
    assert!(!told.status.success());
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let made = format!("http://{}/api/v1/teams", stage.admin);
    for word in ["acme-taem", "there are acme-team.", made.as_str()] {
        assert!(told.contains(word), "{told}");
    }
    stage
        .gateway
        .command(&["key", "create", "--name", "late", "--team", "acme-team"]);
    let (_, token) = stage.user("ann", "admin", "acme", json!({})).await;
    let keys = stage.send(&token, "GET", "/keys", Value::Null, &[]).await;
    let mut keys: Vec<String> = names(&keys.json()["items"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["acme-key", "late"]);
}

/// Who makes a team sees what was called under its name: nobody takes that over.
#[tokio::test]
async fn nobody_takes_over_the_name_of_a_team() {
    let stage = Stage::new().await;
    stage
        .gateway
        .command(&["key", "create", "--name", "early", "--team", "ghost"]);
    let mut tokens = Vec::new();
    for name in ["acme", "umbra"] {
        stage.organisation(name).await;
        let (_, token) = stage
            .user(&format!("{name}-ann"), "admin", name, json!({}))
            .await;
        tokens.push(token);
    }
    let make = async |token: &str, name: &str| {
        let body = json!({"name": name});
        let made = stage.send(token, "POST", "/teams", body, &[]).await;
        (made.status, made.text())
    };
    let remove = async |name: &str| {
        let path = format!("/teams/{name}");
        stage.done("DELETE", &path, Value::Null, 204).await;
    };
    let (acme, umbra) = (tokens[0].as_str(), tokens[1].as_str());
    // It has a key that is nobody's.
    let (status, told) = make(acme, "ghost").await;
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("an owner"), "{told}");
    let ghost = json!({"name": "ghost", "organisation": "acme"});
    stage.done("POST", "/teams", ghost, 201).await;
    // From now on the key is seen where the team is, and the team stays as long as it is there.
    let keys = stage.send(acme, "GET", "/keys", Value::Null, &[]).await;
    assert!(
        names(&keys.json()["items"]).contains(&"early"),
        "{}",
        keys.text()
    );
    let needed = stage.done("DELETE", "/teams/ghost", Value::Null, 409).await;
    assert!(needed.to_string().contains("early"), "{needed}");
    // It was another organisation's.
    assert_eq!(make(acme, "lab").await.0, 201);
    remove("lab").await;
    let (status, told) = make(umbra, "lab").await;
    assert_eq!(status, 409, "{told}");
    // The books go on to name it, whoever makes another.
    assert_eq!(make(acme, "lab").await.0, 409);
    let lab = json!({"name": "lab", "organisation": "umbra"});
    stage.done("POST", "/teams", lab, 409).await;
}

#[tokio::test]
async fn another_organisations_key_is_as_one_that_is_not_there() {
    let stage = Stage::new().await;
    stage.organisation("acme").await;
    stage.organisation("umbra").await;
    let (_, token) = stage.user("ann", "admin", "umbra", json!({})).await;
    let limit = async |key: &str| {
        let limit = json!({"name": "l", "of": {"key": key}, "requests": 1, "per": "hour"});
        let answer = stage.send(&token, "POST", "/limits", limit, &[]).await;
        (answer.status, answer.text())
    };
    let none = limit("nobodys-key").await;
    assert_eq!(none.0, 409, "{}", none.1);
    assert_eq!(limit("acme-key").await, none);
    assert_eq!(limit("umbra-key").await.0, 201);
}

/// The command line says whose process it was, and not what the environment makes of that.
#[tokio::test]
async fn the_audit_tells_whose_process_a_command_was() {
    let stage = Stage::new().await;
    let audit = stage.done("GET", "/audit?limit=1", Value::Null, 200).await;
    let row = &audit["items"][0];
    assert_eq!(row["source"], "command line");
    let actor = row["actor"].as_str().expect("a text");
    assert!(!actor.is_empty() && actor != "unknown", "{row}");
}
