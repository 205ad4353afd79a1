//! Where the connections of a worker read into, one at a time: none of them holds room for what has not come yet.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Room that connections read into in turns.
pub struct Scratch(Mutex<Box<[u8]>>);

impl Scratch {
    /// The room, for one reading: what came is taken out of it before anybody else may read.
    pub fn lock(&self) -> MutexGuard<'_, Box<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self(Mutex::new(vec![0; READ_BYTES].into()))
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is somebody's.
        f.write_str("Scratch")
    }
}
