//! What the heads of requests and answers have in common: their lines.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use httparse::{Header, Status};
use thiserror::Error;

use crate::chunks::BadChunk;

/// As many headers as nearly all heads have.
pub(crate) const HEADERS_USUAL: usize = 48;

/// What came is not HTTP/1.1 as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// A line of the head is none.
    #[error("its head is no HTTP/1.1: {0}")]
    Line(&'static str),
    /// There are more headers than are read.
    #[error("it has too many headers")]
    TooManyHeaders,
    /// The head is longer than it may be.
    #[error("its head is too long")]
    TooLong,
    /// The length of the body is no number, or told in two ways.
    #[error("its length is told in a way that cannot be read")]
    Length,
    /// A coding of the body that is not understood, or is no last one.
    #[error("its transfer-encoding is not `chunked`")]
    Coding,
    /// The chunks of the body are none.
    #[error("the body's chunks are not framed as HTTP wants it")]
    Chunks,
}

impl From<BadChunk> for HttpError {
    fn from(_: BadChunk) -> Self {
        Self::Chunks
    }
}

impl From<httparse::Error> for HttpError {
    fn from(error: httparse::Error) -> Self {
        use httparse::Error;
        Self::Line(match error {
            Error::TooManyHeaders => return Self::TooManyHeaders,
            Error::HeaderName => "a header's name",
            Error::HeaderValue => "a header's value",
            Error::NewLine => "the end of a line",
            Error::Status => "the status",
            Error::Token => "the first line",
            Error::Version => "the version",
        })
    }
}

/// Whether bytes of which the first `before` were looked at already hold the end of a head: an empty line.
pub fn head_is_whole(bytes: &[u8], before: usize) -> bool {
    let mut rest = bytes.get(before.saturating_sub(3)..).unwrap_or_default();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        rest = rest.get(end + 1..).unwrap_or_default();
        if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return true;
        }
    }
    false
}

/// How long a head is that was read; `None`: it is not whole.
pub(crate) fn length(parsed: httparse::Result<usize>) -> Result<Option<usize>, HttpError> {
    match parsed? {
        Status::Complete(length) => Ok(Some(length)),
        Status::Partial => Ok(None),
    }
}

/// The headers of a head, as parts of its bytes.
///
/// # Errors
/// When a name or value is none.
pub(crate) fn headers(bytes: &Bytes, lines: &[Header<'_>]) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| HttpError::Line("a header's name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value))
            .map_err(|_| HttpError::Line("a header's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whether the connection stays open after this message, for one of HTTP/1.1 or of HTTP/1.0.
pub(crate) fn keeps_open(headers: &HeaderMap, is_new: bool) -> bool {
    let says = |word: &str| {
        let lines = headers.get_all(header::CONNECTION).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    if is_new {
        !says("close")
    } else {
        says("keep-alive") && !says("close")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    }
}
