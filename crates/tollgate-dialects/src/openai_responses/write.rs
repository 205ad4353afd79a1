//! From our shapes into this dialect's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

mod input;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::read::LOGPROBS;
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, Reasoning, ReasoningEffort, ResponseFormat, Tool,
    ToolChoice, ToolKind, Unsupported, Written,
    fields::Place,
    json::put,
    openai_chat::{effort_for_budget, effort_word, to_bytes, to_map},
    openai_completions,
};

/// Fields of a chat's that mean the same here.
pub(crate) const CHATS_OWN: [&str; 5] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
];

/// OpenAI refuses a lower cap (`integer_below_min_value`).
const MAX_TOKENS_MIN: u64 = 16;

/// Has the provider give the proof of its reasoning, so that it can be sent back.
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::OpenaiResponses);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::OpenaiResponses,
        is_chat: from == Dialect::OpenaiChat,
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
    /// The call came in this dialect, so that what nothing models goes back into it, and what the client wrote stays as it is.
    own: bool,
    /// It came in OpenAI's other dialect, which has much in common with this one.
    is_chat: bool,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, form: &CallForm<'_>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", form.model);
        self.conversation(&mut body);
        self.tools(&mut body);
        put(&mut body, "max_output_tokens", self.max_tokens());
        put(&mut body, "temperature", call.temperature);
        put(&mut body, "top_p", call.top_p);
        self.sampling(&mut body);
        put(&mut body, "text", self.text_options());
        let reasoning = self.reasoning_options();
        let include = self.include(reasoning.is_some());
        put(&mut body, "reasoning", reasoning);
        put(&mut body, "user", call.user.clone());
        put(&mut body, "service_tier", self.service_tier());
        put(&mut body, "stream", call.stream.then_some(true));
        if !self.own {
            // Elsewhere nothing is stored unless it is asked for; here everything is.
            let wanted = self.is_chat && call.extra.fields.get("store") == Some(&json!(true));
            put(&mut body, "store", Some(wanted));
        }
        self.extra(&call.extra.fields, Place::Body, &mut body);
        put(&mut body, "include", include);
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            let is_shared = self.is_chat
                && place == Place::Body
                && (CHATS_OWN.contains(&name.as_str()) || says_nothing(name, value));
            match (into.get_mut(name), value) {
                _ if self.is_chat && place == Place::Body && name == "verbosity" => {
                    member(into, "text").insert(name.clone(), value.clone());
                }
                _ if self.is_chat && place == Place::Body && name == "store" => {}
                _ if is_shared => {
                    if CHATS_OWN.contains(&name.as_str()) {
                        into.insert(name.clone(), value.clone());
                    }
                }
                _ if !self.own => self.gaps.left_out_extra(place, name),
                // Of these, a part is modelled.
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
                _ => {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
    }

    fn max_tokens(&mut self) -> Option<u64> {
        let cap = self.call.max_tokens?;
        Some(if self.own {
            cap
        } else {
            cap.max(MAX_TOKENS_MIN)
        })
    }

    fn sampling(&mut self, body: &mut Map<String, Value>) {
        let call = self.call;
        let wants_alternatives = call.top_logprobs.filter(|count| self.own || *count > 0);
        put(body, "top_logprobs", wants_alternatives);
        if self.own {
            put(body, "top_k", call.top_k);
            put(body, "frequency_penalty", call.frequency_penalty);
            put(body, "presence_penalty", call.presence_penalty);
            return;
        }
        for (field, is_set) in [
            (Field::TopK, call.top_k.is_some()),
            (
                Field::FrequencyPenalty,
                call.frequency_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            (
                Field::PresencePenalty,
                call.presence_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            (Field::Seed, call.seed.is_some()),
            (Field::Stop, !call.stop.is_empty()),
            (Field::N, call.n.is_some_and(|n| n != 1)),
        ] {
            if is_set {
                self.gaps.left_out(field);
            }
        }
    }

    /// What is told beside the answer: in its own calls what they say, in others' what it takes to tell what they ask for.
    fn include(&self, reasons: bool) -> Option<Vec<Value>> {
        let mut include = match self.call.extra.fields.get("include") {
            Some(Value::Array(include)) if self.own => include.clone(),
            _ => Vec::new(),
        };
        if !self.own && reasons {
            include.push(json!(ENCRYPTED));
        }
        if self.call.logprobs == Some(true) {
            include.push(json!(LOGPROBS));
        }
        (!include.is_empty()).then_some(include)
    }

    fn text_options(&mut self) -> Option<Map<String, Value>> {
        let format = match self.call.response_format.as_ref()? {
            ResponseFormat::Text => json!({"type": "text"}),
            ResponseFormat::JsonObject => json!({"type": "json_object"}),
            ResponseFormat::JsonSchema {
                name,
                description,
                schema,
                strict,
            } => {
                let mut format = to_map(json!({"type": "json_schema"}));
                // A name is wanted; it means nothing.
                let name = name.as_deref().or((!self.own).then_some("response"));
                put(&mut format, "name", name);
                put(&mut format, "description", description.clone());
                put(&mut format, "schema", Some(schema.clone()));
                put(&mut format, "strict", *strict);
                Value::Object(format)
            }
            ResponseFormat::Foreign(value) if self.own => value.clone(),
            ResponseFormat::Foreign(_) => {
                self.gaps.left_out(Field::ResponseFormat);
                return None;
            }
        };
        Some(to_map(json!({"format": format})))
    }

    fn reasoning_options(&mut self) -> Option<Map<String, Value>> {
        let Reasoning {
            effort,
            budget_tokens,
            ..
        } = self.call.reasoning.as_ref()?;
        if budget_tokens.is_some() {
            self.gaps.left_out(Field::ReasoningBudget);
        }
        let keeps_words = self.own || self.is_chat;
        let word = match (effort, budget_tokens) {
            (Some(effort), _) => effort_word(effort, keeps_words),
            (None, Some(budget)) => effort_for_budget(*budget),
            (None, None) => return None,
        };
        if !keeps_words && matches!(effort, Some(ReasoningEffort::Other(_))) {
            self.gaps.left_out(Field::ReasoningEffort);
        }
        Some(to_map(json!({"effort": word})))
    }

    fn service_tier(&self) -> Option<&str> {
        let tier = self.call.service_tier.as_deref()?;
        // Anthropic's word for "no priority capacity".
        Some(if !self.own && tier == "standard_only" {
            "default"
        } else {
            tier
        })
    }

    // --- tools ---

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let tools = self.call.tools.iter();
        let tools: Vec<Value> = tools.filter_map(|tool| self.tool(tool)).collect();
        // A choice among no tools is refused.
        if tools.is_empty() && !self.own {
            return;
        }
        put(body, "tools", (!tools.is_empty()).then_some(tools));
        put(body, "tool_choice", self.tool_choice());
        put(body, "parallel_tool_calls", self.call.parallel_tool_calls);
    }

    fn tool(&mut self, tool: &Tool) -> Option<Value> {
        let kind = match tool.kind {
            ToolKind::Function => "function",
            ToolKind::Custom => "custom",
            ToolKind::Foreign if self.own => return Some(Value::Object(tool.extra.clone())),
            ToolKind::Foreign => {
                let kind = tool.extra.get("type").and_then(Value::as_str);
                let kind = kind.unwrap_or(&tool.name);
                self.gaps.left_out_extra(Place::Tool, kind);
                return None;
            }
        };
        if tool.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        let mut written = to_map(json!({"type": kind}));
        put(&mut written, "name", Some(tool.name.clone()));
        put(&mut written, "description", tool.description.clone());
        let mut extra = tool.extra.clone();
        if tool.kind == ToolKind::Function || self.own {
            let nothing = (!self.own && tool.kind == ToolKind::Function)
                .then(|| json!({"type": "object", "properties": {}}));
            put(
                &mut written,
                "parameters",
                tool.parameters.clone().or(nothing),
            );
            // Here a tool is strict unless it says otherwise.
            let strict = tool.strict.or((!self.own).then_some(false));
            put(&mut written, "strict", strict);
        } else if self.is_chat {
            let mut custom = to_map(extra.shift_remove("custom").unwrap_or_default());
            put(
                &mut written,
                "format",
                custom.shift_remove("format").map(flat_format),
            );
            if !custom.is_empty() {
                extra.insert("custom".to_owned(), Value::Object(custom));
            }
        }
        self.extra(&extra, Place::Tool, &mut written);
        Some(Value::Object(written))
    }

    fn tool_choice(&mut self) -> Option<Value> {
        Some(match self.call.tool_choice.as_ref()? {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Function(name) => json!({"type": "function", "name": name}),
            ToolChoice::Foreign(value) if self.own => value.clone(),
            ToolChoice::Foreign(value) => {
                let flat = self.is_chat.then(|| flat_choice(value)).flatten();
                if flat.is_none() {
                    self.gaps.left_out(Field::ToolChoice);
                }
                return flat;
            }
        })
    }
}

/// A member of a body that is an object, made where it is not there.
fn member<'a>(body: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = body.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made an object just now")
}

