//! From our shapes into Anthropic's: calls and whole answers.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`] by its name in that dialect (OpenAI's, as
//! a rule).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::wire::{stop_word, write_usage};
use crate::{
    Answer, AnswerForm, Call, CallForm, ChatAnswer, ChatCall, Gaps, MediaSource, Message, Part,
    PartKind, Reasoning, ReasoningEffort, ResponseFormat, Role, StopReason, Tool, ToolChoice,
    ToolKind, Unsupported, Written,
    json::put,
    openai_chat::{REASONING_FIELDS, to_bytes},
    openai_completions,
};

/// Anthropic wants a cap on tokens where OpenAI does without. This one is within what the models can give
/// (<https://docs.claude.com/en/docs/about-claude/models/overview>, read 2026-11): 4,096 up to the third generation, at least 8,192 after.
const MAX_TOKENS: u64 = 8192;
const MAX_TOKENS_OLDER: u64 = 4096;

/// What stands for OpenAI's `json_object`, which Anthropic has no switch for.
const JSON_INSTRUCTION: &str = "Answer with one JSON object and nothing else.";

// === calls ===

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::AnthropicMessages);
    let call = match call {
        Call::Chat(call) => Cow::Borrowed(&**call),
        Call::Completion(call) => Cow::Owned(openai_completions::to_chat(call, &mut gaps)?),
        Call::Embedding(_) => {
            return Err(Unsupported {
                fields: vec!["input".to_owned()],
            });
        }
        Call::Predict(_) => {
            return Err(Unsupported {
                fields: vec!["inputs".to_owned()],
            });
        }
    };
    let own = from == Dialect::AnthropicMessages;
    let body = CallWriter {
        call: &call,
        own,
        gaps: &mut gaps,
    }
    .write(form);
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in this dialect, so that what nothing models may go back into it.
    own: bool,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, form: &CallForm<'_>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", form.model);
        put(
            &mut body,
            "max_tokens",
            Some(
                call.max_tokens
                    .unwrap_or_else(|| max_tokens(form.model.unwrap_or(&call.model))),
            ),
        );
        let mut system = Vec::new();
        let messages = self.messages(&mut system);
        self.system(system, &mut body);
        body.insert("messages".to_owned(), Value::Array(messages));
        self.tools(&mut body);
        put(
            &mut body,
            "stop_sequences",
            (!call.stop.is_empty()).then(|| call.stop.clone()),
        );
        self.sampling(&mut body);
        self.output_config(form.model.unwrap_or(&call.model), &mut body);
        put(&mut body, "service_tier", self.service_tier());
        put(&mut body, "stream", call.stream.then_some(true));
        self.extra(&call.extra.fields, "", &mut body);
        if let Some(user) = &call.user {
            member(&mut body, "metadata").insert("user_id".to_owned(), json!(user));
        }
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, path: &str, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            match (self.own, into.get_mut(name), value) {
                (true, Some(Value::Object(there)), Value::Object(more)) => {
                    there.extend(more.clone())
                }
                (true, ..) => {
                    into.insert(name.clone(), value.clone());
                }
                (false, ..) => self.gaps.left_out(&format!("{path}{name}")),
            }
        }
    }

    fn sampling(&mut self, body: &mut Map<String, Value>) {
        let call = self.call;
        match call.temperature {
            // OpenAI's go up to 2.
            Some(temperature) if temperature > 1.0 && !self.own => {
                self.gaps.left_out("temperature")
            }
            temperature => put(body, "temperature", temperature),
        }
        put(body, "top_p", call.top_p);
        put(body, "top_k", call.top_k);
        for (name, is_set) in [
            (
                "frequency_penalty",
                call.frequency_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            (
                "presence_penalty",
                call.presence_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            ("seed", call.seed.is_some()),
            ("n", call.n.is_some_and(|n| n != 1)),
            ("logprobs", call.logprobs == Some(true)),
            (
                "top_logprobs",
                call.top_logprobs
                    .is_some_and(|alternatives| alternatives > 0),
            ),
        ] {
            if is_set {
                self.gaps.left_out(name);
            }
        }
    }

    fn service_tier(&mut self) -> Option<String> {
        match self.call.service_tier.as_deref()? {
            tier if self.own => Some(tier.to_owned()),
            "auto" => Some("auto".to_owned()),
            "default" => Some("standard_only".to_owned()),
            _ => {
                self.gaps.left_out("service_tier");
                None
            }
        }
    }

    /// How much to reason, and the answer's form.
    fn output_config(&mut self, model: &str, body: &mut Map<String, Value>) {
        if let Some(reasoning) = &self.call.reasoning {
            self.reasoning(reasoning, model, body);
        }
        match &self.call.response_format {
            None | Some(ResponseFormat::Text | ResponseFormat::JsonObject) => {}
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                member(body, "output_config").insert(
                    "format".to_owned(),
                    json!({"type": "json_schema", "schema": schema}),
                );
            }
            Some(ResponseFormat::Foreign(format)) if self.own => {
                member(body, "output_config").insert("format".to_owned(), format.clone());
            }
            Some(ResponseFormat::Foreign(_)) => self.gaps.left_out("response_format"),
        }
    }

    fn reasoning(&mut self, reasoning: &Reasoning, model: &str, body: &mut Map<String, Value>) {
        let enabled = if reasoning.effort == Some(ReasoningEffort::None) {
            Some(false)
        } else {
            reasoning.enabled
        };
        match (enabled, reasoning.budget_tokens) {
            (Some(false), _) => put(body, "thinking", Some(json!({"type": "disabled"}))),
            (Some(true), _) if reasoning.adaptive => {
                put(body, "thinking", Some(json!({"type": "adaptive"})))
            }
            (_, Some(budget)) => put(
                body,
                "thinking",
                Some(json!({"type": "enabled", "budget_tokens": budget})),
            ),
            (Some(true), None) => put(body, "thinking", Some(json!({"type": "enabled"}))),
            (None, None) => {}
        }
        let word = match &reasoning.effort {
            None | Some(ReasoningEffort::None) => return,
            Some(ReasoningEffort::Minimal | ReasoningEffort::Low) => "low",
            Some(ReasoningEffort::Medium) => "medium",
            Some(ReasoningEffort::High) => "high",
            Some(ReasoningEffort::Other(word)) if self.own => word,
            Some(ReasoningEffort::Other(_)) => "high",
        };
        if self.own || knows_effort(model) {
            member(body, "output_config").insert("effort".to_owned(), json!(word));
        } else {
            self.gaps.left_out("reasoning_effort");
        }
    }

    // --- messages ---

    /// Every message but the operator's, whose parts are gathered in `system`. What the same speaker says in a row is one message.
    fn messages(&mut self, system: &mut Vec<Value>) -> Vec<Value> {
        let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
        let mut has_spoken = false;
        for message in &self.call.messages {
            let role = match message.role {
                Role::System | Role::Developer => {
                    if has_spoken && !self.own {
                        self.gaps.left_out("messages.system");
                    }
                    system.extend(self.blocks(message));
                    continue;
                }
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
            };
            has_spoken = true;
            let blocks = self.blocks(message);
            if blocks.is_empty() {
                continue;
            }
            match turns.last_mut() {
                Some((last, all)) if *last == role => all.extend(blocks),
                _ => turns.push((role, blocks)),
            }
        }
        turns
            .into_iter()
            .map(|(role, blocks)| json!({"role": role, "content": content(blocks)}))
            .collect()
    }

    fn system(&self, mut system: Vec<Value>, body: &mut Map<String, Value>) {
        if self.call.response_format == Some(ResponseFormat::JsonObject) {
            system.push(json!({"type": "text", "text": JSON_INSTRUCTION}));
        }
        if !system.is_empty() {
            body.insert("system".to_owned(), content(system));
        }
    }

    fn blocks(&mut self, message: &Message) -> Vec<Value> {
        if message.name.is_some() {
            self.gaps.left_out("messages.name");
        }
        if !self.own {
            let told_as_parts = |name: &&String| !REASONING_FIELDS.contains(&name.as_str());
            for name in message.extra.keys().filter(told_as_parts) {
                self.gaps.left_out(&format!("messages.{name}"));
            }
        }
        message
            .content
            .iter()
            .filter_map(|part| self.block(part))
            .collect()
    }

    /// A block; `None` where it cannot be written, or says nothing: Anthropic refuses empty texts.
    fn block(&mut self, part: &Part) -> Option<Value> {
        let mut block = match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal { text } if text.trim().is_empty() => {
                return None;
            }
            PartKind::Text { text, citations } => {
                let mut block = to_map(json!({"type": "text", "text": text}));
                put(
                    &mut block,
                    "citations",
                    (self.own && !citations.is_empty()).then(|| citations.clone()),
                );
                block
            }
            PartKind::Refusal { text } => to_map(json!({"type": "text", "text": text})),
            PartKind::Image { source, detail } => {
                if detail.is_some() {
                    self.gaps.left_out("messages.content.image_url.detail");
                }
                to_map(
                    json!({"type": "image", "source": self.source(source, "image/png", "messages.content.image_url")?}),
                )
            }
            PartKind::Audio { .. } => {
                self.gaps.left_out("messages.content.input_audio");
                return None;
            }
            PartKind::Document { source, name } => {
                let mut block = to_map(
                    json!({"type": "document", "source": self.source(source, "application/pdf", "messages.content.file")?}),
                );
                put(&mut block, "title", name.clone());
                block
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => self.tool_use(id, name, arguments, *kind)?,
            PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } => self.tool_result(call_id, content, *is_error),
            PartKind::Reasoning {
                text,
                signature: Some(signature),
            } => to_map(json!({"type": "thinking", "thinking": text, "signature": signature})),
            PartKind::Reasoning {
                text,
                signature: None,
            } if self.own => to_map(json!({"type": "thinking", "thinking": text})),
            PartKind::Reasoning { .. } => {
                self.gaps.left_out("messages.reasoning_content");
                return None;
            }
            PartKind::RedactedReasoning { data } => {
                to_map(json!({"type": "redacted_thinking", "data": data}))
            }
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => {
                let kind = value
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown");
                self.gaps.left_out(&format!("messages.content.{kind}"));
                return None;
            }
        };
        if self.own {
            put(&mut block, "cache_control", part.cache_control.clone());
        }
        self.extra(&part.extra, "messages.content.", &mut block);
        Some(Value::Object(block))
    }

    fn source(&mut self, source: &MediaSource, otherwise: &str, field: &str) -> Option<Value> {
        Some(match source {
            MediaSource::Base64 { media_type, data } => {
                let media_type = if media_type.is_empty() {
                    otherwise
                } else {
                    media_type
                };
                json!({"type": "base64", "media_type": media_type, "data": data})
            }
            MediaSource::Text { media_type, data } => {
                let media_type = if media_type.is_empty() {
                    "text/plain"
                } else {
                    media_type
                };
                json!({"type": "text", "media_type": media_type, "data": data})
            }
            MediaSource::Url(url) => json!({"type": "url", "url": url}),
            MediaSource::FileId(id) if self.own => json!({"type": "file", "file_id": id}),
            MediaSource::Foreign(value) if self.own => value.clone(),
            // A file that was uploaded to another provider.
            MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(field);
                return None;
            }
        })
    }

    /// Anthropic's `input` is an object; a model's text that is none cannot be told.
    fn tool_use(
        &mut self,
        id: &str,
        name: &str,
        arguments: &str,
        kind: ToolKind,
    ) -> Option<Map<String, Value>> {
        if kind == ToolKind::Custom {
            self.gaps.left_out("messages.tool_calls.custom");
            return None;
        }
        let input = match parse_arguments(arguments) {
            Some(input) => input,
            None => {
                self.gaps.left_out("messages.tool_calls.function.arguments");
                json!({})
            }
        };
        Some(to_map(
            json!({"type": "tool_use", "id": id, "name": name, "input": input}),
        ))
    }

    fn tool_result(
        &mut self,
        call_id: &str,
        parts: &[Part],
        is_error: Option<bool>,
    ) -> Map<String, Value> {
        let mut block = to_map(json!({"type": "tool_result", "tool_use_id": call_id}));
        let blocks: Vec<Value> = parts.iter().filter_map(|part| self.block(part)).collect();
        put(
            &mut block,
            "content",
            (!blocks.is_empty()).then(|| content(blocks)),
        );
        put(&mut block, "is_error", is_error);
        block
    }

    // --- tools ---

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let tools: Vec<Value> = self
            .call
            .tools
            .iter()
            .filter_map(|tool| self.tool(tool))
            .collect();
        // A choice among no tools is refused.
        if tools.is_empty() && !self.own {
            return;
        }
        put(body, "tools", (!tools.is_empty()).then_some(tools));
        let mut choice = match &self.call.tool_choice {
            None => Map::new(),
            Some(ToolChoice::Auto) => to_map(json!({"type": "auto"})),
            Some(ToolChoice::None) => to_map(json!({"type": "none"})),
            Some(ToolChoice::Required) => to_map(json!({"type": "any"})),
            Some(ToolChoice::Function(name)) => to_map(json!({"type": "tool", "name": name})),
            Some(ToolChoice::Foreign(value)) if self.own => to_map(value.clone()),
            Some(ToolChoice::Foreign(_)) => {
                self.gaps.left_out("tool_choice");
                Map::new()
            }
        };
        // Several at once is what Anthropic does anyway.
        let parallel = self
            .call
            .parallel_tool_calls
            .filter(|parallel| self.own || !parallel);
        if let (Some(parallel), true) = (parallel, self.call.tool_choice != Some(ToolChoice::None))
        {
            choice.entry("type").or_insert_with(|| json!("auto"));
            choice.insert("disable_parallel_tool_use".to_owned(), json!(!parallel));
        }
        if !choice.is_empty() {
            body.insert("tool_choice".to_owned(), Value::Object(choice));
        }
    }

    fn tool(&mut self, tool: &Tool) -> Option<Value> {
        match tool.kind {
            ToolKind::Function => {}
            ToolKind::Foreign if self.own => return Some(Value::Object(tool.extra.clone())),
            ToolKind::Foreign => {
                let kind = tool
                    .extra
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or(&tool.name);
                self.gaps.left_out(&format!("tools.{kind}"));
                return None;
            }
            ToolKind::Custom => {
                self.gaps.left_out("tools.custom");
                return None;
            }
        }
        let mut written = Map::new();
        put(&mut written, "name", Some(tool.name.clone()));
        put(&mut written, "description", tool.description.clone());
        written.insert("input_schema".to_owned(), self.input_schema(tool));
        put(
            &mut written,
            "strict",
            tool.strict.filter(|strict| self.own || *strict),
        );
        if self.own {
            put(&mut written, "cache_control", tool.cache_control.clone());
        }
        self.extra(&tool.extra, "tools.", &mut written);
        Some(Value::Object(written))
    }

    /// Anthropic wants a schema, and wants it to say that it is of an object.
    fn input_schema(&self, tool: &Tool) -> Value {
        let mut schema = tool
            .parameters
            .clone()
            .unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        if let (false, Value::Object(members)) = (self.own, &mut schema) {
            members.entry("type").or_insert_with(|| json!("object"));
        }
        schema
    }
}

