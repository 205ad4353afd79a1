//! A worker's connections to providers: taken out for a call, put back when its answer was read to the end.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body::{Body, Frame};
use hyper::{body::Incoming, client::conn::http1::SendRequest, upgrade::Upgraded};
use rustls::RootCertStore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tollgate_domain::{Timeouts, Transport};

use crate::{
    addresses::Reach,
    connect::{Connector, Origin},
    decode::Decoder,
    demo::{self, DemoBody},
    failure::{Failure, FailureKind},
    request_body::RequestBody,
};

/// What a worker's connections are bound by.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Connections kept for later, for each origin.
    pub idle_max_per_origin: usize,
    /// How long a connection is kept; less than the minute after which providers close them.
    pub idle_timeout: Duration,
    /// Certificates that are trusted; the platform's own where none are given.
    pub roots: Option<Arc<RootCertStore>>,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            idle_max_per_origin: 256,
            idle_timeout: Duration::from_secs(50),
            roots: None,
        }
    }
}

/// A worker's connections to providers. The lock is the worker's own and never held across a wait.
#[derive(Debug)]
pub struct Upstream {
    connector: Connector,
    settings: UpstreamSettings,
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
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
        body: Incoming,
        checkin: Option<Checkin>,
        decoder: Option<Box<Decoder>>,
    },
    Demo(DemoBody),
}

#[derive(Debug)]
struct Checkin {
    upstream: Weak<Upstream>,
    origin: Origin,
    sender: SendRequest<RequestBody>,
}

// === impl Upstream ===

impl Upstream {
    /// For one worker. Connections are tasks of the tracker.
    pub fn new(settings: UpstreamSettings, tracker: TaskTracker) -> Self {
        Self {
            connector: Connector::new(tracker, settings.roots.clone()),
            settings,
            idle: Mutex::default(),
        }
    }