/// Whether a field of a chat's asks for nothing that would not be done anyway.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "modalities" => *value == json!(["text"]),
        _ => false,
    }
}

// === what a chat calls in another form ===

/// The format of a tool that takes free text, as it is here: a grammar is not in an object of its own.
fn flat_format(format: Value) -> Value {
    let mut format = to_map(format);
    let grammar = to_map(format.shift_remove("grammar").unwrap_or_default());
    format.extend(grammar);
    Value::Object(format)
}

/// The same as a chat has it.
pub(crate) fn chat_custom_format(format: &Value) -> Value {
    let mut format = to_map(format.clone());
    if format.get("type") != Some(&json!("grammar")) {
        return Value::Object(format);
    }
    drop(format.shift_remove("type"));
    json!({"type": "grammar", "grammar": format})
}

/// A choice of a tool that takes free text, or among some of the tools, as it is here; `None` for what is neither.
fn flat_choice(choice: &Value) -> Option<Value> {
    match choice["type"].as_str()? {
        "custom" => Some(json!({"type": "custom", "name": choice["custom"]["name"].as_str()?})),
        "allowed_tools" => {
            let allowed = &choice["allowed_tools"];
            let tools = allowed["tools"].as_array()?.iter().map(|tool| {
                let kind = tool["type"].as_str()?;
                Some(json!({"type": kind, "name": tool[kind]["name"].as_str()?}))
            });
            let tools: Option<Vec<Value>> = tools.collect();
            Some(json!({"type": "allowed_tools", "mode": allowed["mode"], "tools": tools?}))
        }
        _ => None,
    }
}

/// The same as a chat has it.
pub(crate) fn chat_tool_choice(choice: &Value) -> Option<Value> {
    match choice["type"].as_str()? {
        "custom" => Some(json!({"type": "custom", "custom": {"name": choice["name"].as_str()?}})),
        "allowed_tools" => {
            let tools = choice["tools"].as_array()?.iter().map(|tool| {
                let kind = tool["type"].as_str()?;
                Some(json!({"type": kind, kind: {"name": tool["name"].as_str()?}}))
            });
            let tools: Option<Vec<Value>> = tools.collect();
            Some(
                json!({"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools?}}),
            )
        }
        _ => None,
    }
}
