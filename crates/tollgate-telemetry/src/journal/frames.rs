//! The form of a journal's files: record behind record, each in a frame that tells its length and has a checksum.

use std::fmt;

use tollgate_domain::UsageRecord;

use super::entries::{self, Entry};

/// Bytes before a record: its length and the checksum of it, four each, the least significant first.
const HEAD: usize = 8;

/// Adds a record in its frame; says whether it could be. If not, nothing is added.
pub(super) fn enclose(entry: &impl Entry, frames: &mut Vec<u8>) -> bool {
    let begin = frames.len();
    frames.extend([0; HEAD]);
    entry.write(frames);
    let is_sealed = seal(frames.get_mut(begin..).unwrap_or_default());
    if !is_sealed {
        frames.truncate(begin);
    }
    is_sealed
}

/// Says whether the frame is so short that its length can be told.
fn seal(frame: &mut [u8]) -> bool {
    let Some((head, record)) = frame.split_first_chunk_mut::<HEAD>() else {
        return false;
    };
    let Ok(length) = u32::try_from(record.len()) else {
        return false;
    };
    let length = length.to_le_bytes();
    head[..4].copy_from_slice(&length);
    head[4..].copy_from_slice(&checksum(length, record));
    true
}

fn checksum(length: [u8; 4], record: &[u8]) -> [u8; 4] {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&length);
    checksum.update(record);
    checksum.finalize().to_le_bytes()
}

/// The record that stands at the beginning of these bytes, where a whole one does.
pub fn first(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [l0, l1, l2, l3, sum @ ..] = *head;
    let length = [l0, l1, l2, l3];
    let record = rest.get(..usize::try_from(u32::from_le_bytes(length)).ok()?)?;
    (!record.is_empty() && checksum(length, record) == sum).then_some(record)
}

/// Bytes of the frame around a record.
pub fn frame_length(record: &[u8]) -> usize {
    HEAD + record.len()
}

/// Bytes that the frame at the beginning of these says it has, if it is one.
pub fn told_length(bytes: &[u8]) -> Option<u64> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?);
    Some(u64::from(length) + HEAD as u64)
}

/// Reads a record.
///
/// # Errors
/// When it is none.
pub fn read(record: &[u8]) -> Result<UsageRecord, ReadError> {
    match record.first() {
        Some(b'{') => Ok(entries::read(record)?),
        // As versions before this one wrote it.
        _ => Ok(rmp_serde::from_slice(record)?),
    }
}

/// What stands in a frame is no record.
#[derive(Debug)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what stands in a frame is no record: {}", self.0)
    }
}

impl std::error::Error for ReadError {}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<rmp_serde::decode::Error> for ReadError {
    fn from(error: rmp_serde::decode::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_domain::{Payload, Usage};

    use super::*;

    fn record(id: &str) -> UsageRecord {
        UsageRecord {
            id: id.into(),
            at_ms: -1,
            team: Some("größe".into()),
            usage: Usage {
                input: Some(3),
                ..Usage::default()
            },
            cost: Some(u64::MAX),
            tags: vec!["a".into(), "b".into()],
            payload: Some(Payload {
                request: "{\"q\":\"\\u0000\"}".into(),
                response: "".into(),
            }),
            ..UsageRecord::default()
        }
    }

    fn framed(id: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        assert!(enclose(&record(id), &mut frame));
        frame
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut frames = Vec::new();
        let all = ["a", "b", "c"];
        for id in all {
            assert!(enclose(&record(id), &mut frames));
        }
        let mut rest = &frames[..];
        for id in all {
            let found = first(rest).unwrap();
            assert_eq!(read(found).unwrap(), record(id));
            assert_eq!(told_length(rest), Some(frame_length(found) as u64));
            rest = &rest[frame_length(found)..];
        }
        assert!(rest.is_empty() && first(rest).is_none());
    }

    #[test]
    fn half_a_record_is_none_whatever_stands_behind_it() {
        let (old, new) = (framed("an old one, and longer"), framed("new"));
        for written in 0..new.len() {
            assert!(first(&new[..written]).is_none(), "{written} bytes");
            let mut page = old.clone();
            page[..written].copy_from_slice(&new[..written]);
            let found = first(&page);
            assert!(written == 0 || found.is_none(), "{written} bytes");
        }
        for place in 0..new.len() {
            let mut changed = new.clone();
            changed[place] ^= 1;
            assert!(first(&changed).is_none(), "at {place}");
        }
    }

    #[test]
    fn records_of_versions_before_are_read() {
        let old = serde_json::json!({
            "id": "a", "at_ms": -1, "request_id": "", "revision": "", "team": "größe", "outcome": "", "status": 0, "usage": {"input": 3},
            "cost": u64::MAX, "attempts": 0, "streamed": false, "duration_ms": 0, "tags": ["a", "b"],
            "payload": {"request": "{\"q\":\"\\u0000\"}", "response": ""},
        });
        let old = rmp_serde::to_vec_named(&old).unwrap();
        assert_eq!(read(&old).unwrap(), record("a"));
    }

    proptest! {
        #[test]
        fn nothing_that_stands_there_makes_it_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(first(&bytes).is_none());
            let _told = told_length(&bytes);
            let _record = read(&bytes);
            let _record = read(&[b"{", &bytes[..]].concat());
        }
    }
}
