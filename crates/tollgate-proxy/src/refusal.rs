//! Every "no" that a client can hear: one table of status, kind, code and text.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tollgate_dialects::{ErrorKind, ErrorReport, ProviderError, ReadError, write_error};
use tollgate_domain::{ErrorShape, RouteName};

use crate::{
    admission::Shortage,
    keys::FETCH_AGAIN_AFTER,
    plain::PlainRefusal,
    reply::ReplyBody,
    visit::{TAG_BYTES_MAX, TAGS_MAX},
};

/// Names that are told of a longer list.
const NAMES_TOLD_MAX: usize = 20;

/// Why a call is not answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// There is no such path.
    UnknownPath { path: String },
    /// The path wants another method.
    WrongMethod { wanted: &'static str },
    /// The URL is too long.
    UrlTooLong { bytes_max: usize },
    /// The gateway has more to do than it can.
    Behind,
    /// What the call is tagged with cannot be taken.
    TagsInvalid,
    /// No key was sent.
    KeyMissing,
    /// The key is not one of ours.
    KeyUnknown,
    /// The key is past its date.
    KeyExpired,
    /// The key is blocked.
    KeyBlocked,
    /// It opens nothing at this path, or for clients of this network.
    KeyElsewhere { what: &'static str, is: String },
    /// The token is not valid.
    TokenInvalid { why: Cow<'static, str> },
    /// The token is past its end.
    TokenExpired,
    /// The keys of the token's issuer are not known.
    IssuerAway,
    /// The key does not open the route.
    RouteForbidden {
        shown: &'static str,
        asked: String,
        route: RouteName,
    },
    /// It reaches none of the route's models.
    ModelForbidden {
        shown: &'static str,
        route: String,
        models: Vec<String>,
    },
    /// The body is too large.
    BodyTooLarge { bytes_max: usize },
    /// The body did not come in time.
    BodyTooSlow,
    /// The body is compressed in a way that is not understood.
    BodyEncoding { encoding: String },
    /// The body could not be decompressed, or broke off.
    BodyMalformed { problem: String },
    /// The body is not what the dialect wants.
    BodyInvalid(ReadError),
    /// The path wants a WebSocket.
    UpgradeMissing,
    /// The body names no model.
    ModelMissing,
    /// Nothing of that name.
    RouteUnknown {
        model: String,
        nearest: Option<String>,
    },
    /// The route does something else.
    WrongTask {
        asked: String,
        route: RouteName,
        does: &'static str,
        wanted: &'static str,
    },
    /// The target cannot express fields of the call.
    Unsupported { fields: Vec<String>, target: String },
    /// The route's prompt wants variables that the call does not give.
    VariablesMissing { names: Vec<String> },
    /// The route's prompt could not be made.
    PromptFailed { problem: String },
    /// An allowance has not enough left.
    AllowanceReached(Box<Shortage>),
    /// A budget is for calls whose cost nobody knows.
    Unpriced { budget: String },
    /// The counts that several gateways share do not answer.
    CountersAway,
    /// Calls cannot be written into the books.
    BooksClosed,
    /// The gateway stops before anybody has answered.
    Stopping,
    /// The model's address is not known yet.
    Unresolved { text: String },
    /// The provider has no endpoint for this task.
    NotServed { target: String, task: &'static str },
    /// The call goes on from what a provider has stored, and this target's provider cannot look there; the gateway stores nothing.
    StoredState { field: &'static str, target: String },
    /// The body is larger than a limit of the caller's allows; `None` where the client does not say how large it is.
    TooLargeForLimit {
        name: String,
        subject: String,
        most: u64,
        bytes: Option<u64>,
    },
    /// The call goes on from an answer that nobody here has kept.
    ResponseUnknown { id: String },
    /// Whoever keeps answers cannot look now.
    ResponsesAway,
    /// A route for plain HTTP has no such method; which it has.
    MethodNotAllowed { allowed: String },
    /// A path below a route for plain HTTP leads back up.
    PathLeadsBack,
    /// A provider of plain HTTP answered with an error, which is passed on as it is.
    Plain(Box<PlainRefusal>),
    /// The provider answered with an error, which is passed on.
    Provider(Box<ProviderError>),
    /// Every key of the provider was refused by it.
    CredentialsExhausted { status: u16 },
    /// There is no valid credential for the provider, and its issuer gives none.
    CredentialMissing,
    /// Every key of the provider is waiting out a rate limit.
    RateLimited { retry_after: Duration },
    /// The provider could not be reached.
    Unreachable,
    /// The provider did not answer in time.
    TimedOut { after: &'static str },
    /// The provider's answer broke off or could not be understood.
    AnswerUnreadable,
    /// The provider's answer is longer than allowed.
    AnswerTooLarge,
}

/// The client's side of a refusal, ready to be written.
struct Told<'a> {
    status: u16,
    kind: ErrorKind,
    code: Cow<'a, str>,
    text: Cow<'a, str>,
    param: Option<Cow<'a, str>>,
}

impl Refusal {
    /// The table.
    fn told(&self) -> Told<'_> {
        use ErrorKind as Kind;
        let told = |status, kind, code: &'static str, text: Cow<'static, str>| Told {
            status,
            kind,
            code: Cow::Borrowed(code),
            text,
            param: None,
        };
        match self {
            Self::UnknownPath { path } => told(404, Kind::NotFound, "unknown_path", format!(
                "there is no {path} here; the gateway answers at /v1/chat/completions, /v1/responses, /v1/messages, /v1/completions, /v1/embeddings, \
                 /v1/models and /gateway/{{route}}/invocations").into()),
            Self::WrongMethod { wanted } => told(405, Kind::InvalidRequest, "method_not_allowed", format!("this path wants {wanted}").into()),
            Self::MethodNotAllowed { allowed } => told(405, Kind::InvalidRequest, "method_not_allowed", format!("this path wants {allowed}").into()),
            Self::PathLeadsBack => told(400, Kind::InvalidRequest, "path_leads_back",
                "parts such as `..` are not followed; write the path as it is meant".into()),
            Self::UrlTooLong { bytes_max } => told(414, Kind::InvalidRequest, "url_too_long", format!("the URL is longer than {bytes_max} bytes").into()),
            Self::Behind => told(503, Kind::Overloaded, "gateway_overloaded",
                "the gateway has more to do than it can at the moment; try again".into()),
            Self::TagsInvalid => told(400, Kind::InvalidRequest, "tags_invalid",
                format!("`x-tollgate-tags` takes up to {TAGS_MAX} tags, apart by commas, each of up to {TAG_BYTES_MAX} printable ASCII characters").into()),
            Self::KeyMissing => told(401, Kind::Authentication, "key_missing",
                "no key was sent; send your gateway key as `Authorization: Bearer KEY`, `x-api-key` or `api-key`".into()),
            Self::KeyUnknown => told(401, Kind::Authentication, "invalid_api_key",
                "this key is not known to the gateway; ask whoever runs it for one".into()),
            Self::KeyExpired => told(401, Kind::Authentication, "key_expired", "this key has expired; ask whoever runs the gateway for a new one".into()),
            Self::KeyElsewhere { what, is } => told(403, Kind::Permission, "key_not_for_here",
                format!("this key is not for the {what} {is}; ask whoever runs the gateway").into()),
            Self::KeyBlocked => told(401, Kind::Authentication, "key_blocked", "this key is blocked; ask whoever runs the gateway".into()),
            Self::TokenInvalid { why } => told(401, Kind::Authentication, "invalid_token", format!("this token is not accepted: {why}").into()),
            Self::TokenExpired => told(401, Kind::Authentication, "token_expired", "this token has expired; get a new one from its issuer".into()),
            Self::IssuerAway => told(503, Kind::Overloaded, "issuer_away",
                "the keys of the token's issuer cannot be had, so that nobody can tell whether the token is valid; try again".into()),
            Self::RouteForbidden { shown, asked, .. } => Told { param: Some("model".into()), ..told(403, Kind::Permission, "route_not_allowed",
                format!("this {shown} may not use `{asked}`; GET /v1/models lists what it may use").into()) },
            Self::ModelForbidden { shown, route, models } => Told { param: Some("model".into()), ..told(403, Kind::Permission, "model_not_allowed",
                format!("this {shown} may not use the models behind `{route}`; it may use {}", listed(models)).into()) },
            Self::BodyTooLarge { bytes_max } => told(413, Kind::TooLarge, "body_too_large", format!("the body is larger than {bytes_max} bytes").into()),
            Self::BodyTooSlow => told(408, Kind::Timeout, "body_too_slow", "the body did not arrive in time".into()),
            Self::BodyEncoding { encoding } => told(415, Kind::InvalidRequest, "unknown_content_encoding",
                format!("content-encoding `{encoding}` is not understood; send gzip, br, zstd or no encoding").into()),
            Self::BodyMalformed { problem } => told(400, Kind::InvalidRequest, "body_malformed", problem.clone().into()),
            Self::BodyInvalid(error) => Told { param: path_of(error), ..told(400, Kind::InvalidRequest, "invalid_request", error.to_string().into()) },
            Self::UpgradeMissing => told(426, Kind::InvalidRequest, "upgrade_required",
                "this path speaks over a WebSocket: send `Connection: Upgrade`, `Upgrade: websocket` and what goes with them".into()),
            Self::ModelMissing => Told { param: Some("model".into()), ..told(400, Kind::InvalidRequest, "model_missing",
                "`model` is missing; GET /v1/models lists what it may be".into()) },
            Self::RouteUnknown { model, nearest } => Told { param: Some("model".into()), ..told(404, Kind::NotFound, "model_not_found",
                match nearest {
                    Some(nearest) => format!("there is no model `{model}` here; did you mean `{nearest}`?").into(),
                    None => format!("there is no model `{model}` here; GET /v1/models lists what there is").into(),
                }) },
            Self::WrongTask { asked, does, wanted, .. } => Told { param: Some("model".into()), ..told(400, Kind::InvalidRequest, "wrong_task",
                format!("`{asked}` does {does}, and this path asks for {wanted}").into()) },
            Self::Unsupported { fields, target } => Told { param: fields.first().map(|field| field.as_str().into()), ..told(400, Kind::InvalidRequest, "unsupported_field",
                format!("{target} cannot express {}; leave it out, or set `drop_unsupported: true` on the route to have it left out",
                    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")).into()) },
            Self::VariablesMissing { names } => Told { param: names.first().map(|name| name.as_str().into()), ..told(400, Kind::InvalidRequest, "variables_missing",
                format!("this route's prompt wants {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")).into()) },
            Self::PromptFailed { problem } => told(400, Kind::InvalidRequest, "prompt_failed", problem.clone().into()),
            Self::AllowanceReached(short) if short.is_too_large => told(413, Kind::TooLarge,
                if short.is_budget { "call_exceeds_budget" } else { "call_exceeds_limit" }, short.to_string().into()),
            Self::AllowanceReached(short) => told(429, Kind::RateLimited,
                if short.is_budget { "budget_exceeded" } else { "rate_limit_exceeded" }, short.to_string().into()),
            Self::TooLargeForLimit { name, subject, most, bytes } => {
                let of = if subject.is_empty() { String::new() } else { format!(" of {subject}") };
                let is = bytes.map_or_else(
                    || "the client does not say how many this one has: send Content-Length".to_owned(),
                    |bytes| format!("this one has {bytes}"));
                told(413, Kind::TooLarge, "size_limit_exceeded", format!("the limit `{name}`{of} allows bodies of {most} bytes; {is}").into())
            }
            Self::Unpriced { budget } => Told { param: Some("model".into()), ..told(403, Kind::Permission, "model_unpriced",
                format!("the budget `{budget}` cannot be kept: nobody has said what this model costs; whoever runs the gateway has to give it a price").into()) },
            Self::BooksClosed => told(503, Kind::Overloaded, "books_closed",
                "the gateway cannot write down what calls cost, and refuses to make any; whoever runs it has to look at this".into()),
            Self::Stopping => told(503, Kind::Overloaded, "gateway_stopped",
                "the gateway stops, and nobody has answered yet; try again".into()),
            Self::CountersAway => told(503, Kind::Overloaded, "counters_away",
                "the gateway cannot see how much of its limits is used, and refuses to go beyond them; try again".into()),
            Self::Unresolved { text } => told(503, Kind::Overloaded, "model_unresolved", text.clone().into()),
            Self::NotServed { target, task } => told(400, Kind::InvalidRequest, "not_served", format!("{target} does not serve {task}").into()),
            Self::StoredState { field, target } => Told { param: Some((*field).into()), ..told(501, Kind::InvalidRequest, "stored_state_unsupported",
                format!("`{field}` goes on from something stored, which the gateway does not keep, and {target} does not speak responses itself: \
                    send the whole conversation in `input`, or use a route to a provider that does; \
                    for `previous_response_id` whoever runs the gateway can set `store.responses_kept`").into()) },
            Self::ResponseUnknown { id } => Told { param: Some(crate::responses::PREVIOUS.into()), ..told(404, Kind::NotFound, "previous_response_not_found",
                format!("there is no response `{id}` of yours here, or what it went on from is not kept any more").into()) },
            Self::ResponsesAway => told(503, Kind::Overloaded, "responses_away",
                "the gateway cannot look for the response that this one goes on from; try again".into()),
            Self::Plain(refusal) => Told { text: Cow::Borrowed(&refusal.error.message), ..told(refusal.error.status, refusal.error.kind, "", "".into()) },
            Self::Provider(error) => Told {
                status: error.status,
                kind: error.kind,
                code: error.code.as_deref().map_or(Cow::Borrowed(""), Cow::Borrowed),
                text: Cow::Borrowed(&error.message),
                param: error.param.as_deref().map(Cow::Borrowed),
            },
            Self::CredentialsExhausted { status } => told(502, Kind::Server, "upstream_credentials_exhausted",
                format!("the provider refused the gateway's own credentials with {status}; your key is fine; whoever runs the gateway has to look at this").into()),
            Self::CredentialMissing => told(503, Kind::Overloaded, "upstream_credential_missing",
                "the gateway could not get a credential for the provider; your key is fine; try again".into()),
            Self::RateLimited { .. } => told(429, Kind::RateLimited, "upstream_rate_limited", "the provider asked for a pause; try again after it".into()),
            Self::Unreachable => told(502, Kind::Server, "upstream_unreachable", "the provider could not be reached; try again".into()),
            Self::TimedOut { after } => told(504, Kind::Server, "upstream_timeout", format!("the provider did not answer in time ({after}); try again").into()),
            Self::AnswerUnreadable => told(502, Kind::Server, "upstream_unreadable", "the provider's answer broke off or could not be understood; try again".into()),
            Self::AnswerTooLarge => told(502, Kind::Server, "upstream_answer_too_large", "the provider's answer is longer than the gateway accepts".into()),
        }
    }

    /// The status that the client is told.
    pub(crate) fn status(&self) -> u16 {
        self.told().status
    }

    /// The route that was asked for, where it is refused before it is taken.
    pub(crate) fn route(&self) -> Option<&RouteName> {
        match self {
            Self::RouteForbidden { route, .. } | Self::WrongTask { route, .. } => Some(route),
            _ => None,
        }
    }

    /// The stable code for logs and metrics.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Provider(error) => error.kind.as_str().to_owned(),
            Self::Plain(refusal) => refusal.error.kind.as_str().to_owned(),
            other => other.told().code.into_owned(),
        }
    }

    /// The text for the log.
    pub(crate) fn detail(&self) -> String {
        self.told().text.into_owned()
    }

    /// Whether a provider said it, rather than the gateway.
    pub(crate) fn is_providers(&self) -> bool {
        matches!(self, Self::Provider(_) | Self::Plain(_))
    }

    /// How long the client had better wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(error) => error.retry_after,
            // Its own headers say so.
            Self::Plain(_) => None,
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::AllowanceReached(short) => (!short.is_too_large).then_some(short.wait),
            // Until then nobody asks it again.
            Self::IssuerAway => Some(FETCH_AGAIN_AFTER),
            Self::Behind | Self::Stopping | Self::CountersAway | Self::ResponsesAway => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// The body in the shape that the client's library understands.
    pub(crate) fn body(&self, shape: ErrorShape, request_id: &str) -> Bytes {
        let told = self.told();
        let report = ErrorReport {
            status: told.status,
            kind: told.kind,
            code: (!told.code.is_empty()).then_some(&told.code),
            message: &told.text,
            param: told.param.as_deref(),
            request_id,
        };
        write_error(shape, &report)
    }

    /// The whole answer, but for the headers that every answer carries.
    pub(crate) fn response(&self, shape: ErrorShape, request_id: &str) -> Response<ReplyBody> {
        if let Self::Plain(refusal) = self {
            let mut response = Response::new(ReplyBody::full(refusal.body.clone()));
            *response.status_mut() = refusal.head.status;
            response.headers_mut().clone_from(&refusal.head.headers);
            return response;
        }
        let mut response = Response::new(ReplyBody::full(self.body(shape, request_id)));
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Self::AllowanceReached(short) = self {
            headers.extend(short.told.clone());
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            );
            headers.insert(
                "retry-after-ms",
                HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            );
        }
        if let Self::WrongMethod { wanted } = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(wanted));
        }
        if let Self::MethodNotAllowed { allowed } = self
            && let Ok(allowed) = HeaderValue::from_str(allowed)
        {
            headers.insert(header::ALLOW, allowed);
        }
        if let Self::BodyTooSlow | Self::BodyTooLarge { .. } = self {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// As many names as are fit to be read.
fn listed(names: &[String]) -> String {
    let told = names.iter().take(NAMES_TOLD_MAX);
    let mut told: Vec<String> = told.map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES_TOLD_MAX) {
        0 if told.is_empty() => return "none".to_owned(),
        0 => {}
        more => told.push(format!("{more} more")),
    }
    told.join(", ")
}

/// The field that a reader stumbled over.
fn path_of(error: &ReadError) -> Option<Cow<'_, str>> {
    match error {
        ReadError::Shape { path, .. } => Some(Cow::Borrowed(path)),
        ReadError::Json(_) | ReadError::TooDeep(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn the_documentation_has_every_code_and_no_other() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read =
            |path: &str| fs::read_to_string(project.join(path)).expect("a file of the project");
        let source = read("src/refusal.rs");
        let (table, _) = source
            .split_once("/// The status that the client is told.")
            .expect("the table's end");
        let quoted = |text: &str, quote: char| -> BTreeSet<String> {
            let words = text.split(quote).skip(1).step_by(2);
            let is_code = |word: &&str| {
                word.contains('_')
                    && word
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            words.filter(is_code).map(str::to_owned).collect()
        };
        let codes: BTreeSet<String> = quoted(table, '"')
            .into_iter()
            .chain([
                "too_many_connections".to_owned(),
                "head_too_slow".to_owned(),
                "head_too_large".to_owned(),
                "not_http".to_owned(),
            ])
            .collect();
        let documented: BTreeSet<String> = read("../../docs/errors.md")
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
            .collect();
        assert_eq!(documented, codes);
    }
}
