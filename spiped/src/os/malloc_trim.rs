//! Gives memory back to the system after a crowd of connections has left.
//!
//! An allocator keeps what is freed for whoever comes next. With glibc that is nearly all that a
//! crowd took, for good; other C libraries return memory by themselves.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer connections than these leave nothing worth returning: some 200 KiB.
const CROWD: usize = 64;

/// Counts connections, to notice that half of a crowd has left.
#[derive(Debug, Default)]
pub(crate) struct TrimTrigger {
    present: AtomicUsize,
    /// The most that were present since memory was last returned.
    peak: AtomicUsize,
}

impl TrimTrigger {
    /// A connection has come.
    pub(crate) fn connection_opened(&self) {
        let present = self.present.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(present, Ordering::Relaxed);
    }

    /// A connection has gone; true when memory should be returned soon.
    pub(crate) fn connection_closed(&self) -> bool {
        let present = self.present.fetch_sub(1, Ordering::Relaxed) - 1;
        let peak = self.peak.load(Ordering::Relaxed);
        let halved = peak >= CROWD && present <= peak / 2;
        // Only one of those who leave at the same time shall see to it.
        halved
            && self
                .peak
                .compare_exchange(peak, present, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Returns free memory to the system. Takes milliseconds, and allocations elsewhere may wait.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: it only works on memory that is free.
    unsafe { nix::libc::malloc_trim(0) };
}

/// The allocator sees to it.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_a_crowd_of(size: usize) -> Vec<usize> {
        let trim_trigger = TrimTrigger::default();
        (0..size).for_each(|_| trim_trigger.connection_opened());
        let left_behind = (0..size).rev();
        left_behind
            .filter(|_| trim_trigger.connection_closed())
            .collect()
    }

    #[test]
    fn memory_is_returned_each_time_that_half_of_a_crowd_has_left() {
        assert_eq!(after_a_crowd_of(1024), [512, 256, 128, 64, 32]);
    }

    #[test]
    fn a_few_connections_keep_theirs() {
        assert!(after_a_crowd_of(CROWD - 1).is_empty());
    }
}
