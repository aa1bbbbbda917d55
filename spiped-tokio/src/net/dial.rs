//! Connects to the first endpoint of a list that answers.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::net::address::Endpoint;
use crate::net::socket::Socket;

/// How long an endpoint may stay silent before the next one is tried beside it (the "Connection
/// Attempt Delay" of RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Why none of the endpoints could be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There was no endpoint to try.
    #[error("no address to connect to")]
    NoEndpoint,
    /// No endpoint worked out; this one was the last to say so.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the system says, or a time-out.
        source: io::Error,
    },
}

impl DialError {
    /// Whether it says nothing of a peer: there was no endpoint, or no address here to start from or of
    /// the right family.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match self {
            Self::NoEndpoint => true,
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::AddrNotAvailable,
        }
    }
}

/// Tries the endpoints until one accepts a connection.
///
/// Each is tried when the one before it has failed or has been silent for 250 ms; a silent one goes
/// on being tried beside those after it. `limit` bounds all of it together. A TCP connection starts
/// from the first address in `from` of its family, if `from` is not empty.
///
/// # Errors
///
/// What the last endpoint to fail said, if it was not for want of an address here that it did; or that
/// the first silent one did not answer in time.
pub async fn dial(
    endpoints: &[Endpoint],
    from: &[SocketAddr],
    limit: Duration,
) -> Result<Socket, DialError> {
    let mut attempts = Attempts::default();
    let outcome = timeout(limit, async {
        let mut failure = DialError::NoEndpoint;
        let mut untried = endpoints.iter();
        loop {
            if let Some(endpoint) = untried.next() {
                attempts.start(endpoint, from);
            }
            if attempts.0.is_empty() {
                return Err(failure);
            }
            let patience = if untried.len() > 0 { HEAD_START } else { limit };
            match attempts.first(pin!(sleep(patience))).await {
                Some(Ok(socket)) => return Ok(socket),
                // What this machine lacks says less than what a peer does.
                Some(Err(error)) if error.is_own() && !failure.is_own() => {}
                Some(Err(error)) => failure = error,
                None => {}
            }
        }
    });
    match outcome.await {
        Ok(outcome) => outcome,
        Err(_) => Err(attempts.too_late()),
    }
}

/// Endpoints that are being connected to, in the order they were started.
#[derive(Default)]
struct Attempts<'a>(Vec<(&'a Endpoint, Connecting<'a>)>);

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send + 'a>>;

impl<'a> Attempts<'a> {
    fn start(&mut self, endpoint: &'a Endpoint, from: &'a [SocketAddr]) {
        self.0.push((endpoint, Box::pin(connect(endpoint, from))));
    }

    /// Waits for the first that succeeds or fails, or `until` nobody is waited for any more.
    async fn first(
        &mut self,
        mut until: Pin<&mut impl Future>,
    ) -> Option<Result<Socket, DialError>> {
        poll_fn(|cx| match self.poll_first(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => until.as_mut().poll(cx).map(|_| None),
        })
        .await
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<Socket, DialError>> {
        for (index, (_, connecting)) in self.0.iter_mut().enumerate() {
            let Poll::Ready(connected) = connecting.as_mut().poll(cx) else {
                continue;
            };
            let (endpoint, _) = self.0.remove(index);
            return Poll::Ready(connected.map_err(|source| DialError::Connect {
                endpoint: endpoint.clone(),
                source,
            }));
        }
        Poll::Pending
    }

    fn too_late(self) -> DialError {
        match self.0.first() {
            Some((endpoint, _)) => DialError::Connect {
                endpoint: (*endpoint).clone(),
                source: io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
            },
            None => DialError::NoEndpoint,
        }
    }
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
