//! What happens apart from calls. A happening is a struct; emitting it writes the log and moves the metric.

use std::{io::IsTerminal, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use tollgate_domain::{ProviderName, Revision, TargetName};
use tracing_subscriber::EnvFilter;

use crate::Telemetry;

/// How the operational log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Starts the operational log, on standard error. `level` is a level, or directives such as `info,tollgate_upstream=debug`.
///
/// # Errors
/// When the level cannot be read, or a log was started before.
pub fn start_log(
    format: LogFormat,
    level: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
    }
}

/// The gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// Where.
    pub address: SocketAddr,
    /// With which configuration.
    pub revision: &'a Revision,
    /// How many workers.
    pub workers: usize,
}

impl Listening<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!(address = %self.address, url = %format_args!("http://{}", self.address), revision = %self.revision, workers = self.workers, "listening");
    }
}

/// A configuration was taken.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationTaken<'a> {
    /// Which.
    pub revision: &'a Revision,
}

impl ConfigurationTaken<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry
            .metrics
            .reloads_taken
            .fetch_add(1, Ordering::Relaxed);
        telemetry
            .metrics
            .newest_taken
            .store(true, Ordering::Relaxed);
        telemetry.metrics.set_revision(self.revision.clone());
        tracing::info!(revision = %self.revision, "configuration taken");
    }
}

/// A configuration was refused; the old one stays.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationRefused<'a> {
    /// What is wrong with it.
    pub problem: &'a str,
}

impl ConfigurationRefused<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry
            .metrics
            .reloads_refused
            .fetch_add(1, Ordering::Relaxed);
        telemetry
            .metrics
            .newest_taken
            .store(false, Ordering::Relaxed);
        tracing::error!(
            problem = self.problem,
            "configuration refused; the old one stays"
        );
    }
}

/// There are no books: they cannot be kept here, and nobody asked for them.
#[derive(Clone, Copy, Debug)]
pub struct BooksOff<'a> {
    /// Why.
    pub problem: &'a str,
}

impl BooksOff<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            problem = self.problem,
            "no books are kept; `store` says where, or that none are wanted"
        );
    }
}

/// Calls cannot be entered into the books for now; they wait in the journal.
#[derive(Clone, Copy, Debug)]
pub struct BooksBehind<'a> {
    /// Why.
    pub problem: &'a str,
}

impl BooksBehind<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            problem = self.problem,
            "the books are behind; calls wait in the journal"
        );
    }
}

/// What was left behind is being entered into the books, before calls are served.
#[derive(Clone, Copy, Debug)]
pub struct BooksCatchingUp {
    /// So many calls so far.
    pub calls: u64,
}

impl BooksCatchingUp {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!(
            calls = self.calls,
            "calls that were left behind are being entered into the books"
        );
    }
}

/// Calls are refused, since no more can be written down.
#[derive(Clone, Copy, Debug)]
pub struct BooksClosed {
    /// Bytes that wait in the journal.
    pub waiting_bytes: u64,
}

impl BooksClosed {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            waiting_bytes = self.waiting_bytes,
            "calls are refused: the journal is full or cannot be written to"
        );
    }
}

/// Calls go on although the journal has no room for them, or cannot be written to.
#[derive(Clone, Copy, Debug)]
pub struct BooksOverfull {
    /// Bytes that wait in the journal and in memory.
    pub waiting_bytes: u64,
}

impl BooksOverfull {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            waiting_bytes = self.waiting_bytes,
            "calls go on while the journal is full or cannot be written to: soon they will be lost to the books, and what waits in memory is if the process dies"
        );
    }
}

/// The journal has room again.
#[derive(Clone, Copy, Debug)]
pub struct BooksOpen;

impl BooksOpen {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("calls are written down again: the journal has room");
    }
}

/// Calls are answered that cannot be written down any more, and are in no books.
#[derive(Clone, Copy, Debug)]
pub struct BooksLosing {
    /// Bytes that wait in the journal.
    pub waiting_bytes: u64,
}

impl BooksLosing {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            waiting_bytes = self.waiting_bytes,
            "calls are lost to the books: the journal is full twice over or cannot be written to"
        );
    }
}

/// That is over, or the process ends.
#[derive(Clone, Copy, Debug)]
pub struct BooksLost {
    /// So many calls since it began.
    pub calls: u64,
}

impl BooksLost {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            calls = self.calls,
            "calls were lost to the books while nothing could be written down"
        );
    }
}

/// The store cannot be looked at for now; keys, limits and prices stay as they are known.
#[derive(Clone, Copy, Debug)]
pub struct StoreAway<'a> {
    /// Why.
    pub problem: &'a str,
}

