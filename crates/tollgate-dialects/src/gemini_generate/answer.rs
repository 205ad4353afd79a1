//! Whole answers, read and written.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value, json, value::RawValue};
use tollgate_domain::{Dialect, Usage};

use super::{
    citations::Grounding,
    logprobs, proofs,
    stream::{Chunk, StreamReader},
    wire::{KNOWN_USAGE, finish_word, write_usage},
};
use crate::{
    Answer, AnswerChoice, AnswerForm, ChatAnswer, Delta, Extra, Part, PartKind, PartStart,
    ReadError, StopReason, StreamEvent,
    anthropic_messages::{invalid_arguments, parse_arguments, to_map},
    error::read_in_stream,
    json::put,
    openai_chat::to_bytes,
    translate::ReadEvents,
};

/// Members of a candidate that our form holds.
const KNOWN_CANDIDATE: [&str; 3] = ["index", "content", "finishReason"];

/// Members of an answer that our form holds.
const KNOWN_ANSWER: [&str; 4] = ["candidates", "usageMetadata", "modelVersion", "responseId"];

// === read ===

/// Reads a provider's whole answer, or the list of chunks that a stream is which was not asked for as events.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let is_list = body.trim_ascii_start().starts_with(b"[");
    let chunks: Vec<&RawValue> = if is_list {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice(body).map(|chunk| vec![chunk])
    }
    .map_err(|error| ReadError::Json(error.to_string()))?;
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    let mut extras = Extras::default();
    for chunk in chunks {
        let data = chunk.get().as_bytes();
        let chunk = Chunk::of(data)?;
        if chunk.is_error() {
            let error = read_in_stream(Dialect::GeminiGenerate, data);
            return Err(ReadError::shape("error", error.message));
        }
        if !chunk.is_answer() {
            let problem = "is missing; it must be a list of candidates";
            return Err(ReadError::shape("candidates", problem));
        }
        reader.chunk(&chunk, &mut events)?;
        extras.take_in(data);
    }
    // A list may be whole where the answer in it is not.
    if is_list && !reader.is_finished() {
        return Err(ReadError::shape("candidates", "do not come to their end"));
    }
    reader.end(&mut events);
    Ok(Answer::Chat(Box::new(collect(events, extras))))
}

/// What nothing models.
#[derive(Default)]
struct Extras {
    answer: Map<String, Value>,
    candidates: HashMap<u32, Map<String, Value>>,
}

impl Extras {
    fn take_in(&mut self, data: &[u8]) {
        let mut answer: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
        if let Some(Value::Array(candidates)) = answer.shift_remove("candidates") {
            for candidate in candidates {
                let index = candidate["index"].as_u64().unwrap_or(0);
                let mut candidate = to_map(candidate);
                // A filter's own word says more than ours.
                let word = candidate.get("finishReason").and_then(Value::as_str);
                let keeps_word = word.is_some_and(finish_word_is_lossy);
                candidate.retain(|name, value| {
                    !value.is_null()
                        && (!KNOWN_CANDIDATE.contains(&name.as_str())
                            || keeps_word && name == "finishReason")
                });
                let index = u32::try_from(index).unwrap_or(0);
                self.candidates.entry(index).or_default().extend(candidate);
            }
        }
        let mut usage = to_map(answer.shift_remove("usageMetadata").unwrap_or_default());
        usage.retain(|name, value| !value.is_null() && !KNOWN_USAGE.contains(&name.as_str()));
        answer.retain(|name, value| !value.is_null() && !KNOWN_ANSWER.contains(&name.as_str()));
        put(
            &mut answer,
            "usageMetadata",
            (!usage.is_empty()).then_some(usage),
        );
        self.answer.extend(answer);
    }
}

fn finish_word_is_lossy(word: &str) -> bool {
    let reason = super::wire::stop_reason(word, false);
    reason == Some(StopReason::ContentFilter) && word != "SAFETY"
}

