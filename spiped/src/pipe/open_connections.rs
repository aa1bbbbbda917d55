//! The number of open connections of the process. The end of the daemon waits until there are none, and
//! memory goes back to the system each time that half of many have ended, but not many times a minute.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use crate::os::malloc_trim::malloc_trim;

/// The least peak of connections after which memory is returned; fewer leave only some 200 KiB.
const MANY: usize = 64;
/// The time for which free memory is kept for new connections.
const TRIM_DELAY: Duration = Duration::from_millis(500);
/// The least time between two returns of memory. Strangers decide how many connections begin and end, and a
/// return takes a thread and holds allocations up.
const TRIM_PAUSE: Duration = Duration::from_secs(5);

/// A count of open connections.
#[derive(Debug)]
pub(super) struct OpenConnections {
    count: Mutex<Count>,
    /// Told each time that no connection is open any more.
    none: Notify,
    /// Returns memory to the system.
    trim: fn(),
}

#[derive(Debug, Default)]
struct Count {
    open: usize,
    /// The highest `open` since memory was last returned.
    peak: usize,
    /// Whether a task is to return memory, or has just done so.
    is_trimming: bool,
}

/// One connection of the count, which it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<OpenConnections>);

impl Default for OpenConnections {
    fn default() -> Self {
        Self {
            count: Mutex::default(),
            none: Notify::new(),
            trim: malloc_trim,
        }
    }
}

impl Count {
    /// Whether half of many connections have ended since memory was last returned.
    fn has_halved(&self) -> bool {
        self.peak >= MANY && self.open <= self.peak / 2
    }
}

impl OpenConnections {
    /// Counts one more connection.
    pub(super) fn add(self: &Arc<Self>) -> OpenConnection {
        let mut count = self.lock();
        count.open += 1;
        count.peak = count.peak.max(count.open);
        drop(count);
        OpenConnection(Arc::clone(self))
    }

    /// Returns how many connections are open.
    pub(super) fn count(&self) -> usize {
        self.lock().open
    }

    /// Waits until no connection is open.
    pub(super) async fn none(&self) {
        loop {
            // What is told from here on is not missed.
            let told = self.none.notified();
            if self.count() == 0 {
                return;
            }
            told.await;
        }
    }

    /// Counts one connection less. Returns whether memory should be returned and no task is to do so.
    fn remove(&self) -> bool {
        let mut count = self.lock();
        count.open -= 1;
        if count.open == 0 {
            self.none.notify_waiters();
        }
        count.has_halved() && !count.is_trimming
    }

    /// Notes that a task is to return memory. Returns whether there was none before.
    fn begin_to_trim(&self) -> bool {
        !mem::replace(&mut self.lock().is_trimming, true)
    }

    /// Returns memory soon, and again as long as enough connections have ended meanwhile. There is one such
    /// task at most.
    async fn trim(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TRIM_DELAY).await;
            self.begin_a_peak();
            self.trim_on_a_thread().await;
            tokio::time::sleep(TRIM_PAUSE).await;
            if !self.goes_on_to_trim() {
                return;
            }
        }
    }

    fn begin_a_peak(&self) {
        let mut count = self.lock();
        count.peak = count.open;
    }

    fn goes_on_to_trim(&self) -> bool {
        let mut count = self.lock();
        count.is_trimming = count.has_halved();
        count.is_trimming
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        // No critical section panics with the count half changed.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns memory on a thread of its own, as it would delay the thread that moves data. If the system
    /// refuses a thread, memory is kept.
    async fn trim_on_a_thread(&self) {
        let (done, is_done) = oneshot::channel::<()>();
        let trim = self.trim;
        let thread = thread::Builder::new().name("trim".to_owned());
        let started = thread.spawn(move || {
            trim();
            drop(done);
        });
        if started.is_ok() {
            // The thread sends nothing; its end is the end of the channel.
            let _ = is_done.await;
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.0.remove()
            && let Ok(runtime) = Handle::try_current()
            && self.0.begin_to_trim()
        {
            runtime.spawn(Arc::clone(&self.0).trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How often memory was returned in a test, each of which has a counter of its own.
    type Trims = AtomicUsize;

    fn counting(trim: fn()) -> Arc<OpenConnections> {
        Arc::new(OpenConnections {
            trim,
            ..OpenConnections::default()
        })
    }

    fn open(connections: &Arc<OpenConnections>, size: usize) -> Vec<OpenConnection> {
        (0..size).map(|_| connections.add()).collect()
    }

    fn is_trimming(connections: &OpenConnections) -> bool {
        connections.lock().is_trimming
    }

    /// Waits until no task is to return memory.
    async fn rest(connections: &OpenConnections) {
        while is_trimming(connections) {
            tokio::time::sleep(TRIM_DELAY).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_returned_each_time_that_half_of_many_connections_have_ended() {
        static TRIMS: Trims = Trims::new(0);
        let connections = counting(|| {
            TRIMS.fetch_add(1, Ordering::Relaxed);
        });
        let mut open = open(&connections, 1024);
        for (trims, left) in [512, 256, 128, 64, 32].into_iter().enumerate() {
            open.truncate(left + 1);
            rest(&connections).await;
            assert_eq!(TRIMS.load(Ordering::Relaxed), trims, "{left}");
            open.truncate(left);
            rest(&connections).await;
            assert_eq!(TRIMS.load(Ordering::Relaxed), trims + 1, "{left}");
        }
        open.clear();
        rest(&connections).await;
        assert_eq!(TRIMS.load(Ordering::Relaxed), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_connections_leave_nothing_to_return() {
        static TRIMS: Trims = Trims::new(0);
        let connections = counting(|| {
            TRIMS.fetch_add(1, Ordering::Relaxed);
        });
        drop(open(&connections, MANY - 1));
        assert!(!is_trimming(&connections));
        assert_eq!(TRIMS.load(Ordering::Relaxed), 0);
    }

    /// A stranger may open and close connections as fast as the wire allows.
    #[tokio::test(start_paused = true)]
    async fn connections_that_come_and_go_return_memory_now_and_then() {
        static TRIMS: Trims = Trims::new(0);
        let connections = counting(|| {
            TRIMS.fetch_add(1, Ordering::Relaxed);
        });
        let begin = tokio::time::Instant::now();
        while begin.elapsed() < 10 * TRIM_PAUSE {
            drop(open(&connections, MANY));
            tokio::time::sleep(TRIM_DELAY / 10).await;
        }
        let trims = TRIMS.load(Ordering::Relaxed);
        assert!(trims <= 10, "{trims}");
        rest(&connections).await;
        let trims_after = TRIMS.load(Ordering::Relaxed);
        assert!((1..=trims + 2).contains(&trims_after), "{trims_after}");
        // What there was has been returned, however fast it came and went.
        assert!(connections.lock().peak < MANY);
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
