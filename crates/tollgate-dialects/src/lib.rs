//! The wire languages: bytes in, bytes out.
//!
//! A dialect is read into our own form ([`Call`], [`Answer`], [`StreamEvent`], [`ProviderError`]) and written from it.
//! Between equal dialects nothing is read in full: [`Head`] finds what the gateway needs, [`Edits`] sets
//! what it must set, and the bytes pass through; [`Watch`] looks on at the stream.
//!
//! Nothing here waits, reads a clock or knows of providers, routes or keys.

mod answer;
mod call;
mod error;
mod fields;
mod frames;
mod head;
mod json;
mod skim;
mod sse;
mod translate;
mod watch;

mod anthropic_messages;
mod bedrock_converse;
mod bedrock_embeddings;
mod cohere_chat;
mod cohere_embeddings;
mod cohere_old_embeddings;
mod cohere_rerank;
mod gemini_embeddings;
mod gemini_generate;
mod mlflow_serving;
mod mold;
mod ollama_chat;
mod ollama_embeddings;
mod ollama_generate;
mod ollama_old_embeddings;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_media;
mod openai_responses;
mod replicate_predictions;
mod vertex_embeddings;
mod voyage_embeddings;
mod voyage_rerank;
mod watsonx_embeddings;

pub use answer::{
    Answer, AnswerChoice, ChatAnswer, Delta, EmbeddingAnswer, PartStart, RerankAnswer,
    RerankResult, Stop, StopReason, StreamEvent, Vector,
};
pub use anthropic_messages::{enclose_call, enclose_count, read_count};
pub use call::{
    Call, ChatCall, CompletionCall, EmbeddingCall, EmbeddingInput, Extra, MediaSource, Message,
    Part, PartKind, PromptInput, Reasoning, ReasoningEffort, RerankCall, ResponseFormat, Role,
    Tool, ToolChoice, ToolKind,
};
pub use cohere_rerank::give_back;
pub use error::{ErrorKind, ErrorReport, ProviderError, ReadError, Unsupported};
pub use fields::{Field, Gaps, Policy, Rule, field_named, rules};
pub use frames::{FrameError, Frames, JsonArray};
pub use head::{Edits, Head, HeadLimits, ModelEdit};
pub use openai_media::{Form, FormError, glance_at_message};
pub use openai_responses::has_others_proof;
pub use replicate_predictions::{Job, JobState};
pub use sse::{SseEvent, SseSplitter, SseTooLong};
pub use translate::{
    AnswerForm, CallForm, Finish, StreamReader, StreamWriter, Written, read_answer, read_call,
    read_error, stream_of, write_answer, write_call, write_call_in, write_error,
};
pub use watch::{Glance, Seen, Watch, error_within, glance};
