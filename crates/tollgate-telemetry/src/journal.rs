//! The journal: usage records on their way into the books, appended to files before the client has its last byte.
//!
//! A plain append survives the death of the process, and waits for nobody. Each process has a folder of its own, locked while it
//! lives, and each worker a file of its own in it. Whoever keeps the books reads the files and removes those that are done with;
//! that is not this room's affair. How records stand in them is told in [`frames`] and `entries`, what is known of calls that have not ended in [`begun`].

pub mod begun;
pub(crate) mod entries;
pub mod frames;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use begun::{Begun, BegunCall};
pub use entries::Entry;

/// A file that has grown to this is left for a new one, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Records that a worker keeps in memory while its file cannot be written to; a new one beyond them is lost, and counted. `docs/books.md` tells it.
const KEPT_MAX: usize = 10_000;

/// The name of the lock in a process's folder.
pub const LOCK: &str = "lock";

/// The ending of the files' names.
pub const ENDING: &str = "journal";

/// Memory for records on their way that is kept for the next ones, in bytes: what a worker with hundreds of callers writes in a turn.
const WAITING_BYTES_KEPT: usize = 512 << 10;

/// A process's journal.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// Locked while the process lives, by the system's own account.
    _lock: File,
    pens: Mutex<Vec<Arc<Pen>>>,
    state: Arc<JournalState>,
}

/// What is told of a journal.
#[derive(Debug)]
pub struct JournalState {
    /// Bytes that may wait to be entered into the books.
    bytes_max: u64,
    /// Bytes written.
    written: AtomicU64,
    /// Bytes that have been entered.
    entered: AtomicU64,
    /// Bytes that stand in memory alone, since files could not be written to.
    kept: AtomicU64,
    /// Records that have been entered.
    records_entered: AtomicU64,
    /// Times that they could not be.
    failures: AtomicU64,
    /// Records that could not be written, not even later.
    lost: AtomicU64,
    /// The last record of some worker could not be written.
    broken: AtomicBool,
}

/// A worker's own file of the journal.
#[derive(Debug)]
pub struct Pen {
    folder: PathBuf,
    worker: usize,
    state: Arc<JournalState>,
    page: Mutex<Page>,
}

#[derive(Debug)]
struct Page {
    sheet: Option<Sheet>,
    /// Files begun so far.
    number: u64,
    /// Records that are not written yet, each in its frame, and how many they are.
    waiting: Vec<u8>,
    count: usize,
    /// Bytes of them that the journal's state knows of: they could not be written.
    kept: u64,
    /// Calls that have not ended.
    begun: Begun,
}

/// The file that is written to.
#[derive(Debug)]
struct Sheet {
    file: File,
    /// Bytes of it that are its records'.
    length: u64,
}

// === impl Journal ===

impl Journal {
    /// Opens a journal for this process, in a folder of its own below `root`. `name` is nobody else's.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn open(root: &Path, name: &str, bytes_max: u64) -> io::Result<Self> {
        let folder = root.join(name);
        // What is written there tells who asked for what.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK))?;
        lock.try_lock()?;
        let state = JournalState {
            bytes_max,
            written: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            records_entered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        };
        Ok(Self {
            folder,
            _lock: lock,
            pens: Mutex::default(),
            state: Arc::new(state),
        })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is told of it.
    pub fn state(&self) -> &Arc<JournalState> {
        &self.state
    }

    /// A worker's own file.
    pub fn pen(&self, worker: usize) -> Arc<Pen> {
        let pen = Arc::new(Pen {
            folder: self.folder.clone(),
            worker,
            state: Arc::clone(&self.state),
            page: Mutex::new(Page {
                sheet: None,
                number: 0,
                waiting: Vec::new(),
                count: 0,
                kept: 0,
                begun: Begun::new(&self.folder.join(format!("{worker:03}"))),
            }),
        });
        let mut pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        pens.push(Arc::clone(&pen));
        pen
    }

    /// Tries again to write what could not be written; says whether all is written.
    pub fn retry(&self) -> bool {
        let pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        // Each of them, whatever became of the one before.
        pens.iter().filter(|pen| !pen.flush()).count() == 0
    }

    /// Counts what could not be written as lost: the process ends.
    pub fn give_up(&self) {
        let pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        pens.iter().for_each(|pen| pen.give_up());
    }
}

// === impl JournalState ===

impl JournalState {
    /// Whether calls can be written down: there is room, and the last one could be written.
    pub fn takes_records(&self) -> bool {
        !self.broken.load(Ordering::Relaxed) && self.waiting() < self.bytes_max
    }

