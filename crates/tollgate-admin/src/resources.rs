//! What there is to be administered, as a table; its routes; and what all kinds of objects have in common: listed, made, seen, replaced,
//! removed.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tollgate_domain::parse_time;
use tollgate_store::{Answered, Change, Changed, Kind, NewAnswer, Object, Tenant};

use crate::{
    Admin,
    actor::{Actor, Deed, Thing},
    books, keys, openapi, plan,
    problem::{PROBLEM, Problem},
    users,
};

/// Bytes of a request's body at most.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Items of a page, where the request does not say; and at most.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 500;

/// What is told once, when it is made.
const SECRETS: [&str; 2] = ["key", "token"];

/// Characters of an `Idempotency-Key` at most.
pub(crate) const REQUEST_KEY_MAX: usize = 255;

/// Bytes of the digest in an `ETag`.
const TAG_BYTES: usize = 6;

/// Kinds of objects that have a collection of their own.
pub(crate) const COLLECTIONS: [(Kind, &str); 7] = [
    (Kind::Organisation, "organisations"),
    (Kind::Team, "teams"),
    (Kind::App, "apps"),
    (Kind::User, "users"),
    (Kind::Limit, "limits"),
    (Kind::Budget, "budgets"),
    (Kind::Price, "prices"),
];

/// What a list is asked for with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Items at most. Default: 50.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    pub(crate) after: Option<String>,
}

impl Page {
    pub(crate) fn most(&self) -> Result<i64, Problem> {
        most(self.limit)
    }
}

/// Items of a page.
pub(crate) fn most(limit: Option<u32>) -> Result<i64, Problem> {
    let most = limit.map_or(PAGE, i64::from);
    if (1..=PAGE_MAX).contains(&most) {
        Ok(most)
    } else {
        Err(Problem::Invalid(format!(
            "`limit` is a number from 1 to {PAGE_MAX}"
        )))
    }
}

/// A query string, read strictly: a mistyped condition must not be passed over.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let query = query.map_err(|error| Problem::Invalid(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The tags that a conditional header names.
#[derive(Debug)]
struct Tags(Vec<String>);

impl Tags {
    /// Whoever compresses answers on their way makes tags weak: they still say what was looked at, and count as if they were not.
    fn of(headers: &HeaderMap, name: HeaderName) -> Self {
        let lines = headers.get_all(name);
        let tags = lines
            .iter()
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .map(|tag| {
                let tag = tag.trim();
                tag.strip_prefix("W/").unwrap_or(tag).to_owned()
            });
        Self(tags.collect())
    }

    fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|known| known == tag || known == "*")
    }
}

/// What was looked at before it is to change, as `If-Match` says it.
#[derive(Debug)]
pub(crate) struct IfMatch(Tags);

impl IfMatch {
    /// The version that a thing must have to be changed, where it has this one now and is told so; `None` where any will do.
    pub(crate) fn of(&self, now: i64, told: &Value) -> Option<i64> {
        let is_asked = !self.0.0.is_empty();
        let is_it = self.0.has(&tag(told));
        is_asked.then_some(if is_it { now } else { NO_VERSION })
    }
}

/// What is no version of ours fits none.
const NO_VERSION: i64 = -1;

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(Tags::of(&parts.headers, header::IF_MATCH)))
    }
}

/// All routes.
pub(crate) fn routes(admin: Arc<Admin>) -> Router {
    let mut api = Router::new();
    for (kind, plural) in COLLECTIONS {
        api = api
            .route(
                &format!("/{plural}"),
                get(move |state, actor, page| list(state, actor, kind, page)).post(
                    move |state, actor, headers, body| make(state, actor, kind, headers, body),
                ),
            )
            .route(
                &format!("/{plural}/{{id}}"),
                get(move |state, actor, id, headers| see(state, actor, kind, id, headers))
                    .put(move |state, actor, id, version, body| {
                        replace(state, actor, kind, id, version, body)
                    })
                    .delete(move |state, actor, id, version| {
                        remove(state, actor, kind, id, version)
                    }),
            );
    }
    let api = api
        .route(
            "/users/{id}/tokens",
            get(users::tokens).post(users::make_token),
        )
        .route(
            "/users/{id}/tokens/{token}",
            axum::routing::delete(users::remove_token),
        )
        .route("/keys", get(keys::list).post(keys::make))
        .route(
            "/keys/{id}",
            get(keys::see).put(keys::replace).delete(keys::remove),
        )
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/keys/{id}/block", post(keys::block))
        .route("/keys/{id}/unblock", post(keys::unblock))
        .route("/usage", get(books::usage))
        .route("/targets", get(books::targets))
        .route("/spending", get(books::spending))
        .route("/calls", get(books::calls))
        .route("/calls/{id}", get(books::call))
        .route("/audit", get(books::audit))
        .route("/configuration", get(books::configuration))
        .route("/me", get(users::me))
        .route("/openapi.json", get(openapi::serve))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::WrongMethod)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&admin),
            taken_over,
        ))
        .layer(middleware::from_fn(within_time))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(admin);
    Router::new()
        .nest("/api/v1", api)
        .fallback(async || Problem::NotFound)
}

