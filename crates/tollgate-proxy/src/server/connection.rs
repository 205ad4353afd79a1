//! The life of a client's connection: a request is read, answered, and the next one waited for.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tollgate_domain::Limits;
use tollgate_http1::{RequestHead, Scratch};

use crate::boxed::boxed;

use super::{
    ClientBody, Continuation, Counted, Handler, StallGuard, TurnedAway, Upgrade,
    reader::Reader,
    writer::{DateLine, Framing, Writer, framing},
};

/// Time for a last word to a client, and for it to read that.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection that was never used may still bring a request when the gateway goes down.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(100);

/// What the connections of a worker share.
pub(super) struct Desk<H> {
    pub(super) handler: H,
    pub(super) limits: Limits,
    pub(super) shutdown: CancellationToken,
    pub(super) scratch: Arc<Scratch>,
    pub(super) date: DateLine,
}

/// A client's connection.
pub(super) struct Connection<H> {
    desk: Arc<Desk<H>>,
    client: SocketAddr,
    reader: Reader,
    writer: Writer,
    _counted: Counted,
}

/// How a connection ends.
enum End {
    /// The client has left, or was told that this is the last answer.
    Closed,
    /// The client may still be sending what nobody reads.
    Unread,
    TurnedAway(TurnedAway),
    /// Another protocol goes on from here.
    Switched(Continuation),
}

/// What of a request has to be known for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    is_head_only: bool,
    is_new: bool,
    keeps_open: bool,
}

impl<H: Handler> Connection<H> {
    /// Serves a client to the end.
    pub(super) async fn serve(
        stream: TcpStream,
        client: SocketAddr,
        desk: Arc<Desk<H>>,
        counted: Counted,
    ) {
        if stream.set_nodelay(true).is_err() {
            return; // The client has left already.
        }
        let (reading, writing) = stream.into_split();
        let mut connection = Self {
            reader: Reader::new(reading, Arc::clone(&desk.scratch)),
            writer: Writer::new(writing, desk.limits.write_timeout),
            desk,
            client,
            _counted: counted,
        };
        match connection.talk().await {
            End::Closed => connection.close(false).await,
            End::Unread => connection.close(true).await,
            End::TurnedAway(why) => {
                connection.writer.words(&why.words::<H>());
                connection.close(true).await;
            }
            End::Switched(go_on) => connection.switch(go_on).await,
        }
    }

    /// Answers one request after another.
    async fn talk(&mut self) -> End {
        let desk = Arc::clone(&self.desk);
        let mut shutdown = pin!(desk.shutdown.cancelled());
        let mut wait = Wait::new(desk.limits.header_timeout);
        loop {
            let (mut head, came) = match self.head(shutdown.as_mut(), &mut wait).await {
                Ok(Some(head)) => head,
                Ok(None) => return End::Closed,
                Err(why) => return End::TurnedAway(why),
            };
            let body = match self.reader.body(&mut head, came) {
                Ok(body) => body,
                Err(error) => return End::TurnedAway(error.into()),
            };
            let asked = Asked::of(&head);
            let Some(response) = self.call(head.request.map(|()| body)).await else {
                return End::Closed;
            };
            let upgrade = response.extensions().get().and_then(Upgrade::take);
            match self.answer(asked, response).await {
                Ok(_) if let Some(go_on) = upgrade => return End::Switched(go_on),
                Ok(After::Next) => wait.begin_next(),
                Ok(After::Close) => return End::Closed,
                Ok(After::Linger) => return End::Unread,
                Err(_) => return End::Closed,
            }
        }
    }

    /// Waits for the head of a request. `None` where none comes any more.
    async fn head(
        &mut self,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
        wait: &mut Wait,
    ) -> Result<Option<(RequestHead, Bytes)>, TurnedAway> {
        let head_bytes_max = self.desk.limits.header_bytes_max;
        poll_fn(|context| {
            let mut reading = self.reader.lock();
            if let Poll::Ready(head) = reading.poll_head(context, head_bytes_max) {
                return Poll::Ready(head);
            }
            if reading.is_idle() && shutdown.as_mut().poll(context).is_ready() {
                if wait.is_used {
                    return Poll::Ready(Ok(None));
                }
                wait.hurry(FIRST_REQUEST_GRACE);
            }
            ready!(wait.poll(context));
            Poll::Ready(if reading.is_idle() {
                Ok(None) // One that was merely idle is closed without a word.
            } else {
                Err(TurnedAway::HeadTooSlow)
            })
        })
        .await
    }

