//! The thread that keeps the books: it opens the database, enters what journals hold, and goes on until all of it is entered.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use tokio::{
    runtime::Runtime,
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tollgate_counters::SharedCounts;
use tollgate_domain::{Allowance, Quantity, Snapshot, Then};
use tollgate_store::{ChangeFeed, Keeper, Skipped, Store, StoreError};
use tollgate_telemetry::{
    events::{BooksBehind, BooksInOrder, BooksOff, JournalOutdated, JournalUnreadable},
    give_way,
    journal::Journal,
};

use super::{
    composer::{Composer, Known, Parts, Stored},
    current_thread,
    estates::Estates,
    retention::Retention,
    since_1970,
    spent::{Holders, Spent},
};
use crate::config::StoreSettings;

/// How often journals are looked into.
const ROUND_EVERY: Duration = Duration::from_millis(200);

/// While changes in the store are told as they are made, they are looked for once in so many rounds all the same: a word that is lost on its way
/// costs no more than a second.
const LOOK_EVERY_ROUNDS: u32 = 4;

/// The pause between looks, however many changes are told.
const LOOKS_APART: Duration = Duration::from_millis(50);

/// How long a round may take, and how long the database may take at the start. What is not done is done in another round.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the last round may take, when the process is told to end.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// This process among others.
pub(super) struct Process {
    /// Nobody else's.
    pub(super) name: String,
    /// The counts that it shares with others.
    pub(super) counts: Option<Arc<SharedCounts>>,
}

impl Process {
    fn estates(&self) -> Result<Estates> {
        let line = self.counts.as_ref().map(|counts| counts.line());
        Ok(Estates::new(line.transpose()?))
    }
}

/// Books that are kept.
pub(super) struct Books {
    /// Where calls are written.
    pub(super) journal: Arc<Journal>,
    /// What had been used of allowances when they were opened.
    pub(super) spent: Option<Spent>,
    /// What stood in the store then.
    pub(super) stored: Stored,
    keeping: Option<(Keeping, Runtime, Option<Keeper>)>,
    thread: Option<JoinHandle<()>>,
    stop: oneshot::Sender<()>,
}

impl Books {
    /// Opens the journal and the database, and starts the thread. `None` where there are no books: nobody asked for them, and
    /// they cannot be kept here.
    ///
    /// # Errors
    /// When books are asked for and cannot be kept. A database on another machine may be away: what is to be entered waits for it.
    pub(super) fn open(
        settings: &StoreSettings,
        file: &Snapshot,
        process: &Process,
        now: Duration,
    ) -> Result<Option<Self>> {
        let has_budgets = file.allowances.iter().any(|allowance| is_budget(allowance));
        match Self::try_open(settings, file, process, now) {
            Ok(books) => Ok(Some(books)),
            Err(error) if settings.is_asked_for || has_budgets => Err(error),
            Err(error) => {
                BooksOff {
                    problem: &format!("{error:#}"),
                }
                .emit();
                Ok(None)
            }
        }
    }

