//! Looking on at an answer that passes through untouched: what was used, why it ended, whether it is complete. Reads no
//! more than that; what it says agrees with what the dialect's reader would say. Streams are here, whole answers in `watch/glance.rs`.

mod glance;
mod said;

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_domain::{Dialect, StreamEnd, Usage};

use crate::{
    ProviderError, SseEvent, StopReason, StreamEvent, StreamReader,
    anthropic_messages::{self, WireUsage as AnthropicUsage},
    error::read_in_stream,
    gemini_generate::{Followed, Glimpse},
    mold::{Holes, MOLDS_MAX, Mold, place_of},
    openai_chat::{self, Count, Text, Told, is_failure, parse, plain_text, read_event},
    skim::{Fault, Skimmer},
};

pub use glance::{Glance, error_within, glance};
pub(crate) use said::add_text;
use said::{Said, Something};

/// What an event told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// A person would see something of it: text, reasoning, a piece of a tool call.
    pub content: bool,
    /// It is the dialect's end mark.
    pub end: bool,
    /// What was used so far.
    pub usage: Option<Usage>,
    /// It tells usage and nothing else; hidden from a client that did not ask for it.
    pub usage_only: bool,
    /// Why the answer ended.
    pub stop: Option<StopReason>,
    /// The provider failed.
    pub error: Option<ProviderError>,
    /// The model that answers: of the first event that tells it.
    pub model: Option<String>,
}

impl Seen {
    /// Nothing but content.
    const CONTENT: Self = Self {
        content: true,
        end: false,
        usage: None,
        usage_only: false,
        stop: None,
        error: None,
        model: None,
    };
}

/// Looks on at a stream.
#[derive(Debug)]
pub struct Watch {
    dialect: Dialect,
    /// Reads the events of dialects that are not looked at more cheaply.
    reader: Option<StreamReader>,
    events: Vec<StreamEvent>,
    stream_end: StreamEnd,
    ended: bool,
    /// The model that answers has been told.
    names_model: bool,
    /// Choices that have begun, and whether they have ended.
    choices: BTreeMap<u32, bool>,
    /// What Anthropic's events have told of usage: later ones tell less. Boxed, since it is large and told late.
    usage: Option<Box<Usage>>,
    /// What Gemini's chunks have told.
    followed: Followed,
    /// What the last event that was read has in common with those to come, as far as anybody knows.
    mold: Option<Mold>,
    /// How often there was a new one.
    molds: u8,
}

/// Most choices that are remembered.
const CHOICES_MAX: usize = 1024;

impl Watch {
    /// For a stream in a dialect that ends in a certain way.
    pub fn new(dialect: Dialect, stream_end: StreamEnd) -> Self {
        let is_glimpsed = matches!(
            dialect,
            Dialect::OpenaiChat
                | Dialect::OpenaiCompletions
                | Dialect::AnthropicMessages
                | Dialect::GeminiGenerate
        );
        Self {
            dialect,
            reader: (!is_glimpsed).then(|| StreamReader::new(dialect, stream_end)),
            events: Vec::new(),
            stream_end,
            ended: false,
            names_model: false,
            choices: BTreeMap::new(),
            usage: None,
            followed: Followed::default(),
            mold: None,
            molds: 0,
        }
    }

    /// Looks at one event, and adds the text that it says. What cannot be understood tells nothing, and passes.
    pub fn see(&mut self, event: &SseEvent, said: &mut String) -> Seen {
        if event.data.is_empty() || self.ended {
            return Seen::default();
        }
        if let Some(text) = self.mold.as_ref().and_then(|mold| mold.said(event)) {
            add_text(said, text);
            return Seen::CONTENT;
        }
        let mut holes = None;
        let seen = match self.dialect {
            _ if self.reader.is_some() => self.see_read(event, said),
            Dialect::AnthropicMessages => self.see_anthropic(event, said, &mut holes),
            Dialect::GeminiGenerate => self.see_gemini(event, said),
            _ => self.see_openai(event, said, &mut holes),
        };
        let seen = seen.unwrap_or_default();
        self.ended = seen.end || seen.error.is_some();
        if let Some(holes) = holes.filter(|_| seen == Seen::CONTENT && self.molds < MOLDS_MAX) {
            self.mold = Mold::of(event, holes);
            self.molds += 1;
        }
        seen
    }

