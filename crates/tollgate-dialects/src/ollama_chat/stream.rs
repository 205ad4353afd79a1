//! Ollama's streams of chat and of completions, one file for each direction.

mod read;
mod write;

pub(crate) use read::StreamReader;
pub(crate) use write::{Shape, StreamWriter};
