//! Errors: a provider's, read from its dialect; ours and theirs, written in the client's; and what goes
//! wrong in reading.

mod read;
mod write;

use std::time::Duration;

use thiserror::Error;

use crate::Call;

pub(crate) use read::{read, read_in_stream};
pub(crate) use write::write;

/// What a provider said instead of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderError {
    /// The HTTP status; for an error inside a stream, the one that its kind would have had.
    pub status: u16,
    /// In a word.
    pub kind: ErrorKind,
    /// The provider's own text.
    pub message: String,
    /// The provider's own code, such as `context_length_exceeded`.
    pub code: Option<String>,
    /// The request's field that is at fault.
    pub param: Option<String>,
    /// How long the provider wants us to wait, where the body says.
    pub retry_after: Option<Duration>,
}

/// What kind of error it is; each dialect has its own word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong. 400, 409, 422.
    InvalidRequest,
    /// The credentials are wrong. 401.
    Authentication,
    /// No money or no quota left. 402, and 429 with `insufficient_quota`.
    Billing,
    /// The credentials do not reach that far. 403.
    Permission,
    /// There is no such model or address. 404.
    NotFound,
    /// The client was too slow. 408.
    Timeout,
    /// The request is too long. 413.
    TooLarge,
    /// Too many requests or tokens. 429.
    RateLimited,
    /// The provider is full. 503, 529; 498 with Groq.
    Overloaded,
    /// The provider failed. Other 5xx, 424 with Hugging Face's servers, and whatever is not known.
    Server,
}

impl ErrorKind {
    /// The kind that a status alone tells.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            498 | 503 | 529 => Self::Overloaded,
            424 => Self::Server,
            400..=499 => Self::InvalidRequest,
            _ => Self::Server,
        }
    }

    /// The status that fits the kind best.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Overloaded => 503,
            Self::Server => 500,
        }
    }

    /// A stable name for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Authentication => "authentication",
            Self::Billing => "billing",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
        }
    }
}

/// An error as a client is to hear it, whoever's it is.
#[derive(Clone, Debug)]
pub struct ErrorReport<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Chooses the dialect's own word (`type`).
    pub kind: ErrorKind,
    /// A stable code.
    pub code: Option<&'a str>,
    /// What happened, and what to do.
    pub message: &'a str,
    /// The request's field that is at fault.
    pub param: Option<&'a str>,
    /// So that it can be found in the log.
    pub request_id: &'a str,
}

/// A body that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Not JSON at all.
    #[error("the body is not valid JSON: {0}")]
    Json(String),
    /// JSON of another shape than the dialect's.
    #[error("{path}: {problem}")]
    Shape {
        /// Which field, such as `messages[0].role`.
        path: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Nested too deep.
    #[error("the body is nested more than {0} levels deep")]
    TooDeep(usize),
}

impl ReadError {
    /// A field with something wrong about it.
    pub fn shape(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Shape {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// Fields that the target cannot express and that the table wants refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the target cannot express {}", fields.join(", "))]
pub struct Unsupported {
    /// Their names in the client's dialect.
    pub fields: Vec<String>,
}

impl Unsupported {
    /// A call of a kind that the target does not serve, by the field that makes it so.
    pub(crate) fn call(call: &Call) -> Self {
        Self::field(match call {
            Call::Chat(_) => "messages",
            Call::Completion(_) => "prompt",
            Call::Embedding(_) => "input",
            Call::Rerank(_) => "documents",
            Call::Predict(_) => "inputs",
        })
    }

    /// One field.
    pub(crate) fn field(name: &str) -> Self {
        Self {
            fields: vec![name.to_owned()],
        }
    }
}
