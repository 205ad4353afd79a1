//! [`StreamEvent`]s in, chunks out.
//!
//! There is no end mark, so that no candidate has a finish reason before all of the answer is there: a stream that breaks off
//! never looks whole. Functions' calls go out whole, as Gemini's do.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tollgate_domain::{ErrorShape, Usage};

use super::super::{
    citations::Grounding,
    logprobs, proofs,
    wire::{finish_word, write_usage},
};
use crate::{
    AnswerForm, Delta, ErrorReport, PartStart, ProviderError, Stop, StreamEvent,
    anthropic_messages::{invalid_arguments, parse_arguments},
    json::put,
    translate::WriteEvents,
};

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    id: String,
    model: String,
    started: bool,
    over: bool,
    usage: Option<Usage>,
    choices: Vec<ChoiceOut>,
}

/// What has been written of a choice, and what has to wait.
#[derive(Debug, Default)]
struct ChoiceOut {
    index: u32,
    /// A proof that waits for the part that it belongs to.
    proof: Option<String>,
    /// Calls whose arguments are coming.
    calls: Vec<CallOut>,
    /// Parts that are reasoning.
    thoughts: Vec<u32>,
    /// Bytes of text so far.
    length: usize,
    /// The text that is going on, for its citations.
    text: String,
    citations: Vec<Value>,
    grounding: Grounding,
    stop: Option<Stop>,
}

#[derive(Debug)]
struct CallOut {
    part: u32,
    id: String,
    name: String,
    arguments: String,
    proof: Option<String>,
}

#[derive(Serialize)]
struct ChunkOut<'a> {
    candidates: Vec<Map<String, Value>>,
    #[serde(rename = "usageMetadata", skip_serializing_if = "Option::is_none")]
    usage: Option<Map<String, Value>>,
    #[serde(rename = "modelVersion")]
    model: &'a str,
    #[serde(rename = "responseId")]
    id: &'a str,
}

// === impl StreamWriter ===

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect; many are nothing, or wait for others.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start {
                id, model, usage, ..
            } => self.start(id, model, *usage),
            StreamEvent::PartStart {
                choice,
                part,
                start,
            } => self.part_start(*choice, *part, start, out),
            StreamEvent::Delta {
                choice,
                part,
                delta,
            } => self.delta(*choice, *part, delta, out),
            StreamEvent::PartStop { choice, part } => self.part_stop(*choice, *part, out),
            StreamEvent::Logprobs { choice, value } => {
                if let Some(result) = logprobs::write(value) {
                    let mut candidate = candidate(*choice, &[nothing()]);
                    candidate.insert("logprobsResult".to_owned(), result);
                    self.chunk(vec![candidate], None, out);
                }
            }
            StreamEvent::Stop { choice, stop } => self.state(*choice).stop = Some(stop.clone()),
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            StreamEvent::Foreign(_) => {}
        }
    }
}

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            id: form.fallback_id.to_owned(),
            model: form.fallback_model.to_owned(),
            started: false,
            over: false,
            usage: None,
            choices: Vec::new(),
        }
    }

    fn start(&mut self, id: &str, model: &str, usage: Option<Usage>) {
        self.started = true;
        if !id.is_empty() {
            id.clone_into(&mut self.id);
        }
        if !model.is_empty() {
            model.clone_into(&mut self.model);
        }
        self.usage = usage;
    }

    fn part_start(&mut self, choice: u32, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        let state = self.state(choice);
        match start {
            PartStart::RedactedReasoning { data } => {
                let proof = state.proof.replace(proofs::to_wire(data));
                self.prove(choice, proof, out);
            }
            PartStart::ToolCall { id, name, .. } => {
                let call = CallOut {
                    part,
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    proof: state.proof.take(),
                };
                state.calls.push(call);
            }
            PartStart::Foreign(value) => {
                if let Some(part) = own_part(value) {
                    self.parts(choice, &[part], out);
                }
            }
            PartStart::Reasoning => state.thoughts.push(part),
            PartStart::Text | PartStart::Refusal => {
                state.text.clear();
                let proof = state.proof.take();
                self.prove(choice, proof, out);
            }
        }
    }

    fn delta(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let state = self.state(choice);
        let said = match delta {
            Delta::Text(text) => {
                state.length += text.len();
                state.text.push_str(text);
                json!({"text": text})
            }
            Delta::Reasoning(text) => json!({"text": text, "thought": true}),
            Delta::Signature(proof) if state.thoughts.contains(&part) && !proof.is_empty() => {
                json!({"text": "", "thought": true, "thoughtSignature": proofs::to_wire(proof)})
            }
            Delta::Arguments(piece) => {
                let call = state.calls.iter_mut().find(|call| call.part == part);
                if let Some(call) = call {
                    call.arguments.push_str(piece);
                }
                return;
            }
            Delta::Citation(citation) => {
                state.citations.push(citation.clone());
                return;
            }
            Delta::Signature(_) | Delta::Foreign(_) => return,
        };
        self.parts(choice, &[said], out);
    }

    fn part_stop(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        let state = self.state(choice);
        if let Some(position) = state.calls.iter().position(|call| call.part == part) {
            let call = state.calls.remove(position);
            return self.parts(choice, &[call.write()], out);
        }
        let citations = std::mem::take(&mut state.citations);
        let begin = state.length - state.text.len();
        let text = std::mem::take(&mut state.text);
        state.grounding.add(&citations, &text, begin);
    }

    /// A proof that belongs to no part comes in an empty one, as in Gemini's own streams.
    fn prove(&self, choice: u32, proof: Option<String>, out: &mut Vec<u8>) {
        if let Some(proof) = proof {
            let part = json!({"text": "", "thoughtSignature": proof});
            self.parts(choice, &[part], out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        // A stream that passed through until now has told everything.
        if !self.started {
            return;
        }
        if self.choices.is_empty() {
            self.state(0);
        }
        let candidates = self.choices.iter_mut().map(ChoiceOut::finish).collect();
        let usage = self.usage.as_ref().map(write_usage);
        self.chunk(candidates, usage, out);
    }

    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        self.over = true;
        let report = ErrorReport {
            status: error.status,
            kind: error.kind,
            code: error.code.as_deref(),
            message: &error.message,
            param: None,
            request_id: "",
        };
        frame(&crate::error::write(ErrorShape::Gemini, &report), out);
    }

    fn parts(&self, choice: u32, parts: &[Value], out: &mut Vec<u8>) {
        self.chunk(vec![candidate(choice, parts)], None, out);
    }

    fn chunk(
        &self,
        candidates: Vec<Map<String, Value>>,
        usage: Option<Map<String, Value>>,
        out: &mut Vec<u8>,
    ) {
        let chunk = ChunkOut {
            candidates,
            usage,
            model: &self.model,
            id: &self.id,
        };
        let chunk = serde_json::to_vec(&chunk).expect("a chunk is JSON, and memory takes it");
        frame(&chunk, out);
    }

    fn state(&mut self, index: u32) -> &mut ChoiceOut {
        let position = self.choices.iter().position(|state| state.index == index);
        let position = position.unwrap_or_else(|| {
            self.choices.push(ChoiceOut {
                index,
                ..ChoiceOut::default()
            });
            self.choices.len() - 1
        });
        &mut self.choices[position]
    }
}

