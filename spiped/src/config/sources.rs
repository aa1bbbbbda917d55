//! Compares endpoints: which two cannot both be listened at, and which target leads to which source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use spiped_tokio::Endpoint;

use crate::os::host;

/// The addresses of one port that one socket listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Range {
    V4(Ipv4Addr),
    AllV4,
    V6(Ipv6Addr),
    All,
}

impl Range {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Self::AllV4,
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Self::All,
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }

    fn is_v4(self) -> bool {
        matches!(self, Self::V4(_) | Self::AllV4)
    }

    /// Whether the system refuses to bind a socket to one while another is bound to the other (ip(7),
    /// ipv6(7)).
    fn excludes(self, other: Self) -> bool {
        self == other
            || match (self, other) {
                (Self::All, of) | (of, Self::All) => !of.is_v4() || host::ipv6_takes_ipv4(),
                (Self::AllV4, of) | (of, Self::AllV4) => of.is_v4(),
                _ => false,
            }
    }
}

/// The endpoints that pipes listen at, each with the name `N` of its pipe.
#[derive(Debug)]
pub(crate) struct Sources<N> {
    ports: HashMap<u16, Vec<(Range, u32, N)>>,
    paths: HashMap<PathBuf, N>,
}

impl<N: Clone> Sources<N> {
    pub(crate) fn new() -> Self {
        Self {
            ports: HashMap::new(),
            paths: HashMap::new(),
        }
    }

    /// Adds an endpoint under a name. Returns the name of an earlier one that cannot be listened at together
    /// with it, if there is one. Port 0, which stands for any free port, excludes nothing.
    pub(crate) fn add(&mut self, endpoint: &Endpoint, name: N) -> Option<N> {
        let address = match endpoint {
            Endpoint::Unix(path) => return self.paths.insert(real(path), name),
            Endpoint::Tcp(address) if address.port() == 0 => return None,
            Endpoint::Tcp(address) => address,
        };
        let (range, zone) = (Range::of(address.ip()), zone(address));
        let there = self.ports.entry(address.port()).or_default();
        let excluded = there.iter().find(|(other, other_zone, _)| {
            range.excludes(*other) && (zone == *other_zone || range != *other)
        });
        let excluded = excluded.map(|(_, _, name)| name.clone());
        there.push((range, zone, name));
        excluded
    }
}

fn zone(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// Returns the path of a socket without links and `..`; if its folder does not exist, as it was given.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether a connection to `target` is accepted by a socket that listens at `source`.
pub(crate) fn leads_to(target: &Endpoint, source: &Endpoint) -> bool {
    match (target, source) {
        (Endpoint::Unix(target), Endpoint::Unix(source)) => {
            target.file_name() == source.file_name() && real(target) == real(source)
        }
        (Endpoint::Tcp(target), Endpoint::Tcp(source)) if target.port() == source.port() => {
            let [to, at] = [target.ip(), source.ip()].map(Range::of);
            to == at || (to.excludes(at) && host::has_address(target.ip()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Endpoint {
        Endpoint::Tcp(text.parse().unwrap())
    }

    fn exclude(one: &str, other: &str) -> bool {
        let mut sources = Sources::new();
        assert_eq!(sources.add(&tcp(one), 1), None);
        sources.add(&tcp(other), 2).is_some()
    }

    /// Whether the system lets nobody listen at both.
    fn cannot_both_be_bound(one: &str, other: &str) -> Option<bool> {
        let mut one: SocketAddr = one.parse().unwrap();
        let mut other: SocketAddr = other.parse().unwrap();
        one.set_port(0);
        let first = std::net::TcpListener::bind(one).ok()?;
        other.set_port(first.local_addr().unwrap().port());
        Some(std::net::TcpListener::bind(other).is_err())
    }

    #[test]
    fn what_cannot_both_be_bound_is_what_the_system_refuses() {
        let ips = ["0.0.0.0", "127.0.0.1", "127.0.0.2", "[::]", "[::1]"];
        for one in ips {
            for other in ips {
                let [one, other] = [one, other].map(|ip| format!("{ip}:7000"));
                if let Some(refused) = cannot_both_be_bound(&one, &other) {
                    assert_eq!(exclude(&one, &other), refused, "{one} and {other}");
                }
            }
        }
        assert!(!exclude("0.0.0.0:7000", "127.0.0.1:7001"));
        assert!(!exclude("127.0.0.1:0", "127.0.0.1:0"));
    }

    #[test]
    fn a_target_leads_to_whoever_listens_there() {
        let leads = |target: &str, source: &str| leads_to(&tcp(target), &tcp(source));
        assert!(leads("127.0.0.1:80", "127.0.0.1:80"));
        assert!(leads("127.0.0.2:80", "0.0.0.0:80"));
        assert!(leads("[::1]:80", "[::]:80"));
        assert!(!leads("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!leads("127.0.0.1:80", "0.0.0.0:81"));
        // An address for documentation (RFC 5737) is nobody's.
        assert!(!leads("192.0.2.1:80", "0.0.0.0:80"));
    }
}