    /// Whether the answer is complete, now that the body has ended cleanly.
    pub fn complete(&self) -> bool {
        if let Some(reader) = &self.reader {
            return self.ended || reader.may_finish();
        }
        let finished = || !self.choices.is_empty() && self.choices.values().all(|ended| *ended);
        self.ended || self.stream_end == StreamEnd::Finish && finished()
    }

    fn see_read(&mut self, event: &SseEvent, said: &mut String) -> Option<Seen> {
        self.reader.as_mut()?.read(event, &mut self.events).ok()?;
        let mut seen = Seen::default();
        for event in self.events.drain(..) {
            seen.content |= event.is_content();
            event.say(said);
            match event {
                StreamEvent::Start { model, usage, .. } => {
                    seen.model = Some(model).filter(|model| !model.is_empty());
                    if let Some(usage) = usage {
                        seen.usage.get_or_insert_default().update(&usage);
                    }
                }
                StreamEvent::Usage(usage) => seen.usage.get_or_insert_default().update(&usage),
                StreamEvent::Stop { stop, .. } => seen.stop = seen.stop.or(Some(stop.reason)),
                StreamEvent::Error(error) => seen.error = Some(error),
                StreamEvent::End => seen.end = true,
                _ => {}
            }
        }
        Some(seen)
    }

    fn see_openai(
        &mut self,
        event: &SseEvent,
        said: &mut String,
        holes: &mut Option<Holes>,
    ) -> Option<Seen> {
        let chunk = match read_event(event, ChoiceGlimpse::of).ok()? {
            Told::Chunk(chunk) => chunk,
            Told::Nothing => return None,
            Told::Error(error) => {
                return Some(Seen {
                    error: Some(error),
                    ..Seen::default()
                });
            }
            Told::End => {
                return Some(Seen {
                    end: true,
                    ..Seen::default()
                });
            }
        };
        let choices = &*chunk.choices;
        let mut seen = Seen {
            usage: chunk.usage(),
            model: self.model_of(|| chunk.model()),
            ..Seen::default()
        };
        seen.usage_only = choices.is_empty() && seen.usage.is_some();
        let texts = choices.iter().flat_map(ChoiceGlimpse::texts);
        *holes = only_one(event, texts).map(|said| Holes {
            said,
            idle: chunk.padding().and_then(|text| place_of(event, text)),
        });
        for choice in choices {
            if choice.has_failed() {
                seen.error = Some(openai_chat::failure(&event.data));
                return Some(seen);
            }
            seen.content |= choice.has_content();
            choice.texts().for_each(|text| text.say(said));
            let stop = choice
                .finish_reason
                .as_ref()
                .and_then(|word| openai_chat::stop_reason(&word.0));
            self.note_choice(choice.index.index().unwrap_or(0), stop.is_some());
            seen.stop = seen.stop.or(stop);
        }
        Some(seen)
    }

    /// A model's name, where none was told before.
    fn model_of<'a>(&mut self, told: impl FnOnce() -> Option<Text<'a>>) -> Option<String> {
        if self.names_model {
            return None;
        }
        let told = told()?;
        self.names_model = true;
        Some(told.0.into_owned())
    }

    fn see_anthropic(
        &mut self,
        event: &SseEvent,
        said: &mut String,
        holes: &mut Option<Holes>,
    ) -> Option<Seen> {
        let told: AnthropicEvent<'_> = serde_json::from_slice(&event.data).ok()?;
        let mut seen = Seen::default();
        match &*told.kind.0 {
            "message_start" => {
                self.note_choice(0, false);
                let message = told.message?;
                seen.model = self.model_of(|| message.model);
                seen.usage = self.anthropic_usage(message.usage);
            }
            "content_block_start" => {
                let block = told.content_block?;
                seen.content = block.has_content();
                block.say(said);
            }
            "content_block_delta" => {
                let delta = told.delta?;
                seen.content = delta.has_content();
                delta.texts().for_each(|text| text.say(said));
                *holes = only_one(event, delta.texts()).map(|said| Holes { said, idle: None });
            }
            "message_delta" => {
                seen.usage = self.anthropic_usage(told.usage);
                seen.stop = told
                    .delta?
                    .stop_reason
                    .map(|word| anthropic_messages::stop_reason(&word.0));
                self.note_choice(0, seen.stop.is_some());
            }
            "message_stop" => seen.end = true,
            "error" => seen.error = Some(read_in_stream(Dialect::AnthropicMessages, &event.data)),
            _ => {}
        }
        Some(seen)
    }

    fn see_gemini(&mut self, event: &SseEvent, said: &mut String) -> Option<Seen> {
        if event.data.trim_ascii() == b"[DONE]" {
            return Some(Seen {
                end: true,
                ..Seen::default()
            });
        }
        let glimpse = Glimpse::of(&event.data, &mut self.followed, said)?;
        let mut seen = Seen {
            content: glimpse.content,
            usage: glimpse.usage,
            model: glimpse.model,
            ..Seen::default()
        };
        if glimpse.is_error {
            seen.error = Some(read_in_stream(Dialect::GeminiGenerate, &event.data));
        }
        for (index, stop) in glimpse.candidates {
            self.note_choice(index, stop.is_some());
            seen.stop = stop.or(seen.stop);
        }
        Some(seen)
    }

    fn anthropic_usage(&mut self, raw: Option<&RawValue>) -> Option<Usage> {
        let told = self.usage.get_or_insert_default();
        let usage = parse::<AnthropicUsage>(raw?)?.into_usage(Some(&**told))?;
        told.update(&usage);
        Some(usage)
    }

    fn note_choice(&mut self, index: u32, ended: bool) {
        if self.choices.len() < CHOICES_MAX || self.choices.contains_key(&index) {
            *self.choices.entry(index).or_default() |= ended;
        }
    }
}