    /// Bytes that may wait to be entered.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes that wait to be entered into the books, in files and in memory.
    pub fn waiting(&self) -> u64 {
        let entered = self.entered.load(Ordering::Relaxed);
        let written = self.written.load(Ordering::Relaxed);
        written.saturating_sub(entered) + self.kept.load(Ordering::Relaxed)
    }

    /// Records that could not be written, not even later.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Notes that so many bytes of this process's have been entered into the books.
    pub fn bytes_entered(&self, bytes: u64) {
        self.entered.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that so many records have been entered, this process's and those of others that have died.
    pub fn records_entered(&self, records: u64) {
        self.records_entered.fetch_add(records, Ordering::Relaxed);
    }

    /// Notes that nothing could be entered.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Records entered, and times that they could not be.
    pub fn totals(&self) -> (u64, u64) {
        let entered = self.records_entered.load(Ordering::Relaxed);
        (entered, self.failures.load(Ordering::Relaxed))
    }
}

// === impl Pen ===

impl Pen {
    /// Takes what is known of a call whose provider is about to be asked; it is written down by [`Self::flush`]. `None`: nothing can be noted.
    pub fn begin(&self, entry: &impl Entry) -> Option<BegunCall> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        page.begun.begin(entry)
    }

    /// The call has ended: its record, if there is one, was taken.
    pub fn end(&self, call: BegunCall) {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        page.begun.end(call);
    }

    /// Writes a record down. When that fails it is kept, and written with a later one.
    pub fn write(&self, entry: &impl Entry) {
        self.add(entry);
        self.flush();
    }

    /// Takes a record that is written down with the next, or by [`Self::flush`].
    pub fn add(&self, entry: &impl Entry) {
        let page = &mut *self.page.lock().unwrap_or_else(PoisonError::into_inner);
        // Calls under way may go beyond the bound; when nobody minds it, that has an end as well.
        let is_bounded = self.state.waiting() < self.state.bytes_max.saturating_mul(2);
        let has_room = page.count < KEPT_MAX && is_bounded;
        if has_room && frames::enclose(entry, &mut page.waiting) {
            page.count += 1;
        } else {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
            // It is told of as lost, and is not to come back as one that has not ended.
            page.begun.lost_one();
        }
    }

    /// Writes down what was taken; says whether all is written.
    pub fn flush(&self) -> bool {
        let page = &mut *self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.waiting.is_empty() && page.begun.is_written() {
            return true; // Which says nothing about how others get on.
        }
        let begun = page.begun.write();
        let written = self.write_waiting(page).and(begun).is_ok();
        if written {
            page.begun.tidy();
        }
        self.state.broken.store(!written, Ordering::Relaxed);
        self.keep(page);
        written
    }

    /// Tells how much stands in memory alone.
    fn keep(&self, page: &mut Page) {
        let kept = page.waiting.len() as u64;
        if kept != page.kept {
            self.state.kept.fetch_add(kept, Ordering::Relaxed);
            self.state.kept.fetch_sub(page.kept, Ordering::Relaxed);
            page.kept = kept;
        }
    }

    fn give_up(&self) {
        let page = &mut *self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = page.count as u64;
        self.state.lost.fetch_add(lost, Ordering::Relaxed);
        page.waiting.clear();
        page.count = 0;
        self.keep(page);
    }

    /// Writes behind the last record. What a failure leaves there is no record, and the next one takes its place.
    fn write_waiting(&self, page: &mut Page) -> io::Result<()> {
        if page.waiting.is_empty() {
            return Ok(());
        }
        if let Some(full) = page.sheet.take_if(|sheet| sheet.length >= FILE_BYTES_MAX) {
            full.end()?;
        }
        let sheet = match &mut page.sheet {
            Some(sheet) => sheet,
            none => none.insert(self.begin_sheet(&mut page.number)?),
        };
        sheet.file.write_all_at(&page.waiting, sheet.length)?;
        let length = page.waiting.len() as u64;
        sheet.length += length;
        self.state.written.fetch_add(length, Ordering::Relaxed);
        page.waiting.clear();
        page.waiting.shrink_to(WAITING_BYTES_KEPT);
        page.count = 0;
        Ok(())
    }

    fn begin_sheet(&self, number: &mut u64) -> io::Result<Sheet> {
        *number += 1;
        let name = format!("{:03}-{number:08}.{ENDING}", self.worker);
        let path = self.folder.join(name);
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        Ok(Sheet { file, length: 0 })
    }
}