    /// Sends a request and waits for the head of the answer. Only connecting has a time limit here; the caller bounds the rest, and dropping
    /// this future closes the connection.
    ///
    /// # Errors
    /// When no answer came. A connection that had been kept and turns out to be closed is replaced by a new one first.
    pub async fn send(
        self: &Arc<Self>,
        request: UpstreamRequest,
        timeouts: &Timeouts,
    ) -> Result<UpstreamResponse, Failure> {
        if request.transport == Transport::Demo {
            let (status, headers, body) = demo::answer(request.uri.path(), request.body.first());
            return Ok(UpstreamResponse {
                status,
                headers,
                body: UpstreamBody::new(Source::Demo(body)),
            });
        }
        let (origin, message) = into_message(request)?;
        // A body that the client sends only once gets a connection that is known to be open.
        while let Some(again) = again(&message)
            && let Some(mut sender) = self.take(&origin)
        {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.send_request(again).await {
                Ok(response) => return Ok(self.received(response, origin, sender)),
                // Closed by the provider just as it was taken: it has not answered, so a new connection may be asked.
                Err(error) if !error.is_parse() => break,
                Err(error) => return Err(Failure::before_head(error)),
            }
        }
        let mut sender = self.connector.connect(&origin, timeouts.connect).await?;
        let response = sender
            .send_request(message)
            .await
            .map_err(Failure::before_head)?;
        Ok(self.received(response, origin, sender))
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
    ) -> Result<Result<Upgraded, UpstreamResponse>, Failure> {
        let (origin, mut message) = into_message(request)?;
        *message.method_mut() = Method::GET;
        *message.body_mut() = RequestBody::whole(Bytes::new());
        let headers = message.headers_mut();
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
        let mut sender = self.connector.connect(&origin, timeouts.connect).await?;
        let response = sender
            .send_request(message)
            .await
            .map_err(Failure::before_head)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Err(self.received(response, origin, sender)));
        }
        let upgraded = hyper::upgrade::on(response).await;
        upgraded.map(Ok).map_err(Failure::in_body)
    }

    /// Where tasks belong that outlive a call: the drain waits for them.
    pub fn tasks(&self) -> &TaskTracker {
        self.connector.tasks()
    }

    /// Closes the connections that wait; those in use close when their answers end.
    pub fn close_idle(&self) {
        self.idle().clear();
    }

    fn received(
        self: &Arc<Self>,
        response: http::Response<Incoming>,
        origin: Origin,
        sender: SendRequest<RequestBody>,
    ) -> UpstreamResponse {
        let (head, body) = response.into_parts();
        let decoder = Decoder::for_answer(&head.headers).map(Box::new);
        let checkin = Some(Checkin {
            upstream: Arc::downgrade(self),
            origin,
            sender,
        });
        UpstreamResponse {
            status: head.status,
            headers: head.headers,
            body: UpstreamBody::new(Source::Wire {
                body,
                checkin,
                decoder,
            }),
        }
    }

    /// The connection that was used last, if it is still open.
    fn take(&self, origin: &Origin) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle();
        let kept = idle.get_mut(origin)?;
        let now = Instant::now();
        while let Some(Idle { sender, since }) = kept.pop() {
            if !sender.is_closed() && now < since + self.settings.idle_timeout {
                return Some(sender);
            }
        }
        None
    }

    fn put_back(&self, checkin: Checkin) {
        if checkin.sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle();
        let kept = idle.entry(checkin.origin).or_default();
        if kept.len() >= self.settings.idle_max_per_origin {
            // The oldest is at the front, and the likeliest to be closed.
            kept.remove(0);
        }
        kept.push(Idle {
            sender: checkin.sender,
            since: now,
        });
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same message once more, where its body can be sent twice.
fn again(message: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut again = Request::new(message.body().again()?);
    *again.method_mut() = message.method().clone();
    *again.uri_mut() = message.uri().clone();
    *again.headers_mut() = message.headers().clone();
    Some(again)
}

/// Turns an absolute address into an origin and a request for it.
fn into_message(request: UpstreamRequest) -> Result<(Origin, Request<RequestBody>), Failure> {
    let uri = &request.uri;
    let tls = uri.scheme_str() == Some("https");
    let authority = uri
        .authority()
        .ok_or_else(|| Failure::plain(FailureKind::Dns))?;
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let origin = Origin {
        tls,
        host: authority.host().into(),
        port,
        reach: request.reach,
    };
    let host = host_of(uri).ok_or_else(|| Failure::plain(FailureKind::Dns))?;
    let mut message = Request::new(request.body);
    *message.method_mut() = request.method;
    *message.uri_mut() = Uri::from(
        uri.path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/")),
    );
    *message.headers_mut() = request.headers;
    let host =
        HeaderValue::from_str(&host).map_err(|error| Failure::new(FailureKind::Dns, error))?;
    message.headers_mut().insert(header::HOST, host);
    Ok((origin, message))
}

/// The value of `host`.
pub(crate) fn host_of(uri: &Uri) -> Option<String> {
    let authority = uri.authority()?;
    Some(match authority.port() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    })
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
                body,
                checkin,
                decoder,
            } => loop {
                if let Some(decoder) = decoder
                    && let Some(unpacked) = decoder.next().transpose()
                {
                    return Poll::Ready(Some(unpacked.map(Frame::data)));
                }
                match std::task::ready!(Pin::new(&mut *body).poll_frame(context)) {
                    Some(Ok(frame)) => match (&mut *decoder, frame.into_data()) {
                        (Some(decoder), Ok(data)) => decoder.push(data),
                        (None, Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        (_, Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                    },
                    Some(Err(error)) => {
                        *checkin = None;
                        return Poll::Ready(Some(Err(Failure::in_body(error))));
                    }
                    None => {
                        if let Some(checkin) = checkin.take()
                            && let Some(upstream) = checkin.upstream.upgrade()
                        {
                            upstream.put_back(checkin);
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
}
