//! Whole answers, read and written.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::{
    citations,
    read::{TOOL_PLAN, read_content, read_tool_calls},
    wire::{
        is_failure, read_logprobs, read_usage, stop_reason, stop_word, write_logprobs, write_usage,
    },
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Extra, Part, PartKind, ReadError, Stop,
    StopReason,
    json::{Fields, put},
    openai_chat::{self, to_bytes, tool_call_id},
};

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let id = loose_text(&mut fields, "id").unwrap_or_default();
    let word = loose_text(&mut fields, "finish_reason");
    if word.as_deref().is_some_and(is_failure) {
        let said = loose_text(&mut fields, "error");
        let said = said.as_deref().unwrap_or("the provider reports an error");
        return Err(fields.error("finish_reason", said));
    }
    let mut message = match fields.any("message") {
        Some(message @ Value::Object(_)) => Fields::of("message", message)?,
        // An error, for all that its status says.
        Some(Value::String(text)) => return Err(fields.error("message", &text)),
        _ => return Err(fields.error("message", "is missing; it must be an object")),
    };
    let content = read_message(&mut message, &id)?;
    drop(message.any("role"));
    let mut extra = Map::new();
    let rest = message.rest();
    if !rest.is_empty() {
        extra.insert("message".to_owned(), Value::Object(rest));
    }
    let logprobs = fields.list("logprobs").unwrap_or_default();
    let choice = AnswerChoice {
        index: 0,
        content,
        stop: word.map(|word| Stop::new(stop_reason(&word))),
        logprobs: read_logprobs(&logprobs),
        extra,
    };
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id,
        model: loose_text(&mut fields, "model").unwrap_or_default(),
        created: None,
        choices: vec![choice],
        usage: fields.any("usage").as_ref().and_then(read_usage),
        service_tier: None,
        extra: Extra {
            dialect: Dialect::CohereChat,
            fields: fields.rest(),
        },
    })))
}

/// A text; nothing for anything else. An answer is not refused for a strange id.
fn loose_text(fields: &mut Fields, name: &str) -> Option<String> {
    match fields.any(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn read_message(message: &mut Fields, answer_id: &str) -> Result<Vec<Part>, ReadError> {
    let citations = message.list("citations").unwrap_or_default();
    let mut content = cite(read_content(message)?, &citations);
    if let Some(plan) = loose_text(message, TOOL_PLAN).filter(|plan| !plan.is_empty()) {
        content.push(Part::text(plan));
    }
    read_tool_calls(message, &mut content)?;
    for (number, part) in content.iter_mut().enumerate() {
        if let PartKind::ToolCall { id, .. } = &mut part.kind
            && id.is_empty()
        {
            *id = tool_call_id(answer_id, 0, number);
        }
    }
    Ok(content)
}

/// Cuts texts at their citations, and leaves out those that are empty.
fn cite(content: Vec<Part>, citations: &[Value]) -> Vec<Part> {
    let is_text = |part: &Part| matches!(part.kind, PartKind::Text { .. });
    // Where a citation does not say what it is about, it is about the first text.
    let first = content.iter().position(is_text);
    let mut cited = Vec::new();
    for (index, part) in content.into_iter().enumerate() {
        let PartKind::Text { text, .. } = &part.kind else {
            cited.push(part);
            continue;
        };
        let mut about: Vec<&Value> = citations
            .iter()
            .filter(|citation| {
                let index_of = citation["content_index"].as_u64();
                let told = index_of.and_then(|index| usize::try_from(index).ok());
                told.or(first) == Some(index)
            })
            .collect();
        if about.is_empty() {
            cited.extend((!text.is_empty()).then_some(part));
        } else {
            about.sort_by_key(|citation| citation["start"].as_u64());
            cited.extend(citations::cut(text, &about));
        }
    }
    cited
}

/// Writes a whole answer for a client. Cohere's clients know one choice only.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => to_bytes(&Value::Object(write_chat(answer, form))),
        other => openai_chat::write_answer(other, form),
    }
}

