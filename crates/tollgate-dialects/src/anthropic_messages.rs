//! Anthropic's messages: `POST /v1/messages` (<https://docs.claude.com/en/api/messages>, read 2026-11).

mod read;
mod stream;
mod wire;
mod write;

pub(crate) use read::{read_answer, read_call};
pub(crate) use stream::{StreamReader, StreamWriter};
pub(crate) use wire::{WireUsage, error_type, stop_reason};
pub(crate) use write::{write_answer, write_call};

#[cfg(test)]
mod tests;
