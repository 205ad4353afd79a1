//! Plain HTTP, which no dialect is spoken in: where a request goes, and which headers go along each way. That it is read no further is the
//! point; who may ask, limits and records are the same as for calls to models.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tollgate_dialects::{ErrorKind, ProviderError};
use tollgate_domain::{Auth, Route, RouteName};

use crate::{keys::KEY_HEADERS, refusal::Refusal};

/// Headers between two machines, and what is written anew on each way (RFC 9110, section 7.6.1). Talks over a socket are not passed on, and
/// their headers may hold the caller's key.
const BETWEEN_TWO: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client says to the gateway alone, its keys aside ([`KEY_HEADERS`]): who it is, and what the gateway asks of the provider in its own name.
const TO_THE_GATEWAY: &[&str] = &[
    "accept-encoding",
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What a provider says of its own host, and to the gateway as its client.
const TO_THE_HOST: &[&str] = &["alt-svc", "set-cookie", "strict-transport-security"];

/// The gateway's own headers begin so.
const OWN_PREFIX: &str = "x-tollgate-";

/// A request as it is passed on.
#[derive(Debug)]
pub(crate) struct PlainRequest {
    pub(crate) method: Method,
    /// What comes behind the route's own path, as it came: empty, or with a slash at its beginning.
    path: String,
    /// Without the question mark.
    query: Option<String>,
}

/// A provider's answer that goes to the client as it is, but for its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// An answer by which a provider says that it does not serve the request, whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainRefusal {
    pub(crate) error: ProviderError,
    pub(crate) head: PlainHead,
    pub(crate) body: Bytes,
}

/// Routes by their paths.
#[derive(Debug, Default)]
pub(crate) struct PlainRoutes(HashMap<String, RouteName>);

// === impl PlainRoutes ===

impl PlainRoutes {
    pub(crate) fn of<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Self {
        let paths = routes.into_iter().filter_map(|route| {
            let plain = route.plain.as_ref()?;
            Some((plain.path.to_string(), route.name.clone()))
        });
        Self(paths.collect())
    }

    /// The route whose path the request's begins with, part by part, and what comes behind it. The longest goes before others.
    pub(crate) fn find<'a, 'b>(&'a self, path: &'b str) -> Option<(&'a str, &'b str)> {
        let mut end = path.len();
        while end > 0 && !self.0.is_empty() {
            let (begin, rest) = path.split_at_checked(end)?;
            if let Some(name) = self.0.get(begin) {
                return Some((name.as_str(), rest));
            }
            end = begin.rfind('/')?;
        }
        None
    }
}

// === impl PlainRequest ===

