//! Talks over a WebSocket: messages go both ways as they are (a provider's errors without its credentials), bounded in size and in
//! silence, and what the model's answers used is noted.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tollgate_dialects::glance_at_message;
use tollgate_domain::Limits;
use tollgate_telemetry::Outcome;
use tollgate_upstream::{Lane, ProviderSocket};

use crate::{
    account::Account,
    attempts::Engaged,
    refusal::Refusal,
    reply::ReplyBody,
    server::{ClientSocket, Upgrade},
    stream::Break,
};

/// How a browser, which cannot send headers, sends its key: as a protocol of this beginning
/// (<https://platform.openai.com/docs/guides/realtime-websocket>, read 2026-11).
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// The one protocol that is really spoken.
const PROTOCOL: &str = "realtime";

/// What every message with an error has.
const ERROR_FIELD: &str = "\"error\"";

/// Bytes of a goodbye's reason (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a client says when it asks for a WebSocket.
pub(crate) struct Handshake {
    accept: HeaderValue,
    /// It offers the protocol by name, and wants to hear that it is taken.
    names_protocol: bool,
}

impl Handshake {
    /// Reads the client's headers.
    ///
    /// # Errors
    /// When they do not ask for a WebSocket.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let has = |name: HeaderName, word: &str| {
            words(headers, &name).any(|found| found.eq_ignore_ascii_case(word))
        };
        let asks = has(header::UPGRADE, "websocket")
            && has(header::CONNECTION, "upgrade")
            && has(header::SEC_WEBSOCKET_VERSION, "13");
        let accept = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(|_| asks)
            .and_then(|nonce| HeaderValue::from_str(&derive_accept_key(nonce.as_bytes())).ok())
            .ok_or(Refusal::UpgradeMissing)?;
        Ok(Self {
            accept,
            names_protocol: has(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL),
        })
    }

    /// The protocol to ask the provider for.
    pub(crate) fn protocol(&self) -> Option<HeaderValue> {
        self.names_protocol
            .then(|| HeaderValue::from_static(PROTOCOL))
    }

    /// The answer that opens the WebSocket.
    pub(crate) fn response(&self, upgrade: Upgrade) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::full(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = self.protocol() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response.extensions_mut().insert(upgrade);
        response
    }
}

/// A browser's headers, with its key where other clients have it.
pub(crate) fn with_key(headers: &HeaderMap) -> Cow<'_, HeaderMap> {
    let key = words(headers, &header::SEC_WEBSOCKET_PROTOCOL)
        .find_map(|name| name.strip_prefix(KEY_PROTOCOL));
    let bearer = key.and_then(|key| HeaderValue::from_str(&format!("Bearer {key}")).ok());
    match bearer {
        Some(bearer) if !headers.contains_key(header::AUTHORIZATION) => {
            let mut headers = headers.clone();
            headers.insert(header::AUTHORIZATION, bearer);
            Cow::Owned(headers)
        }
        _ => Cow::Borrowed(headers),
    }
}

/// The words of a header that is a list.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// A talk that is about to begin.
pub(crate) struct Session {
    account: Account,
    engaged: Engaged,
    message_bytes_max: usize,
    /// How long neither side may say anything.
    silence_max: Duration,
}

/// How a talk ended.
enum End {
    /// One side closed or left, and the other is to hear of it.
    Client,
    Provider,
    /// The provider's side broke.
    Broken(String),
    /// Nobody said anything for too long.
    Silent,
}

/// Who speaks in a direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Provider,
}

impl Session {
    pub(crate) fn new(account: Account, engaged: Engaged, limits: &Limits) -> Self {
        Self {
            silence_max: engaged.lane().provider().timeouts.whole,
            message_bytes_max: limits.body_bytes_max,
            account,
            engaged,
        }
    }

