//! The limit on open file descriptors, and the number of connections that it allows.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use super::system_error::{SystemError, cannot};

/// Descriptors of one connection: its two sockets.
const PER_CONNECTION: u64 = 2;
/// Descriptors that are kept for everything but connections: standard streams, listener, resolver, log.
const RESERVE: u64 = 64;
/// Descriptors of the event loop of one worker.
const PER_WORKER: u64 = 4;
/// Workers take at most one descriptor in this many.
const WORKERS_SHARE: u64 = 4;
/// `OPEN_MAX` of macOS, which refuses a soft limit above it if the hard limit is infinite.
const OPEN_MAX: rlim_t = 10_240;

/// The limit on open file descriptors (`RLIMIT_NOFILE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdLimit {
    /// The limit, in descriptors.
    all: u64,
    /// The number of workers that there will be.
    workers: u64,
}

impl FdLimit {
    /// Raises the soft limit to the hard limit, and returns the limit that is then in force. There will be
    /// a worker for each of `processors`, or fewer if the limit is low.
    ///
    /// If the system refuses to raise the limit, the old limit stays; that is no error.
    ///
    /// # Errors
    ///
    /// The limit cannot be read.
    pub fn raise(processors: usize) -> Result<Self, SystemError> {
        let (soft, hard) =
            getrlimit(Resource::RLIMIT_NOFILE).map_err(cannot("read the limit of open files"))?;
        let limit = highest(soft, hard, |&limit| {
            setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_ok()
        });
        Ok(Self::shared(count(limit), processors))
    }

    fn shared(all: u64, processors: usize) -> Self {
        let most = (all / WORKERS_SHARE / PER_WORKER).max(1);
        let processors = u64::try_from(processors).unwrap_or(u64::MAX);
        Self {
            all,
            workers: processors.min(most),
        }
    }

    /// Returns the number of workers that there will be.
    #[must_use]
    pub fn workers(self) -> usize {
        usize::try_from(self.workers).unwrap_or(usize::MAX)
    }

    /// Returns the number of descriptors that connections cannot have.
    fn reserve(self) -> u64 {
        self.workers
            .saturating_mul(PER_WORKER)
            .saturating_add(RESERVE)
    }

    /// Makes a limit of so many descriptors, without workers.
    #[cfg(test)]
    pub(crate) fn of(descriptors: u64) -> Self {
        Self {
            all: descriptors,
            workers: 0,
        }
    }

    /// Returns how many connections may be open at a time, with two descriptors each.
    #[must_use]
    pub fn connections(self) -> u64 {
        self.all.saturating_sub(self.reserve()) / PER_CONNECTION
    }

    /// Returns how many descriptors are left for connections that are not served yet, if `connections`
    /// are served (`None` for no limit). At least an eighth of all is left.
    #[must_use]
    pub fn beside(self, connections: Option<u64>) -> u64 {
        let all = self.all.saturating_sub(self.reserve());
        let taken = connections.map_or(all / 2, |max| max.saturating_mul(PER_CONNECTION));
        all.saturating_sub(taken).max(all / 8)
    }

    /// Whether so many connections may be open at a time.
    #[must_use]
    pub fn suffices_for(self, connections: u64) -> bool {
        connections <= self.connections()
    }
}

/// Writes the number of descriptors.
impl std::fmt::Display for FdLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all.fmt(f)
    }
}

/// Raises a soft limit by `set`, which says whether it worked. Tries the hard limit first, then `OPEN_MAX`.
/// Returns the soft limit that is then in force.
fn highest(soft: rlim_t, hard: rlim_t, set: impl FnMut(&rlim_t) -> bool) -> rlim_t {
    let higher = [hard, OPEN_MAX.min(hard)].into_iter();
    let mut higher = higher.filter(|&limit| limit > soft);
    higher.find(set).unwrap_or(soft)
}

/// Converts a limit to one type for all systems: `rlim_t` has 32 or 64 bits, with a sign or without.
fn count(limit: impl TryInto<u64>) -> u64 {
    limit.try_into().unwrap_or(u64::MAX)
}

/// Whether a call failed because the system lacks descriptors or memory, which other connections have.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_a_connection_and_a_reserve() {
        let limit = FdLimit::of(1024);
        assert_eq!(limit.connections(), 480);
        assert!(limit.suffices_for(480));
        assert!(!limit.suffices_for(481));
    }

    #[test]
    fn those_who_are_not_served_get_what_is_left() {
        let limit = FdLimit::of(1064);
        assert_eq!(limit.beside(Some(100)), 800);
        assert_eq!(limit.beside(Some(1000)), 125);
        assert_eq!(limit.beside(Some(u64::MAX)), 125);
        assert_eq!(limit.beside(None), 500);
        assert_eq!(FdLimit::of(10).beside(None), 0);
    }

    #[test]
    fn a_tiny_limit_carries_none() {
        assert_eq!(FdLimit::of(10).connections(), 0);
        assert!(FdLimit::of(10).suffices_for(0));
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard / 2, hard).unwrap();
        assert_eq!(FdLimit::raise(0).unwrap(), FdLimit::of(count(hard)));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }

    #[test]
    fn a_system_that_refuses_the_hard_limit_gets_the_highest_it_takes() {
        let infinite = rlim_t::MAX;
        assert_eq!(highest(256, infinite, |_| true), infinite);
        assert_eq!(highest(256, infinite, |&limit| limit <= OPEN_MAX), OPEN_MAX);
        assert_eq!(highest(256, infinite, |_| false), 256);
        assert_eq!(highest(256, 1024, |&limit| limit <= OPEN_MAX), 1024);
    }

    #[test]
    fn a_limit_is_never_lowered() {
        let refuse_infinite = |&limit: &rlim_t| limit <= OPEN_MAX;
        assert_eq!(highest(20_000, rlim_t::MAX, refuse_infinite), 20_000);
        assert_eq!(highest(1024, 1024, |_| panic!("nothing to raise")), 1024);
    }

    #[test]
    fn workers_take_four_each_and_a_quarter_at_most() {
        let with = |all, processors| {
            let limit = FdLimit::shared(all, processors);
            (limit.workers(), limit.connections())
        };
        assert_eq!(with(1024, 3), (3, 474));
        assert_eq!(with(1024, 1000), (64, 352));
        assert_eq!(with(100, 2), (2, 14));
        assert_eq!(with(100, 1000), (6, 6));
    }
}
