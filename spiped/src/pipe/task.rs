//! Tasks that the daemon lives on.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::log::{self, Class};

/// How long a task that a bug has ended is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Does work that never ends, again if a bug ends it: what a task has to do, others wait for. The panic
/// has been logged as any is.
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

/// Turns a panic into an error.
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
