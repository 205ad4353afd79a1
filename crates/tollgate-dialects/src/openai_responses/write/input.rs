//! The conversation as items: messages, reasoning, calls of tools and what tools said.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{
    super::{
        ITEM, proof,
        read::{INSTRUCTIONS, STORED},
    },
    CallWriter,
};
use crate::{
    Field, MediaSource, Message, Part, PartKind, Role, ToolKind,
    fields::Place,
    json::put,
    openai_chat::{REASONING_FIELDS, data_url, to_map},
};

/// The items of a conversation.
#[derive(Default)]
struct Items<'a> {
    written: Vec<Value>,
    /// The assistant's message that is being written.
    open: Option<Said>,
    /// Calls of tools that take free text.
    custom_calls: HashSet<&'a str>,
}

/// A message of the assistant's.
#[derive(Default)]
struct Said {
    item: Map<String, Value>,
    content: Vec<Value>,
}

impl CallWriter<'_> {
    /// Writes `instructions` and `input`.
    pub(super) fn conversation(&mut self, body: &mut Map<String, Value>) {
        let mut items = Items::default();
        for message in &self.call.messages {
            if message.role != Role::Assistant {
                items.close();
            }
            match message.role {
                Role::Assistant => self.assistant(message, &mut items),
                Role::Tool => self.tool_results(message, &mut items),
                Role::System if self.own && message.extra.contains_key(INSTRUCTIONS) => {
                    put(body, INSTRUCTIONS, text_of(message));
                }
                Role::System => self.message("system", message, &mut items),
                Role::Developer => self.message("developer", message, &mut items),
                Role::User => self.message("user", message, &mut items),
            }
        }
        items.close();
        // What is stored may say everything.
        let says_nothing = self.own && items.written.is_empty();
        let is_stored = |name: &&str| self.call.extra.fields.contains_key(*name);
        if !(says_nothing && STORED.iter().any(is_stored)) {
            body.insert("input".to_owned(), Value::Array(items.written));
        }
    }

    fn message<'a>(&mut self, role: &str, message: &'a Message, items: &mut Items<'a>) {
        let mut content = Vec::new();
        for part in &message.content {
            match &part.kind {
                PartKind::Foreign { value } if self.own && part.extra.contains_key(ITEM) => {
                    items.written.push(value.clone());
                }
                _ => content.extend(self.part(part, "input_text")),
            }
        }
        let is_left_out = content.is_empty() && !message.content.is_empty();
        if is_left_out {
            return;
        }
        let mut extra = message.extra.clone();
        let item = to_map(extra.shift_remove(ITEM).unwrap_or_default());
        let mut written = to_map(json!({"type": "message", "role": role}));
        written.insert("content".to_owned(), to_content(content));
        self.speaker(message, &mut written);
        written.extend(item);
        self.extra(&extra, Place::Message, &mut written);
        items.written.push(Value::Object(written));
    }

    fn speaker(&mut self, message: &Message, written: &mut Map<String, Value>) {
        match &message.name {
            Some(name) if self.own => put(written, "name", Some(name.clone())),
            Some(_) => self.gaps.left_out(Field::SpeakerName),
            None => {}
        }
    }

    // --- the assistant ---

    fn assistant<'a>(&mut self, message: &'a Message, items: &mut Items<'a>) {
        if message.name.is_some() {
            self.gaps.left_out(Field::SpeakerName);
        }
        // Reasoning is among the parts as well.
        let names = message.extra.keys().map(String::as_str);
        for name in names.filter(|name| !REASONING_FIELDS.contains(name)) {
            self.gaps.left_out_extra(Place::Message, name);
        }
        for part in &message.content {
            self.assistants(part, items);
        }
        // A message of another dialect is one of its own.
        if !self.own {
            items.close();
        }
    }

    fn assistants<'a>(&mut self, part: &'a Part, items: &mut Items<'a>) {
        let item = match &part.kind {
            PartKind::Text { .. } | PartKind::Refusal { .. } => return self.said(part, items),
            PartKind::Foreign { .. } if self.own && !part.extra.contains_key(ITEM) => {
                return self.said(part, items);
            }
            PartKind::Foreign { value } if self.own => Some(value.clone()),
            PartKind::Reasoning { text, signature } => {
                self.reasoning(part, text, signature.as_deref())
            }
            PartKind::RedactedReasoning { data } => self.reasoning(part, "", Some(data)),
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => {
                if *kind == ToolKind::Custom {
                    items.custom_calls.insert(id);
                }
                Some(self.tool_call(part, id, name, arguments, *kind))
            }
            _ => self.part(part, "output_text"),
        };
        if let Some(item) = item {
            items.close();
            items.written.push(item);
        }
    }

    /// A piece of what the assistant said: of the message that is being written, unless another one begins with it.
    fn said(&mut self, part: &Part, items: &mut Items<'_>) {
        let begins = self.own && part.extra.contains_key(ITEM);
        if begins {
            items.close();
        }
        let Some(written) = self.part(part, "output_text") else {
            return;
        };
        let said = items.open.get_or_insert_default();
        if begins {
            said.item = to_map(part.extra.get(ITEM).cloned().unwrap_or_default());
        }
        said.content.push(written);
    }

    /// Reasoning that the provider takes back: with a proof that it is its own, or (of its own clients) as it came.
    fn reasoning(&mut self, part: &Part, text: &str, proof: Option<&str>) -> Option<Value> {
        let encrypted = proof.and_then(proof::untagged);
        let is_anothers = encrypted.is_none() && (proof.is_some() || !self.own);
        if is_anothers {
            self.gaps.left_out(match part.kind {
                PartKind::RedactedReasoning { .. } => Field::RedactedReasoning,
                _ => Field::Reasoning,
            });
            return None;
        }
        let mut extra = part.extra.clone();
        let item = to_map(extra.shift_remove(ITEM).unwrap_or_default());
        let mut written = to_map(json!({"type": "reasoning", "summary": summary(text)}));
        written.extend(item);
        put(&mut written, "encrypted_content", encrypted);
        self.extra(&extra, Place::Message, &mut written);
        Some(Value::Object(written))
    }

    fn tool_call(
        &mut self,
        part: &Part,
        id: &str,
        name: &str,
        arguments: &str,
        kind: ToolKind,
    ) -> Value {
        self.cache_control(part);
        let mut written = to_map(match kind {
            ToolKind::Custom => {
                json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": arguments})
            }
            ToolKind::Function | ToolKind::Foreign => {
                // Some models write nothing for no arguments.
                let is_none = !self.own && arguments.trim().is_empty();
                let arguments = if is_none { "{}" } else { arguments };
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            }
        });
        self.item_extra(part, Place::ToolCall, &mut written);
        Value::Object(written)
    }

    fn tool_results<'a>(&mut self, message: &'a Message, items: &mut Items<'a>) {
        for part in &message.content {
            let PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } = &part.kind
            else {
                continue;
            };
            if *is_error == Some(true) {
                self.gaps.left_out(Field::IsError);
            }
            self.cache_control(part);
            let kind = if items.custom_calls.contains(call_id.as_str()) {
                "custom_tool_call_output"
            } else {
                "function_call_output"
            };
            let said = content.iter();
            let said: Vec<Value> = said
                .filter_map(|part| self.part(part, "input_text"))
                .collect();
            let mut written = to_map(json!({"type": kind, "call_id": call_id}));
            written.insert("output".to_owned(), to_content(said));
            self.item_extra(part, Place::ToolResult, &mut written);
            items.written.push(Value::Object(written));
        }
    }

    /// What an item is besides its content.
    fn item_extra(&mut self, part: &Part, place: Place, written: &mut Map<String, Value>) {
        let mut extra = part.extra.clone();
        if self.own {
            written.extend(to_map(extra.shift_remove(ITEM).unwrap_or_default()));
        }
        self.extra(&extra, place, written);
    }

    fn cache_control(&mut self, part: &Part) {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
    }

    // --- content ---

    /// A part of a message's content; `None` where it cannot be written. `text_kind` is what texts are called where it stands.
    fn part(&mut self, part: &Part, text_kind: &str) -> Option<Value> {
        let mut place = Place::Content;
        let mut written = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                to_map(json!({"type": text_kind, "text": text}))
            }
            PartKind::Refusal { text } => to_map(json!({"type": "refusal", "refusal": text})),
            PartKind::Image { source, detail } => self.image(source, detail.as_deref())?,
            PartKind::Document { source, name } => {
                place = Place::Document;
                self.document(source, name.as_deref())?
            }
            PartKind::Audio { data, format } if self.own => to_map(
                json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}),
            ),
            PartKind::Audio { .. } => {
                self.gaps.left_out(Field::Audio);
                return None;
            }
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("unknown");
                self.gaps.left_out_extra(Place::Content, kind);
                return None;
            }
            PartKind::ToolCall { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Reasoning { .. }
            | PartKind::RedactedReasoning { .. } => {
                self.gaps.left_out(Field::MisplacedPart);
                return None;
            }
        };
        self.cache_control(part);
        let mut extra = part.extra.clone();
        if self.own {
            drop(extra.shift_remove(ITEM));
        }
        self.extra(&extra, place, &mut written);
        Some(Value::Object(written))
    }

    fn image(&mut self, source: &MediaSource, detail: Option<&str>) -> Option<Map<String, Value>> {
        let (name, place) = match source {
            MediaSource::Base64 { media_type, data } => {
                ("image_url", data_url(media_type, "image/png", data))
            }
            MediaSource::Url(url) => ("image_url", url.clone()),
            MediaSource::FileId(id) if self.own || self.is_chat => ("file_id", id.clone()),
            MediaSource::Text { .. } | MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(Field::Image);
                return None;
            }
        };
        let mut written = to_map(json!({"type": "input_image", name: place}));
        // The documentation wants one; this is what is done without.
        put(
            &mut written,
            "detail",
            detail.or((!self.own).then_some("auto")),
        );
        Some(written)
    }

    fn document(&mut self, source: &MediaSource, name: Option<&str>) -> Option<Map<String, Value>> {
        let mut written = to_map(json!({"type": "input_file"}));
        match source {
            MediaSource::Base64 { media_type, data } => {
                // A name is wanted with the data.
                let name = name.or((!self.own).then_some("document.pdf"));
                put(&mut written, "filename", name);
                let is_bare = self.own && media_type.is_empty();
                let data = if is_bare {
                    data.clone()
                } else {
                    data_url(media_type, "application/pdf", data)
                };
                put(&mut written, "file_data", Some(data));
                return Some(written);
            }
            // Text needs no file around it.
            MediaSource::Text { data, .. } => {
                let text = name.map_or_else(|| data.clone(), |name| format!("{name}\n\n{data}"));
                return Some(to_map(json!({"type": "input_text", "text": text})));
            }
            MediaSource::Url(url) => put(&mut written, "file_url", Some(url.clone())),
            MediaSource::FileId(id) if self.own || self.is_chat => {
                put(&mut written, "file_id", Some(id.clone()));
            }
            MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(Field::Document);
                return None;
            }
        }
        // A name beside an address is refused.
        put(&mut written, "filename", name.filter(|_| self.own));
        Some(written)
    }
}

