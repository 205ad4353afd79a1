//! The keeper of the books: reads the journals of this process and of those that have died, enters what stands in them, and removes what
//! is done with. It may stop at any point and begin again: no record is entered twice, and no file goes before all of it is entered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use tollgate_domain::UsageRecord;
use tollgate_telemetry::journal::{
    ENDING, JournalState, LOCK,
    begun::{ANEW_ENDING, BEGUN_ENDING},
    frames,
};

use crate::{Store, StoreError};

/// Bytes of a journal's file that are read at a time, and entered in one transaction: others who write wait for its end.
const READ_BYTES: u64 = 256 << 10;

/// Bytes that one round enters of this process's journal, or a little more.
const ROUND_BYTES: u64 = 1 << 20;

/// The ending of a file that something could not be read of.
const DAMAGED_ENDING: &str = "damaged";

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
    read: HashMap<PathBuf, Place>,
}

/// Where reading goes on in a file.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Bytes of it that are done with.
    bytes: u64,
    /// Something before could not be read.
    is_damaged: bool,
}

/// What is read of a file at a time.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<UsageRecord>,
    /// Those that are none, which have their frames all the same.
    unreadable: u64,
    /// The bytes of all of these.
    length: u64,
}

/// What was not entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records that cannot be read, what follows one that is damaged being one: none, unless somebody else has written into the files. Their files are
    /// set aside.
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
    /// Of these, calls that had not ended when their process died.
    pub crashed: u64,
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
        remove_folder(&self.folder);
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
        self.enter_folder(&own, &wanted, &mut round).await?;
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
        self.enter_folder(&dead.folder, wanted, round).await?;
        // Of what had begun, that which has no record had not ended.
        for file in files(&dead.folder, BEGUN_ENDING).map_err(StoreError::Journal)? {
            self.enter_begun(&file, wanted, round).await?;
            fs::remove_file(&file).map_err(StoreError::Journal)?;
        }
        // What stands in the other one counts no more, or not yet.
        for file in files(&dead.folder, ANEW_ENDING).map_err(StoreError::Journal)? {
            fs::remove_file(&file).map_err(StoreError::Journal)?;
        }
        Ok(())
    }

    /// Enters the calls that had begun and have no record, all other records of their process being entered.
    async fn enter_begun(
        &mut self,
        path: &Path,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let kept_from = self.store.entered_from().await?;
        let mut file = File::open(path).map_err(StoreError::Journal)?;
        let mut from = 0;
        loop {
            let batch = read_batch(&mut file, from).map_err(StoreError::Journal)?;
            if batch.length == 0 {
                return Ok(());
            }
            from += batch.length;
            // A call that went on to another provider stands there for each.
            let mut last: BTreeMap<Arc<str>, UsageRecord> = BTreeMap::new();
            for record in batch.records {
                last.insert(Arc::clone(&record.id), record);
            }
            last.retain(|_, record| record.at_ms >= kept_from);
            let begun: Vec<UsageRecord> = last.into_values().collect();
            let crashed = self.store.enter_unknown(&begun).await?;
            self.state.records_entered(crashed.len() as u64);
            round.entered += crashed.len() as u64;
            round.crashed += crashed.len() as u64;
            let crashed = crashed.into_iter().cloned();
            round
                .wanted
                .extend(crashed.filter(|record| is_wanted(record, wanted)));
        }
    }

    /// Ends it: the journal of this process is removed, as far as it is entered.
    pub async fn finish(mut self) {
        for path in files(&self.own, ENDING).unwrap_or_default() {
            let from = self.place(&path).bytes;
            let left = File::open(&path).and_then(|mut file| read_batch(&mut file, from));
            if left.is_ok_and(|left| left.length == 0) {
                // What is left is entered once more at the next start, and found to be there.
                let _left = self.leave(&path, false, &mut Round::default());
            }
        }
        // All calls have ended.
        for ending in [BEGUN_ENDING, ANEW_ENDING] {
            for path in files(&self.own, ending).unwrap_or_default() {
                let _removed = fs::remove_file(path);
            }
        }
        if files(&self.own, ENDING).is_ok_and(|files| files.is_empty()) {
            remove_folder(&self.own);
        }
        self.store.close().await;
    }

    fn place(&self, path: &Path) -> Place {
        self.read.get(path).copied().unwrap_or_default()
    }

    async fn enter_folder(
        &mut self,
        folder: &Path,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let files = files(folder, ENDING).map_err(StoreError::Journal)?;
        // A worker goes on in its last file; those before it are complete.
        let last: HashMap<Option<&str>, &PathBuf> =
            files.iter().map(|file| (worker(file), file)).collect();
        for file in &files {
            let is_last = last.get(&worker(file)) == Some(&file);
            let is_written = is_last && folder == self.own;
            self.enter_file(file, is_written, wanted, round).await?;
            if round.has_more {
                return Ok(());
            }
            if !is_written {
                self.leave(file, !is_last, round)
                    .map_err(StoreError::Journal)?;
            }
        }
        Ok(())
    }

    /// Leaves a file that is entered and not written to any more: it is removed or, where something in it cannot be read, set aside.
    fn leave(&mut self, path: &Path, is_complete: bool, round: &mut Round) -> io::Result<()> {
        let mut place = self.place(path);
        // Behind the last record of all there may be half of one.
        if is_complete && place.bytes < fs::metadata(path)?.len() {
            place.is_damaged = true;
            round.skipped.unreadable += 1;
        }
        if place.is_damaged {
            fs::rename(path, path.with_extension(DAMAGED_ENDING))?;
        } else {
            fs::remove_file(path)?;
        }
        self.read.remove(path);
        Ok(())
    }

    async fn enter_file(
        &mut self,
        path: &Path,
        is_written: bool,
        wanted: &HashSet<String>,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let is_own = path.starts_with(&self.own);
        let mut file = File::open(path).map_err(StoreError::Journal)?;
        let (mut kept_from, mut entered_bytes) = (None, 0);
        loop {
            if is_own && entered_bytes >= ROUND_BYTES {
                round.has_more = true;
                return Ok(());
            }
            let mut place = self.place(path);
            let batch = read_batch(&mut file, place.bytes).map_err(StoreError::Journal)?;
            if batch.length == 0 {
                return Ok(());
            }
            let kept_from = match kept_from {
                Some(from) => from,
                None => *kept_from.insert(self.store.entered_from().await?),
            };
            let (kept, old): (Vec<_>, Vec<_>) = batch
                .records
                .into_iter()
                .partition(|record| record.at_ms >= kept_from);
            let entered = self.store.enter(&kept).await?;
            self.state.records_entered(entered);
            round.entered += entered;
            round.skipped.add(Skipped {
                unreadable: batch.unreadable,
                too_old: old.len() as u64,
            });
            let records = kept.into_iter().chain(old);
            round
                .wanted
                .extend(records.filter(|record| is_wanted(record, wanted)));
            place.bytes += batch.length;
            place.is_damaged |= batch.unreadable > 0;
            self.read.insert(path.to_owned(), place);
            if is_own {
                self.state.bytes_entered(batch.length);
            }
            entered_bytes += batch.length;
            // What is written meanwhile is another round's: a round comes to an end however much is written.
            if is_written && batch.length < READ_BYTES / 2 {
                return Ok(());
            }
        }
    }
}

