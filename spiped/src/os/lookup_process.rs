//! A process of its own that looks names up, for a daemon in the sandbox.
//!
//! A resolver reads files that may lie anywhere by tomorrow, loads code, and believes what the network
//! says. So it has no key, no connection and no file descriptor of the daemon's, may read whatever
//! everybody may, and lives as long as the daemon's end of a socket is open.
//!
//! Over the socket go frames: a number and a length, of 4 bytes each in the machine's order, and a text
//! of so many bytes. The text of a request is an address; that of an answer has an endpoint a line, or
//! `!` and what went wrong. An answer has the number of its request. The first frame is the process's
//! own report of its sandbox.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, fork, setsid};
use spiped_tokio::{Address, Endpoint};

use super::daemonize;
use super::os_error::os_error;
use super::sandbox::{Permissions, Sandbox};

/// Look-ups that may hang at the same time.
const LOOKUPS_MAX: usize = 64;
/// A longer text is no address and no list of some.
const TEXT_MAX: usize = 256 * 1024;

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Role {
    /// The daemon, and its end of the socket, which does not block.
    Daemon(UnixStream),
    /// The one that looks up.
    Resolver(Resolver),
}

/// The process that looks up, before it begins.
#[derive(Debug)]
pub struct Resolver(UnixStream);

/// Makes the process. Call it once keys are locked, which keeps them out of it, and while the daemon is
/// still root if it was: then the process reads files as nobody.
///
/// # Errors
///
/// The system refuses, or the process has other threads.
pub fn start() -> io::Result<Role> {
    if daemonize::threads().is_some_and(|count| count > 1) {
        return Err(io::Error::other("other threads are running"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: the process has one thread, so no lock is held by a thread that the child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(Role::Daemon(ours)),
        ForkResult::Child => Ok(Role::Resolver(Resolver(theirs))),
    }
}

impl Resolver {
    /// Enters the sandbox, says how that went, and looks up until the daemon is gone. Whatever holds a
    /// secret has to be dropped before.
    pub fn run(self, sandbox: Sandbox) -> ! {
        let _ = self.serve(sandbox);
        // SAFETY: it ends the process, and runs nothing that belongs to the daemon.
        unsafe { libc::_exit(0) }
    }

    fn serve(&self, sandbox: Sandbox) -> io::Result<()> {
        // Who ends the daemon by its process group or service ends this through it.
        for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: to ignore a signal installs no handler.
            unsafe { signal(number, SigHandler::SigIgn) }?;
        }
        let _ = setsid();
        let mut socket = self.alone()?;
        let permissions = Permissions {
            names: true,
            ..Permissions::default()
        };
        let report = match sandbox.enter(&permissions, Ok(())) {
            Ok(Some(report)) => report.missing(),
            Ok(None) => String::new(),
            Err(error) => error.to_string(),
        };
        write_frame(&mut socket, 0, &report)?;
        let answers = Arc::new(Mutex::new(socket.try_clone()?));
        let under_way = Arc::new(AtomicUsize::new(0));
        loop {
            let (number, text) = read_frame(&mut socket)?;
            if under_way.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
                under_way.fetch_sub(1, Ordering::Relaxed);
                answer(&answers, number, "!too many look-ups hang");
                continue;
            }
            let to = Arc::clone(&answers);
            let count = Arc::clone(&under_way);
            let spawned = thread::Builder::new().spawn(move || {
                let found = panic::catch_unwind(AssertUnwindSafe(|| look_up(&text)));
                answer(&to, number, &found.unwrap_or_else(|_| "!a bug".to_owned()));
                count.fetch_sub(1, Ordering::Relaxed);
            });
            if let Err(error) = spawned {
                under_way.fetch_sub(1, Ordering::Relaxed);
                let why = os_error(&error);
                answer(&answers, number, &format!("!no thread to be had: {why}"));
            }
        }
    }

    /// Lets go of all descriptors of the daemon, and gives its own.
    fn alone(&self) -> io::Result<UnixStream> {
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let socket = self.0.as_raw_fd();
        // SAFETY: nothing of the daemon runs in this process any more that would use what is replaced
        // and closed here; the number 3 is then the socket's and nobody else's.
        unsafe {
            for number in 0..3 {
                libc::dup2(null.as_raw_fd(), number);
            }
            let own = libc::fcntl(socket, libc::F_DUPFD, 4);
            if own < 0 || libc::dup2(own, 3) < 0 {
                return Err(io::Error::last_os_error());
            }
            std::mem::forget(null);
            #[cfg(target_os = "linux")]
            let closed = libc::syscall(libc::SYS_close_range, 4, u32::MAX, 0) == 0;
            #[cfg(not(target_os = "linux"))]
            let closed = false;
            if !closed {
                for number in 4..65_536 {
                    libc::close(number);
                }
            }
            Ok(UnixStream::from_raw_fd(3))
        }
    }
}

fn look_up(text: &str) -> String {
    let found = match text.parse::<Address>() {
        Ok(address) => address.resolve_blocking(),
        Err(error) => return format!("!{error}"),
    };
    match found {
        Ok(found) => {
            let found = found.iter().filter_map(Endpoint::tcp);
            let lines: Vec<_> = found.map(|address| address.to_string()).collect();
            lines.join("\n")
        }
        Err(error) => format!("!{error}"),
    }
}

fn answer(socket: &Mutex<UnixStream>, number: u32, text: &str) {
    let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody is there to be told when the daemon is gone.
    let _ = write_frame(&mut *socket, number, text);
}

/// Makes a frame.
#[must_use]
pub fn frame(number: u32, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let head = [number.to_ne_bytes(), length.to_ne_bytes()];
    [head.as_flattened(), text.as_bytes()].concat()
}

/// The number of a frame and the length of its text, if that is one.
#[must_use]
pub fn head(bytes: [u8; 8]) -> Option<(u32, usize)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = usize::try_from(u32::from_ne_bytes([e, f, g, h])).ok()?;
    (length <= TEXT_MAX).then_some((u32::from_ne_bytes([a, b, c, d]), length))
}

fn write_frame(socket: &mut impl Write, number: u32, text: &str) -> io::Result<()> {
    socket.write_all(&frame(number, text))
}

/// Reads a frame; blocks.
///
/// # Errors
///
/// The other end is gone, or does not keep to the form.
pub fn read_frame(socket: &mut impl Read) -> io::Result<(u32, String)> {
    let mut bytes = [0; 8];
    socket.read_exact(&mut bytes)?;
    let (number, length) = head(bytes).ok_or(io::ErrorKind::InvalidData)?;
    let mut text = vec![0; length];
    socket.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((number, text))
}
