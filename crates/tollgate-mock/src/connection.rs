//! One connection: requests are looked at, and answered in their order.

use std::{io, sync::Arc, time::Duration};

use memchr::memmem;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, sleep},
};

use crate::{
    Plan,
    answers::{Answers, Asked, Made, whole},
};

/// Bytes of a request at most.
const REQUEST_MAX: usize = 64 << 20;

/// Headers of a request at most.
const HEADERS_MAX: usize = 100;

/// What there is to know of a request.
struct Request {
    /// Of head and body together.
    length: usize,
    asked: Option<Asked>,
    plan: Plan,
    stays_open: bool,
}

/// What was found at the beginning of what has come.
enum Found {
    Request(Request),
    /// More has to come.
    Part,
    /// It is none.
    Rubbish,
}

/// Answers until the client leaves.
pub(crate) async fn serve(mut stream: TcpStream, answers: &Arc<Answers>) -> io::Result<()> {
    let mut come: Vec<u8> = Vec::with_capacity(8 << 10);
    loop {
        let request = match look(&come, answers.plan()) {
            Found::Request(request) => request,
            Found::Part if come.len() <= REQUEST_MAX => {
                if stream.read_buf(&mut come).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            Found::Part | Found::Rubbish => {
                let answer = whole(400, &json!({"error": {"message": "this is no request"}}));
                return stream.write_all(&answer.head).await;
            }
        };
        come.drain(..request.length);
        answer(&mut stream, &request, answers).await?;
        if !request.stays_open {
            return Ok(());
        }
    }
}

async fn answer(stream: &mut TcpStream, request: &Request, answers: &Answers) -> io::Result<()> {
    let plan = request.plan;
    let wait = plan.latency + plan.jitter.mul_f64(fastrand::f64());
    if !wait.is_zero() {
        sleep(wait).await;
    }
    let made: Arc<Made> = match request.asked {
        None => Arc::new(whole(
            404,
            &json!({"error": {"message": "the mock knows chat/completions, messages and embeddings"}}),
        )),
        Some(_) if plan.status != 200 => Arc::new(whole(
            plan.status,
            &json!({"error": {"message": "asked for", "type": "mock"}}),
        )),
        Some(asked) => answers.of(asked, plan.tokens),
    };
    stream.write_all(&made.head).await?;
    if made.events.is_empty() {
        return Ok(());
    }
    if plan.rate == 0 {
        return stream.write_all(&made.all_events).await;
    }
    let mut ticks = interval(Duration::from_secs(1) / plan.rate);
    for event in &made.events {
        let _now = ticks.tick().await;
        stream.write_all(event).await?;
    }
    Ok(())
}

fn look(come: &[u8], plan: Plan) -> Found {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_length = match head.parse(come) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Found::Part,
        Err(_) => return Found::Rubbish,
    };
    let mut plan = plan;
    let mut body_length = Some(0);
    let mut stays_open = true;
    for header in head.headers.iter() {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            body_length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body_length = chunked_length(&come[head_length..]);
            if body_length.is_none() {
                return Found::Part;
            }
        } else if name.eq_ignore_ascii_case("connection") {
            stays_open = !value.eq_ignore_ascii_case("close");
        } else if name.len() > 7 && name.as_bytes()[..7].eq_ignore_ascii_case(b"x-mock-") {
            take(&mut plan, name, value);
        }
    }
    let Some(body_length) = body_length else {
        return Found::Rubbish;
    };
    let Some(length) = head_length.checked_add(body_length) else {
        return Found::Rubbish;
    };
    let Some(body) = come.get(head_length..length) else {
        return Found::Part;
    };
    if let Some(tokens) = tokens_asked(body) {
        plan.tokens = tokens;
    }
    let streams = [&b"\"stream\":true"[..], b"\"stream\": true"]
        .iter()
        .any(|word| memmem::find(body, word).is_some());
    Found::Request(Request {
        length,
        asked: Asked::of(head.path.unwrap_or_default(), streams),
        plan,
        stays_open,
    })
}

/// As many tokens as a call asks for at most (`max_tokens`, `max_completion_tokens`), which are then given.
fn tokens_asked(body: &[u8]) -> Option<usize> {
    let at = memmem::find(body, b"_tokens\":")?;
    let rest = body[at + 9..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Takes over what a header asks for.
fn take(plan: &mut Plan, name: &str, value: &str) {
    let milliseconds = || value.parse().ok().map(Duration::from_millis);
    match name.to_ascii_lowercase().as_str() {
        "x-mock-latency-ms" => plan.latency = milliseconds().unwrap_or(plan.latency),
        "x-mock-jitter-ms" => plan.jitter = milliseconds().unwrap_or(plan.jitter),
        "x-mock-tokens" => plan.tokens = value.parse().unwrap_or(plan.tokens),
        "x-mock-rate" => plan.rate = value.parse().unwrap_or(plan.rate),
        "x-mock-status" => plan.status = value.parse().unwrap_or(plan.status),
        _ => {}
    }
}

/// The length of a body in chunks, the last one among them; `None` while more has to come.
fn chunked_length(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = memmem::find(&body[at..], b"\r\n")?;
        let size = str::from_utf8(&body[at..at + line]).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        at = at
            .checked_add(line + 2)?
            .checked_add(size)?
            .checked_add(2)?;
        if at > body.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}
