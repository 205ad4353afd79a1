//! The health of a target or of a key: when to leave it alone, and when to try it again.
//!
//! Time comes in as an argument. Reads are the rule and writes the exception, so a short mutex does; it is never held across a wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const FAILURES_IN_A_ROW: u32 = 3;

/// Outcomes that are looked back on, and for how long.
const WINDOW: Duration = Duration::from_secs(30);
const WINDOW_OUTCOMES_MIN: usize = 5;
const WINDOW_OUTCOMES_MAX: usize = 64;

/// First and longest time of being left alone.
const COOLING_FIRST: Duration = Duration::from_secs(5);
const COOLING_LONGEST: Duration = Duration::from_secs(60);

/// A probe that never reported back is forgotten after this time.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// Weight of the newest time to first token in the average.
const FIRST_TOKEN_WEIGHT: f64 = 0.2;

/// How long an average stands without a new measurement.
const FIRST_TOKEN_LIFE: Duration = Duration::from_secs(60);

/// The health of a target.
#[derive(Debug, Default)]
pub struct Health {
    busy: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures_in_a_row: u32,
    outcomes: VecDeque<(Instant, bool)>,
    circuit: Circuit,
    first_token: Option<(Instant, Duration)>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Circuit {
    /// Calls go through.
    #[default]
    Closed,
    /// Calls are kept away until then; the next cooling will be this long.
    Open { until: Instant, next: Duration },
    /// One call was let through at this time, to see.
    HalfOpen { since: Instant, next: Duration },
}

/// Whether a call may go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Ready,
    /// It may, as the one that finds out.
    Probe,
    /// It had better not.
    Cooling {
        /// Until when.
        until: Instant,
    },
}

/// A call in flight at a target; counted while it lives.
#[derive(Debug)]
pub struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Health ===

impl Health {
    /// Asks for a call to be let through. A [`Admission::Probe`] has to report back by `began`, `failed` or `abandoned`.
    pub fn admit(&self, now: Instant) -> Admission {
        let mut state = self.state();
        match state.circuit {
            Circuit::Closed => Admission::Ready,
            Circuit::Open { until, .. } if now < until => Admission::Cooling { until },
            Circuit::HalfOpen { since, .. } if now < since + PROBE_PATIENCE => Admission::Cooling {
                until: now + Duration::from_secs(1),
            },
            Circuit::Open { next, .. } | Circuit::HalfOpen { next, .. } => {
                state.circuit = Circuit::HalfOpen { since: now, next };
                Admission::Probe
            }
        }
    }

    /// Whether calls are kept away; asks for nothing.
    pub fn is_cooling(&self, now: Instant) -> bool {
        self.cooling_until(now).is_some()
    }

    /// Until when calls are kept away, if they are.
    pub fn cooling_until(&self, now: Instant) -> Option<Instant> {
        match self.state().circuit {
            Circuit::Open { until, .. } if now < until => Some(until),
            Circuit::HalfOpen { since, .. } if now < since + PROBE_PATIENCE => {
                Some(since + PROBE_PATIENCE)
            }
            _ => None,
        }
    }

    /// The first content of an answer has come, after this time. That ends a cooling; whether the call went well is told by its end.
    pub fn began(&self, now: Instant, first_token: Duration) -> Change {
        let mut state = self.state();
        let average = match state.first_token {
            Some((measured_at, average)) if now < measured_at + FIRST_TOKEN_LIFE => {
                average.mul_f64(1.0 - FIRST_TOKEN_WEIGHT) + first_token.mul_f64(FIRST_TOKEN_WEIGHT)
            }
            _ => first_token,
        };
        state.first_token = Some((now, average));
        match std::mem::take(&mut state.circuit) {
            Circuit::Closed => Change::None,
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => {
                state.outcomes.clear();
                Change::Recovered
            }
        }
    }

    /// A call was answered to its end.
    pub fn succeeded(&self, now: Instant) {
        let mut state = self.state();
        state.failures_in_a_row = 0;
        state.remember(now, true);
    }

    /// A call failed through the target's own fault.
    pub fn failed(&self, now: Instant) -> Change {
        let mut state = self.state();
        state.failures_in_a_row += 1;
        state.remember(now, false);
        let length = match state.circuit {
            Circuit::Closed if state.is_failing(now) => COOLING_FIRST,
            Circuit::HalfOpen { next, .. } => next,
            Circuit::Closed | Circuit::Open { .. } => return Change::None,
        };
        // Somewhat more or less by chance, so that targets that fell together are not tried together.
        let until = now + length.mul_f64(0.9 + 0.2 * fastrand::f64());
        state.circuit = Circuit::Open {
            until,
            next: (length * 2).min(COOLING_LONGEST),
        };
        Change::Cooling { until }
    }

