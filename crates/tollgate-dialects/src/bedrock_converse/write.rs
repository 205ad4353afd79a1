//! From our shapes into Converse's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

mod blocks;
mod messages;

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::models::Model;
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, PartKind, Reasoning, ReasoningEffort, ResponseFormat,
    Tool, ToolChoice, ToolKind, Unsupported, Written,
    anthropic_messages::{is_thinking, member, says_nothing, write_thinking},
    fields::Place,
    json::put,
    openai_chat::to_bytes,
    openai_completions,
};

/// Where what a model takes in its own words belongs.
const ADDITIONAL: &str = "additionalModelRequestFields";

/// Writes a call for a provider. The body does not name the model, but the model tells how some of it is said.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::BedrockConverse);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::BedrockConverse,
        model: Model::named(form.model.unwrap_or(&call.model)),
        gaps: &mut gaps,
        document_names: HashSet::new(),
    }
    .write();
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in this dialect, so that what nothing models goes back into it, and what was written stays as it is.
    own: bool,
    model: Model,
    gaps: &'a mut Gaps,
    /// Names that documents have already: none may have another's.
    document_names: HashSet<String>,
}

impl CallWriter<'_> {
    fn write(mut self) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        self.conversation(&mut body);
        put(&mut body, "inferenceConfig", self.inference_config());
        self.top_k(&mut body);
        put(&mut body, "toolConfig", self.tool_config());
        self.parallel_tool_calls(&mut body);
        self.response_format(&mut body);
        if let Some(reasoning) = &call.reasoning {
            self.reasoning(reasoning, &mut body);
        }
        if let Some(tier) = self.service_tier() {
            body.insert("serviceTier".to_owned(), json!({"type": tier}));
        }
        self.unsupported();
        self.extra(&call.extra.fields, Place::Body, &mut body);
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            let is_claude = matches!(self.model, Model::Claude(_));
            match (into.get_mut(name), value) {
                _ if !self.own && says_nothing(name, value) => {}
                // OpenAI's clients may add it whole, and Anthropic's say more in it than our form holds.
                _ if !self.own && place == Place::Body && is_claude && name == "thinking" => {
                    let thinking = member(member(into, ADDITIONAL), "thinking");
                    let is_rest = !thinking.is_empty();
                    match value {
                        Value::Object(more) if is_rest || is_thinking(name, value) => {
                            thinking.extend(more.clone());
                        }
                        _ => self.gaps.left_out_extra(place, name),
                    }
                }
                _ if !self.own => self.gaps.left_out_extra(place, name),
                // Of these, a part is modelled.
                (Some(Value::Object(there)), Value::Object(more)) => merge(there, more),
                _ => {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
    }

    // --- how to answer ---

    fn inference_config(&mut self) -> Option<Map<String, Value>> {
        let call = self.call;
        let mut config = Map::new();
        put(&mut config, "maxTokens", call.max_tokens);
        let takes_sampling = self.own || self.model.takes_sampling();
        for (field, name, value) in [
            (Field::Temperature, "temperature", call.temperature),
            (Field::TopP, "topP", call.top_p),
        ] {
            match value {
                // OpenAI's own default, which its clients often write out.
                Some(value) if !self.own && !takes_sampling && value == 1.0 => {}
                // OpenAI's temperatures go up to 2.
                Some(value) if !takes_sampling || value > 1.0 && !self.own => {
                    self.gaps.left_out(field);
                }
                value => put(&mut config, name, value),
            }
        }
        let mut stop = call.stop.clone();
        if !self.own {
            stop.retain(|text| !text.trim().is_empty());
        }
        if stop.len() < call.stop.len() {
            self.gaps.left_out(Field::Stop);
        }
        put(
            &mut config,
            "stopSequences",
            (!stop.is_empty()).then_some(stop),
        );
        (!config.is_empty()).then_some(config)
    }

    fn top_k(&mut self, body: &mut Map<String, Value>) {
        let Some(top_k) = self.call.top_k else { return };
        let additional = member(body, ADDITIONAL);
        match self.model {
            Model::Claude(_) if !self.own && !self.model.takes_sampling() => {
                body.shift_remove(ADDITIONAL);
                self.gaps.left_out(Field::TopK);
            }
            Model::Nova { .. } => {
                member(additional, "inferenceConfig").insert("topK".to_owned(), json!(top_k));
            }
            _ => {
                additional.insert("top_k".to_owned(), json!(top_k));
            }
        }
    }

    /// What no model behind Converse takes.
    fn unsupported(&mut self) {
        let call = self.call;
        let penalty = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
        for (field, is_set) in [
            (Field::FrequencyPenalty, penalty(call.frequency_penalty)),
            (Field::PresencePenalty, penalty(call.presence_penalty)),
            (Field::Seed, call.seed.is_some()),
            (Field::N, call.n.is_some_and(|n| n != 1)),
            (Field::Logprobs, call.logprobs == Some(true)),
            (
                Field::TopLogprobs,
                call.top_logprobs.is_some_and(|count| count > 0),
            ),
            (Field::User, call.user.is_some()),
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
            Some(ResponseFormat::JsonSchema {
                name,
                description,
                schema,
                ..
            }) => {
                let mut told = Map::new();
                put(&mut told, "schema", Some(schema.to_string()));
                put(&mut told, "name", name.clone());
                put(&mut told, "description", description.clone());
                json!({"type": "json_schema", "structure": {"jsonSchema": told}})
            }
            Some(ResponseFormat::Foreign(format)) if self.own => format.clone(),
            Some(ResponseFormat::Foreign(_)) => return self.gaps.left_out(Field::ResponseFormat),
        };
        member(body, "outputConfig").insert("textFormat".to_owned(), format);
    }

    /// Each maker has its own words for it.
    fn reasoning(&mut self, reasoning: &Reasoning, body: &mut Map<String, Value>) {
        match self.model {
            Model::Claude(model) => {
                let (thinking, effort) = write_thinking(reasoning, model, self.own, self.gaps);
                if let Some(thinking) = thinking {
                    member(body, ADDITIONAL).insert("thinking".to_owned(), thinking);
                }
                if let Some(effort) = effort {
                    member(body, "outputConfig").insert("effort".to_owned(), json!(effort));
                }
            }
            Model::Nova { reasons: true } => {
                let word = effort_word(reasoning);
                let on = reasoning.enabled.unwrap_or(word.is_some());
                let on = on && reasoning.effort != Some(ReasoningEffort::None);
                let mut config = Map::new();
                let kind = if on { "enabled" } else { "disabled" };
                put(&mut config, "type", Some(kind));
                put(&mut config, "maxReasoningEffort", word.filter(|_| on));
                member(body, ADDITIONAL).insert("reasoningConfig".to_owned(), json!(config));
                if reasoning.budget_tokens.is_some() {
                    self.gaps.left_out(Field::ReasoningBudget);
                }
            }
            Model::GptOss => self.effort_alone(reasoning, "reasoning_effort", body),
            Model::Qwen => self.effort_alone(reasoning, "reasoning_config", body),
            Model::Nova { reasons: false } | Model::Other => self.no_reasoning(reasoning),
        }
    }

    /// For models that are told how much to reason in a word.
    fn effort_alone(&mut self, reasoning: &Reasoning, name: &str, body: &mut Map<String, Value>) {
        match effort_word(reasoning) {
            Some(word) => {
                member(body, ADDITIONAL).insert(name.to_owned(), json!(word));
                if reasoning.budget_tokens.is_some() {
                    self.gaps.left_out(Field::ReasoningBudget);
                }
            }
            None => self.no_reasoning(reasoning),
        }
    }

    fn no_reasoning(&mut self, reasoning: &Reasoning) {
        if reasoning.effort.is_some() {
            self.gaps.left_out(Field::ReasoningEffort);
        }
        if reasoning.enabled == Some(true) || reasoning.budget_tokens.is_some() {
            self.gaps.left_out(Field::ReasoningBudget);
        }
    }

    fn service_tier(&mut self) -> Option<&str> {
        match self.call.service_tier.as_deref()? {
            tier if self.own => Some(tier),
            "auto" => None,
            "standard_only" => Some("default"),
            tier @ ("default" | "flex" | "priority" | "reserved") => Some(tier),
            _ => {
                self.gaps.left_out(Field::ServiceTier);
                None
            }
        }
    }

    // --- tools ---

    fn tool_config(&mut self) -> Option<Map<String, Value>> {
        let call = self.call;
        // There is no word for "none": without tools, none is called.
        let none = call.tool_choice == Some(ToolChoice::None);
        let mut tools: Vec<Value> = Vec::new();
        if !none || self.talks_of_tools() {
            for tool in &call.tools {
                self.tool(tool, &mut tools);
            }
        }
        if none && !tools.is_empty() {
            self.gaps.left_out(Field::ToolChoice);
        }
        if tools.is_empty() && !self.own {
            tools = self.tools_of_before();
        }
        // A choice among no tools is refused.
        if tools.is_empty() {
            return None;
        }
        let mut config = Map::new();
        config.insert("tools".to_owned(), Value::Array(tools));
        put(&mut config, "toolChoice", self.tool_choice());
        Some(config)
    }

    /// Whether the conversation holds calls of tools: then Bedrock insists on `toolConfig`.
    fn talks_of_tools(&self) -> bool {
        let mut parts = self
            .call
            .messages
            .iter()
            .flat_map(|message| &message.content);
        parts.any(|part| {
            matches!(
                part.kind,
                PartKind::ToolCall { .. } | PartKind::ToolResult { .. }
            )
        })
    }

    /// Where tools were called before and none is offered any more, those stand for the `toolConfig` that Bedrock insists on.
    fn tools_of_before(&mut self) -> Vec<Value> {
        let mut names: Vec<&str> = Vec::new();
        let parts = self
            .call
            .messages
            .iter()
            .flat_map(|message| &message.content);
        for part in parts {
            if let PartKind::ToolCall { name, .. } = &part.kind
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        if !names.is_empty() {
            self.gaps.left_out(Field::Tools);
        }
        let spec = |name| {
            json!({"toolSpec": {
                "name": name,
                "description": "No longer available: do not call it.",
                "inputSchema": {"json": {"type": "object"}},
            }})
        };
        names.into_iter().map(spec).collect()
    }

    fn tool(&mut self, tool: &Tool, into: &mut Vec<Value>) {
        match tool.kind {
            ToolKind::Function => {}
            ToolKind::Foreign if self.own => return into.push(Value::Object(tool.extra.clone())),
            ToolKind::Foreign => {
                let kind = tool.extra.get("type").and_then(Value::as_str);
                return self
                    .gaps
                    .left_out_extra(Place::Tool, kind.unwrap_or(&tool.name));
            }
            ToolKind::Custom => return self.gaps.left_out(Field::CustomTool),
        }
        let mut spec = Map::new();
        put(&mut spec, "name", Some(tool.name.clone()));
        let description = tool.description.clone();
        // An empty one is refused.
        let description = description.filter(|text| self.own || !text.trim().is_empty());
        put(&mut spec, "description", description);
        put(&mut spec, "inputSchema", Some(self.input_schema(tool)));
        match tool.strict {
            Some(true) if !self.own && !self.model.knows_strict() => {
                self.gaps.left_out(Field::ToolStrict);
            }
            strict => put(
                &mut spec,
                "strict",
                strict.filter(|strict| self.own || *strict),
            ),
        }
        self.extra(&tool.extra, Place::Tool, &mut spec);
        into.push(json!({"toolSpec": spec}));
        into.extend(self.cache_point(tool.cache_control.as_ref()));
    }

    /// Bedrock wants a schema, and wants it to say that it is one of an object.
    fn input_schema(&self, tool: &Tool) -> Value {
        let mut schema = tool.parameters.clone();
        if !self.own {
            let schema = schema.get_or_insert_with(|| json!({"properties": {}}));
            if let Value::Object(members) = schema {
                members.entry("type").or_insert_with(|| json!("object"));
            }
        }
        json!({"json": schema})
    }

    fn tool_choice(&mut self) -> Option<Value> {
        match &self.call.tool_choice {
            None | Some(ToolChoice::None) => None,
            Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
            Some(ToolChoice::Required) => Some(json!({"any": {}})),
            Some(ToolChoice::Function(name)) => Some(json!({"tool": {"name": name}})),
            Some(ToolChoice::Foreign(value)) if self.own => Some(value.clone()),
            Some(ToolChoice::Foreign(_)) => {
                self.gaps.left_out(Field::ToolChoice);
                None
            }
        }
    }

    /// Claude takes its own word beside Converse's.
    fn parallel_tool_calls(&mut self, body: &mut Map<String, Value>) {
        if self.call.parallel_tool_calls != Some(false) || self.call.tools.is_empty() {
            return;
        }
        let kind = match &self.call.tool_choice {
            None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
            Some(ToolChoice::Required) => json!({"type": "any"}),
            Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
            Some(ToolChoice::None | ToolChoice::Foreign(_)) => return,
        };
        match self.model {
            Model::Claude(model) if !model.is_before((4, 5)) => {
                let additional = member(body, ADDITIONAL);
                additional.insert("tool_choice".to_owned(), kind);
                member(additional, "tool_choice")
                    .insert("disable_parallel_tool_use".to_owned(), json!(true));
            }
            _ => self.gaps.left_out(Field::ParallelToolCalls),
        }
    }
}

/// Puts what is not there yet into an object, and into the objects within it.
fn merge(there: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (there.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => merge(there, more),
            _ => {
                there.insert(name.clone(), value.clone());
            }
        }
    }
}

/// How much to reason, in a word that every model has. A budget is told as for OpenAI's models.
fn effort_word(reasoning: &Reasoning) -> Option<&'static str> {
    match (&reasoning.effort, reasoning.budget_tokens) {
        (Some(ReasoningEffort::None), _) => None,
        (Some(ReasoningEffort::Minimal | ReasoningEffort::Low), _) => Some("low"),
        (Some(ReasoningEffort::Medium), _) => Some("medium"),
        (Some(ReasoningEffort::High | ReasoningEffort::Other(_)), _) => Some("high"),
        (None, Some(..4096)) => Some("low"),
        (None, Some(..16384)) => Some("medium"),
        (None, Some(_)) => Some("high"),
        (None, None) => (reasoning.enabled == Some(true)).then_some("medium"),
    }
}
