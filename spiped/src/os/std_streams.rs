//! Standard input, output and error, which may be non-blocking.
//!
//! O_NONBLOCK belongs to the open file and not to the descriptor, so any process that shares the terminal,
//! pipe or socket may set it (fcntl(2)). A read or write then fails with EAGAIN where it would otherwise
//! wait; the streams here wait all the same.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::dup2_stdout;

/// A stream whose reads and writes wait, even if it is non-blocking.
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

/// Waits until the stream has room, data or an error.
fn wait(stream: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(stream, what)], PollTimeout::NONE) {
        // After EINTR the caller tries again, and waits again.
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns standard input, without the buffer of [`io::stdin`].
///
/// # Errors
///
/// It is closed, or no descriptor is left.
pub(crate) fn stdin() -> io::Result<Waiting<File>> {
    duplicate(io::stdin().as_fd())
}

/// Returns standard output, without the buffer of [`io::stdout`].
///
/// # Errors
///
/// It is closed, or no descriptor is left.
pub(crate) fn stdout() -> io::Result<Waiting<File>> {
    duplicate(io::stdout().as_fd())
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<Waiting<File>> {
    Ok(Waiting(stream.try_clone_to_owned()?.into()))
}

/// Prints a text on standard output. Returns once all of it is written, or the reader has gone.
pub fn print(text: &str) {
    // A reader that has closed the output does not want it.
    let _ = stdout().and_then(|mut stdout| stdout.write_all(text.as_bytes()));
}

/// Prints a text on standard error.
pub(crate) fn print_error(text: &str) {
    // There is no other place to report an error to.
    let _ =
        duplicate(io::stderr().as_fd()).and_then(|mut stderr| stderr.write_all(text.as_bytes()));
}

/// Standard output, to which no other descriptor of this process leads. So its end can be signalled to the
/// reader.
#[derive(Debug)]
pub(crate) struct OwnStdout(Waiting<File>);

impl OwnStdout {
    /// Takes standard output. For all other code of this process it is closed from now on.
    ///
    /// # Errors
    ///
    /// Standard output is closed, or no descriptor is left.
    pub(crate) fn take() -> io::Result<Self> {
        let stdout = stdout()?;
        // Descriptor 1 becomes a pipe that nobody reads. If it were closed, the next file would get it.
        let (_, unread) = io::pipe()?;
        dup2_stdout(unread)?;
        Ok(Self(stdout))
    }

    /// Ends the stream, so that its reader sees the end. A pipe that other processes have open too ends
    /// only with them. A socket, which may be standard input too, can still be read from.
    pub(crate) fn end(self) {
        let stream = UnixStream::from(OwnedFd::from(self.0.0));
        // Only a socket has a half to shut down; anything else ends when it is closed.
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
