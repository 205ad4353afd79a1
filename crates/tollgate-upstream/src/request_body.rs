//! The body of a request to a provider: whole, or a beginning with more to come from the client.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// What goes wrong with what the client still has to send.
pub type RestError = Box<dyn Error + Send + Sync>;

/// The rest of a body that the client is still sending.
pub type Rest = Pin<Box<dyn Body<Data = Bytes, Error = RestError> + Send>>;

/// The body of a request to a provider.
pub struct RequestBody {
    first: Option<Bytes>,
    rest: Option<Rest>,
}

impl RequestBody {
    /// A whole body.
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            first: Some(bytes),
            rest: None,
        }
    }

    /// A beginning, and what comes after it. Such a body can be sent once.
    pub fn beginning(first: Bytes, rest: Rest) -> Self {
        Self {
            first: Some(first),
            rest: Some(rest),
        }
    }

    /// The same body once more; `None` where the client sends it only once.
    pub(crate) fn again(&self) -> Option<Self> {
        match (&self.first, &self.rest) {
            (Some(first), None) => Some(Self::whole(first.clone())),
            _ => None,
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Bytes that are there already.
    pub(crate) fn first(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("first_bytes", &self.first().len())
            .field("has_rest", &self.rest.is_some())
            .finish()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RestError>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first().is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first().len() as u64;
        let Some(rest) = &self.rest else {
            return SizeHint::with_exact(first);
        };
        let rest = rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(first + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(first + upper);
        }
        hint
    }
}
