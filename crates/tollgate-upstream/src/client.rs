//! A worker's connections to providers: taken out for a call, put back when its answer was read to the end.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use rustls::RootCertStore;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_domain::{Timeouts, Transport};
use tollgate_http1::Scratch;

use crate::{
    addresses::Reach,
    connect::{Connector, Origin},
    connection::{Connection, Message, ProviderSocket},
    decode::Decoder,
    demo::{self, DemoBody},
    failure::{Failure, FailureKind},
    request_body::RequestBody,
};

/// As many connections to a provider are kept by a worker as callers may wait for it at once: of fewer, those that are beyond would be closed
/// after each call, and others opened, which costs more than the calls.
const IDLE_MAX_PER_ORIGIN: usize = 4096;

/// What a worker's connections are bound by.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Connections kept for later, for each origin.
    pub idle_max_per_origin: usize,
    /// Certificates that are trusted; the platform's own where none are given.
    pub roots: Option<Arc<RootCertStore>>,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            idle_max_per_origin: IDLE_MAX_PER_ORIGIN,
            roots: None,
        }
    }
}

/// How often connections that wait are looked through.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(5);

/// So many times one is found waiting before it is closed: after less than the minute after which providers close them.
const ROUNDS_MAX: u32 = 10;

/// A worker's connections to providers. The lock is the worker's own and never held across a wait.
#[derive(Debug)]
pub struct Upstream {
    connector: Connector,
    settings: UpstreamSettings,
    tracker: TaskTracker,
    scratch: Arc<Scratch>,
    waiting: Mutex<Waiting>,
    /// Nobody has to look through them any more.
    closed: CancellationToken,
}

/// Connections that wait for their next request.
#[derive(Debug, Default)]
struct Waiting {
    kept: HashMap<Origin, VecDeque<Idle>>,
    /// How often they were looked through.
    round: u32,
    /// Whether somebody looks them through.
    is_watched: bool,
    /// Whether none is kept any more.
    is_over: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    /// The round that it came in.
    since: u32,
}

/// A request to a provider.
pub struct UpstreamRequest {
    /// `POST` for every call; issuers of credentials want others, too.
    pub(crate) method: Method,
    /// The whole address.
    pub uri: Uri,
    /// All headers but `host` and `content-length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// How the provider is reached.
    pub(crate) transport: Transport,
    /// How far the address's name may lead.
    pub(crate) reach: Reach,
}

/// Where a request went and how: for others that follow it.
#[derive(Clone)]
pub struct Way {
    /// The whole address.
    pub uri: Uri,
    /// All headers but `host` and `content-length`, credentials among them. No signature fits any other request.
    pub headers: HeaderMap,
    transport: Transport,
    reach: Reach,
}

impl UpstreamRequest {
    /// The way it goes.
    pub fn way(&self) -> Way {
        Way {
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            transport: self.transport.clone(),
            reach: self.reach,
        }
    }
}

impl Way {
    /// A request without a body, of the same way.
    pub fn request(&self, method: Method, uri: Uri, headers: HeaderMap) -> UpstreamRequest {
        UpstreamRequest {
            method,
            uri,
            headers,
            body: RequestBody::whole(Bytes::new()),
            transport: self.transport.clone(),
            reach: self.reach,
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Way")
    }
}

/// A provider's answer, its body still to come.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
}

/// The body of a provider's answer. Read to its end, it puts its connection back; dropped before, it closes it, which tells the
/// provider to stop.
#[derive(Debug)]
pub struct UpstreamBody {
    source: Source,
    /// Read already, to see what it is.
    first: Option<Bytes>,
}

#[derive(Debug)]
enum Source {
    Wire {
        connection: Option<Box<Connection>>,
        home: Home,
        decoder: Option<Box<Decoder>>,
    },
    Demo(DemoBody),
}

/// Where a connection is put back.
#[derive(Debug)]
struct Home {
    upstream: Weak<Upstream>,
    origin: Origin,
}

// === impl Upstream ===

