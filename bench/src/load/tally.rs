//! What a worker has counted: bytes, failures and latencies.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portable_atomic::AtomicU64;
use serde::{Deserialize, Serialize};

/// The counts of one thread, apart from the others' so that counting does not make them wait.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    bytes: AtomicU64,
    failures: AtomicU64,
    /// One for each operation, in nanoseconds.
    latencies: Mutex<Vec<u64>>,
    last_failure: Mutex<Option<String>>,
}

/// All counts of a worker.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    shards: Mutex<Vec<Arc<Shard>>>,
    last: Mutex<Option<Instant>>,
}

/// What happened in a span of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// How long the span was.
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
    pub(crate) operations: usize,
    pub(crate) failures: u64,
    /// Half of the operations took at most this.
    pub(crate) p50: Duration,
    /// 99 of 100 operations took at most this.
    pub(crate) p99: Duration,
    /// Why the last failure was one.
    pub(crate) last_failure: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_operation(&self, latency: Duration) {
        lock(&self.latencies).push(latency.as_nanos() as u64);
    }

    pub(crate) fn add_failure(&self, reason: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_failure) = Some(reason);
    }
}

impl Tally {
    /// Counts for one more thread.
    pub(crate) fn shard(&self) -> Arc<Shard> {
        let shard = Arc::<Shard>::default();
        lock(&self.shards).push(Arc::clone(&shard));
        shard
    }

    /// What has been counted since the last call.
    pub(crate) fn since_last(&self) -> Stats {
        let now = Instant::now();
        let before = lock(&self.last).replace(now);
        let mut stats = Stats {
            time: before.map_or(Duration::ZERO, |before| now - before),
            ..Stats::default()
        };
        let mut latencies = Vec::new();
        for shard in lock(&self.shards).iter() {
            stats.bytes += shard.bytes.swap(0, Ordering::Relaxed);
            stats.failures += shard.failures.swap(0, Ordering::Relaxed);
            stats.last_failure = lock(&shard.last_failure).take().or(stats.last_failure);
            latencies.append(&mut lock(&shard.latencies));
        }
        latencies.sort_unstable();
        stats.operations = latencies.len();
        stats.p50 = rank(&latencies, 50);
        stats.p99 = rank(&latencies, 99);
        stats
    }
}

/// The smallest value that so many per cent do not exceed, of sorted values.
fn rank(sorted: &[u64], percent: usize) -> Duration {
    let position = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    Duration::from_nanos(sorted.get(position).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(rank(&values, 50), Duration::from_nanos(100));
        assert_eq!(rank(&values, 99), Duration::from_nanos(198));
        assert_eq!(rank(&[7], 99), Duration::from_nanos(7));
        assert_eq!(rank(&[], 50), Duration::ZERO);
    }

    #[test]
    fn each_span_counts_anew() {
        let tally = Tally::default();
        let (one, two) = (tally.shard(), tally.shard());
        tally.since_last();
        one.add_bytes(3);
        two.add_bytes(4);
        two.add_operation(Duration::from_micros(5));
        one.add_failure("refused".into());
        let stats = tally.since_last();
        assert_eq!((stats.bytes, stats.operations, stats.failures), (7, 1, 1));
        assert_eq!(stats.p50, Duration::from_micros(5));
        assert_eq!(stats.last_failure.as_deref(), Some("refused"));
        let stats = tally.since_last();
        assert_eq!((stats.bytes, stats.operations, stats.failures), (0, 0, 0));
    }
}
