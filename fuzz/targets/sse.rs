//! Server-sent events: however a stream is cut, its events say the same, and none of its bytes is lost.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{SseEvent, SseSplitter};
use tollgate_fuzz::{chunks, events};

/// A bound that streams of the corpus reach.
const EVENT_BYTES_MAX: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Some(chunks) = chunks(input) else { return };
    let whole: Bytes = chunks.concat().into();
    let cut = events(&chunks);
    assert_eq!(told(&cut), told(&events(std::slice::from_ref(&whole))));

    let mut raw: Vec<u8> = cut.iter().flat_map(|event| event.raw.to_vec()).collect();
    let without_end = whole.trim_ascii_end().len();
    raw.truncate(without_end);
    assert_eq!(raw, whole[..without_end]);
    check_bound(&chunks);
});

/// What is said: names and data of the events that have any.
fn told(events: &[SseEvent]) -> Vec<(&Bytes, &Bytes)> {
    let told = events.iter().map(|event| (&event.name, &event.data));
    told.filter(|(name, data)| !name.is_empty() || !data.is_empty())
        .collect()
}

/// No event is longer than its bound, and no more than that waits for the rest of its event.
fn check_bound(chunks: &[Bytes]) {
    let mut splitter = SseSplitter::new(EVENT_BYTES_MAX);
    for chunk in chunks {
        splitter.push(chunk.clone());
        loop {
            match splitter.next() {
                Ok(Some(event)) => assert!(event.raw.len() <= EVENT_BYTES_MAX),
                Ok(None) => break,
                Err(_) => return assert!(splitter.next().is_err(), "it stays so"),
            }
        }
        assert!(splitter.pending() <= EVENT_BYTES_MAX);
    }
}
