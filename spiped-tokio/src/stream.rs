//! The encrypted stream: `AsyncRead + AsyncWrite` over any other one.

#[cfg(all(feature = "net", unix))]
mod in_place;
mod receiving;
mod sending;

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::{Error, Session, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(all(feature = "net", unix))]
pub(crate) use in_place::SealError;
use receiving::Receiving;
use sending::Sending;

/// An authenticated, encrypted stream, made by a [`Handshaker`](crate::Handshaker).
///
/// - Every write becomes records at once, and what was sealed but does not fit into the connection
///   is kept: a flush sends it.
/// - A shutdown ends this direction only; the other one goes on.
/// - An end of file is the peer's shutdown. A stream that is cut is an error of the kind
///   [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); a record that was tampered with is one of the
///   kind [`InvalidData`](io::ErrorKind::InvalidData). Both carry a [`ProtocolError`](Error) and come
///   behind the data before them. The stream is broken as soon as the fault is found, in both
///   directions: it takes no more data and no end.
/// - Protocol version 1 does not authenticate the end: who can cut the connection between two packets
///   can end the stream there. In version 2 only the peer can.
///
/// A stream that is dropped without a shutdown is a broken one to the peer: always in version 2, in
/// version 1 if the connection underneath closes by a reset, as a [`Socket`](crate::Socket) does.
///
/// While no data is in flight it holds no buffer and no expanded keys.
#[derive(Debug)]
pub struct SpipedStream<IO> {
    io: IO,
    about: About,
    receiving: Receiving,
    sending: Sending,
}

/// What the handshake has found out.
#[derive(Clone, Copy, Debug)]
struct About {
    key: usize,
    version: Version,
    forward_secrecy: bool,
}

/// The pieces of a [`SpipedStream`] that is given up.
#[non_exhaustive]
pub struct Parts<IO> {
    /// The stream underneath.
    pub io: IO,
    /// Sealed bytes that it has not taken yet.
    pub unsent: Vec<u8>,
    /// Plaintext that nobody has read.
    pub unread: Vec<u8>,
    /// Records that were read and not opened; the last one may be the start of one. A handshake reads ahead.
    pub unopened: Vec<u8>,
}

impl<IO: fmt::Debug> fmt::Debug for Parts<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("io", &self.io)
            .field("unsent", &self.unsent.len())
            .field("unread", &self.unread.len())
            .field("unopened", &self.unopened.len())
            .finish()
    }
}

impl<IO> SpipedStream<IO> {
    /// Starts behind a handshake, whose end is still to be sent. What was read behind it is opened first.
    pub(crate) fn new(
        io: IO,
        session: Session,
        key: usize,
        unsent: Vec<u8>,
        unopened: Vec<u8>,
    ) -> Self {
        Self {
            io,
            about: About {
                key,
                version: session.version,
                forward_secrecy: session.forward_secrecy,
            },
            receiving: Receiving::new(session.opener, unopened),
            sending: Sending::new(session.sealer, unsent),
        }
    }

    /// Which of this end's keys the peer holds: an index of the [`Keyring`](crate::Keyring), 0 with a
    /// single key.
    #[must_use]
    pub fn key(&self) -> usize {
        self.about.key
    }

    /// The version of the protocol that both ends speak.
    #[must_use]
    pub fn version(&self) -> Version {
        self.about.version
    }

    /// Whether what is sent stays secret when the key file does not: neither end did without the key
    /// exchange.
    #[must_use]
    pub fn has_forward_secrecy(&self) -> bool {
        self.about.forward_secrecy
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The stream underneath, to be configured. What is read from it or written to it is missing from
    /// the encrypted one.
    pub fn get_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Gives the encrypted stream up, without an end: the stream underneath, and what was on its way.
    pub fn into_parts(self) -> Parts<IO> {
        let (unread, unopened) = self.receiving.into_unread();
        Parts {
            io: self.io,
            unsent: self.sending.into_unsent(),
            unread,
            unopened,
        }
    }

    /// A fault, or a cut connection, ends both directions.
    fn check(&self) -> io::Result<()> {
        match self.receiving.broken {
            true => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the stream is broken",
            )),
            false => Ok(()),
        }
    }
}

/// The descriptor of the stream underneath, to ask the system about.
#[cfg(unix)]
impl<IO: AsFd> AsFd for SpipedStream<IO> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<IO: AsyncWrite + Unpin> SpipedStream<IO> {
    /// Ends this direction once all that was sealed is sent, with a function that writes some of the record
    /// that says so.
    fn poll_end_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&mut IO, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let Self { io, sending, .. } = self;
        ready!(sending.poll_send(io, cx))?;
        sending.finish()?;
        ready!(sending.poll_send_by(|end| write(io, cx, end)))?;
        Pin::new(io).poll_shutdown(cx)
    }
}

fn fault(error: Error) -> io::Error {
    let kind = match error {
        Error::TruncatedPacket | Error::UnauthenticatedEnd => io::ErrorKind::UnexpectedEof,
        Error::Finished => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl<IO: AsyncRead + Unpin> AsyncRead for SpipedStream<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let opened = this.receiving.poll_open(&mut this.io, cx);
        match opened {
            Poll::Ready(Ok(true)) => this.receiving.copy_to(out),
            Poll::Ready(Ok(false)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                this.receiving.rest();
                this.sending.rest();
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for SpipedStream<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let Self { io, sending, .. } = self.get_mut();
        ready!(sending.poll_send(io, cx))?;
        if plaintext.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = sending.seal(plaintext)?;
        match sending.poll_send(io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, sending, .. } = self.get_mut();
        ready!(sending.poll_send(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let write =
            |io: &mut IO, cx: &mut Context<'_>, end: &[u8]| Pin::new(io).poll_write(cx, end);
        self.get_mut().poll_end_by(cx, write)
    }
}

#[cfg(test)]
mod tests;
