//! OpenAI's chat completions: `POST /v1/chat/completions`, which most providers speak. The shapes that OpenAI's other endpoints
//! share with it are here as well.

mod accent;
mod answer;
mod bill;
mod read;
mod sources;
mod stream;
mod usage;
mod wire;
mod write;

pub(crate) use answer::{
    finish_word, loose_text, read_answer, read_answer_with, read_choice_frame, tool_call_id,
    write_answer, write_frame,
};
pub(crate) use bill::{Bill, Dollars};
pub(crate) use read::{
    REASONING_FIELDS, read_arguments, read_call, read_reasoning_effort, read_stream_options,
    read_tool, read_url,
};
pub(crate) use stream::{Frame, StreamReader, StreamWriter};
pub(crate) use usage::{Count, Details, WireUsage};
pub(crate) use wire::{
    Text, Told, failure, finish_reason, is_failure, parse, plain_text, read_event, seconds,
    stop_reason, text_of,
};
pub(crate) use write::{
    data_url, effort_for_budget, effort_word, to_bytes, to_map, write_call, write_call_in,
    write_stream_options,
};

#[cfg(test)]
mod tests;
