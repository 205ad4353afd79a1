//! Events in, [`StreamEvent`]s out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_domain::Dialect;

use super::super::{
    citations,
    wire::{DONE, is_failure, read_logprobs, read_usage, stop_reason},
};
use crate::{
    Delta, PartStart, ProviderError, ReadError, SseEvent, Stop, StreamEvent, ToolKind,
    error::read_in_stream,
    openai_chat::{Text, parse, tool_call_id},
    translate::ReadEvents,
};

/// Most tool calls that are open at once: what a reader remembers of a stream has a bound.
const OPEN_MAX: usize = 64;

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    started: bool,
    id: String,
    /// How many parts have begun.
    parts: u32,
    /// The text or reasoning that is going on. Cohere's numbers for these cannot be relied upon: older models give all of them the same.
    open: Option<Open>,
    calls: Vec<OpenCall>,
    stopped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    part: u32,
    /// It has been cited: what is said next is another part.
    cited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

#[derive(Debug)]
struct OpenCall {
    index: u64,
    part: u32,
    has_arguments: bool,
}

/// Any event. Its members are borrowed, or stay unread until they are needed.
#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<WireDelta<'a>>,
    #[serde(default)]
    logprobs: Option<Value>,
    /// Of an error that is told as on its own.
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_type: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    citations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct WireContent<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct WireCall<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function: Option<WireFunction<'a>>,
}

#[derive(Default, Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

// === impl StreamReader ===

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            self.end(out);
            return Ok(());
        }
        let told: WireEvent<'_> =
            serde_json::from_slice(data).map_err(|error| ReadError::Json(error.to_string()))?;
        let Some(kind) = &told.kind else {
            // An error that is told without an event around it.
            if told.message.is_some() {
                out.push(StreamEvent::Error(read_in_stream(
                    Dialect::CohereChat,
                    data,
                )));
                return Ok(());
            }
            return Err(ReadError::shape(
                "type",
                "is missing; it must name the event",
            ));
        };
        self.start(&told, out);
        let message = told.delta.as_ref().and_then(|delta| delta.message.as_ref());
        match &*kind.0 {
            "content-start" => {
                self.close(out);
                self.content(message, out);
            }
            "content-delta" => {
                self.content(message, out);
                let logprobs = told.logprobs.as_slice();
                let logprobs = read_logprobs(logprobs);
                out.extend(logprobs.map(|value| StreamEvent::Logprobs { choice: 0, value }));
            }
            "tool-plan-delta" => {
                let plan = message.and_then(|message| message.tool_plan.as_ref());
                self.say(Kind::Text, plan.map_or("", |plan| &plan.0), out);
            }
            "tool-call-start" => return self.call_start(&told, out),
            "tool-call-delta" => self.arguments(&told, out),
            "tool-call-end" => self.call_end(told.index(), out),
            "citation-start" => self.cite(message, out),
            "message-end" => self.message_end(told.delta.unwrap_or_default(), out),
            "error" => {
                out.push(StreamEvent::Error(read_in_stream(
                    Dialect::CohereChat,
                    data,
                )));
            }
            // A text goes on being open at its `content-end`, as its citations may come later.
            // `debug` tells the prompt, and other events came later.
            _ => {}
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stopped
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        self.close_all(out);
        out.push(StreamEvent::End);
    }
}

impl StreamReader {
    /// Tells that the answer begins, if it was not told yet.
    fn start(&mut self, told: &WireEvent<'_>, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.id = told.id.and_then(parse).unwrap_or_default();
        out.push(StreamEvent::Start {
            id: self.id.clone(),
            model: String::new(),
            created: None,
            usage: None,
        });
    }

