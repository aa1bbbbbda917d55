//! A connected stream socket, TCP or unix, as one type.
//!
//! Reading and writing need only `&Socket`, so that both directions of a relay and its watch for
//! errors can share one.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::net::address::Endpoint;

/// How long a connection is silent before the system probes the peer. Short enough for address
/// translators and firewalls, which forget a silent connection after some minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between two probes,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// and how many may stay without an answer: an outage of five minutes is survived.
const KEEPALIVE_PROBES: u32 = 10;

/// A connected TCP or unix stream socket.
///
/// The system probes a silent TCP peer (SO_KEEPALIVE), first after a minute: one that is gone is
/// noticed within six.
///
/// Closing it is a reset, whether the program drops it, panics or is killed, until
/// [`finish`](Socket::finish) says that the stream has ended well: the peer cannot take a broken
/// stream for a finished one. A unix socket has no reset. Its peer gets an error when it writes, or
/// when it has sent something that was not read; otherwise it sees an end of file.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection between unix stream sockets.
    Unix(UnixStream),
}

/// A socket that is part of no runtime.
#[derive(Debug)]
pub enum DetachedSocket {
    /// A TCP connection.
    Tcp(std::net::TcpStream),
    /// A connection between unix stream sockets.
    Unix(std::os::unix::net::UnixStream),
}

impl DetachedSocket {
    /// Goes on in the current runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch the socket.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn attach(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// Calls a method that both kinds of stream have.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl Socket {
    /// Connects to an endpoint; a TCP connection may start from a given local address.
    pub(crate) async fn connect(endpoint: &Endpoint, from: Option<SocketAddr>) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(path) => Ok(Self::from(UnixStream::connect(path).await?)),
            Endpoint::Tcp(address) => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => TcpSocket::new_v6()?,
                };
                // Now, as a connection that is given up may be up for the other side already.
                prepare(SockRef::from(&socket))?;
                if let Some(from) = from {
                    socket.set_reuseaddr(true)?;
                    socket.bind(from)?;
                }
                Ok(Self::Tcp(socket.connect(*address).await?))
            }
        }
    }

    /// Has the system probe a silent peer no longer. Means nothing to a unix socket.
    pub fn stop_keepalive(&self) {
        if let Self::Tcp(stream) = self {
            // Fails only for a connection that is gone already, as the next read will tell.
            let _ = SockRef::from(stream).set_keepalive(false);
        }
    }

    /// The address at this side; `None` for a unix socket, and for a connection that is gone.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Makes the coming close an orderly one, after all that was written.
    pub fn finish(&self) {
        if let Self::Tcp(stream) = self {
            // As above.
            let _ = SockRef::from(stream).set_linger(None);
        }
    }

    /// Waits until something has come from the peer: data, its end or a break.
    pub async fn readable(&self) {
        // Fails only when the runtime ends.
        let _ = either!(self, stream => stream.ready(Interest::READABLE).await);
    }

    /// Waits until the peer has ended its direction, or the connection breaks. Takes no data; behind
    /// data that nobody has taken, only a break is noticed.
    pub async fn left(&self) -> io::Error {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = either!(self, stream => {
            let peek = || SockRef::from(stream).peek(&mut byte);
            stream.async_io(Interest::READABLE, peek).await
        });
        match peeked {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => self.broken().await,
            Err(error) => error,
        }
    }

    /// Whether there is something from the peer that nobody has taken. What came before a break counts
    /// where the system keeps it, which Linux does.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = either!(self, stream => SockRef::from(stream).peek(&mut byte));
        peeked.is_ok_and(|length| length > 0)
    }

    /// Waits for the connection to break and says how, also while nobody reads or writes.
    pub async fn broken(&self) -> io::Error {
        let ready = either!(self, stream => stream.ready(Interest::ERROR).await);
        let taken = ready.and_then(|_| either!(self, stream => SockRef::from(stream).take_error()));
        match taken {
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
            Ok(Some(error)) | Err(error) => error,
        }
    }

    fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if interest == Interest::READABLE {
            either!(self, stream => stream.poll_read_ready(cx))
        } else {
            either!(self, stream => stream.poll_write_ready(cx))
        }
    }

    /// Reads or writes up to `wanted` bytes once the socket is ready for it.
    fn poll_transfer(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        wanted: usize,
        mut transfer: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(interest, cx))?;
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

/// What every TCP connection starts with: small writes go out at once, a close is a reset, and a
/// silent peer is probed.
pub(crate) fn prepare(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    let probes = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    // OpenBSD has them for the whole system only.
    #[cfg(not(target_os = "openbsd"))]
    let probes = probes
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&probes)
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        // Fails only for a connection that is gone already, as the next read will tell.
        let _ = prepare(SockRef::from(&stream));
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
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
            || either!(*self, stream => stream.try_read(room)),
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
            || either!(*self, stream => stream.try_write(buf)),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(either!(*self, stream => {
            SockRef::from(stream).shutdown(Shutdown::Write)
        }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// What must not happen is waited for this long.
    const ABSENCE: Duration = Duration::from_millis(50);

    async fn connection() -> (Socket, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap().into(), accepted.unwrap().0.into())
    }

    /// The system has connected both sides by the time that it is given up.
    #[tokio::test]
    async fn a_connection_that_is_given_up_while_it_comes_up_is_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let mut connecting = Box::pin(Socket::connect(&endpoint, None));
        std::future::poll_fn(|cx| {
            let _ = connecting.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        drop(connecting);
        let (mut accepted, _) = listener.accept().await.unwrap();
        let read = accepted.read(&mut [0]).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn keep_alives_go_on_until_they_are_stopped() {
        let (socket, _peer) = connection().await;
        let probed = || either!(&socket, stream => SockRef::from(stream).keepalive()).unwrap();
        assert!(probed());
        socket.stop_keepalive();
        assert!(!probed());
    }

    #[tokio::test]
    async fn a_peer_that_is_merely_silent_has_not_left() {
        let (socket, peer) = connection().await;
        assert!(timeout(ABSENCE, socket.left()).await.is_err());
        drop(peer);
        assert_eq!(socket.left().await.kind(), io::ErrorKind::ConnectionReset);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_came_before_a_break_is_there_to_be_seen() {
        for sent in [&b""[..], b"x"] {
            let (socket, peer) = connection().await;
            assert!(!socket.has_unread());
            either!(&peer, stream => stream.writable().await).unwrap();
            let written = either!(&peer, stream => stream.try_write(sent));
            assert_eq!(written.unwrap(), sent.len());
            drop(peer);
            assert_eq!(socket.broken().await.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(socket.has_unread(), !sent.is_empty());
        }
    }

    #[tokio::test]
    async fn a_peer_that_has_ended_its_direction_has_left() {
        let (socket, peer) = connection().await;
        either!(&peer, stream => SockRef::from(stream).shutdown(Shutdown::Write)).unwrap();
        assert_eq!(socket.left().await.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn data_is_left_where_it_is_and_hides_all_but_a_break() {
        let (socket, peer) = connection().await;
        either!(&peer, stream => stream.writable().await).unwrap();
        assert_eq!(either!(&peer, stream => stream.try_write(b"x")).unwrap(), 1);
        socket.readable().await;
        assert!(timeout(ABSENCE, socket.left()).await.is_err());
        let mut byte = [0];
        (&socket).read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x");
        drop(peer);
        assert_eq!(socket.left().await.kind(), io::ErrorKind::ConnectionReset);
    }
}
