//! Tasks without which the daemon cannot work.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::log::{self, Class};

/// The time after which a task that panicked begins again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a task that other tasks wait for, and begins it again each time that it panics. The panic itself is
/// logged by the panic hook.
pub(crate) async fn forever<F: Future<Output = ()>>(mut work: impl FnMut() -> F) {
    loop {
        if caught(work()).await.is_ok() {
            return;
        }
        log::error(
            Class::Panic,
            format_args!("a task that the daemon lives on has ended: it begins again"),
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs a future, and returns an error if it panics.
async fn caught<F: Future>(work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_no_end() {
        let times = Cell::new(0);
        forever(|| async {
            times.set(times.get() + 1);
            tokio::task::yield_now().await;
            assert!(times.get() > 2, "on purpose");
        })
        .await;
        assert_eq!(times.get(), 3);
    }
}
