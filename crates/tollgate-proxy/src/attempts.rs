//! Retries and fallbacks over a plan: targets are asked in turn until one gives its first content.
//!
//! What follows from which failure is one table, [`rule`]. Once content has come the call is committed: what breaks after that
//! is told to the client in the stream.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use tokio::time::{Instant, sleep, timeout_at};
use tollgate_dialects::{
    Answer, AnswerForm, ErrorKind, ProviderError, error_within, glance, read_answer, read_error,
    stream_of, write_answer,
};
use tollgate_domain::{Limits, Task, VectorBytes};
use tollgate_telemetry::{
    AttemptOutcome, AttemptRecord,
    events::{TargetCooling, TargetRecovered},
};
use tollgate_upstream::{
    Admission, Busy, Change, Failure, KeyState, Lane, UpstreamBody, UpstreamResponse,
};

use crate::{
    account::Account,
    gateway::{Gateway, Worker},
    question::{Outgoing, Passes, Question},
    refusal::Refusal,
    stream::{Break, Relay, Step},
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
}

/// Why an attempt did not answer.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The provider said so.
    Said(ProviderError),
    /// The connection did not do.
    Failed(Failure),
    /// Nothing came in time; which patience ended.
    Silent(&'static str),
    /// What came cannot be understood.
    Unreadable(String),
    /// The answer is too long.
    TooLarge,
}

/// What follows from a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    next: Next,
    bench: Bench,
    /// A stable word for logs and metrics.
    word: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The caller's own doing: nobody else is asked.
    End,
    /// Another key of the same provider at once, then another target.
    OtherKey,
    /// Another key after a pause, then another target, then (where there is none) the same again after a pause.
    OtherKeyLater,
    /// The same target again after a pause, then another.
    Again,
    /// Another target at once, and where there is none the same again after a pause.
    Elsewhere,
}

/// Whose health suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bench {
    Nobody,
    Target,
    Key,
}

impl Miss {
    /// The text for the log, causes included.
    fn detail(&self) -> String {
        match self {
            Self::Said(error) => error.message.clone(),
            Self::Failed(failure) => {
                let causes = std::iter::successors(std::error::Error::source(failure), |cause| {
                    cause.source()
                });
                causes.fold(failure.to_string(), |text, cause| {
                    format!("{text}: {cause}")
                })
            }
            Self::Silent(after) => (*after).to_owned(),
            Self::Unreadable(problem) => format!("the provider's answer cannot be read: {problem}"),
            Self::TooLarge => "the provider's answer is too large".to_owned(),
        }
    }
}

