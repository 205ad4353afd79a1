//! Whether a worker keeps up: a beat that is due again and again, and how late it comes. While it comes too late, some calls are refused at
//! once, so that those that are let in are answered in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// From one beat to when the next is due.
const BEAT_EVERY: Duration = Duration::from_millis(50);

/// So many times too late it has to be before calls are refused, in beats in a row: a worker may be held up now and then. Where the queue is long there are few
/// beats, each of which is many times too late.
const LATE_IN_A_ROW: u32 = 4;

/// A beat counts for so many at most where it comes to how fast more calls are refused.
const STEPS_MAX: u32 = 3;

/// Of a thousand calls so many more are refused after each beat that comes too late then, and so many fewer after one that does not; and so many at
/// most: to refuse costs a third of what an answer costs, so that to refuse most of what comes would leave less for answers.
const MORE: u32 = 100;
const FEWER: u32 = 50;
const REFUSED_MAX: u32 = 500;

/// A worker's pulse.
#[derive(Debug, Default)]
pub struct Pulse {
    /// How many times too late it was in the last beats, all of which were.
    late: AtomicU32,
    /// Of a thousand calls so many are refused.
    refused: AtomicU32,
}

impl Pulse {
    /// The pulse of the worker whose runtime this is. A beat that comes later than `late_max` is too late; where that is zero, it does not
    /// beat. It does so until the set is dropped, as a task that stands in the same queue as those of connections.
    pub fn start(late_max: Duration) -> (Arc<Self>, JoinSet<()>) {
        let pulse = Arc::new(Self::default());
        let mut beating = JoinSet::new();
        if !late_max.is_zero() {
            let pulse = Arc::clone(&pulse);
            beating.spawn(async move { pulse.beat(late_max).await });
        }
        (pulse, beating)
    }

    async fn beat(&self, late_max: Duration) {
        loop {
            let due = Instant::now() + BEAT_EVERY;
            sleep_until(due).await;
            let times = due.elapsed().as_nanos() / late_max.as_nanos();
            self.note(u32::try_from(times).unwrap_or(u32::MAX));
        }
    }

    /// Takes down a beat that came so many times too late.
    fn note(&self, times: u32) {
        // One task writes.
        let late = match times {
            0 => 0,
            times => self.late.load(Ordering::Relaxed).saturating_add(times),
        };
        let refused = self.refused.load(Ordering::Relaxed);
        let refused = match late {
            0 => refused.saturating_sub(FEWER),
            1..LATE_IN_A_ROW => refused,
            LATE_IN_A_ROW.. => (refused + MORE * times.min(STEPS_MAX)).min(REFUSED_MAX),
        };
        self.late.store(late, Ordering::Relaxed);
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// Whether the call that has just come is one of those that are refused.
    pub(crate) fn refuses(&self) -> bool {
        match self.refused.load(Ordering::Relaxed) {
            0 => false,
            refused => fastrand::u32(..1000) < refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_of_a_thousand(pulse: &Pulse) -> usize {
        (0..1000).filter(|_| pulse.refuses()).count()
    }

    #[test]
    fn few_late_beats_are_nothing_and_many_let_half_of_it_in() {
        let pulse = Pulse::default();
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        (1..LATE_IN_A_ROW).for_each(|_| pulse.note(1));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        pulse.note(1);
        assert!((40..200).contains(&refused_of_a_thousand(&pulse)));
        (0..2).for_each(|_| pulse.note(0));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        (0..100).for_each(|_| pulse.note(1));
        assert!((400..600).contains(&refused_of_a_thousand(&pulse)));
        (0..10).for_each(|_| pulse.note(0));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
    }

    /// Where what is queued takes long there are few beats.
    #[test]
    fn one_beat_that_is_very_late_is_as_many() {
        let pulse = Pulse::default();
        pulse.note(LATE_IN_A_ROW - 1);
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        pulse.note(100);
        assert!((200..400).contains(&refused_of_a_thousand(&pulse)));
    }

    /// No single task holds the others up for long; it is their number.
    #[tokio::test]
    async fn a_long_queue_makes_it_beat_late() {
        let (pulse, _beating) = Pulse::start(Duration::from_millis(100));
        let until = Instant::now() + Duration::from_secs(3);
        let mut busy = JoinSet::new();
        for _ in 0..1000 {
            busy.spawn(async move {
                while Instant::now() < until {
                    let done = Instant::now() + Duration::from_micros(300);
                    while Instant::now() < done {
                        std::hint::spin_loop();
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while busy.join_next().await.is_some() {}
        assert!(refused_of_a_thousand(&pulse) > 50);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(refused_of_a_thousand(&pulse), 0);
    }

    #[tokio::test]
    async fn one_that_nobody_wants_refuses_nothing() {
        let (pulse, beating) = Pulse::start(Duration::ZERO);
        assert!(beating.is_empty() && !pulse.refuses());
    }
}
