//! The keeper of the books: reads the journals of this process and of those that have died, enters what stands in them, and removes what
//! is done with. It may stop at any point and begin again: no record is entered twice, and no file goes before all of it is entered.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use tollgate_domain::UsageRecord;
use tollgate_telemetry::journal::{ENDING, JournalState, LOCK};

use crate::{Store, StoreError};

/// Bytes of a journal's file that are read at a time, and entered in one transaction: others who write wait for its end.
const READ_BYTES: u64 = 256 << 10;

/// The most that is read at a time: a record with what was asked and answered may be long.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Bytes that one round enters of this process's journal, or a little more.
const ROUND_BYTES: u64 = 1 << 20;

/// Reads journals and keeps the books.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    /// Where the processes' folders are.
    root: PathBuf,
    /// This process's own folder.
    own: PathBuf,
    state: Arc<JournalState>,
    /// How far each file has been read.
    read: HashMap<PathBuf, u64>,
}

/// Lines that were not entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// They are no records: none, unless somebody else has written into the files.
    pub unreadable: u64,
    /// Records of calls that came before those that are kept. They were entered long ago, which cannot be seen any more.
    pub too_old: u64,
}

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Records that were entered.
    pub entered: u64,
    /// What was not.
    pub skipped: Skipped,
    /// Records that were wanted.
    pub wanted: Vec<UsageRecord>,
    /// There is more to be entered at once.
    pub has_more: bool,
}

/// The journal of a process that has died, locked against others who would enter it.
#[derive(Debug)]
pub struct Dead {
    folder: PathBuf,
    _lock: File,
}

impl Dead {
    /// The process's name.
    pub fn name(&self) -> &str {
        let name = self.folder.file_name().and_then(|name| name.to_str());
        name.unwrap_or_default()
    }

    /// Removes what is left of it, all being entered.
    pub fn remove(self) {
        // What is still in it is not ours to remove.
        let _removed = fs::remove_file(self.folder.join(LOCK));
        let _removed = fs::remove_dir(&self.folder);
    }
}

impl Skipped {
    /// More of the same.
    pub fn add(&mut self, more: Self) {
        self.unreadable += more.unreadable;
        self.too_old += more.too_old;
    }
}

impl Keeper {
    /// A keeper of the journals below a folder. `own` is that of this process.
    pub fn new(store: Store, root: PathBuf, own: PathBuf, state: Arc<JournalState>) -> Self {
        Self {
            store,
            root,
            own,
            state,
            read: HashMap::new(),
        }
    }

