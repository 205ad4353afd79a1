//! The body of an answer, which carries what must live as long as the answer: the record, the provider's connection, and the
//! target's place in the count of the busy.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_domain::Timeouts;
use tollgate_telemetry::Outcome;
use tollgate_upstream::UpstreamBody;

use crate::{
    account::Account,
    attempts::Engaged,
    stream::{Break, Relay, Step},
    turn::{TurnEnd, WrittenDown},
};

/// How long the end of a provider's body is waited for after its end mark, so that the connection can be used again.
const TRAILING_TIMEOUT: Duration = Duration::from_millis(500);

/// Bytes that may wait for a slow client before the provider is read no further.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// The body of an answer.
#[derive(Debug)]
pub struct ReplyBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Bytes),
    Stream(Box<StreamReply>),
    Bytes(Box<BytesReply>),
}

/// Bytes on their way to the client, as they come.
#[derive(Debug)]
struct BytesReply {
    body: UpstreamBody,
    account: Account,
    engaged: Engaged,
    patience: Patience,
    over: bool,
    last: Last,
}

/// The last bytes of an answer, which wait for the end of the turn in which its record is written down: before the client has them.
#[derive(Debug)]
struct Last {
    turn_end: Arc<TurnEnd>,
    written_down: Option<WrittenDown>,
    bytes: Option<Bytes>,
}

/// An answer that breaks off: the connection is closed, so that the client does not take it for whole.
#[derive(Clone, Copy, Debug, Error)]
#[error("the provider's answer broke off")]
pub struct BrokenAnswer;

/// A stream on its way to the client.
#[derive(Debug)]
pub(crate) struct StreamReply {
    relay: Box<Relay>,
    account: Account,
    engaged: Option<Engaged>,
    patience: Patience,
    /// How the call ended, told to the record once the last bytes are on their way.
    ending: Option<Outcome>,
    over: bool,
    last: Last,
}

/// How long a provider may be silent, and how long the whole may take.
#[derive(Debug)]
struct Patience {
    idle: Duration,
    whole: Instant,
    alarm: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
}

// === impl ReplyBody ===

impl ReplyBody {
    /// An answer that leaves no record.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }

    /// A whole answer, which goes out at the end of the turn: its record is written down before.
    pub(crate) fn accounted(bytes: Bytes, mut account: Account, outcome: Outcome) -> Self {
        account.sent(&bytes);
        account.close_with_others(outcome);
        Self::full(bytes)
    }

    /// Takes over the record of an answer that was made without one.
    pub(crate) fn with_account(self, account: Account, outcome: Outcome) -> Self {
        match self.0 {
            Kind::Whole(bytes) => Self::accounted(bytes, account, outcome),
            kind @ (Kind::Stream(_) | Kind::Bytes(_)) => Self(kind),
        }
    }

    /// A stream whose first content has come.
    pub(crate) fn stream(
        relay: Box<Relay>,
        account: Account,
        engaged: Engaged,
        timeouts: &Timeouts,
        turn_end: &Arc<TurnEnd>,
    ) -> Self {
        let patience = Patience::new(&engaged, timeouts);
        let mut stream = StreamReply {
            relay,
            account,
            engaged: Some(engaged),
            patience,
            ending: None,
            over: false,
            last: Last::new(turn_end),
        };
        stream.take_what_came();
        Self(Kind::Stream(Box::new(stream)))
    }
}

impl ReplyBody {
    /// Bytes that mean nothing to the gateway, as they come.
    pub(crate) fn bytes(
        body: UpstreamBody,
        account: Account,
        engaged: Engaged,
        timeouts: &Timeouts,
        turn_end: &Arc<TurnEnd>,
    ) -> Self {
        let mut bytes = BytesReply {
            patience: Patience::new(&engaged, timeouts),
            body,
            account,
            engaged,
            over: false,
            last: Last::new(turn_end),
        };
        bytes.end_if_all_came();
        Self(Kind::Bytes(Box::new(bytes)))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Stream(stream) => stream
                .poll_bytes(context)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Bytes(bytes) => bytes
                .poll_bytes(context)
                .map(|bytes| bytes.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(_) | Kind::Bytes(_) => SizeHint::default(),
        }
    }
}

