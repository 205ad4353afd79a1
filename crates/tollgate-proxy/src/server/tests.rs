//! Raw sockets against a small handler.

use std::sync::Mutex;

use http_body_util::Full;
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
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Self::Body> {
        let mut note = NoteDrop(Some(Arc::clone(&self.dropped)));
        let pause = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .unwrap_or(0);
        sleep(Duration::from_millis(pause)).await;
        note.0 = None;
        let size = if request.uri().query() == Some("big") {
            64 << 20
        } else {
            5
        };
        let body = if size == 5 {
            Bytes::from_static(b"hello")
        } else {
            Bytes::from(vec![b'x'; size])
        };
        Response::new(Full::new(body))
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

#[test]
fn last_words_say_how_long_they_are() {
    for word in [TOO_MANY_CONNECTIONS, HEAD_TOO_SLOW] {
        let text = std::str::from_utf8(word).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{} in {head}",
            body.len()
        );
    }
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
