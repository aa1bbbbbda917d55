//! Connects to the first endpoint of a list that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::address::Endpoint;
use crate::socket::Socket;

/// Why none of the endpoints could be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There was no endpoint to try.
    #[error("no address to connect to")]
    NoEndpoint,
    /// The last endpoint that was tried did not work out.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the system says, or a time-out.
        source: io::Error,
    },
}

/// Tries the endpoints in turn until one accepts a connection.
///
/// `timeout` bounds all of them together: each gets an equal part of what is left, so that a silent
/// one leaves time for those behind it. A TCP connection starts from the first address in `from` of
/// its family, if `from` is not empty.
///
/// # Errors
///
/// What the last endpoint that was tried said.
pub async fn dial(
    endpoints: &[Endpoint],
    from: &[SocketAddr],
    timeout: Duration,
) -> Result<Socket, DialError> {
    let deadline = Instant::now() + timeout;
    let mut outcome = Err(DialError::NoEndpoint);
    for (endpoint, left) in endpoints.iter().zip((1..=endpoints.len() as u32).rev()) {
        let now = Instant::now();
        let turn = now + deadline.saturating_duration_since(now) / left;
        let connecting = connect(endpoint, from);
        let connected = timeout_at(turn, connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")));
        match connected {
            Ok(socket) => return Ok(socket),
            Err(source) => {
                outcome = Err(DialError::Connect {
                    endpoint: endpoint.clone(),
                    source,
                });
            }
        }
    }
    outcome
}

async fn connect(endpoint: &Endpoint, from: &[SocketAddr]) -> io::Result<Socket> {
    let local = match endpoint {
        Endpoint::Tcp(address) if !from.is_empty() => {
            let same_family = from.iter().find(|from| from.is_ipv4() == address.is_ipv4());
            Some(*same_family.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::AddrNotAvailable,
                    "the bind address is of another address family",
                )
            })?)
        }
        Endpoint::Tcp(_) | Endpoint::Unix(_) => None,
    };
    Socket::connect(endpoint, local).await
}
