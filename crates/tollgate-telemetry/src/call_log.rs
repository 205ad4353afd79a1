//! One line a call: formatted by its worker, which has all of it at hand, and written by a thread of its own.
//!
//! A record that goes to another thread to be formatted there has to be copied for it, and what it holds given back to its worker's memory: that
//! is more work than the line.

mod pretty;

pub use pretty::printable;

use std::{
    io::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{CallRecord, give_way, told::Common};

/// How call lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallLog {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
    /// Not at all.
    Off,
}

/// All workers' lines.
#[derive(Clone, Debug)]
pub(crate) struct Queue(Arc<QueueState>);

#[derive(Debug)]
struct QueueState {
    log: CallLog,
    /// Lines of each worker that may wait.
    lines_max: usize,
    workers: Mutex<Vec<Arc<Lines>>>,
    dropped: AtomicU64,
}

/// A worker's lines.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: Queue,
    waiting: Mutex<Waiting>,
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    count: usize,
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    thread: Option<JoinHandle<()>>,
    stop: SyncSender<()>,
}

/// How often the writer looks for lines and whether it is to stop. It sleeps in between, so that no call has to wake it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Bytes of a worker's lines that may wait: those that tell what was said are long.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Memory for lines that is kept for the next ones, in bytes: what a busy worker fills between two looks.
const WAITING_BYTES_KEPT: usize = 1 << 20;

/// Starts the thread. Of each worker's lines, `lines_max` may wait to be written.
pub(crate) fn start(
    log: CallLog,
    lines_max: usize,
    out: Box<dyn Write + Send>,
) -> (Queue, LogWriter) {
    let queue = |log| {
        Queue(Arc::new(QueueState {
            log,
            lines_max,
            workers: Mutex::default(),
            dropped: AtomicU64::new(0),
        }))
    };
    let (stop, stopped) = sync_channel(1);
    let written = queue(log);
    let thread = (log != CallLog::Off).then(|| {
        let queue = written.clone();
        let thread = thread::Builder::new().name("call-log".to_owned());
        thread.spawn(move || {
            give_way();
            write(&queue, &stopped, out);
        })
    });
    match thread {
        Some(Ok(thread)) => {
            let thread = Some(thread);
            (written, LogWriter { thread, stop })
        }
        _ => (queue(CallLog::Off), LogWriter { thread: None, stop }),
    }
}

impl Queue {
    /// A worker's own way to the log.
    pub(crate) fn lines(&self) -> Arc<Lines> {
        let lines = Arc::new(Lines {
            queue: self.clone(),
            waiting: Mutex::default(),
        });
        self.workers().push(Arc::clone(&lines));
        lines
    }

    /// Lines dropped because too many waited.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Lines>>> {
        let workers = self.0.workers.lock();
        workers.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Whether lines are written at all.
    pub(crate) fn are_written(&self) -> bool {
        self.queue.0.log != CallLog::Off
    }

    /// Takes a call's line, or drops and counts it.
    pub(crate) fn add(&self, record: &CallRecord, common: &Common<'_>) {
        let queue = &self.queue.0;
        if !self.are_written() {
            return;
        }
        let waiting = &mut *self.waiting();
        if waiting.count >= queue.lines_max || waiting.bytes.len() >= WAITING_BYTES_MAX {
            queue.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match queue.log {
            CallLog::Json => common.write_line(record, &mut waiting.bytes),
            CallLog::Pretty => pretty::format(record, &mut waiting.bytes),
            CallLog::Off => {}
        }
        waiting.bytes.push(b'\n');
        waiting.count += 1;
    }

    /// What waits, in exchange for room that is empty.
    fn take(&self, room: &mut Vec<u8>) {
        let waiting = &mut *self.waiting();
        std::mem::swap(&mut waiting.bytes, room);
        waiting.count = 0;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter {
    /// Writes what is queued, within a time, and ends the thread.
    pub fn finish(mut self, within: Duration) {
        // The channel holds one word; it is only full if it was said already.
        let _said = self.stop.try_send(());
        let Some(thread) = self.thread.take() else {
            return;
        };
        let (done, finished) = sync_channel(1);
        let waiter = thread::Builder::new()
            .name("call-log-end".to_owned())
            .spawn(move || {
                let _ended = thread.join();
                let _told = done.try_send(());
            });
        if waiter.is_ok() {
            let _in_time = finished.recv_timeout(within);
        }
    }
}

fn write(queue: &Queue, stopped: &Receiver<()>, mut out: Box<dyn Write + Send>) {
    let mut lines = Vec::new();
    loop {
        let ending = stopped.try_recv().is_ok();
        let workers = queue.workers().clone();
        for worker in workers {
            worker.take(&mut lines);
            // A log that cannot be written to is nobody's reason to stop.
            let _written = out.write_all(&lines);
            lines.clear();
            lines.shrink_to(WAITING_BYTES_KEPT);
        }
        let _flushed = out.flush();
        if ending {
            return;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A moment as RFC 3339 with milliseconds.
pub(crate) fn moment(since_1970: Duration) -> String {
    let milliseconds = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| String::new(), |moment| format!("{moment:.3}"))
}

#[cfg(test)]
pub(crate) mod tests;