fn write_chat(answer: &ChatAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let own = answer.extra.dialect == Dialect::CohereChat;
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| choice.content.as_slice());
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let mut message = write_message(parts, own);
    if let Some(Value::Object(rest)) = choice
        .filter(|_| own)
        .and_then(|choice| choice.extra.get("message"))
    {
        message.extend(rest.clone());
    }
    let id = match answer.id.as_str() {
        "" => form.fallback_id,
        id => id,
    };
    let mut written = Map::new();
    put(&mut written, "id", Some(id));
    put(&mut written, "message", Some(message));
    put(
        &mut written,
        "finish_reason",
        Some(stop_of(parts, stop, own)),
    );
    put(
        &mut written,
        "usage",
        Some(write_usage(&answer.usage.unwrap_or_default())),
    );
    let logprobs = choice.and_then(|choice| choice.logprobs.as_ref());
    put(&mut written, "logprobs", logprobs.map(write_logprobs));
    if own {
        written.extend(answer.extra.fields.clone());
    }
    written
}

/// The message. What is said before tools are called is Cohere's `tool_plan`: its clients send that back, and no content. All
/// texts are one, which clients take for the answer.
fn write_message(parts: &[Part], own: bool) -> Map<String, Value> {
    let calls_tools = parts
        .iter()
        .any(|part| matches!(part.kind, PartKind::ToolCall { .. }));
    let mut content = Vec::new();
    let mut said = Said::default();
    let mut tool_calls = Vec::new();
    for part in parts {
        match &part.kind {
            PartKind::Text { text, citations } => said.add(text, citations, content.len()),
            PartKind::Refusal { text } => said.add(text, &[], content.len()),
            PartKind::Reasoning { text, .. } if text.is_empty() => {}
            PartKind::Reasoning { text, .. } => {
                content.push(json!({"type": "thinking", "thinking": text}));
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                ..
            } => tool_calls.push(tool_call(id, name, arguments)),
            PartKind::Foreign { value } if own => content.push(value.clone()),
            // Nothing in this dialect's answers is like it.
            PartKind::RedactedReasoning { .. }
            | PartKind::Image { .. }
            | PartKind::Audio { .. }
            | PartKind::Document { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Foreign { .. } => {}
        }
    }
    let mut message = openai_chat::to_map(json!({"role": "assistant"}));
    if calls_tools {
        put(
            &mut message,
            TOOL_PLAN,
            (!said.text.is_empty()).then_some(said.text),
        );
    } else if let Some(index) = said.index {
        content.insert(
            index.min(content.len()),
            json!({"type": "text", "text": said.text}),
        );
        put(
            &mut message,
            "citations",
            (!said.citations.is_empty()).then_some(said.citations),
        );
    }
    put(
        &mut message,
        "content",
        (!content.is_empty()).then_some(content),
    );
    put(
        &mut message,
        "tool_calls",
        (!tool_calls.is_empty()).then_some(tool_calls),
    );
    message
}

/// The texts of an answer, joined.
#[derive(Default)]
struct Said {
    text: String,
    /// Of the text, in characters.
    length: usize,
    /// Its place in the content.
    index: Option<usize>,
    citations: Vec<Value>,
}

impl Said {
    fn add(&mut self, text: &str, citations: &[Value], index: usize) {
        let index = *self.index.get_or_insert(index);
        let place = u32::try_from(index).unwrap_or(u32::MAX);
        self.citations
            .extend(citations::write(text, self.length, place, citations));
        self.length += text.chars().count();
        self.text.push_str(text);
    }
}

pub(super) fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    let arguments = if arguments.is_empty() {
        "{}"
    } else {
        arguments
    };
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// The finish reason. Clients act on it, so that where the provider's says less than the content, the content tells.
fn stop_of(parts: &[Part], stop: Option<&Stop>, own: bool) -> String {
    match stop.map(|stop| &stop.reason) {
        Some(StopReason::Other(word)) if own => return word.clone(),
        None | Some(StopReason::EndTurn | StopReason::Other(_)) => {}
        Some(reason) => return stop_word(reason).to_owned(),
    }
    let calls = |part: &Part| matches!(part.kind, PartKind::ToolCall { .. });
    let word = if parts.iter().any(calls) {
        "TOOL_CALL"
    } else {
        "COMPLETE"
    };
    word.to_owned()
}