    fn try_open(
        settings: &StoreSettings,
        file: &Snapshot,
        process: &Process,
        now: Duration,
    ) -> Result<Self> {
        let allowances = &file.allowances;
        let root = &settings.journal;
        let journal = Journal::open(root, &process.name, settings.journal_bytes_max)
            .with_context(|| format!("cannot keep a journal in {}", root.display()))?;
        let journal = Arc::new(journal);
        let runtime = current_thread()?;
        let opened = within(OPENING_TIMEOUT, Store::open(settings.url.expose()));
        // The database has a thread of its own where it is a file, which is as the one that opens it.
        let opened = thread::scope(|scope| {
            let opening = scope.spawn(|| {
                give_way();
                runtime.block_on(opened)
            });
            opening.join()
        })
        .map_err(|_| anyhow!("the database's opening has panicked"))?;
        let mut keeper = None;
        let mut spent = None;
        let mut stored = Stored::Unknown;
        let mut estates = runtime.block_on(async { process.estates() })?;
        match opened {
            Ok(store) => {
                let keeper = keeper.insert(keeper_of(store.clone(), settings, &journal));
                let read = async {
                    // What others have left behind was spent, too.
                    let skipped = estates.enter(keeper, allowances).await?;
                    report_skipped(skipped);
                    let known = Arc::new(Known::read(&store).await?);
                    let whole =
                        Parts::new(file.clone(), Stored::Known(Arc::clone(&known))).snapshot();
                    let holders = Holders::of(&whole);
                    let spent = Spent::read(&store, &whole.allowances, &holders, now).await?;
                    Ok::<_, StoreError>((spent, known))
                };
                let (read_spent, known) = runtime
                    .block_on(within(OPENING_TIMEOUT, read))
                    .context("cannot read the books")?;
                spent = Some(read_spent);
                stored = Stored::Known(known);
            }
            Err(error @ (StoreError::Open(_) | StoreError::Slow(_))) if !settings.is_file() => {
                if let Some(budget) = allowances.iter().find(|allowance| is_budget(allowance)) {
                    let name = &budget.name;
                    return Err(error).with_context(|| {
                        format!("cannot know what was spent of the budget `{name}`")
                    });
                }
                report(&error);
            }
            Err(error) => return Err(error).context("cannot keep the books"),
        }
        let (stop, stopped) = oneshot::channel();
        let keeping = Keeping {
            settings: settings.clone(),
            journal: Arc::clone(&journal),
            estates,
            counts_alone: process.counts.is_none(),
            stopped,
        };
        Ok(Self {
            journal,
            spent,
            stored,
            keeping: Some((keeping, runtime, keeper)),
            thread: None,
            stop,
        })
    }

    /// Starts the thread. `composer` is told when keys change.
    pub(super) fn start(&mut self, composer: Arc<Composer>) -> io::Result<()> {
        if let Some((keeping, runtime, keeper)) = self.keeping.take() {
            let known = match &self.stored {
                Stored::Known(known) => Some(Arc::clone(known)),
                Stored::None | Stored::Unknown => None,
            };
            let thread = thread::Builder::new()
                .name("books".to_owned())
                .spawn(move || {
                    give_way();
                    runtime.block_on(keeping.run(keeper, &composer, known));
                })?;
            self.thread = Some(thread);
        }
        Ok(())
    }

    /// Enters what is still to be entered, once, and ends the thread. What cannot be entered now stays in the journal.
    pub(super) fn close(self) {
        let _said = self.stop.send(());
        if let Some(thread) = self.thread {
            let _ended = thread.join();
        }
    }
}

/// The thread's own.
struct Keeping {
    settings: StoreSettings,
    journal: Arc<Journal>,
    estates: Estates,
    /// Limits and budgets are counted by this process alone.
    counts_alone: bool,
    stopped: oneshot::Receiver<()>,
}

/// Why the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// Its pause is over.
    Rested,
    /// Something in the store may have changed.
    Told,
    /// It is to end.
    Stopped,
}

impl Keeping {
    async fn run(
        mut self,
        mut keeper: Option<Keeper>,
        composer: &Composer,
        mut known: Option<Arc<Known>>,
    ) {
        let mut feed = ChangeFeed::start(self.settings.url.expose());
        let mut retention = Retention::new(self.settings.calls_kept);
        let (mut failures, mut look_in) = (0_u32, 0_u32);
        let mut looked_at = Instant::now();
        loop {
            let pause = ROUND_EVERY
                .saturating_mul(1 << failures.min(6))
                .min(PAUSE_MAX);
            let woken = self.rest(pause, &mut feed, looked_at + LOOKS_APART).await;
            self.journal.retry();
            let looks = woken != Woken::Rested || !feed.is_connected() || look_in == 0;
            look_in = look_in.saturating_sub(1);
            let round = async {
                self.round(&mut keeper, &composer.allowances()).await?;
                let Some(keeper) = &keeper else {
                    return Ok(());
                };
                let store = keeper.store();
                let payloads_kept = composer.payloads_kept_for();
                retention.round(store, payloads_kept, since_1970()).await?;
                if self.counts_alone {
                    begin_fresh(store, composer).await?;
                }
                if looks {
                    look_at_store(store, composer, &mut known, self.counts_alone).await?;
                    (look_in, looked_at) = (LOOK_EVERY_ROUNDS - 1, Instant::now());
                }
                Ok(())
            };
            let patience = if woken == Woken::Stopped {
                CLOSING_TIMEOUT
            } else {
                ROUND_TIMEOUT
            };
            match within(patience, round).await {
                Ok(()) => {
                    if std::mem::take(&mut failures) > 0 {
                        BooksInOrder.emit();
                    }
                }
                Err(error) => {
                    self.journal.state().failed();
                    if failures == 0 {
                        report(&error);
                    }
                    failures += 1;
                    // What was told and could not be read is looked for again.
                    look_in = 0;
                }
            }
            if woken == Woken::Stopped {
                break;
            }
        }
        feed.close().await;
        if let Some(keeper) = keeper {
            let _ended = timeout(CLOSING_TIMEOUT, keeper.finish()).await;
        }
    }

