//! The front door: which dialect's reader or writer does it.

use std::fmt;

use bytes::Bytes;
use tollgate_domain::{Accent, ChatInput, Dialect, ErrorShape, StreamEnd, StreamUsage, Task};

use crate::{
    Answer, AnswerChoice, Call, ChatAnswer, Delta, ErrorReport, PartKind, PartStart, ProviderError,
    ReadError, SseEvent, Stop, StopReason, StreamEvent, Unsupported, anthropic_messages,
    bedrock_converse, bedrock_embeddings, cohere_chat, cohere_embeddings, cohere_old_embeddings,
    cohere_rerank, gemini_embeddings, gemini_generate, mlflow_serving, ollama_chat,
    ollama_embeddings, ollama_generate, ollama_old_embeddings, openai_chat, openai_completions,
    openai_embeddings, openai_media, openai_responses, replicate_predictions, vertex_embeddings,
    voyage_embeddings, voyage_rerank, watsonx_embeddings,
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
    /// The client's call, for dialects whose answers repeat it; empty where it is not known.
    pub asked: &'a [u8],
    /// Whether the gateway keeps the answer under `fallback_id`, for calls that go on from it; the provider's own id is nobody's then.
    pub kept: bool,
}

/// Calls a function of the module that speaks a dialect.
macro_rules! in_dialect {
    ($dialect:expr, $function:ident($($argument:expr),*)) => {
        match $dialect {
            Dialect::OpenaiChat => openai_chat::$function($($argument),*),
            Dialect::OpenaiResponses => openai_responses::$function($($argument),*),
            Dialect::OpenaiCompletions => openai_completions::$function($($argument),*),
            Dialect::OpenaiEmbeddings => openai_embeddings::$function($($argument),*),
            Dialect::OpenaiMedia => openai_media::$function($($argument),*),
            Dialect::AnthropicMessages => anthropic_messages::$function($($argument),*),
            Dialect::GeminiGenerate => gemini_generate::$function($($argument),*),
            Dialect::GeminiEmbeddings => gemini_embeddings::$function($($argument),*),
            Dialect::CohereChat => cohere_chat::$function($($argument),*),
            Dialect::CohereEmbeddings => cohere_embeddings::$function($($argument),*),
            Dialect::CohereOldEmbeddings => cohere_old_embeddings::$function($($argument),*),
            Dialect::CohereRerank => cohere_rerank::$function($($argument),*),
            Dialect::OllamaChat => ollama_chat::$function($($argument),*),
            Dialect::OllamaGenerate => ollama_generate::$function($($argument),*),
            Dialect::OllamaEmbeddings => ollama_embeddings::$function($($argument),*),
            Dialect::OllamaOldEmbeddings => ollama_old_embeddings::$function($($argument),*),
            Dialect::BedrockConverse => bedrock_converse::$function($($argument),*),
            Dialect::BedrockEmbeddings => bedrock_embeddings::$function($($argument),*),
            Dialect::VertexEmbeddings => vertex_embeddings::$function($($argument),*),
            Dialect::WatsonxEmbeddings => watsonx_embeddings::$function($($argument),*),
            Dialect::VoyageEmbeddings => voyage_embeddings::$function($($argument),*),
            Dialect::VoyageRerank => voyage_rerank::$function($($argument),*),
            Dialect::ReplicatePredictions => replicate_predictions::$function($($argument),*),
            Dialect::MlflowServing => mlflow_serving::$function($($argument),*),
        }
    };
}

/// Reads a client's call.
///
/// # Errors
/// When the body is not of the dialect; the text says which field and what would be right.
pub fn read_call(dialect: Dialect, body: &[u8]) -> Result<Call, ReadError> {
    in_dialect!(dialect, read_call(body))
}

/// Writes a call for a provider.
///
/// # Errors
/// When the provider's dialect cannot express it and nothing may be dropped.
pub fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    in_dialect!(form.dialect, write_call(call, form))
}

/// Writes a call for a provider that takes it otherwise than its dialect says.
///
/// # Errors
/// When the provider cannot be asked this and nothing may be dropped.
pub fn write_call_in(
    accent: &Accent,
    call: &Call,
    form: &CallForm<'_>,
) -> Result<Written, Unsupported> {
    match form.dialect {
        Dialect::OpenaiChat => openai_chat::write_call_in(accent, call, form),
        Dialect::OpenaiEmbeddings => openai_embeddings::write_call_in(accent, call, form),
        Dialect::CohereRerank => cohere_rerank::write_call_in(accent, call, form),
        _ => write_call(call, form),
    }
}

/// Reads a provider's whole answer to a task.
///
/// # Errors
/// When the body is not of the dialect.
pub fn read_answer(dialect: Dialect, task: Task, body: &[u8]) -> Result<Answer, ReadError> {
    match dialect {
        Dialect::MlflowServing => mlflow_serving::read_answer_to(task, body),
        spoken => in_dialect!(spoken, read_answer(body)),
    }
}

/// Writes a whole answer for a client.
pub fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    in_dialect!(form.dialect, write_answer(answer, form))
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

