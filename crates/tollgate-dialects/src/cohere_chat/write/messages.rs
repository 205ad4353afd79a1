//! The conversation: who speaks, and the parts of what is said.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    super::{answer::tool_call, read::TOOL_PLAN},
    CallWriter,
};
use crate::{
    Field, MediaSource, Message, Part, PartKind, Role, ToolKind,
    fields::Place,
    json::put,
    openai_chat::{REASONING_FIELDS, data_url, to_map},
};

impl CallWriter<'_> {
    pub(super) fn messages(&mut self) -> Vec<Value> {
        let mut written = Vec::new();
        // Pictures that tools gave. Tools' messages hold texts and documents only, and all of them have to follow the call directly, so
        // that the rest comes with the user's next message.
        let mut pending = Vec::new();
        for message in &self.call.messages {
            match message.role {
                Role::Tool => self.tool_results(message, &mut written, &mut pending),
                Role::User => {
                    let mut content = std::mem::take(&mut pending);
                    content.extend(self.content(&message.content));
                    written.push(self.message("user", message, content));
                }
                Role::System | Role::Developer => {
                    flush(&mut pending, &mut written);
                    let content = self.content(&message.content);
                    written.push(self.message("system", message, content));
                }
                Role::Assistant => {
                    flush(&mut pending, &mut written);
                    written.extend(self.assistant(message));
                }
            }
        }
        flush(&mut pending, &mut written);
        written.into_iter().map(Value::Object).collect()
    }

    fn message(
        &mut self,
        role: &str,
        message: &Message,
        content: Vec<Value>,
    ) -> Map<String, Value> {
        if message.name.is_some() && message.role != Role::Tool {
            self.gaps.left_out(Field::SpeakerName);
        }
        let mut written = to_map(json!({"role": role, "content": text_or_list(content)}));
        if self.own {
            written.extend(message.extra.clone());
        } else {
            let names = message.extra.keys().map(String::as_str);
            // Reasoning is among the parts as well.
            for name in names.filter(|name| !REASONING_FIELDS.contains(name)) {
                self.gaps.left_out_extra(Place::Message, name);
            }
        }
        written
    }

    /// What the assistant said; `None` where that is nothing. What it said before it called tools is Cohere's `tool_plan`.
    fn assistant(&mut self, message: &Message) -> Option<Map<String, Value>> {
        let is_call = |part: &Part| matches!(part.kind, PartKind::ToolCall { .. });
        let is_text = |part: &&Part| matches!(part.kind, PartKind::Text { .. });
        let calls_tools = message.content.iter().any(is_call);
        // Of its own, the plan is the last text, and among the extra fields.
        let plan_at = message.extra.get(TOOL_PLAN).filter(|_| self.own);
        let plan_at = plan_at.and_then(|_| message.content.iter().rposition(|part| is_text(&part)));
        let mut content = Vec::new();
        let mut plan = String::new();
        let mut tool_calls = Vec::new();
        for (index, part) in message.content.iter().enumerate() {
            match &part.kind {
                PartKind::ToolCall { .. } => tool_calls.extend(self.tool_call(part)),
                _ if plan_at == Some(index) => {}
                PartKind::Text { text, .. } | PartKind::Refusal { text }
                    if calls_tools && !self.own =>
                {
                    // What else there is about the text is looked at all the same.
                    let _text = self.part(part);
                    plan.push_str(text);
                }
                _ => content.extend(self.part(part)),
            }
        }
        if !self.own && content.is_empty() && plan.is_empty() && tool_calls.is_empty() {
            return None;
        }
        let is_silent = content.is_empty() && (self.own || !tool_calls.is_empty());
        let mut written = self.message("assistant", message, content);
        if is_silent {
            written.shift_remove("content");
        }
        put(&mut written, TOOL_PLAN, (!plan.is_empty()).then_some(plan));
        put(
            &mut written,
            "tool_calls",
            (!tool_calls.is_empty()).then_some(tool_calls),
        );
        Some(written)
    }

    fn tool_call(&mut self, part: &Part) -> Option<Value> {
        let PartKind::ToolCall {
            id,
            name,
            arguments,
            kind,
        } = &part.kind
        else {
            return None;
        };
        if *kind == ToolKind::Custom {
            self.gaps.left_out(Field::CustomToolCall);
        }
        self.cache_control(part);
        let mut written = to_map(tool_call(id, name, arguments));
        self.extra(&part.extra, Place::ToolCall, &mut written);
        Some(Value::Object(written))
    }

    fn tool_results(
        &mut self,
        message: &Message,
        written: &mut Vec<Map<String, Value>>,
        pending: &mut Vec<Value>,
    ) {
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
            self.extra(&part.extra, Place::ToolResult, &mut Map::new());
            let mut said = Vec::new();
            for part in content {
                let is_media = matches!(part.kind, PartKind::Image { .. });
                let into = if is_media && !self.own {
                    &mut *pending
                } else {
                    &mut said
                };
                match &part.kind {
                    PartKind::Document { source, name } => {
                        into.extend(self.tool_document(part, source, name.as_deref()));
                    }
                    _ => into.extend(self.part(part)),
                }
            }
            let mut result = self.message("tool", message, said);
            put(&mut result, "tool_call_id", Some(call_id.clone()));
            written.push(result);
        }
    }

    fn content(&mut self, parts: &[Part]) -> Vec<Value> {
        parts.iter().filter_map(|part| self.part(part)).collect()
    }

    /// A part of a message's content; `None` where it cannot be written.
    fn part(&mut self, part: &Part) -> Option<Value> {
        let mut written = to_map(match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                json!({"type": "text", "text": text})
            }
            PartKind::Refusal { text } => json!({"type": "text", "text": text}),
            PartKind::Image { source, detail } => self.image(source, detail.as_deref())?,
            PartKind::Audio { .. } => return self.none(Field::Audio),
            PartKind::Document { source, name } => {
                return self.document(part, source, name.as_deref());
            }
            PartKind::Reasoning { text, .. } if self.own => {
                json!({"type": "thinking", "thinking": text})
            }
            PartKind::Reasoning { text, .. } if self.reasons && !text.is_empty() => {
                json!({"type": "thinking", "thinking": text})
            }
            PartKind::Reasoning { .. } => return self.none(Field::Reasoning),
            PartKind::RedactedReasoning { .. } => return self.none(Field::RedactedReasoning),
            PartKind::ToolCall { .. } | PartKind::ToolResult { .. } => {
                return self.none(Field::MisplacedPart);
            }
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("unknown");
                self.gaps.left_out_extra(Place::Content, kind);
                return None;
            }
        });
        self.cache_control(part);
        self.extra(&part.extra, Place::Content, &mut written);
        Some(Value::Object(written))
    }

    /// Reports a gap where something is left out.
    fn none<T>(&mut self, field: Field) -> Option<T> {
        self.gaps.left_out(field);
        None
    }

    fn cache_control(&mut self, part: &Part) {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
    }

    fn image(&mut self, source: &MediaSource, detail: Option<&str>) -> Option<Value> {
        let url = match source {
            MediaSource::Base64 { media_type, data } => data_url(media_type, "image/png", data),
            MediaSource::Url(url) => url.clone(),
            MediaSource::Text { .. } | MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                return self.none(Field::Image);
            }
        };
        let mut image = to_map(json!({"url": url}));
        put(&mut image, "detail", detail);
        Some(json!({"type": "image_url", "image_url": image}))
    }

    /// A document in what a person says: other dialects' as the text that it is, Cohere's as it came.
    fn document(&mut self, part: &Part, source: &MediaSource, name: Option<&str>) -> Option<Value> {
        if self.own {
            return self.tool_document(part, source, name);
        }
        self.cache_control(part);
        self.extra(&part.extra, Place::Document, &mut Map::new());
        let text = self.document_text(source)?;
        let text = name.map_or_else(|| text.clone(), |name| format!("{name}\n\n{text}"));
        Some(json!({"type": "text", "text": text}))
    }

    /// A document that a tool gave.
    fn tool_document(
        &mut self,
        part: &Part,
        source: &MediaSource,
        name: Option<&str>,
    ) -> Option<Value> {
        let document = match source {
            MediaSource::Foreign(value) if self.own => value.clone(),
            MediaSource::Text { media_type, data } if self.own => {
                let data = match media_type.as_str() {
                    "application/json" => serde_json::from_str(data).unwrap_or_default(),
                    _ => json!(data),
                };
                let mut document = Map::new();
                put(&mut document, "id", name);
                put(&mut document, "data", Some(data));
                Value::Object(document)
            }
            other => {
                let mut data = Map::new();
                put(&mut data, "title", name);
                put(&mut data, "text", Some(self.document_text(other)?));
                json!({"data": data})
            }
        };
        self.cache_control(part);
        let mut written = to_map(json!({"type": "document", "document": document}));
        self.extra(&part.extra, Place::Document, &mut written);
        Some(Value::Object(written))
    }

    /// A document's text, where it is one.
    fn document_text(&mut self, source: &MediaSource) -> Option<String> {
        let decoded = match source {
            MediaSource::Text { data, .. } => Some(data.clone()),
            MediaSource::Base64 { media_type, data } if media_type.starts_with("text/") => {
                let bytes = STANDARD.decode(data).ok();
                bytes.and_then(|bytes| String::from_utf8(bytes).ok())
            }
            _ => None,
        };
        decoded.or_else(|| self.none(Field::Document))
    }
}

fn flush(pending: &mut Vec<Value>, written: &mut Vec<Map<String, Value>>) {
    if !pending.is_empty() {
        let content = std::mem::take(pending);
        written.push(to_map(json!({"role": "user", "content": content})));
    }
}

/// Content as a text where it is nothing else, else as a list of parts.
fn text_or_list(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => Value::from(""),
        [Value::Object(part)] if part.len() == 2 && part.contains_key("text") => {
            part.remove("text").unwrap_or_default()
        }
        _ => Value::Array(parts),
    }
}
