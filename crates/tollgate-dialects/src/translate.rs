//! The front door: which dialect's reader or writer does it.

use bytes::Bytes;
use tollgate_domain::{ChatInput, Dialect, ErrorShape, StreamEnd, StreamUsage, Task};

use crate::{
    Answer, AnswerChoice, Call, ChatAnswer, Delta, ErrorReport, PartKind, PartStart, ProviderError,
    ReadError, SseEvent, Stop, StopReason, StreamEvent, Unsupported, anthropic_messages,
    mlflow_serving, openai_chat, openai_completions, openai_embeddings,
};

/// How a call is to be written.
#[derive(Clone, Copy, Debug)]
pub struct CallForm<'a> {
    /// The provider's dialect.
    pub dialect: Dialect,
    /// What the provider calls the model; `None` where the body does not name it.
    pub model: Option<&'a str>,
    /// Whether a stream has to ask for its usage.
    pub stream_usage: StreamUsage,
    /// What a model behind an MLflow scoring server takes for a chat.
    pub chat_input: ChatInput,
    /// Leave out what the table would refuse.
    pub drop_unsupported: bool,
}

/// A call as written for a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The request's body.
    pub body: Bytes,
    /// Fields that were left out, by their names in the client's dialect.
    pub dropped: Vec<String>,
}

/// How an answer is to be written.
#[derive(Clone, Copy, Debug)]
pub struct AnswerForm<'a> {
    /// The client's dialect.
    pub dialect: Dialect,
    /// Stands for the answer's id where the provider gave none.
    pub fallback_id: &'a str,
    /// Stands for the model where the provider did not name it.
    pub fallback_model: &'a str,
    /// Seconds since 1970; stands for the date where the provider gave none.
    pub created: i64,
    /// Whether the client asked for usage in its stream (its dialect may give it anyway).
    pub include_usage: bool,
    /// Whether the embedding client asked for base64.
    pub base64_vectors: bool,
}

/// Reads a client's call.
///
/// # Errors
/// When the body is not of the dialect; the text says which field and what would be right.
pub fn read_call(dialect: Dialect, body: &[u8]) -> Result<Call, ReadError> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::read_call(body),
        Dialect::OpenaiCompletions => openai_completions::read_call(body),
        Dialect::OpenaiEmbeddings => openai_embeddings::read_call(body),
        Dialect::AnthropicMessages => anthropic_messages::read_call(body),
        Dialect::MlflowServing => mlflow_serving::read_call(body),
    }
}

/// Writes a call for a provider.
///
/// # Errors
/// When the provider's dialect cannot express it and nothing may be dropped.
pub fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    match form.dialect {
        Dialect::OpenaiChat => openai_chat::write_call(call, form),
        Dialect::OpenaiCompletions => openai_completions::write_call(call, form),
        Dialect::OpenaiEmbeddings => openai_embeddings::write_call(call, form),
        Dialect::AnthropicMessages => anthropic_messages::write_call(call, form),
        Dialect::MlflowServing => mlflow_serving::write_call(call, form),
    }
}

/// Reads a provider's whole answer to a task.
///
/// # Errors
/// When the body is not of the dialect.
pub fn read_answer(dialect: Dialect, task: Task, body: &[u8]) -> Result<Answer, ReadError> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::read_answer(body),
        Dialect::OpenaiCompletions => openai_completions::read_answer(body),
        Dialect::OpenaiEmbeddings => openai_embeddings::read_answer(body),
        Dialect::AnthropicMessages => anthropic_messages::read_answer(body),
        Dialect::MlflowServing => mlflow_serving::read_answer(task, body),
    }
}

/// Writes a whole answer for a client.
pub fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match form.dialect {
        Dialect::OpenaiChat => openai_chat::write_answer(answer, form),
        Dialect::OpenaiCompletions => openai_completions::write_answer(answer, form),
        Dialect::OpenaiEmbeddings => openai_embeddings::write_answer(answer, form),
        Dialect::AnthropicMessages => anthropic_messages::write_answer(answer, form),
        Dialect::MlflowServing => mlflow_serving::write_answer(answer, form),
    }
}

