//! What the operator wrote → checked settings.
//!
//! A file becomes a tree whose nodes know their place ([`yaml`]); references to the environment are filled in
//! ([`values`]); other forms are rewritten to ours ([`forms`]); the tree is held against the schema ([`check`]) of the
//! types that describe the configuration as written ([`written`]); and these are resolved ([`resolve`]). Mistakes of
//! all steps are shown together ([`diagnostics`]). Only here is the environment read.

mod check;
mod demo;
mod diagnostics;
mod environment;
mod forms;
mod kinds;
mod resolve;
mod revision;
mod secrets;
mod tree;
mod units;
mod values;
mod watch;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use thiserror::Error;
use tollgate_domain::{Allowance, Secret, Snapshot, WhoMayCall};
use tollgate_store::Kind;

pub(crate) use diagnostics::{Diagnostic, Diagnostics, did_you_mean};
pub(crate) use environment::{Environment, NoOutside, ProcessEnvironment, colours_wanted};
pub(crate) use resolve::Said;
pub(crate) use watch::Watch;
pub(crate) use written::{LogFormat, LogLevel, Runtime};

use check::{Checker, Fit};
use diagnostics::Problems;
use resolve::{Context, Sections};
use tree::{At, Node};
use values::Filler;

/// Says whether a prompt template compiles, and if not, why.
pub(crate) type TemplateCheck<'a> = &'a dyn Fn(&str) -> Result<(), TemplateProblem>;

/// Why a prompt template does not compile.
#[derive(Clone, Debug)]
pub(crate) struct TemplateProblem {
    /// The template's line, from 1.
    pub(crate) line: usize,
    /// What is wrong with it, without line and file.
    pub(crate) message: String,
}

/// A configuration, checked and resolved.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// What requests are decided from.
    pub(crate) snapshot: Snapshot,
    /// What the program needs for its listeners.
    pub(crate) server: ServerSettings,
    /// What the program needs for its log.
    pub(crate) log: LogSettings,
    /// Where the books are kept; `None` where there are to be none.
    pub(crate) store: Option<StoreSettings>,
    /// Where limits and budgets are counted; `None` for this process's memory.
    pub(crate) counters: Option<CountersSettings>,
    /// Where the administrative API listens, where it does.
    pub(crate) admin: Option<SocketAddr>,
    /// Where traces go, where they do.
    pub(crate) traces: Option<TracesSettings>,
    /// Where newer prices come from, where they do.
    pub(crate) catalogue: Option<CatalogueSettings>,
    /// What the operator should look at, though the configuration can be used.
    pub(crate) warnings: Vec<Diagnostic>,
    /// The files that it was read from, the configuration file first: a change to one of them may change
    /// the configuration.
    pub(crate) files: Vec<PathBuf>,
}

/// Where and how the gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// The address and port.
    pub(crate) listen: SocketAddr,
    /// Consent to serve others than this machine without keys.
    pub(crate) public: bool,
    /// How many threads serve calls.
    pub(crate) workers: WorkerCount,
    /// How work is spread over them.
    pub(crate) runtime: Runtime,
    /// Whether `/metrics` is served at the same address.
    pub(crate) metrics: bool,
}

/// How many threads serve calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerCount {
    /// One for each core.
    Auto,
    /// This many; at least one.
    Number(usize),
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// The form of lines.
    pub(crate) format: LogFormat,
    /// How much.
    pub(crate) level: LogLevel,
    /// Whether each call gets a line.
    pub(crate) calls: bool,
    /// Whether that line holds what was asked and answered.
    pub(crate) content: bool,
}

/// Where the books are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoreSettings {
    /// The database; may hold a password.
    pub(crate) url: Secret,
    /// The folder of the journal.
    pub(crate) journal: PathBuf,
    /// Bytes that may wait in the journal.
    pub(crate) journal_bytes_max: u64,
    /// How long answers are kept for calls that go on from them, where they are.
    pub(crate) responses_kept: Option<Duration>,
    /// How long single calls are kept, where not for ever.
    pub(crate) calls_kept: Option<Duration>,
    /// Whether calls that cannot be written down are refused.
    pub(crate) refuses_when_full: bool,
    /// Whether the operator asked for it, rather than it being as usual.
    pub(crate) is_asked_for: bool,
}

/// Where newer prices come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CatalogueSettings {
    /// From there.
    pub(crate) source: CatalogueSource,
    /// How often it is looked at.
    pub(crate) every: Duration,
}

/// Where prices are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CatalogueSource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Address {
        /// With its path.
        uri: http::Uri,
        /// Whether it may lead into the private network although its name looks public.
        private_addresses: bool,
    },
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TracesSettings {
    /// The whole address.
    pub(crate) endpoint: http::Uri,
    /// Sent with each request; may hold a credential, and is not shown.
    pub(crate) headers: http::HeaderMap,
    /// The share of calls that are told, 0 to 1.
    pub(crate) sample: f64,
}

