//! A stream of bytes, cut anywhere, becomes whole events, however its dialect frames them.

mod array;
pub(crate) mod aws;
mod chunks;
mod lines;

use bytes::Bytes;
use thiserror::Error;
use tollgate_domain::Framing;

use crate::{SseEvent, SseSplitter, SseTooLong};
use aws::AwsSplitter;
use chunks::ChunkSplitter;
use lines::LineSplitter;

pub use array::JsonArray;

/// Why no more events can be found in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An event is longer than it may be.
    #[error(transparent)]
    TooLong(#[from] SseTooLong),
    /// A frame is not as it was sent.
    #[error("a frame of the stream is damaged: {0}")]
    Damaged(&'static str),
}

/// Finds the events in a stream.
#[derive(Debug)]
pub struct Frames(Splitter);

#[derive(Debug)]
enum Splitter {
    Sse(SseSplitter),
    Lines(LineSplitter),
    Aws(AwsSplitter),
    Chunks(ChunkSplitter),
}

impl Frames {
    /// For a stream that is framed so, with a bound for each event.
    pub fn new(framing: Framing, event_bytes_max: usize) -> Self {
        Self(match framing {
            // Arrays are never read so: clients alone get them.
            Framing::Sse | Framing::JsonArray => Splitter::Sse(SseSplitter::new(event_bytes_max)),
            Framing::JsonLines => Splitter::Lines(LineSplitter::new(event_bytes_max)),
            Framing::AwsFrames => Splitter::Aws(AwsSplitter::new(event_bytes_max)),
            Framing::AwsChunks => Splitter::Chunks(ChunkSplitter::new(event_bytes_max)),
        })
    }

    /// Takes in what came.
    pub fn push(&mut self, chunk: Bytes) {
        match &mut self.0 {
            Splitter::Sse(splitter) => splitter.push(chunk),
            Splitter::Lines(splitter) => splitter.push(&chunk),
            Splitter::Aws(splitter) => splitter.push(&chunk),
            Splitter::Chunks(splitter) => splitter.push(&chunk),
        }
    }

    /// The next whole event.
    ///
    /// # Errors
    /// When an event is longer than it may be, or damaged. Every later call says the same.
    #[expect(clippy::should_implement_trait, reason = "it goes on after `None`")]
    pub fn next(&mut self) -> Result<Option<SseEvent>, FrameError> {
        match &mut self.0 {
            Splitter::Sse(splitter) => Ok(splitter.next()?),
            Splitter::Lines(splitter) => Ok(splitter.next()?),
            Splitter::Aws(splitter) => splitter.next(),
            Splitter::Chunks(splitter) => splitter.next(),
        }
    }

    /// The event that the end of the body leaves without its own end. To be called when [`Self::next`] gives none.
    pub fn finish(&mut self) -> Option<SseEvent> {
        match &mut self.0 {
            Splitter::Sse(splitter) => splitter.finish().map(|mut event| {
                event.raw = [&event.raw, &b"\n\n"[..]].concat().into();
                event
            }),
            Splitter::Lines(splitter) => splitter.finish(),
            Splitter::Aws(splitter) => splitter.finish(),
            Splitter::Chunks(splitter) => splitter.finish(),
        }
    }
}