    /// The books.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Enters what this process has written so far, up to a bound.
    ///
    /// # Errors
    /// When the database fails or a file cannot be read. What was not entered stays, for a later round.
    pub async fn round(&mut self) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let own = self.own.clone();
        let wanted = HashSet::new();
        self.enter_folder(&own, true, &wanted, &mut round).await?;
        Ok(round)
    }

    /// The journals of processes that have died. Whoever holds a lock is alive, and keeps his own.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn dead(&self) -> Result<Vec<Dead>, StoreError> {
        let folders = folders(&self.root).map_err(StoreError::Journal)?;
        let others = folders.into_iter().filter(|folder| *folder != self.own);
        let dead = others.filter_map(|folder| {
            let lock = lock(&folder)?;
            Some(Dead {
                folder,
                _lock: lock,
            })
        });
        Ok(dead.collect())
    }

    /// Enters all that a dead process has written. Its records that were held under one of the wanted names are kept in the round.
    ///
    /// # Errors
    /// As [`Self::round`]; the round has what was entered until then.
    pub async fn enter_dead(
        &mut self,
        dead: &Dead,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        self.enter_folder(&dead.folder, false, wanted, round).await
    }

    /// Ends it: the journal of this process is removed, as far as it is entered.
    pub async fn finish(self) {
        for file in files(&self.own).unwrap_or_default() {
            let length = fs::metadata(&file).map(|file| file.len()).ok();
            if length == Some(self.read.get(&file).copied().unwrap_or_default()) {
                // What is left is entered once more at the next start, and found to be there.
                let _removed = fs::remove_file(file);
            }
        }
        let is_done = files(&self.own).is_ok_and(|files| files.is_empty());
        if is_done {
            let _removed = fs::remove_file(self.own.join(LOCK));
            let _removed = fs::remove_dir(&self.own);
        }
        self.store.close().await;
    }

    async fn enter_folder(
        &mut self,
        folder: &Path,
        is_own: bool,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let files = files(folder).map_err(StoreError::Journal)?;
        // A worker goes on in its last file; those before it are complete.
        let last: HashMap<Option<&str>, &PathBuf> =
            files.iter().map(|file| (worker(file), file)).collect();
        for file in &files {
            let is_last = last.get(&worker(file)) == Some(&file);
            self.enter_file(file, is_own, wanted, round).await?;
            if round.has_more {
                return Ok(());
            }
            if !(is_own && is_last) {
                fs::remove_file(file).map_err(StoreError::Journal)?;
                self.read.remove(file);
            }
        }
        Ok(())
    }

    async fn enter_file(
        &mut self,
        path: &Path,
        is_own: bool,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let mut file = File::open(path).map_err(StoreError::Journal)?;
        // What is written meanwhile is another round's: a round comes to an end however much is written.
        let end = file.metadata().map_err(StoreError::Journal)?.len();
        let (mut kept_from, mut entered_bytes) = (None, 0);
        loop {
            let from = self.read.get(path).copied().unwrap_or_default();
            if from >= end {
                return Ok(());
            }
            if is_own && entered_bytes >= ROUND_BYTES {
                round.has_more = true;
                return Ok(());
            }
            let mut lines = read_lines(&mut file, from, READ_BYTES).map_err(StoreError::Journal)?;
            if lines.is_empty() {
                lines = read_lines(&mut file, from, READ_BYTES_MAX).map_err(StoreError::Journal)?;
            }
            if lines.is_empty() {
                return Ok(());
            }
            let mut records: Vec<UsageRecord> = Vec::new();
            let mut skipped = Skipped::default();
            for line in lines.split(|byte| *byte == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(record) => records.push(record),
                    Err(_) if line.is_empty() => {}
                    Err(_) => skipped.unreadable += 1,
                }
            }
            let kept_from = match kept_from {
                Some(from) => from,
                None => *kept_from.insert(self.store.entered_from().await?),
            };
            let (kept, old): (Vec<_>, Vec<_>) = records
                .into_iter()
                .partition(|record| record.at_ms >= kept_from);
            skipped.too_old = old.len() as u64;
            let entered = self.store.enter(&kept).await?;
            self.state.records_entered(entered);
            round.entered += entered;
            round.skipped.add(skipped);
            let is_wanted = |record: &UsageRecord| {
                let hold = record.hold.as_deref();
                hold.is_some_and(|hold| wanted.contains(hold))
            };
            let records = kept.into_iter().chain(old);
            round.wanted.extend(records.filter(is_wanted));
            let length = lines.len() as u64;
            self.read.insert(path.to_owned(), from + length);
            if is_own {
                self.state.bytes_entered(length);
            }
            entered_bytes += length;
        }
    }
}

/// Whole lines of a file from a place on. A last line that has no end is left: its process died over it, or is writing it.
fn read_lines(file: &mut File, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    Ok(bytes)
}

fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// The files of a journal, each worker's in order, those of all workers in turn: a worker that writes much does not keep the others' out.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort_by(|one, other| {
        let of = |file| (number(file), worker(file));
        of(one).cmp(&of(other))
    });
    Ok(files)
}

fn worker(file: &Path) -> Option<&str> {
    Some(file.file_stem()?.to_str()?.split_once('-')?.0)
}

fn number(file: &Path) -> Option<&str> {
    Some(file.file_stem()?.to_str()?.split_once('-')?.1)
}

/// The lock of a process that has died.
fn lock(folder: &Path) -> Option<File> {
    let path = folder.join(LOCK);
    let lock = OpenOptions::new().write(true).open(path).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}
