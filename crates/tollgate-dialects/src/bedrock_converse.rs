//! AWS Bedrock's `Converse` and `ConverseStream`
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>, read 2026-11). Spoken by providers
//! only: calls are read so that recorded ones can be told in other dialects, answers are written for nobody.
//!
//! The address names the model and says whether to stream. What has no place in Converse itself goes into
//! `additionalModelRequestFields`, in the model's own words ([`models`]).

mod answer;
mod blocks;
mod citations;
mod models;
mod read;
mod stream;
mod write;

pub(crate) use crate::openai_chat::write_answer;
pub(crate) use answer::read_answer;
pub(crate) use read::read_call;
pub(crate) use stream::{StreamReader, read_exception};
pub(crate) use write::write_call;

#[cfg(test)]
mod tests;
