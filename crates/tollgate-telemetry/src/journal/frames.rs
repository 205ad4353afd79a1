//! The form of a journal's files: record behind record, each in a frame that tells its length and bears the mark of its file.
//!
//! Files are used again without being emptied. What stands behind the last record is of the file's life before, or half a record whose process has died:
//! neither bears the mark, so that both are seen to be none.

use std::path::Path;

use rmp_serde::{decode, encode};
use tollgate_domain::UsageRecord;

/// Bytes before a record: its length and its mark, four each, the least significant first.
const HEAD: usize = 8;

/// What tells the records of one file from those of others: it goes into the checksum of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(u32);

impl Mark {
    /// Of a file, by its name without its ending. No other file of the process ever has it.
    pub fn of(file: &Path) -> Self {
        let name = file.file_stem().unwrap_or_default();
        Self(crc32fast::hash(name.as_encoded_bytes()))
    }

    fn over(self, length: [u8; 4], record: &[u8]) -> [u8; 4] {
        let mut checksum = crc32fast::Hasher::new_with_initial(self.0);
        checksum.update(&length);
        checksum.update(record);
        checksum.finalize().to_le_bytes()
    }

    /// Marks frames that stand one behind another, now that it is known in which file.
    pub(super) fn seal(self, mut frames: &mut [u8]) {
        while let Some((length, rest)) = frames.split_first_chunk_mut::<4>()
            && let Some((mark, rest)) = rest.split_first_chunk_mut::<4>()
            && let Some((record, rest)) = rest.split_at_mut_checked(told(*length))
        {
            *mark = self.over(*length, record);
            frames = rest;
        }
    }

    /// The record that stands at the beginning of these bytes, where a whole one does.
    pub fn first(self, bytes: &[u8]) -> Option<&[u8]> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [l0, l1, l2, l3, mark @ ..] = *head;
        let length = [l0, l1, l2, l3];
        let record = rest.get(..told(length))?;
        (!record.is_empty() && self.over(length, record) == mark).then_some(record)
    }
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

fn told(length: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
}

/// Adds a record in its frame, all but the mark.
///
/// # Errors
/// When the record cannot be written at all; then nothing is added.
pub(super) fn enclose(record: &UsageRecord, frames: &mut Vec<u8>) -> Result<(), encode::Error> {
    let begin = frames.len();
    frames.extend([0; HEAD]);
    // With the names of its fields: another version of this program may read it.
    let written = encode::write_named(frames, record);
    let written = written.and_then(|()| {
        let length = u32::try_from(frames.len() - begin - HEAD);
        let length = length.map_err(|error| encode::Error::Syntax(error.to_string()))?;
        if let Some(head) = frames.get_mut(begin..begin + 4) {
            head.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    });
    if written.is_err() {
        frames.truncate(begin);
    }
    written
}

/// Reads a record.
///
/// # Errors
/// When it is none.
pub fn read(record: &[u8]) -> Result<UsageRecord, decode::Error> {
    rmp_serde::from_slice(record)
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

    fn framed(id: &str, file: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        enclose(&record(id), &mut frame).unwrap();
        Mark::of(Path::new(file)).seal(&mut frame);
        frame
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let frame = framed("one", "000-00000001.journal");
        let mark = Mark::of(Path::new("/elsewhere/000-00000001.journal"));
        let found = mark.first(&frame).unwrap();
        assert_eq!(read(found).unwrap(), record("one"));
        assert_eq!(frame_length(found), frame.len());
        assert_eq!(told_length(&frame), Some(frame.len() as u64));
    }

    #[test]
    fn what_a_file_held_before_is_not_read_again() {
        let old = framed("an old one, and longer", "000-00000001.journal");
        let mark = Mark::of(Path::new("000-00000002.journal"));
        assert!(mark.first(&old).is_none());
        assert!(mark.first(&[0; 64]).is_none());
        // A process dies in the middle of its record; what was there goes on behind.
        let new = framed("new", "000-00000002.journal");
        for written in 0..new.len() {
            let mut page = old.clone();
            page[..written].copy_from_slice(&new[..written]);
            assert!(mark.first(&page).is_none(), "after {written} bytes");
        }
    }

    #[test]
    fn records_are_marked_together() {
        let mut frames = Vec::new();
        let all = ["a", "b", "c"];
        all.iter()
            .for_each(|id| enclose(&record(id), &mut frames).unwrap());
        let mark = Mark::of(Path::new("000-00000001.journal"));
        mark.seal(&mut frames);
        let mut rest = &frames[..];
        for id in all {
            let found = mark.first(rest).unwrap();
            assert_eq!(&*read(found).unwrap().id, id);
            rest = &rest[frame_length(found)..];
        }
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_that_stands_there_makes_it_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mark = Mark::of(Path::new("000-00000001.journal"));
            prop_assert!(mark.first(&bytes).is_none());
            let _told = told_length(&bytes);
            let _record = read(&bytes);
        }
    }
}
