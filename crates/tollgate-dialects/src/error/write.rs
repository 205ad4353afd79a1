//! Errors in the shapes that clients' libraries understand.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::ErrorShape;

use super::{ErrorKind, ErrorReport};
use crate::{anthropic_messages, json::put};

/// Writes an error in the shape that a client's library understands.
pub(crate) fn write(shape: ErrorShape, report: &ErrorReport<'_>) -> Bytes {
    let body = match shape {
        ErrorShape::Openai => json!({"error": {
            "message": report.message,
            "type": openai_type(report.kind),
            "param": report.param,
            "code": report.code,
        }}),
        ErrorShape::Anthropic => anthropic(report),
        ErrorShape::Gemini => gemini(report),
        ErrorShape::Cohere => json!({
            "id": report.request_id,
            "message": report.message,
            "code": report.code,
        }),
        ErrorShape::Ollama => json!({"error": report.message, "code": report.code}),
        ErrorShape::Mlflow => json!({
            "detail": report.message,
            "error_code": mlflow_code(report.kind),
            "message": report.message,
            "code": report.code,
        }),
    };
    Bytes::from(body.to_string())
}

/// Anthropic has no codes; one beside the type is no harm, and tells clients more. Within a stream there is no request's id.
fn anthropic(report: &ErrorReport<'_>) -> Value {
    let mut error = Map::new();
    put(
        &mut error,
        "type",
        Some(anthropic_messages::error_type(report.kind)),
    );
    put(&mut error, "message", Some(report.message));
    put(&mut error, "code", report.code);
    let mut body = Map::new();
    put(&mut body, "type", Some("error"));
    put(&mut body, "error", Some(error));
    let request_id = Some(report.request_id).filter(|id| !id.is_empty());
    put(&mut body, "request_id", request_id);
    Value::Object(body)
}

/// Google's form (<https://cloud.google.com/apis/design/errors>, read 2026-11): a code of ours is the reason among the details.
fn gemini(report: &ErrorReport<'_>) -> Value {
    let mut error = json!({
        "code": report.status,
        "message": report.message,
        "status": gemini_status(report.kind),
    });
    if let Some(code) = report.code {
        error["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": code,
            "domain": "tollgate",
        }]);
    }
    json!({"error": error})
}

/// Google's word for a kind.
fn gemini_status(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::TooLarge => "INVALID_ARGUMENT",
        ErrorKind::Authentication => "UNAUTHENTICATED",
        ErrorKind::Permission => "PERMISSION_DENIED",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Timeout => "DEADLINE_EXCEEDED",
        ErrorKind::Billing | ErrorKind::RateLimited => "RESOURCE_EXHAUSTED",
        ErrorKind::Overloaded => "UNAVAILABLE",
        ErrorKind::Server => "INTERNAL",
    }
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

#[cfg(test)]
mod tests {
    use tollgate_domain::Dialect;

    use super::*;

    #[test]
    fn every_kind_is_read_back_as_it_was_written() {
        use ErrorKind::*;
        for kind in [
            InvalidRequest,
            Authentication,
            Billing,
            Permission,
            NotFound,
            Timeout,
            TooLarge,
            RateLimited,
            Overloaded,
            Server,
        ] {
            let report = ErrorReport {
                status: kind.status(),
                kind,
                code: Some("a_code"),
                message: "what to do",
                param: None,
                request_id: "r",
            };
            for shape in [
                ErrorShape::Openai,
                ErrorShape::Anthropic,
                ErrorShape::Mlflow,
            ] {
                let body = write(shape, &report);
                let error = crate::error::read(Dialect::OpenaiChat, report.status, &body);
                assert_eq!(error.kind, kind, "{shape:?}");
                assert_eq!(error.message, "what to do", "{shape:?}");
                assert_eq!(error.code.as_deref(), Some("a_code"), "{shape:?}");
            }
        }
    }

    #[test]
    fn each_shape_has_what_its_clients_look_for() {
        let report = ErrorReport {
            status: 429,
            kind: ErrorKind::RateLimited,
            code: None,
            message: "slow down",
            param: Some("n"),
            request_id: "",
        };
        let write = |shape| serde_json::from_slice::<Value>(&write(shape, &report)).unwrap();
        assert_eq!(
            write(ErrorShape::Openai),
            json!({"error": {"message": "slow down", "type": "rate_limit_error", "param": "n", "code": null}})
        );
        assert_eq!(
            write(ErrorShape::Anthropic),
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}})
        );
        assert_eq!(
            write(ErrorShape::Mlflow),
            json!({"detail": "slow down", "error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down", "code": null})
        );
    }
}
