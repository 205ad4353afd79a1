//! Streams, read and written.

mod read;
mod write;

pub(super) use read::Chunk;
pub(crate) use read::StreamReader;
pub(crate) use write::StreamWriter;
