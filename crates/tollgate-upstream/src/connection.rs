//! A connection to a provider, and the exchanges that go over it one after another in HTTP/1.1.
//!
//! It has no task of its own: whoever waits for the answer reads it, so that what has come goes on to the client in the same turn, and nothing is held for a
//! stream that is silent. How connections are made is told in [`crate::connect`], how they are kept in [`crate::client`].

mod request;

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tollgate_http1::{
    ANSWER_HEAD_BYTES_MAX, BodyEnd, HttpError, Scratch, head_is_whole, take_answer_head,
};

use crate::failure::{Failure, FailureKind};
use request::BodyToSend;
pub(crate) use request::Message;

/// The socket, with or without TLS.
pub type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A provider's socket for what is no HTTP.
#[derive(Debug)]
pub struct ProviderSocket {
    /// The socket.
    pub socket: Socket,
    /// What was read of it already.
    pub sent: Bytes,
}

/// A connection to a provider.
pub(crate) struct Connection {
    socket: Socket,
    scratch: Arc<Scratch>,
    /// What is written next: the head, then a piece of the body, then what is still to come of it.
    head: Bytes,
    piece: Bytes,
    body: Option<BodyToSend>,
    is_flushed: bool,
    answer: BodyEnd,
    /// Read, and not yet dealt with.
    read: BytesMut,
    /// What came of the body together with the head.
    came: Bytes,
    keeps_open: bool,
    /// Whether only the head of the answer was asked for (`HEAD`): it tells of a body that does not come.
    is_head_only: bool,
}

impl Connection {
    pub(crate) fn new(socket: Socket, scratch: Arc<Scratch>) -> Self {
        Self {
            socket,
            scratch,
            head: Bytes::new(),
            piece: Bytes::new(),
            body: None,
            is_flushed: true,
            answer: BodyEnd::Over,
            read: BytesMut::new(),
            came: Bytes::new(),
            keeps_open: true,
            is_head_only: false,
        }
    }

