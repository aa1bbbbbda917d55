//! The addresses, times and bytes of one connection, while it is open and when it has ended. Its log line,
//! the counters and the table of connections are made of them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use spiped_tokio::{Peer, Socket, Traffic, Version};

use crate::config::values::Mode;
use crate::log::Fields;
use crate::pipe::close_reason::CloseReason;
use crate::pipe::proxy_protocol::AddressPair;

/// The facts about one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// The end of the pipe that this process is.
    pub mode: Mode,
    /// The peer of the accepted socket: the client itself, or a balancer.
    direct_peer: Peer,
    /// The addresses that a balancer's PROXY header gave.
    proxied: OnceLock<AddressPair>,
    /// The client whose key the peer has proved to hold, where each client has a key.
    client: OnceLock<Arc<str>>,
    /// The version of the protocol that both ends speak.
    version: OnceLock<Version>,
    /// The time at which it was accepted.
    pub since: Instant,
    /// The time that the handshake took, without the time that the peer waited to be served.
    pub handshake: Stopwatch,
    /// The time that connecting to the target took.
    pub dial: Stopwatch,
    /// The plaintext bytes that were moved.
    pub traffic: Traffic,
}

impl ConnectionInfo {
    /// Describes a connection that has just been accepted from `peer`.
    #[must_use]
    pub fn new(mode: Mode, peer: Peer) -> Self {
        Self {
            mode,
            direct_peer: peer,
            proxied: OnceLock::new(),
            client: OnceLock::new(),
            version: OnceLock::new(),
            since: Instant::now(),
            handshake: Stopwatch::default(),
            dial: Stopwatch::default(),
            traffic: Traffic::default(),
        }
    }

    /// Notes the client whose key the peer has proved to hold; once.
    pub fn identify(&self, client: &Arc<str>) {
        let _ = self.client.set(Arc::clone(client));
    }

    /// Returns the client whose key the peer has proved to hold, where each client has a key.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.get()
    }

    /// Notes the version of the protocol that both ends speak; once.
    pub fn set_version(&self, version: Version) {
        let _ = self.version.set(version);
    }

    /// Returns the number of that version, 1 or 2; None before the ends have agreed.
    #[must_use]
    pub fn protocol(&self) -> Option<u64> {
        self.version.get().map(|version| version.number().into())
    }

    /// Notes the addresses that a balancer's PROXY header gave; once.
    pub fn set_proxied(&self, addresses: AddressPair) {
        let _ = self.proxied.set(addresses);
    }

    /// Returns the client's address: the one in the PROXY header, if there was one.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let proxied = self.proxied.get();
        proxied.map_or(self.direct_peer, |addresses| Peer::Tcp(addresses.source))
    }

    /// Returns the addresses of the accepted socket `connection`, or those in the PROXY header; `None` for
    /// a unix socket.
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

    /// Returns the client for people: `[192.0.2.1]:5 (alice)`.
    pub fn peer_and_client(&self) -> impl fmt::Display {
        PeerAndClient(self)
    }

    /// Writes the fields of the log line of a connection that ended for `reason`. Programs rely on their
    /// names.
    pub fn log_fields(&self, reason: CloseReason, fields: &mut Fields) {
        let (from_source, to_source) = self.bytes();
        fields.text("mode", self.mode);
        fields.text("peer", self.peer());
        if let Some(client) = self.client() {
            fields.text("key", client);
        }
        if let Some(version) = self.protocol() {
            fields.count("protocol", version);
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

    /// Returns the plaintext bytes that came from the source, and those that went back there.
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

/// Writes the bytes of each direction and the times, for people.
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
        if let Some(dial) = self.dial.elapsed() {
            write!(f, ", dial {:.4} s", seconds(dial))?;
        }
        match self.protocol() {
            Some(version) => write!(f, ", protocol {version}"),
            None => Ok(()),
        }
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The time that work took, which can be read while the work goes on. Only work that succeeds counts.
#[derive(Debug, Default)]
pub struct Stopwatch(OnceLock<Duration>);

impl Stopwatch {
    /// Times work that may fail.
    ///
    /// # Errors
    ///
    /// The work fails with this error.
    pub async fn time<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Unpin,
    ) -> Result<T, E> {
        self.time_on(Duration::ZERO, work).await
    }

    /// Times the rest of work that has taken the time `before` already.
    ///
    /// # Errors
    ///
    /// The work fails with this error.
    pub async fn time_on<T, E>(
        &self,
        before: Duration,
        work: impl Future<Output = Result<T, E>> + Unpin,
    ) -> Result<T, E> {
        let start = Instant::now();
        let done = work.await?;
        let _ = self.0.set(before + start.elapsed());
        Ok(done)
    }

    /// Returns the time that the work took, once it is done.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_stopwatch_shows_what_succeeds() {
        let watch = Stopwatch::default();
        let failed: Result<(), ()> = watch.time(pin!(async { Err(()) })).await;
        assert_eq!((failed, watch.elapsed()), (Err(()), None));
        let pause = Duration::from_millis(2);
        let sleep = pin!(async {
            tokio::time::sleep(pause).await;
            Ok::<_, ()>(())
        });
        watch.time_on(pause, sleep).await.unwrap();
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