/// The table. A caller's own mistakes bench nobody.
fn rule(miss: &Miss) -> Rule {
    use ErrorKind as Kind;
    let (next, bench, word) = match miss {
        Miss::Said(error) => match (error.kind, error.status) {
            (Kind::Authentication, _) => (Next::OtherKey, Bench::Key, "authentication"),
            (Kind::Billing, _) => (Next::OtherKey, Bench::Key, "billing"),
            (Kind::Permission, _) => (Next::OtherKey, Bench::Key, "permission"),
            (Kind::RateLimited, _) => (Next::OtherKeyLater, Bench::Key, "rate_limited"),
            // The gateway named the model, not the caller; another target may have it.
            (Kind::NotFound, _) => (Next::Elsewhere, Bench::Nobody, "not_found"),
            (Kind::Timeout, _) => (Next::Again, Bench::Nobody, "timeout"),
            (Kind::Overloaded, _) => (Next::Elsewhere, Bench::Target, "overloaded"),
            (Kind::Server, _) => (Next::Again, Bench::Target, "server"),
            (Kind::InvalidRequest | Kind::TooLarge, _) => {
                (Next::End, Bench::Nobody, "invalid_request")
            }
        },
        Miss::Failed(failure) => (Next::Again, Bench::Target, failure.kind().as_str()),
        Miss::Silent(after) => (Next::Elsewhere, Bench::Target, *after),
        Miss::Unreadable(_) => (Next::Elsewhere, Bench::Target, "unreadable"),
        Miss::TooLarge => (Next::End, Bench::Nobody, "answer_too_large"),
    };
    Rule { next, bench, word }
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
        let outgoing = match self.question.write_for(lane, self.limits) {
            Ok(outgoing) => outgoing,
            Err(refusal @ (Refusal::Unsupported { .. } | Refusal::NotServed { .. })) => {
                lane.health().abandoned();
                self.refusal.get_or_insert(refusal);
                return Ok(None);
            }
            Err(refusal) => return Err(refusal),
        };
        let retries = self.question.route().route.retries;
        let mut tried = Vec::new();
        let mut again = 0;
        let mut pause = Duration::ZERO;
        loop {
            if self.made >= retries.attempts_max {
                return Ok(None);
            }
            let key = match lane.keys().pick(Instant::now(), &tried) {
                Ok(key) => key,
                Err(until) => {
                    lane.health().abandoned();
                    if tried.is_empty() {
                        let retry_after = until.saturating_duration_since(Instant::now());
                        self.refusal
                            .get_or_insert(Refusal::RateLimited { retry_after });
                    }
                    return Ok(None);
                }
            };
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let miss = match self.attempt(lane, &key, &outgoing, pause).await {
                Ok(success) => return Ok(Some(success)),
                Err(miss) => miss,
            };
            let rule = rule(&miss);
            let wait = self.settle(lane, &key, &miss, rule);
            self.account.record.error_detail = Some(miss.detail());
            self.refusal = Some(refusal_of(miss));
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
            let repeat = match rule.next {
                Next::End => return Err(self.refusal.take().unwrap_or(Refusal::Unreachable)),
                Next::OtherKey if other_key() => {
                    tried.push(key.ordinal());
                    pause = Duration::ZERO;
                    continue;
                }
                Next::OtherKeyLater if other_key() => {
                    tried.push(key.ordinal());
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
            pause =
                backoff(retries.backoff, retries.backoff_max, again).max(wait.unwrap_or_default());
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
        let record = &mut self.account.record;
        record.target = Some(lane.name().clone());
        record.provider_kind = Some(Arc::clone(&lane.provider().kind));
        record.model = Some(Arc::clone(lane.model()));
        record.attempts.push(AttemptRecord {
            target: lane.name().clone(),
            key_ordinal: key.ordinal(),
            outcome: AttemptOutcome::Abandoned,
            status: None,
            failure: None,
            backoff,
            duration: Duration::ZERO,
        });
        let engaged = Engaged::new(lane, key);
        let started = engaged.started;
        let result = self.converse(&engaged, outgoing).await;
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
        engaged.answered(duration, &self.worker.gateway);
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
        let first_token = *started + timeouts.first_token.min(timeouts.whole);
        let request = lane.request(
            &outgoing.endpoint,
            outgoing.streams,
            key,
            outgoing.body.clone(),
            self.forwarded,
        );
        let response =
            match timeout_at(first_token, self.worker.upstream.send(request, timeouts)).await {
                Ok(response) => response.map_err(Miss::Failed)?,
                Err(_) => return Err(Miss::Silent("first_token_timeout")),
            };
        if !response.status.is_success() {
            return Err(self.read_error(engaged, outgoing, response).await);
        }
        if outgoing.streams && !is_json(&response.headers) {
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
        self.read_whole(lane, outgoing, bytes)
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
        let form = self.answer_form(lane);
        let provider = lane.provider();
        let (dialect, end, event_bytes_max) = (
            outgoing.endpoint.dialect,
            provider.quirks.stream_end,
            self.limits.event_bytes_max,
        );
        let mut relay = match outgoing.passes {
            Passes::Through => Relay::through(
                body,
                dialect,
                end,
                &form,
                !self.question.head.include_usage,
                event_bytes_max,
            ),
            Passes::Translated => Relay::translated(body, dialect, end, &form, event_bytes_max),
        };
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
        if task == Task::Predict {
            return Ok(Reply::Whole(bytes));
        }
        if outgoing.passes == Passes::Through && !self.question.head.stream {
            let seen = glance(dialect, task, &bytes)
                .map_err(|error| Miss::Unreadable(error.to_string()))?;
            if let Some(error) = seen.error {
                return Err(Miss::Said(error));
            }
            if let Some(usage) = &seen.usage {
                self.account.used(usage);
            }
            if let Some(stop) = &seen.stop {
                self.account.stopped(stop);
            }
            return Ok(Reply::Whole(bytes));
        }
        if let Some(error) = error_within(dialect, &bytes) {
            return Err(Miss::Said(error));
        }
        let mut answer = read_answer(dialect, task, &bytes)
            .map_err(|error| Miss::Unreadable(error.to_string()))?;
        if let Answer::Embedding(answer) = &mut answer
            && lane.provider().quirks.vector_bytes == VectorBytes::Integers
        {
            answer.read_integers();
        }
        self.note_answer(&answer);
        let form = self.answer_form(lane);
        if self.question.head.stream {
            return Ok(Reply::Stream(Box::new(Relay::told(
                stream_of(answer),
                dialect,
                &form,
            ))));
        }
        Ok(Reply::Whole(write_answer(&answer, &form)))
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
        error.retry_after = retry_after(&headers).or(error.retry_after);
        if status.is_redirection() {
            return Miss::Unreadable(
                "a redirect, and redirects are not followed; the final address belongs into the configuration".to_owned(),
            );
        }
        Miss::Said(error)
    }

    fn answer_form<'a>(&'a self, lane: &'a Lane) -> AnswerForm<'a> {
        let encoding = self
            .question
            .head
            .field("encoding_format")
            .and_then(|range| self.question.body().get(range));
        AnswerForm {
            dialect: self.question.dialect,
            fallback_id: &self.account.record.request_id,
            fallback_model: lane.model(),
            created: i64::try_from(self.account.record.came_at.as_secs()).unwrap_or(i64::MAX),
            include_usage: self.question.head.include_usage,
            base64_vectors: encoding.is_some_and(|encoding| encoding == br#""base64""#),
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
            Bench::Nobody => lane.health().abandoned(),
            Bench::Target => {
                if let Change::Cooling { until } = lane.health().failed(now) {
                    let cooling = until.saturating_duration_since(now);
                    TargetCooling {
                        target: lane.name(),
                        cooling,
                        failure: rule.word,
                    }
                    .emit(self.worker.gateway.telemetry());
                }
            }
            Bench::Key => {
                lane.health().abandoned();
                if rule.word == "rate_limited" {
                    key.rate_limited(now, retry_after);
                } else {
                    key.refused(now);
                }
            }
        }
        retry_after
    }
}

// === helpers ===

/// A target at work: counted among the busy, and its health settled exactly once.
#[derive(Debug)]
pub(crate) struct Engaged {
    lane: Arc<Lane>,
    key: Arc<KeyState>,
    started: Instant,
    _busy: Busy,
}

impl Engaged {
    fn new(lane: &Arc<Lane>, key: &Arc<KeyState>) -> Self {
        Self {
            lane: Arc::clone(lane),
            key: Arc::clone(key),
            started: Instant::now(),
            _busy: lane.health().busy_guard(),
        }
    }

    /// When the attempt began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Who is at work.
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    fn answered(&self, first_token: Duration, gateway: &Gateway) {
        if self
            .lane
            .health()
            .succeeded(Instant::now(), Some(first_token))
            == Change::Recovered
        {
            TargetRecovered {
                target: self.lane.name(),
            }
            .emit(gateway.telemetry());
        }
        self.key.succeeded();
    }

    /// The stream broke after its first content.
    pub(crate) fn broke(&self, how: &Break) {
        let callers_fault =
            matches!(how, Break::Said { error, .. } if error.kind == ErrorKind::InvalidRequest);
        if !callers_fault {
            // The change is told by whoever runs into it next.
            let _change = self.lane.health().failed(Instant::now());
        }
    }
}

/// What the client is told when this was the last miss.
fn refusal_of(miss: Miss) -> Refusal {
    match miss {
        Miss::Said(error) if error.kind == ErrorKind::Authentication => {
            Refusal::CredentialsExhausted {
                status: error.status,
            }
        }
        Miss::Said(error) => Refusal::Provider(Box::new(error)),
        Miss::Failed(failure) if failure.is_timeout() => Refusal::TimedOut {
            after: failure.kind().as_str(),
        },
        Miss::Failed(failure) if failure.answer_began() => Refusal::AnswerUnreadable,
        Miss::Failed(_) => Refusal::Unreachable,
        Miss::Silent(after) => Refusal::TimedOut { after },
        Miss::Unreadable(_) => Refusal::AnswerUnreadable,
        Miss::TooLarge => Refusal::AnswerTooLarge,
    }
}

fn miss_of(how: Break) -> Miss {
    match how {
        Break::Said { error, .. } => Miss::Said(error),
        Break::Cut(Some(failure)) => Miss::Failed(failure),
        Break::Cut(None) => Miss::Unreadable("the stream ended before it was complete".to_owned()),
        Break::Unreadable(problem) => Miss::Unreadable(problem),
        Break::Silent(after) => Miss::Silent(after),
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
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| Bytes::from(more)))
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

/// The pause that a provider asks for: `retry-after-ms`, or `retry-after` in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| {
        headers
            .get(name)?
            .to_str()
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| (0.0..=86_400_000.0).contains(number))
    };
    number("retry-after-ms")
        .map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0))
        .or_else(|| {
            number("retry-after").map(|seconds| Duration::from_secs_f64(seconds.min(86_400.0)))
        })
}

