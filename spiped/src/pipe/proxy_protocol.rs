//! The header of the PROXY protocol, versions 1 and 2, which tells a server behind a proxy the address of
//! the client (haproxy's proxy-protocol.txt). Here are its bytes only:
//! [`connection`](crate::pipe::connection) reads and sends them.

mod crc32c;
mod fields;
mod parse;

use std::net::{IpAddr, SocketAddr};

pub use parse::{HeaderError, Progress, parse};

use crate::config::values::ProxyVersion;

/// The first 12 bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The byte of version 2 and the command LOCAL: the connection is the proxy's own.
const LOCAL: u8 = 0x20;
/// The byte of version 2 and the command PROXY: the proxy passes a connection on.
const PROXY: u8 = 0x21;
/// The bytes of an address family and a transport protocol.
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// The type of the field with the client's name, from the range that the protocol leaves to applications.
const CLIENT: u8 = 0xe0;

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPair {
    /// The address of the client.
    pub source: SocketAddr,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
}

impl AddressPair {
    /// Returns both IP addresses in one family: IPv4 if both can be, else IPv6.
    fn of_one_family(self) -> (IpAddr, IpAddr) {
        let [source, destination] = [self.source, self.destination].map(|end| end.ip());
        let [source, destination] = [source, destination].map(|ip| ip.to_canonical());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V6(_)) => (source.to_ipv6_mapped().into(), destination),
            (IpAddr::V6(_), IpAddr::V4(destination)) => {
                (source, destination.to_ipv6_mapped().into())
            }
            alike => alike,
        }
    }
}

/// Returns the header of a connection between the addresses `pair`, which are `None` for a unix socket.
/// Version 2 also has the name of the client, cut to 255 bytes, in a field of type 0xE0.
#[must_use]
pub fn header(version: ProxyVersion, pair: Option<AddressPair>, client: Option<&str>) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => line(pair).into_bytes(),
        ProxyVersion::V2 => binary(pair, client),
    }
}

fn line(pair: Option<AddressPair>) -> String {
    let Some(pair) = pair else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let (source, destination) = pair.of_one_family();
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let [from, to] = [pair.source.port(), pair.destination.port()];
    format!("PROXY {family} {source} {destination} {from} {to}\r\n")
}

fn binary(pair: Option<AddressPair>, client: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    let (command, family) = match pair.map(|pair| (pair, pair.of_one_family())) {
        None => (LOCAL, UNSPECIFIED),
        Some((pair, addresses)) => {
            let family = match addresses {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    body.extend([source.octets(), destination.octets()].as_flattened());
                    TCP_OVER_IPV4
                }
                (source, destination) => {
                    for ip in [source, destination] {
                        body.extend(match ip {
                            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                            IpAddr::V6(ip) => ip.octets(),
                        });
                    }
                    TCP_OVER_IPV6
                }
            };
            body.extend(pair.source.port().to_be_bytes());
            body.extend(pair.destination.port().to_be_bytes());
            (PROXY, family)
        }
    };
    if let Some(client) = client {
        let name = client.as_bytes().iter().copied().take(u8::MAX.into());
        let length = u8::try_from(client.len()).unwrap_or(u8::MAX);
        body.extend([CLIENT, 0, length]);
        body.extend(name);
    }
    // The body has at most 36 + 3 + 255 bytes: addresses, head of the field, name.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(body);
    header
}

#[cfg(test)]
mod tests;
