//! Finds connections that this process makes to itself. Otherwise a target that leads back to the source of
//! its pipe would accept and make connections for ever.
//!
//! A TCP connection has two addresses, which both its ends know. A pipe that makes a connection to a port that
//! a pipe listens on notes it by these addresses, with the pipes that it has come through. A pipe that accepts
//! one looks it up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spiped_tokio::{Listener, Socket};

/// The addresses of a connection: the end that connects, then the end that accepts.
type Ends = (SocketAddr, SocketAddr);

static KNOWN: Mutex<Known> = Mutex::new(Known {
    ports: BTreeMap::new(),
    made: BTreeMap::new(),
});

/// What the pipes of this process listen on, and what they have connected to it.
struct Known {
    /// The TCP ports, and how many listeners each has.
    ports: BTreeMap<u16, usize>,
    /// The open connections that pipes have made to one of the ports. Usually there are none, and
    /// nothing has to be asked of the system.
    made: BTreeMap<Ends, Arc<Hop>>,
}

/// A pipe that a connection has come through, and the pipes before it.
#[derive(Debug)]
struct Hop {
    pipe: Arc<str>,
    before: Option<Arc<Hop>>,
}

/// Keeps the port of a listener known until it is dropped.
#[derive(Debug)]
pub(crate) struct PortGuard(u16);

impl Drop for PortGuard {
    fn drop(&mut self) {
        let ports = &mut known().ports;
        if let Some(listeners) = ports.get_mut(&self.0) {
            *listeners -= 1;
            if *listeners == 0 {
                ports.remove(&self.0);
            }
        }
    }
}

/// Keeps a connection noted until it is dropped.
#[derive(Debug)]
pub(crate) struct HopGuard(Ends);

impl Drop for HopGuard {
    fn drop(&mut self) {
        known().made.remove(&self.0);
    }
}

/// Makes known that a pipe accepts connections from `listener`; `None` for a unix socket.
pub(crate) fn listen(listener: &Listener) -> Option<PortGuard> {
    let port = listener.local_endpoint().ok()?.port()?;
    *known().ports.entry(port).or_default() += 1;
    Some(PortGuard(port))
}

/// Whether the connection `accepted` has come through `pipe` before.
pub(crate) fn is_loop(accepted: &Socket, pipe: &str) -> bool {
    let mut hop = before(accepted);
    while let Some(here) = hop {
        if *here.pipe == *pipe {
            return true;
        }
        hop = here.before.clone();
    }
    false
}

/// Notes the connection `dialled` that `pipe` has made for `accepted`. One that goes to no pipe of this
/// process is not noted, nor one that is gone, or is a unix socket.
pub(crate) fn note(accepted: &Socket, dialled: &Socket, pipe: &Arc<str>) -> Option<HopGuard> {
    let to = dialled.peer_address()?;
    if !known().ports.contains_key(&to.port()) {
        return None;
    }
    let ends = ends(dialled.local_address()?, to);
    let hop = Arc::new(Hop {
        pipe: Arc::clone(pipe),
        before: before(accepted),
    });
    known().made.insert(ends, hop);
    Some(HopGuard(ends))
}

/// Returns the last pipe of this process that the connection `accepted` has come through.
fn before(accepted: &Socket) -> Option<Arc<Hop>> {
    if known().made.is_empty() {
        return None;
    }
    let ends = ends(accepted.peer_address()?, accepted.local_address()?);
    known().made.get(&ends).cloned()
}

/// Returns the addresses of a connection as both its ends see them: an IPv4 connection that an IPv6 socket
/// accepted has IPv4 addresses at its other end.
fn ends(from: SocketAddr, to: SocketAddr) -> Ends {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    (canonical(from), canonical(to))
}

fn known() -> MutexGuard<'static, Known> {
    // No critical section panics with a map half changed.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
