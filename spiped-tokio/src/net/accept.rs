//! Accepts a connection without a runtime that watches it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A connection that does not block and is closed on exec, and whose it is; no address for a peer of a
/// unix socket.
#[cfg(target_os = "linux")]
pub(crate) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    use rustix::io::retry_on_intr;
    use rustix::net::{SocketFlags, acceptfrom_with};

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = retry_on_intr(|| acceptfrom_with(listener, flags))?;
    Ok((socket, peer.and_then(|peer| peer.try_into().ok())))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let (socket, peer) = socket2::SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), peer.as_socket()))
}
