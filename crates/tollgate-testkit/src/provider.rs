//! A provider on loopback that does what a script says, faults included. It speaks raw HTTP/1.1, so that every byte and every
//! break of a connection is the script's.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A provider on loopback.
#[derive(Debug)]
pub struct ScriptedProvider {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Received>>,
    open: AtomicUsize,
    disconnects: AtomicUsize,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All lines of a header.
    pub fn header_lines(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter();
        let lines = lines.filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }
}

/// What the provider does with a request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    pieces: Vec<Vec<u8>>,
    before_head: Duration,
    between_pieces: Duration,
    ending: Ending,
    raw: bool,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As HTTP wants it.
    Clean,
    /// The connection closes in the middle of the body.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Hang,
}

// === impl Reply ===

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::body(status, "application/json", body.to_string())
    }

    /// An answer in one piece.
    pub fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            pieces: vec![body.into()],
            before_head: Duration::ZERO,
            between_pieces: Duration::ZERO,
            ending: Ending::Clean,
            raw: false,
        }
    }

    /// A stream of server-sent events, each piece written by itself.
    pub fn stream<P: Into<Vec<u8>>>(pieces: impl IntoIterator<Item = P>) -> Self {
        Self {
            pieces: pieces.into_iter().map(Into::into).collect(),
            ..Self::body(200, "text/event-stream", Vec::new())
        }
    }

    /// Bytes that are no HTTP.
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: true,
            ending: Ending::Cut,
            ..Self::body(0, "", bytes)
        }
    }

    /// Nothing at all, on a connection that stays open.
    pub fn hang() -> Self {
        Self {
            raw: true,
            ending: Ending::Hang,
            ..Self::body(0, "", Vec::new())
        }
    }

    /// A connection that is closed without an answer.
    pub fn close() -> Self {
        Self {
            raw: true,
            ending: Ending::Cut,
            ..Self::body(0, "", Vec::new())
        }
    }

    /// A further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Waits before the head.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.before_head = pause;
        self
    }

    /// Waits before each piece but the first.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        self.between_pieces = pause;
        self
    }

    /// Ends in another way.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Keeps only so many bytes of the body, and ends in a way.
    #[must_use]
    pub fn only(mut self, bytes: usize, ending: Ending) -> Self {
        let mut all = self.pieces.concat();
        all.truncate(bytes);
        self.pieces = vec![all];
        self.ending(ending)
    }

    /// Splits the body at this byte offset.
    #[must_use]
    pub fn split_at(mut self, offset: usize) -> Self {
        let all = self.pieces.concat();
        let (first, second) = all.split_at(offset.min(all.len()));
        self.pieces = vec![first.to_vec(), second.to_vec()];
        self.paced(Duration::from_millis(1))
    }

    /// Splits the body into pieces of this many bytes.
    #[must_use]
    pub fn dripped(mut self, bytes: usize, pause: Duration) -> Self {
        self.pieces = self
            .pieces
            .concat()
            .chunks(bytes.max(1))
            .map(<[u8]>::to_vec)
            .collect();
        self.paced(pause)
    }
}

// === impl ScriptedProvider ===

impl ScriptedProvider {
    /// Starts a provider whose script answers each request.
    pub async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (state, stop, script) = (
            Arc::<State>::default(),
            CancellationToken::new(),
            Arc::new(script),
        );
        let (accepting, tasks, seen) = (stop.clone(), TaskTracker::new(), Arc::clone(&state));
        tasks.clone().spawn(async move {
            loop {
                tokio::select! {
                    () = accepting.cancelled() => return,
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        let (script, seen, stop) = (Arc::clone(&script), Arc::clone(&seen), accepting.clone());
                        tasks.spawn(async move {
                            tokio::select! {
                                () = stop.cancelled() => {}
                                () = serve(stream, script.as_ref(), &seen) => {}
                            }
                        });
                    }
                }
            }
        });
        Self {
            address,
            state,
            stop,
        }
    }

    /// Answers every request with the same reply.
    pub async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// Answers requests with these replies in turn; the last one stays.
    pub async fn in_turn(replies: Vec<Reply>) -> Self {
        let turn = AtomicUsize::new(0);
        Self::start(move |_| {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            replies[turn.min(replies.len() - 1)].clone()
        })
        .await
    }

    /// Its address as a URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it received so far.
    pub fn received(&self) -> Vec<Received> {
        self.state
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Waits until a client has closed a connection in the middle of an answer, for two seconds at most.
    pub async fn wait_for_disconnect(&self) -> bool {
        for _ in 0..200 {
            if self.state.disconnects.load(Ordering::Relaxed) > 0 {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(impl Fn(&Received) -> Reply + ?Sized),
    state: &State,
) {
    state.open.fetch_add(1, Ordering::Relaxed);
    let _nodelay = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let reply = script(&request);
        state
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        if !answer(&mut stream, &reply).await {
            break;
        }
        if gone(&stream).await {
            state.disconnects.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    state.open.fetch_sub(1, Ordering::Relaxed);
    if buffer.is_empty() && gone(&stream).await {
        state.disconnects.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the client has closed the connection.
async fn gone(stream: &TcpStream) -> bool {
    // The next request may be there already, and has to stay.
    match timeout(Duration::ZERO, stream.peek(&mut [0; 1])).await {
        Ok(Ok(bytes)) => bytes == 0,
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let head_end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, path) = (
        request_line.next()?.to_owned(),
        request_line.next()?.to_owned(),
    );
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let body_start = head_end + 4;
    while buffer.len() < body_start + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[body_start..body_start + length].to_vec();
    buffer.drain(..body_start + length);
    Some(Received {
        method,
        path,
        headers,
        body,
    })
}

/// Writes a reply; says whether the connection can be used again.
async fn answer(stream: &mut TcpStream, reply: &Reply) -> bool {
    sleep(reply.before_head).await;
    if write(stream, reply).await.is_err() {
        return false;
    }
    match reply.ending {
        Ending::Clean => true,
        Ending::Cut => false,
        Ending::Reset => {
            let _linger = stream.set_zero_linger();
            false
        }
        Ending::Hang => {
            // Until the client has had enough.
            let _end = stream.read(&mut [0; 1]).await;
            false
        }
    }
}

async fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    if reply.raw {
        return stream.write_all(&reply.pieces.concat()).await;
    }
    let mut head = format!(
        "HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\n",
        reply.status
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    for (index, piece) in reply
        .pieces
        .iter()
        .filter(|piece| !piece.is_empty())
        .enumerate()
    {
        if index > 0 && !reply.between_pieces.is_zero() {
            stream.flush().await?;
            sleep(reply.between_pieces).await;
            if gone(stream).await {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
    }
    if reply.ending == Ending::Clean {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    stream.flush().await
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
