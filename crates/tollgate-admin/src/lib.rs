//! The administrative API: `/api/v1`. The listener, and what clients may do there before a request is read, are the program's.
//!
//! Who may do what is decided in `actor`; what there is to be administered is a table in `resources`, of which the routes and the description
//! (`openapi`) are made. Everything is kept in the store, each change with its row in the audit. Nothing here touches calls on their way: a
//! running gateway learns of changes from the store, and the one that is asked for a change does so before it answers.

mod actor;
mod books;
mod keys;
mod openapi;
mod plan;
mod problem;
mod resources;
mod shapes;
mod users;

use std::{
    collections::HashSet, fmt, future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Bytes, HttpBody},
    http::{Request, Response},
};
use serde_json::Value;
use tollgate_domain::Allowance;
use tollgate_store::{Kind, Store, StoreError};
use tower_service::Service;

pub use axum::body::Body;

pub use actor::{Role, TeamRole};
pub use plan::check_name;
pub use users::{NewUser, UserMade, make_user};

/// Says what is wrong with an object of a kind.
pub type Check = dyn Fn(Kind, &Value) -> Result<(), String> + Send + Sync;

/// Says whether a kind of thing has a name in the configuration file.
pub type IsInFile = dyn Fn(&str, &str) -> bool + Send + Sync;

/// Finds out what was used of limits and budgets.
pub type Spending = dyn Fn(Store) -> SpendingFuture + Send + Sync;

/// Shows the configuration: everybody's and somebody's own, or all of it.
pub type Configuration = dyn Fn(Option<&Own>) -> Value + Send + Sync;

/// What is somebody's own, besides what is everybody's.
#[derive(Clone, Debug)]
pub struct Own {
    /// The organisation.
    pub organisation: String,
    /// Its teams.
    pub teams: HashSet<String>,
}

/// What was used, once the books have said it.
pub type SpendingFuture = Pin<Box<dyn Future<Output = Result<Vec<Spent>, StoreError>> + Send>>;

/// Has calls decided by what stands in the store now.
pub type TakeOver = dyn Fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// What was used of a limit or a budget by one of those that it is for.
#[derive(Clone, Debug)]
pub struct Spent {
    /// The limit or budget.
    pub allowance: Arc<Allowance>,
    /// Whom of its scope; empty where it is for all of them together.
    pub subject: String,
    /// So much: a count, or picodollars.
    pub used: u128,
    /// The window that is now, since 1970-01-01 UTC.
    pub window: (Duration, Duration),
}

/// What the administration knows of the program around it.
pub struct Surroundings {
    /// The time since 1970-01-01 UTC.
    pub now: fn() -> Duration,
    /// A new secret that begins with these words.
    pub new_secret: fn(&str) -> io::Result<String>,
    /// Says what is wrong with a limit, a budget or a price.
    pub check: Box<Check>,
    /// The names of routes.
    pub routes: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The names of keys, limits, budgets and prices that stand in the configuration file, which goes first, and of the teams that its keys belong to. A
    /// price's is its provider's and its model's with a `/` between.
    pub is_in_file: Box<IsInFile>,
    /// Whether a caller of this name shows a token of an issuer that is trusted.
    pub is_issuers: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// What was used of every limit and budget in its window: those whose `of` is empty are for everybody's calls.
    pub spending: Box<Spending>,
    /// Has calls that come from now on decided by what stands in the store; it is waited for, and ends in its time whatever fails.
    pub take_over: Box<TakeOver>,
    /// How long payloads are kept, and shown.
    pub payloads_kept_for: Box<dyn Fn() -> Duration + Send + Sync>,
    /// The models that may be asked, and what they cost.
    pub targets: Box<dyn Fn() -> Vec<Value> + Send + Sync>,
    /// The configuration as it is, without secrets.
    pub configuration: Box<Configuration>,
    /// The shapes of limits, of budgets and of prices, as JSON Schemas.
    pub shapes: fn(Kind) -> Option<Value>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) store: Store,
    pub(crate) around: Surroundings,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) IpAddr);

/// The API: answers requests, wherever they come from.
#[derive(Clone, Debug)]
pub struct Api(Router);

impl Api {
    /// Over a store.
    pub fn new(store: Store, around: Surroundings) -> Self {
        Self(resources::routes(Arc::new(Admin { store, around })))
    }

    /// Answers a request of a client's, which is at this address.
    pub async fn answer<B>(&self, request: Request<B>, client: IpAddr) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Client(client));
        match self.0.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The description of the API, as `OpenAPI` 3.1.
pub fn description(shapes: fn(Kind) -> Option<Value>) -> Value {
    openapi::describe(shapes)
}
