//! Builds every part in order, wires them, runs, drains.

mod administration;
mod beginnings;
mod books;
mod composer;
mod counting;
mod estates;
mod prices;
mod reload;
mod responses;
mod retention;
mod spent;
mod stored_prices;
mod traces;

use std::{
    future::Future,
    io::{self, IsTerminal},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow};
use http::{Request, Response};
use tokio::{
    runtime::{Builder, Runtime as TokioRuntime},
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_domain::Limits;
use tollgate_proxy::{
    Bookless, Exposure, Gateway, Picture, Pulse, ReplyBody, Responses, Sharing, TurnEnd, Worker,
    flow, server,
};
use tollgate_telemetry::{
    CallLog, Telemetry, TelemetrySettings,
    events::{self, ConfigurationTaken, Drained, Draining, Listening},
};
use tollgate_upstream::{Upstream, UpstreamSettings};
use uuid::Uuid;

use crate::config::{self, LogFormat, LogLevel, LogSettings, Resolved, Runtime, WorkerCount};
use administration::{Administration, Place};
use beginnings::Source;
use books::{Books, Process};
pub(crate) use composer::all_of;
use composer::{Composer, Parts, Stored};
use counting::Counting;
use prices::PriceWatch;
pub(crate) use reload::Fixed;
use reload::Reloader;
use responses::ResponsesKeeping;
pub(crate) use stored_prices::add_prices;
use traces::TraceSender;

/// Lines that may wait for the log's writer; further ones are dropped and counted.
const LOG_LINES_MAX: usize = 16_384;

/// Time for the log's last lines to be written.
const LOG_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for connections to providers to close after the last call.
const UPSTREAM_DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// What the command line says of a server, over and above the configuration.
#[derive(Clone, Debug)]
pub(crate) struct ServeOptions {
    /// The configuration file, which is read again when it changes; none for the demo configuration.
    pub(crate) config: Option<PathBuf>,
    /// What the configuration says of what is not changed while the program runs, before the command line had its say.
    pub(crate) written: Fixed,
}

/// Serves until told to stop, then drains.
pub(crate) fn serve(options: &ServeOptions, resolved: Resolved) -> Result<()> {
    let Resolved {
        snapshot,
        server: settings,
        log,
        store,
        counters,
        admin,
        traces: traces_settings,
        catalogue,
        files,
        ..
    } = resolved;
    let call_log = start_log(log)?;
    let workers = worker_count(settings.workers);
    let telemetry_settings = TelemetrySettings {
        log: call_log,
        queue_max: LOG_LINES_MAX,
        workers,
    };
    let (mut telemetry, log_writer) = Telemetry::start(telemetry_settings, Box::new(io::stdout()));

    let name = Uuid::now_v7().simple().to_string();
    let counting = counters
        .map(|settings| Counting::new(&settings, &name, store.clone()))
        .transpose()?;
    let sharing = counting
        .as_ref()
        .map(|counting| Arc::clone(counting.sharing()));
    let process = Process {
        name,
        counts: sharing.as_ref().map(|sharing| Arc::clone(sharing.counts())),
    };
    let mut books = match &store {
        Some(settings) => Books::open(settings, &snapshot, &process, since_1970())?,
        None => None,
    };
    if let Some(books) = &books {
        telemetry.keep_journal(Arc::clone(&books.journal));
    }
    let mut trace_sender = None;
    if let Some(settings) = traces_settings {
        let (queue, queued) =
            tollgate_telemetry::traces::traces(traces::QUEUE_MAX, settings.sample);
        telemetry.keep_traces(queue);
        trace_sender = Some(TraceSender::start(settings, queued)?);
    }
    if let Some(sharing) = &sharing {
        telemetry.keep_counts(Arc::clone(sharing.state()));
    }

    let limits = snapshot.limits.clone();
    let revision = snapshot.revision.clone();
    let stored = books
        .as_ref()
        .map_or(Stored::None, |books| books.stored.clone());
    let parts = Parts::new(snapshot, stored);
    let composed = parts.snapshot();
    config::check_listen(settings, composed.who_may_call)?;
    let picture = Picture::build(composed, None).context("a prompt template does not compile")?;
    ConfigurationTaken {
        revision: &revision,
    }
    .emit(&telemetry);
    let exposure = if settings.metrics {
        Exposure::Metrics
    } else {
        Exposure::NoMetrics
    };
    let bookless = match &store {
        Some(settings) if settings.refuses_when_full => Bookless::Refused,
        _ => Bookless::Answered,
    };
    let gateway = Arc::new(Gateway::new(picture, telemetry, exposure, bookless));

    // What all have used is told to the shared counts; the own ones count what is used here.
    let spent = books.as_ref().and_then(|books| books.spent.as_ref());
    if let Some(spent) = spent.filter(|_| sharing.is_none()) {
        let picture = gateway.picture();
        let allowances = &picture.snapshot.allowances;
        spent.tell(allowances, gateway.counters(), since_1970());
    }

    let kept_in = books.as_ref().and(store.as_ref());
    let source = match (&sharing, kept_in) {
        (Some(_), _) => Source::SharedCounts,
        (None, Some(store)) => Source::Books(store.clone()),
        (None, None) => Source::Nobody,
    };
    let composer = Arc::new(Composer::new(Arc::clone(&gateway), parts, source));
    if spent.is_none() {
        // The database is away: what was used is read when it is back.
        composer.begin_all();
    }
    let price_watch = catalogue
        .map(|settings| PriceWatch::start(settings, Arc::clone(&composer)))
        .transpose()?;
    if let Some(books) = &mut books {
        books.start(Arc::clone(&composer))?;
    }
    let mut counting = counting;
    if let Some(counting) = &mut counting {
        counting.start(Arc::clone(&gateway))?;
    }

    let administration = match (admin, &store) {
        (Some(listen), Some(store)) => {
            let (gateway, composer) = (Arc::clone(&gateway), Arc::clone(&composer));
            let place = Place {
                listen,
                limits: limits.clone(),
            };
            Some(Administration::start(
                place,
                store.clone(),
                gateway,
                composer,
            )?)
        }
        _ => None,
    };

    let kept = store
        .as_ref()
        .and_then(|store| Some((store.clone(), store.responses_kept?)));
    let responses = kept
        .map(|(store, kept_for)| ResponsesKeeping::start(store, kept_for))
        .transpose()?;

    let listeners = server::bind(settings.listen, workers)
        .with_context(|| format!("cannot listen at {}", settings.listen))?;
    let address = listeners
        .first()
        .context("there is no worker")?
        .local_addr()?;
    let crew = Crew {
        gateway: Arc::clone(&gateway),
        sharing,
        responses: responses.as_ref().map(|kept| kept.line().clone()),
        limits: limits.clone(),
        connections: Arc::default(),
        shutdown: CancellationToken::new(),
    };
    let threads = crew.start(listeners, settings.runtime)?;
    Listening {
        address,
        revision: &revision,
        workers,
    }
    .emit();

    let reloader = options.config.as_ref().map(|file| {
        Reloader::new(
            file.clone(),
            files,
            settings,
            options.written.clone(),
            Arc::clone(&gateway),
            composer,
        )
    });
    current_thread()?.block_on(until_told_to_stop(reloader))?;

    if let Some(administration) = administration {
        administration.close();
    }
    if let Some(price_watch) = price_watch {
        price_watch.close();
    }
    gateway.drain();
    Draining {
        within: limits.drain_timeout,
    }
    .emit();
    crew.shutdown.cancel();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a worker panicked"))??;
    }
    drop(crew);
    if let Some(responses) = responses {
        responses.close();
    }
    if let Some(books) = books {
        books.close();
    }
    if let Some(trace_sender) = trace_sender {
        trace_sender.close();
    }
    if let Some(counting) = counting {
        counting.close();
    }
    Drained.emit();
    log_writer.finish(LOG_DRAIN_TIMEOUT);
    Ok(())
}