impl Upstream {
    /// For one worker. What is done for its connections aside is a task of the tracker.
    pub fn new(settings: UpstreamSettings, tracker: TaskTracker) -> Self {
        Self {
            connector: Connector::new(settings.roots.clone()),
            settings,
            tracker,
            scratch: Arc::default(),
            waiting: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Sends a request and waits for the head of the answer. Only connecting has a time limit here; the caller bounds the rest, and dropping
    /// this future closes the connection.
    ///
    /// # Errors
    /// When no answer came. A connection that had been kept and turns out to be closed is replaced by a new one first.
    pub fn send(
        self: &Arc<Self>,
        request: UpstreamRequest,
        timeouts: &Timeouts,
    ) -> impl Future<Output = Result<UpstreamResponse, Failure>> + Send {
        // What waits for the answer, perhaps for long, holds what is sent and no more.
        let written = Written::of(request);
        async move {
            let (origin, message) = match written? {
                Written::Demo(response) => return Ok(*response),
                Written::Wire(origin, message) => (origin, message),
            };
            if let Some(mut connection) = self.ask_kept(&origin, &message) {
                match answer_head(&mut connection).await {
                    Ok(head) => return Ok(self.received(head, connection, origin)),
                    // Closed by the provider just as it was taken: it has not answered, so a new connection may be asked.
                    Err(failure) if failure.kind() == FailureKind::ClosedBeforeHead => {}
                    Err(failure) => return Err(failure),
                }
            }
            let mut connection = Box::pin(self.connect(&origin, timeouts)).await?;
            connection.begin(message);
            let head = answer_head(&mut connection).await?;
            Ok(self.received(head, connection, origin))
        }
    }

    /// Asks for a WebSocket, on a connection of its own. `protocol` is what is to be spoken on it.
    ///
    /// # Errors
    /// When no answer came. An answer that is no switch of protocols is given as it is.
    pub async fn open_socket(
        self: &Arc<Self>,
        request: UpstreamRequest,
        protocol: Option<&HeaderValue>,
        timeouts: &Timeouts,
    ) -> Result<Result<ProviderSocket, UpstreamResponse>, Failure> {
        let (origin, host) = origin_of(&request.uri, request.reach)?;
        let mut headers = request.headers;
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            headers.remove(name);
        }
        let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let nonce = HeaderValue::from_str(&STANDARD.encode(nonce))
            .map_err(|error| Failure::new(FailureKind::Protocol, error))?;
        headers.insert(header::SEC_WEBSOCKET_KEY, nonce);
        for (name, value) in [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        let nothing = RequestBody::whole(Bytes::new());
        let message = Message::new(&Method::GET, host, &request.uri, &headers, nothing);
        let mut connection = Box::pin(self.connect(&origin, timeouts)).await?;
        connection.begin(message);
        let head = poll_fn(|context| connection.poll_head(context)).await?;
        Ok(if head.0 == StatusCode::SWITCHING_PROTOCOLS {
            Ok(connection.into_socket())
        } else {
            Err(self.received(head, connection, origin))
        })
    }

    async fn connect(
        &self,
        origin: &Origin,
        timeouts: &Timeouts,
    ) -> Result<Box<Connection>, Failure> {
        let socket = self.connector.connect(origin, timeouts.connect).await?;
        let scratch = Arc::clone(&self.scratch);
        Ok(Box::new(Connection::new(socket, scratch)))
    }

    /// Where tasks belong that outlive a call: the drain waits for them.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Closes the connections that wait; those in use close when their answers end.
    pub fn close_idle(&self) {
        self.closed.cancel();
        let mut waiting = self.waiting();
        waiting.is_over = true;
        waiting.kept.clear();
    }

    fn received(
        self: &Arc<Self>,
        (status, headers): (StatusCode, HeaderMap),
        connection: Box<Connection>,
        origin: Origin,
    ) -> UpstreamResponse {
        let decoder = Decoder::for_answer(&headers).map(Box::new);
        UpstreamResponse {
            status,
            headers,
            body: UpstreamBody::new(Source::Wire {
                connection: Some(connection),
                home: Home {
                    upstream: Arc::downgrade(self),
                    origin,
                },
                decoder,
            }),
        }
    }

    /// The connection that was used last, with a request begun on it. A body that the client sends only once gets a new one.
    fn ask_kept(&self, origin: &Origin, message: &Message) -> Option<Box<Connection>> {
        let again = message.again()?;
        let mut connection = self.take(origin)?;
        connection.begin(again);
        Some(connection)
    }

    /// The connection that was used last, if it is still open.
    fn take(&self, origin: &Origin) -> Option<Box<Connection>> {
        let mut waiting = self.waiting();
        let kept = waiting.kept.get_mut(origin)?;
        while let Some(idle) = kept.pop_back() {
            let mut connection = idle.connection;
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn put_back(self: &Arc<Self>, connection: Box<Connection>, origin: &Origin) {
        let mut waiting = self.waiting();
        if !connection.is_reusable() || waiting.is_over {
            return;
        }
        let since = waiting.round;
        let idle = Idle { connection, since };
        match waiting.kept.get_mut(origin) {
            Some(kept) => {
                if kept.len() >= self.settings.idle_max_per_origin {
                    // The oldest is at the front, and the likeliest to be closed.
                    kept.pop_front();
                }
                kept.push_back(idle);
            }
            None => {
                waiting.kept.insert(origin.clone(), VecDeque::from([idle]));
            }
        }
        if !std::mem::replace(&mut waiting.is_watched, true) {
            let watch = watch(Arc::downgrade(self), self.closed.clone());
            self.tracker.spawn(watch);
        }
    }

    /// Closes connections that have waited for too long, or that their providers have closed. Says whether others wait.
    fn look_through(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.round = waiting.round.wrapping_add(1);
        let round = waiting.round;
        waiting.kept.retain(|_, kept| {
            kept.retain_mut(|idle| idle.is_good(round));
            !kept.is_empty()
        });
        waiting.is_watched = !waiting.kept.is_empty();
        waiting.is_watched
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Idle {
    fn is_good(&mut self, round: u32) -> bool {
        round.wrapping_sub(self.since) <= ROUNDS_MAX && self.connection.is_open()
    }
}

/// Looks through the connections that wait, as long as there are any.
async fn watch(upstream: Weak<Upstream>, closed: CancellationToken) {
    let looking = async {
        loop {
            sleep(LOOK_THROUGH_EVERY).await;
            if !upstream
                .upgrade()
                .is_some_and(|upstream| upstream.look_through())
            {
                break;
            }
        }
    };
    let _ended = closed.run_until_cancelled(looking).await;
}

/// Sends the request that was begun, and waits for the head of its answer.
async fn answer_head(connection: &mut Connection) -> Result<(StatusCode, HeaderMap), Failure> {
    let head = poll_fn(|context| connection.poll_head(context)).await?;
    if head.0 == StatusCode::SWITCHING_PROTOCOLS {
        let text = "it speaks another protocol, which nobody asked for";
        return Err(Failure::new(FailureKind::Protocol, text));
    }
    Ok(head)
}

/// Where a request goes, and its `host`.
fn origin_of(uri: &Uri, reach: Reach) -> Result<(Origin, &str), Failure> {
    let tls = uri.scheme_str() == Some("https");
    let authority = uri
        .authority()
        .ok_or_else(|| Failure::plain(FailureKind::Dns))?;
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let origin = Origin {
        tls,
        host: authority.host().into(),
        port,
        reach,
    };
    let host = host_of(uri).ok_or_else(|| Failure::plain(FailureKind::Dns))?;
    Ok((origin, host))
}

/// The value of `host`.
pub(crate) fn host_of(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?.as_str();
    // Who asks is not for the header.
    let host = authority.rsplit('@').next()?;
    Some(host.strip_suffix(':').unwrap_or(host))
}

/// A request as it is sent.
enum Written {
    Wire(Origin, Message),
    /// Answered already. Boxed, since few are.
    Demo(Box<UpstreamResponse>),
}

impl Written {
    fn of(request: UpstreamRequest) -> Result<Self, Failure> {
        if request.transport == Transport::Demo {
            let (status, headers, body) = demo::answer(request.uri.path(), request.body.first());
            return Ok(Self::Demo(Box::new(UpstreamResponse {
                status,
                headers,
                body: UpstreamBody::new(Source::Demo(body)),
            })));
        }
        let (origin, host) = origin_of(&request.uri, request.reach)?;
        let message = Message::new(
            &request.method,
            host,
            &request.uri,
            &request.headers,
            request.body,
        );
        Ok(Self::Wire(origin, message))
    }
}

// === impl UpstreamRequest ===

impl fmt::Debug for UpstreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a key, and the body is the caller's.
        f.debug_struct("UpstreamRequest")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

// === impl UpstreamBody ===

impl UpstreamBody {
    fn new(source: Source) -> Self {
        Self {
            source,
            first: None,
        }
    }

    /// Waits for the first bytes, and leaves them where they are. Empty where there are none.
    ///
    /// # Errors
    /// When the connection breaks before.
    pub async fn peek(&mut self) -> Result<&[u8], Failure> {
        while self.first.as_ref().is_none_or(Bytes::is_empty) {
            self.first = None;
            let next = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await;
            let Some(frame) = next.transpose()? else {
                break;
            };
            self.first = frame.into_data().ok();
        }
        Ok(self.first.as_deref().unwrap_or_default())
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut this.source {
            Source::Demo(body) => body
                .poll_data(context)
                .map(|data| data.map(|data| Ok(Frame::data(data)))),
            Source::Wire {
                connection,
                home,
                decoder,
            } => loop {
                if let Some(decoder) = decoder
                    && let Some(unpacked) = decoder.next().transpose()
                {
                    return Poll::Ready(Some(unpacked.map(Frame::data)));
                }
                let came = match connection {
                    Some(connection) => std::task::ready!(connection.poll_data(context)),
                    None => return Poll::Ready(None),
                };
                match (came, &mut *decoder) {
                    (Some(Ok(data)), Some(decoder)) => decoder.push(data),
                    (Some(Ok(data)), None) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    (Some(Err(failure)), _) => {
                        *connection = None;
                        return Poll::Ready(Some(Err(failure)));
                    }
                    (None, _) => {
                        if let Some(connection) = connection.take()
                            && let Some(upstream) = home.upstream.upgrade()
                        {
                            upstream.put_back(connection, &home.origin);
                        }
                        let left = decoder.take().map(|decoder| decoder.finish()).transpose();
                        return Poll::Ready(
                            left.map(|left| left.filter(|left| !left.is_empty()).map(Frame::data))
                                .transpose(),
                        );
                    }
                }
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        match &self.source {
            Source::Wire {
                connection: Some(connection),
                decoder: None,
                ..
            } => connection
                .left()
                .map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + first)),
            Source::Wire { .. } | Source::Demo(_) => SizeHint::default(),
        }
    }
}
