//! Addresses as people write them, and what they resolve to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType};
use tokio::sync::oneshot;

use crate::net::endpoint::Endpoint;
use crate::net::zone;

/// Where to listen or connect, as written: `/absolute/unix/socket`, `host:port`,
/// `[1.2.3.4]:port`, `[v6::addr]:port` or `[fe80::addr%interface]:port`. With a host name, which has
/// 1024 bytes at most, the port may be a service name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Unix(PathBuf),
    Ip(SocketAddr),
    /// A link-local address with its interface.
    Zoned {
        ip: Ipv6Addr,
        zone: String,
        port: u16,
    },
    Name {
        host: String,
        port: String,
    },
}

/// Why a text is not an address. Only the beginning of a text that is very long is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is nothing behind the last colon, or no colon.
    #[error("no port in '{0}' (write host:port, [address]:port or /path/of/a/socket)")]
    NoPort(String),
    /// The part in brackets is no IPv4 or IPv6 address.
    #[error("'{0}' is not an IPv4 or IPv6 address")]
    BadIp(String),
    /// The port is not a number from 0 to 65535, nor, behind a host name, the name of a service.
    #[error("'{0}' is not a port number")]
    BadPort(String),
    /// No connection goes to port 0.
    #[error("'{0}' has port 0, which nothing can connect to")]
    NoTargetPort(String),
    /// A link-local address exists on each network, so it takes an interface to say which is meant.
    #[error("'{0}' is link-local and needs its network interface (write {0}%eth0, for one)")]
    NoZone(Ipv6Addr),
    /// The host before the colon is missing.
    #[error("no host in '{0}'")]
    NoHost(String),
    /// The host is longer than the name of one can be.
    #[error("the host '{0}' is too long ({MAX_HOST} bytes at most)")]
    LongHost(String),
    /// The path does not fit into a unix socket address.
    #[error("the socket path '{0}' is too long ({MAX_UNIX_PATH} bytes at most)")]
    LongPath(String),
    /// No connection starts from a unix socket.
    #[error("'{0}' is a unix socket, and connections start from IP addresses")]
    UnixBind(String),
}

/// The longest name of a host in bytes, which is what fits into the buffers that resolvers of C offer
/// (`NI_MAXHOST` is 1025, a final 0 included). A name of the DNS has 253 bytes at most, but up to four times as
/// many where its bytes are written as numbers; and /etc/hosts may have longer ones.
const MAX_HOST: usize = 1024;
/// The longest name of a service in bytes (`NI_MAXSERV` is 32, a final 0 included).
const MAX_SERVICE: usize = 31;
/// The most characters of a text that an error repeats, which is more than a unix socket's path can have.
const MAX_REPEATED: usize = 200;

/// `sockaddr_un` holds 108 bytes on Linux and 104 on the BSDs, a final 0 included.
const MAX_UNIX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            if text.len() > MAX_UNIX_PATH {
                return Err(AddressError::LongPath(beginning(text)));
            }
            return Ok(Self(Form::Unix(text.into())));
        }
        let no_port = || AddressError::NoPort(beginning(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        if let Some(host) = host.strip_prefix('[') {
            let ip = host.strip_suffix(']').ok_or_else(no_port)?;
            if port.is_empty() {
                return Err(no_port());
            }
            return Self::of_ip(ip, parse_port(port)?);
        }
        if port.is_empty() {
            return Err(no_port());
        }
        if host.is_empty() {
            return Err(AddressError::NoHost(beginning(text)));
        }
        if !is_service_name(port) {
            parse_port(port)?;
        }
        match host.parse() {
            Ok(ip) if zone::is_link_local(ip) => Err(AddressError::NoZone(ip)),
            _ => Self::name(host, port),
        }
    }
}

/// The text, or its beginning if it is very long, for an error that is one line to read.
pub(crate) fn beginning(text: &str) -> String {
    match text.char_indices().nth(MAX_REPEATED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A port in digits: no sign and no space, which resolvers and `u16::from_str` take.
fn parse_port(port: &str) -> Result<u16, AddressError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(AddressError::BadPort(beginning(port))),
    }
}

