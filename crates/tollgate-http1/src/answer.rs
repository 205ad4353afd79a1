//! A provider's answer as bytes of HTTP/1.1, read without any I/O: the head, and where the body ends.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use httparse::EMPTY_HEADER;

use crate::{
    BodyEnd, HttpError,
    body::{ends_in_chunks, told_length},
    chunks::Chunks,
    head::{HEADERS_USUAL, head_is_whole, headers, keeps_open, length},
};

/// Headers of an answer that are read; more are an error.
const HEADERS_MAX: usize = 200;

/// Bytes of an answer's head; more are an error.
pub const ANSWER_HEAD_BYTES_MAX: usize = 256 << 10;

/// The head of an answer, and how its body ends.
#[derive(Debug)]
pub struct AnswerHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: BodyEnd,
    /// Whether the connection may be used again once the body has ended.
    pub keeps_open: bool,
}

/// The head out of what was read, of which at least one is whole, and what came behind it. Heads that only say that another is to
/// come are read over, as are empty lines before them.
///
/// # Errors
/// When it is no HTTP, or has more headers than are read.
pub fn take_answer_head(read: &mut BytesMut) -> Result<Option<(AnswerHead, Bytes)>, HttpError> {
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
pub fn read_answer(pieces: &[Bytes]) -> Result<Option<(StatusCode, Vec<u8>)>, HttpError> {
    let (mut read, mut taken, mut data) = (BytesMut::new(), None, Vec::new());
    for piece in pieces {
        let Some((_, body)) = &mut taken else {
            let before = read.len();
            read.extend_from_slice(piece);
            if head_is_whole(&read, before)
                && let Some((mut head, came)) = take_answer_head(&mut read)?
            {
                head.body.read(&came, &mut data)?;
                taken = Some((head.status, head.body));
            } else if read.len() > ANSWER_HEAD_BYTES_MAX {
                return Err(HttpError::TooLong);
            }
            continue;
        };
        let body: &mut BodyEnd = body;
        body.read(piece, &mut data)?;
    }
    Ok(taken.map(|(status, _)| (status, data)))
}

/// Reads the head of an answer, and says how many bytes it has. `None`: there are not enough.
///
/// # Errors
/// When it is no HTTP, or has more headers than are read.
fn read_head(bytes: &Bytes) -> Result<Option<(AnswerHead, usize)>, HttpError> {
    match parse::<HEADERS_USUAL>(bytes) {
        Err(HttpError::TooManyHeaders) => parse::<HEADERS_MAX>(bytes),
        read => read,
    }
}

fn parse<const HEADERS: usize>(bytes: &Bytes) -> Result<Option<(AnswerHead, usize)>, HttpError> {
    let mut lines = [EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut lines);
    let Some(length) = length(answer.parse(bytes))? else {
        return Ok(None);
    };
    Ok(Some((understand(bytes, &answer)?, length)))
}

fn understand(bytes: &Bytes, answer: &httparse::Response<'_, '_>) -> Result<AnswerHead, HttpError> {
    let status = StatusCode::from_u16(answer.code.unwrap_or_default())
        .map_err(|_| HttpError::Line("the status"))?;
    let headers = headers(bytes, answer.headers)?;
    let mut keeps_open = keeps_open(&headers, answer.version == Some(1));
    let body = body_of(status, &headers)?;
    // One that says its length twice may mean something else than we read.
    let says_twice = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    keeps_open &= !says_twice && !matches!(body, BodyEnd::UntilClosed);
    Ok(AnswerHead {
        status,
        headers,
        body,
        keeps_open,
    })
}

/// Where the body ends (RFC 9112, section 6.3).
fn body_of(status: StatusCode, headers: &HeaderMap) -> Result<BodyEnd, HttpError> {
    if status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Ok(BodyEnd::Over);
    }
    match ends_in_chunks(headers) {
        Some(true) => return Ok(BodyEnd::Chunked(Chunks::default())),
        Some(false) => return Ok(BodyEnd::UntilClosed),
        None => {}
    }
    Ok(match told_length(headers)? {
        None => BodyEnd::UntilClosed,
        Some(0) => BodyEnd::Over,
        Some(length) => BodyEnd::Counted(length),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<(AnswerHead, usize)>, HttpError> {
        read_head(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn ends(lines: &str) -> (BodyEnd, bool) {
        let (head, _) = head(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))
            .unwrap()
            .expect("whole");
        (head.body, head.keeps_open)
    }

    #[test]
    fn a_head_says_where_its_body_ends_and_whether_the_connection_stays() {
        assert!(matches!(
            ends("content-length: 5\r\n"),
            (BodyEnd::Counted(5), true)
        ));
        assert!(matches!(
            ends("content-length: 5, 5\r\n"),
            (BodyEnd::Counted(5), true)
        ));
        assert!(matches!(
            ends("content-length: 0\r\n"),
            (BodyEnd::Over, true)
        ));
        assert!(matches!(
            ends("transfer-encoding: gzip, Chunked\r\n"),
            (BodyEnd::Chunked(_), true)
        ));
        assert!(matches!(
            ends("transfer-encoding: gzip\r\n"),
            (BodyEnd::UntilClosed, false)
        ));
        assert!(matches!(ends(""), (BodyEnd::UntilClosed, false)));
        assert!(matches!(
            ends("content-length: 5\r\nconnection: Close\r\n"),
            (BodyEnd::Counted(5), false)
        ));
        assert!(matches!(
            ends("content-length: 5\r\ntransfer-encoding: chunked\r\n"),
            (BodyEnd::Chunked(_), false)
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
            head(text).expect_err(text);
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
        fn garbage_is_read_or_refused(start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n"]), garbage: Vec<u8>) {
            let bytes = [start.as_bytes(), &garbage].concat();
            let _read = read_head(&bytes.into());
        }
    }
}
