//! Errors in the shapes that clients' libraries understand.

use bytes::Bytes;
use serde_json::json;
use tollgate_domain::ErrorShape;

use super::{ErrorKind, ErrorReport};
use crate::anthropic_messages;

/// Writes an error in the shape that a client's library understands.
pub(crate) fn write(shape: ErrorShape, report: &ErrorReport<'_>) -> Bytes {
    let body = match shape {
        ErrorShape::Openai => json!({"error": {
            "message": report.message,
            "type": openai_type(report.kind),
            "param": report.param,
            "code": report.code,
        }}),
        ErrorShape::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic_messages::error_type(report.kind), "message": report.message},
            "request_id": report.request_id,
        }),
        ErrorShape::Mlflow => json!({
            "detail": report.message,
            "error_code": mlflow_code(report.kind),
            "message": report.message,
            "code": report.code,
        }),
    };
    Bytes::from(body.to_string())
}

/// OpenAI's word for a kind (<https://platform.openai.com/docs/guides/error-codes>, read 2026-11, and recorded calls).
fn openai_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::Authentication
        | ErrorKind::Permission
        | ErrorKind::NotFound
        | ErrorKind::TooLarge
        | ErrorKind::Timeout => "invalid_request_error",
        ErrorKind::Billing => "insufficient_quota",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::Overloaded | ErrorKind::Server => "server_error",
    }
}

/// MLflow's word for a kind (`mlflow.protos.databricks_pb2.ErrorCode`, version 3.17).
fn mlflow_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::TooLarge | ErrorKind::Timeout => "BAD_REQUEST",
        ErrorKind::Authentication => "UNAUTHENTICATED",
        ErrorKind::Billing | ErrorKind::RateLimited => "REQUEST_LIMIT_EXCEEDED",
        ErrorKind::Permission => "PERMISSION_DENIED",
        ErrorKind::NotFound => "RESOURCE_DOES_NOT_EXIST",
        ErrorKind::Overloaded => "TEMPORARILY_UNAVAILABLE",
        ErrorKind::Server => "INTERNAL_ERROR",
    }
}
