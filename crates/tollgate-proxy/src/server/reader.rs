//! What a client sends: heads of requests one after another, and their bodies as they are asked for.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
};
use tollgate_http1::{BodyEnd, HttpError, RequestHead, Scratch, head_is_whole, take_request_head};

use super::TurnedAway;

/// Bytes of further requests that are read while one is answered.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a body nobody asked for that are read over, so that the connection can be used again.
const UNASKED_BYTES_MAX: usize = 256 << 10;

/// The reading side of a client's connection, shared with the body that is read from it.
#[derive(Clone, Debug)]
pub(super) struct Reader(Arc<Mutex<Reading>>);

#[derive(Debug)]
pub(super) struct Reading {
    socket: OwnedReadHalf,
    scratch: Arc<Scratch>,
    /// Read, and not yet dealt with: of the next head, once a body has ended.
    read: BytesMut,
    /// So many of these bytes are known to hold no end of a head.
    looked: usize,
    /// Where the body ends that is being read.
    end: BodyEnd,
    /// Whether the client waits for a word before it sends its body, and whether the body was asked for.
    continues: Continues,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Continues {
    #[default]
    Unasked,
    /// The client waits for a word.
    Waits,
    /// The word may be said.
    Wanted,
}

/// A request's body.
#[derive(Debug)]
pub struct ClientBody(Kind);

#[derive(Debug)]
enum Kind {
    /// It came with its head.
    Whole(Bytes),
    /// The beginning came; the rest is read when it is asked for.
    Coming(Bytes, Reader),
}

/// Why a request's body does not come to its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The client has closed the connection.
    #[error("the client closed the connection before its end")]
    Closed,
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// What came is no body.
    #[error(transparent)]
    Http(#[from] HttpError),
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(socket: OwnedReadHalf, scratch: Arc<Scratch>) -> Self {
        Self(Arc::new(Mutex::new(Reading {
            socket,
            scratch,
            read: BytesMut::new(),
            looked: 0,
            end: BodyEnd::Over,
            continues: Continues::Unasked,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body behind a head of which this came with it.
    ///
    /// # Errors
    /// When that is no body.
    pub(super) fn body(
        &self,
        head: &mut RequestHead,
        came: Bytes,
    ) -> Result<ClientBody, HttpError> {
        let end = std::mem::take(&mut head.body);
        let mut reading = self.lock();
        let first = reading.begin_body(end, came)?;
        if reading.end.is_over() {
            return Ok(ClientBody(Kind::Whole(first)));
        }
        if head.expects_continue && first.is_empty() {
            reading.continues = Continues::Waits;
        }
        drop(reading);
        Ok(ClientBody(Kind::Coming(first, self.clone())))
    }

    /// Whether the body was read to its end. One that nobody holds any more is read over as far as it has come.
    pub(super) fn is_done(&mut self, context: &mut Context<'_>) -> bool {
        let is_held = Arc::strong_count(&self.0) > 1;
        let mut reading = self.lock();
        let mut unasked = 0;
        while !is_held
            && reading.continues == Continues::Unasked
            && unasked < UNASKED_BYTES_MAX
            && let Poll::Ready(Some(Ok(data))) = reading.poll_body(context)
        {
            unasked += data.len();
        }
        reading.end.is_over()
    }

    /// The socket, and what was read of it already. `None` while a body holds it.
    pub(super) fn into_socket(self) -> Option<(OwnedReadHalf, Bytes)> {
        let reading = Arc::into_inner(self.0)?;
        let reading = reading.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((reading.socket, reading.read.freeze()))
    }
}

// === impl Reading ===

impl Reading {
    /// Whether nothing of a next request has come.
    pub(super) fn is_idle(&self) -> bool {
        self.read.is_empty()
    }

    /// Waits for the next head, and gives what came behind it. `None`: the client has left.
    ///
    /// # Errors
    /// When no request comes.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head_bytes_max: usize,
    ) -> Poll<Result<Option<(RequestHead, Bytes)>, TurnedAway>> {
        loop {
            if head_is_whole(&self.read, self.looked) {
                let read = self.read.len();
                self.looked = 0;
                if let Some((head, came)) = take_request_head(&mut self.read)? {
                    if read - came.len() > head_bytes_max {
                        return Poll::Ready(Err(TurnedAway::HeadTooLarge));
                    }
                    return Poll::Ready(Ok(Some((head, came))));
                }
            }
            if self.read.len() > head_bytes_max {
                return Poll::Ready(Err(TurnedAway::HeadTooLarge));
            }
            self.looked = self.read.len();
            if !matches!(ready!(self.poll_read(context)), Ok(1..)) {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The bytes of a body among what came behind its head; what comes behind the body is kept.
    fn begin_body(&mut self, mut end: BodyEnd, mut came: Bytes) -> Result<Bytes, HttpError> {
        let first = match &mut end {
            BodyEnd::Over => Bytes::new(),
            end if end.takes_whole(&came) => {
                end.took(came.len());
                std::mem::take(&mut came)
            }
            BodyEnd::Counted(left) => {
                // There is more than that.
                let first = came.split_to(usize::try_from(*left).unwrap_or(usize::MAX));
                *left = 0;
                first
            }
            end => {
                let mut data = Vec::with_capacity(came.len());
                came = came.slice_ref(end.read(&came, &mut data)?);
                data.into()
            }
        };
        if !came.is_empty() {
            self.read = BytesMut::from(&came[..]);
        }
        self.end = end;
        Ok(first)
    }

    /// Reads on in the body.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        while !self.end.is_over() {
            let mut scratch = self.scratch.lock();
            let mut buffer = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = Pin::new(&mut self.socket).poll_read(context, &mut buffer)
            else {
                if self.continues == Continues::Waits {
                    self.continues = Continues::Wanted;
                }
                return Poll::Pending;
            };
            self.continues = Continues::Unasked;
            let data = read.map_err(BodyError::from).and_then(|()| {
                let came = buffer.filled();
                if came.is_empty() {
                    return Err(BodyError::Closed);
                }
                let mut data = Vec::with_capacity(came.len());
                let ahead = self.end.read(came, &mut data)?;
                self.read.extend_from_slice(ahead);
                Ok(data)
            });
            match data {
                Ok(data) if data.is_empty() => {}
                data => return Poll::Ready(Some(data.map(Bytes::from))),
            }
        }
        Poll::Ready(None)
    }

    /// Whether the client is to be told that its body is wanted; once for a body.
    pub(super) fn takes_continue(&mut self) -> bool {
        let is_wanted = self.continues == Continues::Wanted;
        if is_wanted {
            self.continues = Continues::Unasked;
        }
        is_wanted
    }

    /// Waits until the client leaves. What it asks next is kept, up to a bound.
    pub(super) fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.end.is_over() && self.read.len() < AHEAD_BYTES_MAX {
            if !matches!(ready!(self.poll_read(context)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Reads over whatever comes, until the client has closed the connection.
    pub(super) fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.read = BytesMut::new();
            if !matches!(ready!(self.poll_read(context)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
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
}

// === impl ClientBody ===

impl ClientBody {
    /// A body that is there.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = match &mut self.0 {
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Kind::Coming(first, _) if !first.is_empty() => Some(Ok(std::mem::take(first))),
            Kind::Coming(_, reader) => ready!(reader.lock().poll_body(context)),
        };
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Coming(first, reader) => first.is_empty() && reader.lock().end.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Coming(first, reader) => {
                let first = first.len() as u64;
                let mut hint = SizeHint::default();
                match reader.lock().end.left() {
                    Some(left) => hint.set_exact(first.saturating_add(left)),
                    None => hint.set_lower(first),
                }
                hint
            }
        }
    }
}
