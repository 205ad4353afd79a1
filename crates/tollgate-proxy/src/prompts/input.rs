//! What a template sees: the body of the request, and a conversation that is text to one and a list to another.

use std::{fmt, sync::Arc};

use minijinja::{
    Value,
    value::{Enumerator, Object, ObjectRepr, Serde},
};
use serde_json::{Map, Value as Json};

use super::Turn;

/// What a template sees as `input`.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) value: Value,
    body: Map<String, Json>,
}

impl Input {
    pub(super) fn new(body: &Map<String, Json>) -> Self {
        let mut body = body.clone();
        if !body.contains_key("text")
            && let Some(text) = text_of(&body)
        {
            body.insert("text".to_owned(), Json::String(text));
        }
        let fields = body
            .iter()
            .map(|(name, value)| (name.clone(), field(name, value)));
        Self {
            value: Value::from_pairs(fields),
            body,
        }
    }

    /// The same with an empty text at the end of each of these paths.
    pub(super) fn with_nothing_in<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Self {
        let mut body = self.body.clone();
        for path in paths {
            let mut names = path.split('.').skip(1).peekable();
            let mut here = &mut body;
            while let Some(name) = names.next() {
                let empty = match names.peek() {
                    Some(_) => Json::Object(Map::new()),
                    None => Json::String(String::new()),
                };
                match here.entry(name).or_insert(empty) {
                    Json::Object(inner) => here = inner,
                    _ => break,
                }
            }
        }
        Self::new(&body)
    }

    /// Whether a path such as `input.city.name` leads nowhere.
    pub(super) fn lacks(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix("input.") else {
            return path != "input";
        };
        let mut here = None;
        for (depth, name) in path.split('.').enumerate() {
            here = if depth == 0 {
                self.body.get(name)
            } else {
                here.and_then(|value: &Json| value.get(name))
            };
            if here.is_none() {
                return true;
            }
        }
        false
    }
}

/// The text of a call: the prompt of a completion, the user's last message of a chat.
fn text_of(body: &Map<String, Json>) -> Option<String> {
    if let Some(Json::String(prompt)) = body.get("prompt") {
        return Some(prompt.clone());
    }
    let messages = body.get("messages")?.as_array()?;
    let last = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")?;
    Some(content_text(&last["content"]))
}

fn field(name: &str, value: &Json) -> Value {
    match value {
        Json::Array(messages) if name == "messages" => Value::from_object(Conversation(
            messages.iter().map(message).collect(),
            conversation_text(messages),
        )),
        other => Value::from(Serde(other)),
    }
}

/// A message whose content prints as its text.
fn message(message: &Json) -> Value {
    let Json::Object(fields) = message else {
        return Value::from(Serde(message));
    };
    Value::from_pairs(fields.iter().map(|(name, value)| {
        let value = match value {
            Json::Array(parts) if name == "content" => Value::from_object(Conversation(
                parts.iter().map(|part| Value::from(Serde(part))).collect(),
                content_text(value),
            )),
            other => Value::from(Serde(other)),
        };
        (name.clone(), value)
    }))
}

/// A list that prints as text: a conversation, or the parts of a message.
#[derive(Debug)]
struct Conversation(Vec<Value>, String);

impl Object for Conversation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

/// A sole message of the user is its text; several messages are told line by line.
fn conversation_text(messages: &[Json]) -> String {
    if let [only] = messages
        && only["role"] == "user"
    {
        return content_text(&only["content"]);
    }
    let line = |message: &Json| {
        format!(
            "{}: {}",
            message["role"].as_str().unwrap_or("user"),
            content_text(&message["content"])
        )
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn content_text(content: &Json) -> String {
    match content {
        Json::String(text) => text.clone(),
        Json::Array(parts) => {
            let part = |part: &Json| match (part["text"].as_str(), part["type"].as_str()) {
                (Some(text), _) => text.to_owned(),
                (None, Some(kind)) => format!("[{}]", kind.trim_end_matches("_url")),
                (None, None) => String::new(),
            };
            parts.iter().map(part).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// The messages that a rendered text is, if it is a JSON list of them.
pub(super) fn messages_in(text: &str) -> Option<Vec<Turn>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let messages: Vec<Map<String, Json>> = serde_json::from_str(text).ok()?;
    let turn = |mut message: Map<String, Json>| {
        let role = message.get("role")?.as_str()?.to_owned();
        Some(Turn::Said {
            role,
            content: message.remove("content")?,
        })
    };
    let turns: Vec<Turn> = messages.into_iter().map(turn).collect::<Option<_>>()?;
    (!turns.is_empty()).then_some(turns)
}
