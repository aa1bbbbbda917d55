//! How many file descriptors the process may have open, and how many connections that carries.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A connection is two sockets.
const PER_CONNECTION: u64 = 2;
/// For everything that is no connection: standard streams, listener, runtime, resolver and log.
const RESERVE: u64 = 64;

/// The limit on open file descriptors (`RLIMIT_NOFILE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit(u64);

impl DescriptorLimit {
    /// Raises the soft limit as far as the hard one allows, and returns what is then in force.
    ///
    /// A system that refuses to raise it keeps its old limit; that alone is no error.
    ///
    /// # Errors
    ///
    /// The limit cannot be read.
    pub fn raise() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        Ok(Self(if raised { hard } else { soft }))
    }

    /// A limit of so many.
    #[cfg(test)]
    pub(crate) fn of(descriptors: u64) -> Self {
        Self(descriptors)
    }

    /// How many connections fit at a time, two descriptors each and a reserve.
    #[must_use]
    pub fn connections(self) -> u64 {
        self.0.saturating_sub(RESERVE) / PER_CONNECTION
    }

    /// How many descriptors are left for connections that are not served, beside as many as may be
    /// (`None` for no limit): an eighth of all at least.
    #[must_use]
    pub fn beside(self, connections: Option<u64>) -> u64 {
        let all = self.0.saturating_sub(RESERVE);
        let taken = connections.map_or(all / 2, |max| max.saturating_mul(PER_CONNECTION));
        all.saturating_sub(taken).max(all / 8)
    }

    /// Whether that many connections fit at a time.
    #[must_use]
    pub fn suffices_for(self, connections: u64) -> bool {
        connections <= self.connections()
    }
}

/// The bare number of descriptors.
impl std::fmt::Display for DescriptorLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether something failed for want of what another connection has.
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
        let limit = DescriptorLimit(1024);
        assert_eq!(limit.connections(), 480);
        assert!(limit.suffices_for(480));
        assert!(!limit.suffices_for(481));
    }

    #[test]
    fn those_who_are_not_served_get_what_is_left() {
        let limit = DescriptorLimit(1064);
        assert_eq!(limit.beside(Some(100)), 800);
        assert_eq!(limit.beside(Some(1000)), 125);
        assert_eq!(limit.beside(Some(u64::MAX)), 125);
        assert_eq!(limit.beside(None), 500);
        assert_eq!(DescriptorLimit(10).beside(None), 0);
    }

    #[test]
    fn a_tiny_limit_carries_none() {
        assert_eq!(DescriptorLimit(10).connections(), 0);
        assert!(DescriptorLimit(10).suffices_for(0));
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard / 2, hard).unwrap();
        assert_eq!(DescriptorLimit::raise().unwrap(), DescriptorLimit(hard));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