/// Puts the parts together that the events tell piece by piece.
fn collect(events: Vec<StreamEvent>, mut extras: Extras) -> ChatAnswer {
    let mut answer = ChatAnswer {
        id: String::new(),
        model: String::new(),
        created: None,
        choices: Vec::new(),
        usage: None,
        service_tier: None,
        extra: Extra {
            dialect: Dialect::GeminiGenerate,
            fields: extras.answer,
        },
    };
    for event in events {
        match event {
            StreamEvent::Start { id, model, .. } => (answer.id, answer.model) = (id, model),
            StreamEvent::PartStart { choice, start, .. } => {
                let part = Part::new(begin(start));
                choice_of(&mut answer, choice).content.push(part);
            }
            StreamEvent::Delta {
                choice,
                part,
                delta,
            } => {
                let content = &mut choice_of(&mut answer, choice).content;
                let part = usize::try_from(part).ok();
                if let Some(part) = part.and_then(|part| content.get_mut(part)) {
                    go_on(&mut part.kind, delta);
                }
            }
            StreamEvent::Logprobs { choice, value } => {
                choice_of(&mut answer, choice).logprobs = Some(value);
            }
            StreamEvent::Stop { choice, stop } => choice_of(&mut answer, choice).stop = Some(stop),
            StreamEvent::Usage(usage) => {
                answer.usage.get_or_insert_default().update(&usage);
            }
            StreamEvent::PartStop { .. }
            | StreamEvent::Error(_)
            | StreamEvent::End
            | StreamEvent::Foreign(_) => {}
        }
    }
    // Some answers say nothing at all, and clients look for a first choice.
    if answer.choices.is_empty() {
        choice_of(&mut answer, 0);
    }
    for choice in &mut answer.choices {
        choice.extra = extras.candidates.remove(&choice.index).unwrap_or_default();
    }
    answer.choices.sort_by_key(|choice| choice.index);
    answer
}

fn choice_of(answer: &mut ChatAnswer, index: u32) -> &mut AnswerChoice {
    let known = answer
        .choices
        .iter()
        .position(|choice| choice.index == index);
    let position = known.unwrap_or_else(|| {
        answer.choices.push(AnswerChoice {
            index,
            content: Vec::new(),
            stop: None,
            logprobs: None,
            extra: Map::new(),
        });
        answer.choices.len() - 1
    });
    &mut answer.choices[position]
}

fn begin(start: PartStart) -> PartKind {
    match start {
        PartStart::Text => PartKind::Text {
            text: String::new(),
            citations: Vec::new(),
        },
        PartStart::Refusal => PartKind::Refusal {
            text: String::new(),
        },
        PartStart::Reasoning => PartKind::Reasoning {
            text: String::new(),
            signature: None,
        },
        PartStart::RedactedReasoning { data } => PartKind::RedactedReasoning { data },
        PartStart::ToolCall { id, name, kind } => PartKind::ToolCall {
            id,
            name,
            arguments: String::new(),
            kind,
        },
        PartStart::Foreign(value) => PartKind::Foreign { value },
    }
}

fn go_on(part: &mut PartKind, delta: Delta) {
    match (part, delta) {
        (PartKind::Text { text, .. } | PartKind::Refusal { text }, Delta::Text(more))
        | (PartKind::Reasoning { text, .. }, Delta::Reasoning(more))
        | (
            PartKind::ToolCall {
                arguments: text, ..
            },
            Delta::Arguments(more),
        ) => text.push_str(&more),
        (PartKind::Text { citations, .. }, Delta::Citation(citation)) => citations.push(citation),
        (PartKind::Reasoning { signature, .. }, Delta::Signature(proof)) => {
            *signature = Some(proof);
        }
        _ => {}
    }
}

// === write ===

/// Writes a whole answer for a client.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Chat(answer) => to_bytes(&Value::Object(write_chat(answer, form))),
        // No such answer is given to a call of this dialect.
        Answer::Embedding(_) | Answer::Rerank(_) => to_bytes(&json!({})),
        Answer::Predict(value) => to_bytes(value),
    }
}

