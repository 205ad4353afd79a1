//! OpenAI's chat completions: `POST /v1/chat/completions`, which most providers speak. The shapes that OpenAI's other endpoints
//! share with it are here as well.

mod accent;
mod read;
mod sources;
mod stream;
mod wire;
mod write;

pub(crate) use read::{
    REASONING_FIELDS, loose_text, read_answer, read_answer_with, read_arguments, read_call,
    read_choice_frame, read_reasoning_effort, read_stream_options, read_tool, read_url,
    tool_call_id,
};
pub(crate) use stream::{Frame, StreamReader, StreamWriter};
pub(crate) use wire::{
    Count, Text, Told, WireUsage, failure, finish_reason, is_failure, parse, read_event, seconds,
    stop_reason, text_of,
};
pub(crate) use write::{
    data_url, effort_for_budget, effort_word, finish_word, to_bytes, to_map, write_answer,
    write_call, write_call_in, write_frame, write_stream_options,
};

#[cfg(test)]
mod tests;