/// Waits for SIGTERM or SIGINT; until then, reloads on SIGHUP and when the configuration changes.
async fn until_told_to_stop(mut reloader: Option<Reloader>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        let changed = async {
            match &mut reloader {
                Some(reloader) => reloader.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {}
            () = changed => {}
        }
        if let Some(reloader) = &mut reloader {
            reloader.reload().await;
        }
    }
}

fn start_log(log: LogSettings) -> Result<CallLog> {
    let for_people = match log.format {
        LogFormat::Auto => io::stdout().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let format = if for_people {
        events::LogFormat::Pretty
    } else {
        events::LogFormat::Json
    };
    events::start_log(format, level).map_err(|error| anyhow!("cannot start the log: {error}"))?;
    Ok(match (log.calls, for_people) {
        (false, _) => CallLog::Off,
        (true, true) => CallLog::Pretty,
        (true, false) => CallLog::Json,
    })
}

fn worker_count(workers: WorkerCount) -> usize {
    match workers {
        WorkerCount::Number(number) => number,
        WorkerCount::Auto => thread::available_parallelism().map_or(1, usize::from),
    }
}

fn current_thread() -> io::Result<TokioRuntime> {
    Builder::new_current_thread().enable_all().build()
}

// === workers ===

/// What all workers get.
struct Crew {
    gateway: Arc<Gateway>,
    sharing: Option<Arc<Sharing>>,
    responses: Option<Responses>,
    limits: Limits,
    connections: Arc<server::ConnectionCount>,
    shutdown: CancellationToken,
}

type WorkerThread = thread::JoinHandle<Result<()>>;

impl Crew {
    /// Starts a worker for each listener: each on a runtime of its own, or all on one whose threads steal work.
    fn start(
        &self,
        listeners: Vec<TcpListener>,
        runtime: Runtime,
    ) -> io::Result<Vec<WorkerThread>> {
        let count = listeners.len();
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| self.worker(index, listener));
        match runtime {
            Runtime::PerCore => workers
                .enumerate()
                .map(|(index, worker)| {
                    named(&format!("worker-{index}"))
                        .spawn(move || current_thread()?.block_on(worker))
                })
                .collect(),
            Runtime::Shared => {
                let workers: Vec<_> = workers.collect();
                let all = move || {
                    let runtime = Builder::new_multi_thread()
                        .worker_threads(count)
                        .enable_all()
                        .build()?;
                    let tasks: Vec<_> = workers
                        .into_iter()
                        .map(|worker| runtime.handle().spawn(worker))
                        .collect();
                    tasks
                        .into_iter()
                        .try_for_each(|task| runtime.block_on(task)?)
                };
                Ok(vec![named("workers").spawn(all)?])
            }
        }
    }

    /// One worker: a listener, connections to providers, counters.
    fn worker(
        &self,
        index: usize,
        listener: TcpListener,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let (gateway, sharing) = (Arc::clone(&self.gateway), self.sharing.clone());
        let responses = self.responses.clone();
        let (limits, connections, shutdown) = (
            self.limits.clone(),
            Arc::clone(&self.connections),
            self.shutdown.clone(),
        );
        async move {
            let tracker = TaskTracker::new();
            let upstream = Arc::new(Upstream::new(UpstreamSettings::default(), tracker.clone()));
            let witness = gateway.telemetry().witness(index);
            let (pulse, _beating) = Pulse::start(limits.late_max);
            let sharing = match sharing {
                Some(sharing) => {
                    let (line, settler) = sharing.line()?;
                    let _settling = tracker.spawn(settler.run());
                    Some(line)
                }
                None => None,
            };
            let handler = Handler(Arc::new(Worker {
                gateway,
                upstream: Arc::clone(&upstream),
                witness: witness.clone(),
                sharing,
                responses,
                pulse,
                turn_end: Arc::new(TurnEnd::default()),
                stopping: CancellationToken::new(),
            }));
            server::serve_worker(listener, handler, limits, connections, shutdown).await?;
            witness.end();
            upstream.close_idle();
            tracker.close();
            // Connections that a provider does not let go of are closed with the runtime.
            let _closed = tokio::time::timeout(UPSTREAM_DRAIN_TIMEOUT, tracker.wait()).await;
            Ok(())
        }
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// Hands requests to the data plane, with the time.
#[derive(Clone)]
struct Handler(Arc<Worker>);

impl server::Handler for Handler {
    type Body = ReplyBody;

    fn call(
        &self,
        request: Request<server::ClientBody>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<ReplyBody>> + Send {
        let (head, body) = request.into_parts();
        async move { flow::serve(&self.0, &head, body, client, since_1970()).await }
    }

    fn hurry(&self) {
        self.0.stopping.cancel();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wall clock is read here, once a request, and passed on"
)]
fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
