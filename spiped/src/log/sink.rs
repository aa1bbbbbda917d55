//! Where lines end up. A write may block for as long as the system pleases; the caller sees to it
//! that nothing waits for it.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::line::Line;
use super::{Level, program};

/// Where syslog daemons listen: Linux, the BSDs, macOS.
const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/log", "/var/run/syslog"];
/// A syslog daemon that takes no line for so long has lost it.
const SYSLOG_PATIENCE: Duration = Duration::from_secs(1);
/// `LOG_DAEMON` (RFC 3164 section 4.1.1).
const FACILITY_DAEMON: u8 = 3;

pub(super) enum Sink {
    Stream(Stream),
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn stderr() -> Self {
        Self::Stream(Stream::new(Box::new(Stderr)))
    }

    /// Syslog, and why it is out of reach now if it is.
    pub(super) fn syslog() -> Result<Self, (Self, io::Error)> {
        let mut syslog = Syslog::new(SYSLOG_SOCKETS.map(PathBuf::from).to_vec());
        match syslog.connect() {
            Ok(_) => Ok(Self::Syslog(syslog)),
            Err(error) => Err((Self::Syslog(syslog), error)),
        }
    }

    /// Whether a line written to standard error now would not have to wait. Syslog never waits for
    /// long.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Stream(_) => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
            }
            Self::Syslog(_) => true,
        }
    }

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(line),
            Self::Syslog(syslog) => syslog.write(line),
        }
    }
}

/// Standard error without the lock of [`io::stderr`]: a write that blocks must not block a thread
/// that wants to print a panic.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines one after the other, each begun with the program's name.
pub(super) struct Stream {
    output: Box<dyn Write + Send>,
    /// Whether the last line was cut off in the middle, by a disk that was full, say.
    torn: bool,
}

impl Stream {
    pub(super) fn new(output: Box<dyn Write + Send>) -> Self {
        Self {
            output,
            torn: false,
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let end = if self.torn { "\n" } else { "" };
        let text = format!("{end}{}: {}\n", program(), line.text());
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A datagram a line to the local syslog daemon (RFC 3164, with the time left to the daemon).
pub(super) struct Syslog {
    paths: Vec<PathBuf>,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            socket: None,
        }
    }

    fn connect(&mut self) -> io::Result<&UnixDatagram> {
        self.socket = None;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SYSLOG_PATIENCE))?;
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

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let severity = match line.level {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Notice => 5,
            Level::Info => 6,
        };
        let priority = FACILITY_DAEMON << 3 | severity;
        let id = std::process::id();
        let message = format!("<{priority}>{}[{id}]: {}", program(), line.text());
        if let Some(socket) = &self.socket {
            match socket.send(message.as_bytes()) {
                Ok(_) => return Ok(()),
                // It is there, only slow or out of memory. A new socket would not help.
                Err(error) if is_congestion(&error) => return Err(error),
                Err(_) => {}
            }
        }
        // A daemon that restarts makes a new socket, which the old connection does not reach.
        self.connect()?.send(message.as_bytes()).map(drop)
    }
}

fn is_congestion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tempdir::TempDir;

    fn line(text: &str) -> Line {
        Line::new(Level::Warning, format_args!("{text}"))
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn syslog_lines_carry_priority_name_and_process() {
        let dir = TempDir::new("syslog").unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(vec![dir.path().join("absent"), path]);
        let id = std::process::id();
        for (level, priority) in [
            (Level::Error, 27),
            (Level::Warning, 28),
            (Level::Notice, 29),
            (Level::Info, 30),
        ] {
            syslog
                .write(&Line::new(level, format_args!("hello\n<0>forged")))
                .unwrap();
            let expected = format!("<{priority}>spiped[{id}]: hello\\n<0>forged");
            assert_eq!(received(&daemon), expected);
        }
    }

    #[test]
    fn a_syslog_daemon_that_restarts_gets_the_next_line() {
        let dir = TempDir::new("syslog").unwrap();
        let path = dir.path().join("log");
        let mut syslog = Syslog::new(vec![path.clone()]);
        syslog.write(&line("before it starts")).unwrap_err();

        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.write(&line("one")).unwrap();
        assert!(received(&daemon).ends_with(": one"));

        drop(daemon);
        syslog.write(&line("while it is dead")).unwrap_err();
        fs::remove_file(&path).unwrap();
        syslog.write(&line("while it is gone")).unwrap_err();

        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.write(&line("two")).unwrap();
        assert!(received(&daemon).ends_with(": two"));
    }

    #[test]
    fn a_syslog_daemon_that_was_replaced_between_two_lines_loses_none() {
        let dir = TempDir::new("syslog").unwrap();
        let path = dir.path().join("log");
        let mut syslog = Syslog::new(vec![path.clone()]);
        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.write(&line("one")).unwrap();
        drop(daemon);
        fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        syslog.write(&line("two")).unwrap();
        assert!(received(&daemon).ends_with(": two"));
    }

    #[test]
    fn a_syslog_daemon_that_hangs_is_given_up_on_for_the_line() {
        let dir = TempDir::new("syslog").unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(vec![path]);
        let taken = (0..100_000)
            .position(|_| syslog.write(&line("more")).is_err())
            .unwrap();
        for _ in 0..taken {
            received(&daemon);
        }
        syslog.write(&line("again")).unwrap();
        assert!(received(&daemon).ends_with(": again"));
    }

    /// Takes one write of a few bytes, refuses the next, and takes all after that.
    struct FullOnce(io::PipeWriter, u8);

    impl Write for FullOnce {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = self.1.saturating_add(1);
            match self.1 {
                1 => self.0.write(&bytes[..10]),
                2 => Err(io::ErrorKind::StorageFull.into()),
                _ => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_one_that_was_cut_off_starts_afresh() {
        let (reader, writer) = io::pipe().unwrap();
        let mut stream = Stream::new(Box::new(FullOnce(writer, 0)));
        stream.write(&line("first")).unwrap_err();
        stream.write(&line("second")).unwrap();
        stream.write(&line("third")).unwrap();
        drop(stream);
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "spiped: fi\nspiped: second\nspiped: third\n"
        );
    }
}
