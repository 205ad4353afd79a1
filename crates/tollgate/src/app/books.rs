//! The books: how they are opened, and the two threads behind them. One enters what journals hold, the other looks at the store for what has changed.

mod entering;
mod looking;
mod tidings;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tollgate_counters::SharedCounts;
use tollgate_domain::{Allowance, Quantity, Snapshot, Then};
use tollgate_store::{Keeper, Store, StoreError};
use tollgate_telemetry::{
    events::{BooksBehind, BooksCatchingUp, BooksOff},
    give_way,
    journal::{Journal, JournalState},
};

use super::{
    composer::{Composer, Known, Parts, Stored},
    current_thread,
    estates::Estates,
    spent::{Holders, Spent},
};
use crate::config::StoreSettings;
use entering::{Entering, Rounds, report_skipped};
use looking::Looking;
use tidings::Tidings;

/// The pause between rounds.
const ROUND_EVERY: Duration = Duration::from_millis(200);

/// How long a round may take, and how long the database may take at the start. What is not done is done in another round.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is told at the start how far the entering of what was left behind is.
const CATCHING_UP_TOLD_EVERY: Duration = Duration::from_secs(5);

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
    entering: Option<(Entering, Runtime)>,
    settings: StoreSettings,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Books {
    /// Opens the journal and the database, and starts the thread. `None` where there are no books: nobody asked for them, none are there, and
    /// they cannot be kept here.
    ///
    /// # Errors
    /// When books are asked for, or there, and cannot be kept. A database on another machine may be away: what is to be entered waits for it.
    pub(super) fn open(
        settings: &StoreSettings,
        file: &Snapshot,
        process: &Process,
        now: Duration,
    ) -> Result<Option<Self>> {
        let has_budgets = file.allowances.iter().any(|allowance| is_budget(allowance));
        match Self::try_open(settings, file, process, now) {
            Ok(books) => Ok(Some(books)),
            Err(error) => {
                // Keys of a database that is there would be lost, and everybody let in.
                if let Some(file) = settings.file_that_is_there() {
                    return Err(error.context(format!(
                        "cannot serve without what {} holds, which may be keys: repair it or restore a backup (`tollgate restore`), or move it \
                         away to begin anew; `store: {{url: none}}` serves without any",
                        file.display()
                    )));
                }
                if settings.is_asked_for || has_budgets {
                    return Err(error);
                }
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
                    .block_on(while_it_goes_on(journal.state(), read))
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
                BooksBehind {
                    problem: &told(&error),
                }
                .emit();
            }
            Err(error) => return Err(error).context("cannot keep the books"),
        }
        let stop = CancellationToken::new();
        let entering = Entering {
            rounds: Rounds {
                settings: settings.clone(),
                journal: Arc::clone(&journal),
                keeper,
                estates,
            },
            tidings: Tidings::new(Arc::clone(&journal), settings.refuses_when_full),
            stop: stop.clone(),
        };
        Ok(Self {
            journal,
            spent,
            stored,
            entering: Some((entering, runtime)),
            settings: settings.clone(),
            threads: Vec::new(),
            stop,
        })
    }

    /// Starts the threads. `composer` is told when something in the store changes.
    pub(super) fn start(&mut self, composer: Arc<Composer>) -> io::Result<()> {
        let Some((entering, runtime)) = self.entering.take() else {
            return Ok(());
        };
        // A server's connections belong to the thread that made them.
        let keeper = entering.rounds.keeper.as_ref();
        let store = keeper.filter(|_| self.settings.is_file());
        let looking = Looking {
            settings: self.settings.clone(),
            store: store.map(|keeper| keeper.store().clone()),
            troubles: Troubles::default(),
            stop: self.stop.clone(),
        };
        let looking_runtime = current_thread().map_err(io::Error::other)?;
        let for_looking = Arc::clone(&composer);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        self.threads.push(named("books").spawn(move || {
            give_way();
            entering.enter_all(&runtime, &composer);
        })?);
        self.threads.push(named("store").spawn(move || {
            give_way();
            looking_runtime.block_on(looking.run(&for_looking));
        })?);
        Ok(())
    }

    /// Enters what is still to be entered, once, and ends the threads. What cannot be entered now stays in the journal.
    pub(super) fn close(self) {
        self.stop.cancel();
        for thread in self.threads {
            let _ended = thread.join();
        }
    }
}

/// How often in a row one of the threads failed.
#[derive(Debug, Default)]
struct Troubles(u32);

/// What is new when it fails, or does not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It failed, and had not before.
    Begun,
    /// It did not fail, and had before.
    Over,
}

impl Troubles {
    /// The pause before the next try.
    fn pause(&self) -> Duration {
        ROUND_EVERY
            .saturating_mul(1 << self.0.min(6))
            .min(PAUSE_MAX)
    }

    /// Takes note of how a round went; gives what is new.
    fn note<T>(&mut self, round: &Result<T, StoreError>) -> Option<News> {
        match round {
            Ok(_) => (std::mem::take(&mut self.0) > 0).then_some(News::Over),
            Err(_) => {
                self.0 = self.0.saturating_add(1);
                (self.0 == 1).then_some(News::Begun)
            }
        }
    }
}

/// Waits for a database at the start for as long as it goes on entering what was left behind, which may be much, and tells how far it is.
async fn while_it_goes_on<T>(
    state: &JournalState,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut asked = std::pin::pin!(asked);
    let (mut entered, mut still_for) = (0, Duration::ZERO);
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => return answer,
            () = sleep(CATCHING_UP_TOLD_EVERY) => {}
        }
        let (calls, _) = state.totals();
        if calls > entered {
            (entered, still_for) = (calls, Duration::ZERO);
            BooksCatchingUp { calls }.emit();
            continue;
        }
        still_for += CATCHING_UP_TOLD_EVERY;
        if still_for >= OPENING_TIMEOUT {
            return Err(StoreError::Slow(OPENING_TIMEOUT));
        }
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

/// An error with its causes. The addresses of databases hold passwords, which their errors do not repeat.
pub(super) fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_left_behind_may_take_long_as_long_as_it_goes_on() {
        let root = std::env::temp_dir().join(format!("tollgate-left-{}", std::process::id()));
        let journal = Journal::open(&root, "own", 1).unwrap();
        let state = journal.state();
        let enters = async {
            for _ in 0..10 {
                sleep(OPENING_TIMEOUT - CATCHING_UP_TOLD_EVERY).await;
                state.records_entered(1);
            }
            Ok(())
        };
        assert!(while_it_goes_on(state, enters).await.is_ok());
        let hangs = std::future::pending::<Result<(), StoreError>>();
        let hangs = while_it_goes_on(state, hangs).await;
        assert!(matches!(hangs, Err(StoreError::Slow(OPENING_TIMEOUT))));
        std::fs::remove_dir_all(root).unwrap();
    }
}
