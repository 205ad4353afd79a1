//! Counts of allowances: what was used in the window that is now, and what is reserved by calls under way.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ahash::RandomState;
use hashbrown::{Equivalent, HashMap};
use http::HeaderMap;
use slab::Slab;
use tollgate_domain::{Allowance, TargetName, Then, Window};

use super::fields::HeaderText;

/// Counts that are kept; what comes beyond is counted together.
const COUNTS_MAX: usize = 100_000;

/// How often counts that are over are thrown away where there are too many.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// Who is refused for the sake of calls under way, or while shared counts are away, may come again after this time.
const COME_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whom counts belong to that find no place.
const OTHERS: &str = "(others)";

/// All counts of a process. Workers share them: an allowance is one, whoever carries the call.
#[derive(Debug, Default)]
pub struct Counters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where each is counted. Callers choose names, so that the order of them must not be known.
    places: HashMap<Name, usize, RandomState>,
    counts: Slab<Count>,
    /// When counts that are over were last thrown away, since 1970-01-01 UTC.
    purged_at: Duration,
    /// When shared counts were last heard of, or else first missed, since 1970-01-01 UTC.
    heard_at: Option<Duration>,
}

/// What an allowance is counted as. It is long, and hashed when it is made: each call looks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    hash: u64,
    text: Arc<str>,
}

impl Identity {
    fn of(allowance: &Allowance) -> Self {
        let text = allowance.identity();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            text: text.into(),
        }
    }
}

/// An allowance made ready to be counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(super) allowance: Arc<Allowance>,
    /// What it is counted as.
    identity: Identity,
    pub(super) header: HeaderText,
}

impl Counted {
    pub(crate) fn of(allowance: &Arc<Allowance>) -> Self {
        Self {
            allowance: Arc::clone(allowance),
            identity: Identity::of(allowance),
            header: HeaderText::of(allowance),
        }
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// What is counted: the allowance's identity, and its subject.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name(Identity, Arc<str>);

/// The same, to look it up.
#[derive(Hash)]
struct Sought<'a>(&'a Identity, &'a str);

impl Equivalent<Name> for Sought<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        *self.0 == name.0 && *self.1 == *name.1
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    /// When the window began that is now, since 1970-01-01 UTC. Of a rolling time it is not kept.
    begin: Duration,
    /// When nothing of it counts any more, since 1970-01-01 UTC.
    end: Duration,
    /// What was used in the time that counts.
    used: u128,
    /// The same by the parts of a rolling time, by their beginnings since 1970-01-01 UTC.
    parts: VecDeque<(Duration, u128)>,
    /// What calls under way may still use.
    reserved: u128,
    /// Calls under way.
    holds: u32,
    /// What was heard last of the same count that several gateways share, in the window that is now.
    heard: Option<Heard>,
    /// It was told that it is used up.
    is_told: bool,
    /// It is counted anew elsewhere.
    is_forgotten: bool,
}

/// What was taken of a shared count when it was last heard of, used or reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    /// By all together.
    all: u128,
    /// By this gateway.
    own: u128,
}

/// How much of an allowance is there to be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Room {
    /// All of it.
    Whole,
    /// A share, 0 to 1, of what was left when the shared count was last heard of: others use the rest.
    Share(f64),
    /// Whatever is asked: somebody else has decided, and here it is only counted.
    Unbounded,
}

/// A share of an amount, in thousandths, so that amounts stay whole.
fn share_of(amount: u128, share: f64) -> u128 {
    let thousandths = (1..=1000_u16)
        .rev()
        .find(|part| f64::from(*part) / 1000.0 <= share);
    amount * u128::from(thousandths.unwrap_or_default()) / 1000
}

/// What a call wants of an allowance.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) counted: &'a Arc<Counted>,
    pub(super) subject: Cow<'a, str>,
    pub(super) amount: u64,
    /// Of one that depends on who is asked, those who would be; else nobody.
    pub(super) targets: Vec<TargetName>,
}

/// What a call has of an allowance.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) counted: Arc<Counted>,
    pub(super) subject: Arc<str>,
    /// What is reserved.
    pub(super) amount: u64,
    /// Whose calls it is for, where it is not for all of them.
    pub(super) targets: Vec<TargetName>,
    /// Where it is counted: a count that is held stays there.
    place: usize,
}

