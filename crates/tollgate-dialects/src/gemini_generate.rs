//! Gemini's `generateContent` and `streamGenerateContent`, of the Gemini API and of Vertex AI
//! (<https://ai.google.dev/api/generate-content>, read 2026-11).

mod answer;
mod citations;
mod glimpse;
mod logprobs;
mod models;
mod proofs;
mod read;
mod schema;
mod searches;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use glimpse::{Followed, Glimpse};
pub(crate) use proofs::geminis_signature;
pub(crate) use read::read_call;
pub(crate) use stream::{StreamReader, StreamWriter};
pub(crate) use wire::{WireUsage, camel};
pub(crate) use write::write_call;

#[cfg(test)]
mod tests;