/// Whoever is told that a change is made finds that it holds here, whatever becomes of the database after that.
async fn taken_over(State(admin): Shared, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    let answered = next.run(request).await;
    if changes && answered.status().is_success() {
        (admin.around.take_over)(admin.store.clone()).await;
    }
    answered
}

/// Nobody holds a request open for ever, by a slow body or by a slow question.
async fn within_time(request: Request, next: Next) -> Result<Response, Problem> {
    let answered = timeout(REQUEST_TIMEOUT, next.run(request)).await;
    let answered = answered.map_err(|_| Problem::Slow)?;
    let (status, kind) = (
        answered.status(),
        answered.headers().get(header::CONTENT_TYPE),
    );
    // What was refused before it came to anything of ours.
    match status.is_client_error() && kind.is_none_or(|kind| *kind != PROBLEM) {
        true if status == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::TooLarge),
        true => Err(Problem::Unreadable(status)),
        false => Ok(answered),
    }
}

type Shared = State<Arc<Admin>>;

async fn list(
    State(admin): Shared,
    actor: Actor,
    kind: Kind,
    Asked(page): Asked<Page>,
) -> Result<Response, Problem> {
    let (most, mut objects) = (page.most()?, Vec::new());
    for tenant in actor.tenants() {
        let some = admin
            .store
            .objects(&tenant, kind, page.after.as_deref(), most + 1);
        objects.extend(some.await?);
    }
    objects.retain(|object| {
        actor.may(
            Deed::See,
            Thing::Object(kind),
            &object.organisation,
            &object.team,
        )
    });
    objects.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(paged(objects, most, |object| object.id.clone(), shown))
}

async fn make(
    State(admin): Shared,
    actor: Actor,
    kind: Kind,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (admin, actor, body) = (&admin, &actor, &body);
    let making = Making::new(admin, actor, kind.as_str(), &headers, body)?;
    once(admin, making, |making| async move {
        let body = json_of(body)?;
        plan::ensure_new_name(&body)?;
        let planned = plan::plan(admin, actor, kind, body).await?;
        let object = planned.object(kind).made_at(making.at());
        let told = shown(&object);
        let change = making.change(&told);
        admin.store.add_object(object, &change).await?;
        Ok(told)
    })
    .await
}

async fn see(
    State(admin): Shared,
    actor: Actor,
    kind: Kind,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let object = find(&admin, &actor, kind, &id, Deed::See).await?;
    Ok(seen(&headers, shown(&object)))
}

async fn replace(
    State(admin): Shared,
    actor: Actor,
    kind: Kind,
    Path(id): Path<String>,
    versions: IfMatch,
    body: Bytes,
) -> Result<Response, Problem> {
    let (admin, actor, id, versions, body) = (&admin, &actor, &id, &versions, &body);
    let replaced = admin
        .store
        .plan_and_make(actor.change(admin), |change| async move {
            let before = find(admin, actor, kind, id, Deed::Change).await?;
            let planned = plan::plan(admin, actor, kind, json_of(body)?).await?;
            let stays = planned.name == before.name
                && planned.organisation == before.organisation
                && planned.team == before.team;
            if !stays {
                return Err(Problem::Conflict(
                    "its name and whose it is stay for ever: make another instead".to_owned(),
                ));
            }
            let tenant = tenant_of(&before);
            let version = versions.of(before.version, &shown(&before));
            let changed =
                admin
                    .store
                    .replace_object(&tenant, kind, id, version, planned.body, &change);
            done(changed.await?)
        });
    Ok(tagged(StatusCode::OK, shown(&replaced.await?)))
}

