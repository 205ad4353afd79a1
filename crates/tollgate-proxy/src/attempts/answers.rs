//! How what a target answers is taken in: whole, as a stream up to its first content, as a socket, as an error. What follows from
//! a failure is not decided here.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use tokio::time::{Instant, timeout_at};
use tollgate_dialects::{
    Answer, AnswerForm, ErrorKind, Frames, PartStart, ProviderError, StreamEvent, glance,
    read_answer, read_count, read_error, stream_of, write_answer,
};
use tollgate_domain::{Dialect, Envelope, Framing, Task, VectorBytes};
use tollgate_upstream::{Lane, UpstreamBody, UpstreamRequest, UpstreamResponse};

use super::{
    Engaged, Miss, Reply, Run,
    rules::{miss_of, retry_after},
};
use crate::{
    account::Account,
    address::Errand,
    body::RESERVE_BYTES_MAX,
    patience::within,
    plain::{PlainHead, PlainRefusal},
    question::{Outgoing, Passes},
    stream::{Relay, Step},
};

/// Bytes of a stream's beginning that may be held back while waiting for its first content.
const PRELUDE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a provider's error that are read.
const ERROR_BYTES_MAX: usize = 1 << 20;

impl Run<'_> {
    /// Reads a whole answer, and keeps it where that is asked.
    pub(super) async fn finish_whole(
        &mut self,
        lane: &Lane,
        outgoing: &Outgoing,
        bytes: Bytes,
    ) -> Result<Reply, Miss> {
        let reply = self.read_whole(lane, outgoing, bytes)?;
        if let Some(keeping) = self.question.keeping(outgoing.passes)
            && let Reply::Whole(bytes) = &reply
        {
            keeping.keep(bytes.clone()).await;
        }
        Ok(reply)
    }

    /// Asks for a WebSocket.
    pub(super) async fn open_socket(
        &mut self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        request: UpstreamRequest,
        deadline: Instant,
    ) -> Result<Reply, Miss> {
        let timeouts = &engaged.lane.provider().timeouts;
        let protocol = self.forwarded.get(header::SEC_WEBSOCKET_PROTOCOL);
        let upstream = &self.worker.upstream;
        let opened = timeout_at(deadline, upstream.open_socket(request, protocol, timeouts))
            .await
            .map_err(|_| Miss::Silent("first_token_timeout"))?
            .map_err(Miss::Failed)?;
        match opened {
            Ok(socket) => Ok(Reply::Socket(socket)),
            Err(response) if response.status.is_success() => Err(Miss::Unreadable(
                "the provider answered instead of opening a WebSocket".to_owned(),
            )),
            Err(response) => Err(self.read_error(engaged, outgoing, response).await),
        }
    }

    /// Reads on until the first content, so that whatever fails before it can still be tried elsewhere.
    pub(super) async fn open_stream(
        &mut self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        body: UpstreamBody,
        deadline: Instant,
    ) -> Result<Reply, Miss> {
        let lane = &engaged.lane;
        let form = self.answer_form(lane, outgoing.passes);
        let provider = lane.provider();
        let endpoint = &outgoing.endpoint;
        let splitter = Frames::new(endpoint.framing(), self.limits.event_bytes_max);
        let (dialect, end) = (endpoint.dialect, provider.quirks.stream_end);
        let relay = match outgoing.passes {
            Passes::Through => Relay::through(
                body,
                splitter,
                dialect,
                end,
                &form,
                !self.question.head.include_usage,
            ),
            Passes::Translated => Relay::translated(body, splitter, dialect, end, &form),
        }
        .framed(self.question.framing)
        .kept(self.question.keeping(outgoing.passes));
        let mut relay = Box::new(relay);
        let opening = async {
            loop {
                let step = poll_fn(|context| relay.poll_step(context)).await;
                let content = note(self.account, &mut relay);
                match step {
                    Step::Failed(how) => return Err(miss_of(how)),
                    Step::Complete | Step::Over => return Ok(()),
                    Step::Went if content || relay.waiting() > PRELUDE_BYTES_MAX => return Ok(()),
                    Step::Went => {}
                }
            }
        };
        timeout_at(deadline, opening)
            .await
            .map_err(|_| Miss::Silent("first_token_timeout"))??;
        Ok(Reply::Stream(relay))
    }

    /// Reads a whole answer, and writes it for the client if they do not speak the same.
    fn read_whole(
        &mut self,
        lane: &Lane,
        outgoing: &Outgoing,
        bytes: Bytes,
    ) -> Result<Reply, Miss> {
        let task = outgoing.endpoint.task;
        let dialect = outgoing.endpoint.dialect;
        // A score is never streamed, whatever its body asks for.
        if task == Task::Predict || self.question.errand == Errand::CountTokens {
            return Ok(Reply::Whole(bytes));
        }
        // Nothing but a count is asked about a call in an envelope.
        if outgoing.endpoint.envelope == Envelope::Invocation && self.question.is_aside() {
            return read_count(&bytes)
                .map(Reply::Whole)
                .map_err(|error| Miss::Unreadable(error.to_string()));
        }
        let is_media = dialect == Dialect::OpenaiMedia;
        if outgoing.passes == Passes::Through && (is_media || !self.question.head.stream) {
            let seen = glance(dialect, task, &bytes)
                .map_err(|error| Miss::Unreadable(error.to_string()))?;
            if let Some(error) = seen.error {
                return Err(Miss::Said(error));
            }
            if let Some(usage) = &seen.usage {
                self.account.used(usage);
            }
            // Vectors say nothing, and are long.
            let says = matches!(task, Task::Chat | Task::Completions);
            if says
                && !self.tells_output()
                && let Ok(answer) = read_answer(dialect, task, &bytes)
            {
                self.note_said(answer);
            }
            if let Some(stop) = &seen.stop {
                self.account.stopped(stop);
            }
            if let Some(model) = &seen.model {
                self.account.answered_by(model);
            }
            return Ok(Reply::Whole(bytes));
        }
        let mut answer = read_answer(dialect, task, &bytes).map_err(|error| {
            // Some providers tell their errors with a status of 200.
            match glance(dialect, task, &bytes)
                .ok()
                .and_then(|seen| seen.error)
            {
                Some(said) => Miss::Said(said),
                None => Miss::Unreadable(error.to_string()),
            }
        })?;
        if let Answer::Embedding(answer) = &mut answer
            && lane.provider().quirks.vector_bytes == VectorBytes::Integers
        {
            answer.read_integers();
        }
        self.question.complete(&mut answer);
        self.note_answer(&answer);
        let form = self.answer_form(lane, outgoing.passes);
        let keeping = self.question.keeping(outgoing.passes);
        if self.question.head.stream {
            let mut events = stream_of(answer);
            if outgoing.passes == Passes::Translated {
                // Blocks that only the provider's own dialect understands.
                events.retain(|event| !is_foreign(event));
            }
            let relay = Relay::told(events, dialect, &form)
                .framed(self.question.framing)
                .kept(keeping);
            return Ok(Reply::Stream(Box::new(relay)));
        }
        let written = write_answer(&answer, &form);
        // A stream takes down itself what it says.
        if !self.tells_output() {
            self.note_said(answer);
        }
        Ok(Reply::Whole(written))
    }

    /// Whether the provider has said how long its answer is.
    fn tells_output(&self) -> bool {
        self.account.record.usage.output_total().is_some()
    }

    /// Takes down what an answer says whose provider does not say what was used.
    fn note_said(&mut self, answer: Answer) {
        for event in stream_of(answer) {
            event.say(self.account.said());
        }
    }

    fn note_answer(&mut self, answer: &Answer) {
        let (model, usage) = match answer {
            Answer::Chat(answer) => {
                if let Some(stop) = answer
                    .choices
                    .first()
                    .and_then(|choice| choice.stop.as_ref())
                {
                    self.account.stopped(&stop.reason);
                }
                (answer.model.as_str(), answer.usage)
            }
            Answer::Embedding(answer) => (answer.model.as_str(), answer.usage),
            Answer::Rerank(answer) => (answer.model.as_str(), answer.usage),
            Answer::Predict(_) => ("", None),
        };
        self.account.answered_by(model);
        if let Some(usage) = usage {
            self.account.used(&usage);
        }
    }

    pub(super) async fn read_error(
        &mut self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        response: UpstreamResponse,
    ) -> Miss {
        let UpstreamResponse {
            status,
            headers,
            body,
        } = response;
        let timeouts = &engaged.lane.provider().timeouts;
        let deadline = engaged.started + timeouts.whole;
        // What cannot be read of an error does not hide that it is one.
        let bytes = collect(body, ERROR_BYTES_MAX, timeouts.idle, deadline)
            .await
            .unwrap_or_default();
        let mut error = read_error(outgoing.endpoint.dialect, status.as_u16(), &bytes);
        let now = self.account.record.came_at + self.account.started().elapsed();
        error.retry_after = retry_after(&headers, now).or(error.retry_after);
        if status.is_redirection() {
            return Miss::Unreadable(
                "a redirect, and redirects are not followed; the final address belongs into the configuration".to_owned(),
            );
        }
        Miss::Said(error)
    }

    /// Reads a refusal of plain HTTP, which is passed on in the provider's own words, unless they are longer than errors are.
    pub(super) async fn read_own_words(
        &mut self,
        engaged: &Engaged,
        response: UpstreamResponse,
    ) -> Miss {
        let timeouts = &engaged.lane.provider().timeouts;
        let deadline = engaged.started + timeouts.whole;
        let status = response.status;
        let now = self.account.record.came_at + self.account.started().elapsed();
        let error = ProviderError {
            status: status.as_u16(),
            kind: ErrorKind::of_status(status.as_u16()),
            message: format!("the provider answered with {status}"),
            code: None,
            param: None,
            retry_after: retry_after(&response.headers, now),
        };
        let read = collect(response.body, ERROR_BYTES_MAX, timeouts.idle, deadline).await;
        // That a key of the gateway's is refused is nothing for the client to know more of.
        if let Ok(bytes) = read
            && error.kind != ErrorKind::Authentication
        {
            let body = match std::str::from_utf8(&bytes) {
                Ok(text) => Bytes::from(engaged.lane.discreet(text).into_owned()),
                Err(_) => bytes,
            };
            let length = Some(body.len() as u64);
            self.own_words = Some(Box::new(PlainRefusal {
                error: error.clone(),
                head: PlainHead::of(status, &response.headers, length),
                body,
            }));
        }
        Miss::Said(error)
    }

    fn answer_form<'a>(&'a self, lane: &'a Lane, passes: Passes) -> AnswerForm<'a> {
        let question = self.question;
        let keeping = question.keeping(passes);
        let field = |name| {
            let range = question.head.field(name)?;
            question.body().get(range)
        };
        // Cohere's clients ask for a list of types.
        let types = || serde_json::from_slice::<[&str; 1]>(field("embedding_types")?).ok();
        let base64 = field("encoding_format").is_some_and(|format| format == br#""base64""#);
        AnswerForm {
            dialect: self.question.dialect,
            fallback_id: keeping.map_or(&*self.account.record.request_id, |keeping| &keeping.id),
            fallback_model: lane.model(),
            created: i64::try_from(self.account.record.came_at.as_secs()).unwrap_or(i64::MAX),
            include_usage: self.question.head.include_usage,
            base64_vectors: base64 || types() == Some(["base64"]),
            asked: keeping.map_or(question.body(), |keeping| &keeping.asked),
            kept: keeping.is_some(),
        }
    }
}

