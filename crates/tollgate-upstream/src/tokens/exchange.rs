//! One request to an issuer, and its answer. It goes out as requests to providers do: to the address that is configured, redirects not
//! followed, everything within bounds.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body::Body;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_domain::{AwsKeys, Secret, Timeouts, Transport};

use super::{Grant, Material, TokenFailure, sign::sign};
use crate::{
    addresses::Reach,
    client::{Upstream, UpstreamRequest},
    discretion::Discretion,
    request_body::RequestBody,
};

/// Bytes of an issuer's answer that are read.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Characters of an error's text that are told on.
const TEXT_CHARS_MAX: usize = 300;

/// Fields of forms that are credentials.
const SECRET_FIELDS: [&str; 6] = [
    "apikey",
    "assertion",
    "client_assertion",
    "client_secret",
    "subject_token",
    "WebIdentityToken",
];

/// How long a token lasts whose issuer does not say (RFC 6749 leaves it open): as long as is common.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A request to an issuer.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How far the address's name may lead: platforms have their issuers in the private network.
    pub(super) reach: Reach,
    /// What is in the body that must not be told.
    pub(super) secrets: Vec<Secret>,
}

impl Request {
    pub(super) fn get(uri: Uri) -> Self {
        Self {
            method: Method::GET,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            reach: Reach::Platform,
            secrets: Vec::new(),
        }
    }

    /// A form.
    pub(super) fn form(uri: Uri, fields: &[(&str, &str)]) -> Self {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = fields.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let hidden = fields
            .iter()
            .filter(|(name, _)| SECRET_FIELDS.contains(name));
        Self {
            secrets: hidden.map(|(_, value)| Secret::new(*value)).collect(),
            ..Self::post(uri, "application/x-www-form-urlencoded", body)
        }
    }

    /// An object.
    pub(super) fn json(uri: Uri, body: &Value) -> Self {
        Self::post(uri, "application/json", body.to_string())
    }

    fn post(uri: Uri, content_type: &'static str, body: String) -> Self {
        let request = Self {
            method: Method::POST,
            body: body.into(),
            ..Self::get(uri)
        };
        request.header("content-type", HeaderValue::from_static(content_type))
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// The same, as requests to providers go out, and what is in its body that must not be told.
    pub(super) fn into_upstream(self) -> (UpstreamRequest, Vec<Secret>) {
        let request = UpstreamRequest {
            method: self.method,
            uri: self.uri,
            headers: self.headers,
            body: RequestBody::whole(self.body),
            transport: Transport::Http,
            reach: self.reach,
        };
        (request, self.secrets)
    }

    /// Signs it with AWS's keys, sends it, and reads the answer.
    ///
    /// # Errors
    /// As with [`Self::send`], or when it cannot be signed.
    pub(super) async fn send_signed(
        self,
        keys: &AwsKeys,
        (region, service): (&str, &str),
        upstream: &Arc<Upstream>,
        wall: Duration,
    ) -> Result<Bytes, TokenFailure> {
        let (mut request, mut secrets) = self.into_upstream();
        sign(&mut request, keys, (region, service), wall)?;
        secrets.push(keys.secret.clone());
        secrets.extend(keys.session.clone());
        answer(request, secrets, ANSWER_BYTES_MAX, upstream).await
    }

    /// Sends it, and reads the answer.
    ///
    /// # Errors
    /// When there is none, or it is an error.
    pub(super) async fn send(self, upstream: &Arc<Upstream>) -> Result<Bytes, TokenFailure> {
        self.send_for(ANSWER_BYTES_MAX, upstream).await
    }

    /// The same for an answer of so many bytes at most.
    async fn send_for(
        self,
        bytes_max: usize,
        upstream: &Arc<Upstream>,
    ) -> Result<Bytes, TokenFailure> {
        let (request, secrets) = self.into_upstream();
        answer(request, secrets, bytes_max, upstream).await
    }
}

/// Gets what somebody publishes who is trusted by configuration, such as an issuer's keys. `private_addresses`: whether a name that looks
/// public may lead into the private network.
///
/// # Errors
/// When there is no answer, or it is an error.
pub async fn fetch(
    uri: Uri,
    private_addresses: bool,
    upstream: &Arc<Upstream>,
) -> Result<Bytes, TokenFailure> {
    fetch_at_most(ANSWER_BYTES_MAX, uri, private_addresses, upstream).await
}

/// The same for something that may be long: of so many bytes at most.
///
/// # Errors
/// When there is no answer, it is longer, or an error.
pub async fn fetch_at_most(
    bytes_max: usize,
    uri: Uri,
    private_addresses: bool,
    upstream: &Arc<Upstream>,
) -> Result<Bytes, TokenFailure> {
    let reach = if private_addresses {
        Reach::Platform
    } else {
        Reach::AsNamed
    };
    let request = Request {
        reach,
        ..Request::get(uri)
    };
    request.send_for(bytes_max, upstream).await
}

/// Posts JSON to somebody whom the operator has named, such as a collector of traces; its name may lead anywhere.
///
/// # Errors
/// When there is no answer, or it is an error.
pub async fn post_json(
    uri: Uri,
    headers: &HeaderMap,
    body: &str,
    upstream: &Arc<Upstream>,
) -> Result<Bytes, TokenFailure> {
    let mut request = Request::post(uri, "application/json", body.to_owned());
    request.headers.extend(headers.clone());
    request.send(upstream).await
}

async fn answer(
    request: UpstreamRequest,
    secrets: Vec<Secret>,
    bytes_max: usize,
    upstream: &Arc<Upstream>,
) -> Result<Bytes, TokenFailure> {
    let discretion = Discretion::about(&secrets, request.headers.values());
    let response = upstream
        .send(request, &Timeouts::default())
        .await
        .map_err(|failure| {
            let text = failure.to_string();
            TokenFailure::new(text.replace("provider", "issuer"))
        })?;
    let mut body = pin!(response.body);
    let mut read = BytesMut::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| TokenFailure::new("the issuer broke off its answer"))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > bytes_max {
            let text = format!("the issuer's answer has more than {bytes_max} bytes");
            return Err(TokenFailure::new(text));
        }
    }
    if response.status.is_success() {
        return Ok(read.freeze());
    }
    let status = response.status.as_u16();
    Err(TokenFailure::new(match told(&read, &discretion) {
        Some(text) => format!("the issuer answered with {status}: {text}"),
        None => format!("the issuer answered with {status}"),
    }))
}

