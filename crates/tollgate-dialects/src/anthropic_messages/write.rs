//! From our shapes into Anthropic's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

mod messages;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::models::Model;
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, Reasoning, ReasoningEffort, ResponseFormat, Tool,
    ToolChoice, ToolKind, Unsupported, Written, fields::Place, json::put, openai_chat::to_bytes,
    openai_completions,
};

/// What stands for OpenAI's `json_object`, which Anthropic has no switch for.
pub(crate) const JSON_INSTRUCTION: &str = "Answer with one JSON object and nothing else.";

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::AnthropicMessages);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::AnthropicMessages,
        model: Model::named(form.model.unwrap_or(&call.model)),
        gaps: &mut gaps,
    }
    .write(form.model);
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in this dialect, so that what nothing models goes back into it, and what the client wrote stays as it is.
    own: bool,
    model: Model,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, model: Option<&str>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", model);
        put(&mut body, "max_tokens", self.max_tokens());
        self.conversation(&mut body);
        self.tools(&mut body);
        put(&mut body, "stop_sequences", self.stop_sequences());
        self.sampling(&mut body);
        self.response_format(&mut body);
        if let Some(reasoning) = &call.reasoning {
            self.reasoning(reasoning, &mut body);
        }
        put(&mut body, "service_tier", self.service_tier());
        put(&mut body, "stream", call.stream.then_some(true));
        self.extra(&call.extra.fields, Place::Body, &mut body);
        if let Some(user) = &call.user {
            member(&mut body, "metadata").insert("user_id".to_owned(), json!(user));
        }
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            match (into.get_mut(name), value) {
                _ if !self.own && says_nothing(name, value) => {}
                _ if !self.own && place == Place::Body && is_thinking(name, value) => {
                    into.insert(name.clone(), value.clone());
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

    fn max_tokens(&self) -> Option<u64> {
        let otherwise = (!self.own).then(|| self.model.max_tokens());
        self.call.max_tokens.or(otherwise)
    }

    fn stop_sequences(&mut self) -> Option<Vec<String>> {
        let mut stop = self.call.stop.clone();
        if !self.own {
            stop.retain(|text| !text.trim().is_empty());
        }
        if stop.len() < self.call.stop.len() {
            self.gaps.left_out(Field::Stop);
        }
        (!stop.is_empty()).then_some(stop)
    }

    fn sampling(&mut self, body: &mut Map<String, Value>) {
        let call = self.call;
        // Anthropic's own default, which OpenAI's clients often write out.
        let is_default = |value: &f64| !self.own && *value == 1.0;
        let temperature = call.temperature.filter(|value| !is_default(value));
        let top_p = call.top_p.filter(|value| !is_default(value));
        let takes_sampling = self.own || self.model.takes_sampling();
        for (field, name, value) in [
            (Field::Temperature, "temperature", temperature),
            (Field::TopP, "top_p", top_p),
        ] {
            match value {
                // OpenAI's temperatures go up to 2.
                Some(value) if !takes_sampling || value > 1.0 && !self.own => {
                    self.gaps.left_out(field);
                }
                value => put(body, name, value),
            }
        }
        put(body, "top_k", call.top_k);
        for (field, is_set) in [
            (
                Field::FrequencyPenalty,
                call.frequency_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            (
                Field::PresencePenalty,
                call.presence_penalty.is_some_and(|penalty| penalty != 0.0),
            ),
            (Field::Seed, call.seed.is_some()),
            (Field::N, call.n.is_some_and(|n| n != 1)),
            (Field::Logprobs, call.logprobs == Some(true)),
            (
                Field::TopLogprobs,
                call.top_logprobs.is_some_and(|count| count > 0),
            ),
        ] {
            if is_set {
                self.gaps.left_out(field);
            }
        }
    }

    fn response_format(&mut self, body: &mut Map<String, Value>) {
        let format = match &self.call.response_format {
            // The instruction for the latter is among the operator's words.
            None | Some(ResponseFormat::Text | ResponseFormat::JsonObject) => return,
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                json!({"type": "json_schema", "schema": schema})
            }
            Some(ResponseFormat::Foreign(format)) if self.own => format.clone(),
            Some(ResponseFormat::Foreign(_)) => return self.gaps.left_out(Field::ResponseFormat),
        };
        member(body, "output_config").insert("format".to_owned(), format);
    }

    fn reasoning(&mut self, reasoning: &Reasoning, body: &mut Map<String, Value>) {
        let (thinking, effort) = write_thinking(reasoning, self.model, self.own, self.gaps);
        put(body, "thinking", thinking);
        if let Some(effort) = effort {
            member(body, "output_config").insert("effort".to_owned(), json!(effort));
        }
    }

    fn service_tier(&mut self) -> Option<&str> {
        match self.call.service_tier.as_deref()? {
            tier if self.own => Some(tier),
            "auto" => Some("auto"),
            "default" => Some("standard_only"),
            _ => {
                self.gaps.left_out(Field::ServiceTier);
                None
            }
        }
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
        let mut written = Map::new();
        put(&mut written, "name", Some(tool.name.clone()));
        put(&mut written, "description", tool.description.clone());
        put(&mut written, "input_schema", self.input_schema(tool));
        let strict = tool.strict.filter(|strict| self.own || *strict);
        put(&mut written, "strict", strict);
        put(&mut written, "cache_control", tool.cache_control.clone());
        self.extra(&tool.extra, Place::Tool, &mut written);
        Some(Value::Object(written))
    }

    /// Anthropic wants a schema, and wants it to say that it is one of an object.
    fn input_schema(&self, tool: &Tool) -> Option<Value> {
        let mut schema = tool.parameters.clone();
        if !self.own {
            let schema = schema.get_or_insert_with(|| json!({"properties": {}}));
            if let Value::Object(members) = schema {
                members.entry("type").or_insert_with(|| json!("object"));
            }
        }
        schema
    }

    fn tool_choice(&mut self) -> Option<Map<String, Value>> {
        let choice = match &self.call.tool_choice {
            None => None,
            Some(ToolChoice::Auto) => Some(json!({"type": "auto"})),
            Some(ToolChoice::None) => Some(json!({"type": "none"})),
            Some(ToolChoice::Required) => Some(json!({"type": "any"})),
            Some(ToolChoice::Function(name)) => Some(json!({"type": "tool", "name": name})),
            Some(ToolChoice::Foreign(value)) if self.own => Some(value.clone()),
            Some(ToolChoice::Foreign(_)) => {
                self.gaps.left_out(Field::ToolChoice);
                None
            }
        };
        let mut choice = choice.map(to_map);
        // Several at once is what Anthropic does anyway, and with no tool wanted it takes no such word.
        let parallel = self.call.parallel_tool_calls;
        let parallel = parallel.filter(|parallel| self.own || !parallel);
        if let Some(parallel) = parallel
            && self.call.tool_choice != Some(ToolChoice::None)
        {
            let choice = choice.get_or_insert_with(|| to_map(json!({"type": "auto"})));
            choice.insert("disable_parallel_tool_use".to_owned(), json!(!parallel));
        }
        choice
    }
}

/// `thinking`, and the word for the effort. `own`: what the client wrote stays as it is.
pub(crate) fn write_thinking<'a>(
    reasoning: &'a Reasoning,
    model: Model,
    own: bool,
    gaps: &mut Gaps,
) -> (Option<Value>, Option<&'a str>) {
    let mut effort = reasoning.effort.as_ref();
    let thinking = match (reasoning.enabled, reasoning.budget_tokens) {
        _ if effort == Some(&ReasoningEffort::None) => match model.thinking_off() {
            Some(off) => {
                effort = None;
                Some(json!({"type": off}))
            }
            None => None,
        },
        (Some(false), _) => Some(json!({"type": "disabled"})),
        (Some(true), _) if reasoning.adaptive => Some(json!({"type": "adaptive"})),
        (_, Some(budget)) => Some(json!({"type": "enabled", "budget_tokens": budget})),
        (Some(true), None) => Some(json!({"type": "enabled"})),
        (None, None) => None,
    };
    let word = match effort {
        None => None,
        Some(ReasoningEffort::Other(word)) if own => Some(word.as_str()),
        Some(_) if !own && !model.knows_effort() => {
            gaps.left_out(Field::ReasoningEffort);
            None
        }
        Some(ReasoningEffort::None | ReasoningEffort::Minimal | ReasoningEffort::Low) => {
            Some("low")
        }
        Some(ReasoningEffort::Medium) => Some("medium"),
        // Not every model knows the words above it.
        Some(ReasoningEffort::High | ReasoningEffort::Other(_)) => Some("high"),
    };
    (thinking, word)
}

