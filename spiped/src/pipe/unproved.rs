//! The connections that have not proved the key yet, and which of them is closed when there are too many.
//!
//! A new connection is always let in. At a limit another one is closed for it: one that has sent nothing,
//! if there is any, else one that has; of either kind the oldest. It is one of the same source if that
//! source has reached a limit of its own. If a source has half of all places, it is one of that source,
//! whoever comes. So connections without a proof neither make others wait nor add up, a client that goes on
//! with its handshake outlasts any number of silent ones, and half of all places are left for others than
//! the one source that asks for the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spiped_tokio::{Peer, Socket};
use tokio::sync::oneshot;

/// The limits, in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of all sources.
    pub all: NonZeroUsize,
    /// Connections of one source; `None` leaves a source alone until there are too many of all.
    pub per_source: Option<NonZeroUsize>,
}

/// The reason why a connection was closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionReason {
    /// There were as many connections as the limit allows.
    All,
    /// There were as many connections from this source as its limit allows.
    PerSource,
    /// The system had no descriptors or memory for another connection.
    System,
}

impl fmt::Display for EvictionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "--max-unproved",
            Self::PerSource => "--max-unproved-per-source",
            Self::System => "the system is short of open files or memory",
        })
    }
}

/// The address that limits count by: an IPv4 address, or an IPv6 network of 64 bits, which one machine
/// has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source(IpAddr);

impl Source {
    /// Returns the source of `peer`; `None` for a unix socket, whose peers all look the same.
    fn of(peer: Peer) -> Option<Self> {
        let Peer::Tcp(address) = peer else {
            return None;
        };
        Some(Self(match address.ip().to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (!0 << 64)).into(),
            v4 @ IpAddr::V4(_) => v4,
        }))
    }
}

/// The place of a connection in the order in which they are closed: the lowest is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    has_sent: bool,
    arrival: u64,
}

/// The connections of a pipe that have not proved the key.
#[derive(Debug)]
pub struct UnprovedConnections {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    arrivals: u64,
    unproved: BTreeMap<Rank, Unproved>,
    by_source: BTreeMap<Source, BTreeSet<Rank>>,
    /// The sizes of all sources.
    by_size: BTreeSet<Size>,
}

/// The number of connections of a source, and the first of them. The source with the highest size makes room
/// first: of two with as many connections, the one whose first would be closed first.
type Size = (usize, Reverse<Rank>);

fn size_of(ranks: &BTreeSet<Rank>) -> Option<Size> {
    Some((ranks.len(), Reverse(*ranks.first()?)))
}

#[derive(Debug)]
struct Unproved {
    source: Option<Source>,
    evict: oneshot::Sender<EvictionReason>,
}

/// One connection without a proof, which is counted until this is dropped.
#[derive(Debug)]
pub struct UnprovedGuard {
    unproved: Arc<UnprovedConnections>,
    rank: Rank,
    source: Option<Source>,
    evicted: oneshot::Receiver<EvictionReason>,
}

