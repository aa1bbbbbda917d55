//! Parses a header, which may be hostile or not whole yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    AddressPair, LOCAL, PROXY, SIGNATURE, TCP_OVER_IPV4, TCP_OVER_IPV6, UNSPECIFIED,
    fields::{self, Malformed},
};

/// The most bytes of a header of version 1, a line with its end.
const LINE_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
/// The least bytes of such a line.
const LINE_MIN: usize = b"PROXY UNKNOWN\r\n".len();
/// The bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// The most bytes of version 2 from the addresses on; with the bytes before, 4 KiB. Fields that are not
/// used may be long.
const REST_MAX: usize = 4096 - FIXED;

/// The progress of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes are missing. To read them does not go beyond the header's end.
    Missing(usize),
    /// The header is whole. It gives these addresses; `None` leaves the connection its own.
    Whole(Option<AddressPair>),
}

/// The reason why a header is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes do not begin like a header.
    #[error("there is none")]
    Missing,
    /// The line is too long.
    #[error("its line is too long")]
    LongLine,
    /// The line is not well formed.
    #[error("its line is not well formed")]
    Line,
    /// The version or the command is unknown.
    #[error("its version or command is unknown")]
    Command,
    /// The addresses are of an unknown kind, or cut short.
    #[error("its addresses are of an unknown kind, or cut short")]
    Addresses,
    /// The fields behind the addresses are not well formed.
    #[error("the fields behind its addresses are not well formed")]
    Fields,
    /// The checksum is wrong.
    #[error("its checksum (CRC32C) is wrong")]
    Checksum,
    /// The length after the fixed part, in bytes, is too high.
    #[error("it has {0} bytes, more than {REST_MAX}")]
    Length(usize),
}

impl From<Malformed> for HeaderError {
    fn from(Malformed: Malformed) -> Self {
        Self::Fields
    }
}

/// Parses the bytes of a header that have come so far.
///
/// # Errors
///
/// The bytes cannot become a header, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if begins_like(bytes, &SIGNATURE) && !bytes.is_empty() {
        return binary(bytes);
    }
    match begins_like(bytes, LINE_START) {
        true => line(bytes),
        false => Err(HeaderError::Missing),
    }
}

fn begins_like(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

fn line(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let end = bytes.windows(2).position(|two| two == b"\r\n");
    match end {
        Some(end) if end + 2 == bytes.len() && bytes.len() <= LINE_MAX => {
            let line = bytes.get(..end).unwrap_or_default();
            Ok(Progress::Whole(
                addresses_of_line(line).ok_or(HeaderError::Line)?,
            ))
        }
        // Bytes follow the end of the line.
        Some(end) if end + 2 <= LINE_MAX => Err(HeaderError::Line),
        None if bytes.len() < LINE_MIN => Ok(Progress::Missing(LINE_MIN - bytes.len())),
        None => {
            let missing = if bytes.ends_with(b"\r") { 1 } else { 2 };
            match bytes.len() + missing <= LINE_MAX {
                true => Ok(Progress::Missing(missing)),
                false => Err(HeaderError::LongLine),
            }
        }
        Some(_) => Err(HeaderError::LongLine),
    }
}

/// Parses a line without its end. Returns `None` if it is not well formed, `Some(None)` if it says `UNKNOWN`.
fn addresses_of_line(line: &[u8]) -> Option<Option<AddressPair>> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [_, family, rest @ ..] = &words[..] else {
        return None;
    };
    if *family == b"UNKNOWN" {
        return Some(None);
    }
    let &[source, destination, from, to] = rest else {
        return None;
    };
    let ip = |word| match *family {
        b"TCP4" => text(word)?.parse().ok().map(IpAddr::V4),
        b"TCP6" => text(word)?.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    Some(Some(AddressPair {
        source: SocketAddr::new(ip(source)?, port(from)?),
        destination: SocketAddr::new(ip(destination)?, port(to)?),
    }))
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

/// Parses a port, which has no sign and no leading zeros.
fn port(word: &[u8]) -> Option<u16> {
    match word {
        b"0" => Some(0),
        [b'1'..=b'9', ..] => text(word)?.parse().ok(),
        _ => None,
    }
}

fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        // The shortest line has one byte less, but does not begin with these bytes.
        return Ok(Progress::Missing(match bytes.len() {
            0 => LINE_MIN,
            len => FIXED - len,
        }));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // The bytes of the addresses, if the family has a known length.
    let addresses = match (command, family >> 4, family & 0xf) {
        // The addresses, if any, are ignored.
        (LOCAL, ..) | (PROXY, 0, 0..=2) | (PROXY, 1..=3, 0) => None,
        (PROXY, 1, 1 | 2) => Some(12),
        (PROXY, 2, 1 | 2) => Some(36),
        (PROXY, 3, 1 | 2) => Some(216),
        (PROXY, ..) => return Err(HeaderError::Addresses),
        _ => return Err(HeaderError::Command),
    };
    if length < addresses.unwrap_or(0) {
        return Err(HeaderError::Addresses);
    }
    if length > REST_MAX {
        return Err(HeaderError::Length(length));
    }
    let Some(header) = bytes.get(..FIXED + length) else {
        return Ok(Progress::Missing(length - rest.len()));
    };
    let checksum = match addresses {
        Some(addresses) => fields::checksum(header, FIXED + addresses)?,
        // Bytes that are no fields are ignored here, as they may be addresses of an unknown kind.
        None if family == UNSPECIFIED => fields::checksum(header, FIXED).unwrap_or_default(),
        None => None,
    };
    if checksum.is_some_and(|at| !fields::is_right(header, at)) {
        return Err(HeaderError::Checksum);
    }
    if header.len() < bytes.len() {
        return Err(HeaderError::Addresses);
    }
    // Only the addresses of TCP are used.
    let pair = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => addresses_of_body::<4>(rest, |ip| Ipv4Addr::from(ip).into()),
        (PROXY, TCP_OVER_IPV6) => addresses_of_body::<16>(rest, |ip| Ipv6Addr::from(ip).into()),
        _ => None,
    };
    Ok(Progress::Whole(pair))
}

/// Parses two IP addresses and two ports.
fn addresses_of_body<const IP: usize>(
    rest: &[u8],
    ip: impl Fn([u8; IP]) -> IpAddr,
) -> Option<AddressPair> {
    let (source, rest) = rest.split_first_chunk::<IP>()?;
    let (destination, rest) = rest.split_first_chunk::<IP>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(AddressPair {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*to)),
    })
}
