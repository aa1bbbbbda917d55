//! The connections that have not proved the key yet, and who of them goes when there are too many.
//!
//! Whoever comes is let in. At a bound another one goes for it: one that has said nothing, if there
//! is any, else one that has; of either kind the one that came first. So strangers neither make
//! anybody wait nor add up, and a client that goes on with its handshake outlasts any number of
//! silent ones. What becomes of a connection once it has proved the key is no business of this
//! module.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spiped_tokio::{Peer, Socket};
use tokio::sync::{Notify, oneshot};

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At all.
    pub all: NonZeroUsize,
    /// From one source; `None` for no bound of its own.
    pub per_source: Option<NonZeroUsize>,
}

/// Why one had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// There were as many as there may be.
    All,
    /// There were as many from this source as there may be.
    PerSource,
    /// The system had no descriptors or memory for another connection.
    System,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "--max-unproved",
            Self::PerSource => "--max-unproved-per-source",
            Self::System => "the system is short of open files or memory",
        })
    }
}

/// Who counts as one source: an IPv4 address, or an IPv6 network of 64 bits, which one machine has
/// to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    /// `None` for clients of a unix socket, which all look the same.
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

/// The order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    has_spoken: bool,
    arrival: u64,
}

/// All of them.
#[derive(Debug)]
pub struct Strangers {
    bounds: Bounds,
    present: Mutex<Present>,
    /// Told each time that one has left.
    left: Notify,
}

#[derive(Debug, Default)]
struct Present {
    arrivals: u64,
    strangers: BTreeMap<Rank, Stranger>,
    by_source: HashMap<Source, BTreeSet<Rank>>,
}

#[derive(Debug)]
struct Stranger {
    source: Option<Source>,
    evict: oneshot::Sender<Shortage>,
}

/// One's presence among them, which ends when this is dropped.
#[derive(Debug)]
pub struct Stay {
    strangers: Arc<Strangers>,
    rank: Rank,
    evicted: oneshot::Receiver<Shortage>,
}

impl Strangers {
    /// Nobody yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            present: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// Lets one in. If a bound is reached, another one goes.
    #[must_use]
    pub fn enter(self: &Arc<Self>, peer: Peer) -> Stay {
        let mut present = self.present();
        let source = self.bounds.per_source.and_then(|_| Source::of(peer));
        present.make_room(self.bounds, source);
        let (evict, evicted) = oneshot::channel();
        let rank = Rank {
            has_spoken: false,
            arrival: present.arrivals,
        };
        present.arrivals += 1;
        present.insert(rank, Stranger { source, evict });
        Stay {
            strangers: Arc::clone(self),
            rank,
            evicted,
        }
    }

    /// Has one go because the system is short of something, and waits until it has gone; false if
    /// there is none.
    pub async fn relieve(&self) -> bool {
        let left = self.left.notified();
        let first = self.present().first(None);
        let Some(rank) = first else {
            return false;
        };
        self.present().evict(rank, Shortage::System);
        left.await;
        true
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        // Nothing in here panics half-way.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn make_room(&mut self, bounds: Bounds, source: Option<Source>) {
        if let (Some(source), Some(bound)) = (source, bounds.per_source)
            && self.by_source.get(&source).map_or(0, BTreeSet::len) >= bound.get()
            && let Some(rank) = self.first(Some(source))
        {
            self.evict(rank, Shortage::PerSource);
        }
        if self.strangers.len() >= bounds.all.get()
            && let Some(rank) = self.first(None)
        {
            self.evict(rank, Shortage::All);
        }
    }

    /// Who goes first, of one source or of all.
    fn first(&self, source: Option<Source>) -> Option<Rank> {
        match source {
            Some(source) => self.by_source.get(&source)?.first().copied(),
            None => Some(*self.strangers.first_key_value()?.0),
        }
    }

    fn evict(&mut self, rank: Rank, shortage: Shortage) {
        if let Some(stranger) = self.remove(rank) {
            // Fails if it has just proved itself; then it is no stranger any more.
            let _ = stranger.evict.send(shortage);
        }
    }

    fn insert(&mut self, rank: Rank, stranger: Stranger) {
        if let Some(source) = stranger.source {
            self.by_source.entry(source).or_default().insert(rank);
        }
        self.strangers.insert(rank, stranger);
    }

    fn remove(&mut self, rank: Rank) -> Option<Stranger> {
        let stranger = self.strangers.remove(&rank)?;
        if let Some(source) = stranger.source
            && let Some(ranks) = self.by_source.get_mut(&source)
        {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.by_source.remove(&source);
            }
        }
        Some(stranger)
    }
}

impl Stay {
    /// Waits until this one has to go. Notes meanwhile whether something comes from it.
    pub async fn evicted(&mut self, connection: &Socket) -> Shortage {
        tokio::select! {
            biased;
            shortage = Self::wait(&mut self.evicted) => return shortage,
            () = connection.readable() => self.has_spoken(),
        }
        Self::wait(&mut self.evicted).await
    }

