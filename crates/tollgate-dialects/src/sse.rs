//! Server-sent events: a stream of bytes, cut anywhere, becomes whole events. What is in an event is its
//! dialect's business.
//!
//! The rules are those of <https://html.spec.whatwg.org/multipage/server-sent-events.html>, with one addition: an
//! event whose blank line is missing at the end of the body counts, because some providers leave it out.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memchr2;
use thiserror::Error;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How nearly every line of data begins.
const DATA: &[u8] = b"data: ";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The whole frame as it came, its blank line included. The frames of a stream, put after each other, are the
    /// stream; those that came in one chunk are slices of it.
    pub raw: Bytes,
    /// Value of `event:`; empty where there is none.
    pub name: Bytes,
    /// The `data:` lines, joined by line feeds; empty where there are none, as in a comment.
    pub data: Bytes,
}

/// An event is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an event of the stream is longer than {event_bytes_max} bytes")]
pub struct SseTooLong {
    /// The bound.
    pub event_bytes_max: usize,
}

/// Finds the events in a stream. Each byte is looked at once, and copied only where its event lies in several chunks.
#[derive(Debug)]
pub struct SseSplitter {
    event_bytes_max: usize,
    /// Chunks that were not looked at yet.
    queue: VecDeque<Bytes>,
    /// What is left of the current chunk: it begins with the current frame, or with the rest of it.
    chunk: Bytes,
    /// How much of the current chunk was looked at.
    scanned: usize,
    /// The current frame's bytes of earlier chunks.
    carried: Vec<u8>,
    at_start: bool,
    line: Line,
}

/// Where the scan stands within a line.
#[derive(Debug)]
struct Line {
    /// Nothing is in it yet.
    empty: bool,
    /// The last byte was a CR, so that an LF would still belong to the line before.
    after_cr: bool,
    /// That CR ended the frame, if no LF follows.
    ends_frame: bool,
    /// The last CR was followed by an LF; then the next will be, too, and is worth waiting for.
    crlf: bool,
}

// === impl SseSplitter ===

impl SseSplitter {
    /// For a stream whose events have at most this many bytes.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            queue: VecDeque::new(),
            chunk: Bytes::new(),
            scanned: 0,
            carried: Vec::new(),
            at_start: true,
            line: Line {
                empty: true,
                after_cr: false,
                ends_frame: false,
                crlf: false,
            },
        }
    }

    /// Takes in what came.
    pub fn push(&mut self, chunk: Bytes) {
        self.queue.push_back(chunk);
    }

    /// The next whole event; `None` until more comes.
    ///
    /// # Errors
    /// When the event is too long. It stays so: the stream cannot be read on.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: after `None` there may be more"
    )]
    pub fn next(&mut self) -> Result<Option<SseEvent>, SseTooLong> {
        loop {
            if let Some(event) = self.usual() {
                return Ok(Some(event));
            }
            if let Some(end) = self.find_end() {
                let frame = self.cut(end);
                if frame.len() > self.event_bytes_max {
                    return Err(self.too_long(frame));
                }
                return Ok(Some(self.read(frame)));
            }
            if self.carried.len() + self.chunk.len() > self.event_bytes_max {
                return Err(SseTooLong {
                    event_bytes_max: self.event_bytes_max,
                });
            }
            let Some(chunk) = self.queue.pop_front() else {
                return Ok(None);
            };
            self.carried.extend_from_slice(&self.chunk);
            self.chunk = chunk;
            self.scanned = 0;
        }
    }

    /// The event that comes next if it is as most are, whole and one line of data alone: that is seen in one look.
    fn usual(&mut self) -> Option<SseEvent> {
        let is_between = self.carried.is_empty() && self.scanned == 0 && !self.line.after_cr;
        let value = self.chunk.strip_prefix(DATA)?;
        let at = memchr2(b'\n', b'\r', value)?;
        let end = DATA.len() + at + 2;
        if !is_between || end > self.event_bytes_max || !value.get(at..)?.starts_with(b"\n\n") {
            return None;
        }
        self.at_start = false;
        let raw = self.chunk.split_to(end);
        Some(SseEvent {
            name: Bytes::new(),
            data: raw.slice(DATA.len()..end - 2),
            raw,
        })
    }

    /// The event that the end of the body leaves without its blank line. To be called when [`Self::next`] gives none.
    pub fn finish(&mut self) -> Option<SseEvent> {
        self.line.ends_frame = false;
        let frame = self.cut(self.chunk.len());
        let bare = frame.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        (!bare).then(|| self.read(frame))
    }

    /// Bytes that wait for the rest of their event.
    pub fn pending(&self) -> usize {
        self.carried.len() + self.chunk.len() + self.queue.iter().map(Bytes::len).sum::<usize>()
    }

    /// Looks on through the current chunk for the end of the current frame.
    fn find_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.chunk.get(self.scanned..)?;
            let first = *rest.first()?;
            if std::mem::take(&mut self.line.after_cr) {
                self.line.crlf = first == b'\n';
                self.scanned += usize::from(self.line.crlf);
                if std::mem::take(&mut self.line.ends_frame) {
                    return Some(self.scanned);
                }
                if self.line.crlf {
                    continue;
                }
            }
            let Some(at) = memchr2(b'\n', b'\r', rest) else {
                self.line.empty = false;
                self.scanned = self.chunk.len();
                return None;
            };
            let blank = at == 0 && self.line.empty;
            self.line.empty = true;
            self.scanned += at + 1;
            if rest[at] == b'\r' {
                self.line.after_cr = true;
                // At the end of a chunk, an LF is waited for where the stream has them after its CRs.
                self.line.ends_frame = blank && (self.line.crlf || at + 1 < rest.len());
                if self.line.ends_frame {
                    continue;
                }
            }
            if blank {
                return Some(self.scanned);
            }
        }
    }

    /// Takes the current frame out, up to this place in the current chunk.
    fn cut(&mut self, end: usize) -> Bytes {
        let last = self.chunk.split_to(end);
        self.scanned = 0;
        if self.carried.is_empty() {
            return last;
        }
        let mut frame = std::mem::take(&mut self.carried);
        frame.extend_from_slice(&last);
        Bytes::from(frame)
    }

    fn too_long(&mut self, frame: Bytes) -> SseTooLong {
        // Kept, so that every later call says the same.
        self.carried = frame.into();
        SseTooLong {
            event_bytes_max: self.event_bytes_max,
        }
    }

    fn read(&mut self, frame: Bytes) -> SseEvent {
        let marked = std::mem::take(&mut self.at_start) && frame.starts_with(BYTE_ORDER_MARK);
        read_frame(frame, if marked { BYTE_ORDER_MARK.len() } else { 0 })
    }
}

