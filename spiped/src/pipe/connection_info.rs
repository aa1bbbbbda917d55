//! What is known of a connection while it lives and when it has ended. Log lines, counters and the
//! table of connections are made of it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use spiped_tokio::{Peer, Socket, Traffic};

use crate::config::values::Mode;
use crate::log::Fields;
use crate::pipe::close_reason::CloseReason;
use crate::pipe::proxy_protocol::AddressPair;

/// One connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Which end of the pipe it came in on.
    pub mode: Mode,
    /// The peer of the accepted socket: the client itself, or a balancer.
    direct_peer: Peer,
    /// The addresses that a balancer's PROXY header gave.
    proxied: OnceLock<AddressPair>,
    /// The client whose key it has proved to hold, where keys are clients'.
    client: OnceLock<Arc<str>>,
    /// When.
    pub since: Instant,
    /// How long the handshake took, without the time that the peer waited for a slot.
    pub handshake: Stopwatch,
    /// How long it took to connect to the target.
    pub dial: Stopwatch,
    /// Plaintext bytes that were moved.
    pub traffic: Traffic,
}

impl ConnectionInfo {
    /// Of a connection that has just been accepted.
    #[must_use]
    pub fn new(mode: Mode, peer: Peer) -> Self {
        Self {
            mode,
            direct_peer: peer,
            proxied: OnceLock::new(),
            client: OnceLock::new(),
            since: Instant::now(),
            handshake: Stopwatch::default(),
            dial: Stopwatch::default(),
            traffic: Traffic::default(),
        }
    }

    /// Notes whose key the peer has proved to hold; once.
    pub fn identify(&self, client: &Arc<str>) {
        let _ = self.client.set(Arc::clone(client));
    }

    /// Whose key the peer has proved to hold, where keys are clients'.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.get()
    }

    /// Notes for whom a balancer has connected; once.
    pub fn set_proxied(&self, addresses: AddressPair) {
        let _ = self.proxied.set(addresses);
    }

    /// Who has connected.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let proxied = self.proxied.get();
        proxied.map_or(self.direct_peer, |addresses| Peer::Tcp(addresses.source))
    }

    /// Between which addresses the connection that came in runs, if it has any.
    #[must_use]
    pub fn addresses(&self, connection: &Socket) -> Option<AddressPair> {
        if let Some(addresses) = self.proxied.get() {
            return Some(*addresses);
        }
        match self.direct_peer {
            Peer::Unix => None,
            Peer::Tcp(source) => Some(AddressPair {
                source,
                destination: connection.local_address()?,
            }),
        }
    }

    /// Who has connected, for people: `[192.0.2.1]:5 (alice)`.
    pub fn peer_and_client(&self) -> impl fmt::Display {
        PeerAndClient(self)
    }

    /// Who has connected, what it was and how it ended, for programs. The names stay.
    pub fn log_fields(&self, reason: CloseReason, fields: &mut Fields) {
        let (from_source, to_source) = self.bytes();
        fields.text("mode", self.mode);
        fields.text("peer", self.peer());
        if let Some(client) = self.client() {
            fields.text("key", client);
        }
        fields.text("outcome", reason);
        fields.count("bytes_from_source", from_source);
        fields.count("bytes_to_source", to_source);
        fields.time("duration_seconds", self.since.elapsed());
        if let Some(handshake) = self.handshake.elapsed() {
            fields.time("handshake_seconds", handshake);
        }
        if let Some(dial) = self.dial.elapsed() {
            fields.time("dial_seconds", dial);
        }
    }

    /// Bytes that came from the source, and bytes that went back there.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let (sealed, opened) = (self.traffic.sealed(), self.traffic.opened());
        match self.mode {
            Mode::Encrypt => (sealed, opened),
            Mode::Decrypt => (opened, sealed),
        }
    }
}

struct PeerAndClient<'a>(&'a ConnectionInfo);

impl fmt::Display for PeerAndClient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.client() {
            None => write!(f, "{}", self.0.peer()),
            Some(client) => write!(f, "{} ({client})", self.0.peer()),
        }
    }
}

/// For people: how much went which way, and what took how long.
impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.bytes();
        write!(
            f,
            "{from} bytes to the target, {to} back, {:.3} s",
            seconds(self.since.elapsed())
        )?;
        if let Some(handshake) = self.handshake.elapsed() {
            write!(f, ", handshake {:.4} s", seconds(handshake))?;
        }
        match self.dial.elapsed() {
            Some(dial) => write!(f, ", dial {:.4} s", seconds(dial)),
            None => Ok(()),
        }
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The time that work took, to read while other work goes on. Only work that has succeeded counts.
#[derive(Debug, Default)]
pub struct Stopwatch(OnceLock<Duration>);

impl Stopwatch {
    /// Times work that may fail.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub async fn time<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.time_on(Duration::ZERO, work).await
    }

    /// The same for the rest of some work, of which so much has been done before.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub async fn time_on<T, E>(
        &self,
        before: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let done = work.await?;
        let _ = self.0.set(before + start.elapsed());
        Ok(done)
    }

    /// How long it took, if it is done.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopwatch_shows_what_succeeds() {
        let watch = Stopwatch::default();
        let failed: Result<(), ()> = watch.time(async { Err(()) }).await;
        assert_eq!((failed, watch.elapsed()), (Err(()), None));
        let pause = Duration::from_millis(2);
        let slept = watch.time_on(pause, async {
            tokio::time::sleep(pause).await;
            Ok::<_, ()>(())
        });
        slept.await.unwrap();
        assert!(watch.elapsed().unwrap() >= pause * 2);
    }

    #[test]
    fn bytes_are_counted_from_the_source() {
        for mode in [Mode::Encrypt, Mode::Decrypt] {
            let info = ConnectionInfo::new(mode, Peer::Unix);
            assert_eq!(info.bytes(), (0, 0));
            assert!(
                info.to_string()
                    .starts_with("0 bytes to the target, 0 back, ")
            );
        }
    }
}
