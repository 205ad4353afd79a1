//! Bodies that come in chunks (RFC 9112, section 7.1): their bytes without what frames them. Extensions and trailers are read over.

use thiserror::Error;

/// Bytes that frame one chunk, its extensions among them; and bytes of all trailers together.
const FRAME_BYTES_MAX: usize = 16 << 10;

/// Reads a body in chunks, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    /// Bytes of the chunk that are still to come.
    left: u64,
    /// Bytes of the frame so far.
    frame: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Begin,
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEnded,
    /// At the beginning of a line of the trailers.
    Trailers,
    Trailer,
    TrailerEnd,
    LastEnd,
    Over,
}

/// What came is no body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body's chunks are not framed as HTTP wants it")]
pub(crate) struct BadChunk;

impl Chunks {
    /// Whether the last chunk and what follows it have come.
    pub(crate) fn are_over(&self) -> bool {
        self.state == State::Over
    }

    /// Reads on; the body's bytes go to `out`. Gives what is left of the input once the body is over.
    ///
    /// # Errors
    /// When it is not framed as it has to be.
    pub(crate) fn read<'a>(
        &mut self,
        mut input: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], BadChunk> {
        while self.state != State::Over {
            if self.state == State::Data {
                let there = input
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(there);
                out.extend_from_slice(data);
                self.left -= there as u64;
                input = rest;
                if self.left > 0 {
                    break;
                }
                self.state = State::DataEnd;
            }
            let Some((byte, rest)) = input.split_first() else {
                break;
            };
            input = rest;
            self.state = self.after(*byte)?;
        }
        Ok(input)
    }

    /// One byte of the frame.
    fn after(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.frame += 1;
        if self.frame > FRAME_BYTES_MAX {
            return Err(BadChunk);
        }
        Ok(match (self.state, byte) {
            (State::Begin | State::Size, digit) if digit.is_ascii_hexdigit() => {
                self.add_digit(digit)?;
                State::Size
            }
            (State::Size, b' ' | b'\t' | b';') => State::Extension,
            (State::Size | State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, byte) if byte != b'\n' => State::Extension,
            (State::SizeEnd, b'\n') => {
                self.frame = 0;
                if self.left == 0 {
                    State::Trailers
                } else {
                    State::Data
                }
            }
            (State::DataEnd, b'\r') => State::DataEnded,
            (State::DataEnded, b'\n') => {
                self.frame = 0;
                State::Begin
            }
            (State::Trailers, b'\r') => State::LastEnd,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Trailers | State::Trailer, byte) if byte != b'\n' => State::Trailer,
            (State::TrailerEnd, b'\n') => State::Trailers,
            (State::LastEnd, b'\n') => State::Over,
            _ => return Err(BadChunk),
        })
    }

    fn add_digit(&mut self, digit: u8) -> Result<(), BadChunk> {
        let value = char::from(digit).to_digit(16).ok_or(BadChunk)?;
        let shifted = self.left.checked_mul(16).ok_or(BadChunk)?;
        self.left = shifted + u64::from(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, what is left behind it, and whether it was over.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), BadChunk> {
        let (mut chunks, mut body, mut left) = (Chunks::default(), Vec::new(), Vec::new());
        for piece in pieces {
            left.extend_from_slice(chunks.read(piece, &mut body)?);
        }
        Ok((body, left, chunks.are_over()))
    }

    #[test]
    fn extensions_and_trailers_are_read_over() {
        let wire = b"5;name=\"value\"\r\nhello\r\n1 \r\n!\r\n0\r\nx-checksum: 1\r\n\r\nHTTP";
        let (body, left, over) = read(&[wire]).unwrap();
        assert_eq!(
            (body.as_slice(), left.as_slice()),
            (&b"hello!"[..], &b"HTTP"[..])
        );
        assert!(over);
    }

    #[test]
    fn what_is_not_framed_as_it_has_to_be_is_refused() {
        let endless = [b"1;".as_slice(), &[b'x'; FRAME_BYTES_MAX]].concat();
        for wire in [
            &b"\r\n"[..],
            b"g\r\n",
            b"5\nhello\n",
            b"5\r\nhello!\r\n",
            b"1\r\naX",
            b"fffffffffffffffff\r\n",
            b"-1\r\n",
            &endless,
        ] {
            assert_eq!(read(&[wire]), Err(BadChunk), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn a_body_that_stops_early_is_not_over() {
        let wire = b"5\r\nhello\r\n0\r\n\r\n";
        for end in 0..wire.len() {
            assert!(!read(&[&wire[..end]]).unwrap().2, "{end}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_come_to_the_same(
            body in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            piece in 1_usize..30,
        ) {
            let mut wire = Vec::new();
            for chunk in &body {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = wire.chunks(piece).collect();
            let (read, left, over) = read(&pieces).unwrap();
            prop_assert_eq!(read, body.concat());
            prop_assert!(left.is_empty() && over);
        }

        #[test]
        fn garbage_is_read_or_refused_and_never_grows(garbage: Vec<u8>) {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            let _read = chunks.read(&garbage, &mut body);
            prop_assert!(body.len() <= garbage.len());
        }
    }
}
