//! What a call leaves behind, while it is being made: one record, handed over exactly once, however the call ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tollgate_dialects::StopReason;
use tollgate_domain::{Cost, Dialect, Picodollars, Price, Task, Unmetered, Usage};
use tollgate_telemetry::{
    BegunCall, CallContent, CallRecord, InFlight, Lost, Outcome, Witness, events::UsageNotBelieved,
};

use crate::{
    admission::{self, Asked, Permit, Spent, UsedAtMost},
    estimate::{self, Sample},
    payloads::Payloads,
    picture::shorten,
    refusal::Refusal,
    turn::{TurnEnd, WrittenDown},
};

/// As much of each direction's content as the log takes, in bytes.
const CONTENT_BYTES_MAX: usize = 16 << 10;

/// The record of a call in the making. Dropped before [`Account::close`], it says that the client left, or that the
/// gateway did.
#[derive(Debug)]
pub(crate) struct Account {
    /// What is known so far.
    pub(crate) record: Box<CallRecord>,
    /// What the model costs that is asked, where that is known.
    price: Option<Arc<Price>>,
    /// Its provider's answers say what they cost.
    says_cost: bool,
    /// Its provider leaves out of what was used what it had read before.
    leaves_out: bool,
    /// What allowances gave the call.
    permit: Option<Permit>,
    /// Whether that was settled with a try that failed, so that it is to be asked for again before the next.
    asks_again: bool,
    /// What the tries used that failed, all together. Boxed, since few calls have any.
    lost: Option<Box<Lost>>,
    /// How much the call asks for.
    asked: Asked,
    /// What the caller tags the call with.
    pub(crate) tags: Vec<Arc<str>>,
    /// What is counted where the provider does not say what was used: the call, and what the answer says.
    sample: Option<Sample>,
    said: String,
    /// Its provider says what no answer can have used, and is taken to have said nothing.
    is_disbelieved: bool,
    /// What is kept of what was asked and answered, how, and what is kept of none.
    payloads: Option<Arc<Payloads>>,
    started: Instant,
    /// Since when the provider of the attempt under way is waited for.
    waiting_since: Option<Instant>,
    witness: Witness,
    /// What stands in the books should the process die.
    begun: Option<BegunCall>,
    _in_flight: InFlight,
    _streaming: Option<InFlight>,
    open: bool,
}

impl Account {
    /// Opens the account of a call that has just come.
    pub(crate) fn open(record: CallRecord, started: Instant, witness: &Witness) -> Self {
        Self {
            record: Box::new(record),
            price: None,
            says_cost: false,
            leaves_out: false,
            permit: None,
            asks_again: false,
            lost: None,
            asked: Asked::default(),
            tags: Vec::new(),
            sample: None,
            said: String::new(),
            is_disbelieved: false,
            payloads: None,
            started,
            waiting_since: None,
            witness: witness.clone(),
            begun: None,
            _in_flight: witness.call_started(),
            _streaming: None,
            open: true,
        }
    }

    /// Takes the policy that says what is not to be kept.
    pub(crate) fn redacting(mut self, payloads: Option<&Arc<Payloads>>) -> Self {
        self.payloads = payloads.cloned();
        self
    }

    /// Notes what the caller tags the call with.
    pub(crate) fn tagged(&mut self, tags: Vec<Arc<str>>) {
        self.record.tags.clone_from(&tags);
        self.tags = tags;
    }

    /// When the call came.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The time since 1970-01-01 UTC, from the one reading at the call's beginning.
    pub(crate) fn wall(&self) -> Duration {
        self.wall_at(Instant::now())
    }

    /// The same at another time than now.
    pub(crate) fn wall_at(&self, then: Instant) -> Duration {
        self.record.came_at + (then - self.started)
    }

    /// The same when the client's first content came.
    pub(crate) fn heard_at(&self) -> Duration {
        self.record.came_at + self.record.time_to_first_token.unwrap_or_default()
    }

    /// Notes what the model costs that is about to be asked, and how its provider tells what was used.
    pub(crate) fn priced(&mut self, price: Option<&Arc<Price>>, says_cost: bool, dialect: Dialect) {
        self.price = price.cloned();
        self.says_cost = says_cost;
        self.leaves_out = dialect.leaves_out_known_prompts();
    }

    /// Notes how much the call asks for, and what can be counted of it.
    pub(crate) fn asked(&mut self, asked: Asked, sample: Option<Sample>) {
        self.asked = asked;
        self.sample = sample;
    }

    /// How much the call asks for.
    pub(crate) fn how_much(&self) -> Asked {
        self.asked
    }

    /// What the answer says so far.
    pub(crate) fn said(&mut self) -> &mut String {
        &mut self.said
    }