// === impl Items ===

impl Items<'_> {
    /// Ends the assistant's message that is being written.
    fn close(&mut self) {
        let Some(Said { item, content }) = self.open.take() else {
            return;
        };
        let mut written = to_map(json!({"type": "message", "role": "assistant"}));
        // What the provider gave an id has to come back in the provider's form.
        let content = if item.is_empty() {
            to_content(content)
        } else {
            Value::Array(content)
        };
        written.insert("content".to_owned(), with_annotations(content));
        written.extend(item);
        self.written.push(Value::Object(written));
    }
}

/// Content as a text where it is one, which every provider understands, else as a list.
fn to_content(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => Value::from(""),
        [Value::Object(part)] if part.len() == 2 && part.contains_key("text") => {
            part.remove("text").unwrap_or_default()
        }
        _ => Value::Array(parts),
    }
}

/// The assistant's texts have a list of annotations, and be it empty.
fn with_annotations(mut content: Value) -> Value {
    for part in content.as_array_mut().into_iter().flatten() {
        if part["type"] == "output_text" && part.get("annotations").is_none() {
            part["annotations"] = json!([]);
        }
    }
    content
}

fn summary(text: &str) -> Vec<Value> {
    let pieces = (!text.is_empty()).then(|| json!({"type": "summary_text", "text": text}));
    Vec::from_iter(pieces)
}

fn text_of(message: &Message) -> Option<String> {
    let texts = message.content.iter().map(|part| match &part.kind {
        PartKind::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts
        .collect::<Option<Vec<&str>>>()
        .map(|texts| texts.join("\n"))
}
