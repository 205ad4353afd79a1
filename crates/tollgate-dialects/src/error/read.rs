//! What providers say instead of an answer, in all the shapes that were seen.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::Dialect;

use super::{ErrorKind, ProviderError};

/// Characters of a message that are told on. Some providers repeat the whole request in it.
const MESSAGE_CHARS: usize = 4000;

/// Characters of a body without a known shape that are told on.
const EXCERPT_CHARS: usize = 300;

/// The longest pause that is believed.
const PAUSE_MAX: f64 = 86_400.0;

/// Reads what came with an error status. There is always an error to tell.
pub(crate) fn read(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    let by_status = ErrorKind::of_status(status);
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return of_text(status, body);
    };
    let error = error_of(&body);
    let words: Vec<&str> = words(error).collect();
    ProviderError {
        status,
        kind: kind(by_status, &words),
        message: with_sentence(message(error).unwrap_or_else(|| unexplained(status)), error),
        code: code(dialect, error),
        param: error["param"]
            .as_str()
            .filter(|param| !is_sentence(param))
            .map(str::to_owned),
        retry_after: retry_after(error),
    }
}

/// Reads an error that came with a status of success, mostly inside a stream: it tells its status itself, or its kind does.
pub(crate) fn read_in_stream(dialect: Dialect, data: &[u8]) -> ProviderError {
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let error = error_of(&body);
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let status = ["status_code", "status", "code"]
        .iter()
        .find_map(|name| number(&error[*name]))
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status));
    let words: Vec<&str> = words(error).collect();
    let status =
        status.unwrap_or_else(|| most_telling(&words).unwrap_or(ErrorKind::Server).status());
    read(dialect, status, data)
}

/// Where the error is: OpenAI, Anthropic and Google have it under `error`, Cloudflare in a list; others are flat.
fn error_of(body: &Value) -> &Value {
    match body {
        Value::Array(several) => several.first().map_or(body, error_of),
        _ if body["error"].is_object() => &body["error"],
        _ if body["errors"][0].is_object() => &body["errors"][0],
        _ if body["detail"].is_object() => &body["detail"],
        _ => body,
    }
}

// === kind ===

fn kind(by_status: ErrorKind, words: &[&str]) -> ErrorKind {
    match (by_status, most_telling(words)) {
        // To ask again does not help where the quota is used up, and it does where the provider is full.
        (_, Some(kind @ (ErrorKind::Billing | ErrorKind::Overloaded))) => kind,
        // 400 is the status of almost everything. It is the client's fault all the same.
        (ErrorKind::InvalidRequest, Some(kind)) if kind != ErrorKind::Server => kind,
        _ => by_status,
    }
}

/// The kind that the words tell; "invalid request" says the least.
fn most_telling(words: &[&str]) -> Option<ErrorKind> {
    let mut kinds = words.iter().filter_map(|word| kind_of_word(word));
    let first = kinds.next()?;
    match first {
        ErrorKind::InvalidRequest => Some(kinds.find(|kind| *kind != first).unwrap_or(first)),
        kind => Some(kind),
    }
}

/// The words by which providers tell errors apart.
fn words(error: &Value) -> impl Iterator<Item = &str> {
    let own = [
        "code",
        "error_code",
        "status",
        "type",
        "error_type",
        "reason",
    ];
    let own = own.into_iter().map(|name| &error[name]);
    // Google's.
    let details = error["details"].as_array().into_iter().flatten();
    own.chain(details.map(|detail| &detail["reason"]))
        .filter_map(Value::as_str)
}

