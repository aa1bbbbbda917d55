//! Gives up a relay that has moved no data for as long as `--idle` says.
//!
//! Data is what counts, not that the relay was woken: it has timers of its own, which ring while there is none.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The error of work without progress for as long as the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle;

/// Runs `work` until it has made no progress for as long as `limit`. What `progress` returns changes whenever it
/// has made some.
pub(crate) async fn limit<T>(
    limit: Duration,
    progress: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> Result<T, Idle> {
    let mut work = pin!(work);
    let (mut reached, mut active) = (progress(), Instant::now());
    let mut alarm = pin!(sleep_until(active + limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let now = progress();
        if now != reached {
            reached = now;
            active = Instant::now();
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if active.elapsed() >= limit {
                return Poll::Ready(Err(Idle));
            }
            // The alarm moves only when it rings. To move it for all data would cost more than to move the
            // data.
            alarm.as_mut().reset(active + limit);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
