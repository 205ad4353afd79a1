//! Raw sockets against a small handler.

use std::{
    collections::VecDeque,
    sync::Mutex,
    task::{Context, Poll},
};

use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers with `hello` after a pause that the path names, in milliseconds; counts how often a call was dropped.
#[derive(Clone, Default)]
struct Slow {
    dropped: Arc<Mutex<usize>>,
}

struct NoteDrop(Option<Arc<Mutex<usize>>>);

impl Drop for NoteDrop {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            *dropped.lock().unwrap() += 1;
        }
    }
}

impl Handler for Slow {
    type Body = Answer;

    async fn call(&self, request: Request<ClientBody>, _: SocketAddr) -> Response<Self::Body> {
        let mut note = NoteDrop(Some(Arc::clone(&self.dropped)));
        let (head, body) = request.into_parts();
        let pause = head.uri.path().trim_start_matches('/').parse().unwrap_or(0);
        sleep(Duration::from_millis(pause)).await;
        let all = match head.uri.query() {
            Some("echo") => Answer::of(match body.collect().await {
                Ok(sent) => sent.to_bytes(),
                Err(error) => error.to_string().into(),
            }),
            Some("big") => Answer::of(vec![b'x'; 64 << 20].into()),
            Some("pieces") => Answer {
                pieces: ["a", "bc", "def"].map(Bytes::from).into(),
                is_told: false,
                is_broken: false,
            },
            Some("broken") => Answer {
                pieces: ["a"].map(Bytes::from).into(),
                is_told: false,
                is_broken: true,
            },
            _ => Answer::of(Bytes::from_static(b"hello")),
        };
        note.0 = None;
        let mut response = Response::new(all);
        if head.uri.query() == Some("nothing") {
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.body_mut() = Answer::of(Bytes::new());
        }
        response
    }
}

/// An answer in pieces.
struct Answer {
    pieces: VecDeque<Bytes>,
    is_told: bool,
    is_broken: bool,
}

impl Answer {
    fn of(all: Bytes) -> Self {
        Self {
            pieces: [all].into(),
            is_told: true,
            is_broken: false,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.pieces.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.is_broken => Some(Err(io::Error::other("broken"))),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_told {
            SizeHint::with_exact(self.pieces.iter().map(Bytes::len).sum::<usize>() as u64)
        } else {
            SizeHint::default()
        }
    }
}

struct Stage {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<io::Result<()>>,
    handler: Slow,
}

fn stage(limits: Limits) -> Stage {
    let listeners = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (shutdown, handler) = (CancellationToken::new(), Slow::default());
    let listener = listeners.into_iter().next().unwrap();
    let server = TaskTracker::new().spawn(serve_worker(
        listener,
        handler.clone(),
        limits,
        Arc::default(),
        shutdown.clone(),
    ));
    Stage {
        address,
        shutdown,
        server,
        handler,
    }
}

async fn talk(address: SocketAddr, words: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(words).await.unwrap();
    let answer = hear(&mut stream).await;
    (stream, answer)
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut buffer))
        .await
        .expect("an answer in time")
        .unwrap_or(0);
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

