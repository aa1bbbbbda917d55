//! Where lines end up. A write may block for as long as the system pleases; the caller sees to it
//! that nothing waits for it.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::datagrams::Datagrams;
use super::line::Line;
use super::{FACILITY_DAEMON, is_json, journal, json, program};
use crate::os::std_streams::Waiting;

/// Where syslog daemons listen: Linux, the BSDs, macOS.
pub(super) const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/log", "/var/run/syslog"];

pub(super) enum Sink {
    Stream(Stream),
    /// Daemons, and what a line is to them.
    Datagrams(Datagrams, fn(&Line) -> Vec<u8>),
}

impl Sink {
    pub(super) fn stderr() -> Self {
        let form = if is_json() { json::object } else { plain };
        Self::Stream(Stream::new(Box::new(Waiting(Stderr(io::stderr()))), form))
    }

    /// Syslog, and why it is out of reach now if it is.
    pub(super) fn syslog() -> Result<Self, (Self, io::Error)> {
        Self::daemon(&SYSLOG_SOCKETS, syslog)
    }

    /// The journal, and why it is out of reach now if it is.
    pub(super) fn journal() -> Result<Self, (Self, io::Error)> {
        Self::daemon(&[journal::SOCKET], journal::datagram)
    }

    fn daemon(paths: &[&str], form: fn(&Line) -> Vec<u8>) -> Result<Self, (Self, io::Error)> {
        let mut datagrams = Datagrams::to(paths);
        match datagrams.connect() {
            Ok(_) => Ok(Self::Datagrams(datagrams, form)),
            Err(error) => Err((Self::Datagrams(datagrams, form), error)),
        }
    }

    /// Whether a line written to standard error now would not have to wait. A daemon is never
    /// waited for long.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Stream(_) => {
                let stderr = io::stderr();
                let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
            }
            Self::Datagrams(..) => true,
        }
    }

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(line),
            Self::Datagrams(datagrams, form) => datagrams.send(&form(line)),
        }
    }
}

/// A line on standard error, begun with the program's name.
pub(super) fn plain(line: &Line) -> String {
    format!("{}: {}", program(), line.text())
}

/// A line for syslog (RFC 3164, with the time left to the daemon).
fn syslog(line: &Line) -> Vec<u8> {
    let priority = FACILITY_DAEMON << 3 | line.level.severity();
    let id = std::process::id();
    format!("<{priority}>{}[{id}]: {}", program(), line.text()).into_bytes()
}

/// Standard error without the lock of [`io::stderr`]: a write that blocks must not block a thread
/// that wants to print a panic.
struct Stderr(io::Stderr);

impl AsFd for Stderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines one after the other.
pub(super) struct Stream {
    output: Box<dyn Write + Send>,
    form: fn(&Line) -> String,
    /// Whether the last line was cut off in the middle, by a disk that was full, say.
    torn: bool,
}

impl Stream {
    pub(super) fn new(output: Box<dyn Write + Send>, form: fn(&Line) -> String) -> Self {
        Self {
            output,
            form,
            torn: false,
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let end = if self.torn { "\n" } else { "" };
        let text = format!("{end}{}\n", (self.form)(line));
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

#[cfg(test)]
mod tests {
    use super::super::{Class, Level};
    use super::*;

    fn line(level: Level, text: &str) -> Line {
        Line::new(level, Class::Daemon, format_args!("{text}"), |_| {})
    }

    #[test]
    fn syslog_lines_carry_priority_name_and_process() {
        let id = std::process::id();
        for (level, priority) in [
            (Level::Error, 27),
            (Level::Warning, 28),
            (Level::Notice, 29),
            (Level::Info, 30),
        ] {
            let told = syslog(&line(level, "hello\n<0>forged"));
            let expected = format!("<{priority}>spiped[{id}]: hello\\n<0>forged");
            assert_eq!(String::from_utf8(told).unwrap(), expected);
        }
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
        let mut stream = Stream::new(Box::new(FullOnce(writer, 0)), plain);
        stream.write(&line(Level::Info, "first")).unwrap_err();
        stream.write(&line(Level::Info, "second")).unwrap();
        stream.write(&line(Level::Info, "third")).unwrap();
        drop(stream);
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "spiped: fi\nspiped: second\nspiped: third\n"
        );
    }
}
