//! Answers of providers as bytes of HTTP/1.1: however one is cut, it says the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::chunks;
use tollgate_http1::read_answer;

fuzz_target!(|input: &[u8]| {
    let Some(chunks) = chunks(input) else { return };
    let whole: Bytes = chunks.concat().into();
    let read_bytes = whole.len();
    let cut = read_answer(&chunks);
    if let Ok(Some((_, body))) = &cut {
        assert!(body.len() < read_bytes);
    }
    let whole = read_answer(&[whole]);
    assert_eq!(cut, whole);
});