// === impl StreamReply ===

impl StreamReply {
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.last.is_waiting() {
            return self.last.poll(context);
        }
        loop {
            if self.relay.waiting() >= WAITING_BYTES_MAX || self.over {
                break;
            }
            let Poll::Ready(step) = self.relay.poll_step(context) else {
                if self.relay.waiting() > 0 {
                    break;
                }
                let Poll::Ready(after) = self.patience.poll_alarm(context) else {
                    return Poll::Pending;
                };
                self.out_of_patience(after);
                break;
            };
            self.account.waited(self.patience.came());
            self.go(step);
        }
        // Whoever goes on from the answer finds it.
        ready!(self.relay.poll_kept(context));
        if let Some(outcome) = self.ending.take() {
            let bytes = self.last_bytes();
            let written_down = self.account.close_at(&self.last.turn_end, outcome);
            return self.last.wait(bytes, written_down, context);
        }
        let bytes = self.relay.take_bytes();
        if let Some(bytes) = &bytes {
            self.account.sent(bytes);
        }
        Poll::Ready(bytes)
    }

    /// A short answer may have come with its first content, end and all: then its record is written down at the end of this turn, before the
    /// answer goes out.
    fn take_what_came(&mut self) {
        if self.relay.is_complete() {
            self.complete();
        }
        while let Some(step) = self.relay.take_more() {
            self.go(step);
        }
        if !self.relay.is_being_kept()
            && let Some(outcome) = self.ending.take()
        {
            self.last.bytes = self.last_bytes();
            self.account.close_with_others(outcome);
        }
    }

    /// What follows from a step.
    fn go(&mut self, step: Step) {
        self.note_facts();
        match step {
            // What has come together goes out together; what comes next is looked for first.
            Step::Went => {}
            Step::Complete => self.complete(),
            Step::Over => self.over = true,
            Step::Failed(how) => self.broken(how),
        }
    }

    /// Bytes to send, of an answer that has come to its end.
    fn last_bytes(&mut self) -> Option<Bytes> {
        let bytes = self.relay.take_bytes();
        if let Some(bytes) = &bytes {
            self.account.sent(bytes);
        }
        self.account.said().push_str(&self.relay.take_said());
        bytes
    }

    fn note_facts(&mut self) {
        let facts = self.relay.take_facts();
        if let Some(usage) = &facts.usage {
            self.account.used(usage);
        }
        if let Some(stop) = &facts.stop {
            self.account.stopped(stop);
        }
        if let Some(model) = &facts.model {
            self.account.answered_by(model);
        }
    }

    /// The end mark is among the bytes that go out next: the client will have the whole answer.
    fn complete(&mut self) {
        self.ending = Some(Outcome::Answered);
        if let Some(engaged) = self.engaged.take() {
            engaged.succeeded(Instant::now());
        }
        self.patience.trail();
    }

    fn broken(&mut self, mut how: Break) {
        self.over = true;
        if let Some(engaged) = self.engaged.take() {
            how = how.discreet(engaged.lane());
            engaged.broke(&how);
        }
        self.account.record.error_code = Some("stream_broken".into());
        self.account.record.error_detail = Some(how.detail());
        self.relay.write_break(how);
        self.ending = Some(Outcome::Cut);
    }

    fn out_of_patience(&mut self, after: &'static str) {
        self.account.waited(self.patience.came());
        if self.engaged.is_none() {
            // The answer is complete; only the end of the provider's body is missing.
            self.over = true;
        } else {
            self.broken(Break::Silent(after));
        }
    }
}

impl Drop for StreamReply {
    /// The client may have left: what it was told so far was used, and more was waited for.
    fn drop(&mut self) {
        self.account.waited(self.patience.came());
        *self.account.said() = self.relay.take_said();
    }
}

