//! Notices when a configuration's files change, however they are changed: written in place, replaced by a rename, or
//! swapped with the folder that a symbolic link names, as Kubernetes updates a mounted `ConfigMap` or `Secret`.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::{self, Instant},
};

/// Writers need a moment to finish; what comes within it is one change.
const SETTLE: Duration = Duration::from_millis(50);

/// Some file systems report nothing, so the files are looked at as often as this.
const POLL: Duration = Duration::from_secs(3);

/// Watches files for changes of what is in them.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    seen: Fingerprint,
    events: Receiver<()>,
    /// Reports into `events` while it lives; `None` where the system has no way to watch.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

/// What the files were like: where each one really is, and a hash of its content.
type Fingerprint = Vec<(Option<PathBuf>, Option<u64>)>;

// === impl Watch ===

impl Watch {
    /// Begins to watch. What is in the files now counts as seen.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_read_only = event.is_ok_and(|event| event.kind.is_access());
            if !is_read_only {
                // When the channel is full, a look at the files is due anyway.
                let _full = sender.try_send(());
            }
        });
        let mut watch = Self {
            seen: fingerprint(&files),
            files: Vec::new(),
            events,
            watcher: watcher.ok(),
            folders: BTreeSet::new(),
        };
        watch.set_files(files);
        watch
    }

    /// Watches these files from now on, after a reload that may have read others.
    pub(crate) fn set_files(&mut self, files: Vec<PathBuf>) {
        if self.files == files {
            return;
        }
        self.seen = fingerprint(&files);
        self.files = files;
        self.watch_folders();
    }

    /// Waits until the content of a file differs from what was last seen. Cancelling is safe: what it would
    /// have reported is noticed by the next call.
    pub(crate) async fn changed(&mut self) {
        loop {
            let poll = Instant::now() + POLL;
            tokio::select! {
                event = self.events.recv(), if self.watcher.is_some() => match event {
                    Some(()) => time::sleep(SETTLE).await,
                    None => self.watcher = None,
                },
                () = time::sleep_until(poll) => {}
            }
            while self.events.try_recv().is_ok() {}
            if self.look().await {
                return;
            }
        }
    }

    /// Looks at the files; whether they are not as they were.
    async fn look(&mut self) -> bool {
        let files = self.files.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&files)).await else {
            return false; // the runtime is going down
        };
        if now == self.seen {
            return false;
        }
        self.seen = now;
        self.watch_folders(); // links may lead to other folders now
        true
    }

    /// Watches the folder of each file, and that of what it links to: a replaced file is only
    /// noticed there.
    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let links = self.files.iter().map(|file| folder_of(file));
        let targets = self.files.iter().filter_map(|file| {
            let target = file.canonicalize().ok()?;
            target.parent().map(Path::to_owned)
        });
        let wanted: BTreeSet<PathBuf> = links.chain(targets).collect();
        for old in self.folders.difference(&wanted) {
            // It may be gone already.
            let _gone = watcher.unwatch(old);
        }
        // What cannot be watched is still looked at from time to time.
        self.folders = wanted
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let one = |file: &PathBuf| (file.canonicalize().ok(), content_hash(file).ok());
    files.iter().map(one).collect()
}

fn content_hash(file: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(file)?.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests;
