//! From our shapes into OpenAI's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Accent, Dialect, Otherwise, ReasoningBack, StreamUsage};

use super::{
    accent,
    answer::{Said, some, tool_call},
    read::REASONING_FIELDS,
};
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, MediaSource, Message, Part, PartKind, Reasoning,
    ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice, ToolKind, Unsupported, Written,
    fields::Place,
    json::put,
    openai_completions,
    openai_responses::{chat_custom_format, chat_tool_choice},
};

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    write_call_in(&Accent::NONE, call, form)
}

/// Writes a call for a provider with an accent.
pub(crate) fn write_call_in(
    accent: &Accent,
    call: &Call,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::OpenaiChat);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    // Chat and text completions have their other fields in common.
    let own = matches!(from, Dialect::OpenaiChat | Dialect::OpenaiCompletions);
    let mut body = CallWriter {
        call: &call,
        own,
        is_responses: from == Dialect::OpenaiResponses,
        accent,
        gaps: &mut gaps,
    }
    .write(form);
    accent::apply(accent, &call, &mut body, &mut gaps);
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in this dialect, so that what nothing models may go back into it.
    own: bool,
    /// It came in OpenAI's other dialect, which has much in common with this one.
    is_responses: bool,
    accent: &'a Accent,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, form: &CallForm<'_>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", form.model);
        body.insert("messages".to_owned(), Value::Array(self.messages()));
        self.tools(&mut body);
        put(&mut body, max_tokens_name(form.model), call.max_tokens);
        put(&mut body, "temperature", call.temperature);
        put(&mut body, "top_p", call.top_p);
        if self.own || self.accent.of("top_k") == Some(Otherwise::Taken) {
            put(&mut body, "top_k", call.top_k);
        } else if call.top_k.is_some() {
            self.gaps.left_out(Field::TopK);
        }
        put(&mut body, "frequency_penalty", call.frequency_penalty);
        put(&mut body, "presence_penalty", call.presence_penalty);
        put(&mut body, "seed", call.seed);
        put(
            &mut body,
            "stop",
            (!call.stop.is_empty()).then(|| call.stop.clone()),
        );
        put(&mut body, "n", call.n);
        put(&mut body, "logprobs", call.logprobs);
        put(&mut body, "top_logprobs", call.top_logprobs);
        put(&mut body, "response_format", self.response_format());
        put(&mut body, "reasoning_effort", self.reasoning_effort());
        put(&mut body, "user", call.user.clone());
        put(&mut body, "service_tier", self.service_tier());
        self.extra(&call.extra.fields, Place::Body, &mut body);
        let asks_usage = form.stream_usage == StreamUsage::Ask || self.own && call.include_usage;
        write_stream_options(call.stream, asks_usage, &mut body);
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            if self.own {
                into.insert(name.clone(), value.clone());
            } else if !(self.is_responses && name == "store" && *value == json!(false)) {
                self.gaps.left_out_extra(place, name);
            }
        }
    }

    fn cache_control(&mut self, cache_control: Option<&Value>, into: &mut Map<String, Value>) {
        match cache_control {
            Some(value) if self.own => put(into, "cache_control", Some(value.clone())),
            Some(_) => self.gaps.left_out(Field::CacheControl),
            None => {}
        }
    }

    fn messages(&mut self) -> Vec<Value> {
        let mut written = Vec::new();
        // Pictures and documents that tools gave. Tool messages hold text only, and all of them have to follow the call
        // directly, so that the rest comes with the user's next message.
        let mut pending = Vec::new();
        // A model that calls tools goes on with what it was asked last.
        let mut messages = self.call.messages.iter();
        let asked_last = messages.rposition(|message| message.role == Role::User);
        for (index, message) in self.call.messages.iter().enumerate() {
            let goes_on = asked_last.is_none_or(|asked| index > asked);
            match message.role {
                Role::Tool => self.tool_results(message, &mut written, &mut pending),
                Role::User => {
                    let mut content = std::mem::take(&mut pending);
                    content.extend(self.content(&message.content));
                    written.push(self.message("user", message, to_content(content)));
                }
                Role::System | Role::Developer | Role::Assistant => {
                    flush(&mut pending, &mut written);
                    written.push(match message.role {
                        Role::Assistant => self.assistant(message, goes_on),
                        // Newer models alone know the word, and take the older one.
                        Role::Developer if self.own => self.plain("developer", message),
                        _ => self.plain("system", message),
                    });
                }
            }
        }
        flush(&mut pending, &mut written);
        written
    }

    fn plain(&mut self, role: &str, message: &Message) -> Value {
        let content = self.content(&message.content);
        self.message(role, message, to_content(content))
    }

    fn message(&mut self, role: &str, message: &Message, content: Value) -> Value {
        let mut written = Map::new();
        put(&mut written, "role", Some(role));
        // That of a tool is known by the call that it answers, and not every provider takes it there.
        let name = message.name.as_ref();
        put(
            &mut written,
            "name",
            name.filter(|_| self.own || message.role != Role::Tool)
                .cloned(),
        );
        written.insert("content".to_owned(), content);
        self.extra(&message.extra, Place::Message, &mut written);
        Value::Object(written)
    }

    /// `goes_on`: it answers what was asked last.
    fn assistant(&mut self, message: &Message, goes_on: bool) -> Value {
        let as_it_came = self.own
            && REASONING_FIELDS
                .iter()
                .any(|name| message.extra.contains_key(*name));
        let mut content = Vec::new();
        let mut refusal = None;
        let mut tool_calls = Vec::new();
        let mut thought = Said::default();
        for part in &message.content {
            match &part.kind {
                PartKind::ToolCall { .. } => tool_calls.push(self.tool_call(part)),
                PartKind::Refusal { text } => refusal = Some(text.clone()),
                PartKind::Reasoning { .. } | PartKind::RedactedReasoning { .. } if as_it_came => {}
                PartKind::Reasoning { .. } | PartKind::RedactedReasoning { .. } => {
                    let field = match &part.kind {
                        PartKind::Reasoning { .. } => Field::Reasoning,
                        _ => Field::RedactedReasoning,
                    };
                    match (self.accent.reasoning, &part.kind) {
                        (ReasoningBack::Content, PartKind::Reasoning { .. }) if goes_on => {
                            thought.add(part, self.own);
                        }
                        (ReasoningBack::Details, _) => thought.add(part, self.own),
                        (ReasoningBack::LeftOut | ReasoningBack::Content, _) => {
                            self.gaps.left_out(field);
                        }
                    }
                }
                _ => content.extend(self.part(part)),
            }
        }
        let says_nothing = content.is_empty() && (!tool_calls.is_empty() || refusal.is_some());
        let content = if says_nothing {
            Value::Null
        } else {
            to_content(content)
        };
        let Value::Object(mut written) = self.message("assistant", message, content) else {
            return Value::Null;
        };
        if let Some(Value::Array(foreign)) = written.remove("tool_calls") {
            tool_calls.extend(foreign);
        }
        put(&mut written, "refusal", refusal);
        match self.accent.reasoning {
            ReasoningBack::LeftOut => {}
            ReasoningBack::Content => put(&mut written, "reasoning_content", thought.reasoning),
            ReasoningBack::Details => {
                let details = some(thought.reasoning_details);
                put(&mut written, "reasoning_details", details);
            }
        }
        put(&mut written, "tool_calls", some(tool_calls));
        Value::Object(written)
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
        let mut written = tool_call(id, name, arguments, *kind);
        self.cache_control(part.cache_control.as_ref(), &mut written);
        self.extra(&part.extra, Place::ToolCall, &mut written);
        Value::Object(written)
    }

    fn tool_results(
        &mut self,
        message: &Message,
        written: &mut Vec<Value>,
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
            let mut ignored = Map::new();
            self.cache_control(part.cache_control.as_ref(), &mut ignored);
            self.extra(&part.extra, Place::ToolResult, &mut ignored);
            let content = self.content(content);
            let (texts, media) = content
                .into_iter()
                .partition(|part| self.own || part["type"] == "text");
            pending.extend::<Vec<Value>>(media);
            let Value::Object(mut result) = self.message("tool", message, to_content(texts)) else {
                continue;
            };
            put(&mut result, "tool_call_id", Some(call_id.clone()));
            written.push(Value::Object(result));
        }
    }

    fn content(&mut self, parts: &[Part]) -> Vec<Value> {
        parts.iter().filter_map(|part| self.part(part)).collect()
    }

    /// A part of a message's content; `None` where it cannot be written.
    fn part(&mut self, part: &Part) -> Option<Value> {
        let mut written = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                text_part(text)
            }
            PartKind::Refusal { text } => to_map(json!({"type": "refusal", "refusal": text})),
            PartKind::Image { source, detail } => self.image(source, detail.as_deref())?,
            PartKind::Audio { data, format } => to_map(
                json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}),
            ),
            PartKind::Document { source, name } => self.document(source, name.as_deref())?,
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => {
                let kind = value
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown");
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
        self.cache_control(part.cache_control.as_ref(), &mut written);
        let place = if matches!(part.kind, PartKind::Document { .. }) {
            Place::Document
        } else {
            Place::Content
        };
        self.extra(&part.extra, place, &mut written);
        Some(Value::Object(written))
    }

    fn image(&mut self, source: &MediaSource, detail: Option<&str>) -> Option<Map<String, Value>> {
        let url = match source {
            MediaSource::Base64 { media_type, data } => data_url(media_type, "image/png", data),
            MediaSource::Url(url) => url.clone(),
            MediaSource::Text { .. } | MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(Field::Image);
                return None;
            }
        };
        let mut image = to_map(json!({"url": url}));
        put(&mut image, "detail", detail);
        Some(to_map(json!({"type": "image_url", "image_url": image})))
    }

    fn document(&mut self, source: &MediaSource, name: Option<&str>) -> Option<Map<String, Value>> {
        let file = match source {
            MediaSource::Base64 { media_type, data } if media_type.is_empty() => {
                json!({"filename": name, "file_data": data})
            }
            MediaSource::Base64 { media_type, data } => {
                // OpenAI wants a name with the data.
                json!({"filename": name.unwrap_or("document.pdf"), "file_data": data_url(media_type, "application/pdf", data)})
            }
            // Text needs no file around it.
            MediaSource::Text { data, .. } => {
                let text = name.map_or_else(|| data.clone(), |name| format!("{name}\n\n{data}"));
                return Some(text_part(&text));
            }
            MediaSource::FileId(id) if self.own || self.is_responses => {
                json!({"filename": name, "file_id": id})
            }
            // OpenAI takes no addresses; some providers of its dialect do.
            MediaSource::Url(url) if self.own => json!({"filename": name, "file_data": url}),
            MediaSource::FileId(_) | MediaSource::Url(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(Field::Document);
                return None;
            }
        };
        let mut file = to_map(file);
        file.retain(|_, value| !value.is_null());
        Some(to_map(json!({"type": "file", "file": file})))
    }

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
        put(body, "tools", some(tools));
        put(body, "tool_choice", self.tool_choice());
        put(body, "parallel_tool_calls", self.call.parallel_tool_calls);
    }

    fn tool(&mut self, tool: &Tool) -> Option<Value> {
        let member = match tool.kind {
            ToolKind::Function => "function",
            ToolKind::Custom => "custom",
            ToolKind::Foreign if self.own => return Some(Value::Object(tool.extra.clone())),
            ToolKind::Foreign => {
                let kind = tool
                    .extra
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or(&tool.name);
                self.gaps.left_out_extra(Place::Tool, kind);
                return None;
            }
        };
        let mut inner = Map::new();
        put(&mut inner, "name", Some(tool.name.clone()));
        put(&mut inner, "description", tool.description.clone());
        put(&mut inner, "parameters", tool.parameters.clone());
        put(&mut inner, "strict", tool.strict);
        let mut written = to_map(json!({"type": member}));
        self.cache_control(tool.cache_control.as_ref(), &mut written);
        let mut extra = tool.extra.clone();
        if self.is_responses && tool.kind == ToolKind::Custom {
            let format = extra.shift_remove("format");
            put(
                &mut inner,
                "format",
                format.as_ref().map(chat_custom_format),
            );
        }
        self.extra(&extra, Place::Tool, &mut written);
        if let Some(Value::Object(rest)) = written.remove(member) {
            inner.extend(rest);
        }
        written.insert(member.to_owned(), Value::Object(inner));
        Some(Value::Object(written))
    }

    fn tool_choice(&mut self) -> Option<Value> {
        Some(match self.call.tool_choice.as_ref()? {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Function(name) => json!({"type": "function", "function": {"name": name}}),
            ToolChoice::Foreign(value) if self.own => value.clone(),
            ToolChoice::Foreign(value) => {
                let choice = self.is_responses.then(|| chat_tool_choice(value)).flatten();
                if choice.is_none() {
                    self.gaps.left_out(Field::ToolChoice);
                }
                return choice;
            }
        })
    }

    fn response_format(&mut self) -> Option<Value> {
        Some(match self.call.response_format.as_ref()? {
            ResponseFormat::Text => json!({"type": "text"}),
            ResponseFormat::JsonObject => json!({"type": "json_object"}),
            ResponseFormat::JsonSchema {
                name,
                description,
                schema,
                strict,
            } => {
                let mut inner = Map::new();
                // OpenAI wants a name; it means nothing.
                put(
                    &mut inner,
                    "name",
                    name.as_deref().or((!self.own).then_some("response")),
                );
                put(&mut inner, "description", description.clone());
                put(&mut inner, "schema", Some(schema.clone()));
                put(&mut inner, "strict", *strict);
                json!({"type": "json_schema", "json_schema": inner})
            }
            ResponseFormat::Foreign(value) if self.own => value.clone(),
            ResponseFormat::Foreign(_) => {
                self.gaps.left_out(Field::ResponseFormat);
                return None;
            }
        })
    }

    fn reasoning_effort(&mut self) -> Option<String> {
        let Reasoning {
            effort,
            budget_tokens,
            ..
        } = self.call.reasoning.as_ref()?;
        if budget_tokens.is_some() {
            self.gaps.left_out(Field::ReasoningBudget);
        }
        Some(match (effort, budget_tokens) {
            (Some(effort), _) => effort_word(effort, self.own || self.is_responses).to_owned(),
            (None, Some(budget)) => effort_for_budget(*budget).to_owned(),
            (None, None) => return None,
        })
    }

    fn service_tier(&self) -> Option<String> {
        let tier = self.call.service_tier.as_deref()?;
        // Anthropic's word for "no priority capacity".
        Some(
            if !self.own && tier == "standard_only" {
                "default"
            } else {
                tier
            }
            .to_owned(),
        )
    }
}