/// What is left of an allowance, calls under way apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) amount: u64,
    /// How long the window is, and until there is more of it: in a window its end, of a rolling time when the oldest part of it is over. `None` of what
    /// is only counted while it lasts.
    pub(super) window: Option<(Duration, Duration)>,
}

/// Why a call was not let in, and by which of the allowances that were asked.
pub(super) type Short = (usize, Box<Shortage>);

/// Why a call was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The allowance's name.
    pub(crate) name: String,
    /// Whom it is for, where it is not for all calls together.
    pub(crate) subject: String,
    /// In which time.
    pub(crate) window: String,
    /// The shared counts are away, and this is the part of it that this gateway may use by itself.
    pub(crate) is_share: bool,
    /// What is counted.
    pub(crate) quantity: &'static str,
    /// So much is allowed, was used, is reserved by calls under way, and was asked for; for people.
    pub(crate) most: String,
    pub(crate) used: String,
    pub(crate) reserved: String,
    pub(crate) asked: String,
    /// The call may need more than is allowed in all, so that no wait helps.
    pub(crate) is_too_large: bool,
    /// Nothing is allowed at all, so that no smaller call helps either.
    allows_nothing: bool,
    /// Until there may be room again.
    pub(crate) wait: Duration,
    /// It is money that is short.
    pub(crate) is_budget: bool,
    /// Headers that tell what is left.
    pub(crate) told: HeaderMap,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_budget { "budget" } else { "limit" };
        if self.is_too_large {
            return self.tell_size(kind, f);
        }
        if self.is_share {
            f.write_str("the shared counts do not answer, and this gateway's own share of ")?;
        }
        write!(f, "the {kind} `{}` ", self.name)?;
        if !self.subject.is_empty() {
            write!(f, "of {} ", self.subject)?;
        }
        let quantity = self.counted();
        write!(
            f,
            "allows {}{quantity}{}; {} are used, {} are reserved by calls under way, and this call may need {}",
            self.most, self.window, self.used, self.reserved, self.asked
        )
    }
}

impl Shortage {
    /// The same of the share that a gateway has while the shared counts are away, which are asked again with the next call.
    fn of_share(self) -> Self {
        Self {
            is_share: true,
            wait: COME_AGAIN_AFTER,
            ..self
        }
    }

    fn tell_size(&self, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            subject,
            most,
            window,
            asked,
            ..
        } = self;
        let of = match subject.as_str() {
            "" => String::new(),
            subject => format!(" of {subject}"),
        };
        let quantity = self.counted();
        write!(
            f,
            "this call may need {asked}{quantity}, which is more than the {kind} `{name}`{of} allows in all: {most}{window}"
        )?;
        match self.allows_nothing {
            true => Ok(()),
            false => f.write_str("; a smaller `max_tokens`, or a shorter call, may fit"),
        }
    }

    /// What is counted, behind a number; money says so by itself.
    fn counted(&self) -> String {
        match self.is_budget {
            true => String::new(),
            false => format!(" {}", self.quantity),
        }
    }
}

impl Counters {
    /// Takes what is asked of every allowance, or nothing of any.
    pub(super) fn take(
        &self,
        asks: &[Ask<'_>],
        room: Room,
        now: Duration,
    ) -> Result<Vec<Hold>, Short> {
        let mut state = self.state();
        let heard_at = *state.heard_at.get_or_insert(now);
        let mut holds: Vec<Hold> = Vec::with_capacity(asks.len());
        for (nth, ask) in asks.iter().enumerate() {
            let (place, subject) = state.place(&ask.counted.identity, &ask.subject, now);
            let Some(count) = state.counts.get_mut(place) else {
                continue; // It was given just now.
            };
            count.roll(&ask.counted.allowance, now);
            let most = count.room(room, ask.counted.allowance.most_at(now).into(), heard_at);
            let wanted = count.used + count.reserved + u128::from(ask.amount);
            if wanted > most && ask.counted.allowance.then == Then::Refuse {
                let shortage = count.shortage(ask, &subject, most, now);
                let shortage = match room {
                    Room::Share(_) => shortage.of_share(),
                    Room::Whole | Room::Unbounded => shortage,
                };
                // What was taken so far goes back: all give, or none does.
                for hold in &holds {
                    state.give_back(hold);
                }
                return Err((nth, Box::new(shortage)));
            }
            count.reserved += u128::from(ask.amount);
            count.holds += 1;
            holds.push(Hold {
                counted: Arc::clone(ask.counted),
                subject,
                amount: ask.amount,
                targets: ask.targets.clone(),
                place,
            });
        }
        Ok(holds)
    }

    /// Takes what was used of each that is held, by a call that began at a time. Gives all that was used of those of which that is now beyond what is
    /// allowed, once a window.
    pub(super) fn settle<'a>(
        &self,
        holds: &'a [Hold],
        used: impl Fn(&Hold) -> u64,
        began: Duration,
        now: Duration,
    ) -> Vec<(&'a Hold, u128)> {
        let mut state = self.state();
        let mut reached = Vec::new();
        for hold in holds {
            if let Some(count) = state.give_back(hold)
                && count.settle(&hold.counted.allowance, used(hold).into(), began, now)
            {
                reached.push((hold, count.used));
            }
            state.leave(hold);
        }
        reached
    }

