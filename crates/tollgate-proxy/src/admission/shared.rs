//! Allowances that several gateways share: asked before a call, settled behind it, and what happens while their counts are away.

use std::{mem, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    time::{sleep, timeout},
};
use tollgate_counters::{
    self as counters, CountersError, Hold as SharedHold, Line, Settled, SharedCounts, Taken, Used,
};
use tollgate_domain::{Allowance, Then};
use tollgate_telemetry::{
    CountsState,
    events::{AllowanceReached, CountsAway, CountsBack, SettlementsLost},
};
use uuid::Uuid;

use super::{
    Denial, Permit, amount_text,
    counters::{Ask, Count, Counters, Hold, Room},
};
use crate::refusal::Refusal;

/// Calls of a worker that wait to be settled, at most. What the counts are not told stays reserved until this process ends.
const WAITING_MAX: usize = 100_000;

/// Looks at most, and the pause between them, where an allowance is not counted yet: somebody begins with it just now.
const LOOKS_MAX: u32 = 40;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The pause before a call is settled that could not be, and the longest.
const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(50);
const SETTLE_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// Times that a call is told to counts that are lost and have not begun again: some fifteen seconds.
const UNKNOWN_MAX: u32 = 20;

/// What becomes of calls while the shared counts do not answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhenAway {
    /// They are refused.
    Refuse,
    /// They are answered; what they use counts when the counts are back.
    Answer,
    /// They are answered as long as this gateway uses no more than this share of what was left of each allowance when it last heard of it, 0 to 1.
    Share(f64),
}

/// What a gateway shares with others.
#[derive(Debug)]
pub struct Sharing {
    counts: Arc<SharedCounts>,
    when_away: WhenAway,
    state: Arc<CountsState>,
}

/// A worker's own way to the shared counts.
#[derive(Debug)]
pub struct SharingLine {
    sharing: Arc<Sharing>,
    line: Line,
    settlements: Sender<Settlement>,
}

/// Settles a worker's calls, one after the other, until none is left.
#[derive(Debug)]
pub struct Settler {
    sharing: Arc<Sharing>,
    line: Line,
    settlements: Receiver<Settlement>,
}

/// What a call holds of shared allowances.
#[derive(Debug)]
pub(super) struct Share {
    hold: SharedHold,
    /// What was counted of each when it was taken; nothing where they were away.
    counts: Vec<counters::Count>,
    settlements: Sender<Settlement>,
    sharing: Arc<Sharing>,
}

#[derive(Debug)]
struct Settlement {
    hold: SharedHold,
    used: Vec<(Arc<Allowance>, Arc<str>, Used)>,
    /// When the call ended, since 1970-01-01 UTC.
    at: Duration,
}

/// What became of telling the counts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    /// They were lost, and somebody is to begin with what the books say.
    Unknown,
}

// === impl Sharing ===

impl Sharing {
    /// Of these counts.
    pub fn new(counts: Arc<SharedCounts>, when_away: WhenAway) -> Self {
        Self {
            counts,
            when_away,
            state: Arc::default(),
        }
    }

    /// The counts.
    pub fn counts(&self) -> &Arc<SharedCounts> {
        &self.counts
    }

    /// What is told of them.
    pub fn state(&self) -> &Arc<CountsState> {
        &self.state
    }

    /// A worker's own way to them, and who settles its calls. Made in the worker's runtime.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn line(self: &Arc<Self>) -> Result<(SharingLine, Settler), CountersError> {
        let (settlements, waiting) = channel(WAITING_MAX);
        let line = SharingLine {
            sharing: Arc::clone(self),
            line: self.counts.line()?,
            settlements,
        };
        let settler = Settler {
            sharing: Arc::clone(self),
            line: self.counts.line()?,
            settlements: waiting,
        };
        Ok((line, settler))
    }

    /// Notes whether the counts answered, and tells it where that is news.
    pub fn answered(&self, problem: Option<&CountersError>) {
        let Some(problem) = problem else {
            if self.state.answered() {
                CountsBack.emit();
            }
            return;
        };
        if self.state.unheard() {
            let source = std::error::Error::source(problem);
            let problem = source.map_or_else(|| problem.to_string(), ToString::to_string);
            CountsAway { problem: &problem }.emit();
        }
    }
}

// === impl SharingLine ===

