//! Limits the rate of lines: each class has a token bucket and a count of the lines that were held back.

use std::time::{Duration, Instant};

use super::Level;
use super::coded_enum::coded_enum;

/// The rate of a class: the lines that may come at once, and the time after which one more may come.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    interval: Duration,
}

/// The rate of lines that a stranger can cause.
const SELDOM: Rate = Rate {
    burst: 10,
    interval: Duration::from_millis(500),
};
/// The rate of lines that only a peer with the key can cause, and that only level `info` writes.
const OFTEN: Rate = Rate {
    burst: 1000,
    interval: Duration::from_millis(5),
};
/// The time after the last line held back after which their count is logged.
const EBB: Duration = Duration::from_secs(1);
/// The time after the first line held back after which their count is logged at the latest.
const OVERDUE: Duration = Duration::from_secs(5);

coded_enum! {
    /// The subject of a line. Each class has a limit of its own, so that a storm of one kind hides
    /// nothing of another.
    pub enum Class:
    /// Returns what lines of this class are about, for "7 more lines about ...".
    subject -> &'static str {
        /// The daemon's own life: start, stop, configuration. Never held back.
        Daemon = "daemon", "the daemon";
        /// Accepting a connection failed.
        Accept = "accept", "failed accepts";
        /// A bound on connections is reached.
        Limit = "limit", "reached limits";
        /// A connection that had not proved the key had to make room.
        Unproved = "unproved", "connections that had to make room";
        /// A peer closed its connection before its first byte.
        Unused = "unused", "connections without a byte";
        /// A handshake failed.
        Handshake = "handshake", "failed handshakes";
        /// No address of the target could be reached.
        Dial = "dial", "failed connections to the target";
        /// A connection broke, or was closed for `--idle` or because its key was removed.
        Broken = "broken", "broken streams";
        /// A name could not be resolved.
        Lookup = "lookup", "failed look-ups";
        /// A connection has ended well.
        Closed = "closed", "connections that have ended";
        /// A bug in the program has ended what it was doing.
        Panic = "panic", "bugs";
    }
}

impl Class {
    fn rate(self) -> Rate {
        match self {
            Self::Closed => OFTEN,
            _ => SELDOM,
        }
    }

    /// Returns the level of the line that counts lines of this class that were held back.
    pub(super) fn summary_level(self) -> Level {
        match self {
            Self::Closed | Self::Unused => Level::Info,
            _ => Level::Warning,
        }
    }
}

/// The limits of all classes.
#[derive(Debug)]
pub(super) struct Limiter {
    /// One for each class, in the order of [`Class::ALL`].
    buckets: [Bucket; Class::ALL.len()],
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The number of tokens that are missing from the full bucket.
    spent: u32,
    /// The time at which the last token came back; `None` before the first line.
    filled: Option<Instant>,
    held: Option<Held>,
}

/// The lines that were held back since their count was last logged.
#[derive(Debug, Clone, Copy)]
struct Held {
    count: u64,
    first: Instant,
    last: Instant,
}

impl Limiter {
    pub(super) const fn new() -> Self {
        const FULL: Bucket = Bucket {
            spent: 0,
            filled: None,
            held: None,
        };
        Self {
            buckets: [FULL; Class::ALL.len()],
        }
    }

    /// Returns whether a line of this class may be written now. If not, counts it as held back.
    pub(super) fn admit(&mut self, class: Class, now: Instant) -> bool {
        class == Class::Daemon || self.buckets[class as usize].admit(class.rate(), now)
    }

    /// Returns a class whose count of lines held back is due to be logged, with that count, and sets the
    /// count to zero.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Class, u64)> {
        self.take_if(|held| held.due() <= now)
    }

    /// Returns a class and its count as [`take_due`](Self::take_due) does, even if it is not due yet.
    pub(super) fn take_any(&mut self) -> Option<(Class, u64)> {
        self.take_if(|_| true)
    }

    /// Returns the time at which a count is next due, if no more lines come; `None` if there is no count.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let held = self.buckets.iter().filter_map(|bucket| bucket.held);
        held.map(Held::due).min()
    }

    fn take_if(&mut self, wanted: impl Fn(Held) -> bool) -> Option<(Class, u64)> {
        let mut limits = Class::ALL.into_iter().zip(&mut self.buckets);
        limits.find_map(|(class, bucket)| {
            let held = bucket.held.take_if(|held| wanted(*held))?;
            Some((class, held.count))
        })
    }
}

impl Bucket {
    fn admit(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        if self.spent < rate.burst {
            self.spent += 1;
            return true;
        }
        let held = self.held.get_or_insert(Held {
            count: 0,
            first: now,
            last: now,
        });
        held.count += 1;
        held.last = now;
        false
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let filled = *self.filled.get_or_insert(now);
        let waited = now.saturating_duration_since(filled);
        if waited >= rate.interval * self.spent {
            self.spent = 0;
            self.filled = Some(now);
            return;
        }
        // This is less than `spent`, so it fits.
        let earned = (waited.as_nanos() / rate.interval.as_nanos()) as u32;
        self.spent -= earned;
        self.filled = Some(filled + rate.interval * earned);
    }
}

impl Held {
    fn due(self) -> Instant {
        (self.last + EBB).min(self.first + OVERDUE)
    }
}

#[cfg(test)]
mod tests;
