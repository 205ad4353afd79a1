//! Exchanges over real sockets with a provider that answers in pieces, too early, too late or not at all.

use std::future::poll_fn;

use http::{Method, Uri};
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::yield_now,
};

use super::*;
use crate::request_body::RequestBody;

/// A connection, and the provider's end of it.
async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap());
    let (socket, accepted) = tokio::join!(socket, listener.accept());
    let socket = socket.unwrap();
    socket.set_nodelay(true).unwrap();
    let connection = Connection::new(Either::Left(socket), Arc::default());
    (connection, accepted.unwrap().0)
}

fn message(body: RequestBody) -> Message {
    let headers = HeaderMap::from_iter([(
        http::header::CONTENT_TYPE,
        "application/json".parse().unwrap(),
    )]);
    let uri = Uri::from_static("http://provider.test:8080/v1/chat?a=b");
    Message::new(&Method::POST, "provider.test:8080", &uri, &headers, body)
}

fn whole(body: &'static str) -> Message {
    message(RequestBody::whole(Bytes::from_static(body.as_bytes())))
}

async fn head(connection: &mut Connection) -> Result<(StatusCode, HeaderMap), Failure> {
    poll_fn(|context| connection.poll_head(context)).await
}

/// The whole body.
async fn body(connection: &mut Connection) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(data) = poll_fn(|context| connection.poll_data(context)).await {
        body.extend_from_slice(&data?);
    }
    Ok(body)
}

/// What has come until it ends so.
async fn read_until(provider: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 1024];
        let came = provider.read(&mut bytes).await.unwrap();
        assert!(came > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..came]).unwrap());
    }
    text
}

#[tokio::test]
async fn one_exchange_follows_another_on_the_same_connection() {
    let (mut connection, mut provider) = pair().await;
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        (
            "HTTP/1.1 429 Slow\r\ntransfer-encoding: chunked\r\n\r\n3\r\nwai\r\n1\r\nt\r\n0\r\n\r\n",
            "wait",
        ),
        ("HTTP/1.1 204 None\r\n\r\n", ""),
    ] {
        assert!(connection.is_open());
        connection.begin(whole("{}"));
        let serve = async {
            let asked = read_until(&mut provider, "{}").await;
            provider.write_all(answer.as_bytes()).await.unwrap();
            asked
        };
        let (head, asked) = tokio::join!(head(&mut connection), serve);
        assert_eq!(
            asked,
            "POST /v1/chat?a=b HTTP/1.1\r\nhost: provider.test:8080\r\ncontent-type: application/json\r\n\
             content-length: 2\r\n\r\n{}"
        );
        assert!(answer.contains(head.unwrap().0.as_str()));
        assert_eq!(body(&mut connection).await.unwrap(), said.as_bytes());
        assert!(connection.is_reusable());
    }
}

#[tokio::test]
async fn an_answer_is_the_same_in_pieces_of_any_length() {
    let informed = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nserver: x\r\ntransfer-encoding: chunked\r\n\r\n\
                  7\r\ndata: 1\r\n2\r\n\n\n\r\n0\r\n\r\n";
    let wire = [informed, informed, answer].concat();
    for piece in 1..wire.len() {
        let (mut connection, mut provider) = pair().await;
        provider.set_nodelay(true).unwrap();
        connection.begin(whole("{}"));
        let serve = async {
            read_until(&mut provider, "{}").await;
            for piece in wire.as_bytes().chunks(piece) {
                provider.write_all(piece).await.unwrap();
                yield_now().await;
            }
        };
        let read = async {
            let (status, headers) = head(&mut connection).await.unwrap();
            assert_eq!((status, headers.len()), (StatusCode::OK, 2));
            body(&mut connection).await.unwrap()
        };
        let (read, ()) = tokio::join!(read, serve);
        assert_eq!(read, b"data: 1\n\n", "in pieces of {piece}");
        assert!(connection.is_reusable());
    }
}

