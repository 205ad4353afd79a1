//! JSON line by line: every line is an event. Blank lines tell nothing.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::{SseEvent, SseTooLong};

/// Finds the lines in a stream.
#[derive(Debug)]
pub(super) struct LineSplitter {
    event_bytes_max: usize,
    waiting: BytesMut,
    /// How much of what waits was looked at.
    scanned: usize,
}

impl LineSplitter {
    pub(super) fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            waiting: BytesMut::new(),
            scanned: 0,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.waiting.extend_from_slice(chunk);
    }

    pub(super) fn next(&mut self) -> Result<Option<SseEvent>, SseTooLong> {
        loop {
            let Some(at) = memchr(b'\n', &self.waiting[self.scanned..]) else {
                self.scanned = self.waiting.len();
                return if self.waiting.len() > self.event_bytes_max {
                    Err(self.too_long())
                } else {
                    Ok(None)
                };
            };
            let end = self.scanned + at + 1;
            if end > self.event_bytes_max {
                return Err(self.too_long());
            }
            let raw = self.waiting.split_to(end).freeze();
            self.scanned = 0;
            if let Some(event) = event(raw) {
                return Ok(Some(event));
            }
        }
    }

    pub(super) fn finish(&mut self) -> Option<SseEvent> {
        self.scanned = 0;
        let mut raw = self.waiting.split();
        raw.extend_from_slice(b"\n");
        event(raw.freeze())
    }

    fn too_long(&self) -> SseTooLong {
        SseTooLong {
            event_bytes_max: self.event_bytes_max,
        }
    }
}

/// A line as an event; `None` where nothing is in it.
fn event(raw: Bytes) -> Option<SseEvent> {
    let data = raw.slice_ref(raw.trim_ascii());
    (!data.is_empty()).then(|| SseEvent {
        raw,
        name: Bytes::new(),
        data,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::new(1000);
        let mut found = Vec::new();
        let mut take =
            |event: SseEvent| found.push(String::from_utf8_lossy(&event.data).into_owned());
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(event) = splitter.next().expect("short lines") {
                take(event);
            }
        }
        splitter.finish().map(&mut take);
        found
    }

    #[test]
    fn a_line_is_an_event_and_a_blank_one_is_none() {
        assert_eq!(
            lines(&[b"{\"a\":1}\r\n\n{\"b\"", b":2}\n", b"{\"c\":3}"]),
            ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_for_ever() {
        let mut splitter = LineSplitter::new(10);
        splitter.push(b"0123456789ab");
        assert!(splitter.next().is_err() && splitter.next().is_err());
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_makes_no_difference(text in "[a-c\\n]{0,40}", cut in 0_usize..40) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(lines(&[left, right]), lines(&[bytes]));
        }
    }
}
