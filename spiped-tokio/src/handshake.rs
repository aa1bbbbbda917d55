//! Drives the protocol's handshake over a stream: sends, receives and has the arithmetic done on
//! other threads.

mod pool;
mod priority;
mod processors;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::{
    AuthenticatedPeer, Entropy, ForwardSecrecy, HandshakeConfig, Incoming, Keyring, Session, Step,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::SpipedStream;

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

    /// The same, with threads that others have too, where [`new`](Self::new) has its own.
    #[must_use]
    pub fn with_pool(keys: impl Into<Keyring>, pool: KeyExchangePool) -> Self {
        Self {
            keys: keys.into(),
            config: HandshakeConfig::default(),
            pool,
        }
    }

    /// Chooses forward secrecy for this end, and whether the peer must take part.
    #[must_use]
    pub fn with_forward_secrecy(mut self, forward_secrecy: ForwardSecrecy) -> Self {
        self.config.forward_secrecy = forward_secrecy;
        self
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
        let secret = self.keys.get(0).ok_or(HandshakeError::NoKey)?;
        let step = Step::client(secret, self.config, entropy()?);
        let mut driver = self.driver(io);
        let reached = driver.advance(step).await?;
        ProvedPeer::new(driver, reached).finish().await
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
    pub async fn prove<IO>(&self, io: IO) -> Result<ProvedPeer<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let step = Step::server(&self.keys, self.config, entropy()?);
        let mut driver = self.driver(io);
        match driver.advance(step).await {
            Ok(reached) => Ok(ProvedPeer::new(driver, reached)),
            Err(error) if !driver.heard && error.is_end() => Err(HandshakeError::NoClient),
            Err(error) => Err(error),
        }
    }

    fn driver<IO>(&self, io: IO) -> Driver<IO> {
        Driver {
            io,
            heard: false,
            unsent: Vec::new(),
            pool: self.pool.clone(),
        }
    }
}

/// A peer that has proved that it holds a key; the key exchange is still to come.
#[derive(Debug)]
pub struct ProvedPeer<IO> {
    driver: Driver<IO>,
    key: usize,
    reached: Milestone,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ProvedPeer<IO> {
    fn new(driver: Driver<IO>, reached: Milestone) -> Self {
        let key = match &reached {
            Milestone::Authenticated(peer) => peer.key(),
            Milestone::Done(_) => 0,
        };
        Self {
            driver,
            key,
            reached,
        }
    }

    /// Which of the handshaker's keys the peer holds: an index of its [`Keyring`].
    #[must_use]
    pub fn key(&self) -> usize {
        self.key
    }

    /// The second half of [`Handshaker::accept`]: exchanges keys. A target can be dialled beside it.
    ///
    /// # Errors
    ///
    /// As for [`Handshaker::connect`].
    pub async fn finish(mut self) -> Result<SpipedStream<IO>, HandshakeError> {
        loop {
            let step = match self.reached {
                Milestone::Authenticated(peer) => peer.proceed(),
                Milestone::Done(session) => return Ok(SpipedStream::new(self.driver.io, *session)),
            };
            self.reached = self.driver.advance(step).await?;
        }
    }
}

#[derive(Debug)]
enum Milestone {
    Authenticated(AuthenticatedPeer),
    Done(Box<Session>),
}

#[derive(Debug)]
struct Driver<IO> {
    io: IO,
    /// Whether a byte has come from the peer.
    heard: bool,
    unsent: Vec<u8>,
    pool: KeyExchangePool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    async fn advance(&mut self, mut step: Step) -> Result<Milestone, HandshakeError> {
        loop {
            step = match step {
                Step::Send(outgoing) => {
                    self.unsent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Receive(incoming) => self.receive(incoming).await?,
                Step::Compute(computation) => {
                    self.flush().await?;
                    // To wake another thread and be woken by it costs as much as the short one.
                    if computation.is_short() {
                        computation.run()?
                    } else {
                        self.pool.run(computation).await?
                    }
                }
                Step::Authenticated(peer) => return Ok(Milestone::Authenticated(peer)),
                Step::Done(session) => {
                    self.flush().await?;
                    return Ok(Milestone::Done(session));
                }
            };
        }
    }

    /// Receives while it sends: a peer may wait for our bytes before it sends or reads more.
    async fn receive(&mut self, incoming: Incoming) -> Result<Step, HandshakeError> {
        let mut bytes = [0; 512];
        let mut buf = ReadBuf::new(&mut bytes);
        let mut buf = buf.take(incoming.missing());
        poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Pin::new(&mut self.io).poll_read(cx, &mut buf),
        })
        .await?;
        if buf.filled().is_empty() {
            return Err(incoming.end().into());
        }
        self.heard = true;
        let (_, step) = incoming.feed(buf.filled())?;
        Ok(step)
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

fn entropy() -> io::Result<Entropy> {
    let mut bytes = [0; Entropy::LEN];
    getrandom::fill(&mut bytes)?;
    Ok(Entropy::take(&mut bytes))
}
