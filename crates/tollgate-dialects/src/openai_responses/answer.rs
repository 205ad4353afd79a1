//! Whole answers: read, written, and glanced at.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::{
    ITEM, proof,
    read::read_answer_item,
    wire::{
        WireUsage, annotation, citation, is_tool_call, item_id, response_id, state, stop_reason,
        with_searches, write_usage,
    },
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Extra, Glance, Part, PartKind, ReadError, Stop,
    StopReason, ToolKind,
    error::read_in_stream,
    json::{Fields, put},
    openai_chat::{Text, loose_text, parse, seconds, to_bytes, to_map},
};

/// Members of `usage` that [`Usage`] holds.
const KNOWN_USAGE: [&str; 5] = [
    "input_tokens",
    "input_tokens_details",
    "output_tokens",
    "output_tokens_details",
    "total_tokens",
];

/// Members of every answer. All others of an answer in this dialect are those that the provider gave.
const HEAD: [&str; 9] = [
    "id",
    "object",
    "created_at",
    "status",
    "error",
    "incomplete_details",
    "model",
    "output",
    "usage",
];

/// Members of a call that its answer repeats (<https://platform.openai.com/docs/api-reference/responses/object>, read 2026-11).
const REPEATED: [&str; 17] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// OpenAI's words for service tiers (<https://platform.openai.com/docs/api-reference/responses>, read 2026-11).
const TIERS: [&str; 5] = ["auto", "default", "flex", "scale", "priority"];

// === reading ===

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if let Some(error) = fields.peek("error") {
        let message = error["message"].as_str();
        return Err(fields.error("error", message.unwrap_or("the provider reports an error")));
    }
    if !fields.peek("output").is_some_and(Value::is_array) {
        return Err(fields.error("output", "is missing; it must be a list of items"));
    }
    let mut content = read_bare_reasoning(&mut fields);
    for (index, item) in fields.list("output")?.into_iter().enumerate() {
        read_answer_item(format!("output[{index}]"), item, &mut content)?;
    }
    content.iter_mut().for_each(tell_citations);
    let stop = stop_of(&fields, &content);
    let service_tier = fields
        .any("service_tier")
        .and_then(|tier| tier.as_str().map(str::to_owned));
    let usage = read_usage(&mut fields).map(|usage| usage.in_tier(service_tier.as_deref()));
    let usage = usage.map(|usage| with_searches_of(usage, body));
    let choice = AnswerChoice {
        index: 0,
        logprobs: logprobs_of(&content),
        content,
        stop: stop.map(Stop::new),
        extra: Map::new(),
    };
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: loose_text(&mut fields, "id"),
        model: loose_text(&mut fields, "model"),
        created: fields.any("created_at").as_ref().and_then(seconds),
        choices: vec![choice],
        usage,
        service_tier,
        extra: Extra {
            dialect: Dialect::OpenaiResponses,
            fields: fields.rest(),
        },
    })))
}

/// Adds the searches of the web that were made for a whole answer.
fn with_searches_of(usage: Usage, body: &[u8]) -> Usage {
    if memmem::find(body, b"web_search_call").is_none() {
        return usage;
    }
    let whole = serde_json::from_slice::<Whole<'_>>(body).ok();
    whole.map_or(usage, |whole| {
        with_searches(usage, whole.output, whole.tools)
    })
}

/// Takes what was reasoned, where some say it and others how much to reason.
fn read_bare_reasoning(fields: &mut Fields) -> Vec<Part> {
    if !fields.peek("reasoning").is_some_and(Value::is_string) {
        return Vec::new();
    }
    let text = loose_text(fields, "reasoning");
    let kind = proof::reasoning(text, None)
        .filter(|kind| matches!(kind, PartKind::Reasoning { text, .. } if !text.trim().is_empty()));
    Vec::from_iter(kind.map(Part::new))
}