impl StoreAway<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            problem = self.problem,
            "the store cannot be looked at; keys, limits and prices stay as they are known"
        );
    }
}

/// The keys of an issuer of callers' tokens cannot be had.
#[derive(Clone, Copy, Debug)]
pub struct IssuerAway<'a> {
    /// Its name in the configuration.
    pub issuer: &'a str,
    /// Why.
    pub problem: &'a str,
}

impl IssuerAway<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            issuer = self.issuer,
            problem = self.problem,
            "the keys of an issuer of callers' tokens cannot be had"
        );
    }
}

/// An issuer of callers' tokens has more keys than are taken.
#[derive(Clone, Copy, Debug)]
pub struct IssuerKeysLeftOut<'a> {
    /// Its name in the configuration.
    pub issuer: &'a str,
    /// So many were taken, the first.
    pub taken: usize,
}

impl IssuerKeysLeftOut<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            issuer = self.issuer,
            taken = self.taken,
            "an issuer of callers' tokens has more keys than are taken: tokens signed with the others are refused"
        );
    }
}

/// The collector does not take traces.
#[derive(Clone, Copy, Debug)]
pub struct CollectorAway<'a> {
    /// Why.
    pub problem: &'a str,
}

impl CollectorAway<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(problem = self.problem, "the collector does not take traces");
    }
}

/// It takes them again.
#[derive(Clone, Copy, Debug)]
pub struct CollectorBack {
    /// So many calls were dropped that the log has not told of.
    pub calls_dropped: u64,
}

impl CollectorBack {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!(
            calls_dropped = self.calls_dropped,
            "the collector takes traces again"
        );
    }
}

/// The process ends, and calls were dropped that the log has not told of.
#[derive(Clone, Copy, Debug)]
pub struct TracesDropped {
    /// So many.
    pub calls_dropped: u64,
}

impl TracesDropped {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            calls_dropped = self.calls_dropped,
            "calls were not told as traces"
        );
    }
}

/// The administrative API is served.
#[derive(Clone, Copy, Debug)]
pub struct AdminListening {
    /// Where.
    pub address: SocketAddr,
}

impl AdminListening {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!(address = %self.address, "the administrative API is served");
    }
}

/// The administrative API waits for its database.
#[derive(Clone, Copy, Debug)]
pub struct AdminWaiting<'a> {
    /// Why it is not there.
    pub problem: &'a str,
}

impl AdminWaiting<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            problem = self.problem,
            "the administrative API waits for its database"
        );
    }
}

/// The counts that several gateways share do not answer.
#[derive(Clone, Copy, Debug)]
pub struct CountsAway<'a> {
    /// Why.
    pub problem: &'a str,
}

impl CountsAway<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            problem = self.problem,
            "the shared counts of limits and budgets do not answer"
        );
    }
}

/// What was used cannot be read out of the books for the shared counts; calls with limits or budgets wait for it.
#[derive(Clone, Copy, Debug)]
pub struct CountsUnread<'a> {
    /// Why.
    pub problem: &'a str,
}

impl CountsUnread<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            problem = self.problem,
            "the books do not say what was used of limits and budgets, so that they cannot be counted together"
        );
    }
}

/// They answer again.
#[derive(Clone, Copy, Debug)]
pub struct CountsBack;

impl CountsBack {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("the shared counts of limits and budgets answer again");
    }
}

/// Too many calls wait for the shared counts.
#[derive(Clone, Copy, Debug)]
pub struct SettlementsLost;

impl SettlementsLost {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            "too many calls wait for the shared counts; what they reserved stays reserved until this process ends"
        );
    }
}

/// Records of a journal cannot be read: somebody else has written into it, or its disk has changed it.
#[derive(Clone, Copy, Debug)]
pub struct JournalUnreadable {
    /// How many.
    pub records: u64,
}

impl JournalUnreadable {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::error!(
            records = self.records,
            "records of the journal cannot be read; their files stay in its folder, with the ending .damaged"
        );
    }
}

/// The books are kept again.
#[derive(Clone, Copy, Debug)]
pub struct BooksInOrder;

impl BooksInOrder {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("the books are in order again");
    }
}

/// The store can be looked at again.
#[derive(Clone, Copy, Debug)]
pub struct StoreBack;

impl StoreBack {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("the store can be looked at again");
    }
}

/// A journal holds calls that came before those that the books keep.
#[derive(Clone, Copy, Debug)]
pub struct JournalOutdated {
    /// So many.
    pub records: u64,
}

impl JournalOutdated {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            records = self.records,
            "a journal holds calls from before those that the books keep; they are taken to have been entered then"
        );
    }
}

/// A gateway has died while its calls were under way.
#[derive(Clone, Copy, Debug)]
pub struct CallsCrashed {
    /// So many.
    pub calls: u64,
}

