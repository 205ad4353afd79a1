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
fn without_keys_only_this_machine_is_served() {
    let configuration = file("public.yaml", GOOD);
    let output = tollgate(&["serve", "--config", &configuration, "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("there are no keys"),
        "{output:?}"
    );
}

#[test]
fn providers_are_listed_for_people_and_for_programs() {
    let output = tollgate(&["providers"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let ollama = text.lines().find(|line| line.starts_with("ollama "));
    let ollama = ollama.expect("a line for each kind");
    for word in [
        "chat, completions, embeddings",
        "ollama_chat, openai_chat",
        "http://localhost:11434",
    ] {
        assert!(ollama.contains(word), "{ollama}");
    }
    let output = tollgate(&["providers", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let kinds = told.as_array().expect("a list");
    assert_eq!(kinds.len() + 1, text.lines().count());
    let azure = kinds.iter().find(|kind| kind["type"] == "azure");
    assert_eq!(
        azure.expect("there")["key"],
        json!({"header": "api-key", "prefix": "", "required": true})
    );
}
