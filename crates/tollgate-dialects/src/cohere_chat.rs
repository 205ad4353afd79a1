//! Cohere's chat: `POST /v2/chat` (<https://docs.cohere.com/reference/chat>, read 2026-11).

mod answer;
mod citations;
mod read;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_call;
pub(crate) use stream::{StreamReader, StreamWriter};
pub(crate) use wire::{read_usage, write_usage};
pub(crate) use write::write_call;

#[cfg(test)]
mod tests;
