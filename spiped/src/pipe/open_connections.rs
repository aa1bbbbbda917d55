//! The number of open connections of the process. The end of the daemon waits until there are none, and
//! memory goes back to the system each time that half of many have ended.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::os::malloc_trim::malloc_trim;

/// The least peak of connections after which memory is returned; fewer leave only some 200 KiB.
const MANY: usize = 64;
/// The time for which free memory is kept for new connections.
const TRIM_DELAY: Duration = Duration::from_millis(500);

/// A count of open connections.
#[derive(Debug, Default)]
pub(super) struct OpenConnections(watch::Sender<Count>);

#[derive(Debug, Default)]
struct Count {
    open: usize,
    /// The highest `open` since memory was last returned.
    peak: usize,
}

/// One connection of the count, which it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<OpenConnections>);

impl OpenConnections {
    /// Counts one more connection.
    pub(super) fn add(self: &Arc<Self>) -> OpenConnection {
        self.0.send_modify(|count| {
            count.open += 1;
            count.peak = count.peak.max(count.open);
        });
        OpenConnection(Arc::clone(self))
    }

    /// Returns how many connections are open.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().open
    }

    /// Waits until no connection is open.
    pub(super) async fn none(&self) {
        let mut count = self.0.subscribe();
        // This fails only when the sender is gone, and `self` owns it.
        let _ = count.wait_for(|count| count.open == 0).await;
    }

    /// Counts one connection less. Returns whether memory should be returned soon.
    fn remove(&self) -> bool {
        let mut has_halved = false;
        self.0.send_modify(|count| {
            count.open -= 1;
            has_halved = count.peak >= MANY && count.open <= count.peak / 2;
            if has_halved {
                count.peak = count.open;
            }
        });
        has_halved
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.0.remove()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(trim());
        }
    }
}

async fn trim() {
    tokio::time::sleep(TRIM_DELAY).await;
    // A thread of its own does it, as it would delay the thread that moves data. If the system refuses a
    // thread, memory is kept.
    let thread = thread::Builder::new().name("trim".to_owned());
    let _ = thread.spawn(malloc_trim);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens `size` connections and closes them. Returns how many were left each time that memory should be
    /// returned.
    fn left_at_trims(size: usize) -> Vec<usize> {
        let connections = Arc::new(OpenConnections::default());
        for _ in 0..size {
            std::mem::forget(connections.add());
        }
        let left_behind = (0..size).rev();
        left_behind.filter(|_| connections.remove()).collect()
    }

    #[test]
    fn memory_is_returned_each_time_that_half_of_many_connections_have_ended() {
        assert_eq!(left_at_trims(1024), [512, 256, 128, 64, 32]);
    }

    #[test]
    fn a_few_connections_leave_nothing_to_return() {
        assert!(left_at_trims(MANY - 1).is_empty());
    }

    #[tokio::test]
    async fn the_last_connection_to_end_ends_the_wait() {
        let connections = Arc::new(OpenConnections::default());
        connections.none().await;
        let open = [connections.add(), connections.add()];
        assert_eq!(connections.count(), 2);
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.none().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(open);
        waiting.await.unwrap();
        assert_eq!(connections.count(), 0);
    }
}