    /// Carries messages until one side closes.
    pub(crate) async fn run(mut self, client: ClientSocket, sent: Bytes, provider: ProviderSocket) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max));
        let config = Some(config);
        let client =
            WebSocketStream::from_partially_read(client, sent.to_vec(), Role::Server, config).await;
        let ProviderSocket { socket, sent } = provider;
        let provider =
            WebSocketStream::from_partially_read(socket, sent.to_vec(), Role::Client, config).await;
        let (mut to_client, from_client) = client.split();
        let (mut to_provider, from_provider) = provider.split();
        let heard = Mutex::new(Instant::now());
        let silence_max = self.silence_max;
        // Each direction goes on by itself: who does not read is not read from, and nobody waits for the other direction.
        let end = tokio::select! {
            end = carry(from_client, &mut to_provider, &heard, Side::Client, |message| message) => end,
            end = carry(from_provider, &mut to_client, &heard, Side::Provider, |message| self.told(message)) => end,
            () = silence(&heard, silence_max) => End::Silent,
        };
        let goodbye = |code, reason: &'static str| {
            Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            }))
        };
        let plain = || Some(Message::Close(None));
        let (client_told, provider_told) = match &end {
            End::Client => (None, plain()),
            End::Provider => (plain(), None),
            End::Silent => (
                Some(goodbye(
                    CloseCode::Away,
                    "nobody said anything for too long",
                )),
                plain(),
            ),
            End::Broken(_) => (
                Some(goodbye(CloseCode::Error, "the provider's side broke off")),
                None,
            ),
        };
        say_goodbye(&mut to_client, client_told).await;
        say_goodbye(&mut to_provider, provider_told).await;
        self.close(end);
    }

    fn close(mut self, end: End) {
        if let End::Broken(problem) = end {
            self.account.record.error_code = Some("stream_broken".into());
            self.account.record.error_detail = Some(problem.clone());
            self.engaged.broke(&Break::Unreadable(problem));
            self.account.close(Outcome::Cut);
        } else {
            self.engaged.succeeded(Instant::now());
            self.account.close(Outcome::Answered);
        }
    }

    /// Notes a message of the provider's, as the client is told it.
    fn told(&mut self, message: Message) -> Message {
        let message = discreet(message, self.engaged.lane());
        let bytes = match &message {
            Message::Text(text) => {
                if let Some(used) = glance_at_message(text) {
                    self.account.used_more(&used);
                }
                text.as_bytes()
            }
            Message::Binary(bytes) => bytes,
            _ => return message,
        };
        self.account.sent(bytes);
        message
    }
}

/// A message without the provider's credentials and address, where it tells of an error.
fn discreet(message: Message, lane: &Lane) -> Message {
    match message {
        Message::Text(text) if text.contains(ERROR_FIELD) => {
            let masked = lane.discreet(&text);
            if masked == text.as_str() {
                return Message::Text(text);
            }
            match serde_json::from_str(&text) {
                Ok(said) => Message::text(without_secrets(said, lane).to_string()),
                Err(_) => Message::text(masked.into_owned()),
            }
        }
        Message::Close(Some(CloseFrame { code, reason })) => {
            let masked = lane.discreet(&reason);
            let end = masked.floor_char_boundary(REASON_BYTES_MAX);
            let reason = masked.get(..end).unwrap_or_default().into();
            Message::Close(Some(CloseFrame { code, reason }))
        }
        other => other,
    }
}

fn without_secrets(value: Value, lane: &Lane) -> Value {
    match value {
        Value::String(text) => Value::String(lane.discreet(&text).into_owned()),
        Value::Array(items) => {
            let items = items.into_iter();
            Value::Array(items.map(|item| without_secrets(item, lane)).collect())
        }
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let masked = fields.map(|(name, value)| (name, without_secrets(value, lane)));
            Value::Object(masked.collect())
        }
        other => other,
    }
}

/// Whether a goodbye arrives is the other side's affair.
async fn say_goodbye(to: &mut (impl Sink<Message> + Unpin), goodbye: Option<Message>) {
    if let Some(goodbye) = goodbye {
        let _sent = timeout(GOODBYE_TIMEOUT, to.send(goodbye)).await;
    }
}

/// Carries messages one way, one at a time.
async fn carry(
    mut from: impl Stream<Item = Result<Message, Error>> + Unpin,
    to: &mut (impl Sink<Message, Error = Error> + Unpin),
    heard: &Mutex<Instant>,
    speaker: Side,
    mut told: impl FnMut(Message) -> Message,
) -> End {
    let gone = |side| match side {
        Side::Client => End::Client,
        Side::Provider => End::Provider,
    };
    let listener = match speaker {
        Side::Client => Side::Provider,
        Side::Provider => Side::Client,
    };
    loop {
        let message = match from.next().await {
            Some(Ok(message)) => message,
            // A client may leave as it likes; a provider says goodbye.
            Some(Err(error)) if speaker == Side::Provider => {
                return End::Broken(error.to_string());
            }
            None | Some(Err(_)) => return gone(speaker),
        };
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let message = told(message);
        let closes = message.is_close();
        let sent = to.send(message).await;
        if closes {
            return gone(speaker);
        }
        if sent.is_err() {
            return gone(listener);
        }
    }
}

/// Waits until nobody has said anything for so long.
async fn silence(heard: &Mutex<Instant>, most: Duration) {
    loop {
        let until = *heard.lock().unwrap_or_else(PoisonError::into_inner) + most;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}
