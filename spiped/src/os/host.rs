//! Facts about the network of this machine, asked of the system each time. All of it works in the sandbox of
//! a daemon that may listen on further sockets: there is no UDP socket then, and no file of `/proc`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, getsockopt, socket, sockopt,
};

/// Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
const NOBODYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Whether a socket bound to `[::]` accepts connections over IPv4 too.
pub(crate) fn ipv6_takes_ipv4() -> bool {
    // Nobody has changed the option of a new socket, so it is the system's setting.
    let socket = tcp_socket(AddressFamily::Inet6);
    let is_v6_only = socket.and_then(|socket| getsockopt(&socket, sockopt::Ipv6V6Only));
    is_v6_only.is_ok_and(|is_v6_only| !is_v6_only)
}

/// Whether an address is one of this machine.
pub(crate) fn has_address(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    match local_address_to(ip) {
        Ok(from) => from == ip,
        Err(_) => is_bindable(ip) && !binds_anything(ip),
    }
}

/// Returns the address that a packet to `ip` would be sent from: `ip` itself if that is an address of this
/// machine. No packet is sent.
fn local_address_to(ip: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // Any remote port will do: no packet goes there.
    socket.connect((ip, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Whether the system lets a TCP socket have the address, at a port of its choice. The socket does not
/// listen.
fn is_bindable(ip: IpAddr) -> bool {
    let family = match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let address = SockaddrStorage::from(SocketAddr::from((ip, 0)));
    let bound = tcp_socket(family).and_then(|socket| bind(socket.as_raw_fd(), &address));
    bound.is_ok()
}

/// Whether the system lets a socket have addresses that the machine does not have, as Linux does with
/// net.ipv4.ip_nonlocal_bind and net.ipv6.ip_nonlocal_bind.
fn binds_anything(like: IpAddr) -> bool {
    let mut nobodys = NOBODYS.into_iter();
    nobodys.any(|ip| ip.is_ipv4() == like.is_ipv4() && is_bindable(ip))
}

fn tcp_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(family, SockType::Stream, SockFlag::empty(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_those_of_nobody() {
        for ip in ["127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::"] {
            assert!(has_address(ip.parse().unwrap()), "{ip}");
        }
        for ip in NOBODYS {
            assert!(!has_address(ip), "{ip}");
        }
    }

    #[test]
    fn what_can_be_bound_is_the_same() {
        assert!(is_bindable(Ipv4Addr::LOCALHOST.into()));
        for ip in NOBODYS {
            assert_eq!(is_bindable(ip), binds_anything(ip), "{ip}");
        }
    }
}