/// Where limits and budgets are counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CountersSettings {
    /// May hold a password.
    pub(crate) url: Secret,
    /// What keys begin with there.
    pub(crate) prefix: String,
    /// How long a call waits for an answer.
    pub(crate) deadline: Duration,
    /// What becomes of calls without one.
    pub(crate) when_away: tollgate_proxy::WhenAway,
}

impl StoreSettings {
    /// Whether the database is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.file().is_some()
    }

    /// The file that is the database, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.url.expose().strip_prefix("sqlite:").map(Path::new)
    }

    /// The file that is the database, where there is one, or where it cannot be seen whether there is: it may hold keys.
    pub(crate) fn file_that_is_there(&self) -> Option<&Path> {
        self.file().filter(|file| {
            let found = file.symlink_metadata();
            !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        })
    }
}

/// The gateway would serve strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "refusing to listen at {listen}: there are no keys, so whoever reaches this address could spend your providers' money; \
     add `keys` (`tollgate key new` or `tollgate key create` makes one), or listen at 127.0.0.1, or consent with `server.public: true` or \
     --public-without-keys"
)]
pub(crate) struct PublicWithoutKeys {
    listen: SocketAddr,
}

/// Reads a configuration file.
///
/// # Errors
/// Returns all mistakes in it, and its warnings with them.
pub(crate) fn load(
    path: &Path,
    environment: &dyn Environment,
    check_template: TemplateCheck<'_>,
) -> Result<Resolved, Diagnostics> {
    let name = path.to_string_lossy();
    let text = environment.read(path).map_err(|error| {
        let message = format!("cannot read the configuration: {error}");
        Diagnostics::new(vec![Diagnostic::of_file(&name, &message)])
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut resolved = load_text(&name, &text, folder, environment, check_template)?;
    resolved.files.insert(0, path.to_owned());
    Ok(resolved)
}

/// Reads a configuration from its text. `name` stands for the file in messages; relative paths in it start at
/// `folder`.
///
/// # Errors
/// Returns all mistakes in it, and its warnings with them.
pub(crate) fn load_text(
    name: &str,
    text: &str,
    folder: &Path,
    environment: &dyn Environment,
    check_template: TemplateCheck<'_>,
) -> Result<Resolved, Diagnostics> {
    let mut problems = Problems::default();
    let schema = written::schema();
    let Some(document) = yaml::parse(text, &mut problems) else {
        let mut known = HashSet::new();
        collect_keys(&schema, &mut known);
        problems.mask_spans(secrets::spans_in_broken_text(text, &known));
        return Err(Diagnostics::new(problems.finish(name, text, &[])));
    };
    let mut root = document.root;
    problems.mask_spans(secrets::secret_spans(&root));
    let mut filler = Filler {
        environment,
        folder,
        files: Vec::new(),
    };
    filler.fill(&mut root, "", &mut problems);
    forms::rewrite(&mut root, &mut filler, &mut problems);
    let files = filler.files;

    let mut checker = Checker {
        schema: &schema,
        problems: &mut problems,
    };
    let fit = checker.check(&mut root);
    let context = Context {
        now: environment.now(),
        check_template,
        environment,
        folder,
    };
    let sections = read_sections(&root, fit, &context, &mut problems);

    let failed = problems.has_errors();
    let diagnostics = problems.finish(name, text, &document.comments);
    match sections {
        Some(sections) if !failed => Ok(assemble(sections, &root, environment, diagnostics, files)),
        _ => Err(Diagnostics::new(diagnostics)),
    }
}

/// Made once: there may be many limits in a store.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(written::schema);

/// Reads a limit or a budget that stands in the store, for the routes of a snapshot. Nothing in it is taken from outside.
///
/// # Errors
/// When it has mistakes.
pub(crate) fn read_allowance(
    kind: Kind,
    body: &serde_json::Value,
    snapshot: &Snapshot,
) -> Result<Arc<Allowance>, Diagnostics> {
    let list = match kind {
        Kind::Budget => "budgets",
        _ => "limits",
    };
    read_stored(list, body, |file, at, problems| {
        resolve::stored_allowance(file, at, snapshot, problems)
    })
}

/// Reads a price that stands in the store, for the providers of a snapshot.
///
/// # Errors
/// When it has mistakes.
pub(crate) fn read_price(
    body: &serde_json::Value,
    snapshot: &Snapshot,
) -> Result<Said, Diagnostics> {
    read_stored("prices", body, |file, at, problems| {
        resolve::stored_price(file, at, snapshot, problems)
    })
}

/// Reads what stands in the store as if it stood in a list of a file by itself.
fn read_stored<T>(
    list: &str,
    body: &serde_json::Value,
    resolve: impl FnOnce(&written::File, At<'_>, &mut Problems) -> Option<T>,
) -> Result<T, Diagnostics> {
    // JSON is YAML, too.
    let text = serde_json::json!({list: [body]}).to_string();
    let mut problems = Problems::default();
    let mut read = None;
    if let Some(mut document) = yaml::parse(&text, &mut problems) {
        let mut checker = Checker {
            schema: &SCHEMA,
            problems: &mut problems,
        };
        if checker.check(&mut document.root) != Fit::Out
            && let Ok(file) = serde_json::from_value::<written::File>(document.root.to_json())
        {
            let at = At::root(&document.root);
            read = resolve(&file, at, &mut problems);
        }
    }
    let failed = problems.has_errors();
    match read {
        Some(read) if !failed => Ok(read),
        _ => Err(Diagnostics::new(problems.finish("", &text, &[]))),
    }
}

/// The shape of a limit, a budget or a price, as a JSON Schema.
pub(crate) fn stored_shape(kind: Kind) -> Option<serde_json::Value> {
    written::stored_shape(kind)
}

/// The built-in configuration: it answers at once, without key and network.
///
/// # Errors
/// None in practice; a test keeps it so.
pub(crate) fn load_demo(
    environment: &dyn Environment,
    check_template: TemplateCheck<'_>,
) -> Result<Resolved, Diagnostics> {
    let mut resolved = load_text(
        demo::NAME,
        demo::TEXT,
        Path::new(""),
        environment,
        check_template,
    )?;
    // What costs nothing needs no books, and leaves no files behind.
    resolved.store = None;
    resolved.counters = None;
    resolved.admin = None;
    resolved.traces = None;
    resolved.catalogue = None;
    Ok(resolved)
}

/// The JSON Schema of configuration files.
pub(crate) fn schema() -> serde_json::Value {
    written::schema()
}

/// Refuses to serve others than this machine without keys, unless the operator consents.
///
/// # Errors
/// When it is refused.
pub(crate) fn check_listen(
    server: ServerSettings,
    who_may_call: WhoMayCall,
) -> Result<(), PublicWithoutKeys> {
    let ServerSettings { listen, public, .. } = server;
    let keys_are_wanted = who_may_call == WhoMayCall::KeyHolders;
    if listen.ip().to_canonical().is_loopback() || public || keys_are_wanted {
        return Ok(());
    }
    Err(PublicWithoutKeys { listen })
}

/// Reads an address with a port, as `server.listen` is read.
pub(crate) fn parse_listen(text: &str) -> Option<SocketAddr> {
    resolve::parse_listen(text)
}

/// Reads when a key ends, as `keys[].expires` is read; since 1970-01-01 UTC.
pub(crate) fn parse_expiry(text: &str) -> Option<Duration> {
    resolve::parse_expiry(text)
}

/// Reads a time such as `24h`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    units::duration(text)
}

fn read_sections(
    root: &Node,
    fit: Fit,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Sections> {
    if fit == Fit::Out {
        return None;
    }
    let file = match serde_json::from_value::<written::File>(root.to_json()) {
        Ok(file) => file,
        Err(error) => {
            // What fits the schema fits the types; if they should ever differ, the file is still refused.
            problems.error(
                root.head(),
                format!("the configuration cannot be read: {error}"),
            );
            return None;
        }
    };
    Some(resolve::resolve(&file, At::root(root), context, problems))
}

fn assemble(
    sections: Sections,
    root: &Node,
    environment: &dyn Environment,
    warnings: Vec<Diagnostic>,
    files: Vec<PathBuf>,
) -> Resolved {
    let Sections {
        server,
        log,
        store,
        counters,
        admin,
        traces,
        catalogue,
        providers,
        routes,
        routes_by_name,
        keys,
        caller_issuers,
        allowances,
        prices,
        direct_use,
        limits,
        log_content,
        payloads,
    } = sections;
    Resolved {
        snapshot: Snapshot {
            revision: revision::of(root),
            made_at: environment.now(),
            providers,
            routes,
            routes_by_name,
            who_may_call: if keys.is_empty() && caller_issuers.is_empty() {
                WhoMayCall::Anyone
            } else {
                WhoMayCall::KeyHolders
            },
            keys,
            caller_issuers,
            // They stand in the store.
            organisations: HashMap::new(),
            allowances,
            prices,
            direct_use,
            limits,
            log_content,
            payloads,
        },
        server,
        log,
        store,
        counters,
        admin,
        traces,
        catalogue,
        warnings,
        files,
    }
}

/// The keys that are known anywhere in the configuration.
fn collect_keys<'a>(schema: &'a serde_json::Value, keys: &mut HashSet<&'a str>) {
    match schema {
        serde_json::Value::Object(object) => {
            for (name, below) in object {
                let here = below.as_object().filter(|_| name == "properties");
                keys.extend(
                    here.into_iter()
                        .flat_map(|here| here.keys().map(String::as_str)),
                );
                collect_keys(below, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => {}
    }
}
