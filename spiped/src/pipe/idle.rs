//! Gives up a relay that has had nothing to do for as long as `--idle` says.
//!
//! A relay is woken exactly when one of its sockets has data or room, so wake-ups show that there is traffic.
//! The relay itself counts nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The error of work that was not woken for as long as the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle;

/// A waker that wakes the task of the work, and notes that it did.
struct Bell {
    task: Waker,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// Runs `work` until it was not woken for as long as `limit`. The future has to stay in one task.
pub(crate) async fn limit<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Idle> {
    let mut work = pin!(work);
    let bell = poll_fn(|cx| {
        Poll::Ready(Arc::new(Bell {
            task: cx.waker().clone(),
            rung: AtomicBool::new(true),
        }))
    })
    .await;
    let waker = Waker::from(Arc::clone(&bell));
    let mut active = Instant::now();
    let mut alarm = pin!(sleep_until(active + limit));
    poll_fn(|cx| {
        if bell.rung.swap(false, Ordering::Acquire) {
            active = Instant::now();
            let worked = work.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(output) = worked {
                return Poll::Ready(Ok(output));
            }
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
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn work_that_nothing_wakes_is_given_up() {
        let start = Instant::now();
        let idle = limit(LIMIT, std::future::pending::<()>()).await;
        assert_eq!(idle, Err(Idle));
        assert!(start.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn the_limit_counts_from_the_last_wake_up() {
        let start = Instant::now();
        let work = async {
            sleep(LIMIT / 2).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(limit(LIMIT, work).await, Err(Idle));
        assert!(start.elapsed() >= LIMIT / 2 + LIMIT);
    }

    #[tokio::test]
    async fn work_that_is_done_in_time_is_left_alone() {
        let work = async {
            for _ in 0..5 {
                sleep(Duration::from_millis(1)).await;
            }
            5
        };
        assert_eq!(limit(Duration::from_secs(600), work).await, Ok(5));
    }

    /// The work wakes as often as the alarm, and sometimes at the same time.
    #[tokio::test(start_paused = true)]
    async fn a_steady_pulse_is_never_taken_for_idleness() {
        let work = async {
            for _ in 0..1000 {
                sleep(LIMIT / 2).await;
            }
        };
        assert_eq!(limit(LIMIT, work).await, Ok(()));
    }
}
