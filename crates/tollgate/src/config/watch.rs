//! Notices when a configuration's files change, however they are changed: written in place, replaced by a rename, or
//! swapped with the folder that a symbolic link names, as Kubernetes updates a mounted `ConfigMap` or `Secret`.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokio::time::{self, Instant};

/// How often files are looked at from outside. Notifications of the system's would be cheaper where nothing else is in the folder; but the
/// books and the log may be, which are written to with each call.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writers need a moment to finish; what comes within it is one change.
const SETTLE: Duration = Duration::from_millis(50);

/// Some changes cannot be seen from outside, so what is in the files is read as often as this.
const READ_EVERY: Duration = Duration::from_secs(3);

/// Watches files for changes of what is in them.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    seen: Fingerprint,
    outside: Outside,
    read_at: Instant,
}

/// What the files were like: where each one really is, and a hash of its content.
type Fingerprint = Vec<(Option<PathBuf>, Option<u64>)>;

/// What they look like from outside: where each one is, how long, and when it was written to.
type Outside = Vec<Option<(PathBuf, u64, Option<SystemTime>)>>;

// === impl Watch ===

impl Watch {
    /// Begins to watch. What is in the files now counts as seen.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self {
            outside: outside(&files),
            seen: fingerprint(&files),
            files,
            read_at: Instant::now() + READ_EVERY,
        }
    }

    /// Watches these files from now on, after a reload that may have read others.
    pub(crate) fn set_files(&mut self, files: Vec<PathBuf>) {
        if self.files != files {
            *self = Self::new(files);
        }
    }

    /// Waits until the content of a file differs from what was last seen. Cancelling is safe: what it would
    /// have reported is noticed by the next call.
    pub(crate) async fn changed(&mut self) {
        loop {
            time::sleep(LOOK_EVERY).await;
            let files = self.files.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || outside(&files)).await else {
                continue; // the runtime is going down
            };
            let is_due = Instant::now() >= self.read_at;
            if now != self.outside {
                time::sleep(SETTLE).await;
            } else if !is_due {
                continue;
            }
            if self.read(now).await {
                return;
            }
        }
    }

    /// Reads the files; whether they are not as they were.
    async fn read(&mut self, outside: Outside) -> bool {
        let files = self.files.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&files)).await else {
            return false; // the runtime is going down
        };
        self.outside = outside;
        self.read_at = Instant::now() + READ_EVERY;
        let before = std::mem::replace(&mut self.seen, now);
        before != self.seen
    }
}

fn outside(files: &[PathBuf]) -> Outside {
    let one = |file: &PathBuf| {
        let real = file.canonicalize().ok()?;
        let data = fs::metadata(&real).ok()?;
        Some((real, data.len(), data.modified().ok()))
    };
    files.iter().map(one).collect()
}

fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let one = |file: &PathBuf| (file.canonicalize().ok(), content_hash(file).ok());
    files.iter().map(one).collect()
}

fn content_hash(file: &PathBuf) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(file)?.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests;
