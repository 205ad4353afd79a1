//! The one door: every allowance that is for a call is asked at once, and all give or none does. What they give is a [`Permit`], which
//! rides with the call's record and is settled when that closes, however the call ended.

mod counters;
mod fields;
mod index;
mod shared;
mod weight;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use tollgate_domain::{
    AMOUNT_BYTES_MAX, Allowance, COUNT_MAX, Cost, Facts, Picodollars, Price, Quantity, TargetName,
    Then, Unmetered, Usage,
};
use tollgate_telemetry::{CallRecord, Outcome, events::AllowanceReached};
use tollgate_upstream::Lane;

pub use counters::Counters;
pub(crate) use counters::Shortage;
use counters::{Ask, Counted, Hold, Left, Room};
use fields::{add_item, add_number, whole_seconds};
pub(crate) use index::AllowanceIndex;
use shared::Share;
pub use shared::{Settler, Sharing, SharingLine, WhenAway};
use weight::Weight;

use crate::{picture::header_value, question::Question, refusal::Refusal};

/// Output tokens of an answer where neither the call nor a price of the model bounds them: about, and at most.
const OUTPUT_TOKENS_ASSUMED: u64 = 16_384;
const OUTPUT_TOKENS_ASSUMED_MAX: u64 = 65_536;

/// Input tokens at most, where no price says what the model takes.
const INPUT_TOKENS_ASSUMED_MAX: u64 = 1_000_000;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const BUDGET: HeaderName = HeaderName::from_static("x-tollgate-budget-remaining");

/// How much a call asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    weight: Weight,
    /// Output tokens of each answer at most, where it says so.
    each_output_max: Option<u64>,
    /// Answers; 0 stands for one.
    choices: u64,
    /// Bytes of its body; `None` for a form whose client does not say.
    bytes: Option<u64>,
}

/// What a call may use: of tokens about, of money the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Most {
    input: u64,
    output: u64,
    /// `None` where a model that may be asked has no price.
    cost: Option<Picodollars>,
}

/// What allowances gave a call. Dropped without being settled, it gives everything back.
#[derive(Debug)]
pub(crate) struct Permit {
    counters: Arc<Counters>,
    holds: Vec<Hold>,
    /// What there was to be had.
    room: Room,
    /// What it has of allowances that several gateways share.
    share: Option<Share>,
}

/// What a call used, or a try of it that was given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent<'a> {
    /// Who was asked.
    pub(crate) target: Option<&'a TargetName>,
    /// Whether it counts as a request.
    pub(crate) is_request: bool,
    pub(crate) usage: &'a Usage,
    pub(crate) unmetered: Unmetered,
    pub(crate) cost: Option<Cost>,
}

/// The most that a call can have used whose provider did not say it, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedAtMost {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) web_searches: u64,
}

/// Why a call was not let in, and by which of the allowances that were asked, where it was one.
#[derive(Debug)]
pub(crate) struct Denial {
    place: Option<usize>,
    refusal: Refusal,
}

impl Denial {
    fn whole(refusal: Refusal) -> Self {
        Self {
            place: None,
            refusal,
        }
    }

    fn at(place: usize, shortage: Box<Shortage>) -> Self {
        Self {
            place: Some(place),
            refusal: Refusal::AllowanceReached(shortage),
        }
    }
}

/// What is asked for a call, and of whom.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// All that there are.
    pub(crate) allowances: &'a AllowanceIndex,
    pub(crate) facts: Facts<'a>,
    pub(crate) asked: Asked,
    /// Whether it was let in before, and asks for what a further try may use: of its caller's it is one request all the same.
    pub(crate) is_again: bool,
    /// The time since 1970-01-01 UTC.
    pub(crate) now: Duration,
}

