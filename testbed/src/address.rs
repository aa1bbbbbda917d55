//! Addresses as the command line spells them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::{TempDir, free_port};

/// What a hop goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over IPv4 loopback.
    V4,
    /// TCP over IPv6 loopback.
    V6,
    /// A unix socket.
    Unix,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port of loopback.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// An address nobody listens on; a unix socket's path lies in `dir`.
    pub fn free(transport: Transport, dir: &TempDir, name: &str) -> Self {
        let ip: IpAddr = match transport {
            Transport::V4 => Ipv4Addr::LOCALHOST.into(),
            Transport::V6 => Ipv6Addr::LOCALHOST.into(),
            Transport::Unix => return Self::Unix(dir.join(name)),
        };
        Self::Tcp(SocketAddr::new(ip, free_port()))
    }

    /// The same for TCP over IPv4.
    pub fn free_v4() -> Self {
        Self::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port()))
    }

    /// The address of a TCP port.
    ///
    /// # Panics
    /// When it is a unix socket.
    pub fn tcp(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "[{}]:{}", address.ip(), address.port()),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
