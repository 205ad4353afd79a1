//! From our shapes into Gemini's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

mod contents;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::{models::Model, schema::is_plain};
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, Reasoning, ReasoningEffort, ResponseFormat, Tool,
    ToolChoice, ToolKind, Unsupported, Written,
    anthropic_messages::{says_nothing, to_map},
    fields::Place,
    json::put,
    openai_chat::to_bytes,
    openai_completions,
};

/// Writes a call for a provider. The address names the model and says whether to stream.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::GeminiGenerate);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::GeminiGenerate,
        model: Model::named(form.model.unwrap_or(&call.model)),
        gaps: &mut gaps,
    }
    .write();
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
    fn write(&mut self) -> Map<String, Value> {
        let mut body = Map::new();
        self.conversation(&mut body);
        self.tools(&mut body);
        let config = self.generation_config();
        put(
            &mut body,
            "generationConfig",
            (!config.is_empty()).then_some(config),
        );
        put(&mut body, "serviceTier", self.service_tier());
        if self.call.user.is_some() {
            self.gaps.left_out(Field::User);
        }
        self.extra(&self.call.extra.fields, Place::Body, &mut body);
        body
    }

    /// Fields that nothing models: back to their path in their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (path, value) in extra {
            if self.own {
                put_at(path, value.clone(), into);
            } else if !says_nothing(path, value) {
                self.gaps.left_out_extra(place, path);
            }
        }
    }

    fn generation_config(&mut self) -> Map<String, Value> {
        let call = self.call;
        let mut config = Map::new();
        put(&mut config, "temperature", call.temperature);
        put(&mut config, "topP", call.top_p);
        put(&mut config, "topK", call.top_k);
        put(&mut config, "maxOutputTokens", call.max_tokens);
        let stop = (!call.stop.is_empty()).then(|| call.stop.clone());
        put(&mut config, "stopSequences", stop);
        put(&mut config, "candidateCount", call.n);
        put(&mut config, "seed", self.seed());
        put(&mut config, "presencePenalty", call.presence_penalty);
        put(&mut config, "frequencyPenalty", call.frequency_penalty);
        // Where none are wanted, other dialects say so and this one says nothing.
        let logprobs = call.logprobs.filter(|wanted| self.own || *wanted);
        put(&mut config, "responseLogprobs", logprobs);
        let count = call.top_logprobs.filter(|count| self.own || *count > 0);
        put(&mut config, "logprobs", count);
        self.response_format(&mut config);
        if let Some(reasoning) = &call.reasoning {
            let thinking = if self.own {
                Some(own_thinking(reasoning))
            } else {
                self.model.thinking(reasoning)
            };
            put(&mut config, "thinkingConfig", thinking);
        }
        config
    }

    /// Gemini's seeds have 32 bits.
    fn seed(&mut self) -> Option<i64> {
        let seed = self.call.seed?;
        if !self.own && i32::try_from(seed).is_err() {
            self.gaps.left_out(Field::Seed);
            return None;
        }
        Some(seed)
    }

    fn response_format(&mut self, config: &mut Map<String, Value>) {
        const KIND: &str = "responseMimeType";
        match &self.call.response_format {
            None => {}
            Some(ResponseFormat::Text) if self.own => put(config, KIND, Some("text/plain")),
            Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => put(config, KIND, Some("application/json")),
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                put(config, KIND, Some("application/json"));
                let name = if is_plain(schema) {
                    "responseSchema"
                } else {
                    "responseJsonSchema"
                };
                put(config, name, Some(schema.clone()));
            }
            Some(ResponseFormat::Foreign(format)) if self.own => {
                config.extend(to_map(format.clone()));
            }
            Some(ResponseFormat::Foreign(_)) => self.gaps.left_out(Field::ResponseFormat),
        }
    }

    fn service_tier(&mut self) -> Option<&str> {
        match self.call.service_tier.as_deref()? {
            "auto" if !self.own => None,
            "auto" => Some("unspecified"),
            "default" | "standard_only" => Some("standard"),
            tier if self.own || matches!(tier, "flex" | "priority") => Some(tier),
            _ => {
                self.gaps.left_out(Field::ServiceTier);
                None
            }
        }
    }

    // --- tools ---

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let mut functions = Vec::new();
        let mut tools = Vec::new();
        for tool in &self.call.tools {
            match tool.kind {
                ToolKind::Function => functions.push(self.function(tool)),
                ToolKind::Foreign if self.own => tools.push(Value::Object(tool.extra.clone())),
                ToolKind::Foreign => {
                    let kind = tool.extra.get("type").and_then(Value::as_str);
                    let kind = kind.unwrap_or(&tool.name);
                    self.gaps.left_out_extra(Place::Tool, kind);
                }
                ToolKind::Custom => self.gaps.left_out(Field::CustomTool),
            }
        }
        let has_functions = !functions.is_empty();
        if has_functions {
            tools.insert(0, json!({"functionDeclarations": functions}));
        }
        put(body, "tools", (!tools.is_empty()).then_some(tools));
        // A choice among no functions is refused.
        if (has_functions || self.own)
            && let Some(choice) = self.tool_choice()
        {
            body.insert(
                "toolConfig".to_owned(),
                json!({"functionCallingConfig": choice}),
            );
        }
        if has_functions && self.call.parallel_tool_calls == Some(false) {
            self.gaps.left_out(Field::ParallelToolCalls);
        }
    }

    fn function(&mut self, tool: &Tool) -> Value {
        if tool.strict == Some(true) {
            self.gaps.left_out(Field::ToolStrict);
        }
        if tool.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        let mut written = Map::new();
        put(&mut written, "name", Some(tool.name.clone()));
        put(&mut written, "description", tool.description.clone());
        if let Some(schema) = &tool.parameters {
            let name = if is_plain(schema) {
                "parameters"
            } else {
                "parametersJsonSchema"
            };
            put(&mut written, name, Some(schema.clone()));
        }
        self.extra(&tool.extra, Place::Tool, &mut written);
        Value::Object(written)
    }

    fn tool_choice(&mut self) -> Option<Value> {
        Some(match self.call.tool_choice.as_ref()? {
            // What is done anyway.
            ToolChoice::Auto if !self.own => return None,
            ToolChoice::Auto => json!({"mode": "AUTO"}),
            ToolChoice::None => json!({"mode": "NONE"}),
            ToolChoice::Required => json!({"mode": "ANY"}),
            ToolChoice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
            ToolChoice::Foreign(value) if self.own => value.clone(),
            ToolChoice::Foreign(_) => {
                self.gaps.left_out(Field::ToolChoice);
                return None;
            }
        })
    }
}

/// `thinkingConfig` as its own client gave it.
fn own_thinking(reasoning: &Reasoning) -> Map<String, Value> {
    let budget = match (reasoning.budget_tokens, reasoning.enabled) {
        (Some(budget), _) => Some(json!(budget)),
        (None, Some(false)) => Some(json!(0)),
        (None, Some(true)) => Some(json!(-1)),
        (None, None) => None,
    };
    let level = reasoning.effort.as_ref().map(|effort| match effort {
        ReasoningEffort::None | ReasoningEffort::Minimal => "minimal",
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
        ReasoningEffort::Other(word) => word,
    });
    let mut thinking = Map::new();
    put(&mut thinking, "thinkingBudget", budget);
    put(&mut thinking, "thinkingLevel", level);
    thinking
}

/// Puts a field at its path, such as `generationConfig.mediaResolution`.
fn put_at(path: &str, value: Value, into: &mut Map<String, Value>) {
    let Some((name, rest)) = path.split_once('.') else {
        into.insert(path.to_owned(), value);
        return;
    };
    let object = into.entry(name).or_insert_with(|| json!({}));
    if let Value::Object(object) = object {
        put_at(rest, value, object);
    }
}