fn max_tokens(model: &str) -> u64 {
    let older = [
        "claude-2",
        "claude-instant",
        "claude-3-opus",
        "claude-3-sonnet",
        "claude-3-haiku",
    ];
    if older.iter().any(|name| model.contains(name)) {
        MAX_TOKENS_OLDER
    } else {
        MAX_TOKENS
    }
}

/// Whether a model takes `effort`: Opus from 4.5, the others from 4.6 (<https://docs.claude.com/en/docs/build-with-claude/effort>,
/// read 2026-11). Models that are not named so are taken for newer ones.
fn knows_effort(model: &str) -> bool {
    let older = [
        "claude-2",
        "claude-instant",
        "claude-3",
        "sonnet-4-0",
        "sonnet-4-2",
        "sonnet-4-5",
        "opus-4-0",
        "opus-4-1",
        "opus-4-2",
        "haiku-4-5",
    ];
    !older.iter().any(|name| model.contains(name)) && !model.ends_with("-4")
}

/// Arguments as the object that they are; `None` where they are none.
fn parse_arguments(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
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

/// A member of a body that is an object, made where it is not there.
fn member<'a>(body: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = body
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value
        .as_object_mut()
        .expect("it was made an object just now")
}

fn to_map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value {
        map
    } else {
        Map::new()
    }
}

