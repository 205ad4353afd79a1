//! A provider's answer as bytes of HTTP/1.1, read without any I/O: the head, and where the body ends.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use httparse::{EMPTY_HEADER, Status};

use super::chunks::Chunks;
use crate::failure::{Failure, FailureKind};

/// Headers of an answer that are read; more are a protocol failure.
const HEADERS_MAX: usize = 200;

/// As many headers as nearly all answers have.
const HEADERS_USUAL: usize = 48;

/// Bytes of an answer's head; more are a protocol failure.
pub(super) const HEAD_BYTES_MAX: usize = 256 << 10;

/// The head of an answer, and how its body ends.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: AnswerBody,
    /// Whether the connection may be used again once the body has ended.
    pub(super) keeps_open: bool,
}

/// Where the body of an answer ends.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// After so many bytes more.
    Counted(u64),
    /// After its last chunk.
    Chunked(Chunks),
    /// When the connection ends.
    UntilClosed,
    /// It has ended.
    Over,
}

/// Whether bytes of which the first `before` were looked at already hold the end of a head: an empty line.
pub(super) fn head_is_whole(bytes: &[u8], before: usize) -> bool {
    let mut rest = bytes.get(before.saturating_sub(3)..).unwrap_or_default();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        rest = rest.get(end + 1..).unwrap_or_default();
        if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return true;
        }
    }
    false
}

/// The head out of what was read, of which at least one is whole, and what came behind it. Heads that only say that another is to
/// come are read over, as are empty lines before them.
///
/// # Errors
/// When it is no HTTP, or has more headers than are read.
pub(super) fn take_head(read: &mut BytesMut) -> Result<Option<(AnswerHead, Bytes)>, Failure> {
    let mut rest = std::mem::take(read).freeze();
    let mut is_whole = true;
    while is_whole {
        let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let empty = rest.iter().take_while(is_end).count();
        if empty > 0 {
            rest.advance(empty);
            is_whole = head_is_whole(&rest, 0);
            continue;
        }
        let Some((head, length)) = read_head(&rest)? else {
            break;
        };
        rest.advance(length);
        if head.status == StatusCode::SWITCHING_PROTOCOLS || !head.status.is_informational() {
            return Ok(Some((head, rest)));
        }
        is_whole = head_is_whole(&rest, 0);
    }
    *read = BytesMut::from(&rest[..]);
    Ok(None)
}

/// An answer that comes in these pieces, read as a connection reads it: its status and its body, as far as they came.
///
/// # Errors
/// When it is no HTTP, or its head is too long or its body not framed as it has to be.
pub fn read_answer(pieces: &[Bytes]) -> Result<Option<(StatusCode, Vec<u8>)>, Failure> {
    let (mut read, mut taken, mut data) = (BytesMut::new(), None, Vec::new());
    for piece in pieces {
        let Some((_, body)) = &mut taken else {
            let before = read.len();
            read.extend_from_slice(piece);
            if head_is_whole(&read, before)
                && let Some((mut head, came)) = take_head(&mut read)?
            {
                head.body.read(&came, &mut data)?;
                taken = Some((head.status, head.body));
            } else if read.len() > HEAD_BYTES_MAX {
                return Err(protocol("the head of the answer is too long"));
            }
            continue;
        };
        let body: &mut AnswerBody = body;
        body.read(piece, &mut data)?;
    }
    Ok(taken.map(|(status, _)| (status, data)))
}

/// Reads the head of an answer, and says how many bytes it has. `None`: there are not enough.
///
/// # Errors
/// When it is no HTTP, or has more headers than are read.
fn read_head(bytes: &Bytes) -> Result<Option<(AnswerHead, usize)>, Failure> {
    match parse::<HEADERS_USUAL>(bytes) {
        Err(Refused::TooMany) => parse::<HEADERS_MAX>(bytes),
        read => read,
    }
    .map_err(|refused| match refused {
        Refused::TooMany => protocol(httparse::Error::TooManyHeaders),
        Refused::Because(failure) => failure,
    })
}

enum Refused {
    TooMany,
    Because(Failure),
}

fn parse<const HEADERS: usize>(bytes: &Bytes) -> Result<Option<(AnswerHead, usize)>, Refused> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooMany),
        Err(error) => return Err(Refused::Because(protocol(error))),
    };
    let head = understand(bytes, &answer).map_err(Refused::Because)?;
    Ok(Some((head, length)))
}

fn understand(bytes: &Bytes, answer: &httparse::Response<'_, '_>) -> Result<AnswerHead, Failure> {
    let status = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(protocol)?;
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for header in answer.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(protocol)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice_ref(header.value)).map_err(protocol)?;
        headers.append(name, value);
    }
    let says = |word: &str| {
        let lines = headers.get_all(header::CONNECTION).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    let is_new = answer.version == Some(1);
    let mut keeps_open = if is_new {
        !says("close")
    } else {
        says("keep-alive")
    };
    let body = body_of(status, &headers)?;
    // One that says its length twice may mean something else than we read.
    let says_twice = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    keeps_open &= !says_twice && !matches!(body, AnswerBody::UntilClosed);
    Ok(AnswerHead {
        status,
        headers,
        body,
        keeps_open,
    })
}

