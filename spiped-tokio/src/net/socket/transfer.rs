//! Reads and writes of a socket, which the runtime polls.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::{Socket, Stream};

impl Socket {
    /// Ready once the system has told of data, an end or a break that no read has taken.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read_ready(cx))
    }

    /// Reads into several places in one go; 0 is the end.
    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        places: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = places.iter().map(|place| place.len()).sum();
        self.poll_transfer(
            Interest::READABLE,
            cx,
            wanted,
            || either!(self, stream => stream.try_read_vectored(places)),
        )
    }

    /// Reads like [`poll_read_vectored`](Self::poll_read_vectored), whether the system has told of data or not;
    /// pending if there is none.
    pub(crate) fn read_unasked(&self, places: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        match (&*SockRef::from(self)).read_vectored(places) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Poll::Pending,
            read => Poll::Ready(read),
        }
    }

    /// Writes what the end of the stream follows at once: the system may send both in one segment.
    pub(crate) fn poll_write_last(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(not(target_os = "linux"))]
        let write = || either!(self, stream => stream.try_write(buf));
        #[cfg(target_os = "linux")]
        let write = || {
            use rustix::net::{SendFlags, send};
            Ok(send(self, buf, SendFlags::MORE | SendFlags::NOSIGNAL)?)
        };
        self.poll_transfer(Interest::WRITABLE, cx, buf.len(), write)
    }

    /// Reads or writes up to `wanted` bytes once the socket is ready for it.
    ///
    /// A read may end early and leave more behind: at an urgent byte (MSG_OOB), and behind data that
    /// carries descriptors (SCM_RIGHTS). Who has to expect those looks again, [unasked](Self::read_unasked).
    fn poll_transfer(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        wanted: usize,
        mut transfer: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if interest == Interest::READABLE {
                ready!(self.poll_readable(cx))?;
            } else {
                ready!(either!(self, stream => stream.poll_write_ready(cx)))?;
            }
            let mut short = None;
            let result = either!(self, stream => stream.try_io(interest, || match transfer()? {
                len if 0 < len && len < wanted => {
                    // The kernel has no more for now. Saying so here clears the readiness, which
                    // saves the system call that would find it out.
                    short = Some(len);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                len => Ok(len),
            }));
            match (short, result) {
                (Some(len), _) => return Poll::Ready(Ok(len)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                (None, result) => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for &Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        let wanted = room.len();
        let read = self.poll_transfer(
            Interest::READABLE,
            cx,
            wanted,
            || either!(self, stream => stream.try_read(room)),
        );
        read.map_ok(|len| buf.advance(len))
    }
}

impl AsyncWrite for &Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_transfer(
            Interest::WRITABLE,
            cx,
            buf.len(),
            || either!(self, stream => stream.try_write(buf)),
        )
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_transfer(
            Interest::WRITABLE,
            cx,
            wanted,
            || either!(self, stream => stream.try_write_vectored(bufs)),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(*self).shutdown(Shutdown::Write))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_shutdown(cx)
    }
}
