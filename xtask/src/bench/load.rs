//! `cargo xtask load`: calls in a closed loop (each connection asks again when it is answered) or in an open one (calls are due at their
//! times, and their latency counts from then, whether or not there was a connection free to make them).

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that are made at a time.
const CONNECTING_MAX: usize = 64;

/// What is asked, how often, and for how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Who is asked.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// With its path.
    #[arg(long, default_value = "/v1/chat/completions")]
    pub(crate) path: String,
    /// The file that holds the body.
    #[arg(long)]
    pub(crate) body: PathBuf,
    /// Sent as a bearer token.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// More headers, such as `name: value`.
    #[arg(long = "header")]
    pub(crate) headers: Vec<String>,
    /// Calls are counted below this, and the count stands in place of each `########` in the key and the body.
    #[arg(long)]
    pub(crate) numbers: Option<u64>,
    /// End after so many calls of a closed loop.
    #[arg(long)]
    pub(crate) calls: Option<u64>,
    /// In an open loop, one more second at this many calls a second. What is due while no connection is free is then not asked.
    #[arg(long)]
    pub(crate) then: Option<f64>,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// For so long.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Calls a second of an open loop; a closed one without.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Answers are streams.
    #[arg(long)]
    pub(crate) streams: bool,
    /// Open a stream on each connection and hold them all for so many seconds, once each has begun.
    #[arg(long)]
    pub(crate) hold: Option<u64>,
}

/// Makes the load, and prints what it came to as JSON.
pub(crate) fn load(arguments: &Arguments) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(async {
        match (arguments.hold, arguments.rate) {
            (Some(seconds), _) => hold(arguments, seconds).await,
            (None, Some(rate)) => open_loop(arguments, rate).await,
            (None, None) => closed_loop(arguments).await,
        }
    })?;
    println!("{told}");
    Ok(())
}

/// What is sent, with its number in it where calls are numbered.
#[derive(Debug)]
struct Requests {
    bytes: Vec<u8>,
    /// Where the number stands.
    places: Vec<usize>,
    /// Numbers are below this.
    numbers: Option<u64>,
    /// So many are begun at most.
    calls: Option<u64>,
    begun: AtomicU64,
}

impl Requests {
    const PLACE: &[u8] = b"########";

    fn of(arguments: &Arguments) -> Result<Arc<Self>> {
        let body = fs::read(&arguments.body)
            .with_context(|| format!("cannot read {}", arguments.body.display()))?;
        let key = arguments.key.as_ref();
        let key = key.map(|key| format!("authorization: Bearer {key}"));
        let more: String = key
            .iter()
            .chain(&arguments.headers)
            .map(|header| format!("{header}\r\n"))
            .collect();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
            arguments.path,
            arguments.address,
            body.len()
        );
        let bytes = [head.as_bytes(), &body].concat();
        let places = bytes
            .windows(Self::PLACE.len())
            .enumerate()
            .filter(|(_, window)| *window == Self::PLACE)
            .map(|(at, _)| at)
            .collect();
        Ok(Arc::new(Self {
            bytes,
            places,
            numbers: arguments.numbers,
            calls: arguments.calls,
            begun: AtomicU64::new(0),
        }))
    }

    /// Makes `request` the next one; `false` when there are no more.
    fn next(&self, request: &mut Vec<u8>) -> bool {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        if self.calls.is_some_and(|calls| begun >= calls) {
            return false;
        }
        if request.is_empty() {
            request.extend_from_slice(&self.bytes);
        }
        if let Some(numbers) = self.numbers {
            let number = format!("{:08}", begun % numbers.max(1));
            for place in &self.places {
                for (to, from) in request.iter_mut().skip(*place).zip(number.bytes()) {
                    *to = from;
                }
            }
        }
        true
    }
}

/// What calls came to.
#[derive(Debug, Default)]
struct Tally {
    /// Microseconds to the last byte, one for each call.
    whole: Vec<u64>,
    /// And to the first byte of a stream's events.
    first: Vec<u64>,
    /// Answered with 503.
    refused: u64,
    /// Not asked, as no connection was free.
    left: u64,
    failures: u64,
    failure: Option<String>,
}