/// A header's value that is not shown.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue, TokenFailure> {
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| TokenFailure::new("the token holds signs that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an error says, in OAuth's words, Google's, IBM's, or AWS's, without the credentials that were sent.
fn told(body: &[u8], discretion: &Discretion) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(error) => {
            let nested = &error["error"];
            let words = [
                nested,
                &error["error_description"],
                &nested["message"],
                &error["message"],
                &error["errorCode"],
                &error["errorMessage"],
            ];
            let words: Vec<&str> = words.into_iter().filter_map(Value::as_str).collect();
            words.join(": ")
        }
        Err(_) => {
            let words = ["Code", "Message"].map(|name| element(&text, name).unwrap_or_default());
            words.join(" ").trim().to_owned()
        }
    };
    let said = discretion.masked(&said, &[]);
    let said = said.chars().filter(|sign| !sign.is_control());
    let said: String = said.take(TEXT_CHARS_MAX).collect();
    (!said.is_empty()).then_some(said)
}

/// The content of an XML element that holds text alone.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

/// An access token as OAuth answers it (RFC 6749, section 5.1), and as Azure's platforms do.
#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
    /// Since 1970-01-01 UTC; App Service says nothing else.
    #[serde(default)]
    expires_on: Option<Seconds>,
}

/// Azure's metadata service writes numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Number(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Text(text) => text.trim().parse().ok().map(Duration::from_secs),
        }
    }
}

/// An access token, and how long it lasts. `wall` is the time since 1970-01-01 UTC.
pub(super) fn read_token(body: &[u8], wall: Duration) -> Result<(Secret, Duration), TokenFailure> {
    let told: AccessToken = serde_json::from_slice(body)
        // The error would repeat what is there.
        .map_err(|_| TokenFailure::new("the issuer's answer holds no access token"))?;
    let left = told.expires_in.and_then(|seconds| seconds.duration());
    let until = told.expires_on.and_then(|seconds| seconds.duration());
    let lifetime = left.or_else(|| Some(until?.saturating_sub(wall)));
    Ok((Secret::new(told.access_token), lifetime.unwrap_or(LIFETIME)))
}

/// Reads an access token as what a provider is shown.
pub(super) fn read_access_token(body: &[u8], wall: Duration) -> Result<Grant, TokenFailure> {
    let (token, lifetime) = read_token(body, wall)?;
    Ok(Grant {
        material: Material::bearer(token.expose())?,
        lifetime: Some(lifetime),
    })
}

/// A time as RFC 3339 writes it, since 1970-01-01 UTC.
pub(super) fn read_time(text: &str) -> Option<Duration> {
    let time: Timestamp = text.trim().parse().ok()?;
    Some(Duration::try_from(time.as_duration()).unwrap_or_default())
}