/// What is looked at in a choice of OpenAI's chunks.
#[derive(Default)]
struct ChoiceGlimpse<'a> {
    index: Count,
    delta: Option<DeltaGlimpse<'a>>,
    text: Said<'a>,
    finish_reason: Option<Text<'a>>,
    error: bool,
}

#[derive(Default)]
struct DeltaGlimpse<'a> {
    content: Said<'a>,
    refusal: Said<'a>,
    reasoning_content: Said<'a>,
    reasoning: Said<'a>,
    reasoning_details: Something,
    audio: Something,
    tool_calls: Option<Vec<ToolCallGlimpse<'a>>>,
    function_call: Option<FunctionGlimpse<'a>>,
}

#[derive(Deserialize)]
struct ToolCallGlimpse<'a> {
    #[serde(default)]
    id: Something,
    #[serde(borrow, default)]
    function: Option<FunctionGlimpse<'a>>,
    #[serde(default)]
    custom: Something,
}

#[derive(Deserialize)]
struct FunctionGlimpse<'a> {
    #[serde(borrow, default)]
    name: Said<'a>,
    #[serde(borrow, default)]
    arguments: Said<'a>,
}

impl<'a> ChoiceGlimpse<'a> {
    fn of(choice: &mut Skimmer<'a>) -> Result<Self, Fault> {
        let mut seen = Self::default();
        choice.members(|name, value| {
            match name {
                "index" => seen.index = read(value, "index")?,
                "delta" => seen.delta = Some(DeltaGlimpse::of(value)?),
                "text" => seen.text = said_in(value, "text")?,
                "finish_reason" => seen.finish_reason = read(value, "finish_reason")?,
                "error" => seen.error = value.value()? != "null",
                _ => return value.value().map(|_| ()),
            }
            Ok(())
        })?;
        Ok(seen)
    }
}

impl<'a> DeltaGlimpse<'a> {
    fn of(delta: &mut Skimmer<'a>) -> Result<Self, Fault> {
        let mut seen = Self::default();
        delta.members(|name, value| {
            match name {
                "content" => seen.content = said_in(value, "content")?,
                "refusal" => seen.refusal = said_in(value, "refusal")?,
                "reasoning_content" => {
                    seen.reasoning_content = said_in(value, "reasoning_content")?
                }
                "reasoning" => seen.reasoning = said_in(value, "reasoning")?,
                "reasoning_details" => seen.reasoning_details = read(value, "reasoning_details")?,
                "audio" => seen.audio = read(value, "audio")?,
                "tool_calls" => seen.tool_calls = read(value, "tool_calls")?,
                "function_call" => seen.function_call = read(value, "function_call")?,
                _ => return value.value().map(|_| ()),
            }
            Ok(())
        })?;
        Ok(seen)
    }
}

/// Reads a value of this type.
fn read<'a, T: Deserialize<'a>>(value: &mut Skimmer<'a>, name: &'static str) -> Result<T, Fault> {
    serde_json::from_str(value.value()?).map_err(|_| Fault::OtherShape(name))
}

/// What a value says: of a text without escapes, which most are, without reading it.
fn said_in<'a>(value: &mut Skimmer<'a>, name: &'static str) -> Result<Said<'a>, Fault> {
    let value = value.value()?;
    match plain_text(value) {
        Some(text) => Ok(Said::plain(text)),
        None => serde_json::from_str(value).map_err(|_| Fault::OtherShape(name)),
    }
}

