//! A request's body: read whole, within limits of size and time, and decompressed.

use std::{
    io::Read,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tollgate_domain::Limits;

use crate::{patience::within, refusal::Refusal};

/// Compressed bodies up to this size are decompressed in place; larger ones would hold other requests up.
const IN_PLACE_BYTES_MAX: usize = 64 << 10;

/// How much of a body that is too large is still read and thrown away, and for how long: many clients write their request whole
/// before they read the answer, and would see a broken connection in its place.
const THROWN_AWAY_BYTES_MAX: usize = 64 << 20;
const THROWN_AWAY_FOR: Duration = Duration::from_secs(2);

/// Room that is made for a body before it is there, at most.
pub(crate) const RESERVE_BYTES_MAX: usize = 4 << 20;

/// A body as it came.
#[derive(Debug)]
pub(crate) struct Collected {
    /// Decompressed.
    pub(crate) bytes: Bytes,
    /// How many bytes there were on the wire.
    pub(crate) wire_bytes: u64,
}

/// The compressions that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

/// Reads a body to its end.
///
/// # Errors
/// When it is too large (before or after decompression), too slow, broken, or compressed in an unknown way.
pub(crate) async fn collect<B>(
    body: B,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Collected, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error,
{
    let encoding = encoding(headers)?;
    let bytes_max = limits.body_bytes_max;
    let mut body = pin!(body);
    if body.size_hint().lower() > bytes_max as u64 {
        throw_away(body).await;
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    let until = || Instant::now() + limits.body_timeout;
    let read = within(until, read_whole(body.as_mut(), bytes_max))
        .await
        .map_err(|_| Refusal::BodyTooSlow)?;
    if let Err(Refusal::BodyTooLarge { .. }) = read {
        throw_away(body).await;
    }
    let wire = read?;
    let wire_bytes = wire.len() as u64;
    if encoding == Encoding::Identity {
        return Ok(Collected {
            bytes: wire,
            wire_bytes,
        });
    }
    let bytes = if wire.len() <= IN_PLACE_BYTES_MAX {
        decompress(encoding, &wire, bytes_max)?
    } else {
        let broken = |_| Refusal::BodyMalformed {
            problem: "the body could not be decompressed".to_owned(),
        };
        spawn_blocking(move || decompress(encoding, &wire, bytes_max))
            .await
            .map_err(broken)??
    };
    Ok(Collected { bytes, wire_bytes })
}

/// Reads on for a while without keeping anything.
pub(crate) async fn throw_away<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > THROWN_AWAY_BYTES_MAX {
                return;
            }
        }
    };
    // It is as well if the time is over.
    drop(timeout(THROWN_AWAY_FOR, all).await);
}

/// A body in one piece is not copied.
async fn read_whole<B>(mut body: Pin<&mut B>, bytes_max: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error,
{
    let told = body.size_hint().exact().map(usize::try_from);
    let expected = told.and_then(Result::ok).unwrap_or_default();
    let mut first = Bytes::new();
    let mut all: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BodyMalformed {
            problem: format!("the body broke off: {error}"),
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + all.as_ref().map_or(0, BytesMut::len) + data.len() > bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max });
        }
        match &mut all {
            Some(all) => all.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let room = expected
                    .min(RESERVE_BYTES_MAX)
                    .max(first.len() + data.len());
                let mut joined = BytesMut::with_capacity(room);
                joined.extend_from_slice(&std::mem::take(&mut first));
                joined.extend_from_slice(&data);
                all = Some(joined);
            }
        }
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let name = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "br" => Ok(Encoding::Brotli),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(Refusal::BodyEncoding {
            encoding: name.chars().take(40).collect(),
        }),
    }
}

/// Decompresses; a bomb is stopped at the limit.
fn decompress(encoding: Encoding, wire: &[u8], bytes_max: usize) -> Result<Bytes, Refusal> {
    let broken = |problem: String| Refusal::BodyMalformed {
        problem: format!("the body is not what its content-encoding says: {problem}"),
    };
    let mut bytes = Vec::new();
    let most = bytes_max as u64 + 1;
    let read = match encoding {
        Encoding::Identity => wire.take(most).read_to_end(&mut bytes),
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(wire)
            .take(most)
            .read_to_end(&mut bytes),
        Encoding::Brotli => brotli_decompressor::Decompressor::new(wire, 4096)
            .take(most)
            .read_to_end(&mut bytes),
        Encoding::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(wire)
                .map_err(|_| broken("it is not Zstandard".to_owned()))?;
            decoder.take(most).read_to_end(&mut bytes)
        }
    };
    read.map_err(|error| broken(error.to_string()))?;
    if bytes.len() > bytes_max {
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Write, time::Duration};

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use proptest::prelude::*;

    use super::*;

    fn headers(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding.parse().unwrap())])
    }

    fn limits(body_bytes_max: usize) -> Limits {
        Limits {
            body_bytes_max,
            ..Limits::default()
        }
    }

    fn gzip(text: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap().into()
    }

    #[tokio::test]
    async fn a_gzip_body_is_decompressed() {
        let body = Full::new(gzip(b"{\"a\":1}"));
        let collected = collect(body, &headers("gzip"), &limits(100)).await.unwrap();
        assert_eq!(collected.bytes, "{\"a\":1}");
    }

    #[tokio::test]
    async fn a_bomb_is_stopped_at_the_limit() {
        let body = Full::new(gzip(&vec![b'0'; 1 << 20]));
        let refusal = collect(body, &headers("gzip"), &limits(4096))
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::BodyTooLarge { bytes_max: 4096 });
    }

    #[tokio::test]
    async fn pieces_are_joined_and_counted() {
        let pieces = |count: usize| {
            StreamBody::new(stream::iter(
                (0..count).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abcd")))),
            ))
        };
        let collected = collect(pieces(3), &HeaderMap::new(), &limits(12))
            .await
            .unwrap();
        assert_eq!(
            (collected.bytes.as_ref(), collected.wire_bytes),
            (&b"abcdabcdabcd"[..], 12)
        );
        let refusal = collect(pieces(4), &HeaderMap::new(), &limits(12))
            .await
            .unwrap_err();
        assert_eq!(refusal.status(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let limits = Limits {
            body_timeout: Duration::from_secs(1),
            ..Limits::default()
        };
        assert_eq!(
            collect(body, &HeaderMap::new(), &limits)
                .await
                .unwrap_err()
                .status(),
            408
        );
    }

    #[tokio::test]
    async fn unknown_and_broken_encodings_are_refused() {
        let body = || Full::new(Bytes::from_static(b"{}"));
        assert_eq!(
            collect(body(), &headers("lzma"), &limits(100))
                .await
                .unwrap_err()
                .status(),
            415
        );
        for known in ["gzip", "br", "zstd"] {
            assert_eq!(
                collect(body(), &headers(known), &limits(100))
                    .await
                    .unwrap_err()
                    .status(),
                400,
                "{known}"
            );
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            for encoding in [Encoding::Gzip, Encoding::Brotli, Encoding::Zstd] {
                let _outcome = decompress(encoding, &bytes, 4096);
            }
        }
    }
}
