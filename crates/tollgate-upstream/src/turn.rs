//! A worker's turn: everything that is ready is done, and what has to be sent goes out together at its end.
//!
//! A message to somebody who sleeps costs its sender the time to wake him, which is more than the message itself; the next one costs nothing of it if it comes
//! before he is through. And the same work done for many calls one after another runs faster than all the work of one call after another.

use std::{future::poll_fn, task::Poll};

/// Waits until what is ready now is done, and for nothing else.
pub async fn end_of_turn() {
    let mut is_over = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        // Whoever is woken takes his place behind the others.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_done_first() {
        let done = Rc::new(RefCell::new(Vec::new()));
        let tasks = LocalSet::new();
        for name in ["a", "b", "c"] {
            let done = Rc::clone(&done);
            tasks.spawn_local(async move {
                done.borrow_mut().push(format!("{name} reads"));
                end_of_turn().await;
                done.borrow_mut().push(format!("{name} sends"));
            });
        }
        tasks.run_until(yield_now()).await;
        tasks.await;
        let done = done.take();
        assert_eq!(
            done,
            [
                "a reads", "b reads", "c reads", "a sends", "b sends", "c sends"
            ]
        );
    }
}
