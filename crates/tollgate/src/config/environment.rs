//! What configuration takes from outside of its file: environment variables, other files, the date.
//!
//! The only place of the program that reads the environment.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file that configuration names may not be larger than this many bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What is outside of a configuration file.
pub(crate) trait Environment {
    /// The value of an environment variable; `None` where it is not set, or is not Unicode.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is not UTF-8.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// The time since 1970-01-01 UTC.
    fn now(&self) -> Duration;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        let mut content = String::new();
        let mut file = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1);
        file.read_to_string(&mut content)?;
        if u64::try_from(content.len()).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than 8 MiB",
            ));
        }
        Ok(content)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the rest of configuration gets the time from here"
    )]
    fn now(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

/// Stands in where a configuration may not reach anything: variables are all set to the same word, and there are no files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoOutside;

impl Environment for NoOutside {
    fn variable(&self, _: &str) -> Option<String> {
        Some("word".to_owned())
    }

    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

/// Whether what is written to standard error may have colours: it goes to a terminal, and `NO_COLOR`
/// (<https://no-color.org>) is not set.
pub(crate) fn colours_wanted() -> bool {
    let refused = ProcessEnvironment
        .variable("NO_COLOR")
        .is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !refused
}
