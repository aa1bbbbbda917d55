//! Where a socket is: an IP address with a port, or a path.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::net::zone;

/// One place that an [`Address`](crate::Address) stands for.
///
/// It is shown as the command line has it: `[127.0.0.1]:80`, `[fe80::1%eth0]:80`, `/run/socket`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IPv4 or IPv6 address with a port.
    Tcp(SocketAddr),
    /// The path of a unix stream socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.tcp().map(|address| address.port())
    }

    /// The IP address with its port.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => {
                f.write_str("[")?;
                zone::fmt_ip(address, f)?;
                write!(f, "]:{}", address.port())
            }
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Who has connected to a [`Listener`](crate::Listener).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The client's address and port.
    Tcp(SocketAddr),
    /// A client of a unix socket, which has no address of its own.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => Endpoint::Tcp(*address).fmt(f),
            Self::Unix => f.write_str("unix client"),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}
