//! Serves one connection: handshake, dial, relay. Its [`ConnectionInfo`] keeps the facts that become known.

mod proxy_header;
mod unless;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spiped_tokio::{
    AuthenticatedPeer, HandshakeError, Handshaker, RelayError, Socket, SpipedStream, Traffic, relay,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::settings::ConnectionConfig;
use crate::keys::Keys;
use crate::pipe::admission::Admission;
use crate::pipe::close_reason::ConnectionError;
use crate::pipe::connection_info::ConnectionInfo;
use crate::pipe::hops::{self, HopGuard};
use crate::pipe::idle::{self, Idle};
use crate::pipe::resolved::Resolved;
use crate::pipe::target::Targets;
use crate::pipe::unproved::UnprovedGuard;
use unless::{unless_broken, unless_left, unless_removed};

pub(crate) use unless::unless_gone;

/// The most bytes of the greeting that a server, as of SMTP or ssh, sends before it has received anything.
const GREETING_MAX: u64 = 4096;

/// Serves the connections of a pipe, and holds what they share.
#[derive(Debug)]
pub struct ConnectionHandler {
    /// The targets that connections go to.
    pub targets: Arc<Targets>,
    /// The addresses that outgoing connections start from; if there is none, the system chooses.
    pub bind: Resolved<SocketAddr>,
    /// The keys, and the clients that they belong to.
    pub keys: Keys,
    /// The handshaker, which has the same keys.
    pub handshaker: Handshaker,
    /// Whether a target leads back to the source of the pipe, as of the last reload. A name that leads
    /// elsewhere since then is not considered: where it makes a circle, only connections over TCP end.
    pub is_loop: AtomicBool,
    /// The limits and options of connections.
    pub config: ConnectionConfig,
}

/// A connection to a target, and the guard that keeps it noted as made by this process.
type Dialled = (Socket, Option<HopGuard>);

/// A peer that has proved that it holds a key.
struct Proved<'a> {
    peer: AuthenticatedPeer<&'a Socket>,
    /// The time that the proof took.
    took: Duration,
    /// The rest of the time for the handshake.
    left: Duration,
}

impl ConnectionHandler {
    /// Serves a plaintext connection: dials, shakes hands and relays (`spiped -e`).
    ///
    /// # Errors
    ///
    /// The connection failed; `source` then closes by reset.
    pub async fn encrypt(
        &self,
        source: &Socket,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        self.choose_keepalive(source);
        // Each stage has a box of its own, here and below: the handshake takes several times the memory
        // of the relay, which may last for days, and a stranger needs the memory of neither.
        let dial = async {
            let dial = pin!(self.dial_from(source));
            unless_gone(source, pin!(info.dial.time(dial))).await
        };
        let (peer, _hop) = Box::pin(dial).await?;
        let deadline = Instant::now() + self.config.timeout.get();
        let connect = async {
            let connect = pin!(async {
                let handshake = pin!(self.handshaker.connect_unflushed(&peer));
                let handshake = pin!(self.in_time(handshake));
                let mut stream = info.handshake.time(handshake).await?;
                info.set_version(stream.version());
                let sent = self
                    .send_proxy_header(source, info, &mut stream, deadline)
                    .await;
                sent.map_err(RelayError::Encrypted)?;
                Ok(stream)
            });
            unless_gone(source, connect).await
        };
        let mut stream = Box::pin(connect).await?;
        let relayed = Box::pin(self.relay(source, &mut stream, &info.traffic)).await;
        let traffic = &info.traffic;
        relayed.map_err(|error| match error {
            ConnectionError::Relay(RelayError::Plain(_))
                if is_unused(traffic.sealed(), traffic.opened()) =>
            {
                ConnectionError::Unused
            }
            other => other,
        })
    }

    /// Serves an encrypted connection: shakes hands, dials and relays (`spiped -d`).
    ///
    /// The target is not dialled before the peer has proved that it holds a key; the connection then leaves
    /// the unproved connections (`guard`). It waits until it is admitted, as a connection of the client
    /// that the key belongs to. Then the dial runs beside the key exchange. The handshake has to be over by
    /// `deadline`, without the time that the connection waits. If the key is removed, the connection ends.
    ///
    /// # Errors
    ///
    /// The connection failed; `source` then closes by reset.
    pub async fn decrypt(
        &self,
        source: &Socket,
        guard: UnprovedGuard,
        deadline: Instant,
        admission: &Admission,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        self.choose_keepalive(source);
        let proved = Box::pin(self.prove(source, guard, deadline)).await?;
        info.set_version(proved.peer.version());
        let key = self.keys.entry(proved.peer.key());
        let of_client = key.and_then(|key| Some((key, key.client()?)));
        if let Some((_, client)) = of_client {
            info.identify(client);
        }
        let served = pin!(self.serve(source, proved, admission, info));
        match of_client {
            Some((key, _)) => Box::pin(unless_removed(key, served)).await,
            None => served.await,
        }
    }