    /// Counts what was used where the provider did not say it. What it said of a stream before its end is no total: what came is counted,
    /// and stands where that is more.
    fn estimate(&mut self) {
        let Some(sample) = &self.sample else {
            return;
        };
        let record = &mut self.record;
        let is_whole = record.outcome == Outcome::Answered;
        let was_answered = is_whole || !self.said.is_empty();
        let is_embedding = record.task == Some(Task::Embeddings);
        if record.target.is_none() || !was_answered {
            return;
        }
        let usage = &mut record.usage;
        let (input, output) = (usage.input_total(), usage.output_total());
        let is_cut = !is_whole && record.streamed;
        let is_told = match (input, output) {
            (Some(_), Some(_)) => !is_cut,
            // A prompt that was read before costs nothing.
            (None, Some(_)) => is_whole && self.leaves_out,
            // Gemini says nothing of an answer that says nothing.
            (Some(_), None) => is_embedding || is_whole && self.said.is_empty(),
            (None, None) => false,
        };
        if is_told {
            return;
        }
        if input.is_none() {
            usage.input = Some(sample.tokens());
            usage.is_estimated = true;
        }
        if is_embedding {
            return;
        }
        let said = estimate::tokens(&self.said);
        let told = output.unwrap_or_default();
        if output.is_none() || said > told {
            let others = told.saturating_sub(usage.output.unwrap_or_default());
            usage.output = Some(said.saturating_sub(others));
            usage.is_estimated = true;
        }
    }

    /// Takes what allowances gave the call; it is settled with the record.
    pub(crate) fn permitted(&mut self, permit: Option<Permit>) {
        self.record.hold = permit.as_ref().and_then(Permit::hold).map(Arc::from);
        self.permit = permit;
        self.asks_again = false;
    }

    /// Whether allowances are to be asked again before the call is put to anybody.
    pub(crate) fn asks_again(&self) -> bool {
        self.asks_again
    }