/// Whether a port can be the name of a service (RFC 6335 section 5.1: it has a letter and no space), so
/// that no resolver takes it for a number, which it would reduce modulo 65536.
fn is_service_name(port: &str) -> bool {
    port.len() <= MAX_SERVICE
        && port.bytes().any(|byte| byte.is_ascii_alphabetic())
        && port.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Unix(path) => path.display().fmt(f),
            Form::Ip(address) => Endpoint::Tcp(*address).fmt(f),
            Form::Zoned { ip, zone, port } => write!(f, "[{ip}%{zone}]:{port}"),
            Form::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Address {
    /// The address of a unix stream socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self(Form::Unix(path.to_owned()))
    }

    /// A host name, and a port or the name of a service. Nothing but the length of the host is checked.
    pub(crate) fn name(host: &str, port: &str) -> Result<Self, AddressError> {
        if host.len() > MAX_HOST {
            return Err(AddressError::LongHost(beginning(host)));
        }
        Ok(Self(Form::Name {
            host: host.to_owned(),
            port: port.to_owned(),
        }))
    }

    /// An IP address as it stands in brackets, with a zone if it is link-local, and a port.
    pub(crate) fn of_ip(text: &str, port: u16) -> Result<Self, AddressError> {
        let bad_ip = || AddressError::BadIp(beginning(text));
        if let Some((ip, zone)) = text.split_once('%') {
            let ip = ip.parse().map_err(|_| bad_ip())?;
            if !zone::is_link_local(ip) || !zone::is_name(zone) {
                return Err(bad_ip());
            }
            let zone = zone.to_owned();
            return Ok(Self(Form::Zoned { ip, zone, port }));
        }
        match text.parse().map_err(|_| bad_ip())? {
            IpAddr::V6(ip) if zone::is_link_local(ip) => Err(AddressError::NoZone(ip)),
            ip => Ok(SocketAddr::new(ip, port).into()),
        }
    }

    /// Whether it is that of a unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.0, Form::Unix(_))
    }

    /// Whether it takes the system's resolver to look it up.
    #[must_use]
    pub fn is_name(&self) -> bool {
        matches!(self.0, Form::Name { .. })
    }

    /// Looks the name of a service up, if the port is one, but not the host. May block.
    ///
    /// # Errors
    ///
    /// This machine knows no such service.
    pub fn check_service(&self) -> io::Result<()> {
        let Form::Name { port, .. } = &self.0 else {
            return Ok(());
        };
        let found = dns_lookup::getaddrinfo(None, Some(port), Some(stream_hints()));
        match found.as_ref().map_err(LookupError::kind) {
            // Without a host it is the service alone that may be unknown.
            Err(LookupErrorKind::Service | LookupErrorKind::NoName) => Err(no_service(port)),
            _ => Ok(()),
        }
    }

    /// Whether it has a port, which is 0.
    pub(crate) fn has_port_zero(&self) -> bool {
        match &self.0 {
            Form::Unix(_) => false,
            Form::Ip(address) => address.port() == 0,
            Form::Zoned { port, .. } => *port == 0,
            Form::Name { port, .. } => port.parse() == Ok(0),
        }
    }

    /// Looks the address up; a host name goes to the system's resolver. May block.
    ///
    /// # Errors
    ///
    /// What the resolver says, in its words, or that there is no such interface. The list is never
    /// empty.
    pub fn resolve_blocking(&self) -> io::Result<Vec<Endpoint>> {
        match &self.0 {
            Form::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
            Form::Ip(address) => Ok(vec![Endpoint::Tcp(*address)]),
            Form::Zoned { ip, zone, port } => {
                let address = SocketAddrV6::new(*ip, *port, 0, zone::index(zone)?);
                Ok(vec![Endpoint::Tcp(address.into())])
            }
            Form::Name { host, port } => look_up(host, port),
        }
    }

    /// Looks the address up, a host name on a thread of its own.
    ///
    /// # Errors
    ///
    /// As for [`resolve_blocking`](Self::resolve_blocking); or the system has no thread.
    pub async fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        if !self.is_name() {
            return self.resolve_blocking();
        }
        let address = self.clone();
        let (found, looked_up) = oneshot::channel();
        // tokio's own threads would be a panic where the system has none.
        let thread = thread::Builder::new().name("look-up".to_owned());
        let spawned = thread.spawn(move || {
            // Nobody may be waiting any more.
            let _ = found.send(address.resolve_blocking());
        });
        spawned.map_err(|error| {
            io::Error::new(error.kind(), format!("no thread to be had: {error}"))
        })?;
        looked_up.await.map_err(io::Error::other)?
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Form::Ip(address))
    }
}

fn look_up(host: &str, port: &str) -> io::Result<Vec<Endpoint>> {
    let found = dns_lookup::getaddrinfo(Some(host), Some(port), Some(stream_hints()));
    let mut endpoints = Vec::new();
    for found in found.map_err(|error| look_up_error(error, port))? {
        let address = found?.sockaddr;
        let endpoint = Endpoint::Tcp(address);
        if !zone::lacks_zone(&address) && !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    if endpoints.is_empty() {
        return Err(io::Error::other("the name has no address to connect to"));
    }
    Ok(endpoints)
}

fn stream_hints() -> AddrInfoHints {
    AddrInfoHints {
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    }
}

fn look_up_error(error: LookupError, port: &str) -> io::Error {
    match error.kind() {
        LookupErrorKind::Service => no_service(port),
        _ => error.into(),
    }
}

fn no_service(name: &str) -> io::Error {
    let text =
        format!("there is no service '{name}' in /etc/services (write the port as a number)");
    io::Error::new(io::ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests;
