//! The life of a request, from top to bottom. The order of steps lives here and nowhere else.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use tollgate_dialects::Head;
use tollgate_domain::{
    Dialect, ErrorShape, Facts, Framing, Limits, LogContent, Route, RouteName, Task,
};
use tollgate_telemetry::{Outcome, Params};
use tollgate_upstream::Lane;

use crate::{
    account::Account,
    address::{self, Address, Errand},
    admission::{self, Asked, Entry},
    attempts::{self, Reply, Success},
    body, expand,
    gateway::{Exposure, Worker},
    keys::{self, Caller},
    listings,
    paths::{self, What},
    picture::{CompiledRoute, Picture, header_value, shorten},
    plain::{PlainHead, PlainRequest},
    question::{self, Question},
    realtime::{self, Handshake, Session},
    refusal::Refusal,
    reply::ReplyBody,
    responses,
    server::{ClientBody, Upgrade},
    upload::{self, Upload},
    visit::{REQUEST_ID, Visit},
};

const ROUTE: HeaderName = HeaderName::from_static("x-tollgate-route");
const TARGET: HeaderName = HeaderName::from_static("x-tollgate-target");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const REVISION: HeaderName = HeaderName::from_static("x-tollgate-revision");
const DROPPED: HeaderName = HeaderName::from_static("x-tollgate-dropped");
const UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-tollgate-upstream-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// As many headers as nearly all answers have.
const HEADERS_USUAL: usize = 12;

