//! The encrypted stream: `AsyncRead + AsyncWrite` over any other one.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::{Error, Opened, Opener, Sealer, Session};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;

/// An authenticated, encrypted stream, made by a [`Handshaker`](crate::Handshaker).
///
/// - Every write becomes packets at once, and what was sealed but does not fit into the connection
///   is kept: [flush](tokio::io::AsyncWriteExt::flush) sends it.
/// - [Shutdown](tokio::io::AsyncWriteExt::shutdown) ends this direction only; the other one goes on.
/// - An end of file is the peer's shutdown, at the border of a packet. A stream that is cut inside a
///   packet is an error of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); a packet that
///   was tampered with is one of the kind [`InvalidData`](io::ErrorKind::InvalidData). Both carry a
///   [`spiped_proto::Error`].
/// - Protocol version 1 does not authenticate the end: who can cut the connection at the border of
///   a packet can end the stream there.
///
/// While no data is in flight it holds no buffer.
#[derive(Debug)]
pub struct SpipedStream<IO> {
    io: IO,
    forward_secrecy: bool,
    receiving: Receiving,
    sending: Sending,
}

#[derive(Debug)]
struct Receiving {
    opener: Opener,
    packets: Buffer,
    /// What the last reader had no room for, of a packet that lies open at the start of them,
    plaintext: Range<usize>,
    /// and the length of that packet.
    opened: usize,
    ended: bool,
}

#[derive(Debug)]
struct Sending {
    sealer: Sealer,
    packets: Buffer,
}

impl<IO> SpipedStream<IO> {
    pub(crate) fn new(io: IO, session: Session) -> Self {
        Self {
            io,
            forward_secrecy: session.forward_secrecy,
            receiving: Receiving {
                opener: session.opener,
                packets: Buffer::default(),
                plaintext: 0..0,
                opened: 0,
                ended: false,
            },
            sending: Sending {
                sealer: session.sealer,
                packets: Buffer::default(),
            },
        }
    }

    /// Whether what is sent stays secret when the key file does not: neither end did without the key
    /// exchange.
    #[must_use]
    pub fn has_forward_secrecy(&self) -> bool {
        self.forward_secrecy
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The stream underneath, when the encrypted one is given up. What was not flushed or not read is
    /// lost.
    pub fn into_inner(self) -> IO {
        self.io
    }
}

fn fault(error: Error) -> io::Error {
    let kind = match error {
        Error::TruncatedPacket => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl Receiving {
    /// Reads behind the packets at hand, or notes the end.
    fn poll_packets<IO>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncRead + Unpin,
    {
        let mut room = ReadBuf::new(self.packets.room());
        ready!(Pin::new(io).poll_read(cx, &mut room))?;
        let len = room.filled().len();
        self.ended = len == 0;
        self.packets.fill(len);
        Poll::Ready(Ok(()))
    }

    /// Opens packets at hand, for as long as the reader has room; whether anything came out.
    fn open(&mut self, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        let before = out.filled().len();
        while out.remaining() > 0 {
            if self.plaintext.is_empty() {
                match self.opener.open(self.packets.filled_mut()) {
                    Ok(Opened::Data {
                        consumed,
                        plaintext,
                    }) => (self.opened, self.plaintext) = (consumed, plaintext),
                    Ok(Opened::End { consumed }) => {
                        self.packets.consume(consumed);
                        continue;
                    }
                    Ok(Opened::Incomplete { .. }) => break,
                    // It stays, and comes once what is there has been read.
                    Err(_) if out.filled().len() > before => break,
                    Err(error) => return Err(fault(error)),
                }
            }
            let len = self.plaintext.len().min(out.remaining());
            let copied = self.plaintext.start..self.plaintext.start + len;
            out.put_slice(self.packets.filled().get(copied).unwrap_or_default());
            self.plaintext.start += len;
            if self.plaintext.is_empty() {
                self.packets.consume(self.opened);
            }
        }
        Ok(out.filled().len() > before)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for SpipedStream<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, receiving, .. } = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if receiving.open(out)? {
                return Poll::Ready(Ok(()));
            }
            if receiving.ended {
                let unopened = receiving.packets.filled().len();
                return Poll::Ready(receiving.opener.end(unopened).map_err(fault));
            }
            match receiving.poll_packets(io, cx) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    receiving.packets.shrink();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Sending {
    fn poll_drain<IO>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncWrite + Unpin,
    {
        while !self.packets.is_empty() {
            let sent = ready!(Pin::new(&mut *io).poll_write(cx, self.packets.filled()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packets.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Seals as much as a buffer holds; says how much that is.
    fn seal(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let room = self.packets.room();
        let mut rest = plaintext;
        for slot in self.sealer.slots(room) {
            let (data, later) = rest.split_at(rest.len().min(slot.len()));
            slot.split_at_mut(data.len()).0.copy_from_slice(data);
            rest = later;
        }
        let taken = plaintext.len() - rest.len();
        let sealed = self.sealer.seal(room, taken).map_err(fault)?;
        self.packets.fill(sealed);
        Ok(taken)
    }

    /// Puts what ends the stream behind all that was sealed.
    fn finish(&mut self) -> io::Result<()> {
        let sealed = self.sealer.finish(self.packets.room()).map_err(fault)?;
        self.packets.fill(sealed);
        self.packets.shrink();
        Ok(())
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for SpipedStream<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, sending, .. } = self.get_mut();
        ready!(sending.poll_drain(io, cx))?;
        if plaintext.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = sending.seal(plaintext)?;
        match sending.poll_drain(io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, sending, .. } = self.get_mut();
        ready!(sending.poll_drain(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, sending, .. } = self.get_mut();
        ready!(sending.poll_drain(io, cx))?;
        sending.finish()?;
        ready!(sending.poll_drain(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