    /// Has a request answered. `None`: the client has left.
    async fn call(&mut self, request: Request<ClientBody>) -> Option<Response<H::Body>> {
        let mut call = boxed(|| self.desk.handler.call(request, self.client));
        poll_fn(|context| {
            if let Poll::Ready(response) = call.as_mut().poll(context) {
                return Poll::Ready(Some(response));
            }
            let mut reading = self.reader.lock();
            if reading.takes_continue() {
                self.writer.words(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            if let Poll::Ready(Err(_)) = self.writer.poll_write(context) {
                return Poll::Ready(None);
            }
            reading.poll_left(context).map(|()| None)
        })
        .await
    }

    /// Writes an answer as it comes. Whoever leaves meanwhile ends it.
    ///
    /// # Errors
    /// When the client has left, or the answer breaks off.
    async fn answer(&mut self, asked: Asked, response: Response<H::Body>) -> io::Result<After> {
        let (parts, body) = response.into_parts();
        let framing = framing(
            parts.status,
            &parts.headers,
            body.size_hint().exact(),
            asked.is_head_only,
            asked.is_new,
        );
        let is_done = poll_fn(|context| Poll::Ready(self.reader.is_done(context))).await;
        let after = if !is_done {
            After::Linger
        } else if !asked.keeps_open
            || framing == Framing::UntilClosed
            || self.desk.shutdown.is_cancelled()
        {
            After::Close
        } else {
            After::Next
        };
        let connection = match after {
            _ if parts.status == StatusCode::SWITCHING_PROTOCOLS => None,
            After::Next => (!asked.is_new).then_some("keep-alive"),
            After::Close | After::Linger => Some("close"),
        };
        self.writer
            .head(&parts, framing, connection, &self.desk.date);
        drop(parts);
        let mut body = pin!(body);
        let mut progress = Progress::default();
        poll_fn(|context| self.poll_answer(body.as_mut(), &mut progress, context)).await?;
        Ok(after)
    }

    /// Gathers what there is of a body, and writes it; then waits for more.
    fn poll_answer(
        &mut self,
        mut body: Pin<&mut H::Body>,
        progress: &mut Progress,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while progress.ended.is_none() && !self.writer.is_full() {
                let polled = body.as_mut().poll_frame(context);
                let has_begun = std::mem::replace(&mut progress.has_begun, true);
                match polled {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            self.writer.piece(data)?;
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        progress.ended = Some(Err(io::Error::other(error)));
                    }
                    Poll::Ready(None) => progress.ended = Some(self.writer.end()),
                    Poll::Pending if has_begun => break,
                    // The head waits until the others have had their turn: what comes until then goes with it.
                    Poll::Pending => {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            if self.writer.has_more() {
                ready!(self.writer.poll_write(context))?;
            } else if let Some(ended) = progress.ended.take() {
                return Poll::Ready(ended);
            } else {
                ready!(self.reader.lock().poll_left(context));
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
    }

    /// Ends the connection, what is left to say said. Whether it arrives is the client's affair.
    async fn close(mut self, lingers: bool) {
        let closed = timeout(LAST_WORD_TIMEOUT, async {
            poll_fn(|context| self.writer.poll_write(context)).await?;
            poll_fn(|context| self.writer.poll_shutdown(context)).await?;
            if lingers {
                // A connection that is closed with something unread may take the last word with it.
                poll_fn(|context| self.reader.lock().poll_linger(context)).await;
            }
            io::Result::Ok(())
        });
        let _result = closed.await;
    }

    /// Goes on in another protocol. The connection counts as one until that ends.
    async fn switch(self, go_on: Continuation) {
        let patience = self.desk.limits.write_timeout;
        if let Some((reading, sent)) = self.reader.into_socket()
            && let Ok(stream) = reading.reunite(self.writer.into_socket())
        {
            go_on(StallGuard::new(stream, patience), sent).await;
        }
    }
}

/// How far an answer's body has been taken.
#[derive(Debug, Default)]
struct Progress {
    /// It was asked for.
    has_begun: bool,
    /// How it ended.
    ended: Option<io::Result<()>>,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The next request.
    Next,
    Close,
    /// The end, once the client has sent what nobody reads.
    Linger,
}

impl Asked {
    fn of(head: &RequestHead) -> Self {
        Self {
            is_head_only: head.request.method() == Method::HEAD,
            is_new: head.request.version() == Version::HTTP_11,
            keeps_open: head.keeps_open,
        }
    }
}

// === waiting ===

/// How long the next head is waited for. The alarm is not set anew for each request, but when it rings too early.
struct Wait {
    patience: Duration,
    until: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whether a request has come.
    is_used: bool,
}

impl Wait {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            until: None,
            alarm: None,
            is_used: false,
        }
    }

    /// A request was answered: the next one is waited for.
    fn begin_next(&mut self) {
        self.until = None;
        self.is_used = true;
    }

    /// From now on no longer than this.
    fn hurry(&mut self, patience: Duration) {
        let soon = Instant::now() + patience;
        if self.until.is_none_or(|until| soon < until) && self.patience > patience {
            self.patience = patience;
            self.until = Some(soon);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = *self
            .until
            .get_or_insert_with(|| Instant::now() + self.patience);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if until < alarm.deadline() {
            alarm.as_mut().reset(until);
        }
        loop {
            ready!(alarm.as_mut().poll(context));
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
    }
}
