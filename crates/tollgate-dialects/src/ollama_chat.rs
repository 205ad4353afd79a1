//! Ollama's chat: `POST /api/chat` (<https://docs.ollama.com/api/chat>, read 2026-11). The shapes that Ollama's other endpoints share with
//! it are here as well.

mod answer;
mod read;
mod stream;
mod wire;
mod write;

pub(crate) use answer::{read_answer, read_answer_with, read_texts, write_answer, write_frame};
pub(crate) use read::{read_call, read_images};
pub(crate) use stream::{Shape, StreamReader, StreamWriter};
pub(crate) use wire::{
    Sampling, read_format, read_metrics, read_options, read_think, write_format, write_image,
    write_options, write_think,
};
pub(crate) use write::write_call;

#[cfg(test)]
mod tests;
