//! Connects to a unix socket whose owner may be stopped or busy.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// Connects to a unix stream socket, for use outside a runtime. Blocks for `limit` at most while the
/// queue of the listener is full; zero does not wait at all.
///
/// # Errors
///
/// What the system says: [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens,
/// for one, and [`TimedOut`](io::ErrorKind::TimedOut) when somebody listens who takes no connection
/// in time.
pub fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if limit.is_zero() {
        socket.set_nonblocking(true)?;
    } else {
        // It bounds the connect as well.
        socket.set_write_timeout(Some(limit))?;
    }
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if is_pending(&error) => {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "who listens there takes no connection",
            ));
        }
        connected => connected?,
    }
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(None)?;
    Ok(OwnedFd::from(socket).into())
}

fn is_pending(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::libc::EINPROGRESS)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::net::{BoundListener, Endpoint};

    /// A listener with a queue of one connection, which is full.
    fn full(path: &Path) -> (Socket, UnixStream) {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let waiting = UnixStream::connect(path).unwrap();
        (listener, waiting)
    }

    fn in_use(path: &Path) -> bool {
        let bound = BoundListener::bind(&Endpoint::Unix(path.to_owned()));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }

    #[test]
    fn a_full_listener_is_in_use_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, waiting) = full(&path);
        assert!(in_use(&path));
        for limit in [Duration::ZERO, Duration::from_millis(50)] {
            let error = connect(&path, limit).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        drop((listener, waiting));
        let error = connect(&path, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        BoundListener::bind(&Endpoint::Unix(path)).unwrap();
    }

    #[test]
    fn a_connection_blocks_as_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        for limit in [Duration::ZERO, Duration::from_secs(30)] {
            let mut client = connect(&path, limit).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let reading = std::thread::spawn(move || {
                let mut byte = [0];
                client.read_exact(&mut byte).map(|()| byte)
            });
            server.write_all(b"x").unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), *b"x");
        }
    }
}