/// An answer that came whole.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Its body began to come then.
    Given(Instant),
    /// The server has too much to do.
    Refused,
}

impl Tally {
    fn note(&mut self, due: Instant, answer: Result<Answer>) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match answer {
            Ok(Answer::Refused) => self.refused += 1,
            Ok(Answer::Given(first)) => {
                self.whole.push(micros(due.elapsed()));
                self.first
                    .push(micros(first.saturating_duration_since(due)));
            }
            Err(error) => {
                self.failures += 1;
                self.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.whole.extend(other.whole);
        self.first.extend(other.first);
        self.refused += other.refused;
        self.left += other.left;
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
    }

    fn told(mut self, seconds: f64) -> Value {
        self.whole.sort_unstable();
        self.first.sort_unstable();
        let at = |sorted: &[u64], part: usize| {
            let place = (sorted.len() * part / 1000).min(sorted.len().saturating_sub(1));
            sorted.get(place).copied()
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = self.whole.len() as f64 / seconds;
        json!({
            "calls": self.whole.len(), "refused": self.refused, "left": self.left, "failures": self.failures, "failure": self.failure, "a_second": rate,
            "p50_us": at(&self.whole, 500), "p99_us": at(&self.whole, 990), "p999_us": at(&self.whole, 999),
            "first_p50_us": at(&self.first, 500), "first_p99_us": at(&self.first, 990),
        })
    }
}

async fn closed_loop(arguments: &Arguments) -> Result<Value> {
    let requests = Requests::of(arguments)?;
    let connections = connect(arguments).await?;
    let length = Duration::from_secs_f64(arguments.seconds);
    let began = Instant::now();
    let end = began + length;
    let tasks = TaskTracker::new();
    let mut running = Vec::new();
    for mut connection in connections {
        let requests = Arc::clone(&requests);
        running.push(tasks.spawn(async move {
            let mut tally = Tally::default();
            let mut request = Vec::new();
            while Instant::now() < end && requests.next(&mut request) {
                let due = Instant::now();
                let answer = connection.ask(&request).await;
                let failed = answer.is_err();
                tally.note(due, answer);
                if failed && connection.again().await.is_err() {
                    break;
                }
            }
            tally
        }));
    }
    let mut tally = Tally::default();
    for task in running {
        tally.add(task.await?);
    }
    let seconds = match arguments.calls {
        Some(_) => began.elapsed().as_secs_f64(),
        None => arguments.seconds,
    };
    Ok(tally.told(seconds))
}

/// When calls of an open loop are due: at one rate, and perhaps for a second more at another.
#[derive(Clone, Copy, Debug)]
struct Pace {
    begin: Instant,
    rate: f64,
    length: Duration,
    then: Option<f64>,
}

impl Pace {
    const THEN: Duration = Duration::from_secs(1);
    const WAIT_MAX: Duration = Duration::from_millis(50);

    /// Tells each when it is due, until all have been told or nobody listens.
    fn keep(self, due: &mpsc::UnboundedSender<Instant>) {
        self.part(due, self.begin, self.rate, self.length);
        if let Some(then) = self.then {
            self.part(due, self.begin + self.length, then, Self::THEN);
        }
    }

    fn part(
        self,
        due: &mpsc::UnboundedSender<Instant>,
        begin: Instant,
        rate: f64,
        length: Duration,
    ) {
        let mut number = 0_u32;
        loop {
            let at = Duration::from_secs_f64(f64::from(number) / rate);
            if at >= length {
                return;
            }
            sleep((begin + at).saturating_duration_since(Instant::now()));
            if due.send(begin + at).is_err() {
                return;
            }
            number += 1;
        }
    }

    /// Whether a call belongs to the second part.
    fn is_then(self, due: Instant) -> bool {
        self.then.is_some() && due >= self.begin + self.length
    }

    /// Whether it is too late to ask what was due then: callers are others, and do not wait for a connection.
    fn is_over(self, due: Instant) -> bool {
        self.then.is_some() && due.elapsed() > Self::WAIT_MAX
    }
}

async fn open_loop(arguments: &Arguments, rate: f64) -> Result<Value> {
    ensure!(rate > 0.0, "--rate is not more than 0");
    let requests = Requests::of(arguments)?;
    let connections = connect(arguments).await?;
    let (due, whose) = mpsc::unbounded_channel::<Instant>();
    let whose = Arc::new(tokio::sync::Mutex::new(whose));
    let pace = Pace {
        begin: Instant::now(),
        rate,
        length: Duration::from_secs_f64(arguments.seconds),
        then: arguments.then,
    };
    // A thread of its own keeps the times: it does not wait for answers.
    let pacer = std::thread::spawn(move || pace.keep(&due));
    let tasks = TaskTracker::new();
    let mut running = Vec::new();
    for mut connection in connections {
        let (requests, whose) = (Arc::clone(&requests), Arc::clone(&whose));
        running.push(tasks.spawn(async move {
            let (mut tally, mut then) = (Tally::default(), Tally::default());
            let mut request = Vec::new();
            loop {
                let next = whose.lock().await.recv().await;
                let Some(due) = next else { break };
                let tally = if pace.is_then(due) {
                    &mut then
                } else {
                    &mut tally
                };
                if pace.is_over(due) || !requests.next(&mut request) {
                    tally.left += 1;
                    continue;
                }
                let answer = connection.ask(&request).await;
                let failed = answer.is_err();
                tally.note(due, answer);
                if failed && connection.again().await.is_err() {
                    break;
                }
            }
            (tally, then)
        }));
    }
    let (mut tally, mut then) = (Tally::default(), Tally::default());
    for task in running {
        let (one, one_then) = task.await?;
        tally.add(one);
        then.add(one_then);
    }
    if pacer.join().is_err() {
        bail!("the thread that keeps the times has panicked");
    }
    let mut told = tally.told(arguments.seconds);
    told["then"] = then.told(Pace::THEN.as_secs_f64());
    Ok(told)
}

/// Opens a stream on each connection; says how many have begun, and holds them.
async fn hold(arguments: &Arguments, seconds: u64) -> Result<Value> {
    let mut request = Vec::new();
    let _first = Requests::of(arguments)?.next(&mut request);
    let mut held = Vec::new();
    let mut failure = None;
    for _ in 0..arguments.connections {
        let begun = async {
            let mut connection = Connection::to(arguments.address, true).await?;
            connection.stream.write_all(&request).await?;
            Ok::<_, anyhow::Error>(connection)
        };
        match begun.await {
            Ok(connection) => held.push(connection),
            Err(error) => failure = Some(format!("{error:#}")),
        }
    }
    let mut begun = 0;
    for connection in &mut held {
        if timeout(PATIENCE, connection.begins())
            .await
            .is_ok_and(|begins| begins.is_ok())
        {
            begun += 1;
        }
    }
    println!("{}", json!({"begun": begun, "failure": failure}));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(json!({"held": held.len()}))
}

async fn connect(arguments: &Arguments) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(arguments.connections);
    while connections.len() < arguments.connections {
        let some = CONNECTING_MAX.min(arguments.connections - connections.len());
        for _ in 0..some {
            connections.push(Connection::to(arguments.address, arguments.streams).await?);
        }
    }
    Ok(connections)
}

/// A connection that stays open.
struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    streams: bool,
    come: Vec<u8>,
}

