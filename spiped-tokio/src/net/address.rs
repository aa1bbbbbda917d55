//! Addresses as people write them, and what they resolve to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dns_lookup::{AddrInfoHints, SockType};

/// Where to listen or connect, as written: `/absolute/unix/socket`, `host:port`,
/// `[1.2.3.4]:port` or `[v6::addr]:port`. With a host name, the port may be a service name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Unix(PathBuf),
    Ip(SocketAddr),
    Name { host: String, port: String },
}

/// One place that an [`Address`] stands for.
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
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
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

/// Why a text is not an address.
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
    /// The host before the colon is missing.
    #[error("no host in '{0}'")]
    NoHost(String),
    /// The path does not fit into a unix socket address.
    #[error("the socket path '{0}' is too long ({MAX_UNIX_PATH} bytes at most)")]
    LongPath(String),
    /// No connection starts from a unix socket.
    #[error("'{0}' is a unix socket, and connections start from IP addresses")]
    UnixBind(String),
}

/// `sockaddr_un` holds 108 bytes on Linux and 104 on the BSDs, a final 0 included.
const MAX_UNIX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            if text.len() > MAX_UNIX_PATH {
                return Err(AddressError::LongPath(text.to_owned()));
            }
            return Ok(Self(Form::Unix(text.into())));
        }
        let no_port = || AddressError::NoPort(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        if let Some(host) = host.strip_prefix('[') {
            let ip = host.strip_suffix(']').ok_or_else(no_port)?;
            return Ok(Self(Form::Ip(SocketAddr::new(
                parse_ip(ip)?,
                parse_port(port)?,
            ))));
        }
        if port.is_empty() {
            return Err(no_port());
        }
        if host.is_empty() {
            return Err(AddressError::NoHost(text.to_owned()));
        }
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            // A resolver would take the number modulo 65536.
            parse_port(port)?;
        }
        Ok(Self(Form::Name {
            host: host.to_owned(),
            port: port.to_owned(),
        }))
    }
}

fn parse_ip(ip: &str) -> Result<IpAddr, AddressError> {
    ip.parse().map_err(|_| AddressError::BadIp(ip.to_owned()))
}

fn parse_port(port: &str) -> Result<u16, AddressError> {
    // `u16::from_str` would take a plus sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(AddressError::BadPort(port.to_owned())),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Unix(path) => path.display().fmt(f),
            Form::Ip(address) => fmt_ip(*address, f),
            Form::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => fmt_ip(*address, f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// IPv4 in brackets too, as the command line has it.
fn fmt_ip(address: SocketAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "[{}]:{}", address.ip(), address.port())
}

impl Address {
    /// The address of a unix stream socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self(Form::Unix(path.to_owned()))
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

    /// Looks the address up; a host name goes to the system's resolver. May block.
    ///
    /// # Errors
    ///
    /// What the resolver says, in its words. The list is never empty.
    pub fn resolve_blocking(&self) -> io::Result<Vec<Endpoint>> {
        match &self.0 {
            Form::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
            Form::Ip(address) => Ok(vec![Endpoint::Tcp(*address)]),
            Form::Name { host, port } => look_up(host, port),
        }
    }

    /// Looks the address up, a host name on a blocking thread.
    ///
    /// # Errors
    ///
    /// As for [`resolve_blocking`](Self::resolve_blocking).
    pub async fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        let address = self.clone();
        match self.0 {
            Form::Unix(_) | Form::Ip(_) => address.resolve_blocking(),
            Form::Name { .. } => tokio::task::spawn_blocking(move || address.resolve_blocking())
                .await
                .map_err(io::Error::other)?,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Form::Ip(address))
    }
}

