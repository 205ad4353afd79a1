//! Which parts of a configuration file must not be shown.
//!
//! Mistakes are shown with the lines that they are in. Literal credentials in those lines become `***`; references
//! (`{{ env.X }}`, `$X`, `file:PATH`) stay, since they give nothing away. Comments are left out.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    tree::{Content, Node, Span},
    values,
};

/// What stands in for a secret.
pub(crate) const MASK: &str = "***";

/// Whether values under this key are credentials.
pub(crate) fn is_secret_key(key: &str) -> bool {
    const NAMES: &[&str] = &[
        "api_key",
        "api_keys",
        "apikey",
        "authorization",
        "proxy_authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "hash",
        "external_account",
        "key",
        "pass",
        "passwd",
        "password",
        "secret",
        "service_account",
        "token",
    ];
    const ENDINGS: &[&str] = &[
        "apikey",
        "_key",
        "_secret",
        "_password",
        "_credential",
        "_credentials",
        "access_token",
        "api_token",
        "auth_token",
        "bearer_token",
        "session_token",
    ];
    let key = key.to_ascii_lowercase().replace('-', "_");
    NAMES.contains(&key.as_str()) || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Whether a header or query parameter of this name carries a credential.
pub(crate) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "auth",
        "key",
        "token",
        "secret",
        "cookie",
        "signature",
        "password",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// Whether a text looks like a credential, wherever it stands: the known beginnings of keys, and
/// addresses with a password or a key in them.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "sk-",
        "sk_",
        "pk-",
        "gsk_",
        "hf_",
        "xai-",
        "tg_",
        "tgp_",
        "AIza",
        "nvapi-",
        "pplx-",
        "r8_",
        "dapi",
        "ghp_",
        "github_pat_",
        "csk-",
        "fw_",
        "eyJ",
        "AKIA",
        "Bearer ",
        "Basic ",
    ];
    let credential = BEGINNINGS.iter().any(|beginning| {
        text.strip_prefix(beginning)
            .is_some_and(|rest| rest.len() >= 8)
    });
    credential || has_user_info(text) || secret_parameter(text).is_some()
}

/// The query parameter of an address that carries a credential.
pub(crate) fn secret_parameter(address: &str) -> Option<&str> {
    let (_, query) = address.split_once('?')?;
    let mut names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default());
    names.find(|name| is_secret_key(name))
}

fn has_user_info(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// The spans of all literal credentials in a tree whose references are not yet filled in.
pub(crate) fn secret_spans(root: &Node) -> Vec<Span> {
    let mut spans = Vec::new();
    collect(root, Naming::Settings, &mut spans);
    spans
}

/// The spans of every literal text at and below a node.
pub(crate) fn literal_spans(node: &Node) -> Vec<Span> {
    let mut spans = Vec::new();
    collect(node, Naming::Secret, &mut spans);
    spans
}

/// What the names of a map's keys mean.
#[derive(Clone, Copy)]
enum Naming {
    /// Settings of ours.
    Settings,
    /// Headers or query parameters.
    Headers,
    /// Whose calls are meant: keys are named there, and do not stand there.
    Scope,
    /// Everything below is secret.
    Secret,
}

impl Naming {
    /// What the names below a key mean.
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Secret, "weight") => Self::Settings, // of one of `api_keys`
            (Self::Secret, _) => Self::Secret,
            (Self::Headers, name) if is_secret_header(name) => Self::Secret,
            (_, "headers" | "query") => Self::Headers,
            (Self::Scope, "key") => Self::Settings,
            (_, key) if is_secret_key(key) => Self::Secret,
            (Self::Settings, "of") => Self::Scope,
            (naming, _) => naming,
        }
    }
}

/// The tree without its places and without credentials. Hashes of callers' keys stay: they are none.
pub(crate) fn public_json(node: &Node) -> Value {
    fn public(node: &Node, naming: Naming) -> Value {
        match &node.content {
            Content::Map(entries) => {
                let public = entries.iter().map(|entry| {
                    let value = match naming.below(&entry.key) {
                        Naming::Secret if entry.key != "hash" => Value::from(MASK),
                        below => public(&entry.value, below),
                    };
                    (entry.key.clone(), value)
                });
                Value::Object(public.collect())
            }
            Content::List(items) => items.iter().map(|item| public(item, naming)).collect(),
            _ => node.to_json(),
        }
    }
    public(node, Naming::Settings)
}

fn collect(node: &Node, naming: Naming, spans: &mut Vec<Span>) {
    match &node.content {
        Content::Map(entries) => {
            for entry in entries {
                let below = naming.below(&entry.key);
                let is_misplaced = matches!(naming, Naming::Secret)
                    && !["key", "weight"].contains(&entry.key.as_str());
                if is_misplaced || looks_like_secret(&entry.key) {
                    spans.push(entry.key_span.clone());
                }
                collect(&entry.value, below, spans);
            }
        }
        Content::List(items) => items.iter().for_each(|item| collect(item, naming, spans)),
        Content::Text(text) => {
            let secret = matches!(naming, Naming::Secret) || looks_like_secret(&text.value);
            if secret && !values::is_reference(&text.value) {
                spans.extend([node.span.clone(), node.defined.clone()]);
            }
        }
        Content::Number(_) if matches!(naming, Naming::Secret) => {
            spans.extend([node.span.clone(), node.defined.clone()]);
        }
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Unknown => {}
    }
}

/// What to hide in a text that is not YAML, where the tree cannot tell what is a credential: on each line
/// everything but a known, harmless key and its value.
pub(crate) fn spans_in_broken_text(text: &str, known_keys: &HashSet<&str>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let bare = content.trim_start_matches([' ', '\t', '-', '{', '[']);
        let indent = content.len() - bare.len();
        let visible = match bare.split_once(':') {
            Some((key, value)) if known_keys.contains(key) && !is_secret_key(key) => {
                let harmless = !is_secret_header(value)
                    && !value.split([' ', '"', '\'']).any(looks_like_secret);
                indent + if harmless { bare.len() } else { key.len() + 1 }
            }
            Some((key, _)) if known_keys.contains(key) => indent + key.len() + 1,
            _ => indent,
        };
        let visible = content
            .find('#')
            .map_or(visible, |comment| visible.min(comment));
        if visible < content.len() {
            spans.push(start + visible..start + content.len());
        }
        start += line.len();
    }
    spans
}