impl Connection {
    async fn to(address: SocketAddr, streams: bool) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream,
            streams,
            come: Vec::with_capacity(4 << 10),
        })
    }

    /// Connects again after a failure.
    async fn again(&mut self) -> Result<()> {
        *self = Self::to(self.address, self.streams).await?;
        Ok(())
    }

    /// Waits for the first event of a stream.
    async fn begins(&mut self) -> Result<()> {
        while !contains(&self.come, b"data:") {
            ensure!(
                self.stream.read_buf(&mut self.come).await? > 0,
                "the stream ended"
            );
        }
        Ok(())
    }

    /// Asks once; gives when the first byte of the body came.
    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        timeout(PATIENCE, self.answered(request))
            .await
            .context("no answer in time")?
    }

    async fn answered(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.come.clear();
        let mut head: Option<Head> = None;
        let mut first = None;
        let head = loop {
            ensure!(
                self.stream.read_buf(&mut self.come).await? > 0,
                "the connection was closed"
            );
            if head.is_none() {
                head = Head::of(&self.come)?;
            }
            let Some(head) = head else { continue };
            if self.come.len() > head.length {
                first.get_or_insert_with(Instant::now);
            }
            let is_whole = match head.body {
                Some(body) => self.come.len() >= head.length + body,
                None => self.come.ends_with(b"\r\n0\r\n\r\n"),
            };
            if is_whole {
                break head;
            }
        };
        if head.closes {
            self.stream = Self::to(self.address, self.streams).await?.stream;
        }
        if head.status == 503 {
            return Ok(Answer::Refused);
        }
        ensure!(
            head.status == 200,
            "status {}: {}",
            head.status,
            String::from_utf8_lossy(self.come.get(head.length..).unwrap_or_default())
        );
        let is_complete = !self.streams
            || contains(&self.come, b"[DONE]")
            || contains(&self.come, b"message_stop");
        ensure!(is_complete, "the stream has no end");
        Ok(Answer::Given(first.unwrap_or_else(Instant::now)))
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    // The end of a stream is at the end of what has come.
    bytes
        .windows(wanted.len())
        .rev()
        .any(|window| window == wanted)
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    length: usize,
    /// Bytes of the body; `None` for one that comes in chunks.
    body: Option<usize>,
    /// The connection ends with this answer.
    closes: bool,
}

