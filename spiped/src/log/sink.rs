//! Writes lines to their destination. A write may block for any time, so no connection may wait for it.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::datagrams::Datagrams;
use super::line::Line;
use super::{FACILITY_DAEMON, is_json, journal, json, program};
use crate::os::std_streams::Waiting;

/// The paths of syslog's socket on Linux, the BSDs and macOS.
const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/log", "/var/run/syslog"];

pub(super) enum Sink {
    Stream(Stream),
    /// A logging daemon, and the function that encodes a line for it.
    Datagrams(Datagrams, fn(&Line) -> Vec<u8>),
}

impl Sink {
    pub(super) fn stderr() -> Self {
        let form = if is_json() { json::object } else { plain };
        Self::Stream(Stream::new(Box::new(Waiting(Stderr(io::stderr()))), form))
    }

    /// Connects to syslog.
    ///
    /// # Errors
    ///
    /// Syslog cannot be reached now; the sink that comes with the error tries again with each line.
    pub(super) fn syslog() -> Result<Self, (Self, io::Error)> {
        Self::daemon(&SYSLOG_SOCKETS, syslog)
    }

    /// Connects to the journal.
    ///
    /// # Errors
    ///
    /// The journal cannot be reached now; the sink that comes with the error tries again with each line.
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

    /// Whether a line can be written without waiting long. Standard error is asked; a daemon gets at most a
    /// second anyway.
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

/// Returns a line for standard error, which begins with the program's name.
pub(super) fn plain(line: &Line) -> String {
    format!("{}: {}", program(), line.text())
}

/// Returns a line for syslog (RFC 3164), without the time, which the daemon adds.
fn syslog(line: &Line) -> Vec<u8> {
    let priority = FACILITY_DAEMON << 3 | line.level.severity();
    let id = std::process::id();
    format!("<{priority}>{}[{id}]: {}", program(), line.text()).into_bytes()
}

/// Standard error, written without the lock of [`io::stderr`], so that a write that blocks does not keep
/// another thread from printing a panic.
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

/// A stream of bytes that gets one line after the other.
pub(super) struct Stream {
    output: Box<dyn Write + Send>,
    form: fn(&Line) -> String,
    /// Whether only a part of the last line was written, as when the disk was full.
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

    /// A pipe that takes a part of the first write, refuses the second, and takes all writes after that.
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