    /// Serves a peer that has proved that it holds a key.
    async fn serve<'a>(
        &self,
        source: &'a Socket,
        proved: Box<Proved<'a>>,
        admission: &Admission,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        let admit = async {
            let admit = pin!(admission.admit(info.client()));
            unless_left(&proved.peer, admit).await
        };
        let _admitted = Box::pin(admit).await??;
        let reach = async {
            let reach = pin!(self.reach(source, proved, info));
            unless_broken(source, reach).await
        };
        let ((target, _hop), mut stream) = Box::pin(reach).await?;
        let relayed = Box::pin(self.relay(&target, &mut stream, &info.traffic)).await;
        let traffic = &info.traffic;
        relayed.map_err(|error| match error {
            ConnectionError::Relay(RelayError::Encrypted(_))
                if is_unused(traffic.opened(), traffic.sealed()) =>
            {
                ConnectionError::Unused
            }
            other => other,
        })
    }

    /// Runs the first half of a handshake, up to the proof. The connection may be evicted meanwhile.
    async fn prove<'a>(
        &self,
        source: &'a Socket,
        mut guard: UnprovedGuard,
        deadline: Instant,
    ) -> Result<Box<Proved<'a>>, ConnectionError> {
        let begin = Instant::now();
        let prove = self.handshaker.prove_from(guard.source(), source);
        let peer = tokio::select! {
            biased;
            // First, to see what the peer has sent before the handshake takes it.
            reason = guard.evicted(source) => return Err(ConnectionError::Evicted(reason)),
            proved = timeout_at(deadline, prove) => {
                match proved.map_err(|_| ConnectionError::HandshakeTimeout(self.config.timeout.get()))? {
                    // The peer has sent some bytes, and the connection broke before they were read.
                    Err(HandshakeError::NoClient) if source.has_unread() => {
                        return Err(ConnectionError::Refused);
                    }
                    proved => proved?,
                }
            }
        };
        let now = Instant::now();
        Ok(Box::new(Proved {
            peer,
            took: now - begin,
            left: deadline.saturating_duration_since(now),
        }))
    }

    /// Runs the second half of a handshake, and dials the target beside it.
    async fn reach<'a>(
        &self,
        source: &'a Socket,
        proved: Box<Proved<'a>>,
        info: &ConnectionInfo,
    ) -> Result<(Dialled, SpipedStream<&'a Socket>), ConnectionError> {
        let Proved { peer, took, left } = *proved;
        let deadline = Instant::now() + left;
        let dial = pin!(self.dial_from(source));
        let finish = pin!(async {
            let finished = timeout_at(deadline, peer.finish()).await;
            Ok(finished
                .map_err(|_| ConnectionError::HandshakeTimeout(self.config.timeout.get()))??)
        });
        let (target, stream) =
            tokio::try_join!(info.dial.time(dial), info.handshake.time_on(took, finish))?;
        // The header has a deadline of its own, as the dial may have used up that of the handshake.
        let deadline = Instant::now() + self.config.timeout.get();
        let sent = self
            .send_proxy_header(source, info, &mut &target.0, deadline)
            .await;
        sent.map_err(RelayError::Plain)?;
        Ok((target, stream))
    }

    /// Relays until both directions have ended, or until there was no data for as long as `--idle` says.
    async fn relay(
        &self,
        plain: &Socket,
        stream: &mut SpipedStream<&Socket>,
        traffic: &Traffic,
    ) -> Result<(), ConnectionError> {
        let relayed = pin!(relay(plain, stream, traffic));
        let Some(limit) = self.config.idle.if_any() else {
            return Ok(relayed.await?);
        };
        let relayed = idle::limit(limit, || traffic.progress(), relayed).await;
        Ok(relayed.map_err(|Idle| ConnectionError::Idle(limit))??)
    }

    fn choose_keepalive(&self, socket: &Socket) {
        if !self.config.keepalive.on {
            socket.stop_keepalive();
        }
    }

    /// Connects to a target for an accepted connection, unless that has come through this pipe before.
    async fn dial_from(&self, source: &Socket) -> Result<Dialled, ConnectionError> {
        let pipe = self.targets.pipe();
        // A connection to a unix socket cannot be told from others.
        let has_no_address = || source.peer_address().is_none();
        let is_loop = || {
            hops::is_loop(source, pipe) || self.is_loop.load(Ordering::Relaxed) && has_no_address()
        };
        let check = || match is_loop() {
            true => Err(ConnectionError::Loop),
            false => Ok(()),
        };
        check()?;
        let target = self.dial().await?;
        // The pipe that made the connection may have noted it only now.
        check()?;
        let hop = hops::note(source, &target, pipe);
        Ok((target, hop))
    }

    /// Connects to a target, within the timeout. It counts as working from then on: one that turns
    /// out to hold another key is an error of the connection, and no reason to try the next.
    ///
    /// # Errors
    ///
    /// No address of any target works.
    pub async fn dial(&self) -> Result<Socket, ConnectionError> {
        let socket = self
            .targets
            .dial(&self.bind.get(), self.config.timeout.get())
            .await?;
        self.choose_keepalive(&socket);
        Ok(socket)
    }

    /// Shakes hands with the peer that was dialled, within the timeout.
    ///
    /// # Errors
    ///
    /// The peer holds another key, is not spiped, or is too slow.
    pub async fn connect<'a>(
        &self,
        peer: &'a Socket,
    ) -> Result<SpipedStream<&'a Socket>, ConnectionError> {
        self.in_time(pin!(self.handshaker.connect(peer))).await
    }

    /// Waits for a handshake as client for as long as the timeout says.
    async fn in_time<'a>(
        &self,
        handshake: impl Future<Output = Result<SpipedStream<&'a Socket>, HandshakeError>> + Unpin,
    ) -> Result<SpipedStream<&'a Socket>, ConnectionError> {
        let limit = self.config.timeout.get();
        let shaken = timeout(limit, handshake).await;
        Ok(shaken.map_err(|_| ConnectionError::HandshakeTimeout(limit))??)
    }
}

/// Whether a source that broke was unused, as that of a port scan: it sent nothing, and got no more than the
/// greeting of a server that speaks first.
fn is_unused(from_source: u64, to_source: u64) -> bool {
    from_source == 0 && to_source <= GREETING_MAX
}