impl ChoiceGlimpse<'_> {
    fn has_failed(&self) -> bool {
        self.error || self.finish_reason.as_ref().is_some_and(is_failure)
    }

    fn has_content(&self) -> bool {
        self.text.is_something || self.delta.as_ref().is_some_and(DeltaGlimpse::has_content)
    }
}

impl<'a> ChoiceGlimpse<'a> {
    /// What it says.
    fn texts(&self) -> impl Iterator<Item = &Said<'a>> {
        let texts = self.delta.iter().flat_map(DeltaGlimpse::texts);
        std::iter::once(&self.text).chain(texts)
    }
}

impl<'a> DeltaGlimpse<'a> {
    fn texts(&self) -> impl Iterator<Item = &Said<'a>> {
        let calls = self.tool_calls.iter().flatten();
        let functions = calls.filter_map(|call| call.function.as_ref());
        let functions = functions.chain(&self.function_call);
        [
            &self.content,
            &self.refusal,
            &self.reasoning_content,
            &self.reasoning,
        ]
        .into_iter()
        .chain(functions.flat_map(|function| [&function.name, &function.arguments]))
    }

    fn has_content(&self) -> bool {
        let texts = [
            self.content.is_something,
            self.refusal.is_something,
            self.reasoning_content.is_something,
            self.reasoning.is_something,
            self.reasoning_details.0,
            self.audio.0,
        ];
        let function = |function: &FunctionGlimpse<'_>| {
            function.name.is_something || function.arguments.is_something
        };
        texts.contains(&true)
            || self.function_call.as_ref().is_some_and(function)
            || self.tool_calls.iter().flatten().any(|call| {
                call.id.0 || call.custom.0 || call.function.as_ref().is_some_and(function)
            })
    }
}

/// What is looked at in Anthropic's events.
#[derive(Deserialize)]
struct AnthropicEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    message: Option<MessageGlimpse<'a>>,
    #[serde(borrow, default)]
    content_block: Option<BlockGlimpse<'a>>,
    #[serde(borrow, default)]
    delta: Option<BlockDeltaGlimpse<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageGlimpse<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockGlimpse<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Said<'a>,
    #[serde(borrow, default)]
    text: Said<'a>,
    #[serde(borrow, default)]
    thinking: Said<'a>,
}

#[derive(Deserialize)]
struct BlockDeltaGlimpse<'a> {
    #[serde(borrow, default)]
    text: Said<'a>,
    #[serde(borrow, default)]
    thinking: Said<'a>,
    #[serde(borrow, default)]
    partial_json: Said<'a>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

impl BlockGlimpse<'_> {
    /// Text and thinking begin empty; other blocks begin with something.
    fn has_content(&self) -> bool {
        self.text.is_something
            || self.thinking.is_something
            || !matches!(&*self.kind.0, "text" | "thinking")
    }

    fn say(&self, said: &mut String) {
        [&self.name, &self.text, &self.thinking]
            .iter()
            .for_each(|text| text.say(said));
    }
}

impl BlockDeltaGlimpse<'_> {
    fn has_content(&self) -> bool {
        self.text.is_something || self.thinking.is_something || self.partial_json.is_something
    }
}

impl<'a> BlockDeltaGlimpse<'a> {
    fn texts(&self) -> impl Iterator<Item = &Said<'a>> {
        [&self.text, &self.thinking, &self.partial_json].into_iter()
    }
}

