//! A call on its way: the client's bytes, read no further than each step needs. `question/write.rs` writes them for each target that is asked.

mod endpoints;
mod write;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tollgate_dialects::{Answer, Call, Form, Head, HeadLimits, ReadError, give_back, read_call};
use tollgate_domain::{Dialect, Framing, Limits, Task};
use tollgate_upstream::{RequestBody, Rest};

use crate::{
    address::{Errand, dialect_of},
    estimate::Sample,
    picture::CompiledRoute,
    plain::PlainRequest,
    refusal::Refusal,
    responses::Keeping,
    upload::Upload,
};
pub(crate) use write::{Outgoing, Passes};

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Question {
    /// What the client speaks.
    pub(crate) dialect: Dialect,
    /// How streams are cut into events for the client.
    pub(crate) framing: Framing,
    /// What is wanted of the model.
    pub(crate) errand: Errand,
    /// What the gateway needed to know of the body.
    pub(crate) head: Head,
    /// What comes after the dialect's own path, where something is asked about a call.
    side: Option<&'static str>,
    /// As the client sent it, or as the route's prompt made it anew.
    body: Bytes,
    route: Arc<CompiledRoute>,
    read: OnceLock<Call>,
    /// Boxed as what follows, since few calls have it.
    media: Option<Box<Media>>,
    plain: Option<Box<PlainRequest>>,
    /// What is kept once it is answered.
    keeping: Option<Box<Keeping>>,
    /// Nobody here knows the answer that it goes on from.
    previous_is_unknown: bool,
}

/// What a call for media has besides.
struct Media {
    /// The last part of the address.
    operation: &'static str,
    /// The beginning of a form; without one the body is JSON.
    form: Option<Form>,
    /// What the client is still sending of it.
    rest: Mutex<RestState>,
}

enum RestState {
    /// There is none.
    None,
    /// Nobody got it yet.
    Waiting(Rest),
    /// A provider got it, and no other can.
    Sent,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

impl Question {
    /// Takes in a call whose head was read.
    pub(crate) fn new(
        dialect: Dialect,
        head: Head,
        body: Bytes,
        route: Arc<CompiledRoute>,
        errand: Errand,
    ) -> Self {
        Self {
            dialect,
            framing: dialect.framing(),
            errand,
            head,
            side: None,
            body,
            route,
            read: OnceLock::new(),
            media: None,
            plain: None,
            keeping: None,
            previous_is_unknown: false,
        }
    }

    /// Takes in a call for media: its body, or the beginning of its form.
    pub(crate) fn media(
        operation: &'static str,
        head: Head,
        upload: Upload,
        route: Arc<CompiledRoute>,
    ) -> Self {
        let (form, rest) = upload.form.unzip();
        let rest = rest.flatten().map_or(RestState::None, RestState::Waiting);
        Self {
            media: Some(Box::new(Media {
                operation,
                form,
                rest: Mutex::new(rest),
            })),
            ..Self::new(
                Dialect::OpenaiMedia,
                head,
                upload.bytes,
                route,
                Errand::Answer,
            )
        }
    }

    /// Takes in a request that is passed on as it is.
    pub(crate) fn plain_http(
        request: PlainRequest,
        body: Bytes,
        route: Arc<CompiledRoute>,
    ) -> Self {
        let dialect = dialect_of(route.route.task);
        Self {
            plain: Some(Box::new(request)),
            ..Self::new(dialect, Head::default(), body, route, Errand::Answer)
        }
    }

    /// The request, where it is passed on as it is.
    pub(crate) fn plain(&self) -> Option<&PlainRequest> {
        self.plain.as_deref()
    }

    /// The body to send, with what the client is still sending of it.
    pub(crate) fn request_body(&self, bytes: Bytes) -> RequestBody {
        let Some(media) = &self.media else {
            return RequestBody::whole(bytes);
        };
        let mut rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *rest, RestState::None) {
            RestState::Waiting(waiting) => {
                *rest = RestState::Sent;
                RequestBody::beginning(bytes, waiting)
            }
            other => {
                *rest = other;
                RequestBody::whole(bytes)
            }
        }
    }

    /// Whether a part of the body went to a provider and is not there any more, so that no other can be asked.
    pub(crate) fn is_spent(&self) -> bool {
        self.media.as_ref().is_some_and(|media| {
            let rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
            matches!(*rest, RestState::Sent)
        })
    }

    /// Asks something about the call, if that is what the path says.
    pub(crate) fn asking(self, side: Option<&'static str>) -> Self {
        Self { side, ..self }
    }

    /// What its tokens can be counted by later; of what has no tokens, nothing.
    pub(crate) fn sample(&self) -> Option<Sample> {
        let has_tokens = matches!(
            self.route.route.task,
            Task::Chat | Task::Completions | Task::Embeddings
        );
        (has_tokens && self.errand == Errand::Answer && self.side.is_none())
            .then(|| Sample::of(&self.body))
    }

    /// Bytes of its body; `None` for a form whose client does not say how long it is.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let Some(media) = &self.media else {
            return Some(self.body.len() as u64);
        };
        let known = media.form.as_ref().map_or(self.body.len(), Form::len) as u64;
        let rest = media.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rest {
            RestState::Waiting(rest) => Some(known + http_body::Body::size_hint(rest).exact()?),
            RestState::None | RestState::Sent => Some(known),
        }
    }

    /// Whether something is asked about the call, rather than an answer to it.
    pub(crate) fn is_aside(&self) -> bool {
        self.side.is_some()
    }

    /// Notes what is kept once it is answered.
    pub(crate) fn keep(&mut self, keeping: Keeping) {
        self.keeping = Some(Box::new(keeping));
    }

    /// What is kept of its answer, where that is written here: a provider of the client's own dialect keeps its answers itself.
    pub(crate) fn keeping(&self, passes: Passes) -> Option<&Keeping> {
        self.keeping
            .as_deref()
            .filter(|_| passes == Passes::Translated)
    }

    /// Notes that nobody here knows the answer that it goes on from.
    pub(crate) fn previous_is_unknown(&mut self) {
        self.previous_is_unknown = true;
    }

    /// The route that was asked for.
    pub(crate) fn route(&self) -> &Arc<CompiledRoute> {
        &self.route
    }

    /// The body as it stands.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// Puts a new body in the place of the client's.
    pub(crate) fn replace_body(&mut self, body: Bytes, limits: &Limits) -> Result<(), Refusal> {
        self.head = scan(self.dialect, &body, limits)?;
        self.body = body;
        self.read = OnceLock::new();
        Ok(())
    }

    /// Puts into an answer what the provider does not repeat of the call, and the client asked for.
    pub(crate) fn complete(&self, answer: &mut Answer) {
        if let (Some(Call::Rerank(call)), Answer::Rerank(answer)) = (self.read.get(), answer) {
            give_back(call, answer);
        }
    }

    fn read(&self) -> Result<Call, Refusal> {
        let mut call = read_call(self.dialect, &self.body).map_err(Refusal::BodyInvalid)?;
        // Some dialects say so in their address.
        if let Call::Chat(chat) = &mut call {
            chat.stream = self.head.stream;
        }
        Ok(call)
    }
}

/// Reads what the gateway needs of a body, and proves that it is JSON of bearable depth.
pub(crate) fn scan(dialect: Dialect, body: &Bytes, limits: &Limits) -> Result<Head, Refusal> {
    let limits = HeadLimits {
        depth_max: limits.json_depth_max,
    };
    Head::scan(dialect, body, limits).map_err(Refusal::BodyInvalid)
}

/// For errors that a reader of the client's body gives.
impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::BodyInvalid(error)
    }
}
