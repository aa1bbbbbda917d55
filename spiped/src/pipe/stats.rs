//! The statistics of a pipe: its open connections, and the sums of those that have ended.
//!
//! They are written when a connection begins and when it ends, and added up when status or metrics are
//! asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::Keys;
use crate::pipe::close_reason::CloseReason;
use crate::pipe::connection_info::ConnectionInfo;

/// The statistics of one pipe.
#[derive(Debug, Default)]
pub struct PipeStats(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    /// Those that are open, by when they were accepted.
    open: BTreeMap<u64, Arc<ConnectionInfo>>,
    ended: BTreeMap<Client, Totals>,
    /// The clients among these that had no key any more at the last reload.
    without_key: BTreeSet<Arc<str>>,
    /// The sums over the connections of clients that were forgotten.
    forgotten: Totals,
}

/// The client whose key a connection has proved to hold; `None` for other connections.
pub type Client = Option<Arc<str>>;

/// The sums over connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// The number of connections that are open; status and metrics call them active.
    pub open: u64,
    /// The number of connections that have ended, in the order of [`CloseReason::ALL`].
    ended: [u64; CloseReason::ALL.len()],
    /// Plaintext bytes that came from the source.
    pub from_source: u64,
    /// Plaintext bytes that went to the source.
    pub to_source: u64,
    /// The times that handshakes took.
    pub handshakes: Histogram,
    /// The number of handshakes that are done, by version of the protocol: 1 and 2.
    pub handshakes_by_protocol: [u64; 2],
    /// The times that connecting to the target took.
    pub dials: Histogram,
}

impl Totals {
    /// Adds what `info` knows of a connection, open or ended; whether it is open is counted apart.
    fn add(&mut self, info: &ConnectionInfo) {
        let (from_source, to_source) = info.bytes();
        self.from_source += from_source;
        self.to_source += to_source;
        self.handshakes.observe(info.handshake.elapsed());
        let done = info.handshake.elapsed().and(info.protocol());
        for (version, count) in (1..).zip(&mut self.handshakes_by_protocol) {
            *count += u64::from(done == Some(version));
        }
        self.dials.observe(info.dial.elapsed());
    }

    /// Counts a connection as ended for `reason`.
    fn end(&mut self, reason: CloseReason) {
        self.ended[reason as usize] += 1;
    }

    /// Returns the number of connections that have ended, for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (CloseReason, u64)> + use<> {
        CloseReason::ALL.into_iter().zip(self.ended)
    }

    /// Returns the number of connections that have ended for one reason.
    #[must_use]
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended[reason as usize]
    }

    /// Returns the number of connections that have failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let failed = self.by_reason().filter(|(reason, _)| reason.is_failure());
        failed.map(|(_, count)| count).sum()
    }

    /// Returns the number of connections that have ended.
    #[must_use]
    pub fn all_ended(&self) -> u64 {
        self.ended.iter().sum()
    }
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        // The sums are named one by one, so that the compiler finds one that is left out.
        let Self {
            open,
            ended,
            from_source,
            to_source,
            handshakes,
            handshakes_by_protocol,
            dials,
        } = other;
        self.open += open;
        self.from_source += from_source;
        self.to_source += to_source;
        for (to, from) in self.ended.iter_mut().zip(ended) {
            *to += from;
        }
        self.handshakes += handshakes;
        let counts = self.handshakes_by_protocol.iter_mut();
        for (to, from) in counts.zip(handshakes_by_protocol) {
            *to += from;
        }
        self.dials += dials;
    }
}

/// A count of times, by length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The number of times up to each bound of [`BOUNDS`](Self::BOUNDS) and above the one before.
    pub buckets: [u64; Self::BOUNDS.len()],
    /// The number of times above all bounds.
    pub beyond: u64,
    /// The sum of all times.
    pub sum: Duration,
}

