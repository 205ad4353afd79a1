//! A client that sees every byte: one request a connection, whole answers or streams piece by piece.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::TaskTracker;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the body came to its end as HTTP wants it.
    pub complete: bool,
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `data` of each server-sent event.
    pub fn events(&self) -> Vec<String> {
        events(&self.text())
    }
}

/// The `data` of each server-sent event in a text; comments are left out.
pub fn events(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let data = |block: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
        lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
    };
    text.split("\n\n")
        .map(data)
        .filter(|data| !data.is_empty())
        .collect()
}

/// An answer whose body comes piece by piece. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    _sender: SendRequest<Full<Bytes>>,
}

impl Streaming {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Sends a request with any method and reads the whole answer.
///
/// # Errors
/// When there is no answer.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer> {
    timeout(PATIENCE, async {
        whole(open(address, method, path, headers, body).await?).await
    })
    .await
    .context("no answer in time")?
}

/// Posts a body and reads the whole answer.
///
/// # Errors
/// When there is no answer.
pub async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer> {
    send(address, "POST", path, headers, body).await
}

/// Gets a path and reads the whole answer.
///
/// # Errors
/// When there is no answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    get_with(address, path, &[]).await
}

/// The same with headers.
///
/// # Errors
/// When there is no answer.
pub async fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    send(address, "GET", path, headers, Vec::new()).await
}

/// Sends a request and gives the answer as it comes.
///
/// # Errors
/// When there is no answer.
pub async fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Streaming> {
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    TaskTracker::new().spawn(async move {
        let _end = connection.await;
    });
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string());
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = sender
        .send_request(request.body(Full::new(Bytes::from(body)))?)
        .await?
        .into_parts();
    Ok(Streaming {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        _sender: sender,
    })
}

async fn whole(mut streaming: Streaming) -> Result<Answer> {
    let mut body = Vec::new();
    let complete = loop {
        match streaming.next().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    Ok(Answer {
        status: streaming.status,
        headers: streaming.headers,
        body,
        complete,
    })
}