impl PlainRequest {
    /// Takes in what comes behind a route's path.
    ///
    /// # Errors
    /// When the path leads back up, out of what the route is for, or the route has no such method.
    pub(crate) fn new(
        method: &Method,
        path: &str,
        query: Option<&str>,
        route: &Route,
    ) -> Result<Self, Refusal> {
        let methods = route.plain.as_ref().map_or(&[][..], |plain| &plain.methods);
        if !methods.is_empty() && !methods.contains(method) {
            let named: Vec<&str> = methods.iter().map(Method::as_str).collect();
            return Err(Refusal::MethodNotAllowed {
                allowed: named.join(", "),
            });
        }
        let leads_back = path.split(['/', '\\']).any(|part| {
            let part = part.to_ascii_lowercase().replace("%2e", ".");
            part == "." || part == ".."
        });
        let hides = path.to_ascii_lowercase();
        if leads_back || hides.contains("%2f..") || hides.contains("..%2f") || hides.contains("%5c")
        {
            return Err(Refusal::PathLeadsBack);
        }
        Ok(Self {
            method: method.clone(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
        })
    }

    /// The address at a provider. Parameters that the provider's own address has, and the one for its key, go before the client's.
    pub(crate) fn address(&self, base: &Uri, auth: &Auth) -> Option<Uri> {
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let fixed = base.query().unwrap_or_default();
        let mut taken: Vec<String> = fixed.split('&').map(name).collect();
        if let Auth::Query { name } = auth {
            taken.push(name.to_string());
        }
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        let own = pairs.filter(|pair| {
            let name = name(pair);
            let decoded = percent_encoding::percent_decode_str(&name).decode_utf8_lossy();
            !taken.iter().any(|taken| *taken == *decoded)
        });
        let all: Vec<&str> = fixed
            .split('&')
            .chain(own)
            .filter(|pair| !pair.is_empty())
            .collect();
        let mut text = joined(base.path().trim_end_matches('/'), &self.path);
        if !all.is_empty() {
            text = format!("{text}?{}", all.join("&"));
        }
        if !text.starts_with('/') {
            text.insert(0, '/');
        }
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(text.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Whether asking twice does what asking once does (RFC 9110, section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// What comes behind an address. A version that both name is named once.
fn joined(base: &str, path: &str) -> String {
    let version = base.rsplit('/').next().unwrap_or_default();
    let is_version =
        version.starts_with('v') && version.contains(|sign: char| sign.is_ascii_digit());
    let again = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(version));
    match again {
        Some(rest) if is_version && (rest.is_empty() || rest.starts_with('/')) => {
            format!("{base}{rest}")
        }
        _ => format!("{base}{path}"),
    }
}

/// Whether a status says that the request was not served, and somebody else may do so: another key, another provider.
pub(crate) fn is_refused(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            ErrorKind::of_status(status.as_u16()),
            ErrorKind::Authentication
                | ErrorKind::Billing
                | ErrorKind::Permission
                | ErrorKind::Timeout
                | ErrorKind::RateLimited
                | ErrorKind::Overloaded
        )
}

/// The client's headers that go to the provider.
pub(crate) fn to_provider(headers: &HeaderMap) -> HeaderMap {
    without(headers, |name| {
        TO_THE_GATEWAY.contains(&name.as_str()) || KEY_HEADERS.contains(name)
    })
}

impl PlainHead {
    /// Of a provider's answer, the headers that go to the client. `length` is that of the body, where it is known.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> Self {
        let mut headers = without(headers, |name| TO_THE_HOST.contains(&name.as_str()));
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Self { status, headers }
    }
}

/// All but what is between two who are connected, what is the gateway's own, and others.
fn without(headers: &HeaderMap, is_other: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let lines = headers.get_all(header::CONNECTION).iter();
    let named: Vec<String> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let stays = |header: &HeaderName| {
        let name = header.as_str();
        !BETWEEN_TWO.contains(&name)
            && !is_other(header)
            && !name.starts_with(OWN_PREFIX)
            && !named.iter().any(|other| other == name)
    };
    let kept = headers.iter().filter(|(name, _)| stays(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use tollgate_domain::{Plain, Retries, Strategy};

    use super::*;

    fn route(name: &str, path: &str, methods: &[Method]) -> Route {
        Route {
            name: RouteName::new(name),
            aliases: Vec::new(),
            task: tollgate_domain::Task::Http,
            strategy: Strategy::Ordered(Vec::new()),
            params: serde_json::Map::new(),
            prompt: None,
            drop_unsupported: false,
            retries: Retries::default(),
            plain: Some(Plain {
                path: path.into(),
                methods: methods.to_vec(),
            }),
        }
    }

    #[test]
    fn a_path_belongs_to_the_longest_route_that_it_begins_with() {
        let routes = [route("a", "/a", &[]), route("b", "/a/b", &[])];
        let routes = PlainRoutes::of(&routes);
        for (path, found) in [
            ("/a", Some(("a", ""))),
            ("/a/x/y", Some(("a", "/x/y"))),
            ("/a/b", Some(("b", ""))),
            ("/a/b/c", Some(("b", "/c"))),
            ("/a/bc", Some(("a", "/bc"))),
            ("/ab", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(routes.find(path), found, "{path}");
        }
    }

    #[test]
    fn no_path_leads_out_of_its_route() {
        let route = route("a", "/a", &[]);
        let taken = |path| PlainRequest::new(&Method::GET, path, None, &route).is_ok();
        for path in ["", "/", "/x/..y", "/x/y.z", "/%2ex", "//x", "/..."] {
            assert!(taken(path), "{path}");
        }
        for path in [
            "/..",
            "/x/../y",
            "/.",
            "/%2e%2E/x",
            "/.%2e",
            "/x%2f..%2fy",
            "/..%2Fy",
            "/x\\..\\y",
            "/x%5c..%5cy",
        ] {
            assert!(!taken(path), "{path}");
        }
    }

    #[test]
    fn a_route_may_have_some_methods_only() {
        let route = route("a", "/a", &[Method::GET, Method::POST]);
        assert!(PlainRequest::new(&Method::POST, "/x", None, &route).is_ok());
        let refused = PlainRequest::new(&Method::DELETE, "/x", None, &route).unwrap_err();
        assert_eq!(refused.status(), 405);
        assert!(refused.detail().contains("GET, POST"));
    }

    #[test]
    fn the_providers_own_parameters_go_before_the_clients() {
        let route = route("a", "/a", &[]);
        let address = |base: &str, path: &str, query: Option<&str>, auth: &Auth| {
            let request = PlainRequest::new(&Method::GET, path, query, &route).unwrap();
            let address = request.address(&base.parse().unwrap(), auth).unwrap();
            address.to_string()
        };
        let none = Auth::None;
        let key = Auth::Query { name: "key".into() };
        for (base, path, query, auth, expected) in [
            ("https://h/v1", "/files", None, &none, "https://h/v1/files"),
            ("https://h/v1/", "", None, &none, "https://h/v1"),
            (
                "https://h/v1",
                "/v1/files",
                None,
                &none,
                "https://h/v1/files",
            ),
            (
                "https://h/v1",
                "/v1x/files",
                None,
                &none,
                "https://h/v1/v1x/files",
            ),
            (
                "https://h/up",
                "/up/files",
                None,
                &none,
                "https://h/up/up/files",
            ),
            ("https://h", "", None, &none, "https://h/"),
            (
                "https://h",
                "/a%20b",
                Some("x=1&y"),
                &none,
                "https://h/a%20b?x=1&y",
            ),
            (
                "https://h?v=1",
                "/a",
                Some("v=2&w=3"),
                &none,
                "https://h/a?v=1&w=3",
            ),
            (
                "https://h",
                "/a",
                Some("key=mine&k%65y=m&b=1"),
                &key,
                "https://h/a?b=1",
            ),
        ] {
            assert_eq!(address(base, path, query, auth), expected);
        }
    }

    #[test]
    fn headers_between_two_machines_stay_between_them() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer tg_1"),
            ("x-goog-api-key", "tg_1"),
            ("sec-websocket-protocol", "openai-insecure-api-key.tg_1"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("cookie", "a=b"),
            ("x-tollgate-tags", "a"),
            ("content-type", "text/plain"),
            ("x-own", "1"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let sent = to_provider(&headers);
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-own"]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", "a=b"),
            ("content-length", "9"),
            ("content-encoding", "gzip"),
            ("x-request-id", "req_1"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let head = PlainHead::of(StatusCode::OK, &headers, Some(20));
        assert_eq!(head.headers.len(), 2);
        assert_eq!(head.headers["content-length"], "20");
    }
}