/// Whether a field of OpenAI's asks for nothing that would not be done anyway.
pub(crate) fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "modalities" => *value == json!(["text"]),
        "store" => *value == json!(false),
        _ => false,
    }
}

/// Whether a field is Anthropic's `thinking`, which OpenAI's clients may add to what they send
/// (<https://platform.claude.com/docs/en/api/openai-sdk>, read 2026-11). Other providers switch theirs on without a budget.
pub(crate) fn is_thinking(name: &str, value: &Value) -> bool {
    let is_whole = || match value["type"].as_str() {
        Some("enabled") => value["budget_tokens"].is_u64(),
        Some("adaptive" | "disabled") => true,
        _ => false,
    };
    name == "thinking" && is_whole()
}

/// Arguments as the object that they are; `None` where they are none. Some models write nothing, or null, for no arguments.
pub(crate) fn parse_arguments(text: &str) -> Option<Value> {
    match text.trim() {
        "" | "null" => Some(json!({})),
        text => serde_json::from_str(text).ok().filter(Value::is_object),
    }
}

/// What stands for arguments that are no object: all of them under a name of ours, so that nothing is lost and nobody takes it
/// for what was asked.
pub(crate) fn invalid_arguments(text: &str) -> Value {
    json!({"_invalid_arguments": text})
}

/// A member of a body that is an object, made where it is not there.
pub(crate) fn member<'a>(
    body: &'a mut Map<String, Value>,
    name: &str,
) -> &'a mut Map<String, Value> {
    let value = body.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made an object just now")
}

pub(crate) fn to_map(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value {
        map
    } else {
        Map::new()
    }
}
