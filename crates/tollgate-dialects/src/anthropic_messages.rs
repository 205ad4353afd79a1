//! Anthropic's messages: `POST /v1/messages` (<https://docs.claude.com/en/api/messages>, read 2026-11).

mod answer;
mod models;
mod read;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_call;
pub(crate) use stream::{StreamReader, StreamWriter};
pub(crate) use wire::{WireUsage, error_type, stop_reason};
pub(crate) use write::{says_nothing, write_call};

#[cfg(test)]
mod tests;