fn stop_of(fields: &Fields, content: &[Part]) -> Option<StopReason> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let incomplete = fields.peek("incomplete_details");
    let incomplete = text(incomplete.and_then(|details| details.get("reason")));
    let asks_for_tool = content
        .iter()
        .any(|part| matches!(part.kind, PartKind::ToolCall { .. }));
    let status = text(fields.peek("status"));
    stop_reason(status.as_deref(), incomplete.as_deref(), asks_for_tool)
}

/// What annotations say of a text is told to other dialects as citations.
fn tell_citations(part: &mut Part) {
    if let PartKind::Text { text, citations } = &mut part.kind
        && let Some(Value::Array(annotations)) = part.extra.get("annotations")
    {
        let told = annotations.iter();
        citations.extend(told.filter_map(|annotation| citation(annotation, text)));
    }
}

/// The log-probabilities of all texts, in a chat's form.
fn logprobs_of(content: &[Part]) -> Option<Value> {
    let lists = content.iter();
    let lists = lists.filter_map(|part| part.extra.get("logprobs")?.as_array());
    let all: Vec<Value> = lists.flatten().cloned().collect();
    (!all.is_empty()).then(|| json!({"content": all}))
}

/// Takes what our form of usage holds; the rest stays where it is.
fn read_usage(fields: &mut Fields) -> Option<Usage> {
    let mut told = to_map(fields.any("usage")?);
    let usage = WireUsage::deserialize(&Value::Object(told.clone())).ok();
    told.retain(|name, value| !value.is_null() && !KNOWN_USAGE.contains(&name.as_str()));
    if !told.is_empty() {
        fields.leave("usage", Value::Object(told));
    }
    usage?.into_usage()
}

// === glancing ===

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ItemGlimpse<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
}

/// Glances at a whole answer that passes through.
pub(crate) fn glance(body: &[u8]) -> Result<Glance, ReadError> {
    let whole: Whole<'_> =
        serde_json::from_slice(body).map_err(|error| ReadError::Json(error.to_string()))?;
    let status = whole.status.and_then(parse::<Text<'_>>);
    let incomplete = whole.incomplete_details.and_then(parse::<Incomplete<'_>>);
    let incomplete = incomplete.unwrap_or_default().reason;
    let items = whole.output.and_then(parse::<Vec<ItemGlimpse<'_>>>);
    let asks_for_tool = items
        .iter()
        .flatten()
        .any(|item| item.kind.as_ref().is_some_and(|kind| is_tool_call(&kind.0)));
    let stop = || {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
        stop_reason(
            text(&status).as_deref(),
            text(&incomplete).as_deref(),
            asks_for_tool,
        )
    };
    let usage = whole.usage.and_then(parse::<WireUsage>);
    let tier = whole.service_tier.and_then(parse::<Text<'_>>);
    Ok(Glance {
        usage: usage
            .and_then(WireUsage::into_usage)
            .map(|usage| usage.in_tier(tier.as_ref().map(|tier| &*tier.0)))
            .map(|usage| with_searches(usage, whole.output, whole.tools)),
        // Counts of tokens, and conversations made shorter, have no output that ends.
        stop: items.is_some().then(stop).flatten(),
        model: whole.model.and_then(parse),
        error: whole
            .error
            .map(|_| read_in_stream(Dialect::OpenaiResponses, body)),
    })
}

// === writing ===

/// Writes a whole answer for a client. There is one choice here.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => to_bytes(&Value::Object(write_response(answer, form))),
        // No such answer is given to a call of this dialect.
        Answer::Embedding(_) | Answer::Rerank(_) => to_bytes(&json!({})),
        Answer::Predict(value) => to_bytes(value),
    }
}

fn write_response(answer: &ChatAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let own = answer.extra.dialect == Dialect::OpenaiResponses;
    let id = match form.kept {
        true => form.fallback_id.to_owned(),
        false => response_id(&answer.id, form.fallback_id),
    };
    let model = match answer.model.as_str() {
        "" => form.fallback_model,
        model => model,
    };
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| choice.content.as_slice());
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let logprobs = choice.and_then(|choice| choice.logprobs.as_ref());
    let mut output = Output::new(&id, own);
    parts.iter().for_each(|part| output.add(part));
    output.close(logprobs.filter(|_| !own));
    let mut extra = if own {
        answer.extra.fields.clone()
    } else {
        Map::new()
    };
    let asked = if own { Map::new() } else { asked(form) };
    let head = Head {
        id: &id,
        model,
        created: answer.created.unwrap_or(form.created),
        stop: stop.map(|stop| &stop.reason),
        asked: &asked,
    };
    let usage = answer.usage.as_ref().map(write_usage);
    let mut response = head.write(output.items, usage);
    let more = to_map(extra.shift_remove("usage").unwrap_or_default());
    if let Some(Value::Object(usage)) = response.get_mut("usage") {
        if own {
            // What it cost is among the rest, as its provider writes it.
            usage.shift_remove("cost");
        }
        usage.extend(more);
    }
    if own {
        response.retain(|name, _| HEAD.contains(&name.as_str()) || extra.contains_key(name));
    }
    // Other copies of OpenAI's API have words of their own (`on_demand`), which its clients do not know.
    let tier = answer.service_tier.as_deref();
    let tier = tier.filter(|tier| own || TIERS.contains(tier));
    put(&mut response, "service_tier", tier);
    response.extend(extra);
    response
}

/// What is told of an answer besides its output and usage.
pub(super) struct Head<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) created: i64,
    /// Why it ended, if it has.
    pub(super) stop: Option<&'a StopReason>,
    /// What is repeated of the call.
    pub(super) asked: &'a Map<String, Value>,
}

