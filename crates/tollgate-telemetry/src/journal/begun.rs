//! Calls that a provider is being asked for: what is known of each stands in a file of its own beside the journal's until it has ended, so that a
//! process that dies leaves a record of them as well.
//!
//! The file grows by a frame for each call that begins, and is written anew, with those alone that have not ended, when most of it is over. Calls that
//! have ended may still stand in it: whoever finds it knows them by their records.
//!
//! Two files take turns, each of which is written over in place: to let go of one with megabytes in it takes a millisecond, in which the worker
//! answers nobody, and pages that are there already cost a fifth of new ones. An empty frame tells where what counts ends.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use slab::Slab;

use super::{entries::Entry, frames};

/// The ending of the files' names.
pub const BEGUN_ENDING: &str = "begun";

/// The ending of the other one: that which is being written anew, until they change places, and the old one behind that.
pub const ANEW_ENDING: &str = "anew";

/// Bytes of a file from which on it is written anew, when most of it is over. A short one stays in the cache of its worker's core.
const FILE_BYTES: u64 = 512 << 10;

/// Bytes of a file that does not become shorter, since records cannot be written; of further calls nothing is noted.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes that wait while the file cannot be written to; of further calls nothing is noted.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Stands behind the last frame.
const END: [u8; 8] = [0; 8];

/// A call that has begun, in the file of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunCall(usize);

/// A worker's file of calls that have begun.
#[derive(Debug)]
pub(super) struct Begun {
    path: PathBuf,
    file: Option<File>,
    /// The one before it, with nothing in it that counts.
    spare: Option<File>,
    /// Bytes of the file that count.
    length: u64,
    /// Frames that are not written yet; they stand behind those of the file.
    waiting: Vec<u8>,
    open: Slab<Place>,
    /// Bytes of all that are open.
    open_bytes: u64,
    /// The file is written anew from this length on.
    anew_from: u64,
    /// A call stands in it that has ended, and left no record.
    has_lost: bool,
}

/// Where a call's frame stands, or will stand.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    length: u64,
}

impl Begun {
    /// A file that is made with the first call. `path` has no ending.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.with_extension(BEGUN_ENDING),
            file: None,
            spare: None,
            length: 0,
            waiting: Vec::new(),
            open: Slab::new(),
            open_bytes: 0,
            anew_from: FILE_BYTES,
            has_lost: false,
        }
    }

    /// Takes a call that has begun; it is written with [`Self::write`].
    pub(super) fn begin(&mut self, entry: &impl Entry) -> Option<BegunCall> {
        let from = self.waiting.len();
        let is_full = from > WAITING_BYTES_MAX || self.length > FILE_BYTES_MAX;
        if is_full || !frames::enclose(entry, &mut self.waiting) {
            return None;
        }
        let place = Place {
            at: self.length + from as u64,
            length: (self.waiting.len() - from) as u64,
        };
        self.open_bytes += place.length;
        Some(BegunCall(self.open.insert(place)))
    }

    /// A call has ended.
    pub(super) fn end(&mut self, call: BegunCall) {
        if let Some(place) = self.open.try_remove(call.0) {
            self.open_bytes -= place.length;
        }
    }

    /// A call has ended, or ends now, whose record is lost.
    pub(super) fn lost_one(&mut self) {
        self.has_lost = true;
    }

    /// Whether all is written.
    pub(super) fn is_written(&self) -> bool {
        self.waiting.is_empty() && !self.has_lost
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// When the file cannot be written to. What was to be written waits for the next time.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(new_file(&self.path)?),
        };
        let waiting = self.waiting.len();
        self.waiting.extend(END);
        let written = file.write_all_at(&self.waiting, self.length);
        self.waiting.truncate(waiting);
        written?;
        self.length += waiting as u64;
        self.waiting.clear();
        self.waiting.shrink_to(super::WAITING_BYTES_KEPT);
        Ok(())
    }

    /// Writes the file anew where it is long, or tells what is not so. Not before the records of those that have ended are written: until then it is
    /// all that a process leaves of them which dies.
    pub(super) fn tidy(&mut self) {
        if self.length >= self.anew_from || self.has_lost {
            // A file that stays long does no harm.
            self.has_lost = self.write_anew().is_err() && self.has_lost;
            self.anew_from = FILE_BYTES.max(2 * self.length);
        }
    }

    /// Writes the file anew, with the calls alone that have not ended.
    fn write_anew(&mut self) -> io::Result<()> {
        let Some(old) = &self.file else {
            return Ok(());
        };
        let mut kept = Vec::with_capacity(usize::try_from(self.open_bytes).unwrap_or_default());
        let mut places = Vec::with_capacity(self.open.len());
        for (key, place) in &self.open {
            let from = kept.len();
            kept.resize(from + usize::try_from(place.length).unwrap_or_default(), 0);
            old.read_exact_at(kept.get_mut(from..).unwrap_or_default(), place.at)?;
            places.push((key, from as u64));
        }
        let path = self.path.with_extension(ANEW_ENDING);
        let new = match self.spare.take() {
            Some(spare) => spare,
            None => new_file(&path)?,
        };
        let length = kept.len() as u64;
        kept.extend(END);
        new.write_all_at(&kept, 0)?;
        let is_there = exchange(&path, &self.path)?;
        for (key, at) in places {
            if let Some(place) = self.open.get_mut(key) {
                place.at = at;
            }
        }
        self.length = length;
        let old = self.file.replace(new);
        self.spare = old.filter(|_| is_there);
        Ok(())
    }
}

