//! Whole answers, read and written; those of completions differ in where the text is.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::wire::{
    date, is_ollamas, last_members, read_metrics, seconds, stop_reason, tool_call_id,
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Extra, Part, PartKind, ReadError, Stop, ToolKind,
    anthropic_messages::{invalid_arguments, parse_arguments},
    json::{Fields, put},
    ollama_embeddings,
    openai_chat::to_bytes,
};

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    read_answer_with(body, Dialect::OllamaChat, |fields, created_at| {
        let Some(message) = fields.any("message") else {
            return Err(fields.error("message", "is missing; it must be an object"));
        };
        let mut message = Fields::of("message", message)?;
        drop(message.any("role"));
        let mut content = read_texts(&mut message, "content")?;
        for (number, call) in message.list("tool_calls")?.into_iter().enumerate() {
            content.push(read_tool_call(
                Fields::of(format!("message.tool_calls[{number}]"), call)?,
                created_at,
                number,
            )?);
        }
        let rest = message.rest();
        if !rest.is_empty() {
            fields.leave("message", Value::Object(rest));
        }
        Ok(content)
    })
}

/// Reads an answer of chat or of completions. `read_content` takes what is said, of an answer of this date.
pub(crate) fn read_answer_with(
    body: &[u8],
    dialect: Dialect,
    read_content: impl Fn(&mut Fields, &str) -> Result<Vec<Part>, ReadError>,
) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if let Some(error) = fields.any("error") {
        let message = error.as_str().unwrap_or("the provider reports an error");
        return Err(fields.error("error", message));
    }
    if fields.any("done") == Some(Value::Bool(false)) {
        return Err(fields.error("done", "is false: the answer is not complete"));
    }
    let created_at = loose_text(&mut fields, "created_at");
    let content = read_content(&mut fields, &created_at)?;
    let word = fields.any("done_reason");
    let has_tool_calls = content
        .iter()
        .any(|part| matches!(part.kind, PartKind::ToolCall { .. }));
    let stop = word
        .as_ref()
        .and_then(Value::as_str)
        .map(|word| Stop::new(stop_reason(word, has_tool_calls)));
    let choice = AnswerChoice {
        index: 0,
        content,
        stop,
        logprobs: fields
            .any("logprobs")
            .filter(Value::is_array)
            .map(|tokens| json!({"content": tokens})),
        extra: Map::new(),
    };
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: String::new(),
        model: loose_text(&mut fields, "model"),
        created: seconds(&created_at),
        choices: vec![choice],
        usage: read_metrics(&mut fields),
        service_tier: None,
        extra: Extra {
            dialect,
            fields: fields.rest(),
        },
    })))
}

/// A text; empty for anything else. An answer is not refused for a strange date.
fn loose_text(fields: &mut Fields, name: &str) -> String {
    match fields.any(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Takes what was thought, and what is said under this name.
pub(crate) fn read_texts(fields: &mut Fields, name: &str) -> Result<Vec<Part>, ReadError> {
    let thought = fields.text("thinking")?.filter(|text| !text.is_empty());
    let thought = thought.map(|text| {
        let signature = None;
        Part::new(PartKind::Reasoning { text, signature })
    });
    let said = fields.text(name)?.filter(|text| !text.is_empty());
    Ok(thought.into_iter().chain(said.map(Part::text)).collect())
}

fn read_tool_call(mut fields: Fields, created_at: &str, number: usize) -> Result<Part, ReadError> {
    let id = fields.text("id")?.filter(|id| !id.is_empty());
    let mut function = Fields::of(
        fields.path("function"),
        fields.any("function").unwrap_or_default(),
    )?;
    let arguments = match function.any("arguments") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    Ok(Part::new(PartKind::ToolCall {
        id: id.unwrap_or_else(|| tool_call_id(created_at, number)),
        name: function.required_text("name")?,
        arguments,
        kind: ToolKind::Function,
    }))
}

/// Writes a whole answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => write_frame(answer, form, write_message),
        Answer::Embedding(_) => ollama_embeddings::write_answer(answer, form),
        // No such answer is given to a call of this dialect.
        Answer::Rerank(_) => to_bytes(&json!({})),
        Answer::Predict(value) => to_bytes(value),
    }
}

fn write_message(said: Said) -> Map<String, Value> {
    let mut message = Map::new();
    put(&mut message, "role", Some("assistant"));
    put(&mut message, "content", Some(said.text));
    put(&mut message, "thinking", said.thinking);
    let calls = (!said.tool_calls.is_empty()).then_some(said.tool_calls);
    put(&mut message, "tool_calls", calls);
    Map::from_iter([("message".to_owned(), Value::Object(message))])
}

/// Writes an answer of chat or of completions. Ollama's clients know one choice only.
pub(crate) fn write_frame(
    answer: &ChatAnswer,
    form: &AnswerForm<'_>,
    write_said: impl Fn(Said) -> Map<String, Value>,
) -> Bytes {
    let choice = answer.choices.first();
    let mut said = Said::default();
    let parts = choice.iter().flat_map(|choice| &choice.content);
    parts.for_each(|part| said.add(part));
    let model = match answer.model.as_str() {
        "" => form.fallback_model,
        model => model,
    };
    let mut written = Map::new();
    put(&mut written, "model", Some(model));
    let created = answer.created.unwrap_or(form.created);
    put(&mut written, "created_at", Some(date(created)));
    written.extend(write_said(said));
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let reason = stop.map(|stop| &stop.reason);
    written.extend(last_members(reason, answer.usage.as_ref()));
    let logprobs = choice.and_then(|choice| choice.logprobs.as_ref()?.get("content"));
    put(&mut written, "logprobs", logprobs.cloned());
    if is_ollamas(answer.extra.dialect) {
        for (name, value) in &answer.extra.fields {
            match (written.get_mut(name), value) {
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
                _ => put(&mut written, name, Some(value.clone())),
            }
        }
    }
    to_bytes(&Value::Object(written))
}

/// What an answer says, by the fields that Ollama has for it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: Option<String>,
    tool_calls: Vec<Value>,
}

impl Said {
    fn add(&mut self, part: &Part) {
        match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal { text } => self.text.push_str(text),
            PartKind::Reasoning { text, .. } if text.is_empty() => {}
            PartKind::Reasoning { text, .. } => {
                self.thinking.get_or_insert_default().push_str(text);
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                ..
            } => {
                let index = self.tool_calls.len();
                self.tool_calls.push(tool_call(id, index, name, arguments));
            }
            // Nothing in this dialect's answers is like it.
            PartKind::RedactedReasoning { .. }
            | PartKind::Image { .. }
            | PartKind::Audio { .. }
            | PartKind::Document { .. }
            | PartKind::ToolResult { .. }
            | PartKind::Foreign { .. } => {}
        }
    }
}

/// A tool call of an answer; its arguments are an object.
pub(super) fn tool_call(id: &str, index: usize, name: &str, arguments: &str) -> Value {
    let arguments = parse_arguments(arguments).unwrap_or_else(|| invalid_arguments(arguments));
    json!({"id": id, "function": {"index": index, "name": name, "arguments": arguments}})
}