impl Head {
    /// `None` while it has not come whole.
    fn of(come: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(come)? else {
            return Ok(None);
        };
        let value = |name: &str| {
            let header = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(str::from_utf8(header.value).ok()?.trim())
        };
        Ok(Some(Self {
            status: response.code.unwrap_or_default(),
            length,
            body: value("content-length").and_then(|length| length.parse().ok()),
            closes: value("connection").is_some_and(|word| word.eq_ignore_ascii_case("close")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(numbers: Option<u64>, calls: Option<u64>) -> Requests {
        let bytes = b"key ########, body ########".to_vec();
        Requests {
            bytes,
            places: vec![4, 19],
            numbers,
            calls,
            begun: AtomicU64::new(0),
        }
    }

    #[test]
    fn numbers_are_counted_up_and_begin_anew() {
        let requests = requests(Some(2), None);
        let mut request = Vec::new();
        for number in ["00000000", "00000001", "00000000"] {
            assert!(requests.next(&mut request));
            let wanted = format!("key {number}, body {number}");
            assert_eq!(request, wanted.as_bytes());
        }
    }

    #[test]
    fn no_more_calls_are_begun_than_are_wanted() {
        let requests = requests(None, Some(1));
        let mut request = Vec::new();
        assert!(requests.next(&mut request));
        assert!(!requests.next(&mut request));
    }

    #[test]
    fn the_head_of_a_refusal_is_read() {
        let come =
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        let head = Head::of(come).unwrap().unwrap();
        assert_eq!((head.status, head.body, head.closes), (503, Some(2), true));
        assert_eq!(head.length + 2, come.len());
        assert!(Head::of(b"HTTP/1.1 503 Ser").unwrap().is_none());
    }

    #[test]
    fn calls_of_the_second_part_are_those_that_are_due_after_the_first() {
        let begin = Instant::now();
        let pace = Pace {
            begin,
            rate: 10.0,
            length: Duration::from_secs(5),
            then: Some(1.0),
        };
        assert!(!pace.is_then(begin + Duration::from_millis(4_900)));
        assert!(pace.is_then(begin + Duration::from_secs(5)));
        assert!(!pace.is_over(begin + Duration::from_secs(5)));
    }
}
