//! What fuzz targets share: how an input becomes options, chunks and forms, and what must hold of whatever is written.
//!
//! Targets go over `Dialect::ALL`, so that a dialect is fuzzed as soon as it is there.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use tollgate_dialects::{AnswerForm, CallForm, SseEvent, SseSplitter, StreamEvent, StreamWriter};
use tollgate_domain::{ChatInput, Dialect, StreamUsage};

/// More than any input of a target has, so that no event is too long.
pub const EVENT_BYTES_MAX: usize = 1 << 24;

/// How many bytes at the start of a stream's input say how it is cut.
const CUT_BYTES: usize = 4;

/// Models that a call is written for: dialects look at the name for what a model takes.
const MODELS: [Option<&str>; 4] = [
    None,
    Some("gpt-5"),
    Some("claude-sonnet-4-5"),
    Some("any \"model\""),
];

/// The first byte of an input as options, and the rest.
pub fn options(input: &[u8]) -> (u8, &[u8]) {
    input
        .split_first()
        .map_or((0, input), |(first, rest)| (*first, rest))
}

/// A form to write a call in.
pub fn call_form(dialect: Dialect, options: u8) -> CallForm<'static> {
    let is_set = |bit: u8| options & 1 << bit != 0;
    CallForm {
        dialect,
        model: MODELS[usize::from(options >> 6)],
        stream_usage: if is_set(0) {
            StreamUsage::Ask
        } else {
            StreamUsage::Unasked
        },
        chat_input: if is_set(1) {
            ChatInput::Text
        } else {
            ChatInput::Messages
        },
        drop_unsupported: is_set(2),
    }
}

/// A form to write an answer in.
pub fn answer_form(dialect: Dialect, options: u8) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "fallback",
        fallback_model: "model",
        created: 1,
        include_usage: options & 1 != 0,
        base64_vectors: options & 2 != 0,
        asked: &[],
        kept: false,
    }
}

// === streams ===

/// An input as a stream in chunks: its first bytes are the lengths of the chunks in turns, in which 0 stands for all that
/// is left.
pub fn chunks(input: &[u8]) -> Option<Vec<Bytes>> {
    let (lengths, rest) = input.split_at_checked(CUT_BYTES)?;
    Some(cut(rest, lengths))
}

/// Bytes in chunks of these lengths in turns.
pub fn cut(mut rest: &[u8], lengths: &[u8]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let length = match usize::from(*length) {
            0 => rest.len(),
            length => length.min(rest.len()),
        };
        let (chunk, after) = rest.split_at(length);
        chunks.push(Bytes::copy_from_slice(chunk));
        rest = after;
    }
    chunks
}

/// An input as AWS's frames with all their checksums: each is parted from the next by a byte of ones, and begins with the length of its headers.
pub fn aws_frames(input: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    for frame in input.split(|byte| *byte == u8::MAX) {
        let (headers, content) = frame.split_first().unwrap_or((&0, &[]));
        let length = 16 + u32::try_from(content.len()).expect("inputs are short");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&u32::from(*headers).to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        framed.extend(bytes);
    }
    framed
}

/// Every event of a stream that comes in these chunks, the last unterminated one included.
pub fn events(chunks: &[Bytes]) -> Vec<SseEvent> {
    let mut splitter = SseSplitter::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    for chunk in chunks {
        splitter.push(chunk.clone());
        while let Some(event) = splitter.next().expect("no event is that long") {
            events.push(event);
        }
    }
    events.extend(splitter.finish());
    events
}

/// Writes a stream for a client of each dialect, and looks at what comes out.
///
/// # Panics
/// When there is more than one end mark, an end mark beside an error or without an end, something that is no JSON, or
/// much more than what was read.
pub fn check_written_stream(told: &[StreamEvent], read_bytes: usize, options: u8) {
    let spoken = Dialect::ALL.iter().copied();
    // The ends of the others are no events of their own.
    let marked = spoken.filter(|dialect| {
        matches!(
            dialect,
            Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::AnthropicMessages
        )
    });
    for dialect in marked {
        let mut writer = StreamWriter::new(&answer_form(dialect, options));
        let mut written = Vec::new();
        told.iter()
            .for_each(|event| writer.write(event, &mut written));
        check_size(&written, read_bytes);
        let mut marks = 0;
        let mut errors = 0;
        for event in events(&[Bytes::from(written)]) {
            if &*event.data == b"[DONE]" {
                marks += 1;
                continue;
            }
            let data: Value = check_json(&event.data);
            marks += usize::from(data["type"] == "message_stop");
            errors += usize::from(data["error"].is_object());
        }
        let ends = told
            .iter()
            .filter(|event| matches!(event, StreamEvent::End))
            .count();
        assert!(
            marks <= ends.min(1),
            "{dialect:?}: {marks} end marks for {ends} ends"
        );
        assert!(
            marks + errors <= 1,
            "{dialect:?}: an end mark beside an error"
        );
    }
}

// === JSON ===

/// Whatever is written is JSON.
///
/// # Panics
/// When it is not.
pub fn check_json(written: &[u8]) -> Value {
    serde_json::from_slice(written)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(written)))
}

/// Nothing becomes very much longer by being read and written: else a short input could cost a lot of work.
///
/// # Panics
/// When it does.
pub fn check_size(written: &[u8], read_bytes: usize) {
    let bound = 4096 + 512 * read_bytes;
    assert!(
        written.len() <= bound,
        "{read_bytes} bytes became {}",
        written.len()
    );
}

/// Whether this is JSON by its grammar, whatever its numbers and texts hold.
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// An object's members in the order in which they are written, with those that come twice.
pub struct Members(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