// === answers ===

/// Writes a whole answer for a client. Anthropic's clients know one choice only.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => to_bytes(&Value::Object(write_message(answer, form))),
        Answer::Embedding(_) => to_bytes(&json!({})),
        Answer::Predict(value) => to_bytes(value),
    }
}

fn write_message(answer: &ChatAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let own = answer.extra.dialect == Dialect::AnthropicMessages;
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| choice.content.as_slice());
    let blocks: Vec<Value> = parts
        .iter()
        .filter_map(|part| answer_block(part, own))
        .collect();
    let mut message = Map::new();
    put(
        &mut message,
        "id",
        Some(message_id(&answer.id, form.fallback_id)),
    );
    put(&mut message, "type", Some("message"));
    put(&mut message, "role", Some("assistant"));
    put(
        &mut message,
        "model",
        Some(if answer.model.is_empty() {
            form.fallback_model.to_owned()
        } else {
            answer.model.clone()
        }),
    );
    message.insert("content".to_owned(), Value::Array(blocks));
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let refused = parts
        .iter()
        .any(|part| matches!(part.kind, PartKind::Refusal { .. }));
    let reason = match stop.map(|stop| &stop.reason) {
        Some(StopReason::EndTurn) | None if refused => "refusal",
        Some(reason) => stop_word(reason, own),
        None if parts
            .iter()
            .any(|part| matches!(part.kind, PartKind::ToolCall { .. })) =>
        {
            "tool_use"
        }
        None => "end_turn",
    };
    put(&mut message, "stop_reason", Some(reason));
    message.insert(
        "stop_sequence".to_owned(),
        json!(stop.and_then(|stop| stop.sequence.clone())),
    );
    message.insert(
        "usage".to_owned(),
        write_usage(&answer.usage.unwrap_or_default()),
    );
    if own {
        message.extend(answer.extra.fields.clone());
    }
    message
}