/// Reads what a provider said with an error status. Never fails: whatever the body is (HTML, nothing, another
/// dialect's shape), there is an error to tell.
pub fn read_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    crate::error::read(dialect, status, body)
}

/// Writes an error in the shape that a client's library understands.
pub fn write_error(shape: ErrorShape, report: &ErrorReport<'_>) -> Bytes {
    crate::error::write(shape, report)
}

/// Reads a provider's stream, event by event.
#[derive(Debug)]
pub struct StreamReader {
    reader: Reader,
    stream_end: StreamEnd,
    over: bool,
}

#[derive(Debug)]
enum Reader {
    Chat(openai_chat::StreamReader),
    Completions(openai_completions::StreamReader),
    Anthropic(anthropic_messages::StreamReader),
    /// The dialect has no streams.
    None,
}

/// What the clean end of a stream's body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The answer is complete.
    Complete,
    /// The answer was cut off.
    Cut,
}

impl StreamReader {
    /// For a stream in a dialect that ends in a certain way.
    pub fn new(dialect: Dialect, stream_end: StreamEnd) -> Self {
        let reader = match dialect {
            Dialect::OpenaiChat => Reader::Chat(openai_chat::StreamReader::default()),
            Dialect::OpenaiCompletions => {
                Reader::Completions(openai_completions::StreamReader::default())
            }
            Dialect::AnthropicMessages => {
                Reader::Anthropic(anthropic_messages::StreamReader::default())
            }
            Dialect::OpenaiEmbeddings | Dialect::MlflowServing => Reader::None,
        };
        Self {
            reader,
            stream_end,
            over: false,
        }
    }

    /// Reads an event, and appends what it says. What comes after the end or after an error is ignored.
    ///
    /// # Errors
    /// When the event is not of the dialect. The stream cannot be read on.
    pub fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        if self.over {
            return Ok(());
        }
        match &mut self.reader {
            Reader::Chat(reader) => reader.read(event, out)?,
            Reader::Completions(reader) => reader.read(event, out)?,
            Reader::Anthropic(reader) => reader.read(event, out)?,
            Reader::None => {
                return Err(ReadError::shape(
                    "stream",
                    "the provider's dialect has no streams",
                ));
            }
        }
        self.over = matches!(out.last(), Some(StreamEvent::End | StreamEvent::Error(_)));
        Ok(())
    }

    /// To be called at the clean end of the body. Appends [`StreamEvent::End`] where that end is the answer's: the
    /// provider gives no end mark, and every choice has ended.
    pub fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Finish {
        if self.over {
            return Finish::Complete;
        }
        self.over = true;
        if self.stream_end == StreamEnd::Mark {
            return Finish::Cut;
        }
        match &mut self.reader {
            Reader::Chat(reader) | Reader::Completions(reader) if reader.is_finished() => {
                reader.end(out)
            }
            Reader::Anthropic(reader) if reader.is_finished() => out.push(StreamEvent::End),
            Reader::Chat(_) | Reader::Completions(_) | Reader::Anthropic(_) | Reader::None => {
                return Finish::Cut;
            }
        }
        Finish::Complete
    }
}

/// Writes a stream for a client, event by event.
#[derive(Debug)]
pub struct StreamWriter(Writer);

#[derive(Debug)]
enum Writer {
    Chat(openai_chat::StreamWriter),
    Completions(openai_completions::StreamWriter),
    Anthropic(anthropic_messages::StreamWriter),
}

