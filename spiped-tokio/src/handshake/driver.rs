//! Drives the steps of a handshake over a stream: sends, receives, and has the arithmetic done where
//! it delays nobody.

use std::future::poll_fn;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::{AuthenticatedPeer, Computation, Incoming, Session, Step};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HandshakeError;
use super::pool::KeyExchangePool;
use crate::stream::SpipedStream;

/// Bytes that one read takes at most; a longer message takes several. It asks for more than the messages
/// have, so that it ends short, and no system call is needed to see that there is no more.
const READ_LEN: usize = 2048;

/// Where a handshake pauses.
#[derive(Debug)]
pub(super) enum Milestone {
    Authenticated(AuthenticatedPeer),
    Done(Box<Session>),
}

#[derive(Debug)]
pub(super) struct Driver<IO> {
    pub(super) io: IO,
    /// Whether a byte has come from the peer.
    pub(super) heard: bool,
    unsent: Vec<u8>,
    /// What was read behind the last message.
    pub(super) unread: Vec<u8>,
    pool: KeyExchangePool,
    /// Where the peer is, if it shares its turns of the pool with others there.
    source: Option<IpAddr>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(io: IO, pool: KeyExchangePool, source: Option<IpAddr>) -> Self {
        Self {
            io,
            heard: false,
            unsent: Vec::new(),
            unread: Vec::new(),
            pool,
            source,
        }
    }

    pub(super) async fn advance(&mut self, mut step: Step) -> Result<Milestone, HandshakeError> {
        loop {
            step = match step {
                Step::Send(outgoing) => {
                    self.unsent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Receive(incoming) => self.receive(incoming).await?,
                Step::Compute(computation) => self.compute(computation).await?,
                Step::Authenticated(peer) => return Ok(Milestone::Authenticated(peer)),
                Step::Done(session) => return Ok(Milestone::Done(session)),
            };
        }
    }

    /// Goes on to the end, which may be unsent, with a peer that holds this key.
    pub(super) async fn complete(
        mut self,
        mut step: Step,
        key: usize,
    ) -> Result<SpipedStream<IO>, HandshakeError> {
        loop {
            step = match self.advance(step).await? {
                Milestone::Authenticated(peer) => peer.proceed(),
                Milestone::Done(session) => {
                    let Self {
                        io, unsent, unread, ..
                    } = self;
                    return Ok(SpipedStream::new(io, *session, key, unsent, unread));
                }
            };
        }
    }

    /// Computes while what was sent travels. To wake another thread and be woken by it costs as much
    /// as a short computation, so that is done here; but not one for each of many strangers, behind
    /// whom connections that move data would wait.
    async fn compute(&mut self, computation: Computation) -> Result<Step, HandshakeError> {
        self.flush().await?;
        let in_a_crowd = computation.is_for_stranger() && self.pool.is_crowded();
        if computation.is_short() && !in_a_crowd {
            return Ok(computation.run()?);
        }
        self.pool.run(computation, self.source).await
    }

    /// Receives while it sends: a peer may wait for our bytes before it sends or reads more.
    async fn receive(&mut self, incoming: Incoming) -> Result<Step, HandshakeError> {
        if !self.unread.is_empty() {
            let unread = mem::take(&mut self.unread);
            return self.feed(incoming, &unread);
        }
        let mut incoming = Some(incoming);
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error.into()));
            }
            let mut bytes = [MaybeUninit::uninit(); READ_LEN];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut bytes))?;
            let Some(incoming) = incoming.take() else {
                return Poll::Pending;
            };
            if bytes.filled().is_empty() {
                return Poll::Ready(Err(incoming.end().into()));
            }
            self.heard = true;
            Poll::Ready(self.feed(incoming, bytes.filled()))
        })
        .await
    }

    /// Feeds a message, and keeps what lies behind it.
    fn feed(&mut self, incoming: Incoming, bytes: &[u8]) -> Result<Step, HandshakeError> {
        let (used, step) = incoming.feed(bytes)?;
        self.unread
            .extend_from_slice(bytes.get(used..).unwrap_or_default());
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
