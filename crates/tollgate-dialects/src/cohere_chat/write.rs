//! From our shapes into Cohere's: calls.
//!
//! What a call of another dialect holds and this one cannot say is told to [`Gaps`].

mod messages;

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use crate::{
    Call, CallForm, ChatCall, Field, Gaps, Reasoning, ReasoningEffort, ResponseFormat, Tool,
    ToolChoice, ToolKind, Unsupported, Written,
    anthropic_messages::says_nothing,
    fields::Place,
    json::put,
    openai_chat::{to_bytes, to_map},
    openai_completions,
};

/// What `p` may be, and both penalties, and how many stop sequences there may be (<https://docs.cohere.com/reference/chat>,
/// read 2026-11).
const P_MIN: f64 = 0.01;
const P_MAX: f64 = 0.99;
const PENALTY_MAX: f64 = 1.0;
const STOPS_MAX: usize = 5;

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::CohereChat);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::CohereChat,
        reasons: reasons(form.model.unwrap_or(&call.model)),
        gaps: &mut gaps,
    }
    .write(form.model);
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// Whether a model reasons. Those that came before the first one that does refuse `thinking`; what comes later is taken to know it
/// (<https://docs.cohere.com/docs/reasoning>, read 2026-11).
fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let without = [
        "command-r",
        "command-light",
        "command-nightly",
        "command-a-03",
        "command-a-vision",
        "command-a-translate",
        "c4ai-",
    ];
    name != "command" && !without.iter().any(|prefix| name.starts_with(prefix))
}