/// Asks every allowance that is for a call. Who may not be asked any more, since an allowance for him is used up, is taken off the plan, as
/// long as somebody is left.
///
/// # Errors
/// When one of them has not enough left; then nothing is taken of any.
pub(crate) async fn enter(
    counters: &Arc<Counters>,
    sharing: Option<&SharingLine>,
    entry: &Entry<'_>,
    plan: &mut Vec<Arc<Lane>>,
) -> Result<Option<Permit>, Refusal> {
    loop {
        let asks = entry.asks(plan)?;
        if asks.is_empty() {
            return Ok(None);
        }
        let taken = match sharing {
            Some(sharing) => Box::pin(sharing.enter(counters, &asks, entry.now)).await,
            None => counters
                .take(&asks, Room::Whole, entry.now)
                .map(|holds| Permit {
                    counters: Arc::clone(counters),
                    holds,
                    room: Room::Whole,
                    share: None,
                })
                .map_err(|(place, shortage)| Denial::at(place, shortage)),
        };
        let denial = match taken {
            Ok(permit) => return Ok(Some(permit)),
            Err(denial) => denial,
        };
        let denied = denial.place.and_then(|place| asks.get(place));
        let denied = denied.map_or(&[][..], |ask| &ask.targets);
        let left = plan.iter().filter(|lane| !denied.contains(lane.name()));
        let left: Vec<Arc<Lane>> = left.cloned().collect();
        if left.is_empty() || left.len() == plan.len() {
            return Err(denial.refusal);
        }
        *plan = left;
    }
}

impl Entry<'_> {
    /// What is asked of each allowance that is for the call: once, or once for each of those who may be asked and are counted apart.
    fn asks<'a>(&'a self, plan: &'a [Arc<Lane>]) -> Result<Vec<Ask<'a>>, Refusal> {
        let places = self.allowances.places(&self.facts);
        let mut asks: Vec<Ask<'_>> = Vec::with_capacity(places.len());
        let mut most_of_all = None;
        let counted = places.iter();
        for counted in counted.filter_map(|place| self.allowances.counted(*place)) {
            let allowance = &counted.allowance;
            if allowance.quantity == Quantity::Size {
                self.check_size(allowance)?;
                continue;
            }
            if !allowance.scope.is_by_target() {
                let Some(subject) = allowance.scope.subject(&self.facts) else {
                    continue;
                };
                let most = most_of_all.get_or_insert_with(|| Most::of(self.asked, plan, self.now));
                let mut ask = ask(counted, subject, most, Vec::new())?;
                if self.is_again && allowance.quantity == Quantity::Requests {
                    // What is left of them is told all the same.
                    ask.amount = 0;
                }
                asks.push(ask);
                continue;
            }
            let mut apart: Vec<(Cow<'_, str>, Vec<Arc<Lane>>)> = Vec::new();
            for lane in plan {
                let facts = Facts {
                    provider: Some(lane.provider().name.as_str()),
                    model: Some(lane.model()),
                    ..self.facts
                };
                let Some(subject) = allowance.scope.subject(&facts) else {
                    continue;
                };
                match apart.iter_mut().find(|(known, _)| *known == subject) {
                    Some((_, lanes)) => lanes.push(Arc::clone(lane)),
                    None => apart.push((subject, vec![Arc::clone(lane)])),
                }
            }
            for (subject, lanes) in apart {
                let targets = lanes.iter().map(|lane| lane.name().clone()).collect();
                asks.push(ask(
                    counted,
                    subject,
                    &Most::of(self.asked, &lanes, self.now),
                    targets,
                )?);
            }
        }
        Ok(asks)
    }
}

impl Entry<'_> {
    /// A size is looked at, and not counted.
    fn check_size(&self, allowance: &Allowance) -> Result<(), Refusal> {
        let Some(subject) = allowance.scope.subject(&self.facts) else {
            return Ok(());
        };
        match self.asked.bytes {
            Some(bytes) if bytes <= allowance.most => Ok(()),
            bytes => Err(Refusal::TooLargeForLimit {
                name: allowance.name.to_string(),
                subject: allowance.scope.told(&subject),
                most: allowance.most,
                bytes,
            }),
        }
    }
}