impl SharingLine {
    /// Asks the shared counts; while they are away, what the operator wants happens. What this gateway uses is counted here, too.
    pub(super) async fn enter(
        &self,
        own: &Arc<Counters>,
        asks: &[Ask<'_>],
        now: Duration,
    ) -> Result<Permit, Denial> {
        let mut taking = Taking::new(self);
        let taken = self.take(&mut taking, asks, now).await;
        if let (Some(taken), WhenAway::Share(_)) = (&taken, self.sharing.when_away) {
            own.hear(told(asks, taken), now);
        }
        let (epoch, counts, room) = match taken {
            Some(Taken::Whole { epoch, counts }) => (epoch, counts, Room::Unbounded),
            Some(Taken::Short {
                place,
                count,
                parts,
            }) => {
                let _nothing_held = taking.settle();
                return Err(short(asks, place, count, &parts, now));
            }
            Some(Taken::Unknown) | None => {
                let room = match self.sharing.when_away {
                    WhenAway::Refuse => return Err(Denial::whole(Refusal::CountersAway)),
                    WhenAway::Answer => Room::Unbounded,
                    WhenAway::Share(share) => Room::Share(share),
                };
                (String::new(), Vec::new(), room)
            }
        };
        let hold = SharedHold {
            name: taking.settle(),
            epoch,
        };
        match own.take(asks, room, now) {
            Ok(holds) => Ok(Permit {
                counters: Arc::clone(own),
                holds,
                room,
                share: Some(Share {
                    hold,
                    counts,
                    settlements: self.settlements.clone(),
                    sharing: Arc::clone(&self.sharing),
                }),
            }),
            Err((place, shortage)) => {
                self.give_back(hold.name);
                Err(Denial::at(place, shortage))
            }
        }
    }

    /// `None` where there is no answer in time.
    async fn take(
        &self,
        taking: &mut Taking<'_>,
        asks: &[Ask<'_>],
        now: Duration,
    ) -> Option<Taken> {
        let counts = &self.sharing.counts;
        let shared: Vec<counters::Ask<'_>> = asks
            .iter()
            .map(|ask| counters::Ask {
                allowance: &ask.counted.allowance,
                subject: &ask.subject,
                amount: ask.amount,
                refuses: ask.counted.allowance.then == Then::Refuse,
            })
            .collect();
        let mut looks = 0;
        loop {
            let taken = match self.ask(taking, &shared, now).await {
                Ok(taken) => {
                    self.sharing.answered(None);
                    taken
                }
                Err(problem) => {
                    self.sharing.answered(Some(&problem));
                    return None;
                }
            };
            if taken != Taken::Unknown || looks == LOOKS_MAX {
                return Some(taken);
            }
            looks += 1;
            counts.note_unknown();
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Asks once, and where the connection is found closed, once more on a new one. What was asked before may have been taken all the same: that
    /// is given back, and this is asked under another name.
    async fn ask(
        &self,
        taking: &mut Taking<'_>,
        asks: &[counters::Ask<'_>],
        now: Duration,
    ) -> Result<Taken, CountersError> {
        let deadline = self.sharing.counts.deadline();
        let mut line = self.line.clone();
        let asked = async {
            match line.take(&taking.name, asks, now).await {
                Err(problem) if problem.is_closed() => {
                    taking.begin_anew();
                    line.take(&taking.name, asks, now).await
                }
                taken => taken,
            }
        };
        let asked = timeout(deadline, asked).await;
        asked.unwrap_or(Err(CountersError::Slow(deadline)))
    }

    fn give_back(&self, name: String) {
        let hold = SharedHold {
            name,
            epoch: String::new(),
        };
        let used = Vec::new();
        send(
            &self.settlements,
            &self.sharing,
            Settlement {
                hold,
                used,
                at: Duration::ZERO,
            },
        );
    }
}

/// A call that asks, and may be given up before the answer: it may have been taken all the same, and is given back.
struct Taking<'a> {
    line: &'a SharingLine,
    /// What it is called; empty once it is known what became of it.
    name: String,
}

impl<'a> Taking<'a> {
    fn new(line: &'a SharingLine) -> Self {
        Self {
            line,
            name: new_name(),
        }
    }

    /// Gives up what was asked so far, and goes on under another name.
    fn begin_anew(&mut self) {
        self.line
            .give_back(mem::replace(&mut self.name, new_name()));
    }

    /// Notes that it is known what became of it. Gives its name.
    fn settle(mut self) -> String {
        mem::take(&mut self.name)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.line.give_back(mem::take(&mut self.name));
        }
    }
}

fn new_name() -> String {
    Uuid::now_v7().simple().to_string()
}

fn send(settlements: &Sender<Settlement>, sharing: &Sharing, settlement: Settlement) {
    if let Err(TrySendError::Full(_)) = settlements.try_send(settlement)
        && sharing.state.lost_one()
    {
        SettlementsLost.emit();
    }
}

/// What the counts told of each allowance, as far as they did: all that was taken of it before.
fn told<'a>(asks: &'a [Ask<'a>], taken: &Taken) -> Vec<(&'a Ask<'a>, u128)> {
    let sum = |count: &counters::Count| u128::from(count.used) + u128::from(count.reserved);
    match taken {
        Taken::Whole { counts, .. } => asks.iter().zip(counts.iter().map(sum)).collect(),
        Taken::Short { place, count, .. } => {
            let ask = asks.get(*place);
            ask.map(|ask| (ask, sum(count))).into_iter().collect()
        }
        Taken::Unknown => Vec::new(),
    }
}

fn short(
    asks: &[Ask<'_>],
    place: usize,
    count: counters::Count,
    parts: &[u64],
    now: Duration,
) -> Denial {
    let Some(ask) = asks.get(place) else {
        return Denial::whole(Refusal::CountersAway);
    };
    let mut count = Count::shared(
        &ask.counted.allowance,
        (count.used, count.reserved),
        parts,
        now,
    );
    let most = ask.counted.allowance.most_at(now).into();
    let shortage = count.shortage(ask, &ask.subject, most, now);
    Denial::at(place, Box::new(shortage))
}

// === impl Share ===

impl Share {
    /// The name that the call's hold has.
    pub(super) fn name(&self) -> &str {
        &self.hold.name
    }

    /// What is left of an allowance, by its place; `None` where the counts were away.
    pub(super) fn remaining(&self, place: usize, hold: &Hold, now: Duration) -> Option<u64> {
        let count = self.counts.get(place)?;
        let taken = count.used.saturating_add(count.reserved);
        Some(
            hold.counted
                .allowance
                .most_at(now)
                .saturating_sub(taken.saturating_add(hold.amount)),
        )
    }

    /// Says what the call used that began and ended at these times; nothing, where it is not known.
    pub(super) fn settle<'a>(
        &self,
        used: impl Iterator<Item = (&'a Hold, u64)>,
        began: Duration,
        ended: Duration,
    ) {
        let used = used.filter_map(|(hold, amount)| {
            let used = Used::new(&hold.counted.allowance, &hold.subject, amount, began, ended)?;
            let allowance = Arc::clone(&hold.counted.allowance);
            Some((allowance, Arc::clone(&hold.subject), used))
        });
        let settlement = Settlement {
            hold: self.hold.clone(),
            used: used.collect(),
            at: ended,
        };
        send(&self.settlements, &self.sharing, settlement);
    }
}

// === impl Settler ===

impl Settler {
    /// Goes on until the worker is done and every call of its is settled.
    pub async fn run(mut self) {
        while let Some(settlement) = self.settlements.recv().await {
            let mut pause = SETTLE_AGAIN_AFTER;
            let mut unknown = 0;
            loop {
                match self.settle(&settlement).await {
                    Ok(Told::Done) => break,
                    // Nobody counts it any more, and whoever begins again begins with the books.
                    Ok(Told::Unknown) if unknown == UNKNOWN_MAX => break,
                    Ok(Told::Unknown) => {
                        unknown += 1;
                        self.sharing.counts.note_unknown();
                    }
                    Err(problem) => self.sharing.answered(Some(&problem)),
                }
                sleep(pause).await;
                pause = (pause * 2).min(SETTLE_AGAIN_AFTER_MAX);
            }
        }
    }

    async fn settle(&mut self, settlement: &Settlement) -> Result<Told, CountersError> {
        let used: Vec<Used> = settlement
            .used
            .iter()
            .map(|(_, _, used)| used.clone())
            .collect();
        let sums = match self.line.settle(&settlement.hold, &used).await? {
            Settled::Whole(sums) => sums,
            Settled::Unknown => return Ok(Told::Unknown),
        };
        for ((allowance, subject, used), sum) in settlement.used.iter().zip(sums) {
            let most = allowance.most_at(settlement.at);
            let is_reached = sum >= most && sum.saturating_sub(used.amount()) < most;
            if allowance.then == Then::Warn && is_reached {
                AllowanceReached {
                    name: &allowance.name,
                    subject,
                    quantity: allowance.quantity.as_str(),
                    used: &amount_text(allowance, sum.into()),
                    most: &amount_text(allowance, most.into()),
                }
                .emit();
            }
        }
        Ok(Told::Done)
    }
}
