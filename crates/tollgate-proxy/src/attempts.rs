//! Retries and fallbacks over a plan: targets are asked in turn until one gives its first content.
//!
//! What follows from which failure is one table, [`rules::rule`]. Once content has come the call is committed: what breaks after that
//! is told to the client in the stream.

mod answers;
mod engaged;
mod jobs;
mod rules;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, sleep, timeout_at};
use tollgate_dialects::ErrorKind;
use tollgate_domain::{Dialect, Limits, Task};
use tollgate_telemetry::{AttemptOutcome, AttemptRecord};
use tollgate_upstream::{
    Admission, KeyState, Lane, NoKey, ProviderSocket, RequestParts, Token, UpstreamBody,
    UpstreamRequest,
};

use answers::{collect, is_events, is_json, is_page, plain_reply};
pub(crate) use engaged::Engaged;
use engaged::fail;
pub(crate) use rules::Miss;
use rules::{Bench, Next, Rule, backoff, refusal_of, rule};

use crate::{
    account::Account,
    admission::{self, Entry},
    credentials,
    gateway::Worker,
    plain::{PlainHead, PlainRefusal, is_refused},
    question::{Outgoing, Question},
    refusal::Refusal,
    stream::Relay,
};

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
    /// The same of plain HTTP, with the provider's own status and headers.
    Plain {
        /// What goes before it.
        head: Box<PlainHead>,
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
    entry: &Entry<'_>,
    plan: &[Arc<Lane>],
    forwarded: &HeaderMap,
    limits: &Limits,
    account: &mut Account,
) -> Result<Success, Refusal> {
    let mut run = Run {
        worker,
        question,
        entry,
        forwarded,
        limits,
        account,
        made: 0,
        has_begun: false,
        refusal: None,
        own_words: None,
    };
    let mut now = Instant::now();
    for (index, lane) in plan.iter().enumerate() {
        if let Admission::Cooling { .. } = lane.health().admit(now) {
            continue;
        }
        let last = plan[index + 1..]
            .iter()
            .all(|other| other.health().is_cooling(now));
        if let Some(success) = run.ask(lane, last, now).await? {
            return Ok(success);
        }
        now = Instant::now();
    }
    if run.made == 0 && run.refusal.is_none() {
        // All are cooling down: better to try than to refuse what may succeed.
        let soonest = plan
            .iter()
            .min_by_key(|lane| lane.health().cooling_until(now));
        if let Some(lane) = soonest
            && let Some(success) = run.ask(lane, true, now).await?
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
    /// What allowances are asked for.
    entry: &'a Entry<'a>,
    forwarded: &'a HeaderMap,
    limits: &'a Limits,
    account: &'a mut Account,
    /// Attempts made.
    made: u32,
    /// Whether the model that is asked now has begun to answer.
    has_begun: bool,
    /// What the client is told if nobody answers.
    refusal: Option<Refusal>,
    /// What a provider of plain HTTP said last, whole.
    own_words: Option<Box<PlainRefusal>>,
}

impl Run<'_> {
    /// Asks one target, with each of its keys and again as the rules say. `None`: somebody else may be asked.
    async fn ask(
        &mut self,
        lane: &Arc<Lane>,
        last: bool,
        mut now: Instant,
    ) -> Result<Option<Success>, Refusal> {
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
            let key = match lane.keys().pick(now, &tried) {
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
                now = Instant::now();
            }
            if self.account.asks_again() {
                if let Err(refusal) = Box::pin(self.enter_again(lane)).await {
                    lane.health().abandoned();
                    self.refusal = Some(refusal);
                    return Ok(None);
                }
                now = Instant::now(); // whom counts made wait was not kept by the provider
            }
            let miss = match self.attempt(lane, &key, &outgoing, (now, pause)).await {
                Ok(success) => {
                    for (key, status) in doubtful {
                        key.refused(Instant::now(), status);
                    }
                    return Ok(Some(success));
                }
                Err(miss) => miss,
            };
            now = Instant::now();
            let rule = rule(&miss);
            if let (Bench::KeyIfAnotherAnswers, Miss::Said(error)) = (rule.bench, &miss) {
                doubtful.push((Arc::clone(&key), error.status));
            }
            let wait = self.settle(lane, &key, &miss, rule);
            self.account.record.error_detail = Some(miss.detail());
            let is_repeatable = self.is_repeatable(&miss);
            self.refusal = Some(match self.own_words.take() {
                Some(own_words) => Refusal::Plain(own_words),
                None => refusal_of(miss),
            });
            // What the client sends only once cannot be sent to anybody else.
            if self.question.is_spent() || !is_repeatable {
                return Err(self.refusal.take().unwrap_or(Refusal::Unreachable));
            }
            let may_repeat = |again: u32| {
                again < retries.per_target && wait.is_none_or(|wait| wait <= retries.backoff_max)
            };
            let other_key = || {
                let tried = [tried.as_slice(), &[key.ordinal()]].concat();
                lane.keys().pick(now, &tried).is_ok()
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
                    lane.budget().try_take(now)
                }
                Next::OtherKey | Next::OtherTarget => false,
                Next::Again => may_repeat(again) && lane.budget().try_take(now),
                Next::OtherKeyLater | Next::Elsewhere => {
                    last && may_repeat(again) && lane.budget().try_take(now)
                }
            };
            if !repeat {
                return Ok(None);
            }
            pause = backoff(retries.backoff, retries.backoff_max, again).max(asked_pause);
            again += 1;
        }
    }

    /// Asks allowances for what one more try may use, where those before were settled.
    async fn enter_again(&mut self, lane: &Arc<Lane>) -> Result<(), Refusal> {
        let entry = Entry {
            is_again: true,
            now: self.account.wall(),
            ..*self.entry
        };
        let (counters, sharing) = (self.worker.gateway.counters(), &self.worker.sharing);
        let mut plan = vec![Arc::clone(lane)];
        let permit = admission::enter(counters, sharing.as_ref(), &entry, &mut plan).await?;
        self.account.permitted(permit);
        Ok(())
    }

    /// Makes one attempt, which begins now and came after a pause, and writes it down.
    async fn attempt(
        &mut self,
        lane: &Arc<Lane>,
        key: &Arc<KeyState>,
        outgoing: &Outgoing,
        (now, backoff): (Instant, Duration),
    ) -> Result<Success, Miss> {
        self.made += 1;
        if self.made == 1 {
            lane.budget().deposit(now);
        }
        let came_at = self.account.record.came_at;
        let says_cost = lane.provider().quirks.says_cost;
        let price = lane.price(came_at);
        self.account
            .priced(price, says_cost, outgoing.endpoint.dialect);
        let begun = now - self.account.started();
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
        record.attempts.reserve_exact(1); // nearly all calls have one
        record.attempts.push(AttemptRecord {
            target: lane.name().clone(),
            provider_kind: Arc::clone(&lane.provider().kind),
            server: outgoing.endpoint.uri.clone(),
            key_ordinal: key.ordinal(),
            outcome: AttemptOutcome::Abandoned,
            status: None,
            failure: None,
            begun,
            backoff,
            duration: Duration::ZERO,
            lost: None,
        });
        self.has_begun = false;
        let mut engaged = Engaged::new(lane, key, &self.worker.gateway, now);
        self.account.waits(now);
        let result = self
            .converse(&engaged, outgoing)
            .await
            .map_err(|miss| miss.discreet(lane));
        engaged.heard = true;
        let now = Instant::now();
        let duration = self.account.attempt_ended(now);
        if let Some(attempt) = self.account.record.attempts.last_mut() {
            match &result {
                Ok(answer) => {
                    attempt.outcome = AttemptOutcome::Answered;
                    attempt.status = Some(match answer {
                        Reply::Plain { head, .. } => head.status.as_u16(),
                        _ => StatusCode::OK.as_u16(),
                    });
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
        if let Err(miss) = &result {
            self.account.lost(self.has_begun && miss.is_breaking_off());
            if !miss.is_unasked() {
                self.account.asked_in_vain();
            }
        }
        let answer = result?;
        self.account.first_content(now);
        engaged.began(now, duration);
        if let Reply::Whole(_) = answer {
            engaged.succeeded(now);
        }
        Ok(Success {
            answer,
            engaged,
            dropped: outgoing.dropped.clone(),
        })
    }

    /// Sends the call and waits for the answer, or for its first content.
    async fn converse(&mut self, engaged: &Engaged, outgoing: &Outgoing) -> Result<Reply, Miss> {
        let Engaged { lane, started, .. } = engaged;
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
        self.account.begin();
        self.worker.end_of_turn().await; // the others that are ready; what they may cost is written down
        if outgoing.endpoint.task == Task::Realtime {
            let request = self.request(engaged, outgoing, token.as_ref())?;
            let opening = self.open_socket(engaged, outgoing, request, first_token);
            return Box::pin(opening).await;
        }
        let way;
        let sent = timeout_at(first_token, {
            let request = self.request(engaged, outgoing, token.as_ref())?;
            let is_job = outgoing.endpoint.dialect.is_job();
            way = is_job.then(|| Box::new(request.way()));
            self.worker.upstream.send(request, timeouts)
        });
        let mut response = match sent.await {
            Ok(response) => response.map_err(Miss::Failed)?,
            Err(_) => return Err(Miss::Silent("first_token_timeout")),
        };
        let is_plain = self.question.plain().is_some();
        if is_plain && !is_refused(response.status) {
            return Ok(plain_reply(response));
        }
        if !response.status.is_success() {
            let miss = if is_plain {
                Box::pin(self.read_own_words(engaged, response)).await
            } else {
                Box::pin(self.read_error(engaged, outgoing, response)).await
            };
            if let Some(token) = &token {
                credentials::refused(lane, token, &miss);
            }
            return Err(miss);
        }
        // A page is of somebody who stands before the model, which was not asked.
        self.has_begun = !is_page(&response.headers);
        if let Some(way) = way {
            let following = self.follow_job(engaged, outgoing, *way, response, first_token);
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

    /// The request to a provider.
    fn request(
        &self,
        engaged: &Engaged,
        outgoing: &Outgoing,
        token: Option<&Token>,
    ) -> Result<UpstreamRequest, Miss> {
        let plain = self.question.plain();
        let parts = RequestParts {
            method: plain.map_or(&Method::POST, |request| &request.method),
            endpoint: &outgoing.endpoint,
            streams: outgoing.streams,
            body: self.question.request_body(outgoing.body.clone()),
            forwarded: self.forwarded,
        };
        engaged
            .lane
            .request(
                parts,
                &engaged.key,
                token,
                self.account.wall_at(engaged.started),
            )
            .map_err(Miss::NoCredential)
    }

    /// Whether the question may be put again, here or elsewhere: of plain HTTP only where nothing can have come of it so far, unless that makes
    /// no difference.
    fn is_repeatable(&self, miss: &Miss) -> bool {
        let Some(request) = self.question.plain() else {
            return true;
        };
        let came_to_nothing = match miss {
            Miss::Said(error) => !matches!(error.kind, ErrorKind::Server | ErrorKind::Timeout),
            Miss::Failed(_)
            | Miss::NoCredential(_)
            | Miss::Silent(_)
            | Miss::Unreadable(_)
            | Miss::TooLarge => miss.is_unasked(),
        };
        came_to_nothing || request.is_idempotent()
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
