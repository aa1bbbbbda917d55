//! Finds connections that this process makes to itself. Otherwise a target that leads back to the source of
//! its pipe would accept and make connections for ever.
//!
//! A TCP connection has two addresses, which both its ends know. A pipe that makes a connection notes it by
//! these addresses, with the pipes that it has come through. A pipe that accepts one looks it up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spiped_tokio::Socket;

/// The addresses of a connection: the end that connects, then the end that accepts.
type Ends = (SocketAddr, SocketAddr);

/// The open connections that pipes of this process have made.
static MADE: Mutex<Option<HashMap<Ends, Arc<Hop>>>> = Mutex::new(None);

/// A pipe that a connection has come through, and the pipes before it.
#[derive(Debug)]
struct Hop {
    pipe: Arc<str>,
    before: Option<Arc<Hop>>,
}

/// Keeps a connection noted until it is dropped.
#[derive(Debug)]
pub(crate) struct HopGuard(Ends);

impl Drop for HopGuard {
    fn drop(&mut self) {
        if let Some(made) = &mut *made() {
            made.remove(&self.0);
        }
    }
}

/// An accepted connection, as far as it takes to find the pipes that it has come through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted(Ends);

impl Accepted {
    /// Asks the system for the addresses of a connection; it has none if it is a unix socket or gone.
    pub(crate) fn new(accepted: &Socket) -> Option<Self> {
        ends(accepted.peer_address(), accepted.local_address()).map(Self)
    }

    /// Whether the connection has come through `pipe` before.
    pub(crate) fn is_loop(&self, pipe: &str) -> bool {
        let mut hop = self.before();
        while let Some(here) = hop {
            if *here.pipe == *pipe {
                return true;
            }
            hop = here.before.clone();
        }
        false
    }

    /// Returns the last pipe of this process that the connection has come through.
    fn before(&self) -> Option<Arc<Hop>> {
        made().as_ref()?.get(&self.0).cloned()
    }
}

/// Notes the connection `dialled` that `pipe` has made for `accepted`. One that is gone, or is a unix
/// socket, is not noted.
pub(crate) fn note(
    accepted: Option<Accepted>,
    dialled: &Socket,
    pipe: &Arc<str>,
) -> Option<HopGuard> {
    let ends = ends(dialled.local_address(), dialled.peer_address())?;
    let hop = Arc::new(Hop {
        pipe: Arc::clone(pipe),
        before: accepted.and_then(|accepted| accepted.before()),
    });
    made().get_or_insert_default().insert(ends, hop);
    Some(HopGuard(ends))
}

/// Returns the addresses of a connection as both its ends see them: an IPv4 connection that an IPv6 socket
/// accepted has IPv4 addresses at its other end.
fn ends(from: Option<SocketAddr>, to: Option<SocketAddr>) -> Option<Ends> {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Some((canonical(from?), canonical(to?)))
}

fn made() -> MutexGuard<'static, Option<HashMap<Ends, Arc<Hop>>>> {
    // No critical section panics with the map half changed.
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}