    async fn wait(evicted: &mut oneshot::Receiver<Shortage>) -> Shortage {
        match evicted.await {
            Ok(shortage) => shortage,
            // The sender lives as long as this one is present.
            Err(_) => std::future::pending().await,
        }
    }

    fn has_spoken(&mut self) {
        let mut present = self.strangers.present();
        if let Some(stranger) = present.remove(self.rank) {
            self.rank.has_spoken = true;
            present.insert(self.rank, stranger);
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.strangers.present().remove(self.rank);
        self.strangers.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(all: usize, per_source: usize) -> Arc<Strangers> {
        Arc::new(Strangers::new(Bounds {
            all: NonZeroUsize::new(all).unwrap(),
            per_source: NonZeroUsize::new(per_source),
        }))
    }

    fn peer(ip: &str) -> Peer {
        Peer::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
    }

    /// Lets one in from each address.
    fn enter(strangers: &Arc<Strangers>, ips: &[&str]) -> Vec<Stay> {
        ips.iter().map(|ip| strangers.enter(peer(ip))).collect()
    }

    /// Who has had to go, and why.
    fn evicted(stays: &mut [Stay]) -> Vec<(usize, Shortage)> {
        let stays = stays.iter_mut().enumerate();
        stays
            .filter_map(|(index, stay)| Some((index, stay.evicted.try_recv().ok()?)))
            .collect()
    }

    #[test]
    fn below_the_bounds_nobody_goes() {
        let strangers = strangers(3, 2);
        let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(evicted(&mut stays), []);
    }

    #[test]
    fn the_one_that_came_first_goes_first() {
        let strangers = strangers(2, 0);
        let mut stays = enter(&strangers, &["10.0.0.1"; 4]);
        assert_eq!(
            evicted(&mut stays),
            [(0, Shortage::All), (1, Shortage::All)]
        );
        assert_eq!(strangers.present().strangers.len(), 2);
    }

    #[test]
    fn silent_ones_go_before_those_that_have_spoken() {
        let strangers = strangers(3, 0);
        let mut stays = enter(&strangers, &["10.0.0.1"; 3]);
        stays[0].has_spoken();
        stays[2].has_spoken();
        stays.extend(enter(&strangers, &["10.0.0.1"; 2]));
        assert_eq!(
            evicted(&mut stays),
            [(1, Shortage::All), (3, Shortage::All)]
        );
        stays[4].has_spoken();
        stays.extend(enter(&strangers, &["10.0.0.1"]));
        assert_eq!(evicted(&mut stays), [(0, Shortage::All)]);
    }

    #[test]
    fn a_source_at_its_bound_loses_its_own() {
        let strangers = strangers(10, 2);
        let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
        stays.extend(enter(&strangers, &["10.0.0.2", "10.0.0.3"]));
        assert_eq!(evicted(&mut stays), [(1, Shortage::PerSource)]);
    }

    #[test]
    fn a_source_at_its_bound_costs_nobody_else_his_place() {
        let strangers = strangers(3, 2);
        let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
        stays.extend(enter(&strangers, &["10.0.0.2"; 100]));
        assert!(evicted(&mut stays).iter().all(|&(index, _)| index != 0));
    }

    #[test]
    fn who_has_left_counts_no_more() {
        let strangers = strangers(2, 1);
        drop(enter(&strangers, &["10.0.0.1", "10.0.0.2"]));
        let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2"]);
        assert_eq!(evicted(&mut stays), []);
        drop(stays);
        let present = strangers.present();
        assert!(present.strangers.is_empty() && present.by_source.is_empty());
    }

    #[test]
    fn speaking_after_the_eviction_changes_nothing() {
        let strangers = strangers(1, 0);
        let mut stays = enter(&strangers, &["10.0.0.1"; 2]);
        stays[0].has_spoken();
        assert_eq!(strangers.present().strangers.len(), 1);
        assert_eq!(evicted(&mut stays), [(0, Shortage::All)]);
    }

    #[test]
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        let source = |ip: &str| Source::of(peer(ip));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(source("10.0.0.1"), source("::ffff:10.0.0.1"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(Source::of(Peer::Unix), None);
    }

    #[tokio::test]
    async fn relief_waits_until_one_has_gone() {
        let strangers = strangers(3, 0);
        assert!(!strangers.relieve().await);
        let mut stays = enter(&strangers, &["10.0.0.1"; 2]);
        let second = stays.pop();
        let mut first = stays.pop().unwrap();
        let (relieved, shortage) = tokio::join!(strangers.relieve(), async {
            let shortage = Stay::wait(&mut first.evicted).await;
            drop(first);
            shortage
        });
        assert!(relieved);
        assert_eq!(shortage, Shortage::System);
        drop(second);
    }
}
