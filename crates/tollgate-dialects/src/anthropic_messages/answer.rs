//! Whole answers, read and written.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Usage};

use super::{
    read::read_content,
    wire::{WireUsage, message_id, stop_reason, stop_word, write_usage},
    write::{invalid_arguments, parse_arguments, to_map},
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Extra, Part, PartKind, ReadError, Stop,
    StopReason,
    json::{Fields, put},
    openai_chat::to_bytes,
};

/// Members of `usage` that [`Usage`] holds.
const KNOWN_USAGE: [&str; 6] = [
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens",
    "output_tokens_details",
];

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut fields = Fields::of_body(body)?;
    if let Some(error) = fields.peek("error") {
        let message = error["message"].as_str();
        return Err(fields.error("error", message.unwrap_or("the provider reports an error")));
    }
    if fields.peek("content").is_none() {
        return Err(fields.error("content", "is missing; it must be a list of blocks"));
    }
    let sequence = loose_text(&mut fields, "stop_sequence");
    let stop = loose_text(&mut fields, "stop_reason").map(|word| Stop {
        reason: stop_reason(&word),
        sequence,
    });
    let choice = AnswerChoice {
        index: 0,
        content: read_content(&mut fields, "content")?,
        stop,
        logprobs: None,
        extra: Map::new(),
    };
    let usage = read_usage(&mut fields);
    drop((fields.any("type"), fields.any("role")));
    Ok(Answer::Chat(Box::new(ChatAnswer {
        id: loose_text(&mut fields, "id").unwrap_or_default(),
        model: loose_text(&mut fields, "model").unwrap_or_default(),
        created: None,
        choices: vec![choice],
        usage,
        service_tier: None,
        extra: Extra {
            dialect: Dialect::AnthropicMessages,
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

/// Takes what our form of usage holds; the rest stays where it is.
fn read_usage(fields: &mut Fields) -> Option<Usage> {
    let mut told = to_map(fields.any("usage")?);
    let usage = WireUsage::deserialize(&Value::Object(told.clone())).ok();
    told.retain(|name, value| !value.is_null() && !KNOWN_USAGE.contains(&name.as_str()));
    if !told.is_empty() {
        fields.leave("usage", Value::Object(told));
    }
    usage?.into_usage(None)
}

/// Writes a whole answer for a client. Anthropic's clients know one choice only.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => to_bytes(&Value::Object(write_message(answer, form))),
        // No such answer is given to a call of this dialect.
        Answer::Embedding(_) | Answer::Rerank(_) => to_bytes(&json!({})),
        Answer::Predict(value) => to_bytes(value),
    }
}

fn write_message(answer: &ChatAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let own = answer.extra.dialect == Dialect::AnthropicMessages;
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| choice.content.as_slice());
    let stop = choice.and_then(|choice| choice.stop.as_ref());
    let blocks: Vec<Value> = parts.iter().filter_map(|part| block(part, own)).collect();
    let model = match answer.model.as_str() {
        "" => form.fallback_model,
        model => model,
    };
    let mut extra = if own {
        answer.extra.fields.clone()
    } else {
        Map::new()
    };
    let mut usage = write_usage(&answer.usage.unwrap_or_default());
    usage.extend(to_map(extra.shift_remove("usage").unwrap_or_default()));

    let mut message = Map::new();
    let id = message_id(&answer.id, form.fallback_id);
    put(&mut message, "id", Some(id));
    put(&mut message, "type", Some("message"));
    put(&mut message, "role", Some("assistant"));
    put(&mut message, "model", Some(model));
    put(&mut message, "content", Some(blocks));
    put(&mut message, "stop_reason", Some(stop_of(parts, stop, own)));
    let sequence = stop.and_then(|stop| stop.sequence.clone());
    message.insert("stop_sequence".to_owned(), json!(sequence));
    put(&mut message, "usage", Some(usage));
    message.extend(extra);
    message
}

/// The stop reason. Clients act on it, so that where the provider's says less than the content, the content tells.
fn stop_of(parts: &[Part], stop: Option<&Stop>, own: bool) -> String {
    let reason = stop.map(|stop| &stop.reason);
    match reason {
        Some(StopReason::Other(word)) if own => return word.clone(),
        None | Some(StopReason::EndTurn | StopReason::Other(_)) => {}
        Some(reason) => return stop_word(reason).to_owned(),
    }
    let holds = |is_wanted: fn(&PartKind) -> bool| parts.iter().any(|part| is_wanted(&part.kind));
    let word = if holds(|kind| matches!(kind, PartKind::ToolCall { .. })) {
        "tool_use"
    } else if holds(|kind| matches!(kind, PartKind::Refusal { .. })) {
        "refusal"
    } else {
        "end_turn"
    };
    word.to_owned()
}

/// A block of an answer; `None` where it says nothing, or nothing in this dialect is like it.
fn block(part: &Part, own: bool) -> Option<Value> {
    let mut block = to_map(match &part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal { text } if !own && text.is_empty() => {
            return None;
        }
        PartKind::Text { text, citations } if citations.is_empty() => {
            json!({"type": "text", "text": text})
        }
        PartKind::Text { text, citations } => {
            json!({"type": "text", "text": text, "citations": citations})
        }
        PartKind::Refusal { text } => json!({"type": "text", "text": text}),
        PartKind::Reasoning {
            text,
            signature: None,
        } if own => json!({"type": "thinking", "thinking": text}),
        PartKind::Reasoning { text, signature } => {
            // Clients insist on a signature; an empty one proves nothing.
            let signature = signature.as_deref().unwrap_or_default();
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        PartKind::RedactedReasoning { data } => json!({"type": "redacted_thinking", "data": data}),
        PartKind::ToolCall {
            id,
            name,
            arguments,
            ..
        } => {
            let input = parse_arguments(arguments).unwrap_or_else(|| invalid_arguments(arguments));
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
        PartKind::Foreign { value } if own => return Some(value.clone()),
        PartKind::Image { .. }
        | PartKind::Audio { .. }
        | PartKind::Document { .. }
        | PartKind::ToolResult { .. }
        | PartKind::Foreign { .. } => return None,
    });
    if own {
        block.extend(part.extra.clone());
    }
    Some(Value::Object(block))
}
