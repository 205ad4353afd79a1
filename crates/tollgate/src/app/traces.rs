//! The thread that sends traces to a collector.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_telemetry::{
    events::{CollectorAway, CollectorBack, TracesDropped},
    traces::{Traces, request},
};
use tollgate_upstream::{Upstream, UpstreamSettings, post_json};

use super::current_thread;
use crate::config::TracesSettings;

/// Calls that may wait to be sent; further ones are dropped and counted.
pub(super) const QUEUE_MAX: usize = 8_192;

/// Calls of one request, and how long it is waited for more of them.
const AT_ONCE: usize = 512;
const GATHER_FOR: Duration = Duration::from_millis(500);

/// Times that a request is sent, the pause between them, and how long each may take.
const TRIES_MAX: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take when the process is told to end.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// What a collector does that is not waited for any longer.
const LATE: &str = "it does not answer in time";

/// The thread that sends.
pub(super) struct TraceSender {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl TraceSender {
    pub(super) fn start(settings: TracesSettings, traces: Traces) -> io::Result<Self> {
        let runtime = current_thread()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || runtime.block_on(run(&settings, &traces, &stopped)))?;
        Ok(Self { stop, thread })
    }

    /// Sends what is queued, once, and ends the thread. What cannot be sent is told in the log.
    pub(super) fn close(self) {
        self.stop.cancel();
        let _ended = self.thread.join();
    }
}

async fn run(settings: &TracesSettings, traces: &Traces, stopped: &CancellationToken) {
    let upstream = Arc::new(Upstream::new(
        UpstreamSettings::default(),
        TaskTracker::new(),
    ));
    let mut is_away = false;
    // Of calls that were dropped, so many are in the log.
    let mut told = 0;
    // The thread is the traces' alone: nothing else waits while it does.
    while let Some(calls) = traces.take(GATHER_FOR, AT_ONCE) {
        let is_last = stopped.is_cancelled();
        if calls.is_empty() && is_last {
            break;
        }
        if calls.is_empty() {
            continue;
        }
        let body = request(&calls).to_string();
        let sent = tokio::select! {
            biased;
            sent = send(settings, &body, &upstream) => sent,
            () = end(stopped) => Err(LATE.to_owned()),
        };
        let problem = sent.err();
        match &problem {
            Some(problem) => {
                traces.lost(calls.len());
                if !is_away {
                    CollectorAway { problem }.emit();
                }
            }
            None if is_away => {
                let dropped = traces.dropped();
                let calls_dropped = dropped - told;
                CollectorBack { calls_dropped }.emit();
                told = dropped;
            }
            None => {}
        }
        is_away = problem.is_some();
        if is_away && stopped.is_cancelled() {
            break;
        }
    }
    traces.lose_rest();
    let calls_dropped = traces.dropped() - told;
    if calls_dropped > 0 {
        TracesDropped { calls_dropped }.emit();
    }
}

/// Nobody waits long for the end.
async fn end(stopped: &CancellationToken) {
    stopped.cancelled().await;
    sleep(CLOSING_TIMEOUT).await;
}

async fn send(
    settings: &TracesSettings,
    body: &str,
    upstream: &Arc<Upstream>,
) -> Result<(), String> {
    let mut tries = 1;
    loop {
        let sent = post_json(settings.endpoint.clone(), &settings.headers, body, upstream);
        let problem = match timeout(SEND_TIMEOUT, sent).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(failure)) => failure.to_string().replace("issuer", "collector"),
            Err(_) => LATE.to_owned(),
        };
        if tries >= TRIES_MAX {
            return Err(problem);
        }
        tries += 1;
        sleep(TRY_AGAIN_AFTER).await;
    }
}
