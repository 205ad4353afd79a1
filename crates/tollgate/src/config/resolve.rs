//! The configuration as written → as resolved: what the parts mean together.
//!
//! Every mistake is reported and stepped over, so that all of them come out in one run; the result is used only
//! when there was none.

mod addresses;
mod allowances;
mod counters;
mod credentials;
mod issuers;
mod keys;
mod payloads;
mod prices;
mod prompts;
mod providers;
mod routes;
mod store;
mod traces;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tollgate_domain::{
    Allowance, CallerIssuer, DirectUse, Key, KeyHash, Limits, LogContent, PayloadPolicy, Prices,
    Provider, ProviderName, Route, RouteName, Snapshot,
};

use super::{
    CatalogueSettings, CountersSettings, Environment, LogSettings, ServerSettings, StoreSettings,
    TemplateCheck, TracesSettings, WorkerCount, diagnostics::Problems, tree::At, written,
};

pub(crate) use keys::parse_expiry;
pub(crate) use prices::Said;

/// Where the gateway listens unless told otherwise.
pub(crate) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// What resolving needs to know beside the file.
pub(crate) struct Context<'a> {
    /// Since 1970-01-01 UTC.
    pub(crate) now: Duration,
    /// Says what is wrong with a prompt template.
    pub(crate) check_template: TemplateCheck<'a>,
    /// Where AWS's keys may be.
    pub(crate) environment: &'a dyn Environment,
    /// Where relative paths start.
    pub(crate) folder: &'a Path,
}

/// A file's sections, resolved.
pub(crate) struct Sections {
    pub(crate) server: ServerSettings,
    pub(crate) log: LogSettings,
    pub(crate) store: Option<StoreSettings>,
    pub(crate) counters: Option<CountersSettings>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) traces: Option<TracesSettings>,
    pub(crate) catalogue: Option<CatalogueSettings>,
    pub(crate) payloads: PayloadPolicy,
    pub(crate) providers: HashMap<ProviderName, Arc<Provider>>,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) routes_by_name: HashMap<RouteName, Arc<Route>>,
    pub(crate) keys: HashMap<KeyHash, Arc<Key>>,
    pub(crate) caller_issuers: Vec<Arc<CallerIssuer>>,
    pub(crate) allowances: Vec<Arc<Allowance>>,
    pub(crate) prices: Prices,
    pub(crate) direct_use: DirectUse,
    pub(crate) limits: Limits,
    pub(crate) log_content: LogContent,
}

/// Resolves a file; `at` stands at the root of the tree that it was read from.
pub(crate) fn resolve(
    file: &written::File,
    at: At<'_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Sections {
    let server = server(&file.server, at.key("server"), problems);
    let providers = providers::resolve(
        &file.providers,
        at.key("providers"),
        context.environment,
        problems,
    );
    let routes = routes::resolve(
        &file.routes,
        at.key("routes"),
        &providers,
        context,
        problems,
    );
    let proxies = keys::networks(
        file.server.trusted_proxies.as_deref(),
        at.key("server").key("trusted_proxies"),
        problems,
    );
    let limits = limits(&file.server.limits, proxies);
    let prices = prices::resolve(&file.prices, at.key("prices"), &providers, problems);
    let keys = keys::resolve(&file.keys, at.key("keys"), &routes, context, problems);
    let caller_issuers = issuers::resolve(&file.issuers, at.key("issuers"), &routes, problems);
    keys::report_issuers(&file.keys, at.key("keys"), &caller_issuers, problems);
    let mut store = store::resolve(&file.store, at.key("store"), context.folder, problems);
    let counters = counters::resolve(&file.counters, at.key("counters"), problems);
    let payloads = payloads::resolve(
        &file.payloads,
        at.key("payloads"),
        &routes,
        store.as_ref(),
        problems,
    );
    let catalogue = prices::catalogue(
        &file.catalogue,
        at.key("catalogue"),
        context.folder,
        problems,
    );
    let traces = traces::resolve(&file.traces, at.key("traces"), problems);
    let admin = admin(&file.admin, at.key("admin"), store.is_some(), problems);
    if let Some(store) = &mut store {
        // What is administered is kept nowhere else.
        store.is_asked_for |= admin.is_some();
    }
    let allowances = allowances::resolve(
        file,
        at,
        &routes,
        &allowances::Callers {
            keys: &keys,
            issuers: &caller_issuers,
        },
        store.as_ref(),
        problems,
    );
    prices::warn_unbounded(
        (&prices, context.now),
        &allowances,
        (&providers, &routes),
        at.key("budgets"),
        problems,
    );
    if file.routes.is_empty() && !file.direct_use && !problems.has_errors() {
        problems
            .warning(at.key("routes").key_span(), "there are no routes")
            .help("clients have nothing to ask for: add `routes`, or set `direct_use: true`");
    }
    providers::warn_unused(
        &file.providers,
        at.key("providers"),
        &routes,
        file.direct_use,
        problems,
    );
    Sections {
        server,
        store,
        counters,
        admin,
        traces,
        catalogue,
        payloads,
        log: LogSettings {
            format: file.log.format.unwrap_or_default(),
            level: file.log.level.unwrap_or_default(),
            calls: file.log.calls.unwrap_or(true),
            content: file.log.content,
        },
        providers: providers.resolved,
        routes: routes.resolved,
        routes_by_name: routes.by_name,
        keys,
        caller_issuers,
        allowances,
        prices,
        direct_use: if file.direct_use {
            DirectUse::Allowed
        } else {
            DirectUse::Refused
        },
        limits,
        log_content: if file.log.content {
            LogContent::Included
        } else {
            LogContent::LeftOut
        },
    }
}

