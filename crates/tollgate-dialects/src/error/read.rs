//! What providers say instead of an answer, in all the shapes that were seen.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::Dialect;

use super::{ErrorKind, ProviderError};

/// Characters of a body without a known shape that are told on.
const EXCERPT_CHARS: usize = 300;

/// Reads what came with an error status. There is always an error to tell.
pub(crate) fn read(_: Dialect, status: u16, body: &[u8]) -> ProviderError {
    match serde_json::from_slice::<Value>(body) {
        Ok(body) => of_json(status, &body),
        Err(_) => ProviderError {
            message: excerpt(status, body),
            ..plain(status, ErrorKind::of_status(status))
        },
    }
}

/// Reads an error that came inside a stream, and therefore without a status: the one that its kind would have had stands for it.
pub(crate) fn read_in_stream(_: Dialect, data: &[u8]) -> ProviderError {
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let inner = inner(&body);
    let told = ["status_code", "status", "code"]
        .iter()
        .find_map(|name| number(&inner[*name]));
    let status = told
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status));
    let kind = word(inner)
        .and_then(kind_of_word)
        .or(status.map(ErrorKind::of_status))
        .unwrap_or(ErrorKind::Server);
    let status = status.unwrap_or_else(|| kind.status());
    ProviderError {
        status,
        kind,
        ..of_json(status, &body)
    }
}

/// Where the error is: OpenAI, Anthropic and Google have it under `error`; others are flat.
fn inner(body: &Value) -> &Value {
    match body {
        Value::Array(several) => several.first().map_or(body, inner),
        _ if body["error"].is_object() => &body["error"],
        _ => body,
    }
}

fn of_json(status: u16, body: &Value) -> ProviderError {
    let inner = inner(body);
    let code = code(inner);
    let kind = kind(status, inner, code.as_deref());
    ProviderError {
        message: message(inner).unwrap_or_else(|| excerpt(status, b"")),
        code,
        param: inner["param"].as_str().map(str::to_owned),
        retry_after: retry_after(inner),
        ..plain(status, kind)
    }
}

fn plain(status: u16, kind: ErrorKind) -> ProviderError {
    ProviderError {
        status,
        kind,
        message: String::new(),
        code: None,
        param: None,
        retry_after: None,
    }
}

/// The text, wherever it is.
fn message(inner: &Value) -> Option<String> {
    for name in [
        "message",
        "error",
        "detail",
        "title",
        "error_message",
        "msg",
    ] {
        match &inner[name] {
            Value::String(text) if !text.is_empty() => return Some(text.clone()),
            // FastAPI's list of what is wrong with the body.
            Value::Array(problems) if !problems.is_empty() => {
                let problems: Vec<String> = problems.iter().map(problem).collect();
                return Some(problems.join("; "));
            }
            Value::Object(nested) => {
                if let Some(text) = nested.get("message").and_then(Value::as_str) {
                    return Some(text.to_owned());
                }
            }
            _ => {}
        }
    }
    inner.as_str().map(str::to_owned)
}

