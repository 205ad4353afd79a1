//! One line a call: queued by the workers, formatted and written by a thread of its own.

mod json;
mod pretty;

pub(crate) use json::{attempt_outcome, detail, outcome};
pub use pretty::printable;

use std::{
    io::{BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{CallRecord, give_way};

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

/// The workers' end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: Option<SyncSender<Box<CallRecord>>>,
    dropped: Arc<AtomicU64>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    thread: Option<JoinHandle<()>>,
    stop: SyncSender<()>,
}

/// How often the writer looks for lines and whether it is to stop. It sleeps in between, so that no call has to wake it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn start(
    log: CallLog,
    queue_max: usize,
    out: Box<dyn Write + Send>,
) -> (Queue, LogWriter) {
    let dropped = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = sync_channel(1);
    if log == CallLog::Off {
        return (
            Queue {
                sender: None,
                dropped,
            },
            LogWriter { thread: None, stop },
        );
    }
    let (sender, receiver) = sync_channel(queue_max);
    let thread = thread::Builder::new()
        .name("call-log".to_owned())
        .spawn(move || {
            give_way();
            write(log, &receiver, &stopped, out);
        });
    let writer = LogWriter {
        thread: thread.ok(),
        stop,
    };
    (
        Queue {
            sender: writer.thread.is_some().then_some(sender),
            dropped,
        },
        writer,
    )
}

impl Queue {
    /// Sends a record on its way, or drops and counts it.
    pub(crate) fn send(&self, record: &CallRecord) {
        let Some(sender) = &self.sender else { return };
        if sender.try_send(Box::new(record.clone())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines dropped because the queue was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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

fn write(
    log: CallLog,
    receiver: &Receiver<Box<CallRecord>>,
    stopped: &Receiver<()>,
    out: Box<dyn Write + Send>,
) {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let mut line = Vec::with_capacity(2048);
    let mut ending = false;
    loop {
        let record = match receiver.try_recv() {
            Ok(record) => record,
            Err(_) => {
                // Nothing waits: what was written may be seen. A log that cannot be written to is nobody's reason to stop.
                let _flushed = out.flush();
                ending |= stopped.try_recv().is_ok();
                // Flushing took its time, so there may be lines again, and at the end there is no later time for them.
                match receiver.try_recv() {
                    Ok(record) => record,
                    Err(TryRecvError::Empty) if !ending => {
                        thread::sleep(LOOK_EVERY);
                        continue;
                    }
                    Err(_) => return,
                }
            }
        };
        line.clear();
        match log {
            CallLog::Json => json::format(&record, &mut line),
            CallLog::Pretty => pretty::format(&record, &mut line),
            CallLog::Off => {}
        }
        line.push(b'\n');
        let _written = out.write_all(&line);
    }
}

/// A moment as RFC 3339 with milliseconds.
fn moment(since_1970: Duration) -> String {
    let milliseconds = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| String::new(), |moment| format!("{moment:.3}"))
}

#[cfg(test)]
pub(crate) mod tests;
