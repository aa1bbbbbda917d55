//! Makes an encrypted stream out of a connected one.

mod driver;
mod pool;
mod priority;
mod processors;

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use spiped_proto::{Entropy, HandshakeConfig, Keyring, Step, Version};
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(all(feature = "net", unix))]
use crate::net::Socket;
use crate::stream::SpipedStream;
use driver::{Driver, Milestone};

pub use pool::KeyExchangePool;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// There is no key to connect with.
    #[error("there is no key")]
    NoKey,
    /// The client has gone before a byte was taken from it. Who only looks whether a port is open does
    /// so.
    #[error("the client closed the connection before its first byte")]
    NoClient,
    /// The peer did something that the protocol forbids.
    #[error(transparent)]
    Protocol(#[from] spiped_proto::Error),
    /// The connection, or this system, failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl HandshakeError {
    /// Whether the peer has closed the connection, in order or not, instead of going on.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match self {
            Self::NoClient => true,
            Self::Protocol(error) => *error == spiped_proto::Error::TruncatedHandshake,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ),
            Self::NoKey => false,
        }
    }
}

/// Keeps the connection's own error. A peer that has closed in order is
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), one that breaks the protocol or has another key is
/// [`InvalidData`](io::ErrorKind::InvalidData): like the faults of a stream, both carry a
/// [`ProtocolError`](spiped_proto::Error), but for a client that has sent nothing. Without a key to connect with
/// it is [`InvalidInput`](io::ErrorKind::InvalidInput).
impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        let kind = match error {
            HandshakeError::Io(error) => return error,
            HandshakeError::NoKey => io::ErrorKind::InvalidInput,
            HandshakeError::NoClient => io::ErrorKind::UnexpectedEof,
            HandshakeError::Protocol(fault) => {
                let kind = match error.is_end() {
                    true => io::ErrorKind::UnexpectedEof,
                    false => io::ErrorKind::InvalidData,
                };
                return Self::new(kind, fault);
            }
        };
        Self::new(kind, error)
    }
}

/// Makes encrypted streams out of connected ones, as either end.
#[derive(Clone, Debug)]
pub struct Handshaker {
    keys: Keyring,
    config: HandshakeConfig,
    pool: KeyExchangePool,
}

impl Handshaker {
    /// Uses a shared secret, with forward secrecy that the peer may do without.
    ///
    /// A [`Keyring`] in its place accepts whoever holds one of its keys. To connect, the first of
    /// them is used.
    #[must_use]
    pub fn new(keys: impl Into<Keyring>) -> Self {
        Self::with_pool(keys, KeyExchangePool::new())
    }

    /// Like [`new`](Self::new), with threads that others have too.
    #[must_use]
    pub fn with_pool(keys: impl Into<Keyring>, pool: KeyExchangePool) -> Self {
        Self {
            keys: keys.into(),
            config: HandshakeConfig::default(),
            pool,
        }
    }

    /// Chooses what this end takes part in, and what the peer must.
    #[must_use]
    pub fn with_config(self, config: HandshakeConfig) -> Self {
        Self { config, ..self }
    }

    /// Opens an encrypted stream: the protocol's client, like `spiped -e` and `spipe`.
    ///
    /// It takes as long as the peer does: put a [timeout](tokio::time::timeout) around it.
    ///
    /// # Errors
    ///
    /// The peer has another key or breaks the protocol, or the connection fails. Either way, drop
    /// the connection.
    pub async fn connect<IO>(&self, io: IO) -> Result<SpipedStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        flushed(self.connect_unflushed(io).await?).await
    }

    /// Opens an encrypted stream like [`connect`](Self::connect), but the end of the handshake may stay
    /// in it, to go out in one segment with the first data. Until it is sent the peer waits, so have the
    /// stream [relayed](crate::relay), or write to it or flush it.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_unflushed<IO>(&self, io: IO) -> Result<SpipedStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let secret = self.keys.get(0).ok_or(HandshakeError::NoKey)?;
        let step = Step::client(secret, self.config, entropy()?);
        let driver = Driver::new(io, self.pool.clone(), None);
        driver.complete(step, 0).await
    }

    /// Accepts an encrypted stream: the protocol's server, like `spiped -d`.
    ///
    /// It takes as long as the peer does: put a [timeout](tokio::time::timeout) around it.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn accept<IO>(&self, io: IO) -> Result<SpipedStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.prove(io).await?.finish().await
    }

    /// The first half of [`accept`](Self::accept), up to the peer's proof that it holds the key.
    /// Until then a stranger costs no key exchange, and should cost nothing else.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn prove<IO>(&self, io: IO) -> Result<AuthenticatedPeer<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.prove_from(None, io).await
    }

    /// Like [`prove`](Self::prove), for a peer at an address. Where there are more keys to try than can be tried
    /// in time, addresses take turns, and strangers at one of them hold up each other only. A network that a
    /// stranger has to himself, as one of 64 bits of IPv6, should count as one address. All peers without one
    /// count as peers at one too.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn prove_from<IO>(
        &self,
        source: Option<IpAddr>,
        io: IO,
    ) -> Result<AuthenticatedPeer<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let _stranger = self.pool.enter();
        let step = Step::server(&self.keys, self.config, entropy()?);
        let mut driver = Driver::new(io, self.pool.clone(), source);
        match driver.advance(step).await {
            Ok(Milestone::Authenticated(peer)) => Ok(AuthenticatedPeer { driver, peer }),
            // No server's handshake ends before the proof.
            Ok(Milestone::Done(_)) => Err(io::Error::other("the peer has proved nothing").into()),
            Err(error) if !driver.heard && error.is_end() => Err(HandshakeError::NoClient),
            Err(error) => Err(error),
        }
    }
}

/// A peer that has proved that it holds a key, for which a target may be dialled. Keys may be still
/// to exchange.
#[derive(Debug)]
pub struct AuthenticatedPeer<IO> {
    driver: Driver<IO>,
    peer: spiped_proto::AuthenticatedPeer,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AuthenticatedPeer<IO> {
    /// Which of the handshaker's keys the peer holds: an index of its [`Keyring`].
    #[must_use]
    pub fn key(&self) -> usize {
        self.peer.key()
    }

    /// The version of the protocol that both ends speak.
    #[must_use]
    pub fn version(&self) -> Version {
        self.peer.version()
    }

    /// The second half of [`Handshaker::accept`]: exchanges keys. A target can be dialled beside it.
    ///
    /// # Errors
    ///
    /// As for [`Handshaker::connect`].
    pub async fn finish(self) -> Result<SpipedStream<IO>, HandshakeError> {
        let key = self.key();
        flushed(self.driver.complete(self.peer.proceed(), key).await?).await
    }
}

#[cfg(all(feature = "net", unix))]
impl AuthenticatedPeer<&Socket> {
    /// Waits until the peer has ended its direction, or the connection breaks. Behind data only a break
    /// is noticed, as by [`Socket::left`], which does not see what a handshake has read.
    pub async fn left(&self) -> io::Error {
        match self.driver.unread.is_empty() {
            true => self.driver.io.left().await,
            false => self.driver.io.broken().await,
        }
    }
}

/// Sends the end of the handshake.
async fn flushed<IO>(mut stream: SpipedStream<IO>) -> Result<SpipedStream<IO>, HandshakeError>
where
    IO: AsyncWrite + Unpin,
{
    poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await?;
    Ok(stream)
}

fn entropy() -> io::Result<Entropy> {
    let mut bytes = [0; Entropy::LEN];
    getrandom::fill(&mut bytes)?;
    Ok(Entropy::take(&mut bytes))
}
