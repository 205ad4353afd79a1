//! Streams of every dialect, cut anywhere, written for every dialect; and what is seen of them on their way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{Finish, SseEvent, StreamEvent, StreamReader, Watch};
use tollgate_domain::{Dialect, StreamEnd};
use tollgate_fuzz::{check_written_stream, chunks, events};

fuzz_target!(|input: &[u8]| {
    let Some(chunks) = chunks(input) else { return };
    let events = events(&chunks);
    let read_bytes = chunks.iter().map(|chunk| chunk.len()).sum();
    for dialect in Dialect::ALL.iter().copied() {
        for stream_end in [StreamEnd::Mark, StreamEnd::Finish] {
            // What other dialects say depends on what they have said before.
            if matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions) {
                check_alone(dialect, stream_end, &events);
            }
            let told = read(dialect, stream_end, &events);
            check_written_stream(&told, read_bytes, input[0]);
        }
    }
});

/// What is known of an event from those before it is what it says by itself.
fn check_alone(dialect: Dialect, stream_end: StreamEnd, events: &[SseEvent]) {
    let mut watch = Watch::new(dialect, stream_end);
    for event in events {
        let (mut said, mut said_alone) = (String::new(), String::new());
        let seen = watch.see(event, &mut said);
        let alone = Watch::new(dialect, stream_end).see(event, &mut said_alone);
        assert_eq!((&seen, said), (&alone, said_alone), "{dialect:?}");
        if seen.end || seen.error.is_some() {
            break;
        }
    }
}

/// Reads a stream to where it breaks or ends.
fn read(dialect: Dialect, stream_end: StreamEnd, events: &[SseEvent]) -> Vec<StreamEvent> {
    let mut reader = StreamReader::new(dialect, stream_end);
    let mut watch = Watch::new(dialect, stream_end);
    let mut told = Vec::new();
    let mut broken = false;
    for event in events {
        watch.see(event, &mut String::new());
        broken = reader.read(event, &mut told).is_err();
        if broken {
            break;
        }
    }
    if !broken {
        let finish = reader.finish(&mut told);
        let over = matches!(told.last(), Some(StreamEvent::End | StreamEvent::Error(_)));
        assert_eq!(over, finish == Finish::Complete, "{dialect:?}");
        assert_eq!(watch.complete(), over, "{dialect:?}: seen as read");
    }
    check_order(dialect, &told);
    told
}

/// Nothing follows an end or an error, and parts are numbered in the order in which they start.
fn check_order(dialect: Dialect, told: &[StreamEvent]) {
    let is_last = |event: &StreamEvent| matches!(event, StreamEvent::End | StreamEvent::Error(_));
    if let Some(place) = told.iter().position(is_last) {
        assert_eq!(
            place + 1,
            told.len(),
            "{dialect:?}: something follows the end"
        );
    }
    let mut parts = std::collections::HashMap::new();
    for event in told {
        match event {
            StreamEvent::PartStart { choice, part, .. } => {
                let next = parts.entry(choice).or_insert(0);
                assert_eq!(part, next, "{dialect:?}");
                *next += 1;
            }
            StreamEvent::Delta { choice, part, .. } | StreamEvent::PartStop { choice, part } => {
                let begun = parts.get(choice).copied().unwrap_or(0);
                assert!(*part < begun, "{dialect:?}: a part that has not begun");
            }
            _ => {}
        }
    }
}