impl Sheet {
    /// Cuts off what a failure left, so that the file holds whole records alone.
    fn end(&self) -> io::Result<()> {
        self.file.set_len(self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tollgate_domain::UsageRecord;

    use super::*;

    fn record(id: &str) -> UsageRecord {
        UsageRecord {
            id: id.into(),
            ..UsageRecord::default()
        }
    }

    fn folder(name: &str) -> PathBuf {
        let name = format!("tollgate-journal-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    }

    fn ids(folder: &Path) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .collect();
        files.sort();
        let mut ids = Vec::new();
        for file in &files {
            let bytes = fs::read(file).unwrap();
            let mut rest = &bytes[..];
            while let Some(record) = frames::first(rest) {
                ids.push(frames::read(record).unwrap().id.to_string());
                rest = &rest[frames::frame_length(record)..];
            }
        }
        ids
    }

    #[test]
    fn what_is_written_is_there_at_once_and_what_waits_goes_with_it() {
        let root = folder("written");
        let journal = Journal::open(&root, "one", 1 << 20).unwrap();
        let (first, second) = (journal.pen(0), journal.pen(1));
        first.write(&record("a"));
        second.add(&record("b"));
        assert_eq!(ids(journal.folder()), ["a"]);
        second.flush();
        assert_eq!(ids(journal.folder()), ["a", "b"]);
        first.add(&record("c"));
        first.write(&record("d"));
        assert_eq!(ids(journal.folder()), ["a", "c", "d", "b"]);
        assert!(journal.state().takes_records() && journal.state().waiting() > 0);
        journal.state().bytes_entered(journal.state().waiting());
        assert_eq!(journal.state().waiting(), 0);
        assert!(Journal::open(&root, "one", 1).is_err(), "it is locked");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_kept_and_written_later() {
        let root = folder("kept");
        let journal = Journal::open(&root, "one", 1 << 20).unwrap();
        let pen = journal.pen(0);
        let folder = journal.folder().to_owned();
        let aside = root.join("aside");
        fs::rename(&folder, &aside).unwrap();
        pen.write(&record("a"));
        assert!(!journal.state().takes_records());
        assert!(journal.state().waiting() > 0);
        journal.pen(1).flush();
        assert!(
            !journal.state().takes_records(),
            "another has nothing to write"
        );
        pen.write(&record("b"));
        fs::rename(&aside, &folder).unwrap();
        assert!(journal.retry() && journal.state().takes_records());
        assert_eq!(ids(&folder), ["a", "b"]);
        assert_eq!(journal.state().lost(), 0);
        // What cannot be written until the end is lost.
        fs::rename(&folder, &aside).unwrap();
        let other = journal.pen(2);
        for id in ["c", "d"] {
            other.write(&record(id));
        }
        assert!(!journal.retry());
        journal.give_up();
        assert_eq!(journal.state().lost(), 2);
        fs::rename(&aside, &folder).unwrap();
        assert!(journal.retry());
        assert_eq!(ids(&folder), ["a", "b"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_full_file_is_left_for_another() {
        let root = folder("next");
        let journal = Journal::open(&root, "one", 1 << 30).unwrap();
        let pen = journal.pen(0);
        for id in ["a", "b", "c", "d", "e"] {
            pen.write(&UsageRecord {
                request_id: "x".repeat(1 << 20).into(),
                ..record(id)
            });
        }
        let length = |name: &str| fs::metadata(journal.folder().join(name)).unwrap().len();
        assert!(length("000-00000001.journal") > 4 << 20);
        assert!(length("000-00000002.journal") < 2 << 20);
        assert_eq!(ids(journal.folder()), ["a", "b", "c", "d", "e"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_call_that_is_lost_has_not_begun() {
        let root = folder("lost");
        let journal = Journal::open(&root, "one", 10).unwrap();
        let pen = journal.pen(0);
        let calls = ["a", "b", "c"].map(|id| pen.begin(&record(id)).unwrap());
        pen.write(&record("a"));
        pen.end(calls[0]);
        // The journal is full twice over.
        pen.add(&record("b"));
        pen.end(calls[1]);
        pen.flush();
        assert_eq!(journal.state().lost(), 1);
        let begun = fs::read(journal.folder().join("000.begun")).unwrap();
        let first = frames::first(&begun).unwrap();
        assert_eq!(&*frames::read(first).unwrap().id, "c");
        assert!(frames::first(&begun[frames::frame_length(first)..]).is_none());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_journal_that_is_full_takes_no_more() {
        let root = folder("full");
        let journal = Journal::open(&root, "one", 10).unwrap();
        journal.pen(0).write(&record("a"));
        assert!(!journal.state().takes_records());
        fs::remove_dir_all(root).unwrap();
    }
}