    fn content(&mut self, message: Option<&WireMessage<'_>>, out: &mut Vec<StreamEvent>) {
        let content = message.and_then(|message| message.content);
        let content = content
            .and_then(parse::<WireContent<'_>>)
            .unwrap_or_default();
        self.say(Kind::Reasoning, &content.thinking.unwrap_or_default(), out);
        self.say(Kind::Text, &content.text.unwrap_or_default(), out);
    }

    fn say(&mut self, kind: Kind, text: &str, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        let part = match self.open {
            Some(open) if open.kind == kind && !open.cited => open.part,
            _ => self.open(kind, out),
        };
        let text = text.to_owned();
        out.push(StreamEvent::Delta {
            choice: 0,
            part,
            delta: match kind {
                Kind::Text => Delta::Text(text),
                Kind::Reasoning => Delta::Reasoning(text),
            },
        });
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<StreamEvent>) -> u32 {
        let start = match kind {
            Kind::Text => PartStart::Text,
            Kind::Reasoning => PartStart::Reasoning,
        };
        let part = self.begin(start, out);
        self.open = Some(Open {
            kind,
            part,
            cited: false,
        });
        part
    }

    fn begin(&mut self, start: PartStart, out: &mut Vec<StreamEvent>) -> u32 {
        self.close(out);
        let part = self.parts;
        self.parts += 1;
        out.push(StreamEvent::PartStart {
            choice: 0,
            part,
            start,
        });
        part
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some(Open { part, .. }) = self.open.take() {
            out.push(StreamEvent::PartStop { choice: 0, part });
        }
    }

    fn close_all(&mut self, out: &mut Vec<StreamEvent>) {
        self.close(out);
        while let Some(call) = self.calls.first() {
            self.call_end(call.index, out);
        }
    }

    fn call_start(
        &mut self,
        told: &WireEvent<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if self.calls.len() == OPEN_MAX {
            return Err(ReadError::shape(
                "tool-call-start",
                "too many tool calls are open",
            ));
        }
        let call = told.call();
        let id = call.id.unwrap_or_default().into_owned();
        let id = if id.is_empty() {
            tool_call_id(&self.id, 0, usize::try_from(self.parts).unwrap_or(0))
        } else {
            id
        };
        let name = call.function.and_then(|function| function.name);
        let name = name.unwrap_or_default().into_owned();
        let kind = ToolKind::Function;
        let part = self.begin(PartStart::ToolCall { id, name, kind }, out);
        self.calls.push(OpenCall {
            index: told.index(),
            part,
            has_arguments: false,
        });
        self.arguments(told, out);
        Ok(())
    }

    fn arguments(&mut self, told: &WireEvent<'_>, out: &mut Vec<StreamEvent>) {
        let arguments = told.call().function.and_then(|function| function.arguments);
        let arguments = arguments.unwrap_or_default();
        let index = told.index();
        let Some(call) = self.calls.iter_mut().rev().find(|call| call.index == index) else {
            return;
        };
        if !arguments.is_empty() {
            call.has_arguments = true;
            out.push(StreamEvent::Delta {
                choice: 0,
                part: call.part,
                delta: Delta::Arguments(arguments.into_owned()),
            });
        }
    }

    /// A call without arguments has none told; whole answers tell an empty object.
    fn call_end(&mut self, index: u64, out: &mut Vec<StreamEvent>) {
        let Some(position) = self.calls.iter().position(|call| call.index == index) else {
            return;
        };
        let OpenCall {
            part,
            has_arguments,
            ..
        } = self.calls.remove(position);
        if !has_arguments {
            out.push(StreamEvent::Delta {
                choice: 0,
                part,
                delta: Delta::Arguments("{}".to_owned()),
            });
        }
        out.push(StreamEvent::PartStop { choice: 0, part });
    }

    /// A citation is of the text that is going on, of which what it quotes is the end.
    fn cite(&mut self, message: Option<&WireMessage<'_>>, out: &mut Vec<StreamEvent>) {
        let told = message.and_then(|message| message.citations);
        let told = told.and_then(parse::<Value>).unwrap_or_default();
        let Some(open) = self.open.as_mut().filter(|open| open.kind == Kind::Text) else {
            return;
        };
        let citations = match &told {
            Value::Array(several) => several.as_slice(),
            one => std::slice::from_ref(one),
        };
        for citation in citations.iter().flat_map(citations::read) {
            open.cited = true;
            out.push(StreamEvent::Delta {
                choice: 0,
                part: open.part,
                delta: Delta::Citation(citation),
            });
        }
    }

    fn message_end(&mut self, delta: WireDelta<'_>, out: &mut Vec<StreamEvent>) {
        let word = delta.finish_reason.map(|word| word.0).unwrap_or_default();
        let said = delta.error.and_then(parse::<String>);
        if is_failure(&word) || said.is_some() {
            let code = delta.error_type.and_then(parse::<String>);
            return out.push(StreamEvent::Error(failure(said, code)));
        }
        self.close_all(out);
        self.stopped = true;
        let usage = delta.usage.as_ref().and_then(read_usage);
        out.extend(usage.map(StreamEvent::Usage));
        if !word.is_empty() {
            out.push(StreamEvent::Stop {
                choice: 0,
                stop: Stop::new(stop_reason(&word)),
            });
        }
    }
}

/// What Cohere calls an error within an answer.
fn failure(said: Option<String>, code: Option<String>) -> ProviderError {
    let kind = crate::ErrorKind::Server;
    ProviderError {
        status: kind.status(),
        kind,
        message: said.unwrap_or_else(|| "the provider failed within its answer".to_owned()),
        code,
        param: None,
        retry_after: None,
    }
}

// === impl WireEvent ===

impl<'a> WireEvent<'a> {
    fn index(&self) -> u64 {
        self.index.and_then(parse).unwrap_or(0)
    }

    /// The tool call that the event is about; Cohere tells one, not a list.
    fn call(&self) -> WireCall<'a> {
        let message = self.delta.as_ref().and_then(|delta| delta.message.as_ref());
        let call = message.and_then(|message| message.tool_calls);
        call.and_then(parse::<WireCall<'a>>).unwrap_or_default()
    }
}
