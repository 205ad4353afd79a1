//! Listeners: clients are let in, or turned away; what happens on a connection is told in `connection`. What a request means is not known here.

mod connection;
mod reader;
mod stall;
mod writer;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_domain::Limits;
use tollgate_http1::HttpError;

use connection::{Connection, Desk};
pub use reader::{BodyError, ClientBody};
pub use stall::StallGuard;
use writer::DateLine;

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;

/// Pause after the system refused to accept, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for writing a last word to a client that is turned away.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a client is turned away whose request is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TurnedAway {
    /// There are as many connections as there may be.
    #[error("the gateway has as many connections as it may have; try again")]
    TooManyConnections,
    /// A request's head did not come to its end in time.
    #[error("the request's head did not arrive in time")]
    HeadTooSlow,
    /// A request's head is longer, or has more headers, than it may.
    #[error("the request's head is too long, or has too many headers")]
    HeadTooLarge,
    /// What comes is not HTTP/1.1 as it has to be.
    #[error("the request cannot be read: {0}")]
    NotHttp(HttpError),
}

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static;

    /// What its clients are told when no request is read: the type of the content, and that.
    fn last_word(why: TurnedAway) -> (&'static str, String) {
        let kind = match why {
            TurnedAway::TooManyConnections => "overloaded",
            _ => "invalid_request_error",
        };
        let told = json!({"error": {"message": why.to_string(), "type": kind, "param": null, "code": why.code()}});
        ("application/json", told.to_string())
    }

    /// Answers one request. Dropped when the client leaves.
    fn call(
        &self,
        request: Request<ClientBody>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The time for draining is as good as up: whoever has no answer yet is told so now.
    fn hurry(&self) {}
}

/// A client's socket.
pub type ClientSocket = StallGuard<TcpStream>;

type Continuation =
    Box<dyn FnOnce(ClientSocket, Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Rides in an answer of status 101: what is done with the connection once the answer is written.
///
/// It is done by the connection's own task, so that it is counted, and waited for when the gateway goes down.
#[derive(Clone)]
pub struct Upgrade(Arc<Mutex<Option<Continuation>>>);

impl Upgrade {
    /// `go_on` gets the socket, and what the client has sent on it already.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        go_on: impl FnOnce(ClientSocket, Bytes) -> F + Send + 'static,
    ) -> Self {
        let go_on: Continuation = Box::new(|socket, sent| Box::pin(go_on(socket, sent)));
        Self(Arc::new(Mutex::new(Some(go_on))))
    }

    fn take(&self) -> Option<Continuation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How many connections are open, over all workers.
#[derive(Debug, Default)]
pub struct ConnectionCount(AtomicUsize);

/// A connection that is counted while it lives.
#[derive(Debug)]
struct Counted(Arc<ConnectionCount>);

impl ConnectionCount {
    fn enter(self: &Arc<Self>, max: usize) -> Option<Counted> {
        let counted = Counted(Arc::clone(self));
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds one listener for each worker at the same address; the kernel spreads connections among them.
///
/// # Errors
/// When the address is not to be had.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    let first = listener(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listener(address)?);
    }
    Ok(listeners)
}

fn listener(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts and serves connections until shutdown, then lets those in flight finish within the limits' `drain_timeout`.
///
/// # Errors
/// When the listener cannot be used at all.
pub async fn serve_worker<H: Handler>(
    listener: StdListener,
    handler: H,
    limits: Limits,
    count: Arc<ConnectionCount>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = TaskTracker::new();
    let desk = Arc::new(Desk {
        handler,
        limits,
        shutdown: shutdown.clone(),
        scratch: Arc::default(),
        date: DateLine::default(),
    });
    let admit = |stream: TcpStream, client: SocketAddr| {
        match count.enter(desk.limits.connections_max) {
            Some(counted) => connections.spawn(Connection::serve(
                stream,
                client,
                Arc::clone(&desk),
                counted,
            )),
            None => connections.spawn(turn_away(
                stream,
                TurnedAway::TooManyConnections.words::<H>(),
            )),
        };
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => admit(stream, client),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Those that the kernel has accepted already are not sent away.
    while let Ok(Ok((stream, client))) = timeout(Duration::ZERO, listener.accept()).await {
        admit(stream, client);
    }
    drop(listener);
    connections.close();
    let whole = desk.limits.drain_timeout;
    let last = LAST_WORD_TIMEOUT.min(whole / 10);
    let drained = async {
        if timeout(whole - last, connections.wait()).await.is_err() {
            desk.handler.hurry();
            connections.wait().await;
        }
    };
    if timeout(whole, drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "calls were still in flight when the time for draining was up"
        );
    }
    Ok(())
}

/// Tells a client that there are too many of them.
async fn turn_away(mut stream: TcpStream, words: Vec<u8>) {
    let written = timeout(LAST_WORD_TIMEOUT, async {
        stream.write_all(&words).await?;
        stream.shutdown().await
    });
    let _result = written.await; // Whether it arrives is the client's affair.
}

// === impl TurnedAway ===

impl TurnedAway {
    /// The status that the client is told.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotHttp(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// What the client is told of it, in a word.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too_many_connections",
            Self::HeadTooSlow => "head_too_slow",
            Self::HeadTooLarge => "head_too_large",
            Self::NotHttp(_) => "not_http",
        }
    }

    /// The whole answer.
    fn words<H: Handler>(self) -> Vec<u8> {
        let (content_type, body) = H::last_word(self);
        let status = self.status();
        let retry = match self {
            Self::TooManyConnections => "retry-after: 1\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {content_type}\r\n{retry}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes()
    }
}

impl From<HttpError> for TurnedAway {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooManyHeaders | HttpError::TooLong => Self::HeadTooLarge,
            error => Self::NotHttp(error),
        }
    }
}

#[cfg(test)]
mod tests;
