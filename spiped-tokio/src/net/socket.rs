//! A connected stream socket, TCP or unix, as one type.
//!
//! Reading and writing need only `&Socket`, so that both directions of a relay and its watch for
//! errors can share one.

/// Calls a method that both kinds of stream have.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &$socket.stream {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

mod transfer;

use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::sleep;

use crate::net::endpoint::Endpoint;

/// How long a connection is silent before the system probes the peer. Short enough for address
/// translators and firewalls, which forget a silent connection after some minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between two probes, and how many may stay without an answer: an outage of five minutes is
/// survived. OpenBSD has both for the whole system only.
#[cfg(not(target_os = "openbsd"))]
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
#[cfg(not(target_os = "openbsd"))]
const KEEPALIVE_PROBES: u32 = 10;
/// Time between two looks at the peer of a unix socket that has ended its direction, from that end on, as there
/// are no probes. A peer that sends and goes leaves the other side as long to end in order.
const DESERTION: Duration = Duration::from_secs(10);
/// Time before a full queue of a unix socket is tried again, which doubles each time up to a most.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);
const QUEUE_PAUSE_MAX: Duration = Duration::from_millis(64);

/// A connected TCP or unix stream socket.
///
/// The system probes a silent TCP peer (SO_KEEPALIVE), first after a minute: one that is gone is
/// noticed within six. One that was dialled is probed from the first pause of a [relay](crate::relay), or
/// once [`start_keepalive`](Socket::start_keepalive) says so: it takes four system calls, and most
/// connections end sooner.
///
/// Closing it is a reset, whether the program drops it, panics or is killed, until
/// [`finish`](Socket::finish) says that the stream has ended well: the peer cannot take a broken
/// stream for a finished one. A unix socket has no reset. Its peer gets an error when it writes, or
/// when it has sent something that was not read; otherwise it sees an end of file.
///
/// A reference to it is `AsyncRead` and `AsyncWrite` too, for one task that reads, writes and watches
/// for a break.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// Whether keep-alives are still to be started, at the first pause.
    keepalive_is_due: AtomicBool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that is part of no runtime.
#[derive(Debug)]
pub struct DetachedSocket {
    socket: OwnedFd,
    is_tcp: bool,
}

impl DetachedSocket {
    /// A connection that does not block; a TCP one is prepared.
    pub(crate) fn new(socket: OwnedFd, is_tcp: bool) -> Self {
        Self { socket, is_tcp }
    }

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
        Ok(Socket::new(if self.is_tcp {
            Stream::Tcp(TcpStream::from_std(self.socket.into())?)
        } else {
            Stream::Unix(UnixStream::from_std(self.socket.into())?)
        }))
    }
}