/// The id as Anthropic's are: clients tell them by their beginning.
pub(super) fn message_id(id: &str, otherwise: &str) -> String {
    match id {
        "" => format!("msg_{otherwise}"),
        id => id.to_owned(),
    }
}

fn answer_block(part: &Part, own: bool) -> Option<Value> {
    let mut block = match &part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal { text } if text.is_empty() => return None,
        PartKind::Text { text, citations } => {
            let mut block = to_map(json!({"type": "text", "text": text}));
            put(
                &mut block,
                "citations",
                (!citations.is_empty()).then(|| citations.clone()),
            );
            block
        }
        PartKind::Refusal { text } => to_map(json!({"type": "text", "text": text})),
        PartKind::Reasoning { text, signature } => to_map(
            json!({"type": "thinking", "thinking": text, "signature": signature.as_deref().unwrap_or_default()}),
        ),
        PartKind::RedactedReasoning { data } => {
            to_map(json!({"type": "redacted_thinking", "data": data}))
        }
        PartKind::ToolCall {
            id,
            name,
            arguments,
            ..
        } => to_map(
            json!({"type": "tool_use", "id": id, "name": name, "input": answer_input(arguments)}),
        ),
        PartKind::Foreign { value } if own => return Some(value.clone()),
        PartKind::Image { .. }
        | PartKind::Audio { .. }
        | PartKind::Document { .. }
        | PartKind::ToolResult { .. }
        | PartKind::Foreign { .. } => return None,
    };
    if own {
        block.extend(part.extra.clone());
    }
    Some(Value::Object(block))
}

/// The arguments as an object. What the model wrote and is none goes whole under `arguments`, so that nothing of it is lost.
fn answer_input(arguments: &str) -> Value {
    parse_arguments(arguments).unwrap_or_else(|| json!({"arguments": arguments}))
}
