//! The configuration that the gateway runs with where none is given.

/// How messages call it.
pub(crate) const NAME: &str = "(built-in demo)";

/// Answers from inside the gateway: a chat, a failover and an embedding route to play with.
pub(crate) const TEXT: &str = r#"# Answers from inside the gateway, without key and network.
direct_use: true

providers:
  - name: demo
    type: demo
    params: {model: demo-small}

routes:
  - name: demo
    aliases: [gpt-4o-mini, claude-sonnet-4-5]
    model: {provider: demo}

  - name: demo-failover
    model:
      strategy:
        type: ordered
        models:
          - {provider: demo, name: demo-large}
          - {provider: demo, name: demo-small}

  - name: demo-completions
    route_type: llm/v1/completions
    model: {provider: demo}
    prompt_template: "Summarize the following text concisely: {{ input.text }}"

  - name: demo-embeddings
    route_type: llm/v1/embeddings
    model: {provider: demo, name: demo-embed}
"#;
