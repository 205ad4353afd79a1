//! Whether a worker keeps up: a beat that is due again and again, and how late it comes. While it comes too late, some calls are refused at
//! once, so that those that are let in are answered in time.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// From one beat to when the next is due.
const BEAT_EVERY: Duration = Duration::from_millis(50);

/// So many beats in a row have to come too late before calls are refused: a worker may be held up now and then.
const LATE_IN_A_ROW: u32 = 4;

/// Of a thousand calls so many more are refused after each beat that comes too late then, and so many fewer after one that does not; and so many at
/// most: to refuse costs a third of what an answer costs, so that to refuse most of what comes would leave less for answers.
const MORE: u32 = 100;
const FEWER: u32 = 50;
const REFUSED_MAX: u32 = 500;

/// A worker's pulse.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Beats that came too late, in a row.
    late: AtomicU32,
    /// Of a thousand calls so many are refused.
    refused: AtomicU32,
}

impl Pulse {
    /// Beats for as long as it is polled. A beat that comes later than `late_max` is too late; zero stands for any time.
    pub async fn beat(&self, late_max: Duration) {
        if late_max.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let due = Instant::now() + BEAT_EVERY;
            sleep_until(due).await;
            self.note(due.elapsed() > late_max);
        }
    }

    fn note(&self, is_late: bool) {
        // One task writes.
        let late = match is_late {
            true => self.late.load(Ordering::Relaxed).saturating_add(1),
            false => 0,
        };
        let refused = self.refused.load(Ordering::Relaxed);
        let refused = match late {
            0 => refused.saturating_sub(FEWER),
            1..LATE_IN_A_ROW => refused,
            LATE_IN_A_ROW.. => (refused + MORE).min(REFUSED_MAX),
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
        (1..LATE_IN_A_ROW).for_each(|_| pulse.note(true));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        pulse.note(true);
        assert!((40..200).contains(&refused_of_a_thousand(&pulse)));
        (0..2).for_each(|_| pulse.note(false));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
        (0..100).for_each(|_| pulse.note(true));
        assert!((400..600).contains(&refused_of_a_thousand(&pulse)));
        (0..10).for_each(|_| pulse.note(false));
        assert_eq!(refused_of_a_thousand(&pulse), 0);
    }

    #[tokio::test]
    async fn a_worker_that_is_held_up_beats_late() {
        let pulse = Pulse::default();
        let beating = pulse.beat(Duration::from_millis(100));
        let busy = async {
            for _ in 0..LATE_IN_A_ROW + 3 {
                // Holds up everything else.
                std::thread::sleep(Duration::from_millis(250));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = beating => {}
            () = busy => {}
        }
        assert!(refused_of_a_thousand(&pulse) > 50);
    }
}
