//! The thread of the administrative API, and what that API is told of the program around it.

mod shown;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tollgate_admin::{Api, Body, Surroundings};
use tollgate_domain::Limits;
use tollgate_proxy::{
    Gateway, client_address,
    server::{self, ClientBody, TurnedAway, serve_worker},
};
use tollgate_store::{Kind, Store};
use tollgate_telemetry::events::{AdminListening, AdminWaiting};

use super::{
    books::told,
    composer::Composer,
    current_thread, since_1970,
    spent::{Holders, Spent},
};
use crate::{
    cli,
    config::{self, StoreSettings},
};
use shown::shown;

/// The pause before a database is opened again that could not be; clients are told to wait as long.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(2);
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// How long a request waits for the database that is being opened.
const OPENING_PATIENCE: Duration = Duration::from_secs(1);

/// How long the answer to a change waits until the change holds here. Where the database has gone away behind it, it is made all the same.
const TAKING_OVER_PATIENCE: Duration = Duration::from_secs(2);

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
                let (opened_api, api) = watch::channel(None);
                let handler = Handler {
                    api,
                    gateway: Arc::clone(&gateway),
                };
                runtime.block_on(async {
                    let opening = async {
                        let store = open(&store, &stopped).await?;
                        AdminListening { address }.emit();
                        let api = Api::new(store.clone(), surroundings(gateway, composer));
                        opened_api.send_replace(Some(api));
                        Some(store)
                    };
                    let count = Arc::default();
                    let serving =
                        serve_worker(listener, handler.clone(), limits, count, stopped.clone());
                    let (opened, served) = tokio::join!(opening, serving);
                    if let Err(error) = served {
                        tracing::error!(%error, "the administrative API ended");
                    }
                    if let Some(store) = opened {
                        store.close().await;
                    }
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

/// Hands requests to the API, once there is one.
#[derive(Clone)]
struct Handler {
    api: watch::Receiver<Option<Api>>,
    gateway: Arc<Gateway>,
}

impl server::Handler for Handler {
    type Body = Body;

    fn last_word(why: TurnedAway) -> (&'static str, String) {
        (PROBLEM, problem(why.status(), why.code(), &why.to_string()))
    }

    async fn call(&self, request: Request<ClientBody>, client: SocketAddr) -> Response<Body> {
        let Some(api) = self.api().await else {
            return waiting();
        };
        let picture = self.gateway.picture();
        let limits = &picture.snapshot.limits;
        let client = client_address(client.ip(), request.headers(), limits);
        api.answer(request, client).await
    }
}

impl Handler {
    /// The API, waited for where the gateway has only just started.
    async fn api(&self) -> Option<Api> {
        let mut api = self.api.clone();
        let there = timeout(OPENING_PATIENCE, api.wait_for(Option::is_some)).await;
        there.ok()?.ok()?.clone()
    }
}

/// What problems are told as (RFC 9457).
const PROBLEM: &str = "application/problem+json";

fn problem(status: StatusCode, code: &str, detail: &str) -> String {
    let told = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    told.to_string()
}

/// What clients are told until the database is there.
fn waiting() -> Response<Body> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let told = problem(
        status,
        "store_away",
        "the database cannot be opened for now; the gateway's log says why",
    );
    let mut response = Response::new(Body::from(told));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// The database, once it is there; `None` when told to stop before.
async fn open(settings: &StoreSettings, stopped: &CancellationToken) -> Option<Store> {
    loop {
        let error = match Store::open(settings.url.expose()).await {
            Ok(store) => return Some(store),
            Err(error) => error,
        };
        AdminWaiting {
            problem: &told(&error),
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
    let (looking, keeping) = (Arc::clone(&composer), Arc::clone(&composer));
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
        take_over: Box::new(move |store| {
            let composer = Arc::clone(&looking);
            Box::pin(async move {
                // What fails is done, and told, by the thread that looks at the store.
                let _looked = timeout(TAKING_OVER_PATIENCE, composer.look_at(&store)).await;
            })
        }),
        payloads_kept_for: Box::new(move || keeping.payloads_kept_for()),
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
        configuration: Box::new(move |own| shown(&showing.picture().snapshot, own, since_1970())),
        shapes: config::stored_shape,
    }
}

/// Whether limits and budgets of this kind are kept in the store.
pub(super) const STORED: [Kind; 2] = [Kind::Limit, Kind::Budget];
