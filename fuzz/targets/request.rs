//! Requests of clients as bytes of HTTP/1.1, one after another: however they are cut, they say the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::chunks;
use tollgate_http1::read_requests;

/// More than any input has, so that no head is too long.
const HEAD_BYTES_MAX: usize = 1 << 24;

fuzz_target!(|input: &[u8]| {
    let Some(chunks) = chunks(input) else { return };
    let whole: Bytes = chunks.concat().into();
    let read_bytes = whole.len();
    let cut = read_requests(&chunks, HEAD_BYTES_MAX);
    if let Ok(requests) = &cut {
        let bodies: usize = requests.iter().map(|(_, _, body)| body.len()).sum();
        assert!(bodies <= read_bytes);
    }
    assert_eq!(cut, read_requests(&[whole], HEAD_BYTES_MAX));
});