// === impl ChoiceOut ===

impl ChoiceOut {
    /// The choice's last candidate, with whatever still waits.
    fn finish(&mut self) -> Map<String, Value> {
        let mut parts: Vec<Value> = self.calls.drain(..).map(CallOut::write).collect();
        if let Some(proof) = self.proof.take() {
            parts.push(json!({"text": "", "thoughtSignature": proof}));
        }
        if parts.is_empty() {
            parts.push(nothing());
        }
        let mut candidate = candidate(self.index, &parts);
        let word = self.stop.as_ref().map(|stop| finish_word(&stop.reason));
        put(&mut candidate, "finishReason", Some(word.unwrap_or("STOP")));
        put(&mut candidate, "groundingMetadata", self.grounding.write());
        candidate
    }
}

impl CallOut {
    fn write(self) -> Value {
        let args = parse_arguments(&self.arguments);
        let args = args.unwrap_or_else(|| invalid_arguments(&self.arguments));
        let mut part = json!({"functionCall": {"id": self.id, "name": self.name, "args": args}});
        if let Some(proof) = self.proof {
            part["thoughtSignature"] = Value::String(proof);
        }
        part
    }
}

fn candidate(index: u32, parts: &[Value]) -> Map<String, Value> {
    let mut candidate = Map::new();
    put(
        &mut candidate,
        "content",
        Some(json!({"parts": parts, "role": "model"})),
    );
    put(&mut candidate, "index", Some(index));
    candidate
}

/// Clients expect a part even where there is nothing to say.
fn nothing() -> Value {
    json!({"text": ""})
}

/// A part that only Gemini understands, if it is one: our reader has named it by what it holds.
fn own_part(value: &Value) -> Option<Value> {
    let name = value["type"].as_str()?;
    value.get(name)?;
    let mut part = value.clone();
    part.as_object_mut()?.shift_remove("type");
    Some(part)
}

fn frame(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n\r\n");
}