fn write_chat(answer: &ChatAnswer, form: &AnswerForm<'_>) -> Map<String, Value> {
    let own = answer.extra.dialect == Dialect::GeminiGenerate;
    let or =
        |text: &str, otherwise: &str| if text.is_empty() { otherwise } else { text }.to_owned();
    let mut extra = if own {
        answer.extra.fields.clone()
    } else {
        Map::new()
    };
    let more_usage = to_map(extra.shift_remove("usageMetadata").unwrap_or_default());
    let mut written = Map::new();
    let is_blocked = extra
        .get("promptFeedback")
        .is_some_and(|feedback| !feedback["blockReason"].is_null());
    if !is_blocked {
        let candidates = answer.choices.iter();
        let candidates = candidates.map(|choice| Value::Object(write_candidate(choice, own)));
        put(
            &mut written,
            "candidates",
            Some(candidates.collect::<Vec<_>>()),
        );
    }
    put(
        &mut written,
        "usageMetadata",
        usage(answer.usage.as_ref(), more_usage),
    );
    let model = or(&answer.model, form.fallback_model);
    put(&mut written, "modelVersion", Some(model));
    put(
        &mut written,
        "responseId",
        Some(or(&answer.id, form.fallback_id)),
    );
    written.extend(extra);
    written
}

fn usage(usage: Option<&Usage>, more: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut written = usage.map(write_usage);
    if !more.is_empty() {
        written.get_or_insert_default().extend(more);
    }
    written
}

fn write_candidate(choice: &AnswerChoice, own: bool) -> Map<String, Value> {
    let mut parts = Vec::new();
    let mut proof = None;
    let mut grounding = Grounding::default();
    let mut length = 0;
    for part in &choice.content {
        if let PartKind::RedactedReasoning { data } = &part.kind {
            parts.extend(proof.replace(proofs::to_wire(data)).map(proof_alone));
            continue;
        }
        if let PartKind::Text { text, citations } = &part.kind {
            grounding.add(citations, text, length);
            length += text.len();
        }
        let Some(mut written) = write_part(part, own) else {
            continue;
        };
        if let Some(proof) = proof.take() {
            written["thoughtSignature"] = Value::String(proof);
        }
        parts.push(written);
    }
    parts.extend(proof.map(proof_alone));
    let mut candidate = Map::new();
    let content = json!({"parts": parts, "role": "model"});
    put(&mut candidate, "content", Some(content));
    let reason = choice.stop.as_ref().map(|stop| &stop.reason);
    let word = match reason {
        Some(StopReason::Other(word)) if own => Some(word.as_str()),
        Some(reason) => Some(finish_word(reason)),
        None => (!own).then_some("STOP"),
    };
    put(&mut candidate, "finishReason", word);
    put(&mut candidate, "index", Some(choice.index));
    if own {
        candidate.extend(choice.extra.clone());
    } else {
        let logprobs = choice.logprobs.as_ref().and_then(logprobs::write);
        put(&mut candidate, "logprobsResult", logprobs);
        put(&mut candidate, "groundingMetadata", grounding.write());
    }
    candidate
}

/// A proof that belongs to no part comes in an empty one, as in Gemini's own streams.
fn proof_alone(proof: String) -> Value {
    json!({"text": "", "thoughtSignature": proof})
}

/// A part of an answer; `None` where nothing in this dialect is like it.
fn write_part(part: &Part, own: bool) -> Option<Value> {
    Some(match &part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal { text } => json!({"text": text}),
        PartKind::Reasoning { text, signature } => {
            let mut thought = json!({"text": text, "thought": true});
            if let Some(proof) = signature.as_deref().filter(|proof| !proof.is_empty()) {
                thought["thoughtSignature"] = Value::String(proofs::to_wire(proof));
            }
            thought
        }
        PartKind::ToolCall {
            id,
            name,
            arguments,
            ..
        } => {
            let args = parse_arguments(arguments).unwrap_or_else(|| invalid_arguments(arguments));
            json!({"functionCall": {"id": id, "name": name, "args": args}})
        }
        PartKind::Foreign { value } if own => {
            let mut part = to_map(value.clone());
            part.shift_remove("type");
            Value::Object(part)
        }
        PartKind::RedactedReasoning { .. }
        | PartKind::Image { .. }
        | PartKind::Audio { .. }
        | PartKind::Document { .. }
        | PartKind::ToolResult { .. }
        | PartKind::Foreign { .. } => return None,
    })
}
