//! Which of Bedrock's languages a chat is written in.

use tollgate_domain::{BodyModel, Dialect, Envelope, Task, for_model, serving};

use super::*;

#[test]
fn bedrocks_chats_go_the_way_that_is_given() {
    let asked = |setting: &str, model: &str, client: Dialect| {
        let resolved = resolved(&format!(
            "direct_use: true\nproviders: [{{name: b, type: bedrock, region: us-east-1, api_key: $AZURE_API_KEY{setting}}}]\n"
        ));
        let endpoints = &resolved.snapshot.providers["b"].endpoints;
        let endpoints: Vec<_> = for_model(endpoints, model).cloned().collect();
        let endpoint = serving(&endpoints, Task::Chat, client).expect("a chat");
        assert_eq!(endpoint.model, BodyModel::Unnamed);
        let is_enclosed = endpoint.envelope == Envelope::Invocation;
        assert_eq!(is_enclosed, endpoint.uri.path().ends_with("/invoke"));
        is_enclosed
    };
    let (anthropic, openai) = (Dialect::AnthropicMessages, Dialect::OpenaiChat);
    assert!(asked("", "eu.anthropic.claude-haiku-4-5", anthropic));
    assert!(!asked("", "eu.anthropic.claude-haiku-4-5", openai));
    assert!(!asked("", "amazon.nova-lite-v1:0", anthropic));
    assert!(asked(", dialect: anthropic", "arn:aws:x/y", openai));
    assert!(!asked(", dialect: converse", "anthropic.claude", anthropic));
    for (kind, dialect, owner) in [
        ("bedrock", "openai", "custom"),
        ("custom", "converse", "bedrock"),
    ] {
        let told = refused(&format!(
            "direct_use: true\nproviders: [{{name: b, type: {kind}, base_url: \"https://x.example\", dialect: {dialect}}}]\n"
        ));
        assert!(
            told.contains(&format!("it belongs to `type: {owner}`")),
            "{told}"
        );
    }
}
