//! A stream of responses: typed events in, [`crate::StreamEvent`]s out, and back.

mod read;
mod write;

pub(crate) use read::StreamReader;
pub(crate) use write::StreamWriter;

#[cfg(test)]
mod tests;