fn ask<'a>(
    counted: &'a Arc<Counted>,
    subject: Cow<'a, str>,
    most: &Most,
    targets: Vec<TargetName>,
) -> Result<Ask<'a>, Refusal> {
    let allowance = &counted.allowance;
    let amount = most.amount(allowance.quantity);
    if amount.is_none() && allowance.then == Then::Refuse {
        return Err(Refusal::Unpriced {
            budget: allowance.name.to_string(),
        });
    }
    Ok(Ask {
        counted,
        subject,
        amount: amount.unwrap_or_default(),
        targets,
    })
}

// === impl Asked ===

impl Asked {
    /// How much a question asks for, its body filled in.
    pub(crate) fn of(question: &Question) -> Self {
        if question.plain().is_some() {
            // There are no tokens, neither in it nor in what is answered.
            return Self {
                weight: Weight::default(),
                each_output_max: Some(0),
                choices: 1,
                bytes: question.bytes(),
            };
        }
        Self {
            weight: Weight::of(question.body()),
            each_output_max: question.head.max_tokens,
            choices: question.head.choices.unwrap_or_default(),
            bytes: question.bytes(),
        }
    }

    /// Output tokens of all answers, of a model with this price: as many as they will hardly be more than.
    fn output(self, price: Option<&Price>) -> u64 {
        self.output_or(OUTPUT_TOKENS_ASSUMED, price)
    }

    /// The most that they can be.
    fn output_max(self, price: Option<&Price>) -> u64 {
        self.output_or(OUTPUT_TOKENS_ASSUMED_MAX, price)
    }

    /// As many as the call asks for, else as the model gives, else as is assumed.
    fn output_or(self, assumed: u64, price: Option<&Price>) -> u64 {
        let models = || price.and_then(Price::output_max);
        let each = self.each_output_max.or_else(models).unwrap_or(assumed);
        each.saturating_mul(self.choices.max(1))
    }
}

/// Input tokens that a model with this price takes at most.
fn input_max(price: Option<&Price>) -> u64 {
    price
        .and_then(Price::input_max)
        .unwrap_or(INPUT_TOKENS_ASSUMED_MAX)
}

// === impl Most ===

impl Most {
    fn of(asked: Asked, plan: &[Arc<Lane>], now: Duration) -> Self {
        let mut most = Self {
            cost: Some(Picodollars::ZERO),
            ..Self::default()
        };
        for lane in plan {
            let price = lane.price(now).map(|price| &**price);
            let input_max = input_max(price);
            let cost = price.and_then(|price| {
                price.most(
                    asked.weight.most(input_max),
                    asked.output_max(Some(price)),
                    asked.weight.web_searches(),
                )
            });
            most = Self {
                input: most.input.max(asked.weight.estimate(input_max)),
                output: most.output.max(asked.output(price)),
                cost: most.cost.and_then(|most| Some(most.max(cost?))),
            };
        }
        most
    }

    /// What is to be reserved of a quantity; `None` where that is not known.
    fn amount(&self, quantity: Quantity) -> Option<u64> {
        match quantity {
            Quantity::Requests | Quantity::Concurrent => Some(1),
            Quantity::Size => Some(0),
            Quantity::Tokens => Some(self.input.saturating_add(self.output)),
            Quantity::InputTokens => Some(self.input),
            Quantity::OutputTokens => Some(self.output),
            Quantity::Picodollars => self.cost.map(Picodollars::as_u64),
        }
    }
}

// === impl Permit ===

