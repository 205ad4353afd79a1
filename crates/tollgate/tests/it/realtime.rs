//! Talks over a WebSocket, between a real client and a provider that speaks it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        http::{HeaderMap, HeaderValue},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::task::TaskTracker;
use tollgate_testkit::TestGateway;

use crate::stage::program;

/// What the provider was asked: address and headers.
type Asked = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// A provider that repeats what it hears, ends an answer for "done", and breaks off for "break".
async fn provider() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    TaskTracker::new().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            TaskTracker::new().spawn(talk(stream, Arc::clone(&seen)));
        }
    });
    (format!("http://{address}"), asked)
}

#[expect(clippy::result_large_err, reason = "the library's own signature")]
async fn talk(stream: TcpStream, asked: Asked) {
    let note = |request: &Request, mut response: Response| {
        let uri = request.uri().to_string();
        let mut asked = asked.lock().expect("nobody panics");
        asked.push((uri, request.headers().clone()));
        if let Some(protocol) = request.headers().get("sec-websocket-protocol") {
            let headers = response.headers_mut();
            headers.insert("sec-websocket-protocol", protocol.clone());
        }
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, note).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let answer = match &message {
            Message::Text(text) if text.as_str() == "break" => return,
            Message::Text(text) if text.as_str() == "done" => Message::text(
                json!({"type": "response.done", "response": {"usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}})
                    .to_string(),
            ),
            Message::Text(text) if text.as_str() == "fail" => Message::text(
                r#"{"type": "error", "event_id": "event_1", "error": {"message": "no such key: sk\/up-0123456789"}}"#,
            ),
            Message::Text(text) if text.as_str() == "go" => Message::Close(Some(CloseFrame {
                code: CloseCode::Policy,
                reason: "no such key: sk/up-0123456789".into(),
            })),
            Message::Close(_) => return,
            other => other.clone(),
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

async fn gateway(url: &str) -> TestGateway {
    let configuration = format!(
        "providers: [{{name: openai, type: openai, base_url: \"{url}/v1\", api_key: sk/up-0123456789}}]
routes: [{{name: voice, route_type: llm/v1/realtime, model: {{provider: openai, name: gpt-realtime}}}}]
keys: [{{name: caller, hash: \"sha256:9160eaea8bc1cf2e234ad2da6a90ae86c1ae1f68d63f5a53358d66e01cbc9ce1\"}}]"
    );
    TestGateway::start(program(), &configuration).await
}

async fn connect(
    gateway: &TestGateway,
    query: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let url = format!("ws://{}/v1/realtime{query}", gateway.address());
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    let stream = TcpStream::connect(gateway.address()).await?;
    let (socket, response) = client_async(request, stream).await?;
    assert_eq!(
        response.headers()["x-tollgate-target"],
        "openai/gpt-realtime"
    );
    Ok(socket)
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> Message {
    tokio::time::timeout(Duration::from_secs(10), socket.next())
        .await
        .expect("in time")
        .expect("a message")
        .expect("no error")
}

const KEY: &str = "Bearer tg_talks";

#[tokio::test]
async fn messages_go_both_ways_and_what_was_used_is_told() {
    let (url, asked) = provider().await;
    let gateway = gateway(&url).await;
    let mut socket = connect(&gateway, "?model=voice", &[("authorization", KEY)])
        .await
        .unwrap();
    for message in [Message::text("hi"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(heard(&mut socket).await, message);
    }
    for _ in 0..2 {
        socket.send(Message::text("done")).await.unwrap();
        assert!(
            heard(&mut socket)
                .await
                .to_text()
                .unwrap()
                .contains("response.done")
        );
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}

    let (address, headers) = asked.lock().unwrap()[0].clone();
    assert_eq!(address, "/v1/realtime?model=gpt-realtime");
    assert_eq!(headers["authorization"], "Bearer sk/up-0123456789");
    let record = gateway.wait_for_calls(1).await.remove(0);
    assert_eq!(
        (&record["outcome"], &record["status"]),
        (&json!("answered"), &json!(101))
    );
    assert_eq!(record["gen_ai.usage.input_tokens"], 10);
    assert_eq!(record["gen_ai.usage.output_tokens"], 14);
}

#[tokio::test]
async fn a_browser_sends_its_key_as_a_protocol() {
    let (url, asked) = provider().await;
    let gateway = gateway(&url).await;
    let protocols = "realtime, openai-insecure-api-key.tg_talks";
    let mut socket = connect(&gateway, "", &[("sec-websocket-protocol", protocols)])
        .await
        .unwrap();
    socket.send(Message::text("hi")).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("hi"));
    let (_, headers) = asked.lock().unwrap()[0].clone();
    assert_eq!(headers["sec-websocket-protocol"], "realtime");
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_told_from_one_that_says_goodbye() {
    let (url, _) = provider().await;
    let gateway = gateway(&url).await;
    let mut socket = connect(&gateway, "?model=voice", &[("authorization", KEY)])
        .await
        .unwrap();
    socket.send(Message::text("break")).await.unwrap();
    let Message::Close(Some(goodbye)) = heard(&mut socket).await else {
        panic!("no goodbye");
    };
    assert_eq!(u16::from(goodbye.code), 1011);
}

#[tokio::test]
async fn who_may_not_talk_is_told_so_before_the_socket_opens() {
    let (url, asked) = provider().await;
    let gateway = gateway(&url).await;
    for (query, headers, status) in [
        ("?model=voice", &[][..], 401),
        ("?model=nothing", &[("authorization", KEY)][..], 404),
    ] {
        match connect(&gateway, query, headers).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gateway.get("/v1/realtime?model=voice").await.status, 426);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_error_and_a_goodbye_tell_no_credential() {
    let (url, _asked) = provider().await;
    let gateway = gateway(&url).await;
    let mut socket = connect(&gateway, "?model=voice", &[("authorization", KEY)])
        .await
        .unwrap();
    socket.send(Message::text("fail")).await.unwrap();
    assert_eq!(
        heard(&mut socket).await,
        Message::text(
            r#"{"type":"error","event_id":"event_1","error":{"message":"no such key: ***"}}"#
        )
    );
    socket.send(Message::text("go")).await.unwrap();
    let Message::Close(Some(frame)) = heard(&mut socket).await else {
        panic!("no goodbye");
    };
    assert_eq!(frame.code, CloseCode::Policy);
    assert_eq!(frame.reason, "no such key: ***");
}
