//! Standard input, output and error, whatever those who share them do to them.
//!
//! O_NONBLOCK belongs to the open file and not to the descriptor, so any process that has the same
//! terminal, pipe or socket open may set it (fcntl(2)). A read or write then fails with EAGAIN where it
//! would wait otherwise; here it waits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::dup2_stdout;

/// A stream that is waited for, also if it is non-blocking.
#[derive(Debug)]
pub struct Waiting<S>(pub S);

impl<S: Read + AsFd> Read for Waiting<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.0.as_fd(), PollFlags::POLLIN)?;
                }
                read => return read,
            }
        }
    }
}

impl<S: Write + AsFd> Write for Waiting<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.0.as_fd(), PollFlags::POLLOUT)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Waits until the stream has room or data, or an error to tell of.
fn wait(stream: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(stream, what)], PollTimeout::NONE) {
        // The caller tries again, and waits again.
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Standard input, without the buffer of [`io::stdin`].
pub(crate) fn stdin() -> io::Result<Waiting<File>> {
    duplicate(io::stdin().as_fd())
}

/// Standard output, without the buffer of [`io::stdout`].
pub(crate) fn stdout() -> io::Result<Waiting<File>> {
    duplicate(io::stdout().as_fd())
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<Waiting<File>> {
    Ok(Waiting(stream.try_clone_to_owned()?.into()))
}

/// Prints a text on standard output, whole unless whoever reads it has gone.
pub fn print(text: &str) {
    // Whoever has closed the output does not want it.
    let _ = stdout().and_then(|mut stdout| stdout.write_all(text.as_bytes()));
}

/// Prints a text on standard error.
pub(crate) fn print_error(text: &str) {
    // There is nobody left to tell.
    let _ =
        duplicate(io::stderr().as_fd()).and_then(|mut stderr| stderr.write_all(text.as_bytes()));
}

/// Standard output as the only descriptor of this process for it: its end can be passed on.
#[derive(Debug)]
pub(crate) struct OwnStdout(Waiting<File>);

impl OwnStdout {
    /// Takes it away from all else in this process, to which standard output is closed from now on.
    pub(crate) fn take() -> io::Result<Self> {
        let stdout = stdout()?;
        // A pipe that nobody reads, since a number that is free would be given to the next file.
        let (_, unread) = io::pipe()?;
        dup2_stdout(unread)?;
        Ok(Self(stdout))
    }

    /// Ends the stream for whoever reads it: at once if it is a pipe that only this process has open
    /// or a socket, which may be standard input too and still be read from.
    pub(crate) fn end(self) {
        let stream = UnixStream::from(OwnedFd::from(self.0.0));
        // No socket has no half to shut down; closing is all there is to do.
        let _ = stream.shutdown(Shutdown::Write);
    }
}

impl Write for OwnStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