impl Permit {
    /// Takes what was really used, and gives the rest back. It counts as used when the call began, as it does in the books. Both times are since
    /// 1970-01-01 UTC.
    pub(crate) fn settle(mut self, spent: &Spent<'_>, began: Duration, now: Duration) {
        let holds = std::mem::take(&mut self.holds);
        let share = self.share.take();
        if let Some(share) = &share {
            let used = holds.iter().map(|hold| (hold, spent.of(hold)));
            share.settle(used, began, now);
        }
        let used = |hold: &Hold| spent.of(hold);
        for (hold, reached) in self.counters.settle(&holds, used, began, now) {
            // Where several gateways count, whoever settles with them tells it.
            if share.is_none() {
                let allowance = &hold.counted.allowance;
                AllowanceReached {
                    name: &allowance.name,
                    subject: &hold.subject,
                    quantity: allowance.quantity.as_str(),
                    used: &amount_text(allowance, reached),
                    most: &amount_text(allowance, allowance.most_at(now).into()),
                }
                .emit();
            }
        }
    }

    /// Whether it has requests of who is asked, each of which is one try.
    pub(crate) fn counts_tries(&self, target: &TargetName) -> bool {
        let counts = |hold: &Hold| hold.counted.allowance.quantity == Quantity::Requests;
        let mut counted = self.holds.iter().filter(|hold| counts(hold));
        counted.any(|hold| hold.targets.contains(target))
    }

    /// The name that what it has of shared allowances is held under.
    pub(crate) fn hold(&self) -> Option<&str> {
        self.share.as_ref().map(Share::name)
    }

    /// Headers that tell what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, now: Duration) {
        let mut told = LimitHeaders::default();
        let left = self.counters.left(&self.holds, self.room, now);
        for (place, (hold, mut left)) in self.holds.iter().zip(left).enumerate() {
            if !hold.counted.allowance.is_told {
                continue;
            }
            let shared = self.share.as_ref();
            let shared = shared.and_then(|share| share.remaining(place, hold, now));
            left.amount = shared.unwrap_or(left.amount);
            told.add(&hold.counted, left, now, headers);
        }
        told.write(headers);
    }
}

/// What is left of limits, as headers tell it.
#[derive(Default)]
struct LimitHeaders {
    policies: String,
    left: String,
}

impl LimitHeaders {
    /// Adds an allowance; a budget has a header of its own.
    fn add(&mut self, counted: &Counted, left: Left, now: Duration, headers: &mut HeaderMap) {
        let (allowance, text) = (&counted.allowance, &counted.header);
        if allowance.quantity == Quantity::Picodollars {
            let mut room = [0; AMOUNT_BYTES_MAX];
            let dollars = Picodollars::new(left.amount).text(&mut room);
            let told = [&text.name, "=", dollars].concat();
            headers.append(BUDGET, header_value(&told));
            return;
        }
        if self.policies.is_empty() {
            self.policies.reserve(128);
            self.left.reserve(128);
        }
        let length = left.window.map(|(length, _)| length);
        let most = allowance.most_at(now);
        text.add_policy(&mut self.policies, allowance.quantity, most, length);
        add_item(&mut self.left, &text.name);
        add_number(&mut self.left, ";r=", left.amount);
        if let Some((_, rest)) = left.window {
            add_number(&mut self.left, ";t=", whole_seconds(rest));
        }
    }

    fn write(self, headers: &mut HeaderMap) {
        if !self.policies.is_empty() {
            headers.insert(RATE_LIMIT_POLICY, header_value(&self.policies));
            headers.insert(RATE_LIMIT, header_value(&self.left));
        }
    }
}

/// The headers that tell what is left of one allowance.
fn limit_headers(counted: &Counted, left: Left, now: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if counted.allowance.is_told {
        let mut told = LimitHeaders::default();
        told.add(counted, left, now, &mut headers);
        told.write(&mut headers);
    }
    headers
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(share) = &self.share {
            share.settle(std::iter::empty(), Duration::ZERO, Duration::ZERO);
        }
        if !self.holds.is_empty() {
            self.counters.give_back(&self.holds);
        }
    }
}

// === impl UsedAtMost ===