async fn remove(
    State(admin): Shared,
    actor: Actor,
    kind: Kind,
    Path(id): Path<String>,
    versions: IfMatch,
) -> Result<Response, Problem> {
    let (admin, actor, id, versions) = (&admin, &actor, &id, &versions);
    let removed = admin
        .store
        .plan_and_make(actor.change(admin), |change| async move {
            let before = find(admin, actor, kind, id, Deed::Change).await?;
            plan::ensure_unneeded(admin, &before).await?;
            let tenant = tenant_of(&before);
            let version = versions.of(before.version, &shown(&before));
            let removed = admin
                .store
                .remove_object(&tenant, kind, id, version, &change);
            done(removed.await?)
        });
    removed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An object that the actor may see. One that may be seen, and not changed, says so; others are not there.
pub(crate) async fn find(
    admin: &Admin,
    actor: &Actor,
    kind: Kind,
    id: &str,
    deed: Deed,
) -> Result<Object, Problem> {
    let mut found = None;
    for tenant in actor.tenants() {
        found = found.or(admin.store.object(&tenant, kind, id).await?);
    }
    let object = found.ok_or(Problem::NotFound)?;
    let thing = Thing::Object(kind);
    if !actor.may(Deed::See, thing, &object.organisation, &object.team) {
        return Err(Problem::NotFound);
    }
    actor.ensure(deed, thing, &object.organisation, &object.team)?;
    Ok(object)
}

fn tenant_of(object: &Object) -> Tenant {
    match (object.organisation.as_str(), object.team.as_str()) {
        ("", _) => Tenant::All,
        (organisation, "") => Tenant::Organisation(organisation.to_owned()),
        (organisation, team) => Tenant::Team {
            organisation: organisation.to_owned(),
            team: team.to_owned(),
        },
    }
}

pub(crate) fn done<T>(changed: Changed<T>) -> Result<T, Problem> {
    match changed {
        Changed::Done(thing) => Ok(thing),
        Changed::Missing => Err(Problem::NotFound),
        Changed::Stale => Err(Problem::Stale),
        Changed::LastOwner => Err(Problem::Conflict(
            "it is the last owner: make another first".to_owned(),
        )),
    }
}

/// A request to make something, or to make it anew, that may be sent again.
#[derive(Clone)]
pub(crate) struct Making {
    actor: String,
    key: Option<String>,
    hash: String,
    change: Change,
    status: StatusCode,
}

impl Making {
    pub(crate) fn new(
        admin: &Admin,
        actor: &Actor,
        what: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Problem> {
        let key = headers.get("idempotency-key");
        let key = key.map(|key| match key.to_str() {
            Ok(key) if !key.trim().is_empty() && key.len() <= REQUEST_KEY_MAX => {
                Ok(key.to_owned())
            }
            _ => Err(Problem::Invalid(format!(
                "`Idempotency-Key` is empty, not ASCII or longer than {REQUEST_KEY_MAX} characters: send another text for each request, such as a UUID"
            ))),
        });
        let mut hash = Sha256::new();
        hash.update(what);
        hash.update([0]);
        hash.update(body);
        let hash = hash.finalize();
        Ok(Self {
            actor: actor.id.clone(),
            key: key.transpose()?,
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            change: actor.change(admin),
            status: StatusCode::CREATED,
        })
    }

    /// Another status of success.
    pub(crate) fn giving(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// When it came, since 1970-01-01 UTC.
    pub(crate) fn at(&self) -> Duration {
        self.change.at
    }

    /// The change that makes it. `kept` is what is told when the request is sent again, without secrets, which are told once; it is kept with
    /// what is made.
    pub(crate) fn change(self, kept: &Value) -> Change {
        let answered = Answered {
            request_hash: self.hash,
            answer: kept.to_string(),
        };
        let answer = self.key.map(|key| NewAnswer {
            actor: self.actor,
            key,
            answered,
        });
        Change {
            answer,
            ..self.change
        }
    }

    /// What was answered before to the same request.
    async fn answered(&self, admin: &Admin) -> Result<Option<Response>, Problem> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let before = admin.store.answered(&self.actor, key, self.at()).await?;
        let Some(before) = before else {
            return Ok(None);
        };
        if before.request_hash != self.hash {
            return Err(Problem::KeyReused);
        }
        let told: Value = serde_json::from_str(&before.answer).unwrap_or_default();
        let mut response = tagged(self.status, told);
        response
            .headers_mut()
            .insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(Some(response))
    }
}

/// Makes something once for each `Idempotency-Key`: whoever sends the same request again gets the same answer.
pub(crate) async fn once<F: Future<Output = Result<Value, Problem>>>(
    admin: &Admin,
    request: Making,
    make: impl Fn(Making) -> F,
) -> Result<Response, Problem> {
    if let Some(response) = request.answered(admin).await? {
        return Ok(response);
    }
    let planned = admin.store.plan_and_make(request.change.clone(), |change| {
        make(Making {
            change,
            ..request.clone()
        })
    });
    let told = match planned.await {
        Ok(told) => told,
        // Whoever sends it twice at once gets the answer of the one that was first.
        Err(problem) => return request.answered(admin).await?.ok_or(problem),
    };
    Ok(tagged(request.status, told))
}

/// A page of what was found, with where the next one begins.
pub(crate) fn paged<T>(
    mut items: Vec<T>,
    most: i64,
    place: impl Fn(&T) -> String,
    show: impl Fn(&T) -> Value,
) -> Response {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let has_more = items.len() > most;
    items.truncate(most);
    let next = items.last().filter(|_| has_more).map(place);
    let items: Vec<Value> = items.iter().map(show).collect();
    Json(json!({"items": items, "next": next})).into_response()
}

/// A thing for those who have not seen it as it is.
pub(crate) fn seen(headers: &HeaderMap, told: Value) -> Response {
    let tag = tag(&told);
    if Tags::of(headers, header::IF_NONE_MATCH).has(&tag) {
        return with_tag(&tag, StatusCode::NOT_MODIFIED.into_response());
    }
    with_tag(&tag, Json(told).into_response())
}

/// A thing as it is now.
pub(crate) fn tagged(status: StatusCode, told: Value) -> Response {
    with_tag(&tag(&told), (status, Json(told)).into_response())
}

fn with_tag(tag: &str, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The version of a thing, and a digest of what is told of it: versions come again where something is removed and made again, and some of it changes
/// with time. A secret that is told once is not of it.
fn tag(told: &Value) -> String {
    let mut seen = told.clone();
    if let Value::Object(seen) = &mut seen {
        seen.retain(|name, _| !SECRETS.contains(&name.as_str()));
    }
    let digest = Sha256::digest(seen.to_string());
    let digest: String = digest
        .iter()
        .take(TAG_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let version = told["version"].as_i64().unwrap_or(1);
    format!("\"{version}-{digest}\"")
}

pub(crate) fn json_of(body: &[u8]) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(Problem::Invalid(
            "the body is a JSON object, `{…}`, and nothing else".to_owned(),
        )),
        Err(error) => Err(Problem::Invalid(format!("the body is no JSON: {error}"))),
    }
}

/// An object for people and programs.
pub(crate) fn shown(object: &Object) -> Value {
    let mut told = Map::new();
    told.insert("id".to_owned(), json!(object.id));
    if let Value::Object(body) = &object.body {
        told.extend(body.clone());
    }
    told.insert("version".to_owned(), json!(object.version));
    told.insert("created_at".to_owned(), json!(moment(object.created_ms)));
    told.insert("changed_at".to_owned(), json!(moment(object.changed_ms)));
    Value::Object(told)
}

/// Milliseconds since 1970-01-01 UTC, as RFC 3339.
pub(crate) fn moment(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// A time as RFC 3339 or as a date, in milliseconds since 1970-01-01 UTC.
pub(crate) fn parse_moment(text: &str) -> Result<i64, Problem> {
    let time = parse_time(text).ok_or_else(|| {
        Problem::Invalid(format!(
            "`{text}` is no time: write 2026-11-01 or 2026-11-01T08:00:00Z"
        ))
    })?;
    Ok(time.as_millisecond())
}
