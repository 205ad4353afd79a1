//! What the people of one organisation learn of another's: nothing.

use serde_json::{Value, json};

use crate::administration::Stage;

fn names(of: &Value) -> Vec<&str> {
    let items = of.as_array().expect("a list").iter();
    items.filter_map(|item| item["name"].as_str()).collect()
}

/// Things in the store hold within a second.
async fn configuration_with(stage: &Stage, token: &str, key: &str) -> Value {
    for _ in 0..50 {
        let shown = stage
            .send(token, "GET", "/configuration", Value::Null, &[])
            .await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let shown = shown.json();
        if names(&shown["keys"]).contains(&key) {
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
    let all = configuration_with(&stage, &stage.owner, "umbra-key").await;
    assert_eq!(names(&all["keys"]), ["acme-key", "umbra-key"]);
    assert_eq!(names(&all["limits_and_budgets"]).len(), 9, "{all:#}");
    for role in ["admin", "auditor"] {
        let (_, token) = stage.user(role, role, "acme", json!({})).await;
        let own = configuration_with(&stage, &token, "acme-key").await;
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
