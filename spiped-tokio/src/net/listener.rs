//! Listening sockets, TCP or unix, as one type.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::net::accept::accept;
use crate::net::endpoint::{Endpoint, Peer};
use crate::net::socket::{self, DetachedSocket, Socket};
use crate::net::{unix, zone};

/// How many connections may wait to be accepted; the system lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// Whether an accepted connection starts with the options of the socket that listens, which saves
/// the system calls to set them.
const INHERITS: bool = cfg!(target_os = "linux");

/// A socket that listens, but is not part of a runtime yet: clients wait in its backlog.
#[derive(Debug)]
pub struct BoundListener {
    socket: OwnedFd,
    is_tcp: bool,
    prepares: bool,
}

/// A socket that accepts connections in the current runtime.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    is_tcp: bool,
    /// Whether TCP connections are prepared before they are accepted.
    prepares: bool,
}

impl BoundListener {
    /// Binds and listens; needs no runtime. A unix socket file that nothing listens on any more is
    /// replaced.
    ///
    /// # Errors
    ///
    /// What the system says; the address is in use, for one.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        let (domain, address) = match endpoint {
            Endpoint::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
            Endpoint::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = socket2::Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match endpoint {
            Endpoint::Tcp(_) => {
                if INHERITS {
                    socket::prepare(&SockRef::from(&socket))?;
                }
                socket.set_reuse_address(true)?;
                socket.bind(&address)?;
            }
            Endpoint::Unix(path) => match socket.bind(&address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                    std::fs::remove_file(path)?;
                    socket.bind(&address)?;
                }
                bound => bound?,
            },
        }
        socket.listen(BACKLOG)?;
        Ok(Self::of(endpoint, socket, INHERITS))
    }

    /// Takes over a socket that somebody else has bound, to the same endpoint, and listens on.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn adopt(socket: OwnedFd, endpoint: &Endpoint) -> io::Result<Self> {
        let socket = socket2::Socket::from(socket);
        let no_listener = || io::Error::other("what was passed is no listening socket");
        if socket.r#type()? != Type::STREAM || !may_listen(&socket)? {
            return Err(no_listener());
        }
        let local = socket.local_addr()?;
        let is_there = match endpoint {
            Endpoint::Tcp(wanted) => local.as_socket().is_some_and(|local| {
                // The flow label is nobody's wish.
                (local.ip(), local.port()) == (wanted.ip(), wanted.port())
                    && zone::index_of(&local) == zone::index_of(wanted)
            }),
            Endpoint::Unix(path) => local.as_pathname() == Some(path),
        };
        if !is_there {
            return Err(io::Error::other(
                "the socket that was passed listens elsewhere",
            ));
        }
        // Changes the length of the queue of one that listens; a connected one refuses it.
        socket.listen(BACKLOG).map_err(|_| no_listener())?;
        socket.set_nonblocking(true)?;
        // Connections that wait already have inherited whatever there was.
        Ok(Self::of(endpoint, socket, false))
    }

    fn of(endpoint: &Endpoint, socket: socket2::Socket, prepares: bool) -> Self {
        // A sandbox may hide them from a reload, and from who is to be shown.
        zone::know_all();
        Self {
            socket: socket.into(),
            is_tcp: matches!(endpoint, Endpoint::Tcp(_)),
            prepares,
        }
    }

    /// Where it listens; with the port that the system chose, if 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_endpoint(&self) -> io::Result<Endpoint> {
        local_endpoint(SockRef::from(&self.socket))
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
    pub fn start(self) -> io::Result<Listener> {
        #[allow(
            deprecated,
            reason = "what is not sound about it is a descriptor that changes, which an owned one never does"
        )]
        let socket = AsyncFd::with_interest(self.socket, Interest::READABLE)?;
        Ok(Listener {
            socket,
            is_tcp: self.is_tcp,
            prepares: self.prepares,
        })
    }
}

/// Whether a socket listens, where the system has a way to ask that works.
fn may_listen(socket: &socket2::Socket) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let listens = socket.is_listener();
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let listens = {
        let _ = socket;
        Ok(true)
    };
    listens
}

/// Whether a path is a socket that refuses connections because its listener is gone. A listener that
/// takes none now, as it is stopped or its queue is full, is there.
fn is_stale(path: &Path) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && unix::connect(path, Duration::ZERO)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Listener {
    /// Binds and listens in the current runtime, as [`BoundListener::bind`] and
    /// [`BoundListener::start`].
    ///
    /// # Errors
    ///
    /// As for those two.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        BoundListener::bind(endpoint)?.start()
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    ///
    /// What the system says. The listener stays usable; no file descriptors left, for one, passes.
    pub async fn accept(&self) -> io::Result<(Socket, Peer)> {
        let (socket, peer) = self.accept_detached().await?;
        Ok((socket.attach()?, peer))
    }

    /// Accepts the next connection, for any runtime.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    pub async fn accept_detached(&self) -> io::Result<(DetachedSocket, Peer)> {
        let accepted = self.socket.async_io(Interest::READABLE, accept);
        let (socket, address) = accepted.await?;
        match (self.is_tcp, address) {
            (false, _) => Ok((DetachedSocket::new(socket, false), Peer::Unix)),
            // Some systems hand out a connection that is gone already.
            (true, None) => Err(io::ErrorKind::ConnectionAborted.into()),
            (true, Some(address)) => {
                if !self.prepares {
                    // Fails only for a connection that is gone already, as the next read will tell.
                    let _ = socket::prepare(&SockRef::from(&socket));
                }
                Ok((DetachedSocket::new(socket, true), Peer::Tcp(address)))
            }
        }
    }

    /// Where it listens; with the port that the system chose, if 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_endpoint(&self) -> io::Result<Endpoint> {
        local_endpoint(SockRef::from(&self.socket))
    }
}

impl AsFd for BoundListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn local_endpoint(socket: SockRef<'_>) -> io::Result<Endpoint> {
    let address = socket.local_addr()?;
    Ok(match address.as_socket() {
        Some(address) => Endpoint::Tcp(address),
        None => Endpoint::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()),
    })
}

#[cfg(test)]
mod tests;
