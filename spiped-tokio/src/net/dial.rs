//! Connects to the first endpoint of a list that answers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::net::endpoint::Endpoint;
use crate::net::socket::Socket;

/// How long an endpoint may stay silent before the next one is tried beside it (the "Connection
/// Attempt Delay" of RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How many endpoints may be tried at once, each with a file descriptor.
const AT_ONCE: usize = 32;

/// Why none of the endpoints could be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There was no endpoint to try.
    #[error("no address to connect to")]
    NoEndpoint,
    /// No endpoint worked out; this one was the last to say so.
    #[error("cannot connect to {endpoint}: {error}")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the system says, or a time-out.
        error: io::Error,
    },
}

impl DialError {
    /// Whether it says nothing of a peer: there was no endpoint, or no address here to start from or of
    /// the right family.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match self {
            Self::NoEndpoint => true,
            Self::Connect { error, .. } => error.kind() == io::ErrorKind::AddrNotAvailable,
        }
    }
}

/// How to connect: how long it may take, and from where.
#[derive(Clone, Copy, Debug)]
pub struct DialOptions<'a> {
    limit: Duration,
    from: &'a [SocketAddr],
}

impl<'a> DialOptions<'a> {
    /// Bounds what all endpoints together may take. The system chooses where a connection starts
    /// from.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, from: &[] }
    }

    /// Has a TCP connection start from the first of these addresses that is of its family, if there
    /// are any.
    #[must_use]
    pub fn from(self, from: &'a [SocketAddr]) -> Self {
        Self { from, ..self }
    }
}

/// Tries the endpoints until one accepts a connection (RFC 8305 section 5).
///
/// Each is tried when the one before it has failed or has been silent for 250 ms, or less if half of
/// the limit would not do for all of them; a silent one goes on being tried beside those after it, up
/// to 32 at a time. The first to connect is taken, and all others are reset. The peer is probed from the
/// first pause of a [relay](crate::relay), or by [`Socket::start_keepalive`].
///
/// # Errors
///
/// What the last endpoint to fail said, if it was not for want of an address here that it did; or that
/// the first silent one did not answer in time.
pub async fn dial(endpoints: &[Endpoint], options: &DialOptions<'_>) -> Result<Socket, DialError> {
    let begin = Instant::now();
    let mut attempts = Attempts::default();
    let mut failure = DialError::NoEndpoint;
    let mut untried = endpoints.iter();
    let head_start = head_start(endpoints.len(), options.limit);
    loop {
        if let Some(endpoint) = untried.next() {
            attempts.start(endpoint, options.from);
        }
        if attempts.0.is_empty() {
            return Err(failure);
        }
        let left = options.limit.saturating_sub(begin.elapsed());
        let patience = match untried.len() {
            0 => left,
            _ => left.min(head_start),
        };
        match attempts.first(pin!(sleep(patience))).await {
            Some(Ok(socket)) => return Ok(socket),
            // What this machine lacks says less than what a peer does.
            Some(Err(error)) if error.is_own() && !failure.is_own() => {}
            Some(Err(error)) => failure = error,
            None if patience == left => return Err(attempts.too_late()),
            None => {}
        }
    }
}

/// How long each of some endpoints may stay silent, so that all are tried in half of the limit.
fn head_start(endpoints: usize, limit: Duration) -> Duration {
    let endpoints = u32::try_from(endpoints).unwrap_or(u32::MAX).max(1);
    HEAD_START.min(limit / 2 / endpoints)
}

/// Endpoints that are being connected to, in the order they were started.
#[derive(Default)]
struct Attempts<'a>(VecDeque<(&'a Endpoint, Connecting<'a>)>);

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send + 'a>>;

impl<'a> Attempts<'a> {
    /// Starts one more, for which the oldest but the first is given up where there are too many. The
    /// first stays, as it is what a failure is about.
    fn start(&mut self, endpoint: &'a Endpoint, from: &'a [SocketAddr]) {
        if self.0.len() == AT_ONCE {
            self.0.remove(1);
        }
        self.0
            .push_back((endpoint, Box::pin(connect(endpoint, from))));
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
        for (index, (endpoint, connecting)) in self.0.iter_mut().enumerate() {
            let Poll::Ready(connected) = connecting.as_mut().poll(cx) else {
                continue;
            };
            let endpoint = *endpoint;
            self.0.remove(index);
            return Poll::Ready(connected.map_err(|error| DialError::Connect {
                endpoint: endpoint.clone(),
                error,
            }));
        }
        Poll::Pending
    }

    fn too_late(self) -> DialError {
        match self.0.front() {
            Some((endpoint, _)) => DialError::Connect {
                endpoint: (*endpoint).clone(),
                error: io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn all_are_tried_in_half_of_the_limit() {
        let limit = Duration::from_secs(5);
        for (endpoints, expected) in [(0, 250), (1, 250), (10, 250), (20, 125), (100, 25)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(head_start(endpoints, limit), expected, "{endpoints}");
        }
    }

    #[tokio::test]
    async fn no_more_are_tried_at_once_than_there_is_room_for() {
        let endpoints: Vec<_> = (0..40)
            .map(|port| Endpoint::Tcp((Ipv4Addr::LOCALHOST, port).into()))
            .collect();
        let mut attempts = Attempts::default();
        for endpoint in &endpoints {
            attempts.start(endpoint, &[]);
        }
        let ports: Vec<_> = attempts
            .0
            .iter()
            .map(|(endpoint, _)| endpoint.port().unwrap())
            .collect();
        let expected: Vec<_> = [0].into_iter().chain(9..40).collect();
        assert_eq!(ports, expected);
    }
}
