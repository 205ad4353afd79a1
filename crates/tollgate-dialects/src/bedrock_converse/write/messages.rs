//! The conversation: who speaks. Speakers take turns, so that what one says in a row is one message.

use serde_json::{Map, Value, json};

use super::CallWriter;
use crate::{
    Field, Message, ResponseFormat, Role, anthropic_messages::JSON_INSTRUCTION, fields::Place,
    json::put, openai_chat::REASONING_FIELDS,
};

/// What one speaker says in a row.
struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
    extra: Map<String, Value>,
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
            system.push(json!({"text": JSON_INSTRUCTION}));
        }
        // Somebody has to speak; with OpenAI the operator may be the only one.
        if !self.own && turns.is_empty() && !system.is_empty() {
            turns.push(Turn {
                role: "user",
                blocks: std::mem::take(&mut system),
                extra: Map::new(),
            });
        }
        put(body, "system", (!system.is_empty()).then_some(system));
        let messages: Vec<Value> = turns.into_iter().map(Turn::write).collect();
        put(body, "messages", Some(messages));
    }

    fn message(&mut self, message: &Message, system: &mut Vec<Value>, turns: &mut Vec<Turn>) {
        let is_operator = matches!(message.role, Role::System | Role::Developer);
        let blocks = self.blocks(message);
        let role = match message.role {
            _ if is_operator && turns.is_empty() => return system.extend(blocks),
            // Its own calls say so to models that take it.
            Role::System | Role::Developer if self.own => "system",
            Role::System | Role::Developer => {
                self.gaps.left_out(Field::SystemMidway);
                return system.extend(blocks);
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        if blocks.is_empty() && !self.own {
            return;
        }
        let extra = if self.own {
            message.extra.clone()
        } else {
            Map::new()
        };
        match turns.last_mut() {
            Some(last) if last.role == role => {
                last.blocks.extend(blocks);
                last.extra.extend(extra);
            }
            _ => turns.push(Turn {
                role,
                blocks,
                extra,
            }),
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
        let mut blocks = Vec::new();
        for part in &message.content {
            if let Some(block) = self.block(part) {
                blocks.push(block);
                blocks.extend(self.cache_point(part.cache_control.as_ref()));
            }
        }
        blocks
    }

    /// What Anthropic says at a block stands behind it here.
    pub(super) fn cache_point(&mut self, control: Option<&Value>) -> Option<Value> {
        let control = control?;
        if !self.own && !self.model.caches() {
            self.gaps.left_out(Field::CacheControl);
            return None;
        }
        let mut point = Map::new();
        put(&mut point, "type", Some("default"));
        // Five minutes are the default, and not every model knows the field.
        let ttl = control.get("ttl").filter(|ttl| self.own || **ttl == "1h");
        put(&mut point, "ttl", ttl.cloned());
        Some(json!({"cachePoint": point}))
    }
}

impl Turn {
    fn write(self) -> Value {
        let mut message = Map::new();
        put(&mut message, "role", Some(self.role));
        put(&mut message, "content", Some(self.blocks));
        message.extend(self.extra);
        Value::Object(message)
    }
}