/// What answers of this dialect repeat of a call, and whether they are kept.
pub(super) fn asked(form: &AnswerForm<'_>) -> Map<String, Value> {
    let mut call: Map<String, Value> = serde_json::from_slice(form.asked).unwrap_or_default();
    call.retain(|name, value| REPEATED.contains(&name.as_str()) && !value.is_null());
    if form.kept {
        call.insert("store".to_owned(), Value::Bool(true));
    }
    call
}

impl Head<'_> {
    /// An answer that has ended. Clients' libraries insist on members that repeat the call; where it left them out, they say what
    /// that means.
    pub(super) fn write(&self, output: Vec<Value>, usage: Option<Value>) -> Map<String, Value> {
        let (status, incomplete) = state(self.stop);
        let incomplete = incomplete.map(|reason| json!({"reason": reason}));
        let mut response = to_map(json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete,
            "instructions": null,
            "max_output_tokens": null,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "store": false,
            "temperature": null,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": usage,
            "user": null,
            "metadata": {},
        }));
        for (name, value) in self.asked {
            repeat(&mut response, name, value);
        }
        response
    }
}

/// Repeats a member of the call. What a member that holds others left out of them stays as it is.
fn repeat(response: &mut Map<String, Value>, name: &str, asked: &Value) {
    match (response.get_mut(name), asked) {
        (Some(Value::Object(told)), Value::Object(asked)) => told.extend(asked.clone()),
        _ => {
            response.insert(name.to_owned(), asked.clone());
        }
    }
}

/// The items of an answer.
struct Output<'a> {
    response_id: &'a str,
    /// The answer came in this dialect.
    own: bool,
    items: Vec<Value>,
    /// The message that is being written.
    message: Option<Map<String, Value>>,
}

impl<'a> Output<'a> {
    fn new(response_id: &'a str, own: bool) -> Self {
        Self {
            response_id,
            own,
            items: Vec::new(),
            message: None,
        }
    }

