//! The life of a request, from top to bottom. The order of steps lives here and nowhere else.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::Instant;
use tollgate_domain::{Dialect, ErrorShape, Framing, LogContent, Sticky, Usage};
use tollgate_telemetry::{CallRecord, Outcome, Params};

use crate::{
    account::Account,
    attempts::{self, Reply, Success},
    body, expand,
    gateway::{Exposure, Worker},
    keys::{self, Caller},
    listings,
    paths::{self, What},
    picture::{Picture, header_value, shorten},
    question::{self, Address, Question},
    refusal::Refusal,
    reply::ReplyBody,
    routes,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ROUTE: HeaderName = HeaderName::from_static("x-tollgate-route");
const TARGET: HeaderName = HeaderName::from_static("x-tollgate-target");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const REVISION: HeaderName = HeaderName::from_static("x-tollgate-revision");
const DROPPED: HeaderName = HeaderName::from_static("x-tollgate-dropped");
const UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-tollgate-upstream-status");
const TIMING: HeaderName = HeaderName::from_static("x-tollgate-timing");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Any request: finds out what it asks for, and has it done. Every answer leaves with the same set of headers.
pub async fn serve(
    worker: &Worker,
    request: Request<Incoming>,
    client: SocketAddr,
    now: Duration,
) -> Response<ReplyBody> {
    let picture = worker.gateway.picture();
    let (head, body) = request.into_parts();
    let visit = Visit::new(&picture, &head, client, now);
    let asked = paths::find(&head.method, head.uri.path());
    let mut response = match asked.what {
        What::CallByModel(dialect) => {
            serve_llm(worker, &visit, asked, Address::Body(dialect), body).await
        }
        What::SideCall { dialect, side } => {
            let address = Address::Side { dialect, side };
            serve_llm(worker, &visit, asked, address, body).await
        }
        What::CallByName(name) => serve_llm(worker, &visit, asked, Address::Path(name), body).await,
        What::CallAt {
            dialect,
            name,
            stream,
        } => {
            let address = Address::Named {
                dialect,
                name,
                stream,
            };
            serve_llm(worker, &visit, asked, address, body).await
        }
        What::Health => plain(StatusCode::OK, "application/json", "{\"status\":\"OK\"}"),
        What::Ready => readiness(worker, &picture),
        What::Metrics if worker.gateway.exposure() == Exposure::Metrics => metrics(worker),
        _ => describe(&visit, asked).unwrap_or_else(|refusal| {
            let mut account = visit.account(worker, asked.pattern);
            account.refused(&refusal);
            let outcome = account.record.outcome;
            refusal
                .response(asked.shape, &visit.request_id)
                .map(|body| body.with_account(account, outcome))
        }),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header_value(&visit.request_id));
    headers.insert(REVISION, picture.revision.clone());
    response
}

/// A call to a model: refusals are told in the client's dialect, and every call leaves one record.
async fn serve_llm(
    worker: &Worker,
    visit: &Visit<'_>,
    asked: paths::Asked<'_>,
    address: Address<'_>,
    body: Incoming,
) -> Response<ReplyBody> {
    let mut account = visit.account(worker, asked.pattern);
    match call_story(worker, visit, address, body, &mut account).await {
        Ok((question, success)) => {
            let headers = answer_headers(visit, &question, &success, &account);
            reply(success, question.dialect, account, &headers)
        }
        Err(refusal) => {
            account.refused(&refusal);
            let outcome = account.record.outcome;
            let upstream_status = account
                .record
                .attempts
                .last()
                .and_then(|attempt| attempt.status);
            let attempts = account.record.attempts.len();
            let mut response = refusal
                .response(asked.shape, &visit.request_id)
                .map(|body| body.with_account(account, outcome));
            response
                .headers_mut()
                .insert(ATTEMPTS, HeaderValue::from(attempts));
            if let Some(status) = upstream_status {
                response
                    .headers_mut()
                    .insert(UPSTREAM_STATUS, HeaderValue::from(status));
            }
            response
        }
    }
}

/// The story of an LLM call.
async fn call_story(
    worker: &Worker,
    visit: &Visit<'_>,
    address: Address<'_>,
    body: Incoming,
    account: &mut Account,
) -> Result<(Question, Success), Refusal> {
    let picture = visit.picture;
    let limits = &picture.snapshot.limits;
    visit.check_url()?;
    let caller = keys::identify(&picture.snapshot, visit.headers, visit.now)?; // who is asking
    account.record.key = caller.key().map(|key| key.name.clone());

    let collected = body::collect(body, visit.headers, limits).await?; // what they send
    account.record.request_bytes = collected.wire_bytes;
    if picture.snapshot.log_content == LogContent::Included {
        account.keep_content(&collected.bytes);
    }

    let mut question = read(picture, &caller, address, collected.bytes, account)?; // what they ask, and of which route
    expand::expand(&mut question, limits)?; // the route's prompt, filled in
    let plan = question
        .route()
        .tree
        .plan(visit.stickiness(&question, &caller)); // whom we may ask, in order
    let success = attempts::first_success(
        worker,
        &question,
        &plan,
        &visit.forwarded(),
        limits,
        account,
    )
    .await?; // retries, fallbacks
    account.record.dropped.clone_from(&success.dropped);
    Ok((question, success))
}

/// Reads as much of a call as routing needs.
fn read(
    picture: &Picture,
    caller: &Caller,
    address: Address<'_>,
    bytes: Bytes,
    account: &mut Account,
) -> Result<Question, Refusal> {
    let mut aside = None;
    let (dialect, head, route) = match address {
        Address::Named {
            dialect,
            name,
            stream,
        } => {
            account.record.client_dialect = Some(dialect);
            let name = question::decode(name);
            account.record.model_asked = Some(shorten(&name));
            let mut head = question::scan(dialect, &bytes, &picture.snapshot.limits)?;
            head.stream = stream.unwrap_or(head.stream);
            let route = picture.route_or_direct(&name, dialect.task(), caller)?;
            (dialect, head, route)
        }
        Address::Body(dialect) | Address::Side { dialect, .. } => {
            let mut head = question::scan(dialect, &bytes, &picture.snapshot.limits)?;
            if let Address::Side { side, .. } = address {
                aside = Some(side);
                head.stream = false;
            }
            account.record.client_dialect = Some(dialect);
            let model = head.model.as_deref().ok_or(Refusal::ModelMissing)?;
            account.record.model_asked = Some(shorten(model));
            let route = picture.route_or_direct(model, dialect.task(), caller)?;
            (dialect, head, route)
        }
        Address::Path(name) => {
            account.record.model_asked = Some(shorten(name));
            let route = picture.route(name, caller)?;
            let dialect = question::dialect_of(route.route.task);
            account.record.client_dialect = Some(dialect);
            (
                dialect,
                question::scan(dialect, &bytes, &picture.snapshot.limits)?,
                route,
            )
        }
    };
    let record = &mut account.record;
    record.route = Some(route.route.name.clone());
    record.task = Some(route.route.task);
    record.streamed = head.stream;
    record.params = Params {
        temperature: head.temperature,
        top_p: head.top_p,
        max_tokens: head.max_tokens,
        stream: head.stream,
    };
    Ok(Question::new(dialect, head, bytes, route).asking(aside))
}

/// The headers of an answer from a model.
fn answer_headers(
    visit: &Visit<'_>,
    question: &Question,
    success: &Success,
    account: &Account,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(ROUTE, question.route().header.clone());
    headers.insert(TARGET, success.engaged.lane().header().clone());
    headers.insert(ATTEMPTS, HeaderValue::from(account.record.attempts.len()));
    if !success.dropped.is_empty() {
        headers.insert(DROPPED, header_value(&success.dropped.join(", ")));
    }
    if visit.headers.contains_key(TIMING) {
        let provider = account.record.provider_time;
        let gateway = account.started().elapsed().saturating_sub(provider);
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let timing = format!(
            "gateway;dur={:.3}, provider;dur={:.3}",
            milliseconds(gateway),
            milliseconds(provider)
        );
        headers.insert(SERVER_TIMING, header_value(&timing));
    }
    headers
}

/// The answer itself. From here on the record rides in its body.
fn reply(
    success: Success,
    dialect: Dialect,
    mut account: Account,
    headers: &HeaderMap,
) -> Response<ReplyBody> {
    account.record.status = StatusCode::OK.as_u16();
    account.first_content(Instant::now());
    let (body, content_type) = match success.answer {
        Reply::Whole(bytes) => (
            ReplyBody::accounted(bytes, account, Outcome::Answered),
            "application/json",
        ),
        Reply::Stream(relay) => {
            account.stream_opened();
            let timeouts = success.engaged.lane().provider().timeouts;
            (
                ReplyBody::stream(*relay, account, success.engaged, &timeouts),
                match dialect.framing() {
                    Framing::JsonLines => "application/x-ndjson",
                    Framing::Sse | Framing::AwsFrames => "text/event-stream; charset=utf-8",
                },
            )
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().clone_from(headers);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if content_type != "application/json" {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// Lists and describes what may be asked for.
fn describe(visit: &Visit<'_>, asked: paths::Asked<'_>) -> Result<Response<ReplyBody>, Refusal> {
    visit.check_url()?;
    match asked.what {
        What::Unknown | What::Metrics => {
            return Err(Refusal::UnknownPath {
                path: shorten(visit.path),
            });
        }
        What::WrongMethod(wanted) => return Err(Refusal::WrongMethod { wanted }),
        _ => {}
    }
    let picture = visit.picture;
    let caller = keys::identify(&picture.snapshot, visit.headers, visit.now)?;
    let anthropic =
        asked.shape == ErrorShape::Anthropic || visit.headers.contains_key("anthropic-version");
    let found = match asked.what {
        What::Models if anthropic => Some(listings::anthropic_models(picture, &caller)),
        What::Models => Some(listings::openai_models(picture, &caller)),
        What::Model(name) if anthropic => listings::anthropic_model_named(picture, &caller, name),
        What::Model(name) => listings::openai_model_named(picture, &caller, name),
        What::Endpoints => Some(listings::mlflow_endpoints(picture, &caller)),
        What::Endpoint(name) => listings::mlflow_endpoint_named(picture, &caller, name),
        What::LegacyRoutes => Some(listings::mlflow_legacy_routes(picture, &caller)),
        What::LegacyRoute(name) => listings::mlflow_legacy_route_named(picture, &caller, name),
        _ => None,
    };
    let name = || visit.path.rsplit('/').next().unwrap_or_default();
    let bytes = found.ok_or_else(|| Refusal::RouteUnknown {
        model: shorten(name()),
        nearest: None,
    })?;
    Ok(json(StatusCode::OK, bytes))
}

fn readiness(worker: &Worker, picture: &Picture) -> Response<ReplyBody> {
    let draining = worker.gateway.is_draining();
    let body = serde_json::json!({
        "status": if draining { "draining" } else { "ready" },
        "revision": picture.snapshot.revision.as_str(),
        "configuration": match worker.gateway.stale() {
            None => serde_json::json!({"status": "current"}),
            Some(problem) => serde_json::json!({"status": "kept: the newest one has mistakes", "problem": problem}),
        },
    });
    json(
        if draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        },
        Bytes::from(body.to_string()),
    )
}

fn metrics(worker: &Worker) -> Response<ReplyBody> {
    plain(
        StatusCode::OK,
        tollgate_telemetry::METRICS_CONTENT_TYPE,
        worker.gateway.telemetry().encode(),
    )
}

fn json(status: StatusCode, bytes: Bytes) -> Response<ReplyBody> {
    plain(status, "application/json", bytes)
}

fn plain(
    status: StatusCode,
    content_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(bytes.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What is known of a request before its body is read.
struct Visit<'a> {
    picture: &'a Picture,
    method: &'a Method,
    path: &'a str,
    uri_bytes: usize,
    headers: &'a HeaderMap,
    client: SocketAddr,
    request_id: Arc<str>,
    /// Since 1970-01-01 UTC.
    now: Duration,
    started: Instant,
}

impl<'a> Visit<'a> {
    fn new(
        picture: &'a Picture,
        head: &'a http::request::Parts,
        client: SocketAddr,
        now: Duration,
    ) -> Self {
        let uri = &head.uri;
        Self {
            picture,
            method: &head.method,
            path: uri.path(),
            uri_bytes: uri.path().len() + uri.query().map_or(0, str::len),
            headers: &head.headers,
            client,
            request_id: request_id(&head.headers),
            now,
            started: Instant::now(),
        }
    }

    fn check_url(&self) -> Result<(), Refusal> {
        let bytes_max = self.picture.snapshot.limits.url_bytes_max;
        if self.uri_bytes > bytes_max {
            Err(Refusal::UrlTooLong { bytes_max })
        } else {
            Ok(())
        }
    }

    /// Opens the request's record.
    fn account(&self, worker: &Worker, path: &'static str) -> Account {
        let record = CallRecord {
            request_id: Arc::clone(&self.request_id),
            came_at: self.now,
            revision: self.picture.snapshot.revision.clone(),
            client_address: self.client.ip(),
            method: self.method.clone(),
            path,
            key: None,
            route: None,
            task: None,
            client_dialect: None,
            model_asked: None,
            target: None,
            provider_kind: None,
            model: None,
            streamed: false,
            outcome: Outcome::ClientGone,
            status: 0,
            error_code: None,
            error_detail: None,
            attempts: Vec::new(),
            usage: Usage::default(),
            finish_reason: None,
            params: Params::default(),
            dropped: Vec::new(),
            duration: Duration::ZERO,
            provider_time: Duration::ZERO,
            time_to_first_token: None,
            request_bytes: 0,
            response_bytes: 0,
            traceparent: self
                .headers
                .get(TRACEPARENT)
                .and_then(|value| value.to_str().ok())
                .map(Arc::from),
            content: None,
        };
        Account::open(record, self.started, &worker.witness)
    }

    /// The caller's headers that go to the provider: its trace and the beta features that it asks Anthropic for,
    /// and nothing that could hold a credential.
    fn forwarded(&self) -> HeaderMap {
        let mut forwarded = HeaderMap::new();
        for name in [TRACEPARENT, TRACESTATE, ANTHROPIC_BETA] {
            if let Some(value) = self.headers.get(&name) {
                forwarded.insert(name, value.clone());
            }
        }
        forwarded
    }

    /// What keeps this caller with the same choice, where the route asks for that.
    fn stickiness(&self, question: &Question, caller: &Caller) -> routes::Stickiness {
        let value = match question.route().tree.sticky()? {
            Sticky::Header(name) => self.headers.get(name)?.to_str().ok()?,
            Sticky::User => match &question.head.user {
                Some(user) => user,
                None => caller.key()?.name.as_str(),
            },
        };
        Some(routes::stickiness(value))
    }
}

/// The client's own id where it is well-formed, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let well_formed = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    match sent.filter(well_formed) {
        Some(id) => id.into(),
        None => uuid::Uuid::now_v7().simple().to_string().into(),
    }
}
