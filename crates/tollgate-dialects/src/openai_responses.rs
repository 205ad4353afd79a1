//! OpenAI's responses: `POST /v1/responses` (<https://platform.openai.com/docs/api-reference/responses>, read 2026-11).
//!
//! A conversation is a list of items: messages, calls of tools, what tools said, reasoning. In our form the assistant's items that
//! follow each other are one message. What an item is besides its content (its id, its state, a summary's pieces) stays
//! under [`ITEM`] among the extra fields of its first part.

mod answer;
mod proof;
mod read;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{glance, read_answer, write_answer};
pub use proof::has_others_proof;
pub(crate) use proof::is_proof;
pub(crate) use read::read_call;
pub(crate) use stream::{StreamReader, StreamWriter};
pub(crate) use write::{chat_custom_format, chat_tool_choice, write_call};

/// The extra field that holds what an item is besides its content. It means something to its own dialect alone.
const ITEM: &str = "item";

#[cfg(test)]
mod tests;