impl StreamWriter {
    /// For a client. Those dialects that have no streams of their own get OpenAI's chunks.
    pub fn new(form: &AnswerForm<'_>) -> Self {
        Self(match form.dialect {
            Dialect::OpenaiCompletions => {
                Writer::Completions(openai_completions::StreamWriter::new(form))
            }
            Dialect::AnthropicMessages => {
                Writer::Anthropic(anthropic_messages::StreamWriter::new(form))
            }
            Dialect::OpenaiChat | Dialect::OpenaiEmbeddings | Dialect::MlflowServing => {
                Writer::Chat(openai_chat::StreamWriter::new(form))
            }
        })
    }

    /// Appends whole frames. [`StreamEvent::End`] and [`StreamEvent::Error`] may come first, for a stream that passed through
    /// until then.
    pub fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match &mut self.0 {
            Writer::Chat(writer) => writer.write(event, out),
            Writer::Completions(writer) => writer.write(event, out),
            Writer::Anthropic(writer) => writer.write(event, out),
        }
    }
}

/// Tells a whole answer as a stream, for a client that asked for one where the provider gives none. Nothing for an answer that
/// no dialect streams.
pub fn stream_of(answer: Answer) -> Vec<StreamEvent> {
    let Answer::Chat(answer) = answer else {
        return Vec::new();
    };
    let ChatAnswer {
        id,
        model,
        created,
        choices,
        usage,
        ..
    } = *answer;
    let mut events = vec![StreamEvent::Start {
        id,
        model,
        created,
        usage,
    }];
    for choice in choices {
        tell_choice(choice, &mut events);
    }
    events.extend(usage.map(StreamEvent::Usage));
    events.push(StreamEvent::End);
    events
}

fn tell_choice(choice: AnswerChoice, events: &mut Vec<StreamEvent>) {
    let AnswerChoice {
        index: choice,
        content,
        stop,
        logprobs,
        ..
    } = choice;
    let asks_for_tool = content
        .iter()
        .any(|part| matches!(part.kind, PartKind::ToolCall { .. }));
    let parts = content.into_iter().filter_map(|part| tell(part.kind));
    for (part, (start, deltas)) in (0..).zip(parts) {
        events.push(StreamEvent::PartStart {
            choice,
            part,
            start,
        });
        events.extend(deltas.into_iter().map(|delta| StreamEvent::Delta {
            choice,
            part,
            delta,
        }));
        events.push(StreamEvent::PartStop { choice, part });
    }
    events.extend(logprobs.map(|value| StreamEvent::Logprobs { choice, value }));
    let otherwise = if asks_for_tool {
        StopReason::ToolUse
    } else {
        StopReason::EndTurn
    };
    let stop = stop.unwrap_or_else(|| Stop::new(otherwise));
    events.push(StreamEvent::Stop { choice, stop });
}

/// A part of an answer as its start and what is added to it; `None` for what no answer holds.
fn tell(part: PartKind) -> Option<(PartStart, Vec<Delta>)> {
    Some(match part {
        PartKind::Text { text, citations } => {
            let mut deltas = vec![Delta::Text(text)];
            deltas.extend(citations.into_iter().map(Delta::Citation));
            (PartStart::Text, deltas)
        }
        PartKind::Refusal { text } => (PartStart::Refusal, vec![Delta::Text(text)]),
        PartKind::ToolCall {
            id,
            name,
            arguments,
            ..
        } => (
            PartStart::ToolCall { id, name },
            vec![Delta::Arguments(arguments)],
        ),
        PartKind::Reasoning { text, signature } => {
            let mut deltas = if text.is_empty() {
                Vec::new()
            } else {
                vec![Delta::Reasoning(text)]
            };
            deltas.extend(signature.map(Delta::Signature));
            (PartStart::Reasoning, deltas)
        }
        PartKind::RedactedReasoning { data } => (PartStart::RedactedReasoning { data }, Vec::new()),
        PartKind::Foreign { value } => (PartStart::Foreign(value), Vec::new()),
        PartKind::Image { .. }
        | PartKind::Audio { .. }
        | PartKind::Document { .. }
        | PartKind::ToolResult { .. } => return None,
    })
}

#[cfg(test)]
mod tests;
