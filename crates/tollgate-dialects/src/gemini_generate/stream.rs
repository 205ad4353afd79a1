//! Streams, read and written.

mod read;
mod write;

pub(crate) use read::StreamReader;
pub(super) use read::Chunk;
pub(crate) use write::StreamWriter;
