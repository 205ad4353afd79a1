//! Our own form of an answer, whole ([`Answer`]) or as it comes ([`StreamEvent`]).

use crate::watch::add_text;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tollgate_domain::Usage;

use crate::{Extra, Part, ProviderError, ToolKind};

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To a chat or a completion: a completion's choices hold one text each.
    Chat(Box<ChatAnswer>),
    /// To an embedding call.
    Embedding(Box<EmbeddingAnswer>),
    /// To a rerank call.
    Rerank(Box<RerankAnswer>),
    /// A score, passed whole.
    Predict(Value),
}

/// An answer to a chat or to a completion.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// The provider's id; empty where it gave none.
    pub id: String,
    /// The model that answered, as the provider calls it; empty where it did not say.
    pub model: String,
    /// Seconds since 1970, where the provider said.
    pub created: Option<i64>,
    /// The answers; one unless more were asked for.
    pub choices: Vec<AnswerChoice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The service tier that was used.
    pub service_tier: Option<String>,
    /// What nothing above models.
    pub extra: Extra,
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerChoice {
    /// From 0.
    pub index: u32,
    /// What is said, in order: reasoning, text, tool calls.
    pub content: Vec<Part>,
    /// Why it ended; `None` where the provider did not say.
    pub stop: Option<Stop>,
    /// Log-probabilities in OpenAI's form.
    pub logprobs: Option<Value>,
    /// Fields of the choice that nothing above models; of the answer's own dialect. Those of OpenAI's message are under
    /// `message`.
    pub extra: Map<String, Value>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// In a word.
    pub reason: StopReason,
    /// The stop sequence that was hit, where the provider says.
    pub sequence: Option<String>,
}

impl Stop {
    /// An end without a stop sequence.
    pub fn new(reason: StopReason) -> Self {
        Self {
            reason,
            sequence: None,
        }
    }
}

/// Why an answer ended, in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model had said everything (OpenAI `stop`, Anthropic `end_turn`).
    EndTurn,
    /// A stop sequence was hit (Anthropic `stop_sequence`; OpenAI does not tell it from `EndTurn`).
    StopSequence,
    /// The cap on tokens was reached (`length`, `max_tokens`).
    MaxTokens,
    /// The context window was full (Anthropic `model_context_window_exceeded`; OpenAI `length`).
    ContextWindow,
    /// Tools are asked for (`tool_calls`, legacy `function_call`; `tool_use`).
    ToolUse,
    /// A filter intervened (`content_filter`).
    ContentFilter,
    /// The model declined (Anthropic `refusal`; written to OpenAI as `content_filter`).
    Refusal,
    /// The provider paused a long turn (Anthropic `pause_turn`; written to OpenAI as `stop`).
    Pause,
    /// A word that came later, kept as written; other dialects write their word for `EndTurn`.
    Other(String),
}

/// An answer to an embedding call.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingAnswer {
    /// The model that answered.
    pub model: String,
    /// In the order of the inputs.
    pub vectors: Vec<Vector>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What nothing above models.
    pub extra: Extra,
}

impl EmbeddingAnswer {
    /// Numbers in the place of base64 that holds whole numbers of one byte, as some providers send it whatever was asked: all
    /// others take base64 for `f32`.
    pub fn read_integers(&mut self) {
        for vector in &mut self.vectors {
            if let Vector::Base64(text) = vector
                && let Ok(bytes) = STANDARD.decode(text.as_bytes())
            {
                let numbers = bytes.into_iter().map(|byte| f64::from(byte.cast_signed()));
                *vector = Vector::Floats(numbers.collect());
            }
        }
    }
}

/// An answer to a rerank call.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankAnswer {
    /// The provider's id; empty where it gave none.
    pub id: String,
    /// The model that answered; empty where the provider did not say.
    pub model: String,
    /// The best first.
    pub results: Vec<RerankResult>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What nothing above models.
    pub extra: Extra,
}

