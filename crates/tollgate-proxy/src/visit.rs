//! A request's visit: what its head says, before its body is read. What follows from it, and when, is told in [`crate::flow`].

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;
use tollgate_domain::{Dialect, ErrorShape, Framing, Limits, Sticky, Unmetered, Usage};
use tollgate_telemetry::{CallRecord, Outcome, Params};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    account::Account,
    gateway::Worker,
    keys::{self, Caller},
    paths::{self, What},
    picture::Picture,
    plain,
    question::Question,
    refusal::Refusal,
    routes,
};

/// Tags of a caller's at most, and bytes of each.
pub(crate) const TAGS_MAX: usize = 16;
pub(crate) const TAG_BYTES_MAX: usize = 64;

/// Names a request, for its client and for the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const TAGS: HeaderName = HeaderName::from_static("x-tollgate-tags");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
const TIMING: HeaderName = HeaderName::from_static("x-tollgate-timing");

/// Headers that mean something here, and that few calls have: most calls are asked once for all of them.
static RARE: [HeaderName; 7] = [
    REQUEST_ID,
    TAGS,
    TRACEPARENT,
    TRACESTATE,
    ANTHROPIC_BETA,
    OPENAI_BETA,
    TIMING,
];

/// What is known of a request before its body is read.
pub(crate) struct Visit<'a> {
    pub(crate) picture: &'a Picture,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// May hold a key: never shown.
    pub(crate) query: Option<&'a str>,
    pub(crate) uri_bytes: usize,
    pub(crate) headers: &'a HeaderMap,
    /// The same, where there are any of [`RARE`] among them.
    rare: Option<&'a HeaderMap>,
    /// Its address, or what a proxy says that is trusted.
    pub(crate) client: IpAddr,
    pub(crate) request_id: Arc<str>,
    /// The client gave it, who may give it to others, too.
    is_own: bool,
    /// Since 1970-01-01 UTC.
    pub(crate) now: Duration,
    pub(crate) started: Instant,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(
        picture: &'a Picture,
        head: &'a http::request::Parts,
        client: SocketAddr,
        now: Duration,
    ) -> Self {
        let uri = &head.uri;
        let rare = Some(&head.headers).filter(|headers| has_any(headers, &RARE));
        let sent = rare.and_then(|headers| headers.get(REQUEST_ID));
        let (request_id, is_own) = request_id(sent, now);
        Self {
            picture,
            method: &head.method,
            path: uri.path(),
            query: uri.query(),
            uri_bytes: uri.path().len() + uri.query().map_or(0, str::len),
            headers: &head.headers,
            rare,
            client: client_address(client.ip(), &head.headers, &picture.snapshot.limits),
            request_id,
            is_own,
            now,
            started: Instant::now(),
        }
    }

    /// What is asked for. OpenAI's and Anthropic's clients list models at the same path; only the latter send a version.
    pub(crate) fn asked(&self) -> paths::Asked<'a> {
        let mut asked = self.picture.asked(self.method, self.path);
        let listing = matches!(asked.what, What::Models | What::Model(_));
        if listing && self.headers.contains_key("anthropic-version") {
            asked.shape = ErrorShape::Anthropic;
        }
        asked
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        keys::parameter(self.query?, name)
    }

    /// What the caller tags the call with: `x-tollgate-tags`, apart by commas.
    ///
    /// # Errors
    /// When there are too many, or one is too long or no plain text.
    pub(crate) fn tags(&self) -> Result<Vec<Arc<str>>, Refusal> {
        let mut tags: Vec<Arc<str>> = Vec::new();
        let Some(headers) = self.rare else {
            return Ok(tags);
        };
        for line in headers.get_all(TAGS) {
            let line = line.to_str().map_err(|_| Refusal::TagsInvalid)?;
            for tag in line.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                if tag.len() > TAG_BYTES_MAX || tags.len() >= TAGS_MAX {
                    return Err(Refusal::TagsInvalid);
                }
                if tags.iter().all(|known| **known != *tag) {
                    tags.push(tag.into());
                }
            }
        }
        Ok(tags)
    }

    pub(crate) fn check_url(&self) -> Result<(), Refusal> {
        let bytes_max = self.picture.snapshot.limits.url_bytes_max;
        if self.uri_bytes > bytes_max {
            Err(Refusal::UrlTooLong { bytes_max })
        } else {
            Ok(())
        }
    }

    /// Who is asking. Gemini's clients may send their key in the query.
    pub(crate) async fn caller(
        &self,
        worker: &Worker,
        shape: ErrorShape,
    ) -> Result<Caller, Refusal> {
        let query = self.query.filter(|_| shape == ErrorShape::Gemini);
        let from = self.from();
        keys::identify(worker, self.picture, self.headers, query, from, self.now).await
    }

    /// What is asked from where.
    pub(crate) fn from(&self) -> keys::From<'_> {
        keys::From {
            path: self.path,
            client: self.client,
        }
    }

    /// How streams of a dialect are cut into events for this client.
    pub(crate) fn framing(&self, dialect: Dialect) -> Framing {
        let alternative = self.parameter("alt");
        match dialect {
            Dialect::GeminiGenerate if alternative.as_deref() != Some("sse") => Framing::JsonArray,
            dialect => dialect.framing(),
        }
    }

    /// Opens the request's record.
    pub(crate) fn account(&self, worker: &Worker, path: &'static str) -> Account {
        let record = CallRecord {
            id: self.is_own.then(|| new_id(self.now)),
            request_id: Arc::clone(&self.request_id),
            came_at: self.now,
            revision: self.picture.snapshot.revision.clone(),
            client_address: self.client,
            method: self.method.clone(),
            path,
            key: None,
            team: None,
            app: None,
            user: None,
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
            unmetered: Unmetered::default(),
            cost: None,
            hold: None,
            answering_model: None,
            finish_reason: None,
            params: Params::default(),
            tags: Vec::new(),
            dropped: Vec::new(),
            duration: Duration::ZERO,
            provider_time: Duration::ZERO,
            time_to_first_token: None,
            request_bytes: 0,
            response_bytes: 0,
            traceparent: self
                .rare
                .and_then(|headers| headers.get(TRACEPARENT))
                .and_then(|value| value.to_str().ok())
                .map(Arc::from),
            content: None,
            payload: None,
        };
        Account::open(record, self.started, &worker.witness)
            .redacting(self.picture.payloads.as_ref())
    }

    /// The caller's headers that go to the provider: its trace and the beta features that it asks Anthropic for,
    /// and nothing that could hold a credential; of plain HTTP all that are not for the gateway.
    pub(crate) fn forwarded(&self, question: &Question) -> HeaderMap {
        if question.plain().is_some() {
            return plain::to_provider(self.headers);
        }
        let mut forwarded = HeaderMap::new();
        if question.dialect == Dialect::OpenaiMedia {
            // Forms have a boundary, and answers may be anything.
            if let Some(content_type) = self.headers.get(header::CONTENT_TYPE) {
                forwarded.insert(header::CONTENT_TYPE, content_type.clone());
            }
            forwarded.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
            if let Some(beta) = self.headers.get(OPENAI_BETA) {
                forwarded.insert(OPENAI_BETA, beta.clone());
            }
        }
        let Some(headers) = self.rare else {
            return forwarded;
        };
        for name in [TRACEPARENT, TRACESTATE] {
            if let Some(value) = headers.get(&name) {
                forwarded.insert(name, value.clone());
            }
        }
        // There may be several lines of them.
        for features in headers.get_all(ANTHROPIC_BETA) {
            forwarded.append(ANTHROPIC_BETA, features.clone());
        }
        forwarded
    }

    /// Whether the client wants to know how long what took.
    pub(crate) fn wants_timing(&self) -> bool {
        self.rare
            .is_some_and(|headers| headers.contains_key(TIMING))
    }

    /// What keeps this caller with the same choice, where the route asks for that.
    pub(crate) fn stickiness(&self, question: &Question, caller: &Caller) -> routes::Stickiness {
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

/// The client's address: that of the connection, or behind proxies that are trusted the last one that is none of them.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, limits: &Limits) -> IpAddr {
    if !limits.trusts(peer) {
        return peer;
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let named = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','));
    let mut client = peer;
    for text in named {
        // What cannot be read was written by nobody who is trusted.
        let Some(address) = address(text.trim()) else {
            break;
        };
        client = address;
        if !limits.trusts(address) {
            break;
        }
    }
    client
}

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let bare = bare.map_or(text, |(address, _)| address);
    bare.parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// The client's own id where it is well-formed, else a new one. Says whether it is the client's.
fn request_id(sent: Option<&HeaderValue>, now: Duration) -> (Arc<str>, bool) {
    let sent = sent.and_then(|value| value.to_str().ok());
    let well_formed = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    if let Some(id) = sent.filter(well_formed) {
        return (id.into(), true);
    }
    let mut digits = Uuid::encode_buffer();
    let id: &str = new_id(now).simple().encode_lower(&mut digits);
    (id.into(), false)
}

fn new_id(now: Duration) -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

/// Whether any of these headers is there.
pub(crate) fn has_any(headers: &HeaderMap, names: &[HeaderName]) -> bool {
    headers.keys().any(|name| names.contains(name))
}