impl Socket {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            keepalive_is_due: AtomicBool::new(false),
        }
    }

    /// Connects to an endpoint; a TCP connection may start from a given local address. Waits for room in the
    /// queue of a listener, of a unix socket on Linux only: other systems refuse then, as if nobody listened.
    pub(crate) async fn connect(endpoint: &Endpoint, from: Option<SocketAddr>) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(path) => {
                let mut pause = QUEUE_PAUSE;
                loop {
                    match UnixStream::connect(path).await {
                        // The queue of the listener is full; over TCP the system would try again.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            sleep(pause).await;
                            pause = (2 * pause).min(QUEUE_PAUSE_MAX);
                        }
                        connected => return Ok(connected?.into()),
                    }
                }
            }
            Endpoint::Tcp(address) => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => TcpSocket::new_v6()?,
                };
                // Now, as a connection that is given up may be up for the other side already.
                close_by_reset(&SockRef::from(&socket))?;
                if let Some(from) = from {
                    socket.set_reuseaddr(true)?;
                    if from.port() == 0 {
                        leave_port_open(&socket);
                    }
                    socket.bind(from)?;
                }
                let stream = socket.connect(*address).await?;
                if has_met_itself(&stream, *address) {
                    return Err(Errno::ECONNREFUSED.into());
                }
                Ok(Self {
                    stream: Stream::Tcp(stream),
                    keepalive_is_due: AtomicBool::new(true),
                })
            }
        }
    }

    /// Has the system probe a silent peer, unless it does already or [is not to](Self::stop_keepalive). Means
    /// nothing to a unix socket.
    pub fn start_keepalive(&self) {
        if self.keepalive_is_due.swap(false, Ordering::Relaxed)
            && let Stream::Tcp(stream) = &self.stream
        {
            // Fails only for a connection that is gone already, as the next read will tell.
            let _ = start_keepalive(&SockRef::from(stream));
        }
    }

    /// Has the system probe a silent peer no longer. Means nothing to a unix socket.
    pub fn stop_keepalive(&self) {
        if !self.keepalive_is_due.swap(false, Ordering::Relaxed)
            && let Stream::Tcp(stream) = &self.stream
        {
            // Fails only for a connection that is gone already, as the next read will tell.
            let _ = SockRef::from(stream).set_keepalive(false);
        }
    }

    /// The address at this side; `None` for a unix socket, and for a connection that is gone.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// The address at the other side; `None` for a unix socket, and for a connection that is gone.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Makes the coming close an orderly one, after all that was written.
    pub fn finish(&self) {
        if let Stream::Tcp(stream) = &self.stream {
            // Fails only for a connection that is gone already.
            let _ = SockRef::from(stream).set_linger(None);
        }
    }

    /// Waits until something has come from the peer that nobody has read: data, its end or a break. A
    /// handshake reads ahead, up to 2 KiB.
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

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.stream, Stream::Tcp(_))
    }

    /// Waits until the peer of a unix socket, which has ended its direction, is gone altogether. It is looked
    /// for every ten seconds, as nothing waits for that and not for room to write as well. Once this
    /// side has ended its own direction, there is no difference. Never ready for TCP, whose peer is probed.
    pub(crate) async fn deserted(&self) -> io::Error {
        let Stream::Unix(stream) = &self.stream else {
            return pending().await;
        };
        loop {
            sleep(DESERTION).await;
            match stream.ready(Interest::WRITABLE).await {
                Ok(ready) if !ready.is_write_closed() => {}
                Ok(_) => return io::ErrorKind::BrokenPipe.into(),
                Err(error) => return error,
            }
        }
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
}

/// Has a port chosen when the connection is made, not when it is bound: ports then run out for each
/// target by itself. Only Linux can.
fn leave_port_open(socket: &TcpSocket) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
        // Without it, there are fewer ports.
        let _ = setsockopt(socket, IpBindAddressNoPort, &true);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Whether a connection is its own peer (RFC 9293 section 3.5, simultaneous open). It comes to be where nobody
/// listens, at an address of this machine, and the system starts from that very port. The peer is asked
/// for only where the ports are the same, as `to` may be the unspecified address.
fn has_met_itself(stream: &TcpStream, to: SocketAddr) -> bool {
    let same_port = |local: &SocketAddr| local.port() == to.port();
    let local = stream.local_addr().ok().filter(same_port);
    local.is_some_and(|local| stream.peer_addr().is_ok_and(|peer| peer == local))
}

/// What every TCP connection starts with that was accepted: small writes go out at once, a close is a
/// reset, and a silent peer is probed.
pub(crate) fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    close_by_reset(socket)?;
    start_keepalive(socket)
}

/// Has small writes go out at once, and a close be a reset.
fn close_by_reset(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))
}

fn start_keepalive(socket: &SockRef<'_>) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    #[cfg(not(target_os = "openbsd"))]
    let probes = probes
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&probes)
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        // Fails only for a connection that is gone already, as the next read will tell.
        let _ = prepare(&SockRef::from(&stream));
        Self::new(Stream::Tcp(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

impl AsFd for DetachedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
