//! AWS's binary frames, `application/vnd.amazon.eventstream`: lengths, headers, payload, and a checksum over each
//! (<https://smithy.io/2.0/aws/amazon-eventstream.html>, read 2026-11).
//!
//! An event's name is its `:event-type`. What the provider throws inside a stream is told by the name as well: it begins with
//! [`EXCEPTION`], which no type of event does.

use bytes::{Buf, Bytes, BytesMut};
use serde_json::json;

use super::FrameError;
use crate::{SseEvent, SseTooLong};

/// What the name of an exception begins with; its `:exception-type` or `:error-code` follows.
pub(crate) const EXCEPTION: &[u8] = b"exception:";

/// Both lengths and their checksum.
const PRELUDE: usize = 12;

/// The checksum at the end of a frame.
const CHECKSUM: usize = 4;

/// Most bytes of headers, by the specification.
const HEADERS_MAX: usize = 128 << 10;

/// Finds the frames in a stream.
#[derive(Debug)]
pub(super) struct AwsSplitter {
    event_bytes_max: usize,
    waiting: BytesMut,
}

impl AwsSplitter {
    pub(super) fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            waiting: BytesMut::new(),
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.waiting.extend_from_slice(chunk);
    }

    /// The next whole frame. A damaged one stays where it is, so that every later call finds it damaged.
    pub(super) fn next(&mut self) -> Result<Option<SseEvent>, FrameError> {
        let Some(prelude) = Prelude::read(&self.waiting, self.event_bytes_max)? else {
            return Ok(None);
        };
        let Some(frame) = self.waiting.get(..prelude.frame) else {
            return Ok(None);
        };
        let (content, mut checksum) = frame.split_at(prelude.frame - CHECKSUM);
        if crc32fast::hash(content) != checksum.get_u32() {
            return Err(FrameError::Damaged("its checksum does not fit"));
        }
        // Headers are looked at before the frame is taken, for the same reason.
        let headers = content.get(PRELUDE..PRELUDE + prelude.headers);
        let headers = headers.and_then(Headers::read);
        let headers = headers.ok_or(FrameError::Damaged("its headers cannot be read"))?;
        let name = headers.name();
        let told = headers.error_message.clone();
        let raw = self.waiting.split_to(prelude.frame).freeze();
        let payload = raw.slice(PRELUDE + prelude.headers..prelude.frame - CHECKSUM);
        let data = match told {
            // Such an error has no payload, and its text is in a header.
            Some(message) if payload.is_empty() => json!({"message": message}).to_string().into(),
            _ => payload,
        };
        Ok(Some(SseEvent { raw, name, data }))
    }

    /// A piece of a frame is no event.
    pub(super) fn finish(&mut self) -> Option<SseEvent> {
        self.waiting.clear();
        None
    }
}

/// How long a frame and its headers are.
struct Prelude {
    frame: usize,
    headers: usize,
}

impl Prelude {
    /// `None` until all of it has come.
    fn read(waiting: &[u8], event_bytes_max: usize) -> Result<Option<Self>, FrameError> {
        let Some(mut prelude) = waiting.get(..PRELUDE) else {
            return Ok(None);
        };
        let lengths = crc32fast::hash(&prelude[..PRELUDE - CHECKSUM]);
        let (frame, headers) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
        if lengths != prelude.get_u32() {
            return Err(FrameError::Damaged(
                "the checksum of its length does not fit",
            ));
        }
        if frame > event_bytes_max {
            return Err(FrameError::TooLong(SseTooLong { event_bytes_max }));
        }
        if headers > HEADERS_MAX || frame < PRELUDE + headers + CHECKSUM {
            return Err(FrameError::Damaged("its lengths do not fit each other"));
        }
        Ok(Some(Self { frame, headers }))
    }
}

/// What is looked at in a frame's headers.
#[derive(Default)]
struct Headers {
    message_type: String,
    event_type: String,
    exception_type: String,
    error_code: String,
    error_message: Option<String>,
}

impl Headers {
    /// `None` where they are not as they should be.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        while !bytes.is_empty() {
            let length = bytes.try_get_u8().ok()?;
            let name = take(&mut bytes, length.into())?;
            let value = read_value(&mut bytes)?;
            let place = match name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event_type,
                b":exception-type" => &mut headers.exception_type,
                b":error-code" => &mut headers.error_code,
                b":error-message" => headers.error_message.get_or_insert_default(),
                _ => continue,
            };
            *place = String::from_utf8(value.to_vec()).ok()?;
        }
        Some(headers)
    }

    /// The event's name.
    fn name(&self) -> Bytes {
        let exception = match self.message_type.as_str() {
            "exception" => &self.exception_type,
            "error" => &self.error_code,
            _ => return Bytes::copy_from_slice(self.event_type.as_bytes()),
        };
        [EXCEPTION, exception.as_bytes()].concat().into()
    }
}