    /// Waits for a pause to be over, or for a change, which is not taken before a time.
    async fn rest(&mut self, pause: Duration, feed: &mut ChangeFeed, from: Instant) -> Woken {
        let told = async {
            sleep_until(from).await;
            feed.heard().await;
        };
        tokio::select! {
            biased;
            _ = &mut self.stopped => Woken::Stopped,
            () = told => Woken::Told,
            () = sleep(pause) => Woken::Rested,
        }
    }

    async fn round(
        &mut self,
        keeper: &mut Option<Keeper>,
        allowances: &[Arc<Allowance>],
    ) -> Result<(), StoreError> {
        let keeper = match keeper {
            Some(keeper) => keeper,
            None => {
                let store = Store::open(self.settings.url.expose()).await?;
                keeper.insert(keeper_of(store, &self.settings, &self.journal))
            }
        };
        let own = keeper.round().await?;
        report_skipped(own.skipped);
        let skipped = self.estates.enter(keeper, allowances).await?;
        report_skipped(skipped);
        Ok(())
    }
}

fn report_skipped(skipped: Skipped) {
    if skipped.unreadable > 0 {
        JournalUnreadable {
            lines: skipped.unreadable,
        }
        .emit();
    }
    if skipped.too_old > 0 {
        JournalOutdated {
            records: skipped.too_old,
        }
        .emit();
    }
}

/// Waits for a database no longer than this.
async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = timeout(patience, asked).await;
    answer.unwrap_or(Err(StoreError::Slow(patience)))
}

/// Tells of what stands in the store where it has changed. A limit or budget that is new begins with what the books say was used.
async fn look_at_store(
    store: &Store,
    composer: &Composer,
    known: &mut Option<Arc<Known>>,
    counts_alone: bool,
) -> Result<(), StoreError> {
    let changed = match known {
        Some(known) => known.read_changed(store).await?,
        None => Some(Known::read(store).await?),
    };
    let Some(changed) = changed.map(Arc::new) else {
        return Ok(());
    };
    let new = composer.new_allowances(&changed);
    if counts_alone && !new.is_empty() {
        let now = since_1970();
        let spent = Spent::read(store, &new, &composer.holders(), now).await?;
        composer.tell(&spent, now);
    }
    *known = Some(Arc::clone(&changed));
    composer.store_changed(changed);
    Ok(())
}

/// Counts what was used of limits and budgets before a change of the file brought them.
async fn begin_fresh(store: &Store, composer: &Composer) -> Result<(), StoreError> {
    let fresh = composer.take_fresh();
    for (place, (allowance, at)) in fresh.iter().enumerate() {
        let (allowance, holders) = (std::slice::from_ref(allowance), composer.holders());
        match Spent::read(store, allowance, &holders, *at).await {
            Ok(spent) => composer.tell(&spent, since_1970()),
            Err(error) => {
                composer.put_back(fresh[place..].to_vec());
                return Err(error);
            }
        }
    }
    Ok(())
}

fn keeper_of(store: Store, settings: &StoreSettings, journal: &Arc<Journal>) -> Keeper {
    Keeper::new(
        store,
        settings.journal.clone(),
        journal.folder().to_owned(),
        Arc::clone(journal.state()),
    )
}

/// Whether an allowance must not be forgotten.
fn is_budget(allowance: &Allowance) -> bool {
    allowance.quantity == Quantity::Picodollars && allowance.then == Then::Refuse
}

/// Says why the books are behind. The addresses of databases hold passwords, which their errors do not repeat.
fn report(error: &StoreError) {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let problem = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    BooksBehind { problem: &problem }.emit();
}
