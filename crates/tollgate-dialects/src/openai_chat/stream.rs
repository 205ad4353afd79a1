//! OpenAI's stream of chat, one file for each direction.

mod read;
mod write;

pub(crate) use read::StreamReader;
pub(crate) use write::{Frame, StreamWriter};
