//! A worker's connections to providers: taken out for a call, put back when its answer was read to the end.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use rustls::RootCertStore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tollgate_domain::{Timeouts, Transport};

use crate::{
    connect::{Connector, Origin},
    demo::{self, DemoBody},
    failure::{Failure, FailureKind},
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
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// A request to a provider.
#[derive(Clone)]
pub struct UpstreamRequest {
    /// `POST` for every call; issuers of credentials want others, too.
    pub(crate) method: Method,
    /// The whole address.
    pub uri: Uri,
    /// All headers but `host` and `content-length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How the provider is reached.
    pub(crate) transport: Transport,
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
pub struct UpstreamBody(Source);

#[derive(Debug)]
enum Source {
    Wire {
        body: Incoming,
        checkin: Option<Checkin>,
    },
    Demo(DemoBody),
}

#[derive(Debug)]
struct Checkin {
    upstream: Weak<Upstream>,
    origin: Origin,
    sender: SendRequest<Full<Bytes>>,
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
            let (status, headers, body) = demo::answer(request.uri.path(), &request.body);
            return Ok(UpstreamResponse {
                status,
                headers,
                body: UpstreamBody(Source::Demo(body)),
            });
        }
        let (origin, message) = into_message(request)?;
        while let Some(mut sender) = self.take(&origin) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.send_request(message.clone()).await {
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
        sender: SendRequest<Full<Bytes>>,
    ) -> UpstreamResponse {
        let (head, body) = response.into_parts();
        let checkin = Some(Checkin {
            upstream: Arc::downgrade(self),
            origin,
            sender,
        });
        UpstreamResponse {
            status: head.status,
            headers: head.headers,
            body: UpstreamBody(Source::Wire { body, checkin }),
        }
    }

    /// The connection that was used last, if it is still open.
    fn take(&self, origin: &Origin) -> Option<SendRequest<Full<Bytes>>> {
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

/// Turns an absolute address into an origin and a request for it.
fn into_message(request: UpstreamRequest) -> Result<(Origin, Request<Full<Bytes>>), Failure> {
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
    };
    let host = host_of(uri).ok_or_else(|| Failure::plain(FailureKind::Dns))?;
    let mut message = Request::new(Full::new(request.body));
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
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

// === impl UpstreamBody ===

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut self.get_mut().0 {
            Source::Demo(body) => body
                .poll_data(context)
                .map(|data| data.map(|data| Ok(Frame::data(data)))),
            Source::Wire { body, checkin } => {
                let polled = std::task::ready!(Pin::new(body).poll_frame(context));
                match polled {
                    Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                    Some(Err(error)) => {
                        *checkin = None;
                        Poll::Ready(Some(Err(Failure::in_body(error))))
                    }
                    None => {
                        if let Some(checkin) = checkin.take()
                            && let Some(upstream) = checkin.upstream.upgrade()
                        {
                            upstream.put_back(checkin);
                        }
                        Poll::Ready(None)
                    }
                }
            }
        }
    }
}
