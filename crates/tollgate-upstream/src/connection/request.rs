//! A request as it is written in HTTP/1.1: the head, and a body whose length is told or which comes in chunks.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use http_body::Body;

use crate::{
    failure::{Failure, FailureKind},
    request_body::RequestBody,
};

/// What comes after the last chunk.
const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// A request, ready to be written.
#[derive(Debug)]
pub(crate) struct Message {
    pub(super) head: Bytes,
    pub(super) body: BodyToSend,
    /// Whether only the head of an answer is asked for.
    pub(super) is_head_only: bool,
}

/// What is still to be sent of a body.
#[derive(Debug)]
pub(super) struct BodyToSend {
    /// `None` once all of it was taken.
    body: Option<RequestBody>,
    length: Length,
}

/// How a body's length is told.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// In the head; so many bytes are still to come.
    Told(u64),
    /// By chunks.
    Chunked,
}

impl Message {
    /// Writes the head. Headers that say where the request goes or how long its body is are written anew.
    pub(crate) fn new(
        method: &Method,
        host: &str,
        uri: &Uri,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Self {
        let length = match body.size_hint().exact() {
            Some(length) => Length::Told(length),
            None => Length::Chunked,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut head = Vec::with_capacity(256 + path.len() + 64 * headers.len());
        let mut write = |bytes: &[u8]| head.extend_from_slice(bytes);
        write(method.as_str().as_bytes());
        write(b" ");
        write(path.as_bytes());
        write(b" HTTP/1.1\r\nhost: ");
        write(host.as_bytes());
        for (name, value) in headers {
            if [
                header::HOST,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ]
            .contains(name)
            {
                continue;
            }
            write(b"\r\n");
            write(name.as_str().as_bytes());
            write(b": ");
            write(value.as_bytes());
        }
        match length {
            // A question without a body has no length.
            Length::Told(0) if [Method::GET, Method::HEAD].contains(method) => {}
            Length::Told(length) => {
                write(b"\r\ncontent-length: ");
                write(itoa::Buffer::new().format(length).as_bytes());
            }
            Length::Chunked => write(b"\r\ntransfer-encoding: chunked"),
        }
        write(b"\r\n\r\n");
        Self {
            is_head_only: method == Method::HEAD,
            head: head.into(),
            body: BodyToSend {
                body: Some(body),
                length,
            },
        }
    }

    /// The same once more, where its body can be sent twice.
    pub(crate) fn again(&self) -> Option<Self> {
        let body = self.body.body.as_ref()?.again()?;
        Some(Self {
            is_head_only: self.is_head_only,
            head: self.head.clone(),
            body: BodyToSend {
                body: Some(body),
                length: self.body.length,
            },
        })
    }
}

impl BodyToSend {
    /// The next bytes as they are written; `None` once all were given.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(None));
        };
        loop {
            let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(context)) else {
                self.body = None;
                return Poll::Ready(self.end());
            };
            let frame = frame.map_err(|error| Failure::new(FailureKind::Request, error))?;
            let data = frame.into_data().unwrap_or_default();
            if data.is_empty() {
                continue;
            }
            let piece = match &mut self.length {
                Length::Chunked => {
                    let size = format!("{:x}\r\n", data.len());
                    [size.as_bytes(), &data, b"\r\n"].concat().into()
                }
                Length::Told(left) => {
                    *left = left
                        .checked_sub(data.len() as u64)
                        .ok_or_else(|| wrong("its body is longer than it says"))?;
                    data
                }
            };
            return Poll::Ready(Ok(Some(piece)));
        }
    }

    fn end(&self) -> Result<Option<Bytes>, Failure> {
        match self.length {
            Length::Chunked => Ok(Some(LAST_CHUNK)),
            Length::Told(0) => Ok(None),
            Length::Told(_) => Err(wrong("its body is shorter than it says")),
        }
    }
}

fn wrong(text: &'static str) -> Failure {
    Failure::new(FailureKind::Request, text)
}
