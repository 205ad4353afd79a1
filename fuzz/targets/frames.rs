//! Streams that are no server-sent events: however one is cut, its events say the same, and dialects bear them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{FrameError, Frames, SseEvent, StreamReader, Watch};
use tollgate_domain::{Dialect, Framing, StreamEnd};
use tollgate_fuzz::{EVENT_BYTES_MAX, aws_frames, check_written_stream, chunks, cut, options};

/// A bound that streams of the corpus reach.
const SHORT_EVENT_BYTES_MAX: usize = 256;

fuzz_target!(|input: &[u8]| {
    let (options, input) = options(input);
    let (framing, dialect) = match options & 3 {
        0 => (Framing::JsonLines, Dialect::OllamaChat),
        1 => (Framing::AwsFrames, Dialect::BedrockConverse),
        _ => (Framing::AwsChunks, Dialect::AnthropicMessages),
    };
    let Some(mut chunks) = chunks(input) else {
        return;
    };
    // Chance finds no checksums.
    if options & 4 != 0 && framing != Framing::JsonLines {
        chunks = cut(&aws_frames(&chunks.concat()), &input[..4]);
    }
    let event_bytes_max = if options & 8 == 0 {
        EVENT_BYTES_MAX
    } else {
        SHORT_EVENT_BYTES_MAX
    };
    let whole: Bytes = chunks.concat().into();
    let read_bytes = whole.len();
    let (events, error) = read(framing, event_bytes_max, &chunks);
    let (of_whole, whole_error) = read(framing, event_bytes_max, &[whole]);
    assert_eq!(told(&events), told(&of_whole));
    assert_eq!(error, whole_error);

    let mut reader = StreamReader::new(dialect, StreamEnd::Finish);
    let mut watch = Watch::new(dialect, StreamEnd::Finish);
    let mut read = Vec::new();
    for event in &events {
        assert!(
            event.raw.len() <= 16 + 2 * read_bytes,
            "no event is much longer than what came"
        );
        watch.see(event, &mut String::new());
        if reader.read(event, &mut read).is_err() {
            break;
        }
    }
    check_written_stream(&read, read_bytes, options);
});

/// All events, and what is wrong with what follows them.
fn read(
    framing: Framing,
    event_bytes_max: usize,
    chunks: &[Bytes],
) -> (Vec<SseEvent>, Option<FrameError>) {
    let (mut frames, mut events) = (Frames::new(framing, event_bytes_max), Vec::new());
    for chunk in chunks {
        frames.push(chunk.clone());
        loop {
            match frames.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(frames.next().err(), Some(error), "it stays so");
                    return (events, Some(error));
                }
            }
        }
    }
    events.extend(frames.finish());
    (events, None)
}

/// What is said: names and data of the events.
fn told(events: &[SseEvent]) -> Vec<(&Bytes, &Bytes)> {
    events
        .iter()
        .map(|event| (&event.name, &event.data))
        .collect()
}
