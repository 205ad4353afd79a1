//! A prompt in a call of Gemini's: templates read `messages` and give messages, and the call has `contents` and a
//! `systemInstruction`.

use serde_json::{Map, Value, json};

use crate::prompts::{Rendered, Turn};

/// The body as templates know one: with what was said as `messages`, in OpenAI's words.
pub(super) fn as_templates_know_it(body: &Map<String, Value>) -> Map<String, Value> {
    let system = instruction(body).map(|said| json!({"role": "system", "content": parts(said)}));
    let contents = contents(body).into_iter();
    let said = contents.map(|content| {
        let role = match content["role"].as_str() {
            Some("model") => "assistant",
            _ => "user",
        };
        json!({"role": role, "content": parts(&content)})
    });
    let messages: Vec<Value> = system.into_iter().chain(said).collect();
    let mut known = body.clone();
    known.insert("messages".to_owned(), Value::Array(messages));
    known
}

/// The parts of a content, each text as a template knows it.
fn parts(content: &Value) -> Vec<Value> {
    let parts = match &content["parts"] {
        Value::Array(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let part = |part: &Value| match &part["text"] {
        Value::String(text) => json!({"type": "text", "text": text}),
        _ => json!({"type": "file"}),
    };
    parts
        .iter()
        .filter(|part| part.is_object())
        .map(part)
        .collect()
}

/// Puts what the prompt gave in the place of what the caller sent.
pub(super) fn put(rendered: Rendered, body: &mut Map<String, Value>) {
    let sent = contents(body);
    let mut system = Vec::new();
    let mut contents = Vec::new();
    match rendered {
        Rendered::Text(text) => {
            let mut parts = vec![json!({"text": text})];
            parts.extend(attached(&sent));
            contents.push(json!({"role": "user", "parts": parts}));
        }
        Rendered::Messages(turns) => {
            for turn in turns {
                match turn {
                    Turn::CallersMessages => {
                        system.extend(instruction(body).map(|said| said["parts"].clone()));
                        contents.extend(sent.iter().cloned());
                    }
                    Turn::Said { role, content } => {
                        let said = json!([{"text": text_of(content)}]);
                        match role.as_str() {
                            "system" | "developer" => system.push(said),
                            "assistant" => contents.push(json!({"role": "model", "parts": said})),
                            _ => contents.push(json!({"role": "user", "parts": said})),
                        }
                    }
                }
            }
        }
    }
    for name in ["system_instruction", "systemInstruction"] {
        body.shift_remove(name);
    }
    if !system.is_empty() {
        let parts: Vec<Value> = system.into_iter().flat_map(list).collect();
        body.insert("systemInstruction".to_owned(), json!({"parts": parts}));
    }
    body.insert("contents".to_owned(), Value::Array(contents));
}

/// Pictures and the like that the caller sent, which a text cannot hold.
fn attached(sent: &[Value]) -> Vec<Value> {
    let is_media = |part: &Value| {
        let media = ["inlineData", "inline_data", "fileData", "file_data"];
        media.iter().any(|name| part[*name].is_object())
    };
    let users = sent.iter().filter(|content| content["role"] != "model");
    let parts = users.flat_map(|content| list(content["parts"].clone()));
    parts.filter(is_media).collect()
}

fn text_of(content: Value) -> Value {
    match content {
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            Value::String(texts.collect::<Vec<_>>().join("\n"))
        }
        content => content,
    }
}

fn contents(body: &Map<String, Value>) -> Vec<Value> {
    list(body.get("contents").cloned().unwrap_or_default())
}

fn instruction(body: &Map<String, Value>) -> Option<&Value> {
    let names = ["systemInstruction", "system_instruction"];
    let mut said = names.iter().filter_map(|name| body.get(*name));
    said.find(|said| said.is_object())
}

/// A list; one thing alone is a list of one to Google.
fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Map<String, Value> {
        let body = json!({
            "system_instruction": {"parts": {"text": "Be brief."}},
            "contents": [
                {"role": "user", "parts": [{"text": "What is it?"}, {"inlineData": {"data": "AA"}}]},
                {"role": "model", "parts": [{"text": "A cat."}]},
            ],
        });
        body.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn templates_read_what_was_said_as_messages() {
        let known = as_templates_know_it(&body());
        let expected = json!([
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "file"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        ]);
        assert_eq!(known["messages"], expected);
    }

    #[test]
    fn messages_of_a_prompt_go_where_gemini_has_them() {
        let said = |role: &str, text: &str| Turn::Said {
            role: role.to_owned(),
            content: json!(text),
        };
        let mut filled = body();
        let turns = vec![
            said("system", "Purr."),
            Turn::CallersMessages,
            said("user", "And?"),
        ];
        put(Rendered::Messages(turns), &mut filled);
        let filled = Value::Object(filled);
        assert_eq!(
            filled["systemInstruction"],
            json!({"parts": [{"text": "Purr."}, {"text": "Be brief."}]})
        );
        assert_eq!(filled["contents"].as_array().map(Vec::len), Some(3));
        assert_eq!(
            filled["contents"][2],
            json!({"role": "user", "parts": [{"text": "And?"}]})
        );
        assert!(filled.get("system_instruction").is_none());
    }

    #[test]
    fn a_text_keeps_the_callers_pictures() {
        let mut filled = body();
        put(Rendered::Text("Look:".to_owned()), &mut filled);
        let expected =
            json!([{"role": "user", "parts": [{"text": "Look:"}, {"inlineData": {"data": "AA"}}]}]);
        assert_eq!(Value::Object(filled)["contents"], expected);
    }
}