struct CallWriter<'a> {
    call: &'a ChatCall,
    /// The call came in this dialect, so that what nothing models goes back into it, and what the client wrote stays as it is.
    own: bool,
    /// The model reasons, or may be asked to.
    reasons: bool,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, model: Option<&str>) -> Map<String, Value> {
        let call = self.call;
        let mut body = Map::new();
        put(&mut body, "model", model);
        put(&mut body, "messages", Some(self.messages()));
        self.tools(&mut body);
        put(&mut body, "response_format", self.response_format());
        put(&mut body, "thinking", self.thinking());
        put(&mut body, "max_tokens", call.max_tokens);
        self.sampling(&mut body);
        put(&mut body, "stop_sequences", self.stop_sequences());
        put(
            &mut body,
            "logprobs",
            call.logprobs.filter(|wanted| self.own || *wanted),
        );
        put(&mut body, "stream", call.stream.then_some(true));
        self.unknown_here();
        self.extra(&call.extra.fields, Place::Body, &mut body);
        body
    }

    /// Fields that nothing models: back into their own dialect, else a gap each.
    fn extra(&mut self, extra: &Map<String, Value>, place: Place, into: &mut Map<String, Value>) {
        for (name, value) in extra {
            match (into.get_mut(name), value) {
                _ if !self.own && says_nothing(name, value) => {}
                _ if !self.own => self.gaps.left_out_extra(place, name),
                // Of these, a part is modelled.
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
                _ => {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
    }

    fn sampling(&mut self, body: &mut Map<String, Value>) {
        let call = self.call;
        put(body, "temperature", call.temperature);
        // All there is (1) is what OpenAI's clients often write out.
        let p = call
            .top_p
            .map(|p| if self.own { p } else { p.clamp(P_MIN, P_MAX) });
        put(body, "p", p);
        put(body, "k", call.top_k);
        for (field, name, penalty) in [
            (
                Field::FrequencyPenalty,
                "frequency_penalty",
                call.frequency_penalty,
            ),
            (
                Field::PresencePenalty,
                "presence_penalty",
                call.presence_penalty,
            ),
        ] {
            match penalty {
                Some(penalty) if !self.own && !(0.0..=PENALTY_MAX).contains(&penalty) => {
                    self.gaps.left_out(field);
                }
                penalty => put(body, name, penalty),
            }
        }
        match call.seed {
            Some(seed) if !self.own && seed < 0 => self.gaps.left_out(Field::Seed),
            seed => put(body, "seed", seed),
        }
    }

    fn stop_sequences(&mut self) -> Option<Vec<String>> {
        let mut stop = self.call.stop.clone();
        if !self.own && stop.len() > STOPS_MAX {
            stop.truncate(STOPS_MAX);
            self.gaps.left_out(Field::Stop);
        }
        (!stop.is_empty()).then_some(stop)
    }

    /// What no call of Cohere's can ask.
    fn unknown_here(&mut self) {
        let call = self.call;
        for (field, is_set) in [
            (Field::N, call.n.is_some_and(|n| n != 1)),
            (
                Field::TopLogprobs,
                call.top_logprobs.is_some_and(|count| count > 0),
            ),
            (Field::User, call.user.is_some()),
            (Field::ServiceTier, call.service_tier.is_some()),
        ] {
            if is_set {
                self.gaps.left_out(field);
            }
        }
    }

    fn response_format(&mut self) -> Option<Value> {
        match self.call.response_format.as_ref()? {
            ResponseFormat::Text => Some(json!({"type": "text"})),
            ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
            ResponseFormat::JsonSchema { schema, .. } => {
                Some(json!({"type": "json_object", "json_schema": schema}))
            }
            ResponseFormat::Foreign(format) if self.own => Some(format.clone()),
            ResponseFormat::Foreign(_) => {
                self.gaps.left_out(Field::ResponseFormat);
                None
            }
        }
    }

    /// Reasoning is on, off, or bounded by a number of tokens; there are no words for how much.
    fn thinking(&mut self) -> Option<Value> {
        let Reasoning {
            effort,
            budget_tokens,
            enabled,
            ..
        } = self.call.reasoning.as_ref()?;
        let wants = match (enabled, effort) {
            (Some(enabled), _) => Some(*enabled),
            (None, Some(ReasoningEffort::None)) => Some(false),
            (None, Some(_)) => Some(true),
            (None, None) => budget_tokens.map(|_| true),
        };
        if !self.own && !self.reasons {
            // A model that does not reason is switched off as it is.
            if wants == Some(true) {
                self.gaps.left_out(match budget_tokens {
                    Some(_) => Field::ReasoningBudget,
                    None => Field::ReasoningEffort,
                });
            }
            return None;
        }
        if let (None, Some(effort)) = (budget_tokens, effort)
            && !matches!(effort, ReasoningEffort::None | ReasoningEffort::High)
        {
            self.gaps.left_out(Field::ReasoningEffort);
        }
        let mut thinking = Map::new();
        let word = |wants| if wants { "enabled" } else { "disabled" };
        let wants = if self.own { *enabled } else { wants };
        put(&mut thinking, "type", wants.map(word));
        put(
            &mut thinking,
            "token_budget",
            budget_tokens.filter(|_| wants != Some(false)),
        );
        (!thinking.is_empty()).then_some(Value::Object(thinking))
    }

    // --- tools ---

    fn tools(&mut self, body: &mut Map<String, Value>) {
        let call = self.call;
        // There is no choice of one tool; where it is the only one, it is chosen.
        let chosen = match &call.tool_choice {
            Some(ToolChoice::Function(name)) => Some(name),
            _ => None,
        };
        let tools = call.tools.iter();
        let tools = tools.filter(|tool| chosen.is_none_or(|name| tool.name == *name));
        let tools: Vec<Value> = tools.filter_map(|tool| self.tool(tool)).collect();
        // A choice among no tools is refused.
        if tools.is_empty() && !self.own {
            return;
        }
        put(body, "tools", (!tools.is_empty()).then_some(tools));
        put(body, "tool_choice", self.tool_choice());
        put(body, "strict_tools", self.strict_tools());
        if call.parallel_tool_calls == Some(false) {
            self.gaps.left_out(Field::ParallelToolCalls);
        }
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
        if tool.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        let mut function = Map::new();
        put(&mut function, "name", Some(tool.name.clone()));
        put(&mut function, "description", tool.description.clone());
        let nothing = || json!({"type": "object", "properties": {}});
        let parameters = tool.parameters.clone();
        put(
            &mut function,
            "parameters",
            parameters.or_else(|| (!self.own).then(nothing)),
        );
        let mut written = to_map(json!({"type": "function"}));
        self.extra(&tool.extra, Place::Tool, &mut written);
        if let Some(Value::Object(rest)) = written.shift_remove("function") {
            function.extend(rest);
        }
        written.insert("function".to_owned(), Value::Object(function));
        Some(Value::Object(written))
    }

    /// All tools are strict, or none is.
    fn strict_tools(&mut self) -> Option<bool> {
        let mut strict = self.call.tools.iter().map(|tool| tool.strict);
        if self.own {
            return strict.next().flatten();
        }
        let (strict, others): (Vec<_>, Vec<_>) = strict.partition(|strict| *strict == Some(true));
        match (strict.is_empty(), others.is_empty()) {
            (true, _) => None,
            (false, true) => Some(true),
            (false, false) => {
                self.gaps.left_out(Field::ToolStrict);
                None
            }
        }
    }

    fn tool_choice(&mut self) -> Option<Value> {
        match self.call.tool_choice.as_ref()? {
            ToolChoice::Auto => None,
            ToolChoice::None => Some(json!("NONE")),
            ToolChoice::Required | ToolChoice::Function(_) => Some(json!("REQUIRED")),
            ToolChoice::Foreign(value) if self.own => Some(value.clone()),
            ToolChoice::Foreign(_) => {
                self.gaps.left_out(Field::ToolChoice);
                None
            }
        }
    }
}