/// Reads the events of one dialect's streams.
pub(crate) trait ReadEvents: fmt::Debug + Send {
    /// Reads an event, and appends what it says.
    ///
    /// # Errors
    /// When the event is not of the dialect. The stream cannot be read on.
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError>;

    /// Whether every choice that has begun has ended, so that the end of the body may be the end of the answer.
    fn is_finished(&self) -> bool;

    /// Appends what is left to say at the end, and [`StreamEvent::End`].
    fn end(&mut self, out: &mut Vec<StreamEvent>) {
        out.push(StreamEvent::End);
    }
}

/// Writes the events of one dialect's streams.
pub(crate) trait WriteEvents: fmt::Debug + Send {
    /// Appends whole frames.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>);
}

/// Reads a provider's stream, event by event.
#[derive(Debug)]
pub struct StreamReader {
    /// `None` where the dialect has no streams.
    reader: Option<Box<dyn ReadEvents>>,
    stream_end: StreamEnd,
    over: bool,
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
        let reader: Option<Box<dyn ReadEvents>> = match dialect {
            Dialect::OpenaiChat => Some(Box::new(openai_chat::StreamReader::default())),
            Dialect::OpenaiResponses => Some(Box::new(openai_responses::StreamReader::default())),
            Dialect::OpenaiCompletions => {
                Some(Box::new(openai_completions::StreamReader::default()))
            }
            Dialect::AnthropicMessages => {
                Some(Box::new(anthropic_messages::StreamReader::default()))
            }
            Dialect::GeminiGenerate => Some(Box::new(gemini_generate::StreamReader::default())),
            Dialect::CohereChat => Some(Box::new(cohere_chat::StreamReader::default())),
            Dialect::OllamaChat => Some(Box::new(ollama_chat::StreamReader::default())),
            Dialect::OllamaGenerate => Some(Box::new(ollama_generate::StreamReader::default())),
            Dialect::BedrockConverse => Some(Box::new(bedrock_converse::StreamReader::default())),
            Dialect::ReplicatePredictions => {
                Some(Box::new(replicate_predictions::StreamReader::default()))
            }
            Dialect::OpenaiEmbeddings
            | Dialect::OpenaiMedia
            | Dialect::GeminiEmbeddings
            | Dialect::CohereEmbeddings
            | Dialect::CohereOldEmbeddings
            | Dialect::CohereRerank
            | Dialect::OllamaEmbeddings
            | Dialect::OllamaOldEmbeddings
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::WatsonxEmbeddings
            | Dialect::VoyageEmbeddings
            | Dialect::VoyageRerank
            | Dialect::MlflowServing => None,
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
        let reader = self
            .reader
            .as_mut()
            .ok_or_else(|| ReadError::shape("stream", "the provider's dialect has no streams"))?;
        reader.read(event, out)?;
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
        match &mut self.reader {
            Some(reader) if self.stream_end == StreamEnd::Finish && reader.is_finished() => {
                reader.end(out);
                Finish::Complete
            }
            _ => Finish::Cut,
        }
    }

    /// Whether the answer would be complete if the body ended here.
    pub fn may_finish(&self) -> bool {
        let finished = || {
            self.reader
                .as_ref()
                .is_some_and(|reader| reader.is_finished())
        };
        self.over || self.stream_end == StreamEnd::Finish && finished()
    }
}

/// Writes a stream for a client, event by event.
#[derive(Debug)]
pub struct StreamWriter(Box<dyn WriteEvents>);

impl StreamWriter {
    /// For a client. Those dialects that have no streams of their own get OpenAI's chunks.
    pub fn new(form: &AnswerForm<'_>) -> Self {
        Self(match form.dialect {
            Dialect::OpenaiResponses => Box::new(openai_responses::StreamWriter::new(form)),
            Dialect::OpenaiCompletions => Box::new(openai_completions::StreamWriter::new(form)),
            Dialect::AnthropicMessages => Box::new(anthropic_messages::StreamWriter::new(form)),
            Dialect::GeminiGenerate => Box::new(gemini_generate::StreamWriter::new(form)),
            Dialect::CohereChat => Box::new(cohere_chat::StreamWriter::new(form)),
            Dialect::OllamaChat => Box::new(ollama_chat::StreamWriter::new(form)),
            Dialect::OllamaGenerate => Box::new(ollama_generate::StreamWriter::new(form)),
            Dialect::OpenaiChat
            | Dialect::OpenaiEmbeddings
            | Dialect::OpenaiMedia
            | Dialect::GeminiEmbeddings
            | Dialect::CohereEmbeddings
            | Dialect::CohereOldEmbeddings
            | Dialect::CohereRerank
            | Dialect::OllamaEmbeddings
            | Dialect::OllamaOldEmbeddings
            | Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::WatsonxEmbeddings
            | Dialect::VoyageEmbeddings
            | Dialect::VoyageRerank
            | Dialect::ReplicatePredictions
            | Dialect::MlflowServing => Box::new(openai_chat::StreamWriter::new(form)),
        })
    }

    /// Appends whole frames. [`StreamEvent::End`] and [`StreamEvent::Error`] may come first, for a stream that passed through
    /// until then.
    pub fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        self.0.write(event, out);
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
            kind,
        } => (
            PartStart::ToolCall { id, name, kind },
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
