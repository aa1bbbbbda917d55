//! Takes a header apart that may be hostile, or not all there yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    AddressPair, LOCAL, PROXY, SIGNATURE, TCP_OVER_IPV4, TCP_OVER_IPV6, UNSPECIFIED, fields,
};

/// The longest line, with its end.
const LINE_MAX: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
/// The shortest line, with its end.
const LINE_MIN: usize = b"PROXY UNKNOWN\r\n".len();
/// What version 2 has at least.
const FIXED: usize = 16;
/// What more it may have; fields for which there is no use can be long. Together, 4 KiB.
const REST_MAX: usize = 4096 - FIXED;

/// How far a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes of it are missing: reading them does not go beyond its end.
    Missing(usize),
    /// It ends with the last byte; the connection's own ends count if it has none.
    Whole(Option<AddressPair>),
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin like one.
    #[error("there is none")]
    Missing,
    /// A line that is too long.
    #[error("its line is too long")]
    LongLine,
    /// A line that says something else.
    #[error("its line is not well formed")]
    Line,
    /// Another version, or an unknown command.
    #[error("its version or command is unknown")]
    Command,
    /// Addresses of no kind that there is, or less room than they take.
    #[error("its addresses are of an unknown kind, or cut short")]
    Addresses,
    /// Fields behind the addresses that do not end with it.
    #[error("the fields behind its addresses are not well formed")]
    Fields,
    /// A checksum that is not its own.
    #[error("its checksum (CRC32C) is wrong")]
    Checksum,
    /// There is too much in it.
    #[error("it has {0} bytes, more than {REST_MAX}")]
    Length(usize),
}

/// Looks at what has come of a header so far.
///
/// # Errors
///
/// It can become none, whatever follows.
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
                ends_of_line(line).ok_or(HeaderError::Line)?,
            ))
        }
        // A line feed, and more.
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

/// `None` if it is wrong; `Some(None)` if the ends are unknown.
fn ends_of_line(line: &[u8]) -> Option<Option<AddressPair>> {
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

/// Without a sign or zeros in front.
fn port(word: &[u8]) -> Option<u16> {
    match word {
        b"0" => Some(0),
        [b'1'..=b'9', ..] => text(word)?.parse().ok(),
        _ => None,
    }
}

fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        // A line can be one byte shorter, but does not begin like this.
        return Ok(Progress::Missing(match bytes.len() {
            0 => LINE_MIN,
            len => FIXED - len,
        }));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // Where their length is certain.
    let addresses = match (command, family >> 4, family & 0xf) {
        // Whatever there is counts for nothing.
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
        // What is no row of fields is something else here.
        None if family == UNSPECIFIED => fields::checksum(header, FIXED).unwrap_or_default(),
        None => None,
    };
    if checksum.is_some_and(|at| !fields::is_right(header, at)) {
        return Err(HeaderError::Checksum);
    }
    if header.len() < bytes.len() {
        return Err(HeaderError::Addresses);
    }
    // Addresses that no stream over TCP has are none.
    let pair = match (command, family) {
        (PROXY, TCP_OVER_IPV4) => ends_of::<4>(rest, |ip| Ipv4Addr::from(ip).into()),
        (PROXY, TCP_OVER_IPV6) => ends_of::<16>(rest, |ip| Ipv6Addr::from(ip).into()),
        _ => None,
    };
    Ok(Progress::Whole(pair))
}

/// Two addresses and two ports.
fn ends_of<const IP: usize>(rest: &[u8], ip: impl Fn([u8; IP]) -> IpAddr) -> Option<AddressPair> {
    let (source, rest) = rest.split_first_chunk::<IP>()?;
    let (destination, rest) = rest.split_first_chunk::<IP>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(AddressPair {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*to)),
    })
}