/// Where the body ends (RFC 9112, section 6.3).
fn body_of(status: StatusCode, headers: &HeaderMap) -> Result<AnswerBody, Failure> {
    if status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Ok(AnswerBody::Over);
    }
    if let Some(codings) = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .next_back()
    {
        let codings = codings.as_bytes();
        let last = codings.rsplit(|byte| *byte == b',').next();
        let is_chunked =
            last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        return Ok(if is_chunked {
            AnswerBody::Chunked(Chunks::default())
        } else {
            AnswerBody::UntilClosed
        });
    }
    let mut length = None;
    for line in headers.get_all(header::CONTENT_LENGTH) {
        for said in line.as_bytes().split(|byte| *byte == b',') {
            let said = number(said.trim_ascii());
            if said.is_none() || length.is_some_and(|before| Some(before) != said) {
                return Err(protocol("its length is told in a way that cannot be read"));
            }
            length = said;
        }
    }
    Ok(match length {
        None => AnswerBody::UntilClosed,
        Some(0) => AnswerBody::Over,
        Some(length) => AnswerBody::Counted(length),
    })
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}

fn protocol(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(FailureKind::Protocol, error)
}

// === impl AnswerBody ===

impl AnswerBody {
    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Over => true,
            Self::Counted(left) => *left == 0,
            Self::Chunked(chunks) => chunks.are_over(),
            Self::UntilClosed => false,
        }
    }

    /// So many bytes come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Counted(left) => Some(*left),
            Self::Over => Some(0),
            Self::Chunked(_) | Self::UntilClosed => None,
        }
    }

    /// Whether all of these bytes are the body's, and nothing frames them.
    pub(super) fn takes_whole(&self, read: &[u8]) -> bool {
        match self {
            Self::Counted(left) => read.len() as u64 <= *left,
            Self::UntilClosed => true,
            Self::Chunked(_) | Self::Over => read.is_empty(),
        }
    }

    /// Takes note of bytes that it takes whole.
    pub(super) fn took(&mut self, bytes: usize) {
        if let Self::Counted(left) = self {
            *left -= bytes as u64;
        }
    }

    /// Reads on; the body's bytes go to `out`. Gives what is left of the input once the body is over.
    ///
    /// # Errors
    /// When the body's chunks are none.
    pub(super) fn read<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], Failure> {
        match self {
            Self::Over => Ok(input),
            Self::Counted(left) => {
                let there = input
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(there);
                out.extend_from_slice(data);
                *left -= there as u64;
                Ok(rest)
            }
            Self::Chunked(chunks) => chunks.read(input, out).map_err(protocol),
            Self::UntilClosed => {
                out.extend_from_slice(input);
                Ok(&[])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<(AnswerHead, usize)>, Failure> {
        read_head(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn ends(lines: &str) -> (AnswerBody, bool) {
        let (head, _) = head(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))
            .unwrap()
            .expect("whole");
        (head.body, head.keeps_open)
    }

    #[test]
    fn a_head_says_where_its_body_ends_and_whether_the_connection_stays() {
        assert!(matches!(
            ends("content-length: 5\r\n"),
            (AnswerBody::Counted(5), true)
        ));
        assert!(matches!(
            ends("content-length: 5, 5\r\n"),
            (AnswerBody::Counted(5), true)
        ));
        assert!(matches!(
            ends("content-length: 0\r\n"),
            (AnswerBody::Over, true)
        ));
        assert!(matches!(
            ends("transfer-encoding: gzip, Chunked\r\n"),
            (AnswerBody::Chunked(_), true)
        ));
        assert!(matches!(
            ends("transfer-encoding: gzip\r\n"),
            (AnswerBody::UntilClosed, false)
        ));
        assert!(matches!(ends(""), (AnswerBody::UntilClosed, false)));
        assert!(matches!(
            ends("content-length: 5\r\nconnection: Close\r\n"),
            (AnswerBody::Counted(5), false)
        ));
        assert!(matches!(
            ends("content-length: 5\r\ntransfer-encoding: chunked\r\n"),
            (AnswerBody::Chunked(_), false)
        ));
        let (old, _) = head("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n")
            .unwrap()
            .expect("whole");
        assert!(!old.keeps_open);
        let (none, _) = head("HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap()
            .expect("whole");
        assert!(none.body.is_over() && none.keeps_open);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\na header: 1\r\n\r\n",
        ] {
            let kind = head(text).expect_err(text).kind();
            assert_eq!(kind, FailureKind::Protocol, "{text}");
        }
    }

    #[test]
    fn many_headers_are_read_and_too_many_refused() {
        let lines = |count: usize| "x: 1\r\n".repeat(count);
        let (many, length) = head(&format!("HTTP/1.1 200 OK\r\n{}\r\nbody", lines(150)))
            .unwrap()
            .expect("whole");
        assert_eq!(many.headers.len(), 150);
        assert_eq!(length, "HTTP/1.1 200 OK\r\n".len() + 150 * 6 + 2);
        assert!(head(&format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(201))).is_err());
    }

    proptest! {
        #[test]
        fn a_head_is_whole_when_its_last_byte_has_come(piece in 1_usize..40) {
            let text = "HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 0\r\n\r\n";
            let mut before = 0;
            for end in (piece..text.len()).step_by(piece) {
                prop_assert!(!head_is_whole(&text.as_bytes()[..end], before));
                before = end;
            }
            prop_assert!(head_is_whole(text.as_bytes(), before));
        }

        #[test]
        fn garbage_is_read_or_refused(start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n"]), garbage: Vec<u8>) {
            let bytes = [start.as_bytes(), &garbage].concat();
            let _read = read_head(&bytes.into());
        }
    }
}
