//! Whole answers, read and written. OpenAI's text completions differ in their choices only.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::{
    read::{REASONING_FIELDS, read_function_call, read_reasoning, read_refusal, read_tool_calls},
    sources::{SOURCES, citations_of, cite},
    usage::{WireUsage, write_usage},
    wire::{Text, finish_reason, is_failure, seconds, short, stop_reason},
    write::{to_bytes, to_map},
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Extra, Part, PartKind, ReadError, Stop,
    StopReason, ToolKind, cohere_rerank,
    gemini_generate::geminis_signature,
    json::{Fields, put},
    openai_embeddings,
};

// === reading ===

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut answer = read_answer_with(body, Dialect::OpenaiChat, read_choice)?;
    name_tool_calls(&mut answer);
    let sources = SOURCES
        .iter()
        .find_map(|name| answer.extra.fields.get(*name));
    if let (Some(sources), Some(choice)) = (sources, answer.choices.first_mut()) {
        cite(&mut choice.content, citations_of(sources));
    }
    Ok(Answer::Chat(Box::new(answer)))
}

/// Gives an id to tool calls that have none: other dialects cannot do without.
fn name_tool_calls(answer: &mut ChatAnswer) {
    for choice in &mut answer.choices {
        for (number, part) in choice.content.iter_mut().enumerate() {
            if let PartKind::ToolCall { id, .. } = &mut part.kind
                && id.is_empty()
            {
                *id = tool_call_id(&answer.id, choice.index, number);
            }
        }
    }
}

/// An id for a tool call to which the provider gave none: the same for the same answer, another for every other.
pub(crate) fn tool_call_id(answer_id: &str, choice: u32, part: usize) -> String {
    format!("call_{}_{choice}_{part}", short(answer_id))
}

/// Reads an answer of chat or of text completions, which differ in their choices only.
pub(crate) fn read_answer_with(
    body: &[u8],
    dialect: Dialect,
    read_choice: impl Fn(Fields) -> Result<AnswerChoice, ReadError>,
) -> Result<ChatAnswer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if let Some(error) = fields.peek("error") {
        let message = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("the provider reports an error");
        return Err(fields.error("error", message));
    }
    if !fields.peek("choices").is_some_and(Value::is_array) {
        return Err(fields.error("choices", "is missing; it must be a list of choices"));
    }
    let choices = fields.list("choices")?.into_iter().enumerate();
    let choices =
        choices.map(|(index, value)| read_choice(Fields::of(format!("choices[{index}]"), value)?));
    let choices = choices.collect::<Result<_, _>>()?;
    drop(fields.any("object"));
    let service_tier = fields
        .any("service_tier")
        .and_then(|tier| tier.as_str().map(str::to_owned));
    Ok(ChatAnswer {
        choices,
        id: loose_text(&mut fields, "id"),
        model: loose_text(&mut fields, "model"),
        created: fields.any("created").as_ref().and_then(seconds),
        usage: fields.any("usage").and_then(|usage| {
            serde_json::from_value::<WireUsage>(usage)
                .ok()?
                .into_usage()
                .map(|usage| usage.in_tier(service_tier.as_deref()))
        }),
        service_tier,
        extra: Extra {
            dialect,
            fields: fields.rest(),
        },
    })
}

/// A text; empty for anything else. An answer is not refused for a strange id.
pub(crate) fn loose_text(fields: &mut Fields, name: &str) -> String {
    match fields.any(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn read_choice(mut fields: Fields) -> Result<AnswerChoice, ReadError> {
    let mut message = Fields::of(
        fields.path("message"),
        fields.any("message").unwrap_or_default(),
    )?;
    drop(message.any("role"));
    let mut content = read_reasoning(&message);
    match message.any("content") {
        None => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) => content.push(Part::text(text)),
        Some(Value::Array(parts)) => content.extend(parts.into_iter().filter_map(read_answer_part)),
        // Some providers give structured output as the object that it is.
        Some(structured) => content.push(Part::text(structured.to_string())),
    }
    read_refusal(&mut message, &mut content)?;
    read_tool_calls(&mut message, &mut content)?;
    if let Some(call) = message.any("function_call") {
        content.push(read_function_call(
            Fields::of(message.path("function_call"), call)?,
            String::new(),
        )?);
    }
    // They go back to this dialect as they came.
    if let Some(annotations) = message.peek("annotations") {
        cite(&mut content, citations_of(annotations));
    }
    let mut choice = read_choice_frame(&mut fields)?;
    choice.content = content;
    let message = message.rest();
    if !message.is_empty() {
        fields.leave("message", Value::Object(message));
    }
    choice.extra = fields.rest();
    Ok(choice)
}

/// What choices of chat and of text completions share.
pub(crate) fn read_choice_frame(fields: &mut Fields) -> Result<AnswerChoice, ReadError> {
    let index = fields
        .count("index")?
        .and_then(|index| u32::try_from(index).ok())
        .unwrap_or(0);
    if let Some(error) = fields.peek("error") {
        let message = error["message"].as_str();
        return Err(fields.error("error", message.unwrap_or("the provider reports an error")));
    }
    let word = fields.any("finish_reason");
    let failed = |word: &str| is_failure(&Text(word.into()));
    if word.as_ref().and_then(Value::as_str).is_some_and(failed) {
        return Err(fields.error("finish_reason", "says that the provider failed"));
    }
    let reason = word.as_ref().and_then(Value::as_str).and_then(stop_reason);
    Ok(AnswerChoice {
        index,
        content: Vec::new(),
        stop: reason.map(Stop::new),
        logprobs: fields.any("logprobs"),
        extra: Map::new(),
    })
}

/// A member of an answer's `content` list: text, Mistral's thinking, or the reasoning of Databricks.
fn read_answer_part(value: Value) -> Option<Part> {
    let thinking = value.get("thinking").or(value.get("summary"));
    if let Some(Value::Array(thinking)) = thinking {
        let text = |name: &'static str| {
            let parts = thinking.iter();
            parts.filter_map(move |part| part.get(name)?.as_str())
        };
        return Some(Part::new(PartKind::Reasoning {
            text: text("text").collect(),
            signature: text("signature").next().map(str::to_owned),
        }));
    }
    match value.get("text").and_then(Value::as_str) {
        Some("") => None,
        Some(text) => Some(Part::text(text)),
        None => Some(Part::new(PartKind::Foreign { value })),
    }
}

