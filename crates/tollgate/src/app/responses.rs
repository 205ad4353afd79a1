//! The thread that keeps answers which calls of OpenAI's responses go on from, where the operator wants that.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tollgate_proxy::{Errand, Responses, Turn, Wanted};
use tollgate_store::{KeptResponse, Store, StoreError};

use super::{current_thread, since_1970};
use crate::config::StoreSettings;

/// How long one errand may take.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(2);

/// How often old answers are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// The pause before a database is opened again that could not be.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Answers that are kept.
pub(super) struct ResponsesKeeping {
    line: Responses,
    thread: JoinHandle<()>,
}

impl ResponsesKeeping {
    /// Starts the thread. Answers are forgotten after `kept_for`.
    pub(super) fn start(store: StoreSettings, kept_for: Duration) -> io::Result<Self> {
        let (line, errands) = Responses::line();
        let runtime = current_thread()?;
        let clerk = Clerk {
            settings: store,
            kept_for,
            store: None,
            open_at: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name("responses".to_owned())
            .spawn(move || runtime.block_on(clerk.run(errands)))?;
        Ok(Self { line, thread })
    }

    /// The way to it.
    pub(super) fn line(&self) -> &Responses {
        &self.line
    }

    /// Ends the thread, errands done. Nobody else may hold a way to it any more.
    pub(super) fn close(self) {
        drop(self.line);
        let _ended = self.thread.join();
    }
}

/// The thread's own.
struct Clerk {
    settings: StoreSettings,
    kept_for: Duration,
    /// `None` while it cannot be opened.
    store: Option<Store>,
    open_at: Instant,
}

impl Clerk {
    async fn run(mut self, mut errands: mpsc::Receiver<Errand>) {
        let mut forget_at = Instant::now();
        loop {
            let errand = tokio::select! {
                errand = errands.recv() => errand,
                () = sleep_until(forget_at) => {
                    forget_at = Instant::now() + FORGET_EVERY;
                    let before = since_1970().saturating_sub(self.kept_for);
                    let _told = self.ask(async |store| store.forget_responses_before(before).await).await;
                    continue;
                }
            };
            let Some(errand) = errand else { break };
            // While the database is away, errands pile up no further than somebody waits for them.
            if !errand.is_abandoned() {
                self.run_errand(errand).await;
            }
        }
        if let Some(store) = self.store {
            let _closed = timeout(ERRAND_TIMEOUT, store.close()).await;
        }
    }

    /// Whoever waits for what fails is told by the end of its channel.
    async fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Keep(turn, reply) => {
                let kept = kept_of(turn);
                let now = since_1970();
                let kept = self
                    .ask(async |store| store.keep_response(&kept, now).await)
                    .await;
                if kept.is_some() {
                    let _heard = reply.send(());
                }
            }
            Errand::Find(Wanted { owner, id }, reply) => {
                let found = self
                    .ask(async |store| store.conversation(&owner, &id).await)
                    .await;
                if let Some(found) = found {
                    let turns = found.map(|turns| turns.into_iter().map(turn_of).collect());
                    let _heard = reply.send(turns);
                }
            }
            Errand::Forget(Wanted { owner, id }, reply) => {
                let forgotten = self
                    .ask(async |store| store.forget_response(&owner, &id).await)
                    .await;
                if let Some(forgotten) = forgotten {
                    let _heard = reply.send(forgotten);
                }
            }
        }
    }

    /// Asks the database; says in the log where it did not answer.
    async fn ask<T>(
        &mut self,
        asked: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Option<T> {
        let answer = timeout(ERRAND_TIMEOUT, async {
            let store = self.opened().await?;
            asked(store).await
        });
        match answer
            .await
            .unwrap_or(Err(StoreError::Slow(ERRAND_TIMEOUT)))
        {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(%error, "answers that others go on from cannot be kept or found");
                None
            }
        }
    }

    async fn opened(&mut self) -> Result<&Store, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                sleep_until(self.open_at).await;
                self.open_at = Instant::now() + OPEN_AGAIN_AFTER;
                Store::open(self.settings.url.expose()).await?
            }
        };
        Ok(self.store.insert(store))
    }
}

fn kept_of(turn: Turn) -> KeptResponse {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    KeptResponse {
        owner: turn.owner,
        id: turn.id,
        previous: turn.previous,
        input: text(turn.input),
        answer: text(turn.answer),
    }
}

fn turn_of(kept: KeptResponse) -> Turn {
    Turn {
        owner: kept.owner,
        id: kept.id,
        previous: kept.previous,
        input: kept.input.into(),
        answer: kept.answer.into(),
    }
}