/// Sets `stream`, and `include_usage` among the stream options that may be there already.
pub(crate) fn write_stream_options(stream: bool, asks_usage: bool, body: &mut Map<String, Value>) {
    let mut options = to_map(body.shift_remove("stream_options").unwrap_or_default());
    put(body, "stream", stream.then_some(true));
    if stream && asks_usage {
        options.insert("include_usage".to_owned(), Value::Bool(true));
    }
    put(
        body,
        "stream_options",
        (!options.is_empty()).then_some(options),
    );
}

/// Models that know the newer name only. All others of OpenAI's know both, and other providers often only the older.
fn max_tokens_name(model: Option<&str>) -> &'static str {
    let Some(model) = model else {
        return "max_completion_tokens";
    };
    let name = model.rsplit('/').next().unwrap_or(model).as_bytes();
    let newer = matches!(
        name,
        [b'o', b'1'..=b'9', ..] | [b'g', b'p', b't', b'-', b'5'..=b'9', ..]
    );
    if newer {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}

/// The effort that stands for a budget of tokens.
pub(crate) fn effort_for_budget(budget_tokens: u64) -> &'static str {
    match budget_tokens {
        0..4096 => "low",
        4096..16384 => "medium",
        16384.. => "high",
    }
}

pub(crate) fn effort_word(effort: &ReasoningEffort, own: bool) -> &str {
    match effort {
        ReasoningEffort::None => "none",
        ReasoningEffort::Minimal => "minimal",
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
        ReasoningEffort::Other(word) if own => word,
        // Anthropic's words above `high` (`xhigh`, `max`); every reasoning model knows this one.
        ReasoningEffort::Other(_) => "high",
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

fn flush(pending: &mut Vec<Value>, written: &mut Vec<Value>) {
    if !pending.is_empty() {
        written.push(json!({"role": "user", "content": std::mem::take(pending)}));
    }
}

fn text_part(text: &str) -> Map<String, Value> {
    to_map(json!({"type": "text", "text": text}))
}

pub(crate) fn data_url(media_type: &str, otherwise: &str, data: &str) -> String {
    let media_type = if media_type.is_empty() {
        otherwise
    } else {
        media_type
    };
    format!("data:{media_type};base64,{data}")
}

pub(crate) fn to_map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value {
        map
    } else {
        Map::new()
    }
}

pub(crate) fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
