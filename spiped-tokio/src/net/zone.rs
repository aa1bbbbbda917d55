//! Zones of IPv6 addresses: the network interface that a link-local address belongs to (RFC 4007
//! section 11).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use nix::errno::Errno;
use nix::net::if_;

/// Names of interfaces by their index. A sandbox may keep the process from asking later on.
static KNOWN: RwLock<BTreeMap<u32, String>> = RwLock::new(BTreeMap::new());

/// Whether an address means nothing without an interface.
pub(crate) fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

/// The index of an address's interface, or 0.
pub(crate) fn index_of(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

/// Whether a socket address lacks its interface, so that nothing can be sent to it.
pub(crate) fn lacks_zone(address: &SocketAddr) -> bool {
    let is_link_local = matches!(address.ip(), IpAddr::V6(ip) if is_link_local(ip));
    is_link_local && index_of(address) == 0
}

/// The longest name of an interface in bytes that systems have: an alternative name on Linux.
const MAX_NAME: usize = 127;

/// Whether a text can be the name of an interface.
pub(crate) fn is_name(zone: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"%/:[]".contains(&byte);
    (1..=MAX_NAME).contains(&zone.len()) && zone.bytes().all(good)
}

/// The index of an interface, given its name or, as the system writes it, the index itself. Where a sandbox
/// keeps the system from being asked, an interface counts that was there when all were remembered.
///
/// # Errors
///
/// There is no such interface; or there was none at the time, and the system cannot be asked now.
pub(crate) fn index(zone: &str) -> io::Result<u32> {
    index_by(zone, if_::if_nametoindex(zone))
}

fn index_by(zone: &str, asked: nix::Result<u32>) -> io::Result<u32> {
    let error = match (asked, zone.parse()) {
        (Ok(index), _) => {
            know(index, zone.to_owned());
            return Ok(index);
        }
        (Err(_), Ok(index @ 1..)) => return Ok(index),
        (Err(error), _) => error,
    };
    let is_absent = matches!(error, Errno::ENODEV | Errno::ENXIO);
    if let Some(index) = known_index(zone).filter(|_| !is_absent) {
        return Ok(index);
    }
    let why = match error {
        _ if is_absent => format!("there is no network interface '{zone}'"),
        Errno::ENOSYS | Errno::EPERM | Errno::EACCES => format!(
            "there was no network interface '{zone}' at the start, and the sandbox hides those that are \
             made later (restart the daemon)"
        ),
        other => format!(
            "cannot look for the network interface '{zone}': {}",
            other.desc()
        ),
    };
    Err(io::Error::new(io::Error::from(error).kind(), why))
}

/// The index that goes with a name, as far as is known: the last, if there were several.
fn known_index(zone: &str) -> Option<u32> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut latest = known.iter().rev();
    latest.find_map(|(&index, name)| (name == zone).then_some(index))
}

/// Remembers the names of all interfaces that there are now.
pub(crate) fn know_all() {
    // Without them an index stands for a name.
    for interface in if_::if_nameindex().iter().flatten() {
        know(
            interface.index(),
            interface.name().to_string_lossy().into_owned(),
        );
    }
}

fn know(index: u32, name: String) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.insert(index, name);
}

/// Writes an IP address with its zone, if it has one: by name where that is known, else by index.
pub(crate) fn fmt_ip(address: &SocketAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", address.ip())?;
    match index_of(address) {
        0 => Ok(()),
        index => match name(index) {
            Some(name) => write!(f, "%{name}"),
            None => write!(f, "%{index}"),
        },
    }
}

fn name(index: u32) -> Option<String> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let name = known.get(&index).cloned();
    drop(known);
    name.or_else(|| {
        let name = if_::if_indextoname(index).ok()?.into_string().ok()?;
        let name = is_name(&name).then_some(name)?;
        know(index, name.clone());
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;
    use crate::net::{Address, Endpoint};

    #[test]
    fn the_zone_of_an_address_is_looked_up_and_shown_by_name() {
        know_all();
        let name = if_::if_indextoname(1).unwrap();
        let text = format!("[fe80::1%{}]:80", name.to_str().unwrap());
        let address: Address = text.parse().unwrap();
        let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 1);
        let endpoints = address.resolve_blocking().unwrap();
        assert_eq!(endpoints, [Endpoint::Tcp(expected.into())]);
        assert_eq!(endpoints[0].to_string(), text);
        assert_eq!(address.to_string(), text);
    }

    #[test]
    fn an_index_stands_for_an_interface_without_a_name() {
        let address: Address = "[fe80::1%4000000000]:80".parse().unwrap();
        let endpoints = address.resolve_blocking().unwrap();
        assert_eq!(endpoints[0].to_string(), "[fe80::1%4000000000]:80");
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let address: Address = "[fe80::1%no-such]:80".parse().unwrap();
        let error = address.resolve_blocking().unwrap_err().to_string();
        assert_eq!(error, "there is no network interface 'no-such'");
    }

    #[test]
    fn an_interface_is_known_from_before_the_sandbox_and_one_made_later_is_told_from_none() {
        know_all();
        let name = if_::if_indextoname(1).unwrap();
        for hidden in [Errno::ENOSYS, Errno::EPERM, Errno::EMFILE] {
            assert_eq!(index_by(name.to_str().unwrap(), Err(hidden)).unwrap(), 1);
        }
        for (error, expected) in [
            (Errno::ENODEV, "there is no network interface 'later'"),
            (
                Errno::ENOSYS,
                "there was no network interface 'later' at the start, and the sandbox hides those that are \
                 made later (restart the daemon)",
            ),
            (
                Errno::EMFILE,
                "cannot look for the network interface 'later': Too many open files",
            ),
        ] {
            let told = index_by("later", Err(error)).unwrap_err();
            assert_eq!(told.to_string(), expected);
        }
    }
}
