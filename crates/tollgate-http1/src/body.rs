//! Where a body ends (RFC 9112, section 6), and its bytes without what frames them.

use http::{HeaderMap, header};

use crate::{HttpError, chunks::Chunks};

/// Where a body ends.
#[derive(Debug, Default)]
pub enum BodyEnd {
    /// After so many bytes more.
    Counted(u64),
    /// After its last chunk.
    Chunked(Chunks),
    /// When the connection ends.
    UntilClosed,
    /// It has ended.
    #[default]
    Over,
}

impl BodyEnd {
    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Over => true,
            Self::Counted(left) => *left == 0,
            Self::Chunked(chunks) => chunks.are_over(),
            Self::UntilClosed => false,
        }
    }

    /// So many bytes come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Counted(left) => Some(*left),
            Self::Over => Some(0),
            Self::Chunked(_) | Self::UntilClosed => None,
        }
    }

    /// Whether all of these bytes are the body's, and nothing frames them.
    pub fn takes_whole(&self, read: &[u8]) -> bool {
        match self {
            Self::Counted(left) => read.len() as u64 <= *left,
            Self::UntilClosed => true,
            Self::Chunked(_) | Self::Over => read.is_empty(),
        }
    }

    /// Takes note of bytes that it takes whole.
    pub fn took(&mut self, bytes: usize) {
        if let Self::Counted(left) = self {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    /// Reads on; the body's bytes go to `out`. Gives what is left of the input once the body is over.
    ///
    /// # Errors
    /// When the body's chunks are none.
    pub fn read<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], HttpError> {
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
            Self::Chunked(chunks) => Ok(chunks.read(input, out)?),
            Self::UntilClosed => {
                out.extend_from_slice(input);
                Ok(&[])
            }
        }
    }
}

/// The length that a head tells of its body. Told more than once, it has to be the same.
///
/// # Errors
/// When it is no length, or told in two ways.
pub(crate) fn told_length(headers: &HeaderMap) -> Result<Option<u64>, HttpError> {
    let mut length = None;
    for line in headers.get_all(header::CONTENT_LENGTH) {
        for said in line.as_bytes().split(|byte| *byte == b',') {
            let said = number(said.trim_ascii());
            if said.is_none() || length.is_some_and(|before| Some(before) != said) {
                return Err(HttpError::Length);
            }
            length = said;
        }
    }
    Ok(length)
}

/// Whether the last of its codings is the one in chunks; `None`: it has none.
pub(crate) fn ends_in_chunks(headers: &HeaderMap) -> Option<bool> {
    let lines = headers.get_all(header::TRANSFER_ENCODING);
    let codings = lines.iter().next_back()?.as_bytes();
    let last = codings.rsplit(|byte| *byte == b',').next();
    Some(last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked")))
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}
