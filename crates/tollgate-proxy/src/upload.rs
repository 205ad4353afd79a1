//! What a client sends: JSON whole, and a form no further than to where it names its model. The files in a form go through to the provider as they
//! come.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tollgate_dialects::{Form, FormError};
use tollgate_domain::Limits;
use tollgate_upstream::{Rest, RestError};

use crate::{body, refusal::Refusal, server::ClientBody};

/// What a client has sent, and what it is still sending.
pub(crate) struct Upload {
    /// All of it, unless it is a form.
    pub(crate) bytes: Bytes,
    /// The beginning of a form, with what comes after it.
    pub(crate) form: Option<(Form, Option<Rest>)>,
    /// How many bytes came so far.
    pub(crate) wire_bytes: u64,
}

/// Why the rest of a form does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Stopped {
    #[error("the form is longer than it may be")]
    TooLarge,
    #[error("the form did not arrive in time")]
    TooSlow,
}

/// The rest of a form, within bounds of size and time.
struct Remainder {
    body: ClientBody,
    bytes_left: u64,
    alarm: Pin<Box<Sleep>>,
}

impl Upload {
    /// A body that is there already.
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self {
            wire_bytes: bytes.len() as u64,
            bytes,
            form: None,
        }
    }
}

/// Receives a body, as far as it has to be known before it can be passed on.
///
/// # Errors
/// As those of [`body::collect`], and when a form is none.
pub(crate) async fn receive(
    body: ClientBody,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Upload, Refusal> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match Form::of(content_type).map_err(malformed)? {
        Some(form) => beginning(form, body, headers, limits).await,
        None => whole(body, headers, limits).await,
    }
}

/// Receives a body whole.
///
/// # Errors
/// As those of [`body::collect`].
pub(crate) async fn whole(
    body: ClientBody,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Upload, Refusal> {
    let collected = body::collect(body, headers, limits).await?;
    Ok(Upload {
        bytes: collected.bytes,
        form: None,
        wire_bytes: collected.wire_bytes,
    })
}

async fn beginning(
    mut form: Form,
    mut body: ClientBody,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Upload, Refusal> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING) {
        return Err(Refusal::BodyEncoding {
            encoding: String::from_utf8_lossy(encoding.as_bytes())
                .chars()
                .take(40)
                .collect(),
        });
    }
    let bytes_max = limits.body_bytes_max as u64;
    let too_large = || Refusal::BodyTooLarge {
        bytes_max: limits.body_bytes_max,
    };
    if body.size_hint().lower() > bytes_max {
        body::throw_away(pin!(body)).await;
        return Err(too_large());
    }
    let deadline = Instant::now() + limits.body_timeout;
    loop {
        let frame = timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Refusal::BodyTooSlow)?;
        let Some(frame) = frame else {
            // What is no whole form is for the provider to judge.
            break;
        };
        let frame = frame.map_err(|error| Refusal::BodyMalformed {
            problem: format!("the body broke off: {error}"),
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let is_known = form.push(&data).map_err(malformed)?;
        if form.len() as u64 > bytes_max {
            return Err(too_large());
        }
        if is_known {
            break;
        }
    }
    let wire_bytes = form.len() as u64;
    let rest: Option<Rest> = (!body.is_end_stream()).then(|| {
        let rest: Rest = Box::pin(Remainder {
            body,
            bytes_left: bytes_max - wire_bytes,
            alarm: Box::pin(sleep_until(deadline)),
        });
        rest
    });
    Ok(Upload {
        bytes: Bytes::new(),
        form: Some((form, rest)),
        wire_bytes,
    })
}

fn malformed(error: FormError) -> Refusal {
    Refusal::BodyMalformed {
        problem: error.to_string(),
    }
}

impl Body for Remainder {
    type Data = Bytes;
    type Error = RestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RestError>>> {
        if self.alarm.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Stopped::TooSlow.into())));
        }
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match polled {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.bytes_left.checked_sub(bytes) {
                    Some(left) => {
                        self.bytes_left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(Stopped::TooLarge.into())),
                }
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
