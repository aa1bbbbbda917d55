//! Puts the daemon into the background: one fork, a session of its own, and a parent that returns only when
//! the daemon is ready.
//!
//! The caller binds and reads keys before it forks, and runs the daemon after. The working
//! directory and the umask stay what they were, so relative paths keep their meaning.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::system_error::{SystemError, cannot};

/// The process that [`fork`] returns in.
#[derive(Debug)]
pub enum Role {
    /// The process that the user started, which waits for the daemon.
    Parent(Waiting),
    /// The process that becomes the daemon.
    Child(Readiness),
}

/// The parent's wait for the daemon.
#[derive(Debug)]
pub struct Waiting {
    daemon: Pid,
    ready: PipeReader,
}

/// The outcome of the daemon's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The daemon runs. The parent exits with status 0.
    Ready,
    /// The daemon gave up and has printed why. The parent prints nothing and exits with status 1.
    Failed,
    /// A signal ended the daemon, so it could not print why.
    Killed(Signal),
}

/// The daemon's duty to tell its parent that it runs. A daemon that drops this instead must exit at once.
#[derive(Debug)]
#[must_use = "the parent waits until the daemon is ready or gone"]
pub struct Readiness {
    ready: PipeWriter,
    is_told: bool,
    /// `/dev/null`, opened while the process may still open files.
    null: File,
}

/// The purpose of the fork, as the end of an error that begins with "cannot".
const BACKGROUND: &str = "go into the background (-F stays in the foreground)";

/// Forks. The child leads a session of its own.
///
/// # Errors
///
/// The process has other threads already, `/dev/null` cannot be opened, or the system refuses.
pub fn fork() -> Result<Role, SystemError> {
    if threads().is_some_and(|count| count > 1) {
        return Err(cannot(BACKGROUND)(io::Error::other(
            "other threads are running",
        )));
    }
    // Otherwise both processes would print the text that is still buffered.
    io::stdout()
        .flush()
        .map_err(cannot("write standard output"))?;
    let (reader, writer) = io::pipe().map_err(cannot("make a pipe"))?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(cannot(
            "open /dev/null, which standard streams lead to in the background (-F stays in the \
             foreground)",
        ))?;
    // The parent process may have set SIGCHLD to be ignored; then waitpid(2) would find no child.
    // SAFETY: this restores the default action; no handler is installed or replaced.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(cannot("watch for its end"))?;
    // SAFETY: the process has one thread, so no thread that the child lacks holds a lock. That is checked
    // above where /proc tells; on other systems no runtime has been started yet.
    match unsafe { nix::unistd::fork() }.map_err(cannot(BACKGROUND))? {
        ForkResult::Parent { child } => Ok(Role::Parent(Waiting {
            daemon: child,
            ready: reader,
        })),
        ForkResult::Child => {
            setsid().map_err(cannot("begin a session of its own"))?;
            Ok(Role::Child(Readiness {
                ready: writer,
                is_told: false,
                null,
            }))
        }
    }
}

/// The part of the parent.
const WAIT: &str = "wait for the daemon in the background";
/// The part of the daemon.
const TELL: &str = "tell who waits for the daemon that it runs";

impl Waiting {
    /// Waits until the daemon is ready or gone.
    ///
    /// # Errors
    ///
    /// The wait failed, so it is unknown whether the daemon runs.
    pub fn wait(mut self) -> Result<Outcome, SystemError> {
        match self.ready.read_exact(&mut [0]) {
            Ok(()) => return Ok(Outcome::Ready),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(cannot(WAIT)(error)),
        }
        match waitpid(self.daemon, None).map_err(cannot(WAIT))? {
            WaitStatus::Signaled(_, signal, _) => Ok(Outcome::Killed(signal)),
            _ => Ok(Outcome::Failed),
        }
    }
}

impl Readiness {
    /// Lets the parent exit with status 0 although the daemon is not up yet. Standard error stays the caller's
    /// until [`ready`](Self::ready), to tell why it does not come up.
    ///
    /// # Errors
    ///
    /// As for [`ready`](Self::ready).
    pub fn tell(&mut self) -> Result<(), SystemError> {
        self.write().map_err(cannot(TELL))
    }

    /// Closes the caller's terminal and pipes, then lets the parent exit with status 0, unless it was told
    /// to already.
    ///
    /// Standard input becomes `/dev/null`. So do standard output and standard error, unless
    /// [`stderr_is_kept`] says that they stay.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the parent is gone, so the caller has given the daemon up; another error if the
    /// system refuses. The daemon should end in both cases.
    pub fn ready(self) -> Result<(), SystemError> {
        self.detach().map_err(cannot(TELL))
    }

    fn detach(mut self) -> io::Result<()> {
        dup2_stdin(&self.null)?;
        if !is_kept(io::stdout().as_fd()) {
            dup2_stdout(&self.null)?;
        }
        if !stderr_is_kept() {
            dup2_stderr(&self.null)?;
        }
        if self.is_told {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.is_told = true;
        self.ready.write_all(&[1])
    }
}

/// Whether standard error stays open in [`Readiness::ready`]: if it is a file, which is a log that the
/// caller chose, or the stream to the systemd journal. A terminal or a pipe would keep its owner waiting.
#[must_use]
pub fn stderr_is_kept() -> bool {
    is_kept(io::stderr().as_fd())
}

/// Whether standard error is the stream to the systemd journal.
#[must_use]
pub fn stderr_is_journal() -> bool {
    metadata(io::stderr().as_fd()).is_ok_and(|metadata| is_journal(&metadata))
}

fn is_kept(fd: BorrowedFd<'_>) -> bool {
    metadata(fd).is_ok_and(|metadata| metadata.is_file() || is_journal(&metadata))
}

fn metadata(fd: BorrowedFd<'_>) -> io::Result<Metadata> {
    File::from(fd.try_clone_to_owned()?).metadata()
}

/// systemd.exec(5): $JOURNAL_STREAM names the device and inode of the journal's socket.
fn is_journal(metadata: &Metadata) -> bool {
    let journal = std::env::var("JOURNAL_STREAM");
    journal.is_ok_and(|id| id == format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Returns the number of threads of this process; `None` where `/proc` does not tell.
pub(crate) fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