/// The bytes of a value, whatever its type is.
fn read_value<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match bytes.try_get_u8().ok()? {
        // True and false.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        // A whole number, a time.
        5 | 8 => 8,
        // Bytes and text.
        6 | 7 => bytes.try_get_u16().ok()?.into(),
        // A UUID.
        9 => 16,
        _ => return None,
    };
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    /// A frame with headers of text.
    pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut written = Vec::new();
        for (name, value) in headers {
            written.put_u8(u8::try_from(name.len()).unwrap());
            written.put_slice(name.as_bytes());
            written.put_u8(7);
            written.put_u16(u16::try_from(value.len()).unwrap());
            written.put_slice(value.as_bytes());
        }
        with_headers(&written, payload)
    }

    fn with_headers(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let length = PRELUDE + headers.len() + payload.len() + CHECKSUM;
        let mut frame = Vec::new();
        frame.put_u32(u32::try_from(length).unwrap());
        frame.put_u32(u32::try_from(headers.len()).unwrap());
        frame.put_u32(crc32fast::hash(&frame));
        frame.put_slice(headers);
        frame.put_slice(payload);
        frame.put_u32(crc32fast::hash(&frame));
        frame
    }

    /// A frame that is an event.
    pub(crate) fn event(name: &str, payload: &str) -> Vec<u8> {
        let headers = [
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        frame(&headers, payload.as_bytes())
    }

    fn split(chunks: &[&[u8]]) -> Result<Vec<(String, String)>, FrameError> {
        let mut splitter = AwsSplitter::new(1000);
        let mut found = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(event) = splitter.next()? {
                found.push((text(&event.name), text(&event.data)));
            }
        }
        assert_eq!(splitter.finish(), None);
        Ok(found)
    }

    fn named(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    /// A frame as it was recorded from Bedrock, so that this does not rest on our own writer alone.
    const RECORDED: &str = "AAAAogAAAFLqoCNHCzpldmVudC10eXBlBwAMbWVzc2FnZVN0YXJ0DTpjb250ZW50LXR5cGUHABBhcHBsaWNhdGlvbi9qc29uDTptZXNzYWdlLXR5cGUHAAVldmVudHsicCI6ImFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVGR0hJSksiLCJyb2xlIjoiYXNzaXN0YW50In3Uj+t0";

    #[test]
    fn a_recorded_frame_is_read() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let bytes = STANDARD.decode(RECORDED).unwrap();
        let events = split(&[&bytes]).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].0, "messageStart");
        assert!(events[0].1.contains("\"role\":\"assistant\""));
    }

    #[test]
    fn what_is_thrown_is_told_by_the_name() {
        let thrown = frame(
            &[
                (":message-type", "exception"),
                (":exception-type", "throttlingException"),
            ],
            br#"{"message":"slowly"}"#,
        );
        let error = frame(
            &[
                (":message-type", "error"),
                (":error-code", "InternalFailure"),
                (":error-message", "no \"luck\""),
            ],
            b"",
        );
        assert_eq!(
            split(&[&thrown, &error]).unwrap(),
            [
                named("exception:throttlingException", r#"{"message":"slowly"}"#),
                named("exception:InternalFailure", r#"{"message":"no \"luck\""}"#),
            ]
        );
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let mut headers = Vec::new();
        for (kind, value) in [
            (0, &b""[..]),
            (1, b""),
            (2, b"1"),
            (3, b"12"),
            (4, b"1234"),
            (5, b"12345678"),
            (6, b"\0\x03abc"),
            (8, b"12345678"),
            (9, b"1234567890123456"),
        ] {
            headers.extend([1, b'x', kind]);
            headers.extend(value);
        }
        assert_eq!(
            split(&[&with_headers(&headers, b"{}")]).unwrap(),
            [named("", "{}")]
        );
        headers.extend([1, b'x', 10]);
        assert!(split(&[&with_headers(&headers, b"{}")]).is_err());
    }

    /// Whichever byte is changed, the frame is not taken for whole.
    #[test]
    fn a_damaged_frame_is_refused_for_ever() {
        let whole = event("metadata", "{}");
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            let mut splitter = AwsSplitter::new(1000);
            splitter.push(&damaged);
            assert!(splitter.next().is_err(), "byte {place}");
            assert!(splitter.next().is_err(), "byte {place}");
        }
    }

    #[test]
    fn lengths_have_bounds() {
        let long = event("x", &"y".repeat(1000));
        let too_long = SseTooLong {
            event_bytes_max: 1000,
        };
        assert_eq!(split(&[&long[..12]]), Err(FrameError::TooLong(too_long)));
        let mut lengths = Vec::new();
        lengths.put_u32(20);
        lengths.put_u32(19);
        lengths.put_u32(crc32fast::hash(&lengths));
        assert!(matches!(split(&[&lengths]), Err(FrameError::Damaged(_))));
    }

    #[test]
    fn the_end_within_a_frame_gives_no_event() {
        let stream = [event("a", "{}"), event("b", "{}")].concat();
        for cut in 0..stream.len() {
            let expected = usize::from(cut >= stream.len() / 2);
            assert_eq!(split(&[&stream[..cut]]).unwrap().len(), expected, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_makes_no_difference(payloads in prop::collection::vec("[a-z]{0,20}", 0..4), cut in 0_usize..400) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| event("x", payload)).collect();
            let (left, right) = stream.split_at(cut.min(stream.len()));
            let whole = split(&[&stream]).unwrap();
            prop_assert_eq!(whole.len(), payloads.len());
            prop_assert_eq!(split(&[left, right]).unwrap(), whole);
        }

        #[test]
        fn nonsense_is_refused_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(split(&[&bytes]).is_err() || bytes.len() < PRELUDE);
        }
    }
}
