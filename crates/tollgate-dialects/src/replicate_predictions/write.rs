//! From our shapes into Replicate's: calls. There is one text and no roles; a conversation is written as a script.

use std::fmt::Write;

use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use super::STOPS_APART;
use crate::{
    Call, CallForm, ChatCall, Field, Gaps, Message, Part, PartKind, Reasoning, ReasoningEffort,
    ResponseFormat, Role, ToolChoice, ToolKind, Unsupported, Written,
    anthropic_messages::says_nothing, fields::Place, json::put, openai_chat::to_bytes,
    openai_completions,
};

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let mut gaps = Gaps::new(from, Dialect::ReplicatePredictions);
    let call = openai_completions::as_chat(call, &mut gaps)?;
    let body = CallWriter {
        call: &call,
        own: from == Dialect::ReplicatePredictions,
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
    /// The call came in this dialect, so that what nothing models goes back into it.
    own: bool,
    gaps: &'a mut Gaps,
}

impl CallWriter<'_> {
    fn write(&mut self, model: Option<&str>) -> Map<String, Value> {
        let call = self.call;
        let mut input = Map::new();
        let (system, prompt) = self.texts();
        put(&mut input, "prompt", Some(prompt));
        put(
            &mut input,
            "system_prompt",
            (!system.is_empty()).then_some(system),
        );
        put(&mut input, "max_tokens", call.max_tokens);
        put(&mut input, "temperature", call.temperature);
        put(&mut input, "top_p", call.top_p);
        put(&mut input, "top_k", call.top_k);
        put(&mut input, "frequency_penalty", call.frequency_penalty);
        put(&mut input, "presence_penalty", call.presence_penalty);
        put(&mut input, "seed", call.seed);
        put(&mut input, "stop_sequences", self.stop_sequences());
        self.unknown_here();
        let mut body = Map::new();
        put(&mut body, "version", model);
        put(&mut body, "stream", call.stream.then_some(true));
        for (name, value) in &call.extra.fields {
            match (name.as_str(), value) {
                ("input", Value::Object(more)) if self.own => input.extend(more.clone()),
                _ if self.own => put(&mut body, name, Some(value.clone())),
                _ if says_nothing(name, value) => {}
                _ => self.gaps.left_out_extra(Place::Body, name),
            }
        }
        put(&mut body, "input", Some(input));
        body
    }

    /// What the operator says, and the rest: what the user says where nobody else speaks, else a script with a line for the model to
    /// go on from.
    fn texts(&mut self) -> (String, String) {
        let call = self.call;
        let is_operators =
            |message: &&Message| matches!(message.role, Role::System | Role::Developer);
        let mut system = Vec::new();
        for message in call.messages.iter().filter(is_operators) {
            system.push(self.text(message));
        }
        let others: Vec<&Message> = call
            .messages
            .iter()
            .filter(|message| !is_operators(message))
            .collect();
        let prompt = match others.as_slice() {
            [only] if only.role == Role::User => self.text(only),
            [] => std::mem::take(&mut system).join("\n\n"),
            several => {
                let mut script = String::new();
                for message in several {
                    let speaker = match message.role {
                        Role::Assistant => "Assistant",
                        _ => "User",
                    };
                    // Writing to a string cannot fail.
                    let _written = write!(script, "{speaker}: {}\n\n", self.text(message));
                }
                script.push_str("Assistant:");
                script
            }
        };
        (system.join("\n\n"), prompt)
    }

    /// The texts of a message, a paragraph each.
    fn text(&mut self, message: &Message) -> String {
        if message.name.is_some() {
            self.gaps.left_out(Field::SpeakerName);
        }
        for name in message.extra.keys() {
            self.gaps.left_out_extra(Place::Message, name);
        }
        let mut texts = Vec::new();
        for part in &message.content {
            texts.extend(self.text_of(part));
        }
        texts.join("\n\n")
    }

    fn text_of<'a>(&mut self, part: &'a Part) -> Option<&'a str> {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        for name in part.extra.keys() {
            self.gaps.left_out_extra(Place::Content, name);
        }
        let field = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                return Some(text);
            }
            PartKind::Refusal { text } => return Some(text),
            PartKind::Image { .. } => Field::Image,
            PartKind::Audio { .. } => Field::Audio,
            PartKind::Document { .. } => Field::Document,
            PartKind::ToolCall { .. } | PartKind::ToolResult { .. } => Field::ToolResult,
            PartKind::Reasoning { .. } => Field::Reasoning,
            PartKind::RedactedReasoning { .. } => Field::RedactedReasoning,
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("content");
                self.gaps.left_out_extra(Place::Content, kind);
                return None;
            }
        };
        self.gaps.left_out(field);
        None
    }

    /// One text, the sequences apart by commas.
    fn stop_sequences(&mut self) -> Option<String> {
        let (told, lost): (Vec<&str>, Vec<&str>) = self
            .call
            .stop
            .iter()
            .map(String::as_str)
            .partition(|stop| !stop.contains(STOPS_APART) && !stop.is_empty());
        if !lost.is_empty() {
            self.gaps.left_out(Field::Stop);
        }
        (!told.is_empty()).then(|| told.join(STOPS_APART))
    }

    /// What no prediction of a language model can be asked.
    fn unknown_here(&mut self) {
        let call = self.call;
        let is_tool = |kind| call.tools.iter().any(|tool| tool.kind == kind);
        let reasoning = call.reasoning.as_ref();
        let asks_reasoning = |reasoning: &Reasoning| {
            let effort = &reasoning.effort;
            reasoning.enabled == Some(true)
                || effort
                    .as_ref()
                    .is_some_and(|effort| *effort != ReasoningEffort::None)
        };
        let has_budget = |reasoning: &Reasoning| reasoning.budget_tokens.is_some();
        let formats = |format: &ResponseFormat| !matches!(format, ResponseFormat::Text);
        let chooses = |choice: &ToolChoice| {
            !matches!(choice, ToolChoice::Auto | ToolChoice::None) && !call.tools.is_empty()
        };
        for (field, is_set) in [
            (Field::Tools, is_tool(ToolKind::Function)),
            (Field::CustomTool, is_tool(ToolKind::Custom)),
            (
                Field::ToolChoice,
                call.tool_choice.as_ref().is_some_and(chooses),
            ),
            (Field::N, call.n.is_some_and(|n| n != 1)),
            (Field::Logprobs, call.logprobs == Some(true)),
            (
                Field::TopLogprobs,
                call.top_logprobs.is_some_and(|count| count > 0),
            ),
            (
                Field::ResponseFormat,
                call.response_format.as_ref().is_some_and(formats),
            ),
            (Field::ReasoningBudget, reasoning.is_some_and(has_budget)),
            (
                Field::ReasoningEffort,
                reasoning.is_some_and(|told| asks_reasoning(told) && !has_budget(told)),
            ),
            (Field::User, call.user.is_some()),
            (Field::ServiceTier, call.service_tier.is_some()),
        ] {
            if is_set {
                self.gaps.left_out(field);
            }
        }
        for tool in &call.tools {
            if tool.kind == ToolKind::Foreign {
                let kind = tool.extra.get("type").and_then(Value::as_str);
                let kind = kind.unwrap_or(&tool.name);
                self.gaps.left_out_extra(Place::Tool, kind);
            }
        }
    }
}