    /// Gives back what is held.
    pub(super) fn give_back(&self, holds: &[Hold]) {
        let mut state = self.state();
        for hold in holds {
            state.give_back(hold);
            state.leave(hold);
        }
    }

    /// What is left of each allowance that a call holds of, where there was so much room for it.
    pub(super) fn left(&self, holds: &[Hold], room: Room, now: Duration) -> Vec<Left> {
        let mut state = self.state();
        let heard_at = state.heard_at.unwrap_or(now);
        let left = holds.iter().map(|hold| {
            let Some(count) = state.counts.get_mut(hold.place) else {
                return Left::NOTHING;
            };
            count.roll(&hold.counted.allowance, now);
            let whole = hold.counted.allowance.most_at(now).into();
            let most = count.room(room, whole, heard_at).min(whole);
            count.left(&hold.counted.allowance, most, now)
        });
        left.collect()
    }

    /// Notes what shared counts say was taken of what a call asks for, before it.
    pub(super) fn hear<'a>(
        &self,
        told: impl IntoIterator<Item = (&'a Ask<'a>, u128)>,
        now: Duration,
    ) {
        let mut state = self.state();
        state.heard_at = Some(now);
        for (ask, all) in told {
            let (place, _) = state.place(&ask.counted.identity, &ask.subject, now);
            if let Some(count) = state.counts.get_mut(place) {
                count.roll(&ask.counted.allowance, now);
                let own = count.used + count.reserved;
                count.heard = Some(Heard { all, own });
            }
        }
    }

    /// Adds what the books say was used at a time, as far as it is in the window that is now.
    pub fn add_used(
        &self,
        allowance: &Allowance,
        subject: &str,
        used: u128,
        at: Duration,
        now: Duration,
    ) {
        let mut state = self.state();
        let (place, _) = state.place(&Identity::of(allowance), subject, now);
        if let Some(count) = state.counts.get_mut(place) {
            count.add_counted(allowance, used, at, now);
        }
    }

    /// Forgets what was counted of allowances that begin anew. What calls under way used of them goes to nobody; of what is only counted while it
    /// lasts, it stays.
    pub fn forget(&self, allowances: &[Arc<Allowance>]) {
        let timed = allowances.iter().filter(|one| one.window.is_some());
        let identities: HashSet<String> = timed.map(|one| one.identity()).collect();
        if !identities.is_empty() {
            self.state().forget(&identities);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where a subject is counted, and as whom: by itself, while there is room.
    fn place(&mut self, allowance: &Identity, subject: &str, now: Duration) -> (usize, Arc<str>) {
        if let Some(found) = self.find(allowance, subject) {
            return found;
        }
        // Not at each call: looking through all of them takes its time.
        if self.counts.len() >= COUNTS_MAX && now.abs_diff(self.purged_at) >= PURGE_EVERY {
            self.purged_at = now;
            self.purge(now);
        }
        let subject = if self.counts.len() < COUNTS_MAX {
            subject
        } else {
            OTHERS
        };
        if let Some(found) = self.find(allowance, subject) {
            return found;
        }
        let place = self.counts.insert(Count::default());
        let subject: Arc<str> = subject.into();
        let name = Name(allowance.clone(), Arc::clone(&subject));
        self.places.insert(name, place);
        (place, subject)
    }

    fn find(&self, allowance: &Identity, subject: &str) -> Option<(usize, Arc<str>)> {
        let (name, place) = self.places.get_key_value(&Sought(allowance, subject))?;
        Some((*place, Arc::clone(&name.1)))
    }

    /// Throws away what is over and held by nobody.
    fn purge(&mut self, now: Duration) {
        let counts = &mut self.counts;
        self.places.retain(|_, place| {
            let stays = |count: &Count| count.holds > 0 || count.end > now;
            let stays = counts.get(*place).is_some_and(stays);
            if !stays {
                counts.try_remove(*place);
            }
            stays
        });
    }

    /// Lets go of all counts of these identities; what is held stays until it is given back.
    fn forget(&mut self, identities: &HashSet<String>) {
        let counts = &mut self.counts;
        self.places.retain(|Name(identity, _), place| {
            let goes = identities.contains(&*identity.text);
            if goes && let Some(count) = counts.get_mut(*place) {
                count.is_forgotten = true;
                if count.holds == 0 {
                    counts.remove(*place);
                }
            }
            !goes
        });
    }

    /// Frees the place of a count that is forgotten and held by nobody any more.
    fn leave(&mut self, hold: &Hold) {
        let is_left = |count: &Count| count.is_forgotten && count.holds == 0;
        if self.counts.get(hold.place).is_some_and(is_left) {
            self.counts.remove(hold.place);
        }
    }

    fn give_back(&mut self, hold: &Hold) -> Option<&mut Count> {
        let count = self.counts.get_mut(hold.place)?;
        count.reserved = count.reserved.saturating_sub(hold.amount.into());
        count.holds = count.holds.saturating_sub(1);
        Some(count)
    }
}

impl Left {
    const NOTHING: Self = Self {
        amount: 0,
        window: None,
    };
}

impl Count {
    /// Begins a new window where the last one is over. What is reserved stays: it may be used in the new one.
    fn roll(&mut self, allowance: &Allowance, now: Duration) {
        let Some(window) = &allowance.window else {
            return;
        };
        if matches!(window, Window::Rolling(_)) {
            let first = window.slots(now).first;
            self.parts.retain(|(begin, _)| *begin >= first);
            self.used = self.parts.iter().map(|(_, used)| used).sum();
            return;
        }
        if now >= self.end {
            (self.begin, self.end) = window.around(now);
            self.used = 0;
            self.is_told = false;
            self.heard = None;
        }
    }

    /// How much of `most` this gateway may have taken in all, where shared counts were last heard of at a time.
    fn room(&self, room: Room, most: u128, heard_at: Duration) -> u128 {
        match (room, self.heard) {
            (Room::Whole, _) => most,
            (Room::Unbounded, _) => u128::MAX,
            (Room::Share(share), Some(heard)) => {
                heard.own + share_of(most.saturating_sub(heard.all), share)
            }
            // Nobody has counted together in a window that has begun since.
            (Room::Share(share), None) if self.begin > heard_at => share_of(most, share),
            // What others have used is not known.
            (Room::Share(_), None) => 0,
        }
    }

    /// Takes what a call used that began at a time. Says whether it is beyond what is allowed, where that is to be told and was not yet.
    fn settle(
        &mut self,
        allowance: &Allowance,
        used: u128,
        began: Duration,
        now: Duration,
    ) -> bool {
        self.add_counted(allowance, used, began, now);
        if self.used < u128::from(allowance.most_at(now)) {
            self.is_told = false;
            return false;
        }
        allowance.then == Then::Warn && !mem::replace(&mut self.is_told, true)
    }

    /// What is left of `most`, in the window that is now.
    fn left(&self, allowance: &Allowance, most: u128, now: Duration) -> Left {
        let left = most.saturating_sub(self.used + self.reserved);
        Left {
            amount: u64::try_from(left).unwrap_or(u64::MAX),
            window: allowance
                .window
                .as_ref()
                .map(|window| self.window(window, now)),
        }
    }

    /// How long the window is, and until there is more of it.
    fn window(&self, window: &Window, now: Duration) -> (Duration, Duration) {
        let Window::Rolling(span) = window else {
            let length = self.end.saturating_sub(self.begin);
            return (length, self.end.saturating_sub(now));
        };
        let mut parts = self.parts.iter();
        let oldest = parts.find(|(_, used)| *used > 0);
        let rest = oldest.map_or(*span, |(begin, _)| {
            window.counts_until(*begin).saturating_sub(now)
        });
        (*span, rest)
    }

    /// Adds what was used at a time, as far as that counts now.
    fn add_counted(&mut self, allowance: &Allowance, used: u128, at: Duration, now: Duration) {
        self.roll(allowance, now);
        if at < self.begin {
            return;
        }
        self.add(allowance, used, at);
        self.roll(allowance, now);
    }

    /// Adds what was used at a time. Of a rolling time it finds its part, in order.
    fn add(&mut self, allowance: &Allowance, used: u128, at: Duration) {
        let Some(window @ Window::Rolling(_)) = &allowance.window else {
            self.used += used;
            return;
        };
        self.roll(allowance, at.max(self.newest()));
        self.used += used;
        self.end = self.end.max(window.counts_until(at));
        let begin = window.slots(at).last();
        let place = self.parts.partition_point(|(other, _)| *other < begin);
        match self.parts.get_mut(place) {
            Some((other, sum)) if *other == begin => *sum += used,
            _ => self.parts.insert(place, (begin, used)),
        }
    }

    /// The beginning of the newest part; of no rolling time, nothing.
    fn newest(&self) -> Duration {
        self.parts
            .back()
            .map_or(Duration::ZERO, |(begin, _)| *begin)
    }

    /// When there is room again for so much, nothing else being used.
    fn room_at(&self, allowance: &Allowance, asked: u128, most: u128, now: Duration) -> Duration {
        let Some(window @ Window::Rolling(_)) = &allowance.window else {
            return self.end;
        };
        let mut used = self.used;
        for (begin, part) in &self.parts {
            used -= part;
            if used + asked <= most {
                return window.counts_until(*begin);
            }
        }
        self.end.max(now)
    }

    /// As others count it; of a rolling time with what was used in each part, the oldest first.
    pub(super) fn shared(
        allowance: &Allowance,
        (used, reserved): (u64, u64),
        parts: &[u64],
        now: Duration,
    ) -> Self {
        let mut count = Self {
            reserved: reserved.into(),
            ..Self::default()
        };
        count.roll(allowance, now);
        match &allowance.window {
            Some(window @ Window::Rolling(_)) => {
                let slots = window.slots(now);
                let begins = (0..slots.count)
                    .map(|part| slots.first.saturating_add(slots.step.saturating_mul(part)));
                for (begin, used) in begins.zip(parts).filter(|(_, used)| **used > 0) {
                    count.add(allowance, (*used).into(), begin);
                }
                count.roll(allowance, now);
            }
            _ => count.used = used.into(),
        }
        count
    }

    /// Why there is not enough of `most`.
    pub(super) fn shortage(
        &mut self,
        ask: &Ask<'_>,
        subject: &str,
        most: u128,
        now: Duration,
    ) -> Shortage {
        let allowance = &*ask.counted.allowance;
        let text = |amount: u128| super::amount_text(allowance, amount);
        self.roll(allowance, now);
        let alone = self.used + u128::from(ask.amount);
        let mut left = self.left(allowance, most, now);
        let whole = u128::from(allowance.most_at(now));
        let allows_nothing = whole == 0;
        let is_too_large =
            u128::from(ask.amount) > whole && (allows_nothing || allowance.quantity.is_of_size());
        let most = if is_too_large { whole } else { most };
        let wait = if allowance.window.is_none() || alone <= most || is_too_large {
            // Only calls under way are in the way.
            COME_AGAIN_AFTER
        } else {
            let room_at = self.room_at(allowance, ask.amount.into(), most, now);
            let wait = room_at.saturating_sub(now);
            left.window = left.window.map(|(length, _)| (length, wait));
            wait
        };
        let window = allowance.window.as_ref();
        Shortage {
            name: allowance.name.to_string(),
            subject: allowance.scope.told(subject),
            window: window.map_or_else(String::new, |window| format!(" {}", window.told())),
            is_share: false,
            quantity: allowance.quantity.as_str(),
            most: text(most),
            used: text(self.used),
            reserved: text(self.reserved),
            asked: text(ask.amount.into()),
            is_too_large,
            allows_nothing,
            wait,
            is_budget: allowance.quantity == tollgate_domain::Quantity::Picodollars,
            told: super::limit_headers(ask.counted, left, now),
        }
    }
}

#[cfg(test)]
mod tests;
