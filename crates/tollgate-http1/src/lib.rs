//! HTTP/1.1 as bytes (RFC 9112): the heads of requests and answers, and where bodies end. No I/O, no clock, not async.
//!
//! Connections to providers are `tollgate-upstream`'s, those of clients are `tollgate-proxy`'s.

mod answer;
mod body;
mod chunks;
mod head;
mod request;
mod scratch;

pub use answer::{ANSWER_HEAD_BYTES_MAX, AnswerHead, read_answer, take_answer_head};
pub use body::BodyEnd;
pub use head::{HttpError, head_is_whole};
pub use request::{RequestHead, read_requests, take_request_head};
pub use scratch::Scratch;