#[tokio::test]
async fn what_breaks_off_is_told_by_where_it_does() {
    let before_head = FailureKind::ClosedBeforeHead;
    let in_body = FailureKind::ClosedInBody;
    for (answer, kind) in [
        ("", Some(before_head)),
        ("HTTP/1.1 200 OK\r\n", Some(before_head)),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            Some(in_body),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Some(in_body),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello",
            Some(FailureKind::Protocol),
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", Some(FailureKind::Protocol)),
        ("HTTP/1.1 200 OK\r\n\r\nhello", None),
    ] {
        let (mut connection, mut provider) = pair().await;
        connection.begin(whole("{}"));
        let serve = async {
            read_until(&mut provider, "{}").await;
            provider.write_all(answer.as_bytes()).await.unwrap();
            drop(provider);
        };
        let read = async {
            head(&mut connection).await?;
            body(&mut connection).await
        };
        let (read, ()) = tokio::join!(read, serve);
        assert_eq!(
            read.as_ref().err().map(Failure::kind),
            kind,
            "{answer:?}: {read:?}"
        );
        assert!(!connection.is_reusable());
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let (mut connection, mut provider) = pair().await;
    connection.begin(whole("{}"));
    let serve = async {
        read_until(&mut provider, "{}").await;
        let line = format!("x: {}\r\n", "y".repeat(1000));
        provider.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while provider.write_all(line.as_bytes()).await.is_ok() {}
    };
    let read = async {
        let read = head(&mut connection).await;
        drop(connection);
        read
    };
    let (read, ()) = tokio::join!(read, serve);
    assert_eq!(read.unwrap_err().kind(), FailureKind::Protocol);
}

#[tokio::test]
async fn a_body_whose_length_nobody_knows_goes_in_chunks() {
    let (mut connection, mut provider) = pair().await;
    let pieces = ["more", "", " to come"]
        .map(|piece| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))));
    let rest = StreamBody::new(futures_util::stream::iter(pieces));
    let rest = Box::pin(rest.map_err(|error: std::convert::Infallible| error.into()));
    let first = Bytes::from_static(b"first");
    connection.begin(message(RequestBody::beginning(first, rest)));
    let serve = async {
        let asked = read_until(&mut provider, "0\r\n\r\n").await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        provider.write_all(answer.as_bytes()).await.unwrap();
        asked
    };
    let (head, asked) = tokio::join!(head(&mut connection), serve);
    assert_eq!(head.unwrap().0, StatusCode::OK);
    let (_, sent) = asked.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        sent,
        "5\r\nfirst\r\n4\r\nmore\r\n8\r\n to come\r\n0\r\n\r\n"
    );
    assert!(asked.contains("transfer-encoding: chunked\r\n"));
    assert!(connection.is_reusable());
}

#[tokio::test]
async fn a_provider_that_has_heard_enough_is_heard() {
    let (mut connection, mut provider) = pair().await;
    let long = Bytes::from(vec![b'x'; 16 << 20]);
    connection.begin(message(RequestBody::whole(long)));
    let serve = async {
        let mut some = [0; 1024];
        provider.read_exact(&mut some).await.unwrap();
        let answer = "HTTP/1.1 413 Too long\r\ncontent-length: 2\r\n\r\nno";
        provider.write_all(answer.as_bytes()).await.unwrap();
    };
    let ((status, _), ()) = tokio::join!(async { head(&mut connection).await.unwrap() }, serve);
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body(&mut connection).await.unwrap(), b"no");
    assert!(!connection.is_reusable(), "the rest was never sent");
}

#[tokio::test]
async fn a_connection_that_was_closed_or_says_more_is_not_used_again() {
    for last_word in ["", "HTTP/1.1 408 Idle\r\n\r\n"] {
        let (mut connection, mut provider) = pair().await;
        assert!(connection.is_open());
        provider.write_all(last_word.as_bytes()).await.unwrap();
        drop(provider);
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!connection.is_open(), "{last_word:?}");
    }
}