    /// Whether nobody has closed it, as far as is known, and nothing came that was not asked for.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.keeps_open && self.poll_read(&mut context).is_pending()
    }

    /// Whether the answer was read to its end, and another may be asked for.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps_open
            && self.answer.is_over()
            && self.body.is_none()
            && self.is_flushed
            && self.came.is_empty()
    }

    /// Takes a request up; it is sent while its answer is waited for.
    pub(crate) fn begin(&mut self, message: Message) {
        self.head = message.head;
        self.is_head_only = message.is_head_only;
        self.body = Some(message.body);
        self.is_flushed = false;
    }

    /// Waits for the head of the answer.
    ///
    /// # Errors
    /// When none comes, or what comes is none.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(StatusCode, HeaderMap), Failure>> {
        let head = ready!(self.poll_answer(context));
        self.keeps_open &= head.is_ok();
        Poll::Ready(head)
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(StatusCode, HeaderMap), Failure>> {
        loop {
            self.go_on_sending(context)?;
            let before = self.read.len();
            let came = ready!(self.poll_read(context))
                .map_err(|error| Failure::new(FailureKind::ClosedBeforeHead, error))?;
            if came == 0 {
                return Poll::Ready(Err(Failure::plain(FailureKind::ClosedBeforeHead)));
            }
            if head_is_whole(&self.read, before)
                && let Some((head, came)) = take_answer_head(&mut self.read).map_err(protocol)?
            {
                self.came = came;
                self.answer = if self.is_head_only {
                    BodyEnd::Over
                } else {
                    head.body
                };
                self.keeps_open &= head.keeps_open;
                return Poll::Ready(Ok((head.status, head.headers)));
            }
            if self.read.len() > ANSWER_HEAD_BYTES_MAX {
                return Poll::Ready(Err(protocol(HttpError::TooLong)));
            }
        }
    }

    /// Waits for more of the answer's body: all that has come, without what frames it. `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks before, or the body is not framed as it has to be.
    pub(crate) fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        let data = ready!(self.poll_more(context));
        self.keeps_open &= data.is_ok();
        Poll::Ready(data.transpose())
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        let came = std::mem::take(&mut self.came);
        let data = if self.answer.takes_whole(&came) {
            // What is not framed goes on as it is.
            self.answer.took(came.len());
            came
        } else {
            self.unframe(&came)?
        };
        if !data.is_empty() {
            return Poll::Ready(Ok(Some(data)));
        }
        while !self.answer.is_over() {
            self.go_on_sending(context)?;
            let data = ready!(self.poll_read_body(context))?;
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The body's bytes of what came; behind its end nothing may come.
    fn unframe(&mut self, came: &[u8]) -> Result<Bytes, Failure> {
        let mut data = Vec::with_capacity(came.len());
        let rest = self.answer.read(came, &mut data).map_err(protocol)?;
        self.keeps_open &= rest.is_empty();
        Ok(data.into())
    }

    /// Reads on in the body. Nothing comes of what only frames it.
    fn poll_read_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let mut scratch = self.scratch.lock();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))
            .map_err(|error| Failure::new(FailureKind::ClosedInBody, error))?;
        let came = buffer.filled();
        if came.is_empty() {
            if !matches!(self.answer, BodyEnd::UntilClosed) {
                return Poll::Ready(Err(Failure::plain(FailureKind::ClosedInBody)));
            }
            self.answer = BodyEnd::Over;
        }
        let mut data = Vec::with_capacity(came.len());
        let rest = self.answer.read(came, &mut data).map_err(protocol)?;
        self.keeps_open &= rest.is_empty();
        Poll::Ready(Ok(data.into()))
    }

    /// The socket, once the provider has switched to another protocol, and what it has sent on it already.
    pub(crate) fn into_socket(self) -> ProviderSocket {
        ProviderSocket {
            socket: self.socket,
            sent: self.came,
        }
    }

    /// So many bytes of the body are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.answer.left()
    }

    /// Reads what has come behind what was read before. Gives how much that was; nothing at the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = self.scratch.lock();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
        let came = buffer.filled();
        self.read.extend_from_slice(came);
        Poll::Ready(Ok(came.len()))
    }

    /// Sends as much of the request as the socket takes.
    ///
    /// # Errors
    /// When the client does not send the rest of it. A provider that reads no more may have answered already, and is heard.
    fn go_on_sending(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.is_flushed && self.body.is_none() {
            return Ok(());
        }
        if let Poll::Ready(Err(failure)) = self.poll_send(context) {
            self.keeps_open = false;
            if failure.kind() == FailureKind::Request {
                return Err(failure);
            }
            self.body = None;
            self.is_flushed = true;
        }
        Ok(())
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let mut is_waiting = false;
            if self.piece.is_empty()
                && let Some(body) = &mut self.body
            {
                match body.poll_piece(context)? {
                    Poll::Ready(Some(piece)) => self.piece = piece,
                    Poll::Ready(None) => self.body = None,
                    Poll::Pending => is_waiting = true,
                }
            }
            // The head goes out together with what comes first.
            if !self.head.is_empty() || !self.piece.is_empty() {
                ready!(self.poll_write(context)).map_err(cut)?;
            } else if is_waiting || self.body.is_none() {
                ready!(Pin::new(&mut self.socket).poll_flush(context)).map_err(cut)?;
                self.is_flushed = true;
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let slices = [io::IoSlice::new(&self.head), io::IoSlice::new(&self.piece)];
        let slices = if self.head.is_empty() {
            &slices[1..]
        } else {
            &slices[..]
        };
        let socket = Pin::new(&mut self.socket);
        let written = ready!(socket.poll_write_vectored(context, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.is_flushed = false;
        let of_head = written.min(self.head.len());
        self.head.advance(of_head);
        self.piece.advance(written - of_head);
        // What is sent is not held on to while the answer comes.
        for sent in [&mut self.head, &mut self.piece] {
            if sent.is_empty() {
                *sent = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn protocol(error: HttpError) -> Failure {
    Failure::new(FailureKind::Protocol, error)
}

/// The provider takes no more of the request.
fn cut(error: io::Error) -> Failure {
    Failure::new(FailureKind::ClosedBeforeHead, error)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is written and read is the caller's.
        f.debug_struct("Connection")
            .field("answer", &self.answer)
            .field("keeps_open", &self.keeps_open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
