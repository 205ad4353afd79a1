//! The commands, as a shell runs them.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::stage::program;

fn tollgate(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .env_clear()
        .env("OPENAI_API_KEY", "sk-very-secret")
        .output()
        .expect("the program runs")
}

fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("tollgate-{}-{name}", std::process::id()));
    fs::write(&path, text).expect("a file can be written");
    path.to_string_lossy().into_owned()
}

const GOOD: &str = r#"
providers: [{name: openai, type: openai, api_key: "{{ env.OPENAI_API_KEY }}"}]
routes: [{name: chat, model: {provider: openai, name: gpt-4o-mini}}]
"#;

#[test]
fn check_tells_all_mistakes_at_once_and_fails() {
    let good = file("good.yaml", GOOD);
    let output = tollgate(&["check", &good]);
    assert!(output.status.success(), "{output:?}");
    let bad = file(
        "bad.yaml",
        "providers: [{name: a, type: opnai, api_key: $UNSET}]\nroutes: [{name: r, modle: {provider: b}}]\n",
    );
    let output = tollgate(&["check", &bad]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    for word in ["openai", "UNSET", "modle", "bad.yaml:1", "bad.yaml:2"] {
        assert!(told.contains(word), "{word} in {told}");
    }
}

#[test]
fn usage_of_no_time_is_a_mistake() {
    let configuration = file("usage.yaml", GOOD);
    let ask = |since: &str, until: &str| {
        let output = tollgate(&[
            "usage",
            "--config",
            &configuration,
            "--since",
            since,
            "--until",
            until,
        ]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = ask("2026-12-01", "2026-11-01");
    assert!(told.contains("--since is later than --until"), "{told}");
    let told = ask("2026-11-01", "2026-11-01");
    assert!(told.contains("no books"), "{told}");
}

#[test]
fn explain_shows_the_upstream_request_and_no_secret() {
    let configuration = file("explain.yaml", GOOD);
    let request = file(
        "request.json",
        &json!({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}).to_string(),
    );
    let output = tollgate(&["explain", &configuration, &request]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: Value = serde_json::from_str(&told).unwrap_or_else(|error| {
        panic!(
            "{error}: {told} {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    assert_eq!(value["plan"][0]["target"], "openai/gpt-4o-mini");
    assert_eq!(
        value["plan"][0]["request"]["url"],
        "https://api.openai.com/v1/chat/completions"
    );
    assert_eq!(value["plan"][0]["request"]["body"]["model"], "gpt-4o-mini");
    assert!(!told.contains("sk-very-secret"), "{told}");
}

#[test]
fn the_other_commands_print_what_they_promise() {
    let schema: Value = serde_json::from_slice(&tollgate(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["routes"].is_object());
    assert!(String::from_utf8_lossy(&tollgate(&["version"]).stdout).starts_with("tollgate 0."));
    assert!(
        String::from_utf8_lossy(&tollgate(&["completions", "bash"]).stdout).contains("_tollgate")
    );
    let output = tollgate(&["key", "new", "--name", "team-a"]);
    let key = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(key.contains("sha256:") && key.contains("team-a"), "{key}");
}

#[test]
fn a_model_without_a_price_is_not_passed_over_in_silence() {
    let output = tollgate(&["prices", "GPT-4O-mini"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("openai/gpt-4o-mini "), "{told}");
    let output = tollgate(&["prices", "gpt-4o-mnii"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let expected =
        "no model with a price has `gpt-4o-mnii` in its name; did you mean `gpt-4o-mini`?";
    assert!(told.contains(expected), "{told}");
    let list = file("nothing.txt", "openai gpt-4o\n");
    let output = tollgate(&["prices", "--from", &list]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 1 is no price"), "{told}");
}

#[test]
fn without_keys_only_this_machine_is_served() {
    // In a folder of its own: the books are kept beside it.
    let folder = std::env::temp_dir().join(format!("tollgate-{}-public", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let configuration = folder.join("tollgate.yaml");
    fs::write(&configuration, GOOD).expect("a file can be written");
    let configuration = configuration.to_string_lossy().into_owned();
    let output = tollgate(&["serve", "--config", &configuration, "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there are no keys"),
        "{output:?}"
    );
    let _removed = fs::remove_dir_all(folder);
}

#[test]
fn providers_are_listed_for_people_and_for_scripts() {
    let text = tollgate(&["providers"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in ["anthropic", "x-api-key", "https://api.cohere.com"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let output = tollgate(&["providers", "--json", "gemini"]);
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed[0]["name"], "gemini");
    assert_eq!(listed[0]["endpoints"][0]["dialect"], "gemini_generate");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}
