//! Anthropic's messages: `POST /v1/messages` (<https://docs.claude.com/en/api/messages>, read 2026-11).

mod answer;
mod invocation;
mod models;
mod read;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub use invocation::{enclose_call, enclose_count, read_count};
pub(crate) use models::Model;
pub(crate) use read::{read_call, read_thinking};
pub(crate) use stream::{StreamReader, StreamWriter, error_body};
pub(crate) use wire::{WireUsage, error_type, stop_reason};
pub(crate) use write::{
    JSON_INSTRUCTION, invalid_arguments, is_thinking, member, parse_arguments, says_nothing,
    to_map, write_call, write_thinking,
};

#[cfg(test)]
mod tests;