    fn add(&mut self, part: &Part) {
        match &part.kind {
            PartKind::Text { text, citations } => {
                let annotations = citations.iter();
                let length = text.chars().count();
                let annotations: Vec<Value> = annotations
                    .filter_map(|citation| annotation(citation, length))
                    .collect();
                self.say(part, output_text(text, annotations, Vec::new()));
            }
            PartKind::Refusal { text } => {
                self.say(part, json!({"type": "refusal", "refusal": text}));
            }
            PartKind::Reasoning { text, signature } => {
                let encrypted = signature.as_deref().map(proof::of_signature);
                self.item(part, reasoning(text, encrypted));
            }
            PartKind::RedactedReasoning { data } => {
                self.item(part, reasoning("", Some(proof::of_redacted(data))));
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => self.item(part, tool_call(id, name, arguments, *kind)),
            PartKind::Foreign { value } if self.own && part.extra.contains_key(ITEM) => {
                self.end_message();
                self.items.push(value.clone());
            }
            PartKind::Foreign { value } if self.own => self.say(part, value.clone()),
            // Nothing in this dialect's answers is like it.
            PartKind::Image { .. }
            | PartKind::Audio { .. }
            | PartKind::Document { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Foreign { .. } => {}
        }
    }

    /// Adds a part to the message that is being written, unless another one begins with it.
    fn say(&mut self, part: &Part, mut content: Value) {
        let mut extra = if self.own {
            part.extra.clone()
        } else {
            Map::new()
        };
        let item = extra.shift_remove(ITEM);
        if item.is_some() {
            self.end_message();
        }
        if let Value::Object(content) = &mut content {
            content.extend(extra);
        }
        let mut message = match self.message.take() {
            Some(message) => message,
            None => self.begin_message(item),
        };
        if let Some(Value::Array(said)) = message.get_mut("content") {
            said.push(content);
        }
        self.message = Some(message);
    }

    fn begin_message(&self, item: Option<Value>) -> Map<String, Value> {
        let mut written = to_map(json!({
            "type": "message",
            "id": item_id("message", self.response_id, self.items.len()),
            "status": "completed",
            "role": "assistant",
            "content": [],
        }));
        written.extend(to_map(item.unwrap_or_default()));
        written
    }

    fn item(&mut self, part: &Part, mut written: Map<String, Value>) {
        self.end_message();
        let kind = written["type"].as_str().unwrap_or_default();
        let id = item_id(kind, self.response_id, self.items.len());
        written.insert("id".to_owned(), json!(id));
        if self.own {
            let mut extra = part.extra.clone();
            written.extend(to_map(extra.shift_remove(ITEM).unwrap_or_default()));
            written.extend(extra);
        }
        self.items.push(Value::Object(written));
    }

    fn end_message(&mut self) {
        self.items.extend(self.message.take().map(Value::Object));
    }

    /// Ends the last message. Log-probabilities are its last text's.
    fn close(&mut self, logprobs: Option<&Value>) {
        self.end_message();
        let texts = self
            .items
            .iter_mut()
            .filter_map(|item| item.get_mut("content")?.as_array_mut())
            .flatten();
        let text = texts
            .filter(|content| content["type"] == "output_text")
            .last();
        let list = logprobs.and_then(|logprobs| logprobs["content"].as_array());
        if let (Some(text), Some(list)) = (text, list) {
            text["logprobs"] = Value::Array(list.clone());
        }
    }
}

/// A text of an answer's.
pub(super) fn output_text(text: &str, annotations: Vec<Value>, logprobs: Vec<Value>) -> Value {
    json!({"type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": text})
}

/// Reasoning of an answer's.
pub(super) fn reasoning(text: &str, encrypted: Option<String>) -> Map<String, Value> {
    let summary = (!text.is_empty()).then(|| json!({"type": "summary_text", "text": text}));
    let summary = Vec::from_iter(summary);
    let mut written = to_map(json!({"type": "reasoning", "summary": summary}));
    put(&mut written, "encrypted_content", encrypted);
    written
}

/// A call of a tool, done.
pub(super) fn tool_call(
    id: &str,
    name: &str,
    arguments: &str,
    kind: ToolKind,
) -> Map<String, Value> {
    to_map(match kind {
        ToolKind::Custom => {
            json!({"type": "custom_tool_call", "status": "completed", "call_id": id, "name": name, "input": arguments})
        }
        ToolKind::Function | ToolKind::Foreign => {
            json!({"type": "function_call", "status": "completed", "call_id": id, "name": name, "arguments": arguments})
        }
    })
}