/// Reads the lines of a frame, from a place on.
fn read_frame(raw: Bytes, from: usize) -> SseEvent {
    let mut name = Bytes::new();
    let mut data: Option<Bytes> = None;
    let mut joined: Vec<u8> = Vec::new();
    let mut start = from;
    while start < raw.len() {
        let end = memchr2(b'\n', b'\r', &raw[start..]).map_or(raw.len(), |at| start + at);
        if let Some(value) = value_of(&raw, b"data", start, end) {
            match &data {
                None => data = Some(value),
                Some(first) => {
                    if joined.is_empty() {
                        joined.extend_from_slice(first);
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(&value);
                }
            }
        } else if let Some(value) = value_of(&raw, b"event", start, end) {
            name = value;
        }
        start = end + 1;
    }
    let data = if joined.is_empty() {
        data.unwrap_or_default()
    } else {
        Bytes::from(joined)
    };
    SseEvent { raw, name, data }
}

/// The value of a line, if it is of this field.
fn value_of(raw: &Bytes, field: &[u8], start: usize, end: usize) -> Option<Bytes> {
    let rest = raw[start..end].strip_prefix(field)?;
    let value = match rest {
        [] => rest,
        [b':', b' ', value @ ..] | [b':', value @ ..] => value,
        _ => return None,
    };
    Some(raw.slice(end - value.len()..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every event of a stream that comes in these chunks, the last unterminated one included.
    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<SseEvent> {
        let mut splitter = SseSplitter::new(1 << 20);
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = splitter.next().unwrap() {
                events.push(event);
            }
        }
        events.extend(splitter.finish());
        events
    }

    /// Name and data of the events that have any.
    fn told(events: &[SseEvent]) -> Vec<(&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let told = events
            .iter()
            .map(|event| (text(&event.name), text(&event.data)));
        told.filter(|(name, data)| !name.is_empty() || !data.is_empty())
            .collect()
    }

    const STREAM: &[u8] = b"\xef\xbb\xbf: hello\n\nevent: a\ndata: 1\n\ndata:2\r\ndata: 3\r\n\r\n\
        data\rdata:  4\r\rid: 7\nretry: 1\ndatax: no\n\n\n\nevent:b\ndata: {\"\xc3\xa4\":1}\n\ndata: [DONE]";

    const TOLD: &[(&str, &str)] = &[
        ("a", "1"),
        ("", "2\n3"),
        ("", "\n 4"),
        ("b", "{\"\u{e4}\":1}"),
        ("", "[DONE]"),
    ];

    #[test]
    fn every_form_of_line_and_field() {
        let events = split([STREAM]);
        assert_eq!(told(&events), TOLD);
        assert_eq!(
            events
                .iter()
                .flat_map(|event| event.raw.to_vec())
                .collect::<Vec<u8>>(),
            STREAM
        );
    }

    #[test]
    fn cut_in_two_at_every_byte() {
        for cut in 0..=STREAM.len() {
            let (first, second) = STREAM.split_at(cut);
            let events = split([first, second]);
            assert_eq!(told(&events), TOLD, "cut at {cut}");
            assert_eq!(
                events
                    .iter()
                    .flat_map(|event| event.raw.to_vec())
                    .collect::<Vec<u8>>(),
                STREAM,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn an_event_within_a_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\nda");
        let mut splitter = SseSplitter::new(100);
        splitter.push(chunk.clone());
        let first = splitter.next().unwrap().unwrap();
        let second = splitter.next().unwrap().unwrap();
        assert_eq!(splitter.next(), Ok(None));
        assert_eq!(first.raw.as_ptr(), chunk.as_ptr());
        assert_eq!(second.raw.as_ptr(), chunk[first.raw.len()..].as_ptr());
        assert_eq!(second.data.as_ptr(), chunk[first.raw.len() + 6..].as_ptr());
        assert_eq!(splitter.pending(), 2);
    }

    #[test]
    fn an_event_is_given_as_soon_as_it_is_whole() {
        for (stream, complete) in [
            (&b"data: 1\r\r"[..], true),
            (b"data: 1\r\n\r", false),
            (b"data: 1\n\n", true),
        ] {
            let mut splitter = SseSplitter::new(100);
            splitter.push(Bytes::copy_from_slice(stream));
            assert_eq!(splitter.next().unwrap().is_some(), complete, "{stream:?}");
        }
        let mut splitter = SseSplitter::new(100);
        splitter.push(Bytes::from_static(b"data: 1\r\n\r"));
        assert_eq!(splitter.next(), Ok(None));
        splitter.push(Bytes::from_static(b"\n"));
        assert_eq!(splitter.next().unwrap().unwrap().raw, "data: 1\r\n\r\n");
    }

    #[test]
    fn an_event_that_is_too_long_stays_an_error() {
        for stream in [&b"data: 0123456789\n\n"[..], b"data: 0123456789"] {
            let mut splitter = SseSplitter::new(10);
            splitter.push(Bytes::from_static(b"data: 1\n\n"));
            splitter.push(Bytes::copy_from_slice(stream));
            assert!(splitter.next().unwrap().is_some());
            assert_eq!(
                splitter.next(),
                Err(SseTooLong {
                    event_bytes_max: 10
                })
            );
            assert_eq!(
                splitter.next(),
                Err(SseTooLong {
                    event_bytes_max: 10
                })
            );
        }
    }

    const PIECES: &[&[u8]] = &[
        b"\n", b"\r", b"\r\n", b"data:", b"data: ", b"event: ", b": ", b"x", b"\xff",
    ];

    proptest! {
        #[test]
        fn how_a_stream_is_cut_changes_nothing(
            stream in prop::collection::vec(prop::sample::select(PIECES), 0..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let stream = stream.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(stream.len());
            let mut start = 0;
            let chunks = cuts.into_iter().map(|end| &stream[std::mem::replace(&mut start, end)..end]);
            let pieces = split(chunks);
            let whole = split([&stream[..]]);
            let raw = |events: &[SseEvent]| events.iter().flat_map(|event| event.raw.to_vec()).collect::<Vec<u8>>();
            let data = |events: &[SseEvent]| -> Vec<_> {
                events.iter().filter(|event| !event.data.is_empty()).map(|event| (event.name.clone(), event.data.clone())).collect()
            };
            prop_assert_eq!(data(&pieces), data(&whole));
            // Only line ends that end nothing may be left over.
            for raw in [raw(&pieces), raw(&whole)] {
                prop_assert!(stream.strip_prefix(&raw[..]).is_some_and(|rest| rest.iter().all(|byte| matches!(byte, b'\r' | b'\n'))));
            }
        }
    }
}
