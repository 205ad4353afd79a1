//! The journal: usage records on their way into the books, appended to files before the client has its last byte.
//!
//! A plain append survives the death of the process, and waits for nobody. Each process has a folder of its own, locked while it
//! lives, and each worker a file of its own in it. Whoever keeps the books reads the files and removes those that are done with;
//! that is not this room's affair.

use std::{
    collections::VecDeque,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tollgate_domain::UsageRecord;

/// A file that has grown to this is left for a new one, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Records that a worker keeps in memory while its file cannot be written to; a new one beyond them is lost, and counted.
const KEPT_MAX: usize = 10_000;

/// The name of the lock in a process's folder.
pub const LOCK: &str = "lock";

/// The ending of the files' names.
pub const ENDING: &str = "jsonl";

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

#[derive(Debug, Default)]
struct Page {
    file: Option<File>,
    number: u64,
    length: u64,
    /// Lines that could not be written yet.
    kept: VecDeque<Vec<u8>>,
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
            page: Mutex::default(),
        });
        let mut pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        pens.push(Arc::clone(&pen));
        pen
    }

    /// Tries again to write what could not be written; says whether all is written.
    pub fn retry(&self) -> bool {
        let pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        // Each of them, whatever became of the one before.
        pens.iter().filter(|pen| !pen.retry()).count() == 0
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

    /// Bytes that wait to be entered into the books.
    pub fn waiting(&self) -> u64 {
        let entered = self.entered.load(Ordering::Relaxed);
        self.written.load(Ordering::Relaxed).saturating_sub(entered)
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
    /// Writes a record down. When that fails it is kept, and written with a later one.
    pub fn write(&self, record: &UsageRecord) {
        let Ok(mut line) = serde_json::to_vec(record) else {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        line.push(b'\n');
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        page.kept.push_back(line);
        let written = self.write_kept(&mut page);
        self.state.broken.store(written.is_err(), Ordering::Relaxed);
        if page.kept.len() > KEPT_MAX {
            page.kept.pop_front();
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn retry(&self) -> bool {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write_kept(&mut page);
        self.state.broken.store(written.is_err(), Ordering::Relaxed);
        written.is_ok()
    }

    fn write_kept(&self, page: &mut Page) -> io::Result<()> {
        while let Some(line) = page.kept.front() {
            if page.file.is_none() || page.length >= FILE_BYTES_MAX {
                page.number += 1;
                page.length = 0;
                let name = format!("{:03}-{:08}.{ENDING}", self.worker, page.number);
                let path = self.folder.join(name);
                page.file = Some(OpenOptions::new().create(true).append(true).open(path)?);
            }
            let Some(file) = &mut page.file else { break };
            if let Err(error) = file.write_all(line) {
                // No half of a line may stand before the next.
                if file.set_len(page.length).is_err() {
                    page.file = None;
                }
                return Err(error);
            }
            let length = line.len() as u64;
            page.length += length;
            self.state.written.fetch_add(length, Ordering::Relaxed);
            page.kept.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .map(|line| serde_json::from_str::<UsageRecord>(&line).unwrap())
            .map(|record| record.id.to_string())
            .collect()
    }

    #[test]
    fn what_is_written_is_there_at_once() {
        let root = folder("written");
        let journal = Journal::open(&root, "one", 1 << 20).unwrap();
        let (first, second) = (journal.pen(0), journal.pen(1));
        first.write(&record("a"));
        second.write(&record("b"));
        first.write(&record("c"));
        assert_eq!(ids(journal.folder()), ["a", "c", "b"]);
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
        pen.write(&record("b"));
        fs::rename(&aside, &folder).unwrap();
        assert!(journal.retry() && journal.state().takes_records());
        assert_eq!(ids(&folder), ["a", "b"]);
        assert_eq!(journal.state().lost(), 0);
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
