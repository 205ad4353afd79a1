//! Listeners and connections: everything between a client's socket and [`Handler::call`]. What a request means is not known here.

mod stall;

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tollgate_domain::Limits;

pub use stall::StallGuard;

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 4096;

/// Pause after the system refused to accept, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for writing a last word to a client that is turned away.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 148\r\n\r\n{\"error\":{\"message\":\"the gateway has as many connections as it may have; try again\",\"type\":\"overloaded\",\"param\":null,\"code\":\"too_many_connections\"}}";
const HEAD_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 132\r\n\r\n{\"error\":{\"message\":\"the request's head did not arrive in time\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"head_too_slow\"}}";

/// What clients are told, as whole answers, whose requests are never read.
#[derive(Clone, Copy, Debug)]
pub struct LastWords {
    /// There are as many connections as there may be.
    pub too_many_connections: &'static [u8],
    /// A request's head did not come to its end in time.
    pub head_too_slow: &'static [u8],
}

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Send + 'static;

    /// What its clients are told when no request is read.
    const LAST_WORDS: LastWords = LastWords {
        too_many_connections: TOO_MANY_CONNECTIONS,
        head_too_slow: HEAD_TOO_SLOW,
    };

    /// Answers one request. Dropped when the client leaves.
    fn call(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
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
    let limits = Arc::new(limits);
    let admit = |stream: TcpStream, client: SocketAddr| match count.enter(limits.connections_max) {
        Some(counted) => {
            let connection = Connection {
                client,
                handler: handler.clone(),
                limits: Arc::clone(&limits),
                shutdown: shutdown.clone(),
                _counted: counted,
            };
            connections.spawn(connection.serve(stream));
        }
        None => {
            connections.spawn(turn_away(stream, H::LAST_WORDS));
        }
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
    if timeout(limits.drain_timeout, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "calls were still in flight when the time for draining was up"
        );
    }
    Ok(())
}

/// Tells a client that there are too many of them.
async fn turn_away(mut stream: TcpStream, words: LastWords) {
    last_word(&mut stream, words.too_many_connections).await;
}

/// Writes an answer to a client that is not served any further. Whether it arrives is the client's affair.
async fn last_word(stream: &mut (impl tokio::io::AsyncWrite + Unpin), word: &[u8]) {
    let written = timeout(LAST_WORD_TIMEOUT, async {
        stream.write_all(word).await?;
        stream.shutdown().await
    });
    let _result = written.await;
}

struct Connection<H> {
    client: SocketAddr,
    handler: H,
    limits: Arc<Limits>,
    shutdown: CancellationToken,
    _counted: Counted,
}

impl<H: Handler> Connection<H> {
    async fn serve(self, stream: TcpStream) {
        if stream.set_nodelay(true).is_err() {
            return; // The client has left already.
        }
        let (handler, client) = (&self.handler, self.client);
        let upgrade = Mutex::new(None);
        let chosen = &upgrade;
        let service = service_fn(move |request| {
            Box::pin(async move {
                let response = handler.call(request, client).await;
                if let Some(upgrade) = response.extensions().get::<Upgrade>() {
                    *chosen.lock().unwrap_or_else(PoisonError::into_inner) = upgrade.take();
                }
                Ok::<_, Infallible>(response)
            })
        });
        // A request has a hundred headers at most, as hyper has it where nothing is said; any other number would have it allocate for each.
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.header_bytes_max.max(8 << 10))
            .serve_connection(
                TokioIo::new(StallGuard::new(stream, self.limits.write_timeout)),
                service,
            );
        let mut shutdown = pin!(self.shutdown.cancelled());
        let mut draining = false;
        let ended = poll_fn(|context| {
            if !draining && shutdown.as_mut().poll(context).is_ready() {
                draining = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        })
        .await;
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        let upgrade = upgrade
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Ok(()), Some(go_on)) = (&ended, upgrade) {
            return go_on(stream, parts.read_buf).await;
        }
        match ended {
            // A head that was begun and not finished; a connection that was merely idle is closed without a word.
            Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
                last_word(&mut stream, H::LAST_WORDS.head_too_slow).await
            }
            _ => last_word(&mut stream, b"").await,
        }
    }
}

#[cfg(test)]
mod tests;
