//! [`StreamEvent`]s in, events out.

use serde_json::{Value, json};
use tollgate_domain::Usage;

use super::super::{
    citations,
    wire::{DONE, stop_word, write_logprobs, write_usage},
};
use crate::{
    AnswerForm, Delta, PartStart, ProviderError, StopReason, StreamEvent, json::put,
    openai_chat::to_map, translate::WriteEvents,
};

/// Writes the events of a stream. Whether tools will be called is not known when a text begins, so that what is said before
/// that is content here, and `tool_plan` in whole answers only.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    fallback_id: String,
    started: bool,
    over: bool,
    /// How many pieces of content have begun.
    contents: u32,
    open: Option<Content>,
    /// Which parts are tool calls, in the order in which they began.
    calls: Vec<u32>,
    citations: u32,
    usage: Usage,
    stop: Option<StopReason>,
}

/// A piece of content that is open. Texts that follow each other are one.
#[derive(Debug)]
struct Content {
    kind: &'static str,
    index: u32,
    /// The part that is being written, as far as it may yet be cited.
    said: String,
    cited: Vec<Value>,
    /// Where the part begins, in characters.
    from: usize,
}

const TEXT: &str = "text";
const THINKING: &str = "thinking";

// === impl StreamWriter ===

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect; many are nothing.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start { id, usage, .. } => self.start(id, usage.as_ref(), out),
            StreamEvent::PartStart {
                choice: 0,
                part,
                start,
            } => self.part_start(*part, start, out),
            StreamEvent::Delta {
                choice: 0,
                part,
                delta,
            } => self.delta(*part, delta, out),
            StreamEvent::PartStop { choice: 0, part } => self.part_stop(*part, out),
            StreamEvent::Logprobs { choice: 0, value } => self.logprobs(value, out),
            StreamEvent::Stop { choice: 0, stop } => self.stop = Some(stop.reason.clone()),
            StreamEvent::Usage(usage) => self.usage.update(usage),
            StreamEvent::Error(error) => self.error(error, out),
            StreamEvent::End => self.end(out),
            // This dialect has one choice.
            StreamEvent::PartStart { .. }
            | StreamEvent::Delta { .. }
            | StreamEvent::PartStop { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Stop { .. }
            | StreamEvent::Foreign(_) => {}
        }
    }
}

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            fallback_id: form.fallback_id.to_owned(),
            started: false,
            over: false,
            contents: 0,
            open: None,
            calls: Vec::new(),
            citations: 0,
            usage: Usage::default(),
            stop: None,
        }
    }

    fn start(&mut self, id: &str, usage: Option<&Usage>, out: &mut Vec<u8>) {
        self.started = true;
        self.usage.update(&usage.copied().unwrap_or_default());
        let id = match id {
            "" => &self.fallback_id,
            id => id,
        };
        let message = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
        let event = json!({"id": id, "type": "message-start", "delta": {"message": message}});
        frame(&event, out);
    }

    fn part_start(&mut self, part: u32, start: &PartStart, out: &mut Vec<u8>) {
        match start {
            PartStart::Text | PartStart::Refusal => {
                self.content(TEXT, out);
            }
            PartStart::Reasoning => {
                self.close(out);
                self.content(THINKING, out);
            }
            PartStart::ToolCall { id, name, .. } => {
                self.close(out);
                let index = self.calls.len();
                self.calls.push(part);
                let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}});
                let delta = json!({"message": {"tool_calls": call}});
                frame(
                    &json!({"type": "tool-call-start", "index": index, "delta": delta}),
                    out,
                );
            }
            // Nothing in this dialect's answers is like it.
            PartStart::RedactedReasoning { .. } | PartStart::Foreign(_) => {}
        }
    }

    /// The content of this kind that is open, or that begins now.
    fn content(&mut self, kind: &'static str, out: &mut Vec<u8>) -> &mut Content {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close(out);
            let index = self.contents;
            self.contents += 1;
            let content = json!({"type": kind, kind: ""});
            let delta = json!({"message": {"content": content}});
            frame(
                &json!({"type": "content-start", "index": index, "delta": delta}),
                out,
            );
            self.open = None;
        }
        let index = self.contents.saturating_sub(1);
        self.open.get_or_insert_with(|| Content {
            kind,
            index,
            said: String::new(),
            cited: Vec::new(),
            from: 0,
        })
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.say(TEXT, text, out),
            Delta::Reasoning(text) => self.say(THINKING, text, out),
            Delta::Arguments(arguments) => {
                let Some(index) = self.calls.iter().position(|call| *call == part) else {
                    return;
                };
                let delta =
                    json!({"message": {"tool_calls": {"function": {"arguments": arguments}}}});
                frame(
                    &json!({"type": "tool-call-delta", "index": index, "delta": delta}),
                    out,
                );
            }
            // Their range is known when the part ends.
            Delta::Citation(citation) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.kind == TEXT) {
                    open.cited.push(citation.clone());
                }
            }
            Delta::Signature(_) | Delta::Foreign(_) => {}
        }
    }

    fn say(&mut self, kind: &'static str, text: &str, out: &mut Vec<u8>) {
        let content = self.content(kind, out);
        if kind == TEXT {
            content.said.push_str(text);
        }
        let index = content.index;
        let delta = json!({"message": {"content": {kind: text}}});
        frame(
            &json!({"type": "content-delta", "index": index, "delta": delta}),
            out,
        );
    }

    fn part_stop(&mut self, part: u32, out: &mut Vec<u8>) {
        if let Some(index) = self.calls.iter().position(|call| *call == part) {
            return frame(&json!({"type": "tool-call-end", "index": index}), out);
        }
        self.cite(out);
    }

    /// Tells the citations of the part that ends.
    fn cite(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &mut self.open else { return };
        let said = std::mem::take(&mut open.said);
        let cited = std::mem::take(&mut open.cited);
        let citation = citations::write(&said, open.from, open.index, &cited);
        open.from += said.chars().count();
        let Some(citation) = citation else { return };
        let index = self.citations;
        self.citations += 1;
        let delta = json!({"message": {"citations": citation}});
        frame(
            &json!({"type": "citation-start", "index": index, "delta": delta}),
            out,
        );
        frame(&json!({"type": "citation-end", "index": index}), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        self.cite(out);
        if let Some(Content { index, .. }) = self.open.take() {
            frame(&json!({"type": "content-end", "index": index}), out);
        }
    }

    /// Log-probabilities come with a piece of content; here they are told after it.
    fn logprobs(&mut self, logprobs: &Value, out: &mut Vec<u8>) {
        let kind = self.open.as_ref().map_or(TEXT, |open| open.kind);
        for piece in write_logprobs(logprobs) {
            let index = self.content(kind, out).index;
            let delta = json!({"message": {"content": {kind: ""}}});
            let event =
                json!({"type": "content-delta", "index": index, "delta": delta, "logprobs": piece});
            frame(&event, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        // A stream that passed through until now has told everything but its end mark.
        if self.started {
            self.close(out);
            let delta =
                json!({"finish_reason": self.stop_word(), "usage": write_usage(&self.usage)});
            frame(&json!({"type": "message-end", "delta": delta}), out);
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(DONE);
        out.extend_from_slice(b"\n\n");
        self.over = true;
    }

    /// The finish reason. Clients act on it, so that where the provider's says less than the content, the content tells.
    fn stop_word(&self) -> &'static str {
        match &self.stop {
            None | Some(StopReason::EndTurn | StopReason::Other(_)) if !self.calls.is_empty() => {
                "TOOL_CALL"
            }
            None => "COMPLETE",
            Some(reason) => stop_word(reason),
        }
    }

    /// An error as Cohere tells it within a stream; no end mark follows.
    fn error(&mut self, error: &ProviderError, out: &mut Vec<u8>) {
        let mut delta =
            to_map(json!({"finish_reason": "ERROR", "usage": {}, "error": error.message}));
        put(&mut delta, "error_type", error.code.clone());
        frame(&json!({"type": "message-end", "delta": delta}), out);
        self.over = true;
    }
}

/// An event, which is named as its data is.
fn frame(event: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event["type"].as_str().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(event.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
