//! Keeps all streams together below so many bytes a second.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use portable_atomic::AtomicU64;

/// Writers ask it before they write.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When the next byte may go.
    next: Mutex<Instant>,
    passed: AtomicU64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            next: Mutex::new(Instant::now()),
            passed: AtomicU64::new(0),
        }
    }

    /// Waits until so many bytes may go.
    pub(crate) fn wait(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::Relaxed);
        self.wait_for(bytes);
    }

    /// Waits until another stream may begin. A handshake takes as long as so many bytes.
    pub(crate) fn wait_to_begin(&self) {
        self.wait_for(64 * 1024);
    }

    fn wait_for(&self, bytes: u64) {
        let now = Instant::now();
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let turn = {
            let mut next = self.next.lock().unwrap();
            let turn = (*next).max(now);
            *next = turn + time;
            turn
        };
        thread::sleep(turn - now);
    }

    /// Bytes so far.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}