/// Any request: finds out what it asks for, and has it done. Every answer leaves with the same set of headers.
pub async fn serve(
    worker: &Worker,
    head: &Parts,
    body: ClientBody,
    client: SocketAddr,
    now: Duration,
) -> Response<ReplyBody> {
    let picture = worker.gateway.picture();
    let visit = Visit::new(&picture, head, client, now);
    let asked = visit.asked();
    let name = match asked.what {
        What::CallByName(name) => paths::decoded(name),
        _ => "".into(),
    };
    let address = Address::of(&asked.what, &name);
    let mut response = match asked.what {
        // One place for all calls to models: what waits for them is large, and there is one of it for each place.
        _ if let Some(address) = address => serve_llm(worker, &visit, asked, address, body).await,
        What::Realtime => Box::pin(serve_realtime(worker, &visit, asked)).await,
        What::Health => plain(StatusCode::OK, "application/json", "{\"status\":\"OK\"}"),
        What::Ready => readiness(worker, &picture),
        What::Metrics if worker.gateway.exposure() == Exposure::Metrics => metrics(worker),
        _ => Box::pin(describe(worker, &visit, asked, body))
            .await
            .unwrap_or_else(|refusal| {
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
    worker.end_of_turn().await; // the others that are ready; what has become of them is written down
    response
}

/// A call to a model: refusals are told in the client's dialect, and every call leaves one record.
async fn serve_llm(
    worker: &Worker,
    visit: &Visit<'_>,
    asked: paths::Asked<'_>,
    address: Address<'_>,
    body: ClientBody,
) -> Response<ReplyBody> {
    let mut account = visit.account(worker, asked.pattern);
    let told = {
        let story = pin!(call_story(
            worker,
            visit,
            asked.shape,
            address,
            body,
            &mut account
        ));
        in_time(worker, story).await
    };
    match told {
        Ok((question, success)) => {
            let headers = answer_headers(visit, &question, &success, &account);
            reply(worker, success, question.framing, account, headers)
        }
        Err(refusal) => refuse(&refusal, asked, account, visit),
    }
}

/// Follows a story as long as the gateway is there. It stays where it is: a story is large.
async fn in_time<T>(
    worker: &Worker,
    story: Pin<&mut impl Future<Output = Result<T, Refusal>>>,
) -> Result<T, Refusal> {
    let told = worker.stopping.run_until_cancelled(story).await;
    told.unwrap_or(Err(Refusal::Stopping))
}

/// Tells a refusal in the client's dialect.
fn refuse(
    refusal: &Refusal,
    asked: paths::Asked<'_>,
    mut account: Account,
    visit: &Visit<'_>,
) -> Response<ReplyBody> {
    account.refused(refusal);
    let outcome = account.record.outcome;
    let last = account.record.attempts.last();
    let upstream_status = last.and_then(|attempt| attempt.status);
    let attempts = account.record.attempts.len();
    let route = account.record.route.clone();
    let target = account.record.target.clone();
    let mut response = refusal
        .response(asked.shape, &visit.request_id)
        .map(|body| body.with_account(account, outcome));
    let headers = response.headers_mut();
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    if let Some(route) = route {
        headers.insert(ROUTE, header_value(route.as_str()));
    }
    if let Some(target) = target {
        headers.insert(TARGET, header_value(target.as_str()));
    }
    if let Some(status) = upstream_status {
        headers.insert(UPSTREAM_STATUS, HeaderValue::from(status));
    }
    response
}

/// A talk over a WebSocket.
async fn serve_realtime(
    worker: &Worker,
    visit: &Visit<'_>,
    asked: paths::Asked<'_>,
) -> Response<ReplyBody> {
    let mut account = visit.account(worker, asked.pattern);
    let told = {
        let story = pin!(realtime_story(worker, visit, &mut account));
        in_time(worker, story).await
    };
    match told {
        Ok((handshake, question, success)) => {
            let headers = answer_headers(visit, &question, &success, &account);
            let limits = &visit.picture.snapshot.limits;
            let mut response = open(success, &handshake, account, limits);
            response.headers_mut().extend(headers);
            response
        }
        Err(refusal) => refuse(&refusal, asked, account, visit),
    }
}

/// The story of a talk, up to where it begins.
async fn realtime_story(
    worker: &Worker,
    visit: &Visit<'_>,
    account: &mut Account,
) -> Result<(Handshake, Question, Success), Refusal> {
    let picture = visit.picture;
    let limits = &picture.snapshot.limits;
    visit.check_url()?;
    check_pulse(worker)?; // whether we keep up
    account.tagged(visit.tags()?); // what they call it
    let handshake = Handshake::read(visit.headers)?; // whether they want a talk
    let headers = realtime::with_key(visit.headers);
    let caller = keys::identify(worker, picture, &headers, None, visit.from(), visit.now).await?; // who is asking
    note_caller(account, &caller);

    let question = read_talk(picture, &caller, visit, account)?; // with whom they want to talk
    check_books(worker)?; // what is spent is written down
    let mut plan = plan(visit, &caller, &question)?; // whom we may ask, in order
    let user = note_asked(&question, account);
    let entry = entry(visit, &caller, &question, user.as_deref(), account);
    enter(worker, &entry, &mut plan, account).await?; // what they may use, reserved
    let mut forwarded = visit.forwarded(&question);
    if let Some(protocol) = handshake.protocol() {
        forwarded.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let success = attempts::first_success(
        worker, &question, &entry, &plan, &forwarded, limits, account,
    )
    .await?; // retries, fallbacks
    Ok((handshake, question, success))
}

/// Reads with which route a client wants to talk. Where one alone does that, it need not be named.
fn read_talk(
    picture: &Picture,
    caller: &Caller,
    visit: &Visit<'_>,
    account: &mut Account,
) -> Result<Question, Refusal> {
    account.record.client_dialect = Some(Dialect::OpenaiMedia);
    let model = ["model", "deployment"]
        .into_iter()
        .find_map(|name| visit.parameter(name));
    account.record.model_asked = model.as_deref().map(shorten);
    account.record.streamed = true;
    let route = match &model {
        Some(model) => picture.route_or_direct(model, Task::Realtime, caller)?,
        None => picture
            .only_route(Task::Realtime, caller)
            .ok_or(Refusal::ModelMissing)?,
    };
    note_route(account, &route.route);
    let nothing = Upload::of(Bytes::from_static(b"{}"));
    Ok(Question::media("realtime", Head::default(), nothing, route))
}

/// Opens the client's side. From here on the record rides with the connection.
fn open(
    success: Success,
    handshake: &Handshake,
    mut account: Account,
    limits: &Limits,
) -> Response<ReplyBody> {
    account.record.status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    account.stream_opened();
    let session = Session::new(account, success.engaged, limits);
    let answer = success.answer;
    handshake.response(Upgrade::new(move |client, sent| async move {
        if let Reply::Socket(provider) = answer {
            session.run(client, sent, provider).await;
        }
    }))
}

/// The story of an LLM call.
async fn call_story(
    worker: &Worker,
    visit: &Visit<'_>,
    shape: ErrorShape,
    address: Address<'_>,
    body: ClientBody,
    account: &mut Account,
) -> Result<(Question, Success), Refusal> {
    let picture = visit.picture;
    let limits = &picture.snapshot.limits;
    visit.check_url()?;
    check_pulse(worker)?; // whether we keep up
    account.tagged(visit.tags()?); // what they call it
    let caller = visit.caller(worker, shape).await?; // who is asking
    note_caller(account, &caller);

    let mut question = {
        let upload = match address {
            Address::Media { .. } => Box::pin(upload::receive(body, visit.headers, limits)).await?, // files are passed on as they come
            _ => upload::whole(body, visit.headers, limits).await?, // what they send
        };
        note_upload(picture, &upload, account);
        read(visit, &caller, address, upload, account)? // what they ask, of which route, and what is kept of that
    };
    check_books(worker)?; // what is spent is written down
    question.framing = visit.framing(question.dialect);
    responses::recall(worker.responses.as_ref(), &caller, &mut question, limits).await?; // what was said before
    expand::expand(&mut question, limits)?; // the route's prompt, filled in
    let mut plan = plan(visit, &caller, &question)?; // whom we may ask, in order
    let user = note_asked(&question, account);
    let entry = entry(visit, &caller, &question, user.as_deref(), account);
    enter(worker, &entry, &mut plan, account).await?; // what they may use, reserved
    let success = attempts::first_success(
        worker,
        &question,
        &entry,
        &plan,
        &visit.forwarded(&question),
        limits,
        account,
    )
    .await?; // retries, fallbacks
    account.record.dropped.clone_from(&success.dropped);
    Ok((question, success))
}

/// Notes what has come, as it came.
fn note_upload(picture: &Picture, upload: &Upload, account: &mut Account) {
    account.record.request_bytes = upload.wire_bytes;
    if picture.snapshot.log_content == LogContent::Included {
        account.keep_content(&upload.bytes);
    }
}

/// Takes the route that was found. What is asked of it is kept by its policy, whether it is open to that or not.
fn take_route(
    picture: &Picture,
    found: Result<Arc<CompiledRoute>, Refusal>,
    body: &[u8],
    account: &mut Account,
) -> Result<Arc<CompiledRoute>, Refusal> {
    let asked = match &found {
        Ok(route) => Some(&route.route.name),
        Err(refusal) => refusal.route(),
    };
    if let Some(route) = asked {
        keep_payload(picture, route, body, account);
    }
    let route = found?;
    note_route(account, &route.route);
    Ok(route)
}

/// Keeps what is asked of a route, where the operator wants that of this call.
fn keep_payload(picture: &Picture, route: &RouteName, body: &[u8], account: &mut Account) {
    if let Some(payloads) = &picture.payloads
        && payloads.chooses(route.as_str())
    {
        account.keep_payload(payloads, body);
    }
}

/// The targets that a caller reaches by a route, the preferred first.
fn plan(
    visit: &Visit<'_>,
    caller: &Caller,
    question: &Question,
) -> Result<Vec<Arc<Lane>>, Refusal> {
    let route = question.route();
    let mut plan = route.tree.plan(visit.stickiness(question, caller));
    caller.keep_own(&mut plan, &route.route)?;
    Ok(plan)
}

/// Notes how much a call asks for. Gives for whom it is.
fn note_asked(question: &Question, account: &mut Account) -> Option<Arc<str>> {
    account.asked(Asked::of(question), question.sample());
    account.record.user.clone()
}

/// What the allowances are asked that are for a call.
fn entry<'a>(
    visit: &'a Visit<'_>,
    caller: &'a Caller,
    question: &'a Question,
    user: Option<&'a str>,
    account: &Account,
) -> Entry<'a> {
    let key = caller.key();
    Entry {
        allowances: &visit.picture.allowances,
        facts: Facts {
            key: key.map(|key| key.name.as_str()),
            team: key.and_then(|key| key.team.as_deref()),
            route: Some(question.route().route.name.as_str()),
            user,
            app: key.and_then(|key| key.app.as_deref()),
            organisation: key.and_then(|key| key.organisation.as_deref()),
            ..Facts::default()
        },
        asked: account.how_much(),
        is_again: false,
        now: account.wall(),
    }
}

/// Asks them.
async fn enter(
    worker: &Worker,
    entry: &Entry<'_>,
    plan: &mut Vec<Arc<Lane>>,
    account: &mut Account,
) -> Result<(), Refusal> {
    let counters = worker.gateway.counters();
    let permit = admission::enter(counters, worker.sharing.as_ref(), entry, plan).await?;
    account.permitted(permit);
    Ok(())
}

/// Refuses some calls while the worker does not keep up.
fn check_pulse(worker: &Worker) -> Result<(), Refusal> {
    if worker.pulse.refuses() {
        Err(Refusal::Behind)
    } else {
        Ok(())
    }
}

/// Nothing is spent that cannot be written down, unless the operator says otherwise.
fn check_books(worker: &Worker) -> Result<(), Refusal> {
    if worker.gateway.takes_calls() {
        Ok(())
    } else {
        Err(Refusal::BooksClosed)
    }
}

/// Reads as much of a call as routing needs.
fn read(
    visit: &Visit<'_>,
    caller: &Caller,
    address: Address<'_>,
    upload: Upload,
    account: &mut Account,
) -> Result<Question, Refusal> {
    let picture = visit.picture;
    match address {
        Address::Media { task, operation } => {
            return read_media(picture, caller, task, operation, upload, account);
        }
        Address::Plain { route, rest } => {
            return read_plain(visit, caller, (route, rest), upload, account);
        }
        _ => {}
    }
    let bytes = upload.bytes;
    let mut asked_for = Errand::Answer;
    let mut aside = None;
    let (dialect, head, found) = match address {
        Address::Media { .. } | Address::Plain { .. } => return Err(Refusal::ModelMissing),
        Address::Named {
            dialect,
            name,
            stream,
            errand,
        } => {
            account.record.client_dialect = Some(dialect);
            let name = paths::decoded(name);
            account.record.model_asked = Some(shorten(&name));
            let mut head = question::scan(dialect, &bytes, &picture.snapshot.limits)?;
            head.stream = stream.unwrap_or(head.stream);
            asked_for = errand;
            let found = picture.route_or_direct(&name, dialect.task(), caller);
            (dialect, head, found)
        }
        Address::Body(dialect) | Address::Side { dialect, .. } => {
            let mut head = question::scan(dialect, &bytes, &picture.snapshot.limits)?;
            if let Address::Side { side, .. } = address {
                aside = Some(side);
                head.stream = false;
            }
            account.record.client_dialect = Some(dialect);
            account.record.model_asked = head.model.as_deref().map(shorten);
            let found = match &head.model {
                Some(model) => picture.route_of_call(model, dialect, caller),
                None => Err(Refusal::ModelMissing),
            };
            (dialect, head, found)
        }
        Address::Path(name) => {
            account.record.model_asked = Some(shorten(name));
            let named = picture.named(name, caller)?;
            let dialect = address::dialect_of(named.route.task);
            account.record.client_dialect = Some(dialect);
            let head = question::scan(dialect, &bytes, &picture.snapshot.limits)?;
            (dialect, head, named.open_to(caller, name))
        }
    };
    note_head(account, &head);
    let route = take_route(picture, found, &bytes, account)?;
    Ok(Question::new(dialect, head, bytes, route, asked_for).asking(aside))
}

/// Takes in a request that is passed on as it is.
fn read_plain(
    visit: &Visit<'_>,
    caller: &Caller,
    (route, rest): (&str, &str),
    upload: Upload,
    account: &mut Account,
) -> Result<Question, Refusal> {
    let picture = visit.picture;
    let found = picture.route(route, caller);
    let route = take_route(picture, found, &upload.bytes, account)?;
    let request = PlainRequest::new(visit.method, rest, visit.query, &route.route)?;
    Ok(Question::plain_http(request, upload.bytes, route))
}

/// Reads which model a call for media asks for. OpenAI's clients may leave it out; where one route alone does what is asked, it is that.
fn read_media(
    picture: &Picture,
    caller: &Caller,
    task: Task,
    operation: &'static str,
    upload: Upload,
    account: &mut Account,
) -> Result<Question, Refusal> {
    account.record.client_dialect = Some(Dialect::OpenaiMedia);
    let (head, model) = match &upload.form {
        Some((form, _)) => (Head::default(), form.model().map(str::to_owned)),
        None => {
            let limits = &picture.snapshot.limits;
            let head = question::scan(Dialect::OpenaiMedia, &upload.bytes, limits)?;
            let model = head.model.clone();
            (head, model)
        }
    };
    account.record.model_asked = model.as_deref().map(shorten);
    let found = match &model {
        Some(model) => picture.route_or_direct(model, task, caller),
        None => picture
            .only_route(task, caller)
            .ok_or(Refusal::ModelMissing),
    };
    note_head(account, &head);
    let route = take_route(picture, found, &upload.bytes, account)?;
    Ok(Question::media(operation, head, upload, route))
}

fn note_caller(account: &mut Account, caller: &Caller) {
    let key = caller.key();
    account.record.key = key.map(|key| key.name.clone());
    account.record.team = key.and_then(|key| key.team.clone());
    account.record.app = key.and_then(|key| key.app.clone());
    account.record.user = key.and_then(|key| key.user.clone());
}

fn note_route(account: &mut Account, route: &Route) {
    account.record.route = Some(route.name.clone());
    account.record.task = Some(route.task);
}

/// Notes how a client asks, and for whom.
fn note_head(account: &mut Account, head: &Head) {
    let record = &mut account.record;
    // Whoever vouches for the caller knows the user better than the call does.
    if record.user.is_none() {
        record.user = head.user.as_deref().map(shorten).map(Arc::from);
    }
    record.streamed = head.stream;
    record.params = Params {
        temperature: head.temperature,
        top_p: head.top_p,
        max_tokens: head.max_tokens,
        stream: head.stream,
    };
}

/// The headers of an answer from a model.
fn answer_headers(
    visit: &Visit<'_>,
    question: &Question,
    success: &Success,
    account: &Account,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    headers.insert(ROUTE, question.route().header.clone());
    headers.insert(TARGET, success.engaged.lane().header().clone());
    headers.insert(ATTEMPTS, HeaderValue::from(account.record.attempts.len()));
    if !success.dropped.is_empty() {
        headers.insert(DROPPED, header_value(&success.dropped.join(", ")));
    }
    if let Some(permit) = account.permit() {
        permit.tell(&mut headers, account.heard_at());
    }
    if visit.wants_timing() {
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
    worker: &Worker,
    success: Success,
    framing: Framing,
    mut account: Account,
    headers: HeaderMap,
) -> Response<ReplyBody> {
    account.record.status = StatusCode::OK.as_u16();
    let turn_end = &worker.turn_end;
    let (body, content_type) = match success.answer {
        Reply::Whole(bytes) => (
            ReplyBody::accounted(bytes, account, Outcome::Answered),
            HeaderValue::from_static("application/json"),
        ),
        Reply::Bytes { content_type, body } => {
            account.stream_opened();
            let timeouts = success.engaged.lane().provider().timeouts;
            (
                ReplyBody::bytes(body, account, success.engaged, &timeouts, turn_end),
                content_type,
            )
        }
        Reply::Plain { head, body } => {
            account.record.status = head.status.as_u16();
            account.stream_opened();
            let timeouts = success.engaged.lane().provider().timeouts;
            let body = ReplyBody::bytes(body, account, success.engaged, &timeouts, turn_end);
            return plain_answer(*head, body, headers);
        }
        // Talks have a story of their own.
        Reply::Socket(_) => (
            ReplyBody::accounted(Bytes::new(), account, Outcome::Answered),
            HeaderValue::from_static("application/json"),
        ),
        Reply::Stream(relay) => {
            account.stream_opened();
            let timeouts = success.engaged.lane().provider().timeouts;
            (
                ReplyBody::stream(relay, account, success.engaged, &timeouts, turn_end),
                HeaderValue::from_static(match framing {
                    Framing::JsonArray => "application/json",
                    Framing::JsonLines => "application/x-ndjson",
                    Framing::Sse | Framing::AwsFrames | Framing::AwsChunks => {
                        "text/event-stream; charset=utf-8"
                    }
                }),
            )
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    let is_stream = content_type != "application/json";
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    if is_stream {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// An answer that goes to the client as the provider gave it, with the gateway's headers besides.
fn plain_answer(head: PlainHead, body: ReplyBody, headers: HeaderMap) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response.headers_mut().extend(headers);
    response
}

/// Lists and describes what may be asked for.
async fn describe(
    worker: &Worker,
    visit: &Visit<'_>,
    asked: paths::Asked<'_>,
    body: ClientBody,
) -> Result<Response<ReplyBody>, Refusal> {
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
    let caller = visit.caller(worker, asked.shape).await?;
    let gemini = asked.shape == ErrorShape::Gemini || visit.headers.contains_key("x-goog-api-key");
    let anthropic = asked.shape == ErrorShape::Anthropic;
    let name = match asked.what {
        What::Model(name) | What::Endpoint(name) | What::LegacyRoute(name) => paths::decoded(name),
        What::Show => {
            let limits = &picture.snapshot.limits;
            let bytes = body::collect(body, visit.headers, limits).await?.bytes;
            let head = question::scan(Dialect::OllamaChat, &bytes, limits)?;
            head.model.ok_or(Refusal::ModelMissing)?.into()
        }
        _ => "".into(),
    };
    let name = name.as_ref();
    let found = match asked.what {
        What::Response(id) | What::ForgetResponse(id) => {
            let id = paths::decoded(id);
            let line = worker.responses.as_ref();
            let line = line.ok_or_else(|| responses::unknown(&id))?;
            Some(match asked.what {
                What::Response(_) => line.find(&caller, &id).await?,
                _ => line.forget(&caller, &id).await?,
            })
        }
        What::Models if gemini => Some(listings::gemini_models(picture, &caller)),
        What::Model(_) if gemini => listings::gemini_model_named(picture, &caller, name),
        What::Models if anthropic => Some(listings::anthropic_models(picture, &caller)),
        What::Models => Some(listings::openai_models(picture, &caller)),
        What::Model(_) if anthropic => listings::anthropic_model_named(picture, &caller, name),
        What::Model(_) => listings::openai_model_named(picture, &caller, name),
        What::Endpoints => Some(listings::mlflow_endpoints(picture, &caller)),
        What::Endpoint(_) => listings::mlflow_endpoint_named(picture, &caller, name),
        What::LegacyRoutes => Some(listings::mlflow_legacy_routes(picture, &caller)),
        What::LegacyRoute(_) => listings::mlflow_legacy_route_named(picture, &caller, name),
        What::Tags => Some(listings::ollama_models(picture, &caller)),
        What::OllamaVersion => Some(listings::ollama_version()),
        What::OllamaRunning => Some(listings::ollama_running()),
        What::Show => listings::ollama_model_named(picture, &caller, name),
        _ => None,
    };
    let bytes = found.ok_or_else(|| Refusal::RouteUnknown {
        model: shorten(name),
        nearest: None,
    })?;
    Ok(json(StatusCode::OK, bytes))
}

fn readiness(worker: &Worker, picture: &Picture) -> Response<ReplyBody> {
    let (status, code) = if worker.gateway.is_draining() {
        ("draining", StatusCode::SERVICE_UNAVAILABLE)
    } else if !worker.gateway.takes_calls() {
        // Every call would be refused: others may have room.
        ("books_closed", StatusCode::SERVICE_UNAVAILABLE)
    } else {
        ("ready", StatusCode::OK)
    };
    let body = serde_json::json!({
        "status": status,
        "revision": picture.snapshot.revision.as_str(),
        "configuration": match worker.gateway.stale() {
            None => serde_json::json!({"status": "current"}),
            Some(problem) => serde_json::json!({"status": "kept: the newest one has mistakes", "problem": problem}),
        },
    });
    json(code, Bytes::from(body.to_string()))
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