/// Whether a record was held under one of these names.
fn is_wanted(record: &UsageRecord, wanted: &HashSet<String>) -> bool {
    let hold = record.hold.as_deref();
    hold.is_some_and(|hold| wanted.contains(hold))
}

/// Whole records of a file from a place on. What follows the last is left: its process died over it, or is writing it.
fn read_batch(file: &mut File, from: u64) -> io::Result<Batch> {
    let mut bytes = read_bytes(file, from, READ_BYTES)?;
    // A record with what was asked and answered may be long.
    if let Some(told) = frames::told_length(&bytes)
        && told > READ_BYTES
    {
        bytes = read_bytes(file, from, told)?;
    }
    let (mut batch, mut rest) = (Batch::default(), &bytes[..]);
    while let Some(record) = frames::first(rest) {
        match frames::read(record) {
            Ok(record) => batch.records.push(record),
            Err(_) => batch.unreadable += 1,
        }
        let length = frames::frame_length(record);
        batch.length += length as u64;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(batch)
}

fn read_bytes(file: &mut File, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
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
fn files(folder: &Path, wanted: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == wanted) {
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

/// Removes what is left of a journal once all of it is entered; what was set aside stays.
fn remove_folder(folder: &Path) {
    // What is still in it is not ours to remove.
    let _removed = fs::remove_file(folder.join(LOCK));
    let _removed = fs::remove_dir(folder);
}

/// The lock of a process that has died.
fn lock(folder: &Path) -> Option<File> {
    let path = folder.join(LOCK);
    let lock = OpenOptions::new().write(true).open(path).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}
