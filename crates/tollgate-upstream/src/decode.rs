//! Answers that come compressed although the gateway asks for plain ones: unpacked piece by piece, as they come.

use std::{
    fmt,
    io::{self, Write},
};

use bytes::{Buf, Bytes};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use crate::failure::{Failure, FailureKind};

/// Compressed bytes that are unpacked at a time. Deflate makes at most about a thousand of one, so this bounds what a bomb gives
/// before whoever reads the answer has counted it.
const STEP_BYTES: usize = 4 << 10;

/// Unpacks a body.
pub(crate) struct Decoder {
    unpacker: Unpacker,
    packed: Bytes,
}

enum Unpacker {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    /// Fails when the body is read, so that at least the status is told.
    Unknown,
}

// === impl Decoder ===

impl Decoder {
    /// For an answer with these headers; `None` where it is plain.
    pub(crate) fn for_answer(headers: &HeaderMap) -> Option<Self> {
        let encoding = headers.get(header::CONTENT_ENCODING)?;
        let encoding = encoding.as_bytes().trim_ascii().to_ascii_lowercase();
        let unpacker = match encoding.as_slice() {
            b"" | b"identity" => return None,
            b"gzip" | b"x-gzip" => Unpacker::Gzip(MultiGzDecoder::new(Vec::new())),
            b"deflate" => Unpacker::Zlib(ZlibDecoder::new(Vec::new())),
            _ => Unpacker::Unknown,
        };
        Some(Self {
            unpacker,
            packed: Bytes::new(),
        })
    }

    /// Takes in what came. All that came before has been taken out by `next`.
    pub(crate) fn push(&mut self, packed: Bytes) {
        self.packed = packed;
    }

    /// The next piece, if what came gives one.
    ///
    /// # Errors
    /// When it is not what its headers say.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.packed.has_remaining() {
            let step = self.packed.split_to(self.packed.len().min(STEP_BYTES));
            let piece = self.unpacker.unpack(&step).map_err(broken)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The body has ended; gives what is left.
    ///
    /// # Errors
    /// When it has ended too early.
    pub(crate) fn finish(mut self) -> Result<Bytes, Failure> {
        self.unpacker.finish().map_err(broken)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Unpacker {
    fn unpack(&mut self, packed: &[u8]) -> io::Result<Bytes> {
        let unpacked = match self {
            Self::Gzip(decoder) => {
                decoder.write_all(packed)?;
                // An event must not wait in the unpacker for the next one.
                decoder.flush()?;
                decoder.get_mut()
            }
            Self::Zlib(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Self::Unknown => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(std::mem::take(unpacked).into())
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        let unpacked = match self {
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                decoder.get_mut()
            }
            Self::Zlib(decoder) => {
                decoder.try_finish()?;
                decoder.get_mut()
            }
            Self::Unknown => return Ok(Bytes::new()),
        };
        Ok(std::mem::take(unpacked).into())
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::new(FailureKind::Encoding, error)
}

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn decoder(encoding: &str) -> Option<Decoder> {
        Decoder::for_answer(&HeaderMap::from_iter([(
            header::CONTENT_ENCODING,
            encoding.parse().unwrap(),
        )]))
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// Everything that comes out, and the length of the longest piece.
    fn unpack(encoding: &str, packed: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Failure> {
        let mut decoder = decoder(encoding).expect("compressed");
        let (mut plain, mut longest) = (Vec::new(), 0);
        for piece in packed.chunks(piece.max(1)) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(piece) = decoder.next()? {
                longest = longest.max(piece.len());
                plain.extend_from_slice(&piece);
            }
        }
        plain.extend_from_slice(&decoder.finish()?);
        Ok((plain, longest))
    }

    #[test]
    fn plain_answers_need_no_decoder_and_unknown_ones_fail_when_read() {
        assert!(Decoder::for_answer(&HeaderMap::new()).is_none());
        assert!(decoder("identity").is_none());
        assert_eq!(
            unpack("zstd", b"x", 1).unwrap_err().kind(),
            FailureKind::Encoding
        );
    }

    #[test]
    fn an_event_is_told_as_soon_as_it_has_come() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut decoder = decoder("gzip").unwrap();
        for event in ["data: one\n\n", "data: two\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            decoder.push(std::mem::take(encoder.get_mut()).into());
            let mut told = Vec::new();
            while let Some(piece) = decoder.next().unwrap() {
                told.extend_from_slice(&piece);
            }
            assert_eq!(told, event.as_bytes());
        }
    }

    #[test]
    fn an_answer_that_ends_too_early_is_no_answer() {
        let packed = gzip(b"a whole answer");
        let cut = &packed[..packed.len() - 9];
        assert_eq!(
            unpack("gzip", cut, 7).unwrap_err().kind(),
            FailureKind::Encoding
        );
        assert_eq!(
            unpack("gzip", b"not compressed at all", 7)
                .unwrap_err()
                .kind(),
            FailureKind::Encoding
        );
    }

    #[test]
    fn a_bomb_comes_out_in_pieces() {
        let (plain, longest) = unpack("gzip", &gzip(&vec![b'0'; 64 << 20]), usize::MAX).unwrap();
        assert_eq!(plain.len(), 64 << 20);
        assert!(longest <= 8 << 20, "{longest}");
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_come_to_the_same(plain: Vec<u8>, piece in 1_usize..50) {
            prop_assert_eq!(&unpack("gzip", &gzip(&plain), piece).unwrap().0, &plain);
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&plain).unwrap();
            prop_assert_eq!(&unpack("deflate", &encoder.finish().unwrap(), piece).unwrap().0, &plain);
        }
    }
}