    /// A call ended without telling anything about the target: the client left, or it was the caller's own fault.
    pub fn abandoned(&self) {
        let mut state = self.state();
        if let Circuit::HalfOpen { since, next } = state.circuit {
            // The next call may find out.
            state.circuit = Circuit::Open { until: since, next };
        }
    }

    /// Calls in flight.
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// Counts a call as in flight while the guard lives.
    pub fn busy_guard(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// The time to the first token of late; `None` where it was not measured within the last minute.
    pub fn first_token(&self, now: Instant) -> Option<Duration> {
        let (measured_at, average) = self.state().first_token?;
        (now < measured_at + FIRST_TOKEN_LIFE).then_some(average)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a report changed; worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Calls are kept away from now on.
    Cooling {
        /// Until when.
        until: Instant,
    },
    /// Calls go through again.
    Recovered,
}

impl State {
    fn remember(&mut self, now: Instant, good: bool) {
        if self.outcomes.len() == WINDOW_OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((now, good));
    }

    fn is_failing(&self, now: Instant) -> bool {
        let recent = self.outcomes.iter().filter(|(at, _)| now < *at + WINDOW);
        let (all, bad) = recent.fold((0, 0), |(all, bad), (_, good)| {
            (all + 1, bad + usize::from(!good))
        });
        self.failures_in_a_row >= FAILURES_IN_A_ROW || (all >= WINDOW_OUTCOMES_MIN && bad * 2 > all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn broken(now: Instant) -> Health {
        let health = Health::default();
        for _ in 0..FAILURES_IN_A_ROW {
            health.failed(now);
        }
        health
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_one_answer_closes_it() {
        let now = Instant::now();
        let health = Health::default();
        health.failed(now);
        health.failed(now);
        assert_eq!(health.admit(now), Admission::Ready);
        assert!(matches!(health.failed(now), Change::Cooling { .. }));
        assert!(matches!(health.admit(now), Admission::Cooling { .. }));

        let later = now + 6 * SECOND;
        assert_eq!(health.admit(later), Admission::Probe);
        assert!(
            matches!(health.admit(later), Admission::Cooling { .. }),
            "one probe at a time"
        );
        assert_eq!(health.began(later, SECOND), Change::Recovered);
        assert_eq!(health.admit(later), Admission::Ready);
    }

    #[test]
    fn answers_that_begin_and_break_are_failures() {
        let now = Instant::now();
        let health = Health::default();
        for _ in 0..FAILURES_IN_A_ROW {
            assert!(!health.is_cooling(now));
            assert_eq!(health.began(now, SECOND), Change::None);
            health.failed(now);
        }
        assert!(health.is_cooling(now));
    }

    #[test]
    fn a_failed_probe_doubles_the_cooling() {
        let now = Instant::now();
        let health = broken(now);
        let later = now + 6 * SECOND;
        assert_eq!(health.admit(later), Admission::Probe);
        health.failed(later);
        assert!(health.is_cooling(later + 8 * SECOND));
        assert!(!health.is_cooling(later + 12 * SECOND));
    }

    #[test]
    fn an_abandoned_probe_leaves_room_for_the_next() {
        let now = Instant::now();
        let health = broken(now);
        let later = now + 6 * SECOND;
        assert_eq!(health.admit(later), Admission::Probe);
        health.abandoned();
        assert_eq!(health.admit(later), Admission::Probe);
    }

    #[test]
    fn a_probe_that_never_reports_is_forgotten() {
        let now = Instant::now();
        let health = broken(now);
        assert_eq!(health.admit(now + 6 * SECOND), Admission::Probe);
        assert_eq!(
            health.admit(now + 6 * SECOND + PROBE_PATIENCE),
            Admission::Probe
        );
    }

    #[test]
    fn more_bad_than_good_opens_the_circuit() {
        let now = Instant::now();
        let health = Health::default();
        for good in [true, false, false, true, false] {
            if good {
                health.succeeded(now);
            } else {
                health.failed(now);
            }
        }
        assert!(health.is_cooling(now));
        let long_ago = Health::default();
        for good in [true, false, false, true] {
            if good {
                long_ago.succeeded(now);
            } else {
                long_ago.failed(now);
            }
        }
        long_ago.failed(now + 2 * WINDOW);
        assert!(
            !long_ago.is_cooling(now + 2 * WINDOW),
            "what is long ago does not count"
        );
    }

    #[test]
    fn the_time_to_first_token_decays() {
        let now = Instant::now();
        let health = Health::default();
        health.began(now, SECOND);
        health.began(now, 2 * SECOND);
        let average = health.first_token(now).unwrap();
        assert!(average > SECOND && average < 2 * SECOND, "{average:?}");
        assert_eq!(health.first_token(now + FIRST_TOKEN_LIFE), None);
    }

    #[test]
    fn calls_in_flight_are_counted_while_their_guards_live() {
        let health = Health::default();
        let guard = health.busy_guard();
        assert_eq!(health.busy(), 1);
        drop(guard);
        assert_eq!(health.busy(), 0);
    }
}