/// The pause before a retry: doubles each time, a fifth more or less by chance, so that callers do not come back all at once.
fn backoff(first: Duration, longest: Duration, retries_before: u32) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(retries_before.min(16)));
    doubled.min(longest).mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: ErrorKind, status: u16) -> Miss {
        Miss::Said(ProviderError {
            status,
            kind,
            message: String::new(),
            code: None,
            param: None,
            retry_after: None,
        })
    }

    #[test]
    fn a_callers_own_mistakes_bench_nobody() {
        for (kind, status) in [
            (ErrorKind::InvalidRequest, 400),
            (ErrorKind::InvalidRequest, 422),
            (ErrorKind::NotFound, 404),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Timeout, 408),
        ] {
            assert_eq!(rule(&said(kind, status)).bench, Bench::Nobody, "{status}");
        }
    }

    #[test]
    fn a_refused_key_benches_the_key_and_not_the_target() {
        for (kind, status) in [
            (ErrorKind::Authentication, 401),
            (ErrorKind::Billing, 402),
            (ErrorKind::Permission, 403),
            (ErrorKind::RateLimited, 429),
        ] {
            assert_eq!(rule(&said(kind, status)).bench, Bench::Key, "{status}");
        }
    }

    #[test]
    fn the_providers_pause_is_read_in_both_units() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )])
        };
        assert_eq!(
            retry_after(&headers("retry-after", "2")),
            Some(Duration::from_secs(2))
        );
        assert_eq!(
            retry_after(&headers("retry-after-ms", "150")),
            Some(Duration::from_millis(150))
        );
        assert_eq!(retry_after(&headers("retry-after", "soon")), None);
        assert_eq!(retry_after(&headers("retry-after", "-1")), None);
    }

    #[test]
    fn backoff_doubles_to_its_limit() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for (retries, expected) in [(0, 100), (1, 200), (2, 400), (5, 1000), (60, 1000)] {
            let pause = backoff(first, longest, retries).as_millis();
            assert!(
                (expected * 79 / 100..=expected * 121 / 100).contains(&pause),
                "{retries}: {pause}"
            );
        }
    }
}