/// Where the only text of an event is that says something, if it stands there as it is.
fn only_one<'a>(
    event: &SseEvent,
    texts: impl Iterator<Item = &'a Said<'a>>,
) -> Option<Range<usize>> {
    let mut some = texts.filter(|text| text.is_something);
    let only = some.next().filter(|_| some.next().is_none())?;
    place_of(event, only.text()?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, data: &str) -> SseEvent {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        SseEvent {
            raw: Bytes::new(),
            name: bytes(name),
            data: bytes(data),
        }
    }

    fn see_all(dialect: Dialect, stream_end: StreamEnd, events: &[Value]) -> (Vec<Seen>, Watch) {
        let mut watch = Watch::new(dialect, stream_end);
        let seen = events
            .iter()
            .map(|data| watch.see(&event("", &data.to_string()), &mut String::new()))
            .collect();
        (seen, watch)
    }

    #[test]
    fn usage_alone_is_told_from_usage_beside_content() {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2});
        let choice = json!({"index": 0, "delta": {"content": ""}, "finish_reason": "stop"});
        let chunks = [
            json!({"choices": [choice], "usage": usage}),
            json!({"choices": [], "usage": usage}),
            json!({"choices": [], "prompt_filter_results": []}),
            json!({"choices": [choice], "x_groq": {"usage": usage}}),
        ];
        let (seen, watch) = see_all(Dialect::OpenaiChat, StreamEnd::Mark, &chunks);
        assert_eq!(
            seen.iter().map(|seen| seen.usage_only).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        assert_eq!(
            seen.iter()
                .map(|seen| seen.usage.is_some())
                .collect::<Vec<_>>(),
            [true, true, false, true]
        );
        assert!(seen.iter().all(|seen| !seen.content));
        assert_eq!(seen[0].stop, Some(StopReason::EndTurn));
        assert!(!watch.complete(), "the end mark is missing");
    }

    #[test]
    fn a_stream_without_end_mark_is_complete_when_every_choice_has_ended() {
        let chunk = |index: u32, reason: Value| json!({"choices": [{"index": index, "finish_reason": reason}]});
        let ended = |chunks: &[Value]| {
            see_all(Dialect::OpenaiChat, StreamEnd::Finish, chunks)
                .1
                .complete()
        };
        assert!(!ended(&[]));
        assert!(!ended(&[chunk(0, json!("stop")), chunk(1, Value::Null)]));
        assert!(ended(&[
            chunk(0, json!("stop")),
            chunk(1, Value::Null),
            chunk(1, json!("length"))
        ]));
    }

    #[test]
    fn an_error_is_seen_however_it_is_written() {
        for (name, data) in [
            ("", r#"{"error":{"message":"m","type":"server_error"}}"#),
            ("error", "overloaded"),
            ("", r#"{"object":"error"}"#),
        ] {
            let seen = Watch::new(Dialect::OpenaiChat, StreamEnd::Mark)
                .see(&event(name, data), &mut String::new());
            assert!(seen.error.is_some(), "{name} {data}");
        }
        let overloaded = event(
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
        );
        let seen = Watch::new(Dialect::AnthropicMessages, StreamEnd::Mark)
            .see(&overloaded, &mut String::new());
        assert_eq!(seen.error.unwrap().kind, crate::ErrorKind::Overloaded);
    }

    #[test]
    fn an_anthropic_stream_is_followed() {
        let events = [
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "1", "name": "f", "input": {}}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
            json!({"type": "message_stop"}),
        ];
        let (seen, watch) = see_all(Dialect::AnthropicMessages, StreamEnd::Mark, &events);
        assert_eq!(
            seen.iter().map(|seen| seen.content).collect::<Vec<_>>(),
            [false, false, false, true, true, false, false]
        );
        let mut usage = Usage::default();
        seen.iter()
            .filter_map(|seen| seen.usage.as_ref())
            .for_each(|later| usage.update(later));
        assert_eq!(
            (usage.input, usage.input_cached, usage.output),
            (Some(5), Some(2), Some(9))
        );
        assert_eq!(seen[5].stop, Some(StopReason::ToolUse));
        assert!(seen[6].end && watch.complete());
        assert!(
            !see_all(Dialect::AnthropicMessages, StreamEnd::Mark, &events[..6])
                .1
                .complete()
        );
        assert!(
            see_all(Dialect::AnthropicMessages, StreamEnd::Finish, &events[..6])
                .1
                .complete()
        );
    }

    #[test]
    fn what_is_said_is_taken_down() {
        for (dialect, data, expected) in [
            (
                Dialect::OpenaiChat,
                r#"{"choices": [{"delta": {"content": "Hi \"you\"", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}]}"#,
                "Hi \"you\"f{}",
            ),
            (
                Dialect::AnthropicMessages,
                r#"{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}"#,
                "Hi",
            ),
            (
                Dialect::GeminiGenerate,
                r#"{"candidates": [{"content": {"parts": [{"text": "H\u0069"}]}}]}"#,
                "Hi",
            ),
            (
                Dialect::OllamaChat,
                r#"{"message": {"role": "assistant", "content": "Hi"}, "done": false}"#,
                "Hi",
            ),
        ] {
            let mut said = String::new();
            Watch::new(dialect, StreamEnd::Mark).see(&event("", data), &mut said);
            assert_eq!(said, expected, "{dialect:?}");
        }
    }
}
