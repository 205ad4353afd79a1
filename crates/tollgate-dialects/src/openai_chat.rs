//! OpenAI's chat completions: `POST /v1/chat/completions`, which most providers speak. The shapes that OpenAI's other endpoints
//! share with it are here as well.

mod accent;
mod read;
mod sources;
mod stream;
mod wire;
mod write;

pub(crate) use read::{
    REASONING_FIELDS, read_answer, read_answer_with, read_call, read_choice_frame,
    read_stream_options, read_tool,
};
pub(crate) use stream::{Frame, StreamReader, StreamWriter};
pub(crate) use wire::{
    Count, Text, Told, WireUsage, failure, finish_reason, is_failure, parse, read_event,
    stop_reason, text_of,
};
pub(crate) use write::{
    finish_word, to_bytes, write_answer, write_call, write_call_in, write_frame,
    write_stream_options,
};

#[cfg(test)]
mod tests;
