//! One request to an issuer, and its answer. It goes out as requests to providers do: to the address that is configured, redirects not
//! followed, everything within bounds.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body::Body;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tollgate_domain::{Timeouts, Transport};

use super::{Grant, Material, TokenFailure};
use crate::{
    client::{Upstream, UpstreamRequest},
    request_body::RequestBody,
};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Characters of an error's text that are told on.
const TEXT_CHARS_MAX: usize = 300;

/// How long a token lasts whose issuer does not say (RFC 6749 leaves it open): as long as is common.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A request to an issuer.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn get(uri: Uri) -> Self {
        Self {
            method: Method::GET,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A form.
    pub(super) fn form(uri: Uri, fields: &[(&str, &str)]) -> Self {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = fields.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", encode(value)));
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        Self {
            method: Method::POST,
            uri,
            headers,
            body: pairs.collect::<Vec<_>>().join("&").into(),
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Sends it, and reads the answer.
    ///
    /// # Errors
    /// When there is none, or it is an error.
    pub(super) async fn send(self, upstream: &Arc<Upstream>) -> Result<Bytes, TokenFailure> {
        let request = UpstreamRequest {
            method: self.method,
            uri: self.uri,
            headers: self.headers,
            body: RequestBody::whole(self.body),
            transport: Transport::Http,
            // Platforms have their issuers in the private network.
            allows_private: true,
        };
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
            if read.len() > ANSWER_BYTES_MAX {
                return Err(TokenFailure::new("the issuer's answer is too long"));
            }
        }
        if response.status.is_success() {
            return Ok(read.freeze());
        }
        let status = response.status.as_u16();
        Err(TokenFailure::new(match told(&read) {
            Some(text) => format!("the issuer answered with {status}: {text}"),
            None => format!("the issuer answered with {status}"),
        }))
    }
}

/// What an error says: OAuth's words, Google's, or AWS's.
fn told(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(error) => {
            let nested = &error["error"];
            let words = [
                nested,
                &error["error_description"],
                &nested["message"],
                &error["message"],
            ];
            let words: Vec<&str> = words.into_iter().filter_map(Value::as_str).collect();
            words.join(": ")
        }
        Err(_) => {
            let words = ["Code", "Message"].map(|name| element(&text, name).unwrap_or_default());
            words.join(" ").trim().to_owned()
        }
    };
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

/// An access token as OAuth answers it (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Reads an access token.
pub(super) fn read_access_token(body: &[u8]) -> Result<Grant, TokenFailure> {
    let told: AccessToken = serde_json::from_slice(body)
        // The error would repeat what is there.
        .map_err(|_| TokenFailure::new("the issuer's answer holds no access token"))?;
    Ok(Grant {
        material: Material::bearer(&told.access_token)?,
        lifetime: Some(told.expires_in.map_or(LIFETIME, Duration::from_secs)),
    })
}