impl CallsCrashed {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            calls = self.calls,
            "calls were under way when a gateway died; the books have them as `crashed`, with what they can have cost at most"
        );
    }
}

/// Changes in the store are not heard of as they are made; they are looked for.
#[derive(Clone, Copy, Debug)]
pub struct ChangesUnheard<'a> {
    /// Why.
    pub problem: &'a str,
}

impl ChangesUnheard<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            problem = self.problem,
            "changes in the store are not heard of at once; they are looked for until they are"
        );
    }
}

/// Changes in the store are heard of again.
#[derive(Clone, Copy, Debug)]
pub struct ChangesHeard;

impl ChangesHeard {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("changes in the store are heard of at once again");
    }
}

/// An allowance that only warns is used up.
#[derive(Clone, Copy, Debug)]
pub struct AllowanceReached<'a> {
    /// Which.
    pub name: &'a str,
    /// Whom it is for, where it is for several.
    pub subject: &'a str,
    /// What is counted.
    pub quantity: &'a str,
    /// So much was used.
    pub used: &'a str,
    /// So much was allowed.
    pub most: &'a str,
}

impl AllowanceReached<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        let Self {
            name,
            subject,
            quantity,
            used,
            most,
        } = self;
        tracing::warn!(
            name,
            subject,
            quantity,
            used,
            most,
            "an allowance is used up"
        );
    }
}

/// The server of the shared counts may forget some of them.
#[derive(Clone, Copy, Debug)]
pub struct CountsForgetful<'a> {
    /// What it does when it has no room left, in its own word.
    pub policy: &'a str,
}

impl CountsForgetful<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            policy = self.policy,
            "the server of the shared counts forgets some of them when it has no room left; its `maxmemory-policy` should be `noeviction`"
        );
    }
}

/// A provider says that an answer used more than any can have.
#[derive(Clone, Copy, Debug)]
pub struct UsageNotBelieved<'a> {
    /// Who was asked.
    pub target: &'a TargetName,
}

impl UsageNotBelieved<'_> {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::warn!(
            target_name = %self.target,
            "what an answer used cannot be as its provider says; it is taken to have said nothing"
        );
    }
}

/// A target is left alone for a while.
#[derive(Clone, Copy, Debug)]
pub struct TargetCooling<'a> {
    /// Which.
    pub target: &'a TargetName,
    /// For how long.
    pub cooling: Duration,
    /// What went wrong last, in a stable word.
    pub failure: &'static str,
}

impl TargetCooling<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.metrics.cooling(self.target, true);
        tracing::warn!(target_name = %self.target, seconds = self.cooling.as_secs_f64(), failure = self.failure, "target is left alone for a while");
    }
}

/// A target that was left alone answers again.
#[derive(Clone, Copy, Debug)]
pub struct TargetRecovered<'a> {
    /// Which.
    pub target: &'a TargetName,
}

impl TargetRecovered<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.metrics.cooling(self.target, false);
        tracing::info!(target_name = %self.target, "target answers again");
    }
}

/// A provider's credential was renewed.
#[derive(Clone, Copy, Debug)]
pub struct CredentialRenewed<'a> {
    /// Whose.
    pub provider: &'a ProviderName,
    /// How long the new one lasts, where it ends.
    pub lifetime: Option<Duration>,
}

impl CredentialRenewed<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.metrics.renewal(self.provider, true);
        let seconds = self.lifetime.map(|lifetime| lifetime.as_secs());
        tracing::info!(provider = %self.provider, seconds, "credential renewed");
    }
}

/// A provider's credential could not be renewed; the old one stays until it expires.
#[derive(Clone, Copy, Debug)]
pub struct CredentialNotRenewed<'a> {
    /// Whose.
    pub provider: &'a ProviderName,
    /// Why, without secrets.
    pub problem: &'a str,
}

impl CredentialNotRenewed<'_> {
    /// Writes the log and moves the metrics.
    pub fn emit(&self, telemetry: &Telemetry) {
        telemetry.metrics.renewal(self.provider, false);
        tracing::warn!(provider = %self.provider, problem = self.problem, "credential not renewed; the old one stays until it expires");
    }
}

/// The gateway goes down.
#[derive(Clone, Copy, Debug)]
pub struct Draining {
    /// Calls in flight have this long.
    pub within: Duration,
}

impl Draining {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!(
            seconds = self.within.as_secs_f64(),
            "going down; calls in flight finish"
        );
    }
}

/// The gateway is down.
#[derive(Clone, Copy, Debug)]
pub struct Drained;

impl Drained {
    /// Writes the log.
    pub fn emit(&self) {
        tracing::info!("down");
    }
}
