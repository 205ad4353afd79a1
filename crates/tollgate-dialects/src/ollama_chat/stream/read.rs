//! Lines in, [`StreamEvent`]s out: of chat and of completions, whose lines differ in where the text is.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tollgate_domain::Dialect;

use super::super::wire::{seconds, stop_reason, tool_call_id, usage};
use crate::{
    Delta, PartStart, ReadError, SseEvent, Stop, StreamEvent, ToolKind,
    error::read_in_stream,
    openai_chat::{Count, Text, parse, text_of},
    translate::ReadEvents,
};

/// Most tool calls of one answer: what a reader remembers of a stream has a bound.
const TOOL_CALLS_MAX: usize = 1024;

/// Reads the lines of a stream. It is complete with `done: true`, and never without.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    /// The date of the first line, once the stream has begun.
    created_at: Option<String>,
    /// How many parts have begun.
    parts: u32,
    /// The text or reasoning that is going on.
    open: Option<(Kind, u32)>,
    tool_calls: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

/// One line. Fields that are seldom needed stay unread until they are.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    /// Of chat.
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
    /// Of completions, as is what was thought.
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(borrow, default)]
    done_reason: Option<Text<'a>>,
    #[serde(default)]
    prompt_eval_count: Count,
    #[serde(default)]
    eval_count: Count,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let line: Line<'_> = serde_json::from_slice(&event.data)
            .map_err(|error| ReadError::Json(error.to_string()))?;
        if line.error.is_some() {
            let error = read_in_stream(Dialect::OllamaChat, &event.data);
            out.push(StreamEvent::Error(error));
            return Ok(());
        }
        self.start(&line, out);
        let said = line.message.as_ref();
        self.text(
            Kind::Reasoning,
            said.map_or(line.thinking, |said| said.thinking),
            out,
        );
        self.text(
            Kind::Text,
            said.map_or(line.response, |said| said.content),
            out,
        );
        for call in said
            .iter()
            .flat_map(|said| said.tool_calls.iter().flatten())
        {
            self.tool_call(call, out)?;
        }
        if let Some(tokens) = line.logprobs.and_then(parse::<Vec<Value>>) {
            out.push(StreamEvent::Logprobs {
                choice: 0,
                value: json!({"content": tokens}),
            });
        }
        if line.done == Some(true) {
            self.done(&line, out);
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        false
    }
}

impl StreamReader {
    fn start(&mut self, line: &Line<'_>, out: &mut Vec<StreamEvent>) {
        if self.created_at.is_some() {
            return;
        }
        let created_at: String = line.created_at.and_then(parse).unwrap_or_default();
        out.push(StreamEvent::Start {
            id: String::new(),
            model: line.model.and_then(parse).unwrap_or_default(),
            created: seconds(&created_at),
            usage: None,
        });
        self.created_at = Some(created_at);
    }

    fn text(&mut self, kind: Kind, text: Option<&RawValue>, out: &mut Vec<StreamEvent>) {
        let text = text.map(text_of).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let part = self.open(kind, out);
        let delta = match kind {
            Kind::Text => Delta::Text(text.into_owned()),
            Kind::Reasoning => Delta::Reasoning(text.into_owned()),
        };
        out.push(StreamEvent::Delta {
            choice: 0,
            part,
            delta,
        });
    }

    /// A tool call. They come whole.
    fn tool_call(
        &mut self,
        call: &ToolCall<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if self.tool_calls == TOOL_CALLS_MAX {
            return Err(ReadError::shape("tool_calls", "are too many"));
        }
        let id = call.id.as_ref().map_or("", |id| &id.0);
        let id = match id {
            "" => tool_call_id(
                self.created_at.as_deref().unwrap_or_default(),
                self.tool_calls,
            ),
            id => id.to_owned(),
        };
        self.tool_calls += 1;
        let name = call.function.name.0.clone().into_owned();
        let kind = ToolKind::Function;
        let part = self.begin(PartStart::ToolCall { id, name, kind }, out);
        let arguments = call.function.arguments.map(text_of).unwrap_or_default();
        let arguments = if arguments.is_empty() {
            "{}".to_owned()
        } else {
            arguments.into_owned()
        };
        out.push(StreamEvent::Delta {
            choice: 0,
            part,
            delta: Delta::Arguments(arguments),
        });
        out.push(StreamEvent::PartStop { choice: 0, part });
        Ok(())
    }

    fn done(&mut self, line: &Line<'_>, out: &mut Vec<StreamEvent>) {
        self.close(out);
        let word = line.done_reason.as_ref().map_or("", |word| &word.0);
        out.push(StreamEvent::Stop {
            choice: 0,
            stop: Stop::new(stop_reason(word, self.tool_calls > 0)),
        });
        out.extend(
            usage(line.prompt_eval_count.get(), line.eval_count.get()).map(StreamEvent::Usage),
        );
        out.push(StreamEvent::End);
    }

    /// The number of the part of this kind that is going on, or that begins now.
    fn open(&mut self, kind: Kind, out: &mut Vec<StreamEvent>) -> u32 {
        match self.open {
            Some((open, part)) if open == kind => part,
            _ => {
                let part = self.begin(
                    match kind {
                        Kind::Text => PartStart::Text,
                        Kind::Reasoning => PartStart::Reasoning,
                    },
                    out,
                );
                self.open = Some((kind, part));
                part
            }
        }
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
        if let Some((_, part)) = self.open.take() {
            out.push(StreamEvent::PartStop { choice: 0, part });
        }
    }
}
