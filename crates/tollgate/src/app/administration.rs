//! The thread of the administrative API, and what that API is told of the program around it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_admin::{Api, Body, Surroundings};
use tollgate_domain::{Choice, Limits, Snapshot};
use tollgate_proxy::{
    Gateway,
    server::{self, ClientBody, TurnedAway, serve_worker},
};
use tollgate_store::{Kind, Store};
use tollgate_telemetry::events::{AdminListening, AdminWaiting};

use super::{
    composer::Composer,
    current_thread, since_1970,
    spent::{Holders, Spent},
};
use crate::{
    cli,
    config::{self, StoreSettings},
};

/// The pause before a database is opened again that could not be.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How long requests under way may take at most when the gateway goes down.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// The administrative API, served by a thread of its own.
pub(super) struct Administration {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

/// Where the API listens, and what clients may do there: no more than those of calls.
pub(super) struct Place {
    pub(super) listen: SocketAddr,
    pub(super) limits: Limits,
}

impl Administration {
    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub(super) fn start(
        place: Place,
        store: StoreSettings,
        gateway: Arc<Gateway>,
        composer: Arc<Composer>,
    ) -> Result<Self> {
        let Place { listen, mut limits } = place;
        limits.drain_timeout = limits.drain_timeout.min(CLOSING_TIMEOUT);
        let runtime = current_thread()?;
        // Not as the workers' listeners: nobody else may listen there.
        let listener = TcpListener::bind(listen)
            .with_context(|| format!("cannot listen at {listen} for the administrative API"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let Some(opened) = open(&store, &stopped).await else {
                        return;
                    };
                    AdminListening { address }.emit();
                    let api = Api::new(opened.clone(), surroundings(gateway, composer));
                    let handler = Handler(api);
                    let count = Arc::default();
                    let serving = serve_worker(listener, handler, limits, count, stopped);
                    if let Err(error) = serving.await {
                        tracing::error!(%error, "the administrative API ended");
                    }
                    opened.close().await;
                });
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, requests under way done.
    pub(super) fn close(self) {
        self.stop.cancel();
        let _ended = self.thread.join();
    }
}

/// Hands requests to the API.
#[derive(Clone)]
struct Handler(Api);

impl server::Handler for Handler {
    type Body = Body;

    fn last_word(why: TurnedAway) -> (&'static str, String) {
        let status = why.status();
        let told = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": why.code(),
            "detail": why.to_string(),
        });
        ("application/problem+json", told.to_string())
    }

    async fn call(&self, request: Request<ClientBody>, client: SocketAddr) -> Response<Body> {
        self.0.answer(request, client).await
    }
}

/// The database, once it is there; `None` when told to stop before.
async fn open(settings: &StoreSettings, stopped: &CancellationToken) -> Option<Store> {
    loop {
        let error = match Store::open(settings.url.expose()).await {
            Ok(store) => return Some(store),
            Err(error) => error,
        };
        AdminWaiting {
            problem: &error.to_string(),
        }
        .emit();
        tokio::select! {
            () = stopped.cancelled() => return None,
            () = sleep(OPEN_AGAIN_AFTER) => {}
        }
    }
}

fn surroundings(gateway: Arc<Gateway>, composer: Arc<Composer>) -> Surroundings {
    let (checking, routing) = (Arc::clone(&gateway), Arc::clone(&gateway));
    let (spending, pricing) = (Arc::clone(&gateway), Arc::clone(&gateway));
    let (issuing, showing) = (Arc::clone(&gateway), gateway);
    Surroundings {
        now: since_1970,
        new_secret: cli::new_secret,
        check: Box::new(move |kind, body| {
            let picture = checking.picture();
            let snapshot = &picture.snapshot;
            let read = match kind {
                Kind::Price => config::read_price(body, snapshot).map(|_| ()),
                kind => config::read_allowance(kind, body, snapshot).map(|_| ()),
            };
            read.map_err(|problems| problems.in_short())
        }),
        routes: Box::new(move || {
            let picture = routing.picture();
            let names = picture.snapshot.routes_by_name.keys();
            names.map(|name| name.as_str().to_owned()).collect()
        }),
        is_issuers: Box::new(move |caller| {
            let picture = issuing.picture();
            let mut issuers = picture.snapshot.caller_issuers.iter();
            issuers.any(|issuer| issuer.names(caller))
        }),
        is_in_file: Box::new(move |kind, name| composer.is_in_file(kind, name)),
        spending: Box::new(move |store| {
            let picture = spending.picture();
            Box::pin(async move {
                let (snapshot, now) = (&picture.snapshot, since_1970());
                let holders = Holders::of(snapshot);
                let spent = Spent::read(&store, &snapshot.allowances, &holders, now).await?;
                Ok(spent.told(&snapshot.allowances, now))
            })
        }),
        targets: Box::new(move || {
            let picture = pricing.picture();
            let mut targets: Vec<Value> = picture
                .fleet
                .lanes()
                .map(|lane| {
                    json!({
                        "target": lane.name().as_str(),
                        "provider": lane.provider().name.as_str(),
                        "model": &**lane.model(),
                        // Null where nobody has said what it costs.
                        "dollars_per_million": lane.price(since_1970()).map(|price| cli::price_as_json(price)),
                    })
                })
                .collect();
            targets.sort_by(|one, other| one["target"].as_str().cmp(&other["target"].as_str()));
            targets
        }),
        configuration: Box::new(move || shown(&showing.picture().snapshot)),
        shapes: config::stored_shape,
    }
}

/// A snapshot for people: what is there, and nothing that opens anything.
fn shown(snapshot: &Snapshot) -> Value {
    let mut providers: Vec<Value> = snapshot
        .providers
        .values()
        .map(|provider| {
            let tasks: Vec<&str> = provider
                .endpoints
                .iter()
                .map(|endpoint| endpoint.task.as_str())
                .collect();
            json!({
                "name": provider.name.as_str(),
                "type": &*provider.kind,
                "tasks": tasks,
                "keys": provider.keys.len(),
            })
        })
        .collect();
    providers.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    let routes = snapshot.routes.iter().map(|route| {
        let aliases: Vec<&str> = route.aliases.iter().map(|alias| alias.as_str()).collect();
        json!({
            "name": route.name.as_str(),
            "aliases": aliases,
            "task": route.task.as_str(),
            "targets": targets(route.strategy.choices()),
            "prompt": route.prompt.is_some(),
        })
    });
    let mut keys: Vec<Value> = snapshot
        .keys
        .values()
        .map(|key| json!({"name": key.name.as_str(), "team": key.team}))
        .collect();
    keys.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    keys.dedup();
    let allowances = snapshot.allowances.iter().map(|allowance| {
        json!({"name": &*allowance.name, "of": allowance.quantity.as_str(), "most": allowance.most_at(since_1970())})
    });
    json!({
        "revision": snapshot.revision.as_str(),
        "providers": providers,
        "routes": routes.collect::<Vec<_>>(),
        "keys": keys,
        "limits_and_budgets": allowances.collect::<Vec<_>>(),
    })
}

fn targets(choices: &[Choice]) -> Vec<String> {
    let names = choices.iter().flat_map(|choice| match choice {
        Choice::Target(target) => vec![target.name.as_str().to_owned()],
        Choice::Nested { strategy, .. } => targets(strategy.choices()),
    });
    names.collect()
}

/// Whether limits and budgets of this kind are kept in the store.
pub(super) const STORED: [Kind; 2] = [Kind::Limit, Kind::Budget];
