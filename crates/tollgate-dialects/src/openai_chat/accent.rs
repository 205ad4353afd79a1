//! The last step of writing a call: what a provider takes otherwise than OpenAI. Reasoning is written with its message, and not here.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tollgate_domain::{Accent, Dialect, Otherwise, ThinkingSwitch, ToolCallIds, Turns};

use crate::{ChatCall, Field, Gaps, Policy, ReasoningEffort, fields::field_named};

/// Letters and digits of the ids that are made.
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Puts a call that was written as OpenAI takes it into a provider's accent.
pub(super) fn apply(
    accent: &Accent,
    call: &ChatCall,
    body: &mut Map<String, Value>,
    gaps: &mut Gaps,
) {
    thinking(accent.thinking, call, body);
    for (name, otherwise) in accent.fields {
        field(name, *otherwise, body, gaps);
    }
    let Some(Value::Array(messages)) = body.get_mut("messages") else {
        return;
    };
    if accent.tool_call_ids == ToolCallIds::Nine {
        shorten_ids(messages);
    }
    if accent.turns == Turns::Alternating {
        alternate(messages);
    }
}

fn field(name: &str, otherwise: Otherwise, body: &mut Map<String, Value>, gaps: &mut Gaps) {
    let (field, form) = name
        .split_once('.')
        .map_or((name, None), |(field, form)| (field, Some(form)));
    if body
        .get(field)
        .is_none_or(|value| form.is_some_and(|form| value["type"] != form))
    {
        return;
    }
    let policy = match otherwise {
        Otherwise::Taken => return,
        Otherwise::Named(other) => {
            if let Some(value) = body.shift_remove(field) {
                body.insert(other.to_owned(), value);
            }
            return;
        }
        Otherwise::Dropped => Policy::Dropped("the provider does not take it"),
        Otherwise::Refused => Policy::Refused("the provider does not take it"),
    };
    body.shift_remove(field);
    // The newer name of the cap has no field of its own.
    let known = field_named(Dialect::OpenaiChat, field).unwrap_or(Field::MaxTokens);
    gaps.not_taken(known, policy);
}

/// Switches thinking on or off, where that is asked.
fn thinking(switch: ThinkingSwitch, call: &ChatCall, body: &mut Map<String, Value>) {
    let Some(reasoning) = &call.reasoning else {
        return;
    };
    let is_off = reasoning.effort == Some(ReasoningEffort::None);
    let wanted = if is_off {
        Some(false)
    } else {
        reasoning.enabled
    };
    let (name, value) = match (switch, wanted) {
        (ThinkingSwitch::Effort, _) | (_, None) => return,
        (ThinkingSwitch::Thinking, Some(true)) => ("thinking", json!({"type": "enabled"})),
        (ThinkingSwitch::Thinking, Some(false)) => ("thinking", json!({"type": "disabled"})),
        (ThinkingSwitch::EnableThinking, Some(wanted)) => ("enable_thinking", json!(wanted)),
    };
    if is_off {
        body.shift_remove("reasoning_effort");
    }
    body.entry(name).or_insert(value);
}

/// Gives tool calls ids of nine letters and digits: the same for the same id, so that results find their calls in every turn of a
/// conversation.
fn shorten_ids(messages: &mut [Value]) {
    let mut known = HashMap::new();
    for message in messages {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            shorten(call.get_mut("id"), &mut known);
        }
        shorten(message.get_mut("tool_call_id"), &mut known);
    }
}

fn shorten(id: Option<&mut Value>, known: &mut HashMap<String, String>) {
    let Some(Value::String(id)) = id else { return };
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let short = known
        .entry(id.clone())
        .or_insert_with_key(|id| nine_letters(id));
    id.clone_from(short);
}

/// Nine letters that stand for a text: its FNV-1a hash.
fn nine_letters(text: &str) -> String {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let letters = (0..9).map(|_| {
        let letter = usize::try_from(hash % 62).unwrap_or(0);
        hash /= 62;
        char::from(LETTERS[letter])
    });
    letters.collect()
}

/// Puts what the operator says at the beginning, and what the same speaker says in a row into one message.
fn alternate(messages: &mut Vec<Value>) {
    let (operator, others): (Vec<Value>, Vec<Value>) = std::mem::take(messages)
        .into_iter()
        .partition(|message| message["role"] == "system");
    for message in operator.into_iter().chain(others) {
        match messages.last_mut() {
            Some(last) if last["role"] == message["role"] => join(last, message),
            _ => messages.push(message),
        }
    }
}

fn join(last: &mut Value, mut message: Value) {
    let (said, more) = (last["content"].take(), message["content"].take());
    last["content"] = match (said, more) {
        (Value::String(said), Value::String(more)) => json!(format!("{said}\n\n{more}")),
        (said, more) => parts(said).into_iter().chain(parts(more)).collect(),
    };
}

fn parts(content: Value) -> Vec<Value> {
    match content {
        Value::Array(parts) => parts,
        Value::Null => Vec::new(),
        text => vec![json!({"type": "text", "text": text})],
    }
}
