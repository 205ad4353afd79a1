//! From our shapes into Ollama's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::{
    read::is_made_up,
    wire::{Sampling, is_ollamas, write_format, write_image, write_options, write_think},
};
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, MediaSource, Message, Part, PartKind, Role, Tool,
    ToolChoice, ToolKind, Unsupported, Written,
    anthropic_messages::{invalid_arguments, parse_arguments},
    fields::Place,
    json::put,
    openai_chat::{REASONING_FIELDS, to_bytes},
    openai_completions,
};

/// Fields of Ollama's completions that have no place in a chat.
const ONLY_COMPLETIONS: [&str; 6] = ["raw", "template", "context", "width", "height", "steps"];

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::OllamaChat);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let mut extra = call.extra.fields.clone();
    if from == Dialect::OllamaGenerate {
        extra.retain(|name, _| {
            let has_place = !ONLY_COMPLETIONS.contains(&name.as_str());
            if !has_place {
                gaps.left_out_extra(Place::Body, name);
            }
            has_place
        });
    }
    let body = CallWriter {
        call: &call,
        own: is_ollamas(from),
        gaps: &mut gaps,
    }
    .write(form.model, &extra);
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in one of Ollama's languages, so that what nothing models goes back into it.
    own: bool,
    gaps: &'a mut Gaps,
}

/// What Ollama has separate fields for.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    thinking: Vec<String>,
    images: Vec<String>,
    tool_calls: Vec<Value>,
}