impl UsedAtMost {
    /// What a call can use that is about to be put to a model: as much as was reserved for it.
    pub(crate) fn reserved(asked: Asked, price: Option<&Price>) -> Self {
        Self {
            input: asked.weight.most(input_max(price)),
            // Whatever it asks for: no model makes more.
            output: asked.output_max(price).min(COUNT_MAX),
            web_searches: asked.weight.web_searches(),
        }
    }

    /// What a call can have used, by what is known of it. `price` is that of the model that was asked last.
    ///
    /// How much of an answer has come bounds nothing: reasoning that is not shown is billed, and who is not listened to may go on.
    pub(crate) fn of(record: &CallRecord, asked: Asked, price: Option<&Price>) -> Self {
        let reserved = Self::reserved(asked, price);
        // What was counted here is about right, and no bound.
        let told = record.usage.input_total();
        let told = told.filter(|_| !record.usage.is_estimated);
        let known = record.usage.output_total().unwrap_or_default();
        Self {
            input: told.unwrap_or(reserved.input),
            output: reserved.output.max(known),
            web_searches: reserved.web_searches,
        }
    }

    /// What that is beyond what is known to have been used.
    pub(crate) fn beyond(self, usage: &Usage) -> Unmetered {
        let beyond = |most: u64, known: Option<u64>| most.saturating_sub(known.unwrap_or_default());
        Unmetered {
            input: beyond(self.input, usage.input_total()),
            output: beyond(self.output, usage.output_total()),
        }
    }
}

/// Whether a call may have used more than is known: its provider did not say, or had no time to.
pub(crate) fn is_unmetered(record: &CallRecord) -> bool {
    record.target.is_some()
        && match record.outcome {
            Outcome::Cut | Outcome::ClientGone => true,
            Outcome::Refused | Outcome::ProviderError => false,
            Outcome::Answered => record.usage == Usage::default(),
        }
}

// === impl Spent ===

impl<'a> Spent<'a> {
    /// What a call used that has ended.
    pub(crate) fn by(record: &'a CallRecord) -> Self {
        Self {
            target: record.target.as_ref(),
            // A provider that was asked was asked, whatever it said.
            is_request: record.outcome != Outcome::Refused,
            usage: &record.usage,
            unmetered: record.unmetered,
            cost: record.cost,
        }
    }

    /// What that is of an allowance. Where the provider did not say, it is the most that it can have been.
    fn of(&self, hold: &Hold) -> u64 {
        let is_others =
            |target: &TargetName| !hold.targets.is_empty() && !hold.targets.contains(target);
        if self.target.is_some_and(is_others) {
            return 0;
        }
        // As it stands in the books, out of which counts begin.
        let tokens = |known: Option<u64>, unmetered: u64| match self.target {
            Some(_) => known.unwrap_or_default().saturating_add(unmetered),
            None => 0,
        };
        let input = tokens(self.usage.input_total(), self.unmetered.input);
        let output = tokens(self.usage.output_total(), self.unmetered.output);
        match hold.counted.allowance.quantity {
            // A further try has none of its caller's.
            Quantity::Requests => u64::from(self.is_request).min(hold.amount),
            Quantity::Concurrent | Quantity::Size => 0,
            Quantity::InputTokens => input,
            Quantity::OutputTokens => output,
            Quantity::Tokens => input.saturating_add(output),
            Quantity::Picodollars => match self.cost {
                Some(Cost::Known(cost) | Cost::AtMost(cost)) => cost.as_u64(),
                // There was no such price when it was let in: what was reserved is all that is known.
                Some(Cost::Unpriced) => hold.amount,
                None => 0,
            },
        }
    }
}

/// An amount for people.
pub(crate) fn amount_text(allowance: &Allowance, amount: u128) -> String {
    match allowance.quantity {
        Quantity::Picodollars => {
            let amount = u64::try_from(amount).unwrap_or(u64::MAX);
            format!("${}", Picodollars::new(amount))
        }
        _ => amount.to_string(),
    }
}