const GET: &[u8] = b"GET /0 HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let stage = stage(Limits::default());
    let (mut stream, first) = talk(stage.address, GET).await;
    assert!(
        first.starts_with("HTTP/1.1 200") && first.ends_with("hello"),
        "{first}"
    );
    stream.write_all(GET).await.unwrap();
    assert!(hear(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_gets_a_408() {
    let stage = stage(Limits {
        header_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    let (_, answer) = talk(stage.address, b"GET / HTTP/1.1\r\nhost:").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let stage = stage(Limits {
        header_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    let (_, answer) = talk(stage.address, b"").await;
    assert_eq!(answer, "");
}

#[tokio::test]
async fn too_large_a_head_gets_a_431() {
    let stage = stage(Limits {
        header_bytes_max: 16 << 10,
        ..Limits::default()
    });
    let request = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    let (_, answer) = talk(stage.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let stage = stage(Limits {
        connections_max: 1,
        ..Limits::default()
    });
    let (_first, _) = talk(stage.address, GET).await;
    let (_, answer) = talk(stage.address, b"").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call() {
    let stage = stage(Limits::default());
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream
        .write_all(b"GET /5000 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    drop(stream);
    for _ in 0..100 {
        if *stage.handler.dropped.lock().unwrap() == 1 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the call goes on without its client");
}

#[tokio::test]
async fn an_answer_left_unread_is_cut_off() {
    let stage = stage(Limits {
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream
        .write_all(b"GET /0?big HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(Duration::from_millis(600)).await;
    let mut all = Vec::new();
    let _result = timeout(Duration::from_secs(5), stream.read_to_end(&mut all))
        .await
        .expect("the connection is closed");
    assert!(all.len() < 64 << 20, "{}", all.len());
}

#[tokio::test]
async fn draining_lets_calls_finish_and_takes_no_new_ones() {
    let stage = stage(Limits::default());
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let (mut idle, _) = talk(stage.address, GET).await;
    stream
        .write_all(b"GET /300 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    sleep(Duration::from_millis(50)).await;
    stage.shutdown.cancel();
    assert_eq!(
        hear(&mut idle).await,
        "",
        "an idle connection closes at once"
    );
    assert!(
        hear(&mut stream).await.ends_with("hello"),
        "the call in flight finishes"
    );
    stage.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(stage.address).await.is_err());
}

/// All that a client hears until the connection is closed.
async fn converse(address: SocketAddr, words: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for word in words {
        stream.write_all(word).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    let mut all = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut all))
        .await
        .expect("the connection is closed")
        .unwrap();
    let text = String::from_utf8(all).unwrap();
    // The day is another tomorrow.
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

#[tokio::test]
async fn bodies_are_read_however_they_come() {
    let stage = stage(Limits::default());
    for words in [
        &[&b"POST /0?echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nabcd"[..]][..],
        &[b"POST /0?echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab", b"cd"],
        &[b"POST /0?ec", b"ho HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r", b"\n", b"abcd"],
        &[b"POST /0?echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"],
        &[b"POST /0?echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n3", b"\r\nbcd\r\n0", b"\r\n\r\n"],
    ] {
        assert_eq!(
            converse(stage.address, words).await,
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd"
        );
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let stage = stage(Limits::default());
    let wire = b"POST /50?echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1\
        POST /0?echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n\
        HEAD /0 HTTP/1.1\r\nhost: x\r\n\r\nGET /0?nothing HTTP/1.1\r\nhost: x\r\n\r\n\
        GET /0 HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /0 HTTP/1.0\r\n\r\n";
    assert_eq!(
        converse(stage.address, &[wire]).await,
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1\
         HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\
         HTTP/1.1 204 No Content\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    );
}

#[tokio::test]
async fn an_answer_of_unknown_length_goes_in_chunks_or_until_the_connection_ends() {
    let stage = stage(Limits::default());
    let wire = b"GET /0?pieces HTTP/1.1\r\nhost: x\r\n\r\nGET /0?pieces HTTP/1.0\r\n\r\n";
    assert_eq!(
        converse(stage.address, &[wire]).await,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcdef"
    );
    let broken = b"GET /0?broken HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(
        converse(stage.address, &[broken]).await,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        "an answer that breaks off has no last chunk"
    );
}

#[tokio::test]
async fn a_client_that_waits_for_a_word_is_told_when_its_body_is_wanted() {
    let stage = stage(Limits::default());
    let head = b"POST /0?echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    assert_eq!(hear(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    assert!(hear(&mut stream).await.ends_with("\r\n\r\nok"));
    // One whose body nobody wants hears the answer alone, and is not served further: the body may still come.
    let head = b"POST /0 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    assert_eq!(
        converse(stage.address, &[head]).await,
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    );
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_read_over() {
    let stage = stage(Limits::default());
    let (mut stream, answer) = talk(
        stage.address,
        b"POST /50 HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nGET /0",
    )
    .await;
    assert!(answer.ends_with("hello"), "{answer}");
    stream.write_all(GET).await.unwrap();
    assert!(hear(&mut stream).await.ends_with("hello"));
    // Where it does not come, the connection ends.
    let head = b"POST /0 HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nGET";
    let answer = converse(stage.address, &[head]).await;
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_nothing_behind_it_is_read() {
    let stage = stage(Limits::default());
    for wire in [
        &b"POST /0?echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /0 HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"POST /0?echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nGET /0 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ] {
        let answer = converse(stage.address, &[wire]).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("\"not_http\""),
            "{answer}"
        );
    }
    // Chunks that are none may come later.
    let head = b"POST /0?echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na";
    let answer = converse(stage.address, &[head, b"bcd\r\n0\r\n\r\n"]).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("not framed as HTTP wants it"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_comes_too_late_for_the_connections_in_flight_is_not_waited_for() {
    let stage = stage(Limits::default());
    let _unused = TcpStream::connect(stage.address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    stage.shutdown.cancel();
    timeout(Duration::from_secs(2), stage.server)
        .await
        .expect("drained")
        .unwrap()
        .unwrap();
}
