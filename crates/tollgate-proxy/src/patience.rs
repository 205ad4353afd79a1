//! Waiting within a time. Where there is nothing to wait for, no clock is read and no alarm set.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::time::{Instant, error::Elapsed, timeout_at};

/// Waits for something until a time, which is only asked for where it is not there at once.
///
/// # Errors
/// When it did not come until then.
pub(crate) async fn within<T>(
    until: impl FnOnce() -> Instant,
    awaited: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut awaited = pin!(awaited);
    let first = poll_fn(|context| Poll::Ready(awaited.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(until(), awaited).await,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_not_waited_for_and_what_does_not_come_no_longer_than_that() {
        let never = || unreachable!("no time is needed");
        assert_eq!(within(never, async { 1 }).await, Ok(1));
        let soon = || Instant::now() + Duration::from_secs(1);
        let later = async {
            yield_now().await;
            2
        };
        assert_eq!(within(soon, later).await, Ok(2));
        let begun = Instant::now();
        assert!(within(soon, pending::<()>()).await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }
}