fn is_foreign(event: &StreamEvent) -> bool {
    matches!(
        event,
        StreamEvent::PartStart {
            start: PartStart::Foreign(_),
            ..
        }
    )
}

/// Takes over what the stream has told; says whether there was content.
fn note(account: &mut Account, relay: &mut Relay) -> bool {
    let facts = relay.take_facts();
    if let Some(usage) = &facts.usage {
        account.used(usage);
    }
    if let Some(stop) = &facts.stop {
        account.stopped(stop);
    }
    if let Some(model) = &facts.model {
        account.answered_by(model);
    }
    facts.content
}

/// An answer of plain HTTP, as it is. One without a body may tell of the one that another request would get.
pub(super) fn plain_reply(response: UpstreamResponse) -> Reply {
    let length = match http_body::Body::size_hint(&response.body).exact() {
        Some(0) => told_length(&response.headers),
        length => length,
    };
    Reply::Plain {
        head: Box::new(PlainHead::of(response.status, &response.headers, length)),
        body: response.body,
    }
}

fn told_length(headers: &HeaderMap) -> Option<u64> {
    let told = headers.get(header::CONTENT_LENGTH)?;
    told.to_str().ok()?.parse().ok()
}

/// Reads a body to its end, within bounds of size and time.
pub(super) async fn collect(
    body: UpstreamBody,
    bytes_max: usize,
    idle: Duration,
    whole: Instant,
) -> Result<Bytes, Miss> {
    let mut body = std::pin::pin!(body);
    let told = http_body::Body::size_hint(&*body).exact();
    let expected = told.map_or(0, |told| usize::try_from(told).unwrap_or(usize::MAX));
    let mut first: Option<Bytes> = None;
    let mut more: Vec<u8> = Vec::new();
    loop {
        let next = poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context));
        let frame = match within(|| (Instant::now() + idle).min(whole), next).await {
            Err(_) => {
                return Err(Miss::Silent(if whole <= Instant::now() {
                    "whole_timeout"
                } else {
                    "idle_timeout"
                }));
            }
            Ok(None) => break,
            Ok(Some(Err(failure))) => return Err(Miss::Failed(failure)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.as_ref().map_or(0, Bytes::len) + more.len() + data.len() > bytes_max {
            return Err(Miss::TooLarge);
        }
        // Most answers come in one piece, which needs no copy.
        match (&first, more.is_empty()) {
            (None, true) => first = Some(data),
            _ => {
                if let Some(first) = first.take() {
                    more.reserve(expected.min(bytes_max).min(RESERVE_BYTES_MAX));
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| Bytes::from(more)))
}

/// Whether a body holds events although it is called JSON: some servers forget to say so.
pub(super) async fn is_events(body: &mut UpstreamBody, outgoing: &Outgoing) -> Result<bool, Miss> {
    if outgoing.endpoint.framing() != Framing::Sse {
        return Ok(false);
    }
    let first = body.peek().await.map_err(Miss::Failed)?;
    let first = first.trim_ascii_start();
    Ok([&b"data:"[..], b"event:", b"id:", b"retry:", b":"]
        .iter()
        .any(|word| first.starts_with(word)))
}

/// Whether a body is one JSON object although a stream was asked for: some servers ignore `stream`.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    is_of_type(headers, "application/json")
}

/// Whether a body is a page for people, as portals and misled proxies answer with.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    is_of_type(headers, "text/html")
}

fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    content_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with(wanted)
}