fn server(written: &written::Server, at: At<'_>, problems: &mut Problems) -> ServerSettings {
    let listen = written.listen.as_deref().map(|text| {
        parse_listen(text).unwrap_or_else(|| {
            problems
                .error(
                    at.key("listen").span(),
                    "`listen` must be an IP address with a port",
                )
                .help("such as `127.0.0.1:5000`, `0.0.0.0:5000` or `[::]:5000`");
            LISTEN_DEFAULT
        })
    });
    ServerSettings {
        listen: listen.unwrap_or(LISTEN_DEFAULT),
        public: written.public,
        workers: match written.workers {
            Some(written::Workers::Number(number)) => WorkerCount::Number(number.into()),
            Some(written::Workers::Word(written::Auto::Auto)) | None => WorkerCount::Auto,
        },
        runtime: written.runtime.unwrap_or_default(),
        metrics: written.metrics.unwrap_or(true),
    }
}

/// Resolves a limit or a budget that stands in the store.
pub(crate) fn stored_allowance(
    file: &written::File,
    at: At<'_>,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<Arc<Allowance>> {
    allowances::stored(file, at, snapshot, problems)
}

/// Resolves a price that stands in the store.
pub(crate) fn stored_price(
    file: &written::File,
    at: At<'_>,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<Said> {
    prices::stored(file, at, snapshot, problems)
}

/// Where the administrative API listens; `None` where there is to be none.
fn admin(
    written: &written::Admin,
    at: At<'_>,
    has_store: bool,
    problems: &mut Problems,
) -> Option<SocketAddr> {
    let listen = written.listen.as_deref().map(str::trim);
    let listen = listen.filter(|listen| *listen != "none")?;
    let at = at.key("listen");
    let address = parse_listen(listen);
    if address.is_none() {
        problems
            .error(at.span(), "`listen` must be an IP address with a port")
            .help("write `127.0.0.1:5001`, or `none`");
    } else if !has_store {
        problems
            .error(at.span(), "what is administered is kept in the store")
            .help("take `store.url: none` out");
    }
    address
}

/// Reads an address with a port; `localhost` is the IPv4 loopback address.
pub(crate) fn parse_listen(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::new(LISTEN_DEFAULT.ip(), port.parse().ok()?));
    }
    text.parse().ok()
}

fn limits(written: &written::Limits, trusted_proxies: Vec<IpNet>) -> Limits {
    let default = Limits::default();
    let size = |written: Option<written::Size>, default| written.map_or(default, |size| size.0);
    let wait = |written: Option<written::Wait>, default| written.map_or(default, |wait| wait.0);
    Limits {
        header_bytes_max: size(written.header, default.header_bytes_max),
        url_bytes_max: size(written.url, default.url_bytes_max),
        body_bytes_max: size(written.body, default.body_bytes_max),
        json_depth_max: written.json_depth.unwrap_or(default.json_depth_max),
        answer_bytes_max: size(written.answer, default.answer_bytes_max),
        event_bytes_max: size(written.event, default.event_bytes_max),
        connections_max: written.connections.unwrap_or(default.connections_max),
        header_timeout: wait(written.header_timeout, default.header_timeout),
        body_timeout: wait(written.body_timeout, default.body_timeout),
        write_timeout: wait(written.write_timeout, default.write_timeout),
        drain_timeout: wait(written.drain_timeout, default.drain_timeout),
        late_max: wait(written.late, default.late_max),
        trusted_proxies,
    }
}

/// Whether a name can stand in a URL's path and before the `/` of `provider/model`.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
        })
}