impl UnprovedConnections {
    /// Starts without a connection.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            state: Mutex::new(State {
                bounds,
                arrivals: 0,
                unproved: BTreeMap::new(),
                by_source: BTreeMap::new(),
                by_size: BTreeSet::new(),
            }),
        }
    }

    /// Changes the limits, for connections that come from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.state().bounds = bounds;
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().unproved.len()
    }

    /// Lets a connection from `peer` in. At a limit another one is closed.
    #[must_use]
    pub fn add(self: &Arc<Self>, peer: Peer) -> UnprovedGuard {
        self.insert_from(Source::of(peer))
    }

    /// Lets a connection from a balancer in, whose source its header will tell.
    #[must_use]
    pub fn add_behind_balancer(self: &Arc<Self>) -> UnprovedGuard {
        self.insert_from(None)
    }

    fn insert_from(self: &Arc<Self>, source: Option<Source>) -> UnprovedGuard {
        let mut state = self.state();
        state.evict_if_full(source);
        let (evict, evicted) = oneshot::channel();
        let rank = Rank {
            has_sent: false,
            arrival: state.arrivals,
        };
        state.arrivals += 1;
        state.insert(rank, Unproved { source, evict });
        UnprovedGuard {
            unproved: Arc::clone(self),
            rank,
            source,
            evicted,
        }
    }

    /// Waits for the time `patience`, then closes the connections that have been silent all the while, as
    /// the system is short of descriptors or memory. Those that have sent something may be about to prove
    /// the key.
    pub async fn evict_silent(&self, patience: Duration) {
        let newcomer = self.state().arrivals;
        tokio::time::sleep(patience).await;
        let mut state = self.state();
        while let Some(rank) = state.first()
            && !rank.has_sent
            && rank.arrival < newcomer
        {
            state.evict(rank, EvictionReason::System);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No critical section panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn evict_if_full(&mut self, source: Option<Source>) {
        let bounds = self.bounds;
        let own = source.and_then(|source| self.by_source.get(&source));
        let count = own.map_or(0, BTreeSet::len);
        let of_its_own = own.and_then(|ranks| ranks.first()).copied();
        if bounds.per_source.is_some_and(|bound| count >= bound.get())
            && let Some(rank) = of_its_own
        {
            self.evict(rank, EvictionReason::PerSource);
        } else if self.unproved.len() >= bounds.all.get() {
            let of_the_largest = self.largest().map(|(largest, first)| {
                // Where two sources have half each, neither costs the other a place.
                of_its_own.filter(|_| count == largest).unwrap_or(first)
            });
            if let Some(rank) = of_the_largest.or_else(|| self.first()) {
                self.evict(rank, EvictionReason::All);
            }
        }
    }

    /// Returns the number of connections of the largest source, and the first of them to be closed. `None` if
    /// it has less than half of all places: then no source crowds the others out.
    fn largest(&self) -> Option<(usize, Rank)> {
        let &(count, Reverse(first)) = self.by_size.last()?;
        (count >= self.bounds.all.get().div_ceil(2)).then_some((count, first))
    }

    /// Returns the connection that is closed first.
    fn first(&self) -> Option<Rank> {
        Some(*self.unproved.first_key_value()?.0)
    }

    fn evict(&mut self, rank: Rank, reason: EvictionReason) {
        if let Some(connection) = self.remove(rank) {
            // This fails if the connection has just proved the key.
            let _ = connection.evict.send(reason);
        }
    }

    fn insert(&mut self, rank: Rank, connection: Unproved) {
        if let Some(source) = connection.source {
            self.change(source, |ranks| ranks.insert(rank));
        }
        self.unproved.insert(rank, connection);
    }

    fn remove(&mut self, rank: Rank) -> Option<Unproved> {
        let connection = self.unproved.remove(&rank)?;
        if let Some(source) = connection.source {
            self.change(source, |ranks| ranks.remove(&rank));
        }
        Some(connection)
    }

    /// Changes the connections of a source, and notes its size.
    fn change(&mut self, source: Source, change: impl FnOnce(&mut BTreeSet<Rank>) -> bool) {
        let ranks = self.by_source.entry(source).or_default();
        if let Some(before) = size_of(ranks) {
            self.by_size.remove(&before);
        }
        change(ranks);
        match size_of(ranks) {
            Some(now) => {
                self.by_size.insert(now);
            }
            None => {
                self.by_source.remove(&source);
            }
        }
    }
}

impl UnprovedGuard {
    /// Returns the address that the connection counts under: an IPv4 address, or the first one of a network of
    /// IPv6. `None` for a unix socket.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        self.source.map(|Source(address)| address)
    }

    /// Waits until the connection has to close. Notes meanwhile whether its peer sends something.
    pub async fn evicted(&mut self, connection: &Socket) -> EvictionReason {
        tokio::select! {
            biased;
            reason = Self::wait(&mut self.evicted) => return reason,
            () = connection.readable() => self.mark_sent(),
        }
        Self::wait(&mut self.evicted).await
    }

    async fn wait(evicted: &mut oneshot::Receiver<EvictionReason>) -> EvictionReason {
        match evicted.await {
            Ok(reason) => reason,
            // The sender lives as long as this guard.
            Err(_) => std::future::pending().await,
        }
    }

    fn mark_sent(&mut self) {
        let mut state = self.unproved.state();
        if let Some(connection) = state.remove(self.rank) {
            self.rank.has_sent = true;
            state.insert(self.rank, connection);
        }
    }
}

impl Drop for UnprovedGuard {
    fn drop(&mut self) {
        self.unproved.state().remove(self.rank);
    }
}

#[cfg(test)]
mod tests;
