//! Retries and fallbacks over a plan: targets are asked in turn until one gives its first content.
//!
//! What follows from which failure is one table, [`rules::rule`]. Once content has come the call is committed: what breaks after that
//! is told to the client in the stream.

mod engaged;
mod jobs;
mod rules;

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, sleep, timeout_at};
use tollgate_dialects::{
    Answer, AnswerForm, ErrorKind, Frames, PartStart, StreamEvent, glance, read_answer, read_count,
    read_error, stream_of, write_answer,
};
use tollgate_domain::{Dialect, Envelope, Framing, Limits, Task, VectorBytes};
use tollgate_telemetry::{AttemptOutcome, AttemptRecord};
use tollgate_upstream::{
    Admission, KeyState, Lane, NoKey, ProviderSocket, RequestParts, UpstreamBody, UpstreamRequest,
    UpstreamResponse,
};

pub(crate) use engaged::Engaged;
use engaged::fail;
pub(crate) use rules::Miss;
use rules::{Bench, Next, Rule, backoff, miss_of, refusal_of, retry_after, rule};

use crate::{
    account::Account,
    address::Errand,
    body::RESERVE_BYTES_MAX,
    credentials,
    gateway::Worker,
    question::{Outgoing, Passes, Question},
    refusal::Refusal,
    stream::{Relay, Step},
};

/// Bytes of a stream's beginning that may be held back while waiting for its first content.
const PRELUDE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a provider's error that are read.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// What a target answered.
#[derive(Debug)]
pub(crate) struct Success {
    /// The answer.
    pub(crate) answer: Reply,
    /// Who gave it.
    pub(crate) engaged: Engaged,
    /// Fields that the target could not express and that were left out.
    pub(crate) dropped: Vec<String>,
}

/// An answer in the client's dialect.
#[derive(Debug)]
pub(crate) enum Reply {
    /// All of it.
    Whole(Bytes),
    /// Its first content, with more to come.
    Stream(Box<Relay>),
    /// Bytes that mean nothing to the gateway, still to come: sound, text, pictures, events of media.
    Bytes {
        /// As the provider said.
        content_type: HeaderValue,
        /// As it comes.
        body: UpstreamBody,
    },
    /// A WebSocket that the provider has opened.
    Socket(ProviderSocket),
}

/// Asks the targets of a plan, in order, until one answers.
///
/// # Errors
/// The refusal that tells the client most: what the last target said, or why none could be asked.
pub(crate) async fn first_success(
    worker: &Worker,
    question: &Question,
    plan: &[Arc<Lane>],
    forwarded: &HeaderMap,
    limits: &Limits,
    account: &mut Account,
) -> Result<Success, Refusal> {
    let mut run = Run {
        worker,
        question,
        forwarded,
        limits,
        account,
        made: 0,
        refusal: None,
    };
    for (index, lane) in plan.iter().enumerate() {
        if let Admission::Cooling { .. } = lane.health().admit(Instant::now()) {
            continue;
        }
        let last = plan[index + 1..]
            .iter()
            .all(|other| other.health().is_cooling(Instant::now()));
        if let Some(success) = run.ask(lane, last).await? {
            return Ok(success);
        }
    }
    if run.made == 0 && run.refusal.is_none() {
        // All are cooling down: better to try than to refuse what may succeed.
        let soonest = plan
            .iter()
            .min_by_key(|lane| lane.health().cooling_until(Instant::now()));
        if let Some(lane) = soonest
            && let Some(success) = run.ask(lane, true).await?
        {
            return Ok(success);
        }
    }
    Err(run.refusal.unwrap_or(Refusal::Unreachable))
}

/// The attempts of one call.
struct Run<'a> {
    worker: &'a Worker,
    question: &'a Question,
    forwarded: &'a HeaderMap,
    limits: &'a Limits,
    account: &'a mut Account,
    /// Attempts made.
    made: u32,
    /// What the client is told if nobody answers.
    refusal: Option<Refusal>,
}