/// Gives a file the name of another. Says whether that is still there, and has the first one's name.
fn exchange(from: &Path, to: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        // Not all kinds of file systems know how to.
        if renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).is_ok() {
            return Ok(true);
        }
    }
    fs::rename(from, to)?;
    Ok(false)
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
}

#[cfg(test)]
mod tests {
    use tollgate_domain::UsageRecord;

    use super::*;

    fn record(id: &str) -> UsageRecord {
        UsageRecord {
            id: id.into(),
            ..UsageRecord::default()
        }
    }

    fn ids(path: &Path) -> Vec<String> {
        let bytes = fs::read(path).unwrap();
        let (mut rest, mut ids) = (&bytes[..], Vec::new());
        while let Some(record) = frames::first(rest) {
            ids.push(frames::read(record).unwrap().id.to_string());
            rest = &rest[frames::frame_length(record)..];
        }
        assert!(rest.starts_with(&END));
        ids
    }

    #[test]
    fn a_file_is_written_anew_with_the_calls_that_have_not_ended() {
        let folder = std::env::temp_dir().join(format!("tollgate-begun-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut begun = Begun::new(&folder.join("000"));
        begun.anew_from = 8000;
        let calls: Vec<_> = (0..8)
            .map(|call| begun.begin(&record(&format!("call {call}"))).unwrap())
            .collect();
        begun.write().unwrap();
        let path = folder.join("000.begun");
        assert_eq!(ids(&path).len(), 8);
        for call in [0, 1, 2, 4, 5, 6] {
            begun.end(calls[call]);
        }
        begun.begin(&record(&"x".repeat(8000))).unwrap();
        begun.write().unwrap();
        begun.tidy();
        let mut kept = ids(&path);
        kept.sort();
        assert_eq!(kept[..2], ["call 3", "call 7"]);
        assert_eq!(kept.len(), 3);
        // It goes on behind them, and knows where each stands.
        begun.end(calls[3]);
        let last = begun.begin(&record("last")).unwrap();
        begun.write().unwrap();
        begun.write_anew().unwrap();
        let mut kept = ids(&path);
        kept.sort();
        assert_eq!((kept.len(), &*kept[0], &*kept[1]), (3, "call 7", "last"));
        // Written over, the longer of the two files tells no more than what counts.
        begun.end(calls[7]);
        begun.write_anew().unwrap();
        assert_eq!(ids(&path).len(), 2);
        assert!(begun.spare.is_some());
        begun.end(last);
        begun.end(last); // Once more does nothing.
        assert_eq!(begun.open.len(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
