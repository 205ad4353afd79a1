//! The thread that looks after counts which several gateways share: says that this one is there, gives back what those held that are gone,
//! and begins to count allowances with what the books say.

use std::{
    collections::HashSet,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tollgate_counters::{CountersError, Line, SharedCounts};
use tollgate_domain::Allowance;
use tollgate_proxy::{Gateway, Sharing};
use tollgate_store::{Store, StoreError};
use tollgate_telemetry::events::{CountsForgetful, CountsUnread};
use uuid::Uuid;

use super::{
    current_thread, since_1970,
    spent::{Holders, Spent},
};
use crate::config::{CountersSettings, StoreSettings};

/// How often this gateway says that it is there.
const LIVE_EVERY: Duration = Duration::from_secs(2);

/// Where counts were lost, so long is waited before the books are read: what the last calls have used is entered by then.
const ENTERED_WITHIN: Duration = Duration::from_secs(1);

/// How long the first connection to the counts may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);

/// How long a round may take, and the last one.
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// What is shared with other gateways, and the thread that looks after it.
pub(super) struct Counting {
    sharing: Arc<Sharing>,
    store: Option<StoreSettings>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Counting {
    /// Nothing is asked yet. `node` is the name of this process's journal, too.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) fn new(
        settings: &CountersSettings,
        node: &str,
        store: Option<StoreSettings>,
    ) -> Result<Self> {
        let (url, prefix) = (settings.url.expose(), &settings.prefix);
        let counts = SharedCounts::new(url, prefix, node, settings.deadline)
            .context("cannot use the counters")?;
        Ok(Self {
            sharing: Arc::new(Sharing::new(Arc::new(counts), settings.when_away)),
            store,
            running: None,
        })
    }

    /// What is shared.
    pub(super) fn sharing(&self) -> &Arc<Sharing> {
        &self.sharing
    }

    /// Starts the thread.
    pub(super) fn start(&mut self, gateway: Arc<Gateway>) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let caretaker = Caretaker {
            sharing: Arc::clone(&self.sharing),
            counts: Arc::clone(self.sharing.counts()),
            store: self.store.clone(),
            gateway,
        };
        let runtime = current_thread()?;
        let thread = thread::Builder::new()
            .name("counting".to_owned())
            .spawn(move || runtime.block_on(caretaker.run(stopped)))?;
        self.running = Some((stop, thread));
        Ok(())
    }

    /// Ends the thread; this gateway is gone then, and what its calls still held is given back.
    pub(super) fn close(self) {
        if let Some((stop, thread)) = self.running {
            let _told = stop.send(());
            let _ended = thread.join();
        }
    }
}

/// The thread's own.
struct Caretaker {
    sharing: Arc<Sharing>,
    counts: Arc<SharedCounts>,
    store: Option<StoreSettings>,
    gateway: Arc<Gateway>,
}

impl Caretaker {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let Ok(mut line) = self.counts.line() else {
            return;
        };
        let mut was_unread = false;
        let mut was_heard = false;
        let mut is_first = true;
        let mut counted = None;
        loop {
            if !was_heard {
                was_heard = self.is_heard(&mut line).await;
            }
            let round = self.round(&mut line, is_first, &mut counted);
            let round = timeout(ROUND_TIMEOUT, round);
            let problem = match round.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => error.downcast_ref::<StoreError>().map(ToString::to_string),
                Err(_) => Some("it takes too long".to_owned()),
            };
            if let Some(problem) = problem.as_ref().filter(|_| !was_unread) {
                CountsUnread { problem }.emit();
            }
            was_unread = problem.is_some();
            is_first = false;
            tokio::select! {
                _ = &mut stopped => break,
                () = sleep(LIVE_EVERY) => {}
                () = self.counts.met_unknown() => {}
            }
        }
        let _gone = timeout(CLOSING_TIMEOUT, line.bury(self.counts.node())).await;
    }

    /// Whether the counts answer for the first time. Until they do that is told here; later, by those who ask for calls.
    async fn is_heard(&self, line: &mut Line) -> bool {
        let asked = timeout(self.counts.deadline().max(CONNECTED_WITHIN), line.epoch()).await;
        let asked = asked.unwrap_or(Err(CountersError::Slow(CONNECTED_WITHIN)));
        self.sharing.answered(asked.as_ref().err());
        if asked.is_ok()
            && let Some(policy) = line.forgets().await
        {
            CountsForgetful { policy: &policy }.emit();
        }
        asked.is_ok()
    }

    async fn round(
        &self,
        line: &mut Line,
        is_first: bool,
        counted: &mut Option<HashSet<String>>,
    ) -> Result<()> {
        line.live(self.store.is_some(), since_1970()).await?;
        let picture = self.gateway.picture();
        let allowances = picture.snapshot.allowances.iter();
        let identities: HashSet<String> = allowances.map(|one| one.identity()).collect();
        // What comes back later begins with the books again: nobody counts it until then. At the start that is what was counted before; where
        // others count it still, they begin again at once, with what they had or the books say, whichever is more.
        let before = match counted.take() {
            Some(before) => before,
            None => line.counted().await?,
        };
        let gone: Vec<&String> = before.difference(&identities).collect();
        line.forget(&gone).await?;
        *counted = Some(identities);
        let unknown = line.unknown(&picture.snapshot.allowances).await?;
        if unknown.is_empty() {
            return Ok(());
        }
        let now = since_1970();
        let may_be_behind = !is_first || line.has_company().await?;
        if may_be_behind && line.epoch().await?.is_none() {
            sleep(ENTERED_WITHIN).await;
        }
        let unknown: Vec<Arc<Allowance>> = unknown.into_iter().cloned().collect();
        let spent = match &self.store {
            Some(settings) => {
                let store = Store::open(settings.url.expose()).await?;
                let holders = Holders::of(&picture.snapshot);
                let spent = Spent::read(&store, &unknown, &holders, now).await;
                store.close().await;
                spent?
            }
            None => Spent::default(),
        };
        let epoch = Uuid::now_v7().simple().to_string();
        for allowance in &unknown {
            let used = spent.of(allowance);
            line.begin(allowance, &used, &epoch, now).await?;
        }
        Ok(())
    }
}