impl Histogram {
    /// The bounds in seconds: from less than a key exchange to the default timeout.
    pub const BOUNDS: [f64; 12] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0,
    ];

    /// Counts one time; `None` counts nothing.
    fn observe(&mut self, taken: Option<Duration>) {
        let Some(taken) = taken else { return };
        let bounds = Self::BOUNDS.iter().zip(&mut self.buckets);
        let mut fitting = bounds.filter(|(bound, _)| taken.as_secs_f64() <= **bound);
        match fitting.next() {
            Some((_, bucket)) => *bucket += 1,
            None => self.beyond += 1,
        }
        self.sum += taken;
    }

    /// Returns the number of times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        for (to, from) in self.buckets.iter_mut().zip(other.buckets) {
            *to += from;
        }
        self.beyond += other.beyond;
        self.sum += other.sum;
    }
}

impl PipeStats {
    /// Counts a connection, which is open until the guard is dropped.
    #[must_use]
    pub fn open_connection(self: &Arc<Self>, info: ConnectionInfo) -> ConnectionGuard {
        let info = Arc::new(info);
        let mut state = self.state();
        let number = state.accepted;
        state.accepted += 1;
        state.open.insert(number, Arc::clone(&info));
        ConnectionGuard {
            stats: Arc::clone(self),
            number,
            info,
            reason: None,
        }
    }

    /// Returns the number of connections that were ever accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// Returns the connections that are open, the oldest first.
    #[must_use]
    pub fn open_connections(&self) -> Vec<Arc<ConnectionInfo>> {
        self.state().open.values().map(Arc::clone).collect()
    }

    /// Forgets the clients that have neither a key nor an open connection at a reload, and had no key at the
    /// one before: what became of their last connections can be asked for until then.
    pub fn keep_clients(&self, keys: &Keys) {
        let mut state = self.state();
        let State {
            open,
            ended,
            without_key,
            forgotten,
            ..
        } = &mut *state;
        let open: BTreeSet<_> = open.values().filter_map(|info| info.client()).collect();
        let with_key: BTreeSet<_> = keys.clients().collect();
        ended.retain(|client, totals| {
            let is_kept = client.as_ref().is_none_or(|client| {
                with_key.contains(client) || open.contains(client) || !without_key.contains(client)
            });
            if !is_kept {
                *forgotten += totals;
            }
            is_kept
        });
        let ended = ended.keys().flatten();
        *without_key = ended
            .filter(|client| !with_key.contains(client))
            .cloned()
            .collect();
    }

    /// Returns the sums over all connections until now, open ones and those of forgotten clients included.
    #[must_use]
    pub fn all(&self) -> Totals {
        let mut all = self.state().forgotten.clone();
        for totals in self.totals().values() {
            all += totals;
        }
        all
    }

    /// Returns the sums over all connections until now, open ones included, for each client that is not
    /// forgotten.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<Client, Totals> {
        let state = self.state();
        let mut totals = state.ended.clone();
        let open: Vec<_> = state.open.values().map(Arc::clone).collect();
        drop(state);
        for info in open {
            let totals = totals.entry(info.client().cloned()).or_default();
            totals.open += 1;
            totals.add(&info);
        }
        totals
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No critical section panics with the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in the statistics; it is open until this is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    stats: Arc<PipeStats>,
    number: u64,
    info: Arc<ConnectionInfo>,
    /// `None` if the task that served it was ended: the connection is not counted then.
    reason: Option<CloseReason>,
}

impl ConnectionGuard {
    /// Returns what is known of the connection.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Counts the connection as ended for `reason`.
    pub fn end(mut self, reason: CloseReason) {
        self.reason = Some(reason);
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut state = self.stats.state();
        // Both changes are under one lock, so that the connection is in exactly one of the two sums at any
        // time.
        state.open.remove(&self.number);
        if let Some(reason) = self.reason {
            let client = self.info.client().cloned();
            let totals = state.ended.entry(client).or_default();
            totals.add(&self.info);
            totals.end(reason);
        }
    }
}

#[cfg(test)]
mod tests;