/// What a word means: of OpenAI, Azure, Anthropic, Google, MLflow and Databricks.
fn kind_of_word(word: &str) -> Option<ErrorKind> {
    Some(match word {
        "insufficient_quota" | "billing_error" | "billing_hard_limit_reached" => ErrorKind::Billing,
        "invalid_request_error"
        | "invalid_parameter_error"
        | "BadRequestError"
        | "BAD_REQUEST"
        | "INVALID_ARGUMENT"
        | "INVALID_PARAMETER_VALUE"
        | "context_length_exceeded"
        | "invalid_prompt" => ErrorKind::InvalidRequest,
        "authentication_error"
        | "invalid_api_key"
        | "wrong_api_key"
        | "API_KEY_INVALID"
        | "UNAUTHENTICATED" => ErrorKind::Authentication,
        "permission_error" | "PERMISSION_DENIED" => ErrorKind::Permission,
        "not_found_error"
        | "model_not_found"
        | "DeploymentNotFound"
        | "NOT_FOUND"
        | "RESOURCE_DOES_NOT_EXIST" => ErrorKind::NotFound,
        "timeout_error" | "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "tokens"
        | "requests"
        | "RateLimitReached"
        | "RESOURCE_EXHAUSTED"
        | "REQUEST_LIMIT_EXCEEDED" => ErrorKind::RateLimited,
        "overloaded_error" | "overloaded" | "UNAVAILABLE" | "TEMPORARILY_UNAVAILABLE" => {
            ErrorKind::Overloaded
        }
        "api_error" | "server_error" | "internal_server_error" | "INTERNAL" | "INTERNAL_ERROR" => {
            ErrorKind::Server
        }
        _ => return None,
    })
}

// === code, text, pause ===

/// The provider's own code. A number says no more than the status.
fn code(dialect: Dialect, error: &Value) -> Option<String> {
    let mut names = vec!["code", "error_code", "status"];
    if dialect == Dialect::AnthropicMessages {
        // There are no codes.
        names.push("type");
    }
    let mut codes = names.into_iter().filter_map(|name| error[name].as_str());
    let is_word = |code: &&str| !code.is_empty() && code.parse::<u16>().is_err();
    codes.find(is_word).map(str::to_owned)
}

