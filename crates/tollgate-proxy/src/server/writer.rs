//! What a client is sent: the head of an answer, and its body with what frames it.

use std::{
    fmt::Write as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode, header, response::Parts};
use tokio::{io::AsyncWrite, net::tcp::OwnedWriteHalf};

use super::StallGuard;

/// Pieces of a body up to this size are written together with what frames them; longer ones are not copied.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// So much is gathered before it is written.
const GATHERED_BYTES_MAX: usize = 64 << 10;

/// Room for the head of nearly every answer.
const HEAD_BYTES_USUAL: usize = 1 << 10;

/// How a client sees where the body of its answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length.
    Told(u64),
    /// By its last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClosed,
    /// None comes. The head may tell how long it would be (`HEAD`).
    Unsent(Option<u64>),
}

/// The writing side of a client's connection.
#[derive(Debug)]
pub(super) struct Writer {
    socket: StallGuard<OwnedWriteHalf>,
    framing: Framing,
    /// What is written next: the gathered, then a piece of the body, then what ends it.
    gathered: Vec<u8>,
    written: usize,
    piece: Bytes,
    tail: &'static [u8],
}

/// The time as answers tell it, written anew once a second.
#[derive(Debug, Default)]
pub(super) struct DateLine(Mutex<(u64, String)>);

/// The body has not the length that its head tells.
fn wrong_length() -> io::Error {
    io::Error::other("the answer's body has not the length that its head tells")
}

impl Writer {
    pub(super) fn new(socket: OwnedWriteHalf, patience: Duration) -> Self {
        Self {
            socket: StallGuard::new(socket, patience),
            framing: Framing::Unsent(None),
            gathered: Vec::new(),
            written: 0,
            piece: Bytes::new(),
            tail: b"",
        }
    }

    /// Bytes as they are, such as a last word.
    pub(super) fn words(&mut self, words: &[u8]) {
        self.gathered.extend_from_slice(words);
    }

