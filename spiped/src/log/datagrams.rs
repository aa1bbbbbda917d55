//! Sends datagrams to a logging daemon of this machine, which may be slow, dead or replaced.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// The time that a daemon has to take a line, or the line is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connection to a daemon, which is made again as needed.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// The paths of sockets that the daemon may listen on; the first that exists is used.
    paths: Vec<PathBuf>,
    socket: Option<UnixDatagram>,
}

impl Datagrams {
    pub(super) fn to(paths: &[&str]) -> Self {
        Self {
            paths: paths.iter().map(PathBuf::from).collect(),
            socket: None,
        }
    }

    pub(super) fn connect(&mut self) -> io::Result<&UnixDatagram> {
        self.socket = None;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        for path in &self.paths {
            outcome = socket.connect(path);
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
        outcome?;
        Ok(self.socket.insert(socket))
    }

    pub(super) fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(datagram) {
                Ok(_) => return Ok(()),
                // The daemon is slow or the system lacks memory; a new socket would not help.
                Err(error) if is_congestion(&error) => return Err(error),
                Err(_) => {}
            }
        }
        // A daemon that was restarted has a new socket, so connect again.
        self.connect()?.send(datagram).map(drop)
    }
}

fn is_congestion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn to(path: &std::path::Path) -> Datagrams {
        Datagrams::to(&["/absent/from/here", path.to_str().unwrap()])
    }

    #[test]
    fn a_daemon_that_restarts_gets_the_next_line() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let mut daemon = to(&path);
        daemon.send(b"before it starts").unwrap_err();

        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.send(b"one").unwrap();
        assert_eq!(received(&socket), "one");

        drop(socket);
        daemon.send(b"while it is dead").unwrap_err();
        fs::remove_file(&path).unwrap();
        daemon.send(b"while it is gone").unwrap_err();

        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.send(b"two").unwrap();
        assert_eq!(received(&socket), "two");
    }

    #[test]
    fn a_daemon_that_was_replaced_between_two_lines_loses_none() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let mut daemon = to(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.send(b"one").unwrap();
        drop(socket);
        fs::remove_file(&path).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.send(b"two").unwrap();
        assert_eq!(received(&socket), "two");
    }

    #[test]
    fn a_daemon_that_hangs_is_given_up_on_for_the_line() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut daemon = to(&path);
        let taken = (0..100_000)
            .position(|_| daemon.send(b"more").is_err())
            .unwrap();
        for _ in 0..taken {
            received(&socket);
        }
        daemon.send(b"again").unwrap();
        assert_eq!(received(&socket), "again");
    }
}