/// How relevant a document is.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankResult {
    /// The document's place in the question, from 0.
    pub index: u64,
    /// The higher, the more relevant; mostly 0 to 1.
    pub score: f64,
    /// The document, where it was asked for.
    pub document: Option<Value>,
}

/// A vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector {
    /// Numbers.
    Floats(Vec<f64>),
    /// Little-endian `f32`, base64.
    Base64(String),
}

/// What happens in a stream. Parts are numbered from 0 within their choice, in the order in which they start.
/// A part is started before its deltas; text and reasoning end before the next part starts.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// The answer begins. Always first, unless the stream is an error from its start.
    Start {
        /// The provider's id; empty where it gave none.
        id: String,
        /// The model that answers; empty where the provider did not say.
        model: String,
        /// Seconds since 1970, where the provider said.
        created: Option<i64>,
        /// What is known of usage already (Anthropic's input tokens).
        usage: Option<Usage>,
    },
    /// A part begins.
    PartStart {
        /// Of this choice.
        choice: u32,
        /// With this number.
        part: u32,
        /// What it is.
        start: PartStart,
    },
    /// A part goes on.
    Delta {
        /// Of this choice.
        choice: u32,
        /// The part's number.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// A part ends.
    PartStop {
        /// Of this choice.
        choice: u32,
        /// The part's number.
        part: u32,
    },
    /// Log-probabilities of the tokens just given, in OpenAI's form.
    Logprobs {
        /// Of this choice.
        choice: u32,
        /// `{"content": [...]}`.
        value: Value,
    },
    /// A choice has ended.
    Stop {
        /// Which.
        choice: u32,
        /// Why.
        stop: Stop,
    },
    /// Usage so far; a later report replaces what it names.
    Usage(Usage),
    /// The provider failed. Nothing follows.
    Error(ProviderError),
    /// The answer is complete: the dialect's own end mark was seen. Nothing follows.
    End,
    /// Something harmless that only its own dialect understands (Anthropic's `ping`); other writers skip it.
    Foreign(Value),
}

impl StreamEvent {
    /// Whether a person would see something of it.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Delta { .. } => true,
            Self::PartStart { start, .. } => !matches!(
                start,
                PartStart::Text | PartStart::Reasoning | PartStart::Refusal
            ),
            // What the provider's own tools do is something to see.
            Self::Foreign(value) => value["type"] != "ping",
            _ => false,
        }
    }

    /// Adds the text that it says to what was said.
    pub fn say(&self, said: &mut String) {
        let text = match self {
            Self::Delta { delta, .. } => match delta {
                Delta::Text(text) | Delta::Reasoning(text) | Delta::Arguments(text) => text,
                Delta::Signature(_) | Delta::Citation(_) | Delta::Foreign(_) => return,
            },
            Self::PartStart {
                start: PartStart::ToolCall { name, .. },
                ..
            } => name,
            _ => return,
        };
        add_text(said, text);
    }
}

/// What a beginning part is.
#[derive(Clone, Debug, PartialEq)]
pub enum PartStart {
    /// Text.
    Text,
    /// A refusal.
    Refusal,
    /// Reasoning.
    Reasoning,
    /// Encrypted reasoning, whole.
    RedactedReasoning {
        /// As it came.
        data: String,
    },
    /// A tool call; its arguments follow.
    ToolCall {
        /// Answered under this id.
        id: String,
        /// Which tool.
        name: String,
        /// Whether its argument is JSON or free text.
        kind: ToolKind,
    },
    /// A block that only its own dialect understands, as it started.
    Foreign(Value),
}

/// What is added to a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Text, or the text of a refusal.
    Text(String),
    /// Reasoning.
    Reasoning(String),
    /// The signature of the reasoning.
    Signature(String),
    /// A piece of a tool call's arguments.
    Arguments(String),
    /// A citation of the text, in Anthropic's form.
    Citation(Value),
    /// Something that only its own dialect understands.
    Foreign(Value),
}
