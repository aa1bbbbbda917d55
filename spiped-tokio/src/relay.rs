//! Moves data both ways between a plain socket and an encrypted stream, until both directions have
//! ended or one of them breaks.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::{Buffer, PLAINTEXT_LEN};
use crate::net::Socket;
use crate::stream::SpipedStream;

/// How many plaintext bytes a relay has moved; can be looked at while it does.
#[derive(Debug, Default)]
pub struct Traffic {
    sealed: AtomicU64,
    opened: AtomicU64,
}

impl Traffic {
    /// From the plain socket to the encrypted one.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// From the encrypted socket to the plain one.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Only the relay writes, so it need not lock the counter.
fn count(moved: &AtomicU64, len: usize) {
    let before = moved.load(Ordering::Relaxed);
    moved.store(before.wrapping_add(len as u64), Ordering::Relaxed);
}

/// Which side of a relay broke, and how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The plain connection failed.
    #[error("the plain connection broke: {0}")]
    Plain(io::Error),
    /// The encrypted connection failed, was cut or tampered with.
    #[error("the encrypted connection broke: {0}")]
    Encrypted(io::Error),
}

/// Relays until both directions have ended; a half that ends is passed on as a half that ends.
///
/// Then both sockets are [finished](Socket::finish); when it breaks, neither is. `traffic` is kept up
/// to date all the while.
///
/// # Errors
///
/// The first failure of either connection, which is noticed also while the other side accepts no
/// data.
pub async fn relay(
    plain: &Socket,
    encrypted: &mut SpipedStream<&Socket>,
    traffic: &Traffic,
) -> Result<(), RelayError> {
    let mut plain_broken = pin!(plain.broken());
    let encrypted_socket: &Socket = encrypted.get_ref();
    let mut encrypted_broken = pin!(encrypted_socket.broken());
    let mut sealing = Direction::default();
    let mut opening = Direction::default();
    poll_fn(|cx| {
        let sealed = sealing.poll(cx, &mut &*plain, encrypted, &traffic.sealed);
        let sealed = sealed.map_err(|fault| match fault {
            Fault::Read(error) => RelayError::Plain(error),
            Fault::Write(error) => RelayError::Encrypted(error),
        })?;
        let opened = opening.poll(cx, encrypted, &mut &*plain, &traffic.opened);
        let opened = opened.map_err(|fault| match fault {
            Fault::Read(error) => RelayError::Encrypted(error),
            Fault::Write(error) => RelayError::Plain(error),
        })?;
        if sealed.is_ready() && opened.is_ready() {
            plain.finish();
            encrypted_socket.finish();
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(error) = plain_broken.as_mut().poll(cx) {
            return Poll::Ready(Err(RelayError::Plain(error)));
        }
        encrypted_broken
            .as_mut()
            .poll(cx)
            .map(|error| Err(RelayError::Encrypted(error)))
    })
    .await
}

/// Full reads that a direction makes in a row before other connections get their turn.
const READS_PER_TURN: u32 = 4;

#[derive(Default)]
struct Direction {
    state: State,
    /// Read, but not yet taken by the writer.
    data: Buffer,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Moving,
    Ending,
    Ended,
}

enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Direction {
    /// Moves what can be moved; ready once the reader's end has been passed on.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut reads = 0;
        loop {
            match self.state {
                State::Moving => {
                    // Only then is more read: what waits for a slow writer waits in the kernel and
                    // fills its packets.
                    ready!(self.poll_write_out(cx, writer)).map_err(Fault::Write)?;
                    if reads == READS_PER_TURN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    reads += 1;
                    let len = ready!(self.poll_fill(cx, reader)).map_err(Fault::Read)?;
                    count(moved, len);
                    if len == 0 {
                        self.state = State::Ending;
                    }
                }
                State::Ending => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Fault::Write)?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes all that was read and has the writer send all that it holds.
    fn poll_write_out<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while !self.data.is_empty() {
            let len = ready!(Pin::new(&mut *writer).poll_write(cx, self.data.filled()))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.data.consume(len);
        }
        Pin::new(writer).poll_flush(cx)
    }

    /// Reads into the empty buffer; 0 is the end.
    fn poll_fill<R>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin,
    {
        // As much as becomes full packets in one go: the buffer itself has room for their overhead.
        let mut room = ReadBuf::new(self.data.room().split_at_mut(PLAINTEXT_LEN).0);
        let polled = Pin::new(reader).poll_read(cx, &mut room);
        let len = room.filled().len();
        self.data.fill(len);
        if len == 0 {
            self.data.shrink();
        }
        polled.map_ok(|()| len)
    }
}
