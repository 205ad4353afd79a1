//! Anthropic's streams: named events, one block open at a time.

mod read;
mod write;

pub(crate) use read::StreamReader;
pub(crate) use write::{StreamWriter, error_body};