// === impl Last ===

impl Last {
    fn new(turn_end: &Arc<TurnEnd>) -> Self {
        Self {
            turn_end: Arc::clone(turn_end),
            written_down: None,
            bytes: None,
        }
    }

    /// Whether bytes are held, or a record is being written down.
    fn is_waiting(&self) -> bool {
        self.written_down.is_some() || self.bytes.is_some()
    }

    /// Has these bytes wait.
    fn wait(
        &mut self,
        bytes: Option<Bytes>,
        written_down: WrittenDown,
        context: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        self.bytes = bytes;
        self.written_down = Some(written_down);
        self.poll(context)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(written_down) = &mut self.written_down {
            ready!(written_down.poll(context));
            self.written_down = None;
        }
        Poll::Ready(self.bytes.take())
    }
}

// === impl BytesReply ===

impl BytesReply {
    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenAnswer>>> {
        if self.last.is_waiting() {
            return self.last.poll(context).map(|bytes| bytes.map(Ok));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else {
            let after = std::task::ready!(self.patience.poll_alarm(context));
            self.account.waited(self.patience.came());
            return Poll::Ready(Some(Err(self.broken(&Break::Silent(after)))));
        };
        self.account.waited(self.patience.came());
        let data = match polled {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                self.account.sent(&data);
                self.end_if_all_came();
                Some(data)
            }
            Some(Err(failure)) => {
                return Poll::Ready(Some(Err(self.broken(&Break::Cut(Some(failure))))));
            }
            None => {
                self.end();
                None
            }
        };
        self.last.bytes = data;
        self.last.poll(context).map(|bytes| bytes.map(Ok))
    }

    /// Whoever was told how long an answer is does not ask for what comes behind it.
    fn end_if_all_came(&mut self) {
        if self.body.size_hint().exact() != Some(0) {
            return;
        }
        // Asked for more, the body lets go of its connection.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(None) = Pin::new(&mut self.body).poll_frame(&mut context) {
            self.end();
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.engaged.succeeded(Instant::now());
        let written_down = self
            .account
            .close_at(&self.last.turn_end, Outcome::Answered);
        self.last.written_down = Some(written_down);
    }

    fn broken(&mut self, how: &Break) -> BrokenAnswer {
        self.over = true;
        self.engaged.broke(how);
        self.account.record.error_code = Some("stream_broken".into());
        self.account.record.error_detail = Some(how.detail());
        self.account.close(Outcome::Cut);
        BrokenAnswer
    }
}

impl Drop for BytesReply {
    /// The client may have left while more was waited for.
    fn drop(&mut self) {
        self.account.waited(self.patience.came());
    }
}

// === impl Patience ===

impl Patience {
    fn new(engaged: &Engaged, timeouts: &Timeouts) -> Self {
        let whole = engaged.started() + timeouts.whole;
        Self {
            idle: timeouts.idle,
            whole,
            alarm: Box::pin(sleep_until((Instant::now() + timeouts.idle).min(whole))),
            waiting_since: None,
        }
    }

    /// Something came, or is waited for no longer: the clock starts anew. Gives the time waited for it.
    fn came(&mut self) -> Duration {
        match self.waiting_since.take() {
            None => Duration::ZERO,
            Some(since) => since.elapsed(),
        }
    }

    /// Only the end of the body is waited for now.
    fn trail(&mut self) {
        self.idle = TRAILING_TIMEOUT;
        self.waiting_since = None;
    }

    /// Waits for the end of patience; says which.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = (since + self.idle).min(self.whole);
        // An alarm that rings too early is set anew when it rings, not at each event.
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
        }
        loop {
            std::task::ready!(self.alarm.as_mut().poll(context));
            if deadline <= Instant::now() {
                return Poll::Ready(if self.whole <= deadline {
                    "whole_timeout"
                } else {
                    "idle_timeout"
                });
            }
            self.alarm.as_mut().reset(deadline);
        }
    }
}
