//! The conversation: who speaks, and the blocks of what is said.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{CallWriter, JSON_INSTRUCTION, invalid_arguments, parse_arguments, to_map};
use crate::{
    Field, MediaSource, Message, Part, PartKind, ResponseFormat, Role, ToolKind, fields::Place,
    gemini_generate::geminis_signature, json::put, openai_chat::REASONING_FIELDS,
    openai_responses::is_proof,
};

/// What one speaker says in a row.
struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
    extra: Map<String, Value>,
    /// It holds tools' results, and the user's words that came with them follow.
    is_open: bool,
}

impl CallWriter<'_> {
    /// Writes `system` and `messages`.
    pub(super) fn conversation(&mut self, body: &mut Map<String, Value>) {
        let mut system = Vec::new();
        let mut turns = Vec::new();
        for message in &self.call.messages {
            self.message(message, &mut system, &mut turns);
        }
        if !self.own && self.call.response_format == Some(ResponseFormat::JsonObject) {
            system.push(json!({"type": "text", "text": JSON_INSTRUCTION}));
        }
        // Somebody has to speak; with OpenAI the operator may be the only one.
        if !self.own && turns.is_empty() && !system.is_empty() {
            turns.push(Turn::new("user", std::mem::take(&mut system)));
        }
        put(
            body,
            "system",
            (!system.is_empty()).then(|| content(system)),
        );
        let messages: Vec<Value> = turns.into_iter().map(Turn::write).collect();
        put(body, "messages", Some(messages));
    }

    fn message(&mut self, message: &Message, system: &mut Vec<Value>, turns: &mut Vec<Turn>) {
        let blocks = self.blocks(message);
        let role = match message.role {
            Role::System | Role::Developer if turns.is_empty() => return system.extend(blocks),
            // Its own calls say so to models that take it.
            Role::System | Role::Developer if self.own => "system",
            Role::System | Role::Developer => {
                self.gaps.left_out(Field::SystemMidway);
                return system.extend(blocks);
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let mut turn = Turn::new(role, blocks);
        if self.own {
            turn.extra.clone_from(&message.extra);
            turn.is_open = message.role == Role::Tool;
        } else if turn.blocks.is_empty() {
            return;
        }
        match turns.last_mut() {
            // Anthropic's calls come as they were, but for results and words that were one message.
            Some(last) if last.role == role && (!self.own || last.is_open) => last.join(turn),
            _ => turns.push(turn),
        }
    }

    fn blocks(&mut self, message: &Message) -> Vec<Value> {
        if message.name.is_some() && message.role != Role::Tool {
            self.gaps.left_out(Field::SpeakerName);
        }
        if !self.own {
            let names = message.extra.keys().map(String::as_str);
            // Reasoning is among the parts as well.
            for name in names.filter(|name| !REASONING_FIELDS.contains(name)) {
                self.gaps.left_out_extra(Place::Message, name);
            }
        }
        let parts = message.content.iter();
        parts.filter_map(|part| self.block(part)).collect()
    }

    /// A block; `None` where it cannot be written, or says nothing: Anthropic refuses empty texts.
    fn block(&mut self, part: &Part) -> Option<Value> {
        let mut place = Place::Content;
        let mut block = match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal { text }
                if !self.own && text.trim().is_empty() =>
            {
                return None;
            }
            PartKind::Text { text, citations } => {
                let mut block = to_map(json!({"type": "text", "text": text}));
                let citations = citations.clone();
                put(
                    &mut block,
                    "citations",
                    (!citations.is_empty()).then_some(citations),
                );
                block
            }
            PartKind::Refusal { text } => to_map(json!({"type": "text", "text": text})),
            PartKind::Image { source, detail } => {
                if detail.is_some() {
                    self.gaps.left_out(Field::ImageDetail);
                }
                self.image(source)?
            }
            PartKind::Audio { .. } => return self.none(Field::Audio),
            PartKind::Document { source, name } => self.document(source, name.as_deref())?,
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => {
                place = Place::ToolCall;
                to_map(self.tool_use(id, name, arguments, *kind))
            }
            PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } => self.tool_result(call_id, content, *is_error),
            PartKind::Reasoning {
                signature: Some(proof),
                ..
            } if is_proof(proof) => return self.none(Field::Reasoning),
            PartKind::RedactedReasoning { data } if is_proof(data) => {
                return self.none(Field::RedactedReasoning);
            }
            PartKind::Reasoning {
                text,
                signature: Some(signature),
            } if self.own || geminis_signature(signature).is_none() => {
                to_map(json!({"type": "thinking", "thinking": text, "signature": signature}))
            }
            PartKind::Reasoning {
                text,
                signature: None,
            } if self.own => to_map(json!({"type": "thinking", "thinking": text})),
            PartKind::Reasoning { .. } => return self.none(Field::Reasoning),
            PartKind::RedactedReasoning { data }
                if !self.own && geminis_signature(data).is_some() =>
            {
                return self.none(Field::RedactedReasoning);
            }
            PartKind::RedactedReasoning { data } => {
                to_map(json!({"type": "redacted_thinking", "data": data}))
            }
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("unknown");
                self.gaps.left_out_extra(Place::Content, kind);
                return None;
            }
        };
        put(&mut block, "cache_control", part.cache_control.clone());
        self.extra(&part.extra, place, &mut block);
        Some(Value::Object(block))
    }

    /// Reports a gap where something is left out.
    fn none<T>(&mut self, field: Field) -> Option<T> {
        self.gaps.left_out(field);
        None
    }

    fn image(&mut self, source: &MediaSource) -> Option<Map<String, Value>> {
        let source = match source {
            MediaSource::Base64 { media_type, data } => {
                base64_source(media_type, "image/png", data)
            }
            other => self.source(other, Field::Image)?,
        };
        Some(to_map(json!({"type": "image", "source": source})))
    }

    fn document(&mut self, source: &MediaSource, name: Option<&str>) -> Option<Map<String, Value>> {
        const FIELD: Field = Field::Document;
        let source = match source {
            MediaSource::Base64 { media_type, data } if self.own => {
                base64_source(media_type, "application/pdf", data)
            }
            MediaSource::Base64 { media_type, data } => match media_type.as_str() {
                "" | "application/pdf" => base64_source("", "application/pdf", data),
                // Pictures are blocks of their own.
                kind if kind.starts_with("image/") => return self.image(source),
                // Text is given as text.
                kind if kind.starts_with("text/") => match decode_text(data) {
                    Some(text) => text_source(&text),
                    None => return self.none(FIELD),
                },
                _ => return self.none(FIELD),
            },
            MediaSource::Text { data, .. } => text_source(data),
            other => self.source(other, FIELD)?,
        };
        let mut block = to_map(json!({"type": "document", "source": source}));
        put(&mut block, "title", name);
        Some(block)
    }

    /// A source that is not in place.
    fn source(&mut self, source: &MediaSource, field: Field) -> Option<Value> {
        match source {
            // What stays a `data:` address is none of base64.
            MediaSource::Url(url) if self.own || !url.starts_with("data:") => {
                Some(json!({"type": "url", "url": url}))
            }
            MediaSource::FileId(id) if self.own => Some(json!({"type": "file", "file_id": id})),
            MediaSource::Foreign(value) if self.own => Some(value.clone()),
            // Files were uploaded to another provider.
            _ => self.none(field),
        }
    }

    /// Anthropic's `input` is an object. Text of the model's that is none is a gap, but the block stays: a result may answer
    /// it.
    fn tool_use(&mut self, id: &str, name: &str, arguments: &str, kind: ToolKind) -> Value {
        let input = match parse_arguments(arguments) {
            Some(input) if kind != ToolKind::Custom => input,
            // Its own calls may hold anything, as they came.
            None if self.own => serde_json::from_str(arguments).unwrap_or_default(),
            _ => {
                self.gaps.left_out(match kind {
                    ToolKind::Custom => Field::CustomToolCall,
                    ToolKind::Function | ToolKind::Foreign => Field::ToolArguments,
                });
                invalid_arguments(arguments)
            }
        };
        json!({"type": "tool_use", "id": id, "name": name, "input": input})
    }

    fn tool_result(
        &mut self,
        call_id: &str,
        parts: &[Part],
        is_error: Option<bool>,
    ) -> Map<String, Value> {
        let mut block = to_map(json!({"type": "tool_result", "tool_use_id": call_id}));
        let blocks: Vec<Value> = parts.iter().filter_map(|part| self.block(part)).collect();
        let said = (!blocks.is_empty()).then(|| content(blocks));
        put(&mut block, "content", said);
        put(&mut block, "is_error", is_error);
        block
    }
}

// === impl Turn ===

impl Turn {
    fn new(role: &'static str, blocks: Vec<Value>) -> Self {
        Self {
            role,
            blocks,
            extra: Map::new(),
            is_open: false,
        }
    }

    fn join(&mut self, more: Self) {
        self.blocks.extend(more.blocks);
        self.extra.extend(more.extra);
        self.is_open = more.is_open;
    }

    fn write(self) -> Value {
        let mut message = to_map(json!({"role": self.role, "content": content(self.blocks)}));
        message.extend(self.extra);
        Value::Object(message)
    }
}

/// Content as a text where it is nothing else, else as a list of blocks.
fn content(mut blocks: Vec<Value>) -> Value {
    match blocks.as_mut_slice() {
        [Value::Object(block)] if block.len() == 2 && block.contains_key("text") => {
            block.remove("text").unwrap_or_default()
        }
        _ => Value::Array(blocks),
    }
}

fn base64_source(media_type: &str, otherwise: &str, data: &str) -> Value {
    let media_type = if media_type.is_empty() {
        otherwise
    } else {
        media_type
    };
    json!({"type": "base64", "media_type": media_type, "data": data})
}

fn text_source(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

fn decode_text(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}