impl CallWriter<'_> {
    fn write(&mut self, model: Option<&str>, extra: &Map<String, Value>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", model);
        put(&mut body, "messages", Some(self.messages()));
        put(&mut body, "tools", self.tools());
        let format = write_format(call.response_format.as_ref(), self.own, self.gaps);
        put(&mut body, "format", format);
        let think = write_think(call.reasoning.as_ref(), model, self.own, self.gaps);
        put(&mut body, "think", think);
        put(&mut body, "logprobs", call.logprobs);
        put(&mut body, "top_logprobs", call.top_logprobs);
        // Left out, it would mean that the answer is to be streamed.
        put(&mut body, "stream", Some(call.stream));
        write_options(
            Sampling::of_chat(call),
            extra,
            self.own,
            &mut body,
            self.gaps,
        );
        self.no_place();
        body
    }

    /// Fields of our form that have no place here.
    fn no_place(&mut self) {
        let call = self.call;
        for (field, is_set) in [
            (Field::N, call.n.is_some_and(|n| n != 1)),
            (
                Field::ParallelToolCalls,
                call.parallel_tool_calls == Some(false),
            ),
            (Field::User, call.user.is_some()),
            (Field::ServiceTier, call.service_tier.is_some()),
        ] {
            if is_set {
                self.gaps.left_out(field);
            }
        }
    }

    // --- messages ---

    fn messages(&mut self) -> Vec<Value> {
        let calls = self
            .call
            .messages
            .iter()
            .flat_map(|message| &message.content);
        let names: HashMap<&str, &str> = calls
            .filter_map(|part| match &part.kind {
                PartKind::ToolCall { id, name, .. } => Some((id.as_str(), name.as_str())),
                _ => None,
            })
            .collect();
        let mut written = Vec::new();
        for message in &self.call.messages {
            match message.role {
                Role::Tool => self.tool_results(message, &names, &mut written),
                Role::System | Role::Developer => written.push(self.plain("system", message)),
                Role::User => written.push(self.plain("user", message)),
                Role::Assistant => written.push(self.plain("assistant", message)),
            }
        }
        written
    }

    fn plain(&mut self, role: &str, message: &Message) -> Value {
        if message.name.is_some() {
            self.gaps.left_out(Field::SpeakerName);
        }
        let said = self.said(&message.content);
        let mut written = said.write(role);
        self.extra(&message.extra, &mut written);
        Value::Object(written)
    }

    fn tool_results(
        &mut self,
        message: &Message,
        names: &HashMap<&str, &str>,
        written: &mut Vec<Value>,
    ) {
        for part in &message.content {
            let PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } = &part.kind
            else {
                self.gaps.left_out(Field::MisplacedPart);
                continue;
            };
            if *is_error == Some(true) {
                self.gaps.left_out(Field::IsError);
            }
            self.part_extra(part, Place::ToolResult);
            let mut result = self.said(content).write("tool");
            let known = || names.get(call_id.as_str()).copied();
            let name = message
                .name
                .as_deref()
                .or_else(|| known().filter(|_| !self.own));
            put(&mut result, "tool_name", name);
            let id = Some(call_id.as_str()).filter(|id| !(self.own && is_made_up(id)));
            put(&mut result, "tool_call_id", id);
            self.extra(&message.extra, &mut result);
            written.push(Value::Object(result));
        }
    }

    /// Fields of a message that nothing models. Reasoning is among the parts as well.
    fn extra(&mut self, extra: &Map<String, Value>, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            if self.own {
                into.insert(name.clone(), value.clone());
            } else if !REASONING_FIELDS.contains(&name.as_str()) {
                self.gaps.left_out_extra(Place::Message, name);
            }
        }
    }

    /// What is said, by the fields that Ollama has for it: the order of texts and pictures is lost.
    fn said(&mut self, parts: &[Part]) -> Said {
        let mut said = Said::default();
        for part in parts {
            let place = match &part.kind {
                PartKind::ToolCall { .. } => Place::ToolCall,
                PartKind::Document { .. } => Place::Document,
                _ => Place::Content,
            };
            if place != Place::ToolCall {
                self.part_extra(part, place);
            }
            self.part(part, &mut said);
        }
        said
    }

    fn part(&mut self, part: &Part, said: &mut Said) {
        match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                said.texts.push(text.clone());
            }
            PartKind::Refusal { text } => said.texts.push(text.clone()),
            PartKind::Image { source, detail } => {
                if detail.is_some() {
                    self.gaps.left_out(Field::ImageDetail);
                }
                said.images.extend(write_image(source, self.gaps));
            }
            PartKind::Document { source, name } => self.document(source, name.as_deref(), said),
            PartKind::Audio { .. } => self.gaps.left_out(Field::Audio),
            PartKind::ToolCall { .. } => said.tool_calls.push(self.tool_call(part)),
            PartKind::ToolResult { .. } => self.gaps.left_out(Field::MisplacedPart),
            PartKind::Reasoning { text, signature } => {
                if signature.is_some() {
                    self.gaps.left_out(Field::Reasoning);
                }
                said.thinking.push(text.clone());
            }
            PartKind::RedactedReasoning { .. } => self.gaps.left_out(Field::RedactedReasoning),
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("unknown");
                self.gaps.left_out_extra(Place::Content, kind);
            }
        }
    }

    /// Text needs no file around it; other documents have no place.
    fn document(&mut self, source: &MediaSource, name: Option<&str>, said: &mut Said) {
        match source {
            MediaSource::Text { data, .. } => said.texts.push(match name {
                Some(name) => format!("{name}\n\n{data}"),
                None => data.clone(),
            }),
            MediaSource::Base64 { media_type, .. } if media_type.starts_with("image/") => {
                said.images.extend(write_image(source, self.gaps));
            }
            _ => self.gaps.left_out(Field::Document),
        }
    }

    fn tool_call(&mut self, part: &Part) -> Value {
        let PartKind::ToolCall {
            id,
            name,
            arguments,
            kind,
        } = &part.kind
        else {
            return Value::Null;
        };
        let arguments = match parse_arguments(arguments) {
            Some(object) if *kind != ToolKind::Custom => object,
            None if self.own => serde_json::from_str(arguments).unwrap_or_default(),
            _ => {
                self.gaps.left_out(match kind {
                    ToolKind::Custom => Field::CustomToolCall,
                    ToolKind::Function | ToolKind::Foreign => Field::ToolArguments,
                });
                invalid_arguments(arguments)
            }
        };
        let mut written = Map::new();
        let id = Some(id.as_str()).filter(|id| !(self.own && is_made_up(id)));
        put(&mut written, "id", id);
        put(
            &mut written,
            "function",
            Some(json!({"name": name, "arguments": arguments})),
        );
        if self.own {
            written.extend(part.extra.clone());
        } else {
            self.part_extra(part, Place::ToolCall);
        }
        Value::Object(written)
    }

    /// Fields of a piece that only other dialects have.
    fn part_extra(&mut self, part: &Part, place: Place) {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        for name in part.extra.keys() {
            self.gaps.left_out_extra(place, name);
        }
    }

    // --- tools ---

    fn tools(&mut self) -> Option<Vec<Value>> {
        match &self.call.tool_choice {
            None | Some(ToolChoice::Auto) => {}
            // What is not offered is not called.
            Some(ToolChoice::None) => return None,
            Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Foreign(_)) => {
                self.gaps.left_out(Field::ToolChoice);
            }
        }
        let tools = self.call.tools.iter();
        let tools: Vec<Value> = tools.filter_map(|tool| self.tool(tool)).collect();
        (!tools.is_empty()).then_some(tools)
    }

    fn tool(&mut self, tool: &Tool) -> Option<Value> {
        match tool.kind {
            ToolKind::Function => {}
            ToolKind::Foreign if self.own => return Some(Value::Object(tool.extra.clone())),
            ToolKind::Foreign => {
                let kind = tool.extra.get("type").and_then(Value::as_str);
                let kind = kind.unwrap_or(&tool.name);
                self.gaps.left_out_extra(Place::Tool, kind);
                return None;
            }
            ToolKind::Custom => {
                self.gaps.left_out(Field::CustomTool);
                return None;
            }
        }
        let mut function = Map::new();
        put(&mut function, "name", Some(tool.name.clone()));
        put(&mut function, "description", tool.description.clone());
        put(&mut function, "parameters", self.parameters(tool));
        if self.own {
            put(&mut function, "strict", tool.strict);
        } else if tool.strict == Some(true) {
            self.gaps.left_out(Field::ToolStrict);
        }
        if tool.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        let mut written = Map::new();
        put(&mut written, "type", Some("function"));
        for (name, value) in &tool.extra {
            match value {
                Value::Object(more) if self.own && name == "function" => {
                    function.extend(more.clone());
                }
                _ if self.own => put(&mut written, name, Some(value.clone())),
                _ => self.gaps.left_out_extra(Place::Tool, name),
            }
        }
        put(&mut written, "function", Some(function));
        Some(Value::Object(written))
    }

    /// Ollama wants a schema, and wants it to say that it is one of an object.
    fn parameters(&self, tool: &Tool) -> Option<Value> {
        let mut schema = tool.parameters.clone();
        if !self.own {
            let schema = schema.get_or_insert_with(|| json!({"properties": {}}));
            if let Value::Object(members) = schema {
                members.entry("type").or_insert_with(|| json!("object"));
            }
        }
        schema
    }
}

// === impl Said ===

impl Said {
    fn write(self, role: &str) -> Map<String, Value> {
        fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
            (!list.is_empty()).then_some(list)
        }
        let mut message = Map::new();
        put(&mut message, "role", Some(role));
        put(&mut message, "content", Some(self.texts.join("\n")));
        let thinking = some(self.thinking).map(|texts| texts.join("\n"));
        put(&mut message, "thinking", thinking);
        put(&mut message, "images", some(self.images));
        put(&mut message, "tool_calls", some(self.tool_calls));
        message
    }
}