// === writing ===

/// Writes a whole answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => {
            let own = answer.extra.dialect == Dialect::OpenaiChat;
            to_bytes(&write_frame(
                answer,
                form,
                "chat.completion",
                own,
                |choice| write_choice(choice, own),
            ))
        }
        Answer::Embedding(_) => openai_embeddings::write_answer(answer, form),
        Answer::Rerank(_) => cohere_rerank::write_answer(answer, form),
        Answer::Predict(value) => to_bytes(value),
    }
}

/// Writes an answer of chat or of text completions, which differ in their choices only. `own`: it came in the dialect in
/// which it is written.
pub(crate) fn write_frame(
    answer: &ChatAnswer,
    form: &AnswerForm<'_>,
    object: &str,
    own: bool,
    write_choice: impl Fn(&AnswerChoice) -> Value,
) -> Value {
    let or = |text: &str, otherwise: &str| {
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut written = Map::new();
    put(&mut written, "id", Some(or(&answer.id, form.fallback_id)));
    put(&mut written, "object", Some(object));
    put(
        &mut written,
        "created",
        Some(answer.created.unwrap_or(form.created)),
    );
    put(
        &mut written,
        "model",
        Some(or(&answer.model, form.fallback_model)),
    );
    put(
        &mut written,
        "choices",
        Some(answer.choices.iter().map(write_choice).collect::<Vec<_>>()),
    );
    put(
        &mut written,
        "usage",
        answer.usage.as_ref().map(write_usage),
    );
    if own {
        put(&mut written, "service_tier", answer.service_tier.clone());
        written.extend(answer.extra.fields.clone());
    }
    Value::Object(written)
}

fn write_choice(choice: &AnswerChoice, own: bool) -> Value {
    let mut extra = if own {
        choice.extra.clone()
    } else {
        Map::new()
    };
    let message_extra = to_map(extra.remove("message").unwrap_or_default());
    let mut written = Map::new();
    put(&mut written, "index", Some(choice.index));
    put(
        &mut written,
        "message",
        Some(write_message(choice, message_extra, own)),
    );
    let logprobs = choice.logprobs.as_ref().map(whole_logprobs);
    written.insert("logprobs".to_owned(), logprobs.unwrap_or_default());
    put(
        &mut written,
        "finish_reason",
        Some(finish_word(choice, own)),
    );
    written.extend(extra);
    Value::Object(written)
}

/// Log-probabilities with both of their lists; what another dialect says of them has one.
pub(super) fn whole_logprobs(logprobs: &Value) -> Value {
    let mut logprobs = logprobs.clone();
    if let Value::Object(lists) = &mut logprobs {
        for name in ["content", "refusal"] {
            lists.entry(name).or_insert(Value::Null);
        }
    }
    logprobs
}

/// The finish reason. Clients insist on one, so that where the provider gave none it follows from the content.
pub(crate) fn finish_word(choice: &AnswerChoice, own: bool) -> String {
    let asks_for_tool = choice
        .content
        .iter()
        .any(|part| matches!(part.kind, PartKind::ToolCall { .. }));
    match choice.stop.as_ref().map(|stop| &stop.reason) {
        Some(StopReason::Other(word)) if own => word.clone(),
        Some(reason) => finish_reason(reason).to_owned(),
        None => if asks_for_tool { "tool_calls" } else { "stop" }.to_owned(),
    }
}

fn write_message(choice: &AnswerChoice, mut extra: Map<String, Value>, own: bool) -> Value {
    let mut said = Said::default();
    for part in &choice.content {
        said.add(part, own);
    }
    let mut message =
        to_map(json!({"role": "assistant", "content": said.text, "refusal": said.refusal}));
    let reasoning_as_it_came = REASONING_FIELDS
        .iter()
        .any(|name| extra.contains_key(*name));
    if !reasoning_as_it_came {
        put(&mut message, "reasoning_content", said.reasoning);
        put(
            &mut message,
            "reasoning_details",
            some(said.reasoning_details),
        );
    }
    if let Some(Value::Array(foreign)) = extra.remove("tool_calls") {
        said.tool_calls.extend(foreign);
    }
    put(&mut message, "tool_calls", some(said.tool_calls));
    put(&mut message, "annotations", some(said.annotations));
    message.extend(extra);
    Value::Object(message)
}

/// The parts of an answer, sorted into the fields of a message.
#[derive(Default)]
pub(super) struct Said {
    pub(super) text: Option<String>,
    /// Of the text, in characters.
    pub(super) length: usize,
    pub(super) refusal: Option<String>,
    pub(super) reasoning: Option<String>,
    pub(super) reasoning_details: Vec<Value>,
    pub(super) tool_calls: Vec<Value>,
    pub(super) annotations: Vec<Value>,
    /// Gemini's proof of what comes next.
    pub(super) signature: Option<String>,
}

impl Said {
    pub(super) fn add(&mut self, part: &Part, own: bool) {
        match &part.kind {
            PartKind::Text { text, citations } => {
                let start = self.length;
                self.length += text.chars().count();
                let annotations = citations
                    .iter()
                    .filter_map(|citation| annotation(citation, start, self.length));
                self.annotations.extend(annotations);
                self.text.get_or_insert_default().push_str(text);
            }
            PartKind::Refusal { text } => self.refusal.get_or_insert_default().push_str(text),
            PartKind::Reasoning { text, signature } => {
                if !text.is_empty() {
                    self.reasoning.get_or_insert_default().push_str(text);
                }
                let index = self.reasoning_details.len();
                let mut detail =
                    to_map(json!({"type": "reasoning.text", "text": text, "index": index}));
                put(&mut detail, "signature", signature.clone());
                self.reasoning_details.push(Value::Object(detail));
            }
            PartKind::RedactedReasoning { data } => {
                self.signature = geminis_signature(data).map(str::to_owned);
                let index = self.reasoning_details.len();
                self.reasoning_details
                    .push(json!({"type": "reasoning.encrypted", "data": data, "index": index}));
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => {
                let mut call = tool_call(id, name, arguments, *kind);
                let signature = self.signature.take();
                put(&mut call, "extra_content", signature.map(extra_content));
                if own {
                    call.extend(part.extra.clone());
                }
                self.tool_calls.push(Value::Object(call));
            }
            // Nothing in this dialect's answers is like it.
            PartKind::Image { .. }
            | PartKind::Audio { .. }
            | PartKind::Document { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Foreign { .. } => {}
        }
    }
}

pub(super) fn tool_call(
    id: &str,
    name: &str,
    arguments: &str,
    kind: ToolKind,
) -> Map<String, Value> {
    to_map(match kind {
        ToolKind::Custom => {
            json!({"id": id, "type": "custom", "custom": {"name": name, "input": arguments}})
        }
        ToolKind::Function | ToolKind::Foreign => {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        }
    })
}

/// A proof of Gemini's that a tool call has to bring back, where Google's own OpenAI-compatible address has it
/// (<https://ai.google.dev/gemini-api/docs/openai>, read 2026-11).
pub(super) fn extra_content(signature: impl Into<Value>) -> Value {
    json!({"google": {"thought_signature": signature.into()}})
}

/// A list that has something in it.
pub(super) fn some(list: Vec<Value>) -> Option<Vec<Value>> {
    (!list.is_empty()).then_some(list)
}

/// An Anthropic citation as OpenAI's `url_citation` of the text from `start` to `end`, in characters, or of the range within it that
/// the citation names; `None` where it has no address, as those of documents.
pub(super) fn annotation(citation: &Value, start: usize, end: usize) -> Option<Value> {
    // Search results are known by their source, which may be an address.
    let source = || {
        let source = citation.get("source")?.as_str()?;
        source.starts_with("http").then_some(source)
    };
    let url = citation.get("url").and_then(Value::as_str);
    let url = url.or_else(source)?;
    let title = citation.get("title").and_then(Value::as_str).unwrap_or(url);
    // Gemini tells which characters of the text are meant.
    let at = |name: &str| {
        let at = usize::try_from(citation.get(name)?.as_u64()?).ok()?;
        Some(start.saturating_add(at).min(end))
    };
    let (start, end) = at("start_index")
        .zip(at("end_index"))
        .unwrap_or((start, end));
    Some(
        json!({"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": start, "end_index": end}}),
    )
}