    /// The head of an answer. `connection` is what it says of the connection.
    pub(super) fn head(
        &mut self,
        parts: &Parts,
        framing: Framing,
        connection: Option<&str>,
        date: &DateLine,
    ) {
        self.framing = framing;
        let out = &mut self.gathered;
        out.reserve(HEAD_BYTES_USUAL);
        for word in ["HTTP/1.1 ", parts.status.as_str(), " "] {
            out.extend_from_slice(word.as_bytes());
        }
        out.extend_from_slice(parts.status.canonical_reason().unwrap_or("").as_bytes());
        out.extend_from_slice(b"\r\n");
        let is_switch = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in &parts.headers {
            let is_ours = match *name {
                header::CONTENT_LENGTH => !matches!(framing, Framing::Unsent(_)),
                header::CONNECTION => !is_switch,
                header::TRANSFER_ENCODING => true,
                _ => false,
            };
            if !is_ours {
                line(out, name.as_str(), value.as_bytes());
            }
        }
        match framing {
            Framing::Told(length) | Framing::Unsent(Some(length)) => {
                let mut digits = itoa::Buffer::new();
                line(out, "content-length", digits.format(length).as_bytes());
            }
            Framing::Chunked => line(out, "transfer-encoding", b"chunked"),
            Framing::UntilClosed | Framing::Unsent(None) => {}
        }
        if let Some(connection) = connection {
            line(out, "connection", connection.as_bytes());
        }
        if !parts.headers.contains_key(header::DATE) {
            date.with(|date| line(out, "date", date.as_bytes()));
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A piece of the body.
    ///
    /// # Errors
    /// When there is more of it than was told.
    pub(super) fn piece(&mut self, data: Bytes) -> io::Result<()> {
        let mut tail: &[u8] = b"";
        match &mut self.framing {
            _ if data.is_empty() => return Ok(()),
            Framing::Unsent(_) => return Ok(()),
            Framing::Told(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(wrong_length)?;
            }
            Framing::Chunked => {
                let mut size = Hex::default();
                let _written = write!(size, "{:x}\r\n", data.len());
                self.gathered.extend_from_slice(size.text());
                tail = b"\r\n";
            }
            Framing::UntilClosed => {}
        }
        if data.len() <= COPIED_BYTES_MAX {
            self.gathered.extend_from_slice(&data);
            self.gathered.extend_from_slice(tail);
        } else {
            self.piece = data;
            self.tail = tail;
        }
        Ok(())
    }

    /// The end of the body.
    ///
    /// # Errors
    /// When there was less of it than was told.
    pub(super) fn end(&mut self) -> io::Result<()> {
        match self.framing {
            Framing::Told(1..) => return Err(wrong_length()),
            Framing::Chunked if self.piece.is_empty() => {
                self.gathered.extend_from_slice(b"0\r\n\r\n");
            }
            Framing::Chunked => self.tail = b"\r\n0\r\n\r\n",
            Framing::Told(0) | Framing::UntilClosed | Framing::Unsent(_) => {}
        }
        Ok(())
    }

    /// Whether there is enough to be written before more is gathered.
    pub(super) fn is_full(&self) -> bool {
        !self.piece.is_empty() || self.gathered.len() >= GATHERED_BYTES_MAX
    }

    /// Whether there is anything to be written.
    pub(super) fn has_more(&self) -> bool {
        self.written < self.gathered.len() || !self.piece.is_empty() || !self.tail.is_empty()
    }

    /// Writes all there is.
    ///
    /// # Errors
    /// When the client has left, or leaves it unread for too long.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_more() {
            let gathered = self.gathered.get(self.written..).unwrap_or_default();
            let socket = Pin::new(&mut self.socket);
            let written = if self.piece.is_empty() && self.tail.is_empty() {
                ready!(socket.poll_write(context, gathered))?
            } else {
                let slices = [gathered, &self.piece, self.tail].map(IoSlice::new);
                ready!(socket.poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let of_gathered = written.min(self.gathered.len() - self.written);
        self.written += of_gathered;
        let of_piece = (written - of_gathered).min(self.piece.len());
        self.piece.advance(of_piece);
        let of_tail = written - of_gathered - of_piece;
        self.tail = self.tail.get(of_tail..).unwrap_or_default();
        // What is written is not held on to while more is waited for.
        if self.written == self.gathered.len() {
            self.gathered = Vec::new();
            self.written = 0;
        }
        if self.piece.is_empty() {
            self.piece = Bytes::new();
        }
    }

    /// Says that nothing more is sent.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    pub(super) fn into_socket(self) -> OwnedWriteHalf {
        self.socket.into_inner()
    }
}

/// How a client sees where the body of an answer to its request ends: `None` for `length` where nobody knows it.
pub(super) fn framing(
    status: StatusCode,
    headers: &HeaderMap,
    length: Option<u64>,
    is_head_only: bool,
    takes_chunks: bool,
) -> Framing {
    let has_none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_none {
        return Framing::Unsent(None);
    }
    if is_head_only {
        return Framing::Unsent(length.filter(|_| !headers.contains_key(header::CONTENT_LENGTH)));
    }
    let told = || {
        headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    };
    match length.or_else(told) {
        Some(length) => Framing::Told(length),
        None if takes_chunks => Framing::Chunked,
        None => Framing::UntilClosed,
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A line with a number, written without an allocation.
#[derive(Default)]
struct Hex {
    text: [u8; 20],
    length: usize,
}

impl Hex {
    fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

impl std::fmt::Write for Hex {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let room = self.text.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl DateLine {
    #[expect(
        clippy::disallowed_methods,
        reason = "the wall clock as a client is told it"
    )]
    fn with(&self, write: impl FnOnce(&str)) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.0 != second || line.1.is_empty() {
            *line = (second, httpdate::fmt_http_date(now));
        }
        write(&line.1);
    }
}