fn look_up(host: &str, port: &str) -> io::Result<Vec<Endpoint>> {
    let hints = AddrInfoHints {
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let mut endpoints = Vec::new();
    for found in dns_lookup::getaddrinfo(Some(host), Some(port), Some(hints))? {
        let endpoint = Endpoint::Tcp(found?.sockaddr);
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    if endpoints.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(endpoints)
}

/// A local address that outgoing connections start from (`-b`): `1.2.3.4`, `[1.2.3.4]`,
/// `[v6::addr]`, `v6::addr`, `host`, or one of them with `:port`. Without a port, the system
/// chooses one for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress(Address);

impl FromStr for BindAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let any_port = |ip| Ok(Self(SocketAddr::new(ip, 0).into()));
        if let Ok(ip) = text.parse() {
            return any_port(ip);
        }
        if let Some(ip) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return any_port(parse_ip(ip)?);
        }
        if text.starts_with('/') {
            return Err(AddressError::UnixBind(text.to_owned()));
        }
        if text.starts_with('[') || text.contains(':') {
            return text.parse().map(Self);
        }
        if text.is_empty() {
            return Err(AddressError::NoHost(text.to_owned()));
        }
        Ok(Self(Address(Form::Name {
            host: text.to_owned(),
            port: "0".to_owned(),
        })))
    }
}

impl BindAddress {
    /// The address with its port.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, AddressError> {
        text.parse().map(|address: Address| address.to_string())
    }

    #[test]
    fn every_form_is_parsed_and_shown_as_written() {
        for text in [
            "/run/spiped.sock",
            "localhost:80",
            "example.org:http",
            "[127.0.0.1]:80",
            "[::1]:65535",
            "1.2.3.4:80",
        ] {
            assert_eq!(shown(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let owned = str::to_owned;
        assert_eq!(
            shown("localhost"),
            Err(AddressError::NoPort(owned("localhost")))
        );
        assert_eq!(
            shown("localhost:"),
            Err(AddressError::NoPort(owned("localhost:")))
        );
        assert_eq!(shown("[::1]"), Err(AddressError::NoPort(owned("[::1]"))));
        assert_eq!(
            shown("relative/path"),
            Err(AddressError::NoPort(owned("relative/path")))
        );
        assert_eq!(shown(""), Err(AddressError::NoPort(String::new())));
        assert_eq!(shown(":80"), Err(AddressError::NoHost(owned(":80"))));
        assert_eq!(shown("[]:80"), Err(AddressError::BadIp(String::new())));
        assert_eq!(shown("[host]:80"), Err(AddressError::BadIp(owned("host"))));
        for port in ["", "65536", "+1", "-1", "http", "1 "] {
            assert_eq!(
                shown(&format!("[::1]:{port}")),
                Err(AddressError::BadPort(owned(port)))
            );
        }
        assert_eq!(
            shown("localhost:65536"),
            Err(AddressError::BadPort(owned("65536")))
        );
        let long = format!("/{}", "x".repeat(MAX_UNIX_PATH));
        assert_eq!(shown(&long), Err(AddressError::LongPath(long.clone())));
        assert!(shown(&long[1..].replacen('x', "/", 1)).is_ok());
    }

    #[test]
    fn a_bind_address_may_go_without_a_port() {
        for (text, expected) in [
            ("127.0.0.7", "[127.0.0.7]:0"),
            ("[127.0.0.7]", "[127.0.0.7]:0"),
            ("[127.0.0.7]:5555", "[127.0.0.7]:5555"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("localhost", "localhost:0"),
            ("localhost:99", "localhost:99"),
        ] {
            let bind: BindAddress = text.parse().unwrap();
            assert_eq!(bind.address().to_string(), expected);
        }
        assert!("".parse::<BindAddress>().is_err());
        assert!("/run/socket".parse::<BindAddress>().is_err());
        assert!("[x]".parse::<BindAddress>().is_err());
        assert!("[x".parse::<BindAddress>().is_err());
    }

    #[tokio::test]
    async fn names_and_services_are_resolved() {
        let address: Address = "localhost:0".parse().unwrap();
        let endpoints = address.resolve().await.unwrap();
        assert!(endpoints.iter().all(|endpoint| match endpoint {
            Endpoint::Tcp(address) => address.ip().is_loopback(),
            Endpoint::Unix(_) => false,
        }));
        let unknown: Address = "no-such-name.invalid:80".parse().unwrap();
        assert!(unknown.resolve().await.is_err());
    }
}