/// The text, wherever it is.
fn message(error: &Value) -> Option<String> {
    let names = [
        "message",
        // AWS has both.
        "Message",
        "error",
        "detail",
        "title",
        "error_message",
        "msg",
    ];
    let places = names.into_iter().map(|name| &error[name]).chain([error]);
    let text = places.into_iter().find_map(|place| match place {
        Value::String(text) => Some(text.clone()),
        Value::Array(problems) => {
            let problems: Vec<String> = problems.iter().filter_map(problem).collect();
            Some(problems.join("; "))
        }
        _ => None,
    });
    let text: String = text?.trim().chars().take(MESSAGE_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// The text with what Xiaomi has under `param`: no field's name, but what is wrong.
fn with_sentence(message: String, error: &Value) -> String {
    match error["param"].as_str().filter(|param| is_sentence(param)) {
        Some(sentence) => format!("{message}: {sentence}"),
        None => message,
    }
}

fn is_sentence(param: &str) -> bool {
    param.trim().contains(' ')
}

/// One of several things that are wrong, with its place: a list of what is wrong with a body.
fn problem(problem: &Value) -> Option<String> {
    let text = problem["msg"]
        .as_str()
        .or(problem["message"].as_str())
        .or(problem.as_str())?;
    let steps = problem["loc"].as_array().into_iter().flatten();
    let place: Vec<String> = steps
        .map(|step| {
            step.as_str()
                .map_or_else(|| step.to_string(), str::to_owned)
        })
        .collect();
    Some(match place.as_slice() {
        [] => text.to_owned(),
        place => format!("{}: {text}", place.join(".")),
    })
}

/// Google's `RetryInfo`, or a number of seconds.
fn retry_after(error: &Value) -> Option<Duration> {
    let details = error["details"].as_array().into_iter().flatten();
    let delay = |detail: &Value| {
        detail["retryDelay"]
            .as_str()?
            .strip_suffix('s')?
            .parse()
            .ok()
    };
    let seconds: f64 = details
        .into_iter()
        .find_map(delay)
        .or_else(|| error["retry_after"].as_f64())?;
    (0.0..PAUSE_MAX)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

/// A body that is no JSON: the beginning of its text, or of a page the title alone.
fn of_text(status: u16, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let shown = if text.starts_with('<') {
        title(text)
    } else {
        Some(text)
    };
    let shown = shown.unwrap_or_default().split_whitespace();
    let shown = shown.collect::<Vec<_>>().join(" ");
    let shown = shown.chars().filter(|sign| !sign.is_control());
    let shown: String = shown.take(EXCERPT_CHARS).collect();
    ProviderError {
        status,
        kind: ErrorKind::of_status(status),
        message: if shown.is_empty() {
            unexplained(status)
        } else {
            shown
        },
        code: None,
        param: None,
        retry_after: None,
    }
}

/// The title of a page.
fn title(page: &str) -> Option<&str> {
    let (_, rest) = page
        .split_once("<title")
        .or_else(|| page.split_once("<TITLE"))?;
    let (_, rest) = rest.split_once('>')?;
    let (title, _) = rest.split_once('<')?;
    Some(title)
}

fn unexplained(status: u16) -> String {
    format!("the provider answered with status {status} and no explanation")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_json(status: u16, body: &Value) -> ProviderError {
        read(Dialect::OpenaiChat, status, body.to_string().as_bytes())
    }

    /// Shapes as they were recorded, with shorter texts.
    #[test]
    fn every_shape_that_was_seen_is_read() {
        use ErrorKind::*;
        for (status, body, kind, code) in [
            (
                404,
                json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": "model_not_found"}}),
                NotFound,
                Some("model_not_found"),
            ),
            (
                400,
                json!({"error": {"message": "no", "type": "invalid_request_error", "param": "model", "code": null}}),
                InvalidRequest,
                None,
            ),
            (
                400,
                json!({"error": {"code": 400, "message": "no", "type": "Bad Request"}}),
                InvalidRequest,
                None,
            ),
            (
                401,
                json!({"error": {"code": "401", "message": "no"}}),
                Authentication,
                None,
            ),
            (
                429,
                json!({"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}),
                Billing,
                Some("insufficient_quota"),
            ),
            (
                429,
                json!({"error": {"code": "RateLimitReached", "message": "no", "details": "no"}}),
                RateLimited,
                Some("RateLimitReached"),
            ),
            (
                529,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}, "request_id": "r"}),
                Overloaded,
                None,
            ),
            (
                500,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
                Overloaded,
                None,
            ),
            (
                401,
                json!({"message": "no", "type": "invalid_request_error", "param": "api_key", "code": "wrong_api_key"}),
                Authentication,
                Some("wrong_api_key"),
            ),
            (
                400,
                json!({"object": "error", "message": "no", "type": "invalid_request_invalid_args", "param": null, "code": "3051"}),
                InvalidRequest,
                None,
            ),
            (401, json!({"detail": "no"}), Authentication, None),
            (
                422,
                json!({"detail": [{"loc": ["body", "tools", 0], "msg": "no"}]}),
                InvalidRequest,
                None,
            ),
            (
                404,
                json!({"detail": {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}}),
                NotFound,
                Some("RESOURCE_DOES_NOT_EXIST"),
            ),
            (
                400,
                json!({"error_code": "BAD_REQUEST", "message": "no", "stack_trace": "long"}),
                InvalidRequest,
                Some("BAD_REQUEST"),
            ),
            (404, json!({"error": "no"}), NotFound, None),
            (400, json!({"error": ["no"]}), InvalidRequest, None),
            (
                422,
                json!({"error": "no", "error_type": "template_error"}),
                InvalidRequest,
                None,
            ),
            (
                400,
                json!({"code": "invalid-argument", "error": "no"}),
                InvalidRequest,
                Some("invalid-argument"),
            ),
            (
                400,
                json!({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}),
                Authentication,
                Some("INVALID_ARGUMENT"),
            ),
            (
                402,
                json!({"title": "Payment required", "detail": "no", "status": 402}),
                Billing,
                None,
            ),
            (
                403,
                json!({"success": false, "errors": [{"code": 10001, "message": "no"}]}),
                Permission,
                None,
            ),
            (
                400,
                json!([{"error": {"message": "no"}}]),
                InvalidRequest,
                None,
            ),
            (400, json!("no"), InvalidRequest, None),
            (503, json!({"message": "no"}), Overloaded, None),
        ] {
            let error = read_json(status, &body);
            assert_eq!((error.kind, error.code.as_deref()), (kind, code), "{body}");
            let expected = if status == 422 && body["detail"].is_array() {
                "body.tools.0: no"
            } else {
                "no"
            };
            assert_eq!(error.message, expected, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_may_stand_where_the_fields_name_belongs() {
        let error = read_json(
            400,
            &json!({"error": {"code": "400", "message": "Param Incorrect", "param": "Not supported model x"}}),
        );
        assert_eq!(error.message, "Param Incorrect: Not supported model x");
        assert_eq!(error.param, None);
    }

    #[test]
    fn anthropics_type_stands_for_a_code() {
        let body = br#"{"type": "error", "error": {"type": "not_found_error", "message": "no"}}"#;
        let error = read(Dialect::AnthropicMessages, 404, body);
        assert_eq!(error.code.as_deref(), Some("not_found_error"));
    }

    #[test]
    fn of_a_page_the_title_alone_is_told() {
        let message =
            |status, body: &str| read(Dialect::OpenaiChat, status, body.as_bytes()).message;
        let page = "<html><head>\n<style>a{}</style><title>401 Authorization\n Required</title></head><body>nginx</body></html>";
        assert_eq!(message(401, page), "401 Authorization Required");
        let unexplained = "the provider answered with status 502 and no explanation";
        for body in [
            "",
            " \n",
            "<html>secret",
            "{}",
            "null",
            "[]",
            r#"{"error": {"message": ""}}"#,
        ] {
            assert_eq!(message(502, body), unexplained, "{body}");
        }
        assert_eq!(
            message(422, "Failed to\n deserialize"),
            "Failed to deserialize"
        );
        assert_eq!(
            message(500, &"é".repeat(10_000)).chars().count(),
            EXCERPT_CHARS
        );
    }

    #[test]
    fn an_error_in_a_stream_has_the_status_of_its_kind() {
        for (data, status, kind) in [
            (
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
                503,
                ErrorKind::Overloaded,
            ),
            (
                json!({"error": {"message": "no", "code": "tool_use_failed", "status_code": 400}}),
                400,
                ErrorKind::InvalidRequest,
            ),
            (
                json!({"error": {"message": "no", "type": "invalid_request_error", "code": "rate_limit_exceeded"}}),
                429,
                ErrorKind::RateLimited,
            ),
            (
                json!({"error": {"message": "no", "type": "invalid_request_error", "code": null}}),
                400,
                ErrorKind::InvalidRequest,
            ),
            (
                json!({"error": {"code": 502, "message": "no"}}),
                502,
                ErrorKind::Server,
            ),
            (json!({"error": "no"}), 500, ErrorKind::Server),
        ] {
            let error = read_in_stream(Dialect::OpenaiChat, data.to_string().as_bytes());
            assert_eq!((error.status, error.kind), (status, kind), "{data}");
            assert_eq!(error.message, "no", "{data}");
        }
    }

    #[test]
    fn the_providers_pause_is_read() {
        for (error, seconds) in [
            (
                json!({"message": "no", "details": [{}, {"retryDelay": "7.5s"}]}),
                Some(7.5),
            ),
            (json!({"message": "no", "retry_after": 3}), Some(3.0)),
            (json!({"message": "no", "retry_after": -3}), None),
            (json!({"message": "no", "retry_after": 1e300}), None),
        ] {
            let pause = read_json(429, &json!({"error": error})).retry_after;
            assert_eq!(pause, seconds.map(Duration::from_secs_f64), "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_too(status in 400_u16..600, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!read(Dialect::OpenaiChat, status, &body).message.is_empty());
            prop_assert!(!read_in_stream(Dialect::AnthropicMessages, &body).message.is_empty());
        }
    }
}
