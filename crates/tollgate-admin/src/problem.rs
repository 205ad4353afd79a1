//! Every "no" of the administrative API: `application/problem+json` (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tollgate_store::StoreError;

use crate::resources::{BODY_BYTES_MAX, moment};

/// What problems are told as.
pub(crate) const PROBLEM: &str = "application/problem+json";

/// When the database may be there again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why something is not done.
#[derive(Debug)]
pub(crate) enum Problem {
    /// No token was sent.
    Unauthenticated,
    /// The token that was sent is none, or none any more.
    Unknown,
    /// The token's user may not do this.
    Forbidden(String),
    /// There is no such thing, or none that the user may see.
    NotFound,
    /// The method is not for this path.
    WrongMethod,
    /// The request is not what is wanted.
    Invalid(String),
    /// Another has the name, or needs the thing.
    Conflict(String),
    /// It has changed since it was looked at.
    Stale,
    /// The key was sent with another request before.
    KeyReused,
    /// The body is larger than is taken.
    TooLarge,
    /// The request cannot be read.
    Unreadable(StatusCode),
    /// It took too long.
    Slow,
    /// The database failed.
    Store(StoreError),
    /// The system gave no random numbers.
    Random(std::io::Error),
    /// A file of calls could not be made.
    File(String),
}

impl Problem {
    fn told(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "send `Authorization: Bearer TOKEN`; `tollgate user create` makes the first one"
                    .to_owned(),
            ),
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the token that was sent opens nothing: it is mistyped, was removed, or has expired; `POST /api/v1/users/{id}/tokens` makes another, \
                 and `tollgate user create` one for a new owner"
                    .to_owned(),
            ),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "forbidden", why.clone()),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "there is no such thing here".to_owned(),
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method; /api/v1/openapi.json says what it takes"
                    .to_owned(),
            ),
            Self::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", why.clone()),
            Self::Conflict(why) => (StatusCode::CONFLICT, "conflict", why.clone()),
            Self::Stale => (
                StatusCode::PRECONDITION_FAILED,
                "stale",
                "it has changed since: get it again, and send its new ETag in `If-Match`"
                    .to_owned(),
            ),
            Self::KeyReused | Self::Store(StoreError::Repeated) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this `Idempotency-Key` came with another request before".to_owned(),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body has more than {} bytes", BODY_BYTES_MAX),
            ),
            Self::Unreadable(status) => (
                *status,
                "unreadable",
                "the request cannot be read: its path or its body is not as HTTP wants it".to_owned(),
            ),
            Self::Slow => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_slow",
                "it took too long; ask for less".to_owned(),
            ),
            Self::Store(error @ (StoreError::Taken { .. } | StoreError::TakenForEver { .. })) => {
                (StatusCode::CONFLICT, "conflict", error.to_string())
            }
            Self::Store(StoreError::Overlapping(until)) => (
                StatusCode::CONFLICT,
                "old_key_still_opens",
                format!(
                    "the secret before this one opens until {}, as was said when it was rotated; `overlap_seconds: 0` ends both at once, \
                     `keep_old: true` lets that one be and ends the one since",
                    moment(*until)
                ),
            ),
            Self::Store(StoreError::NothingOld) => (
                StatusCode::CONFLICT,
                "conflict",
                "no secret of before opens any more: leave `keep_old` out".to_owned(),
            ),
            Self::Store(StoreError::Nul(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "a text with a NUL (U+0000) in it is nothing's name or id, and is not kept".to_owned(),
            ),
            Self::Store(StoreError::Away(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_away",
                "the database cannot be reached for now; the gateway's log says why".to_owned(),
            ),
            Self::Store(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_failed",
                "the database did not do what it was asked; try again".to_owned(),
            ),
            Self::File(problem) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "file_failed",
                format!("the file could not be made: {problem}"),
            ),
            Self::Random(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "no_random_numbers",
                "no secret could be made".to_owned(),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = self.told();
        match &self {
            Self::Store(error) if status.is_server_error() => {
                tracing::error!(%error, source = ?std::error::Error::source(error), "the administrative API failed");
            }
            Self::Random(error) => tracing::error!(%error, "the administrative API failed"),
            _ => {}
        }
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Self::Store(StoreError::Away(_)) = self {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        // RFC 6750, section 3.
        let wanted = match self {
            Self::Unauthenticated => Some("Bearer"),
            Self::Unknown => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        if let Some(wanted) = wanted {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(wanted));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