impl Run<'_> {
    /// Asks one target, with each of its keys and again as the rules say. `None`: somebody else may be asked.
    async fn ask(&mut self, lane: &Arc<Lane>, last: bool) -> Result<Option<Success>, Refusal> {
        if let Some(text) = lane.unresolved() {
            lane.health().abandoned();
            self.refusal.get_or_insert(Refusal::Unresolved {
                text: text.to_string(),
            });
            return Ok(None);
        }
        let question = self.question;
        let outgoing = match question.write_for(lane, self.forwarded, self.limits) {
            Ok(outgoing) => outgoing,
            Err(
                refusal @ (Refusal::Unsupported { .. }
                | Refusal::NotServed { .. }
                | Refusal::StoredState { .. }),
            ) => {
                lane.health().abandoned();
                self.refusal.get_or_insert(refusal);
                return Ok(None);
            }
            Err(refusal) => return Err(refusal),
        };
        let retries = self.question.route().route.retries;
        let mut tried = Vec::new();
        let mut doubtful: Vec<(Arc<KeyState>, u16)> = Vec::new();
        let mut again = 0;
        let mut pause = Duration::ZERO;
        loop {
            if self.made >= retries.attempts_max {
                return Ok(None);
            }
            let key = match lane.keys().pick(Instant::now(), &tried) {
                Ok(key) => key,
                Err(why) => {
                    lane.health().abandoned();
                    if let Some(refusal) = refusal_without_key(why) {
                        self.refusal.get_or_insert(refusal);
                    }
                    return Ok(None);
                }
            };
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let miss = match self.attempt(lane, &key, &outgoing, pause).await {
                Ok(success) => {
                    for (key, status) in doubtful {
                        key.refused(Instant::now(), status);
                    }
                    return Ok(Some(success));
                }
                Err(miss) => miss,
            };
            let rule = rule(&miss);
            if let (Bench::KeyIfAnotherAnswers, Miss::Said(error)) = (rule.bench, &miss) {
                doubtful.push((Arc::clone(&key), error.status));
            }
            let wait = self.settle(lane, &key, &miss, rule);
            self.account.record.error_detail = Some(miss.detail());
            self.refusal = Some(refusal_of(miss));
            // What the client sends only once cannot be sent to anybody else.
            if self.question.is_spent() {
                return Err(self.refusal.take().unwrap_or(Refusal::Unreachable));
            }
            let may_repeat = |again: u32| {
                again < retries.per_target && wait.is_none_or(|wait| wait <= retries.backoff_max)
            };
            let other_key = || {
                lane.keys()
                    .pick(
                        Instant::now(),
                        &[tried.as_slice(), &[key.ordinal()]].concat(),
                    )
                    .is_ok()
            };
            let mut asked_pause = wait.unwrap_or_default();
            let repeat = match rule.next {
                Next::End => return Err(self.refusal.take().unwrap_or(Refusal::Unreachable)),
                Next::OtherKey if other_key() => {
                    tried.push(key.ordinal());
                    pause = Duration::ZERO;
                    continue;
                }
                Next::OtherKeyLater if other_key() => {
                    tried.push(key.ordinal());
                    // The provider asked it of the key that is left behind.
                    asked_pause = Duration::ZERO;
                    lane.budget().try_take(Instant::now())
                }
                Next::OtherKey => false,
                Next::Again => may_repeat(again) && lane.budget().try_take(Instant::now()),
                Next::OtherKeyLater | Next::Elsewhere => {
                    last && may_repeat(again) && lane.budget().try_take(Instant::now())
                }
            };
            if !repeat {
                return Ok(None);
            }
            pause = backoff(retries.backoff, retries.backoff_max, again).max(asked_pause);
            again += 1;
        }
    }

    /// Makes one attempt and writes it down.
    async fn attempt(
        &mut self,
        lane: &Arc<Lane>,
        key: &Arc<KeyState>,
        outgoing: &Outgoing,
        backoff: Duration,
    ) -> Result<Success, Miss> {
        self.made += 1;
        if self.made == 1 {
            lane.budget().deposit(Instant::now());
        }
        let came_at = self.account.record.came_at;
        self.account.priced(lane.price(came_at));
        let begun = self.account.started().elapsed();
        let record = &mut self.account.record;
        record.target = Some(lane.name().clone());
        record.tags.clone_from(&self.account.tags);
        let own = self.question.route().tags(lane.name()).iter();
        for tag in own {
            if !record.tags.contains(tag) {
                record.tags.push(Arc::clone(tag));
            }
        }
        record.provider_kind = Some(Arc::clone(&lane.provider().kind));
        record.model = Some(Arc::clone(lane.model()));
        record.attempts.push(AttemptRecord {
            target: lane.name().clone(),
            key_ordinal: key.ordinal(),
            outcome: AttemptOutcome::Abandoned,
            status: None,
            failure: None,
            begun,
            backoff,
            duration: Duration::ZERO,
        });
        let mut engaged = Engaged::new(lane, key, &self.worker.gateway);
        let started = engaged.started;
        let result = self
            .converse(&engaged, outgoing)
            .await
            .map_err(|miss| miss.discreet(lane));
        engaged.heard = true;
        let duration = started.elapsed();
        self.account.waited(duration);
        if let Some(attempt) = self.account.record.attempts.last_mut() {
            attempt.duration = duration;
            match &result {
                Ok(_) => {
                    attempt.outcome = AttemptOutcome::Answered;
                    attempt.status = Some(200);
                }
                Err(miss) => {
                    attempt.outcome = AttemptOutcome::Failed;
                    attempt.failure = Some(rule(miss).word);
                    attempt.status = if let Miss::Said(error) = miss {
                        Some(error.status)
                    } else {
                        None
                    };
                }
            }
        }
        let answer = result?;
        engaged.began(duration);
        if let Reply::Whole(_) = answer {
            engaged.succeeded();
        }
        Ok(Success {
            answer,
            engaged,
            dropped: outgoing.dropped.clone(),
        })
    }

    /// Sends the call and waits for the answer, or for its first content.
    async fn converse(&mut self, engaged: &Engaged, outgoing: &Outgoing) -> Result<Reply, Miss> {
        let Engaged {
            lane, key, started, ..
        } = engaged;
        let timeouts = &lane.provider().timeouts;
        let is_media = outgoing.endpoint.dialect == Dialect::OpenaiMedia;
        let patience = if is_media {
            // There are no tokens: pictures and sound take their time before the first byte.
            timeouts.whole
        } else {
            timeouts.first_token.min(timeouts.whole)
        };
        let first_token = *started + patience;
        let token = credentials::token(self.worker, lane, self.account, first_token)
            .await
            .map_err(Miss::NoCredential)?;
        let parts = RequestParts {
            endpoint: &outgoing.endpoint,
            streams: outgoing.streams,
            body: self.question.request_body(outgoing.body.clone()),
            forwarded: self.forwarded,
        };
        let request = lane
            .request(parts, key, token.as_ref(), self.account.wall())
            .map_err(Miss::NoCredential)?;
        if outgoing.endpoint.task == Task::Realtime {
            let opening = self.open_socket(engaged, outgoing, request, first_token);
            return Box::pin(opening).await;
        }
        let way = outgoing.endpoint.dialect.is_job().then(|| request.way());
        let response =
            match timeout_at(first_token, self.worker.upstream.send(request, timeouts)).await {
                Ok(response) => response.map_err(Miss::Failed)?,
                Err(_) => return Err(Miss::Silent("first_token_timeout")),
            };
        if !response.status.is_success() {
            let miss = Box::pin(self.read_error(engaged, outgoing, response)).await;
            if let Some(token) = &token {
                credentials::refused(lane, token, &miss);
            }
            return Err(miss);
        }
        if let Some(way) = way {
            let following = self.follow_job(engaged, outgoing, way, response, first_token);
            return Box::pin(following).await;
        }
        if is_media && !is_json(&response.headers) {
            let content_type = response.headers.get(header::CONTENT_TYPE);
            return Ok(Reply::Bytes {
                content_type: content_type
                    .cloned()
                    .unwrap_or(HeaderValue::from_static("application/octet-stream")),
                body: response.body,
            });
        }
        let mut response = response;
        let is_stream = outgoing.streams
            && (!is_json(&response.headers)
                || timeout_at(first_token, is_events(&mut response.body, outgoing))
                    .await
                    .map_err(|_| Miss::Silent("first_token_timeout"))??);
        if is_stream {
            return self
                .open_stream(engaged, outgoing, response.body, first_token)
                .await;
        }
        let whole = *started + timeouts.whole;
        let bytes = collect(
            response.body,
            self.limits.answer_bytes_max,
            timeouts.idle,
            whole,
        )
        .await?;
        self.finish_whole(lane, outgoing, bytes).await
    }

    /// Reads a whole answer, and keeps it where that is asked.
    async fn finish_whole(
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
    async fn open_socket(
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
    async fn open_stream(
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
        let mut relay = match outgoing.passes {
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
        Ok(Reply::Stream(Box::new(relay)))
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
            if seen.usage.is_none()
                && says
                && let Ok(answer) = read_answer(dialect, task, &bytes)
            {
                self.note_said(answer);
            }
            if let Some(stop) = &seen.stop {
                self.account.stopped(stop);
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
        if self.account.record.usage.output_total().is_none() {
            self.note_said(answer);
        }
        Ok(Reply::Whole(written))
    }

    /// Takes down what an answer says whose provider does not say what was used.
    fn note_said(&mut self, answer: Answer) {
        for event in stream_of(answer) {
            event.say(self.account.said());
        }
    }

    fn note_answer(&mut self, answer: &Answer) {
        let usage = match answer {
            Answer::Chat(answer) => {
                if let Some(stop) = answer
                    .choices
                    .first()
                    .and_then(|choice| choice.stop.as_ref())
                {
                    self.account.stopped(&stop.reason);
                }
                answer.usage
            }
            Answer::Embedding(answer) => answer.usage,
            Answer::Rerank(answer) => answer.usage,
            Answer::Predict(_) => None,
        };
        if let Some(usage) = usage {
            self.account.used(&usage);
        }
    }

    async fn read_error(
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

    /// Lets the health of whoever is at fault suffer; gives the pause that the provider asked for.
    fn settle(&self, lane: &Lane, key: &KeyState, miss: &Miss, rule: Rule) -> Option<Duration> {
        let now = Instant::now();
        let retry_after = if let Miss::Said(error) = miss {
            error.retry_after
        } else {
            None
        };
        match rule.bench {
            Bench::Nobody | Bench::KeyIfAnotherAnswers => lane.health().abandoned(),
            Bench::Target => {
                fail(lane, rule.word, &self.worker.gateway);
            }
            Bench::Key => {
                lane.health().abandoned();
                match miss {
                    Miss::Said(error) if error.kind != ErrorKind::RateLimited => {
                        key.refused(now, error.status);
                    }
                    _ => key.rate_limited(now, retry_after),
                }
            }
        }
        retry_after
    }
}

// === helpers ===

fn is_foreign(event: &StreamEvent) -> bool {
    matches!(
        event,
        StreamEvent::PartStart {
            start: PartStart::Foreign(_),
            ..
        }
    )
}

/// What the client is told where no key is left to ask with; nothing where keys were tried, as what they met says more.
fn refusal_without_key(why: NoKey) -> Option<Refusal> {
    match why {
        NoKey::Waiting { until } => Some(Refusal::RateLimited {
            retry_after: until.saturating_duration_since(Instant::now()),
        }),
        NoKey::Refused { status } => Some(Refusal::CredentialsExhausted { status }),
        NoKey::Tried => None,
    }
}

/// Takes over what the stream has told; says whether there was content.
fn note(account: &mut Account, relay: &mut Relay) -> bool {
    let facts = relay.take_facts();
    account.used(&facts.usage);
    if let Some(stop) = &facts.stop {
        account.stopped(stop);
    }
    facts.content
}

/// Reads a body to its end, within bounds of size and time.
async fn collect(
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
        let idle_until = Instant::now() + idle;
        let next = poll_fn(|context| http_body::Body::poll_frame(body.as_mut(), context));
        let frame = match timeout_at(idle_until.min(whole), next).await {
            Err(_) => {
                return Err(Miss::Silent(if whole <= idle_until {
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
async fn is_events(body: &mut UpstreamBody, outgoing: &Outgoing) -> Result<bool, Miss> {
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
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    content_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("application/json")
}