fn problem(problem: &Value) -> String {
    let text = problem["msg"]
        .as_str()
        .or(problem["message"].as_str())
        .or(problem.as_str())
        .unwrap_or("invalid");
    let place = problem["loc"].as_array().map(|place| {
        place
            .iter()
            .map(|step| {
                step.as_str()
                    .map_or_else(|| step.to_string(), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join(".")
    });
    match place {
        Some(place) => format!("{place}: {text}"),
        None => text.to_owned(),
    }
}

/// The provider's own code. A number that only repeats the status says nothing.
fn code(inner: &Value) -> Option<String> {
    let text = |name: &str| {
        inner[name]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    text("code")
        .or_else(|| text("error_code"))
        .or_else(|| text("status"))
        .or_else(|| text("type").filter(|kind| kind != "error"))
}

/// The word that tells the kind best.
fn word(inner: &Value) -> Option<&str> {
    ["type", "status", "error_code", "code"]
        .iter()
        .find_map(|name| {
            inner[*name]
                .as_str()
                .filter(|word| kind_of_word(word).is_some())
        })
}

fn kind(status: u16, inner: &Value, code: Option<&str>) -> ErrorKind {
    match code.and_then(kind_of_word) {
        // Asking again does not help where the quota is used up.
        Some(ErrorKind::Billing) => ErrorKind::Billing,
        _ => match (
            ErrorKind::of_status(status),
            word(inner).and_then(kind_of_word),
        ) {
            // Anthropic's `overloaded_error`, whatever the status.
            (_, Some(ErrorKind::Overloaded)) => ErrorKind::Overloaded,
            // A status that says little, and a word that says more.
            (ErrorKind::Server, Some(kind)) if status < 500 => kind,
            (kind, _) => kind,
        },
    }
}

/// What a provider's word means: OpenAI's, Anthropic's, Google's and MLflow's.
fn kind_of_word(word: &str) -> Option<ErrorKind> {
    Some(match word {
        "insufficient_quota"
        | "billing_error"
        | "billing_hard_limit_reached"
        | "quota_exceeded" => ErrorKind::Billing,
        "invalid_request_error"
        | "INVALID_ARGUMENT"
        | "INVALID_PARAMETER_VALUE"
        | "BAD_REQUEST" => ErrorKind::InvalidRequest,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => ErrorKind::Authentication,
        "permission_error" | "PERMISSION_DENIED" => ErrorKind::Permission,
        "not_found_error" | "model_not_found" | "NOT_FOUND" | "RESOURCE_DOES_NOT_EXIST" => {
            ErrorKind::NotFound
        }
        "timeout_error" => ErrorKind::Timeout,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "RESOURCE_EXHAUSTED"
        | "REQUEST_LIMIT_EXCEEDED"
        | "RateLimitReached" => ErrorKind::RateLimited,
        "overloaded_error" | "overloaded" | "UNAVAILABLE" | "TEMPORARILY_UNAVAILABLE" => {
            ErrorKind::Overloaded
        }
        "api_error" | "server_error" | "internal_server_error" | "INTERNAL" | "INTERNAL_ERROR" => {
            ErrorKind::Server
        }
        _ => return None,
    })
}

/// Google's `RetryInfo`, or a number of seconds.
fn retry_after(inner: &Value) -> Option<Duration> {
    let details = inner["details"].as_array().map_or(&[][..], Vec::as_slice);
    let delay = details.iter().find_map(|detail| {
        detail["retryDelay"]
            .as_str()?
            .strip_suffix('s')?
            .parse::<f64>()
            .ok()
    });
    let seconds = delay.or_else(|| inner["retry_after"].as_f64())?;
    (0.0..86_400.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A body without a known shape: the beginning of its text, markup left out.
fn excerpt(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut plain = String::new();
    let mut in_markup = false;
    for character in text.chars() {
        match character {
            '<' => in_markup = true,
            '>' if in_markup => in_markup = false,
            _ if in_markup => {}
            _ if character.is_whitespace() || character.is_control() => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            _ => plain.push(character),
        }
    }
    let plain: String = plain.trim().chars().take(EXCERPT_CHARS).collect();
    if plain.is_empty() {
        format!("the provider answered with status {status} and no explanation")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn told(status: u16, body: &Value) -> (ErrorKind, String, Option<String>) {
        let error = read(Dialect::OpenaiChat, status, body.to_string().as_bytes());
        (error.kind, error.message, error.code)
    }

    #[test]
    fn every_shape_that_was_seen_is_read() {
        let text = || "no".to_owned();
        for (status, body, kind, code) in [
            (
                404,
                json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": "model_not_found"}}),
                ErrorKind::NotFound,
                Some("model_not_found"),
            ),
            (
                429,
                json!({"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}),
                ErrorKind::Billing,
                Some("insufficient_quota"),
            ),
            (
                529,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
                ErrorKind::Overloaded,
                Some("overloaded_error"),
            ),
            (
                401,
                json!({"detail": "no"}),
                ErrorKind::Authentication,
                None,
            ),
            (
                422,
                json!({"detail": [{"loc": ["body"], "msg": "no"}]}),
                ErrorKind::InvalidRequest,
                None,
            ),
            (
                400,
                json!({"error_code": "BAD_REQUEST", "message": "no", "stack_trace": "long"}),
                ErrorKind::InvalidRequest,
                Some("BAD_REQUEST"),
            ),
            (404, json!({"error": "no"}), ErrorKind::NotFound, None),
            (
                400,
                json!({"code": "invalid-argument", "error": "no"}),
                ErrorKind::InvalidRequest,
                Some("invalid-argument"),
            ),
            (
                429,
                json!({"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}),
                ErrorKind::RateLimited,
                Some("RESOURCE_EXHAUSTED"),
            ),
            (
                402,
                json!({"title": "no", "status": 402}),
                ErrorKind::Billing,
                None,
            ),
        ] {
            let (told_kind, message, told_code) = told(status, &body);
            assert_eq!((told_kind, told_code.as_deref()), (kind, code), "{body}");
            assert!(
                message == text() || message == "body: no",
                "{body}: {message}"
            );
        }
    }

    #[test]
    fn markup_is_left_out_and_nothing_is_told_for_nothing() {
        let error = read(
            Dialect::OpenaiChat,
            401,
            b"<html><head>\n<title>401 Authorization Required</title></head></html>",
        );
        assert_eq!(error.message, "401 Authorization Required");
        assert_eq!(
            read(Dialect::OpenaiChat, 502, b"").message,
            "the provider answered with status 502 and no explanation"
        );
    }

    #[test]
    fn an_error_in_a_stream_has_the_status_of_its_kind() {
        let error = read_in_stream(
            Dialect::AnthropicMessages,
            br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        );
        assert_eq!((error.status, error.kind), (503, ErrorKind::Overloaded));
        let error = read_in_stream(
            Dialect::OpenaiChat,
            br#"{"error":{"message":"bad tool","code":"tool_use_failed","status_code":400}}"#,
        );
        assert_eq!((error.status, error.kind), (400, ErrorKind::InvalidRequest));
    }

    #[test]
    fn googles_pause_is_read() {
        let body =
            json!({"error": {"code": 429, "message": "no", "details": [{"retryDelay": "7.5s"}]}});
        assert_eq!(
            read(Dialect::OpenaiChat, 429, body.to_string().as_bytes()).retry_after,
            Some(Duration::from_millis(7500))
        );
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_too(status in 400_u16..600, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let error = read(Dialect::OpenaiChat, status, &body);
            prop_assert!(!error.message.is_empty());
            let _in_stream = read_in_stream(Dialect::AnthropicMessages, &body);
        }
    }
}