    /// A try has failed. What it used all the same is settled at once, with what it cost. `has_begun` says whether its provider had begun to
    /// answer: then it may have used more than it said.
    pub(crate) fn lost(&mut self, has_begun: bool) {
        let usage = self.record.usage;
        if usage == Usage::default() && !has_begun {
            return;
        }
        let mut lost = Lost {
            usage,
            unmetered: Unmetered::default(),
            cost: self.cost_of(!has_begun),
        };
        if has_begun {
            lost.unmetered = self.used_at_most().beyond(&usage);
        }
        self.record.usage = Usage::default();
        self.record.finish_reason = None;
        self.record.answering_model = None;
        self.said.clear();
        self.is_disbelieved = false;
        if let Some(permit) = self.permit.take() {
            let spent = Spent {
                target: self.record.target.as_ref(),
                is_request: true,
                usage: &lost.usage,
                unmetered: lost.unmetered,
                cost: Some(lost.cost),
            };
            permit.settle(&spent, self.record.came_at, self.wall());
            self.asks_again = true;
        }
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.lost = Some(Box::new(lost));
        }
        let all = self.lost.take().map_or(lost, |before| before.plus(&lost));
        self.lost = Some(Box::new(all));
    }

    /// A provider was asked in vain. Where its own requests are counted, that was one, and a further try asks for another.
    pub(crate) fn asked_in_vain(&mut self) {
        let Some(target) = &self.record.target else {
            return;
        };
        if let Some(permit) = self.permit.take_if(|permit| permit.counts_tries(target)) {
            let spent = Spent {
                target: Some(target),
                is_request: true,
                usage: &Usage::default(),
                unmetered: Unmetered::default(),
                cost: Some(Cost::Known(Picodollars::ZERO)),
            };
            permit.settle(&spent, self.record.came_at, self.wall());
            self.asks_again = true;
        }
    }

    /// What allowances gave the call.
    pub(crate) fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// Notes a refusal that the client is about to be told.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.record.status = refusal.status();
        self.record.error_code = Some(refusal.code().into());
        // Who asks for a route that is not his, or for what it does not do, asked for that route.
        if let (None, Some(route)) = (&self.record.route, refusal.route()) {
            self.record.route = Some(route.clone());
        }
        // What the last attempt met says more than the refusal that follows from it.
        self.record
            .error_detail
            .get_or_insert_with(|| refusal.detail());
        // What a try has used counts, whoever has the last word: of refusals the books say that nobody was asked.
        let was_asked = self.lost.is_some() || self.asks_again;
        self.record.outcome = match refusal {
            // Whoever was asked may have answered in the end, and charges for it.
            Refusal::Stopping => Outcome::Cut,
            _ if refusal.is_providers() || was_asked => Outcome::ProviderError,
            _ => Outcome::Refused,
        };
    }

    /// Notes that the client is about to get its first content.
    pub(crate) fn first_content(&mut self, now: Instant) {
        self.record
            .time_to_first_token
            .get_or_insert(now - self.started);
    }

    /// Notes that the answer is being streamed.
    pub(crate) fn stream_opened(&mut self) {
        self._streaming = Some(self.witness.stream_opened());
        if let Some(sample) = &mut self.sample {
            sample.stand_alone();
        }
    }

    /// Notes what was used, as far as it can be believed.
    pub(crate) fn used(&mut self, usage: &Usage) {
        if self.believes(usage) {
            self.record.usage.update(&Usage {
                billed: usage.billed.filter(|_| self.says_cost),
                ..*usage
            });
        }
    }

    /// Notes what was used besides what is noted already.
    pub(crate) fn used_more(&mut self, usage: &Usage) {
        if self.believes(usage) {
            self.record.usage.add(usage);
        }
    }

    /// Whether what a provider says was used can be. Who says once what cannot has said nothing, before and after it.
    fn believes(&mut self, usage: &Usage) -> bool {
        if !self.is_disbelieved && !usage.is_believable() {
            self.is_disbelieved = true;
            self.record.usage = Usage::default();
            if let Some(target) = &self.record.target {
                UsageNotBelieved { target }.emit();
            }
        }
        !self.is_disbelieved
    }

    /// Notes why the answer ended.
    pub(crate) fn stopped(&mut self, reason: &StopReason) {
        self.record.finish_reason = Some(finish_reason(reason));
    }

    /// Notes the model that says it has answered; an empty name says nothing.
    pub(crate) fn answered_by(&mut self, model: &str) {
        let record = &mut self.record;
        let asked = record.model.as_ref().filter(|asked| &***asked == model);
        record.answering_model = match asked {
            Some(asked) => Some(Arc::clone(asked)),
            None => Some(shorten(model).into()).filter(|model: &Arc<str>| !model.is_empty()),
        };
    }

    /// A provider is waited for since then, until the attempt has ended or the client has left.
    pub(crate) fn waits(&mut self, since: Instant) {
        self.waiting_since = Some(since);
    }

    /// Notes how long an attempt was waited for that has ended, and says it.
    pub(crate) fn attempt_ended(&mut self, now: Instant) -> Duration {
        let since = self.waiting_since.take();
        let duration = since.map_or(Duration::ZERO, |since| now - since);
        self.waited(duration);
        if let (Some(_), Some(attempt)) = (since, self.record.attempts.last_mut()) {
            attempt.duration = duration;
        }
        duration
    }

    /// Notes time spent waiting for a provider.
    pub(crate) fn waited(&mut self, duration: Duration) {
        self.record.provider_time += duration;
    }

    /// Notes bytes that go to the client.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.record.response_bytes += bytes.len() as u64;
        if let Some(content) = &mut self.record.content {
            append(&mut content.response, bytes, CONTENT_BYTES_MAX);
        }
        if let (Some(payload), Some(payloads)) = (&mut self.record.payload, &self.payloads) {
            append(&mut payload.response, bytes, payloads.bytes_max());
        }
    }

    /// Keeps the request's content for the log.
    pub(crate) fn keep_content(&mut self, request: &[u8]) {
        let mut content = CallContent {
            request: String::new(),
            response: String::new(),
        };
        append(&mut content.request, request, CONTENT_BYTES_MAX);
        self.record.content = Some(content);
    }

    /// Keeps the request's payload for the books.
    pub(crate) fn keep_payload(&mut self, payloads: &Arc<Payloads>, request: &[u8]) {
        let mut content = CallContent {
            request: String::new(),
            response: String::new(),
        };
        append(&mut content.request, request, payloads.bytes_max());
        self.record.payload = Some(content);
        self.payloads = Some(Arc::clone(payloads));
    }

    /// What the call costs, or its last try where others were lost. A provider's refusal costs nothing.
    fn cost(&self) -> Option<Cost> {
        self.record.target.as_ref()?;
        let is_refused = matches!(
            self.record.outcome,
            Outcome::Refused | Outcome::ProviderError
        );
        if is_refused && self.record.usage == Usage::default() {
            return Some(Cost::Known(Picodollars::ZERO));
        }
        Some(self.cost_of(is_refused || self.record.outcome == Outcome::Answered))
    }

    /// What that costs which was used. What broke off costs what it can have cost.
    fn cost_of(&self, is_whole: bool) -> Cost {
        let usage = &self.record.usage;
        let is_operators = self
            .price
            .as_ref()
            .is_some_and(|price| price.is_operators());
        if let Some(billed) = usage.billed.filter(|_| is_whole && !is_operators) {
            return Cost::Known(billed);
        }
        let Some(price) = &self.price else {
            return Cost::Unpriced;
        };
        if price.is_free() {
            return Cost::Known(Picodollars::ZERO);
        }
        if is_whole && *usage != Usage::default() {
            let cost = price.cost(usage, usage.tier.unwrap_or_default());
            return cost.map_or(Cost::Unpriced, Cost::Known);
        }
        let most = self.used_at_most();
        price
            .most(most.input, most.output, most.web_searches)
            .map_or(Cost::Unpriced, Cost::AtMost)
    }

    /// What it can have used, where its provider does not say.
    fn used_at_most(&self) -> UsedAtMost {
        UsedAtMost::of(&self.record, self.asked, self.price.as_deref())
    }

    /// A provider is about to be asked: should the process die, the books say what that can have cost. Stands there once the turn's calls are
    /// written down.
    pub(crate) fn begin(&mut self) {
        if !self.witness.keeps_books() {
            return;
        }
        self.end_begun();
        let price = self.price.as_deref();
        let most = UsedAtMost::reserved(self.asked, price);
        let cost = price.and_then(|price| price.most(most.input, most.output, most.web_searches));
        let mut cost = cost.map_or(Cost::Unpriced, Cost::AtMost);
        let mut unmetered = most.beyond(&self.record.usage);
        if let Some(lost) = &self.lost {
            cost = cost.plus(lost.cost);
            unmetered = unmetered.plus(lost.at_most());
        }
        self.begun = self.witness.begin(&self.record, unmetered, cost);
    }

    fn end_begun(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.witness.end_begun(begun);
        }
    }

    /// Takes out what is not to be kept: of the payload, of what the log tells, and of an error that may tell what was asked.
    fn redact(&mut self) {
        let Some(payloads) = &self.payloads else {
            return;
        };
        let record = &mut self.record;
        let payload = record.payload.take();
        record.payload = payload.map(|payload| payloads.redacted(payload));
        let content = record.content.take();
        record.content = content.map(|content| payloads.redacted(content));
        let detail = record.error_detail.take();
        record.error_detail = detail.map(|detail| payloads.redacted_text(detail));
    }

    /// Hands the record over. Later calls do nothing.
    pub(crate) fn close(&mut self, outcome: Outcome) {
        if self.open {
            self.close_with_others(outcome);
            self.witness.write_down();
        }
    }

    /// The same, at the end of the turn, which is to be waited for.
    pub(crate) fn close_at(&mut self, turn_end: &Arc<TurnEnd>, outcome: Outcome) -> WrittenDown {
        self.close_with_others(outcome);
        turn_end.written_down(self.witness.clone())
    }

    /// The same, but that the record is written down with those of the other calls that end in this turn, at its end.
    pub(crate) fn close_with_others(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.open, false) {
            self.record.outcome = outcome;
            let now = Instant::now();
            self.attempt_ended(now);
            self.record.duration = now - self.started;
            self.estimate();
            self.redact();
            if admission::is_unmetered(&self.record) {
                self.record.unmetered = self.used_at_most().beyond(&self.record.usage);
            }
            self.record.cost = self.cost();
            if let Some(permit) = self.permit.take() {
                let began = self.record.came_at;
                let ended = began + self.record.duration;
                permit.settle(&Spent::by(&self.record), began, ended);
            }
            if let Some(lost) = self.lost.take() {
                self.record.add(&lost);
            }
            self.witness.record(&self.record);
            self.end_begun();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let has_ended = self.witness.has_ended();
        if self.open && self.record.status == 0 {
            self.record.status = if has_ended { 503 } else { 499 };
        }
        if self.open && has_ended {
            self.record.error_code = Some("gateway_stopped".into());
            self.close(Outcome::Cut);
        }
        self.close(Outcome::ClientGone);
    }
}

/// Appends as much as the bound allows. A character cut in two shows as a replacement character.
fn append(text: &mut String, bytes: &[u8], bytes_max: usize) {
    let room = bytes_max.saturating_sub(text.len());
    text.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(room)]));
}

/// OpenAI's word for it, which logs use for every provider.
fn finish_reason(reason: &StopReason) -> Arc<str> {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => "stop".into(),
        StopReason::MaxTokens | StopReason::ContextWindow => "length".into(),
        StopReason::ToolUse => "tool_calls".into(),
        StopReason::ContentFilter => "content_filter".into(),
        StopReason::Refusal => "refusal".into(),
        StopReason::Pause => "pause".into(),
        StopReason::Other(word) => word.as_str().into(),
    }
}
