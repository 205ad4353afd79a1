//! A worker's turn: everything that is ready is done, then what is done once for all who wait for it, and what has to be sent goes out together.
//!
//! A message to somebody who sleeps costs its sender the time to wake him, which is more than the message itself; the next one costs nothing of it if it comes
//! before he is through. The same work done for many calls one after another runs faster than all the work of one call after another. And one write for
//! many calls costs what one for each does.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tollgate_telemetry::Witness;

/// The end of a worker's turn.
#[derive(Debug, Default)]
pub struct TurnEnd(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of the turn.
    number: u64,
    /// Whether somebody has come to wait for its end, who ends it for the others.
    is_led: bool,
    /// The others.
    waiting: Vec<Waker>,
}

/// Who ends the turn: when it is his again, which is after all that is ready now, or when he gives up.
struct Leading<'a, F: Fn()> {
    turn_end: &'a TurnEnd,
    at_the_end: &'a F,
}

/// Waits for the end of the turn in which a record is written down.
pub(crate) struct WrittenDown(Pin<Box<dyn Future<Output = ()> + Send>>);

impl WrittenDown {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for WrittenDown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WrittenDown")
    }
}

impl TurnEnd {
    /// Waits until what is ready now is done, and what this witness and those of the other calls have recorded is written down.
    pub(crate) fn written_down(self: &Arc<Self>, witness: Witness) -> WrittenDown {
        let turn_end = Arc::clone(self);
        WrittenDown(Box::pin(async move {
            turn_end.reach(|| witness.write_down()).await;
        }))
    }

    /// Waits until what is ready now is done, and then `at_the_end`, which is done once for all who wait. Whoever does not wait to the end has it
    /// done all the same.
    pub(crate) async fn reach(&self, at_the_end: impl Fn()) {
        let mut leading = None;
        let mut since = None;
        poll_fn(|context| {
            if leading.take().is_some() {
                return Poll::Ready(());
            }
            let mut state = self.state();
            let number = state.number;
            if since.is_some_and(|since| since < number) {
                return Poll::Ready(());
            }
            since = Some(number);
            if state.is_led {
                state.waiting.push(context.waker().clone());
            } else {
                state.is_led = true;
                leading = Some(Leading {
                    turn_end: self,
                    at_the_end: &at_the_end,
                });
                // Whoever is woken takes his place behind the others.
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Fn()> Drop for Leading<'_, F> {
    fn drop(&mut self) {
        (self.at_the_end)();
        let mut state = self.turn_end.state();
        state.is_led = false;
        state.number += 1;
        for waiting in state.waiting.drain(..) {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use tokio::task::{LocalSet, yield_now};
    use tollgate_telemetry::{CallLog, Telemetry, TelemetrySettings};

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_done_first_and_the_end_once_for_all() {
        let done = Rc::new(RefCell::new(Vec::new()));
        let turn = Rc::new(TurnEnd::default());
        let tasks = LocalSet::new();
        for name in ["a", "b", "c"] {
            let (done, turn) = (Rc::clone(&done), Rc::clone(&turn));
            tasks.spawn_local(async move {
                done.borrow_mut().push(format!("{name} reads"));
                turn.reach(|| done.borrow_mut().push("written".to_owned()))
                    .await;
                done.borrow_mut().push(format!("{name} sends"));
            });
        }
        tasks.run_until(yield_now()).await;
        tasks.await;
        let done = done.take();
        assert_eq!(
            done,
            [
                "a reads", "b reads", "c reads", "written", "a sends", "b sends", "c sends"
            ]
        );
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_nobody_waiting() {
        let ends = Rc::new(RefCell::new(0));
        let turn = Rc::new(TurnEnd::default());
        let tasks = LocalSet::new();
        let wait = || {
            let (ends, turn) = (Rc::clone(&ends), Rc::clone(&turn));
            async move { turn.reach(|| *ends.borrow_mut() += 1).await }
        };
        // The first ends the turn for the others, and leaves.
        let mut first = Box::pin(wait());
        assert!(looked_at(first.as_mut()).await.is_pending());
        let others = [tasks.spawn_local(wait()), tasks.spawn_local(wait())];
        tasks.run_until(yield_now()).await;
        drop(first);
        tasks.await;
        for other in others {
            other.await.expect("nobody waits for ever");
        }
        assert_eq!(*ends.borrow(), 1);
        // One who does not lead may leave as well.
        let (mut leads, mut follows) = (Box::pin(wait()), Box::pin(wait()));
        assert!(looked_at(leads.as_mut()).await.is_pending());
        assert!(looked_at(follows.as_mut()).await.is_pending());
        drop(follows);
        leads.await;
        assert_eq!(*ends.borrow(), 2);
    }

    #[tokio::test]
    async fn last_bytes_wait_until_the_turn_has_ended() {
        let settings = TelemetrySettings {
            log: CallLog::Off,
            queue_max: 1,
            workers: 1,
        };
        let (telemetry, _log) = Telemetry::start(settings, Box::new(std::io::sink()));
        let turn = Arc::new(TurnEnd::default());
        let mut answers = [(); 2].map(|()| turn.written_down(telemetry.witness(0)));
        let look = |answers: &mut [WrittenDown; 2]| {
            let mut context = Context::from_waker(Waker::noop());
            answers
                .each_mut()
                .map(|answer| answer.poll(&mut context).is_ready())
        };
        assert_eq!(look(&mut answers), [false, false]);
        // Who leads is there again: the turn has ended, for the other as well.
        assert_eq!(look(&mut answers), [true, true]);
    }

    /// Looks at a future once.
    async fn looked_at<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}
