//! The look-up process, which looks names up for a daemon in the sandbox.
//!
//! The system's resolver reads files that may move to any place, loads code, and parses what the network
//! answers. So this process has no key, no connection and no file descriptor of the daemon. It may read
//! every file that all users may read. It ends when the daemon closes its end of a socket.
//!
//! The two processes exchange frames over the socket: a number and a length, each of 4 bytes in the
//! machine's byte order, and a text of so many bytes. The text of a request is an address. The text of an
//! answer has one endpoint a line, or `!` and an error. An answer has the number of its request. The first
//! frame reports which measures of the process's own sandbox are missing.

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

/// The most look-ups that may be under way at the same time.
const LOOKUPS_MAX: usize = 64;
/// The most bytes of a text. No address is longer, but a name in /etc/hosts may have more endpoints than fit.
const TEXT_MAX: usize = 256 * 1024;

/// The process that [`start`] returns in.
#[derive(Debug)]
pub enum Role {
    /// The daemon, with its end of the socket, which is non-blocking.
    Daemon(UnixStream),
    /// The look-up process.
    Resolver(Resolver),
}

/// The look-up process before it runs, with its end of the socket.
#[derive(Debug)]
pub struct Resolver(UnixStream);

/// Starts the look-up process. Call it after the keys were locked, as locked memory is empty in a child. Call
/// it before the daemon gives up root: a look-up process that is root reads files as the user nobody.
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
    /// Enters the sandbox, reports that, and looks names up until the daemon is gone. Drop every secret
    /// before you call it.
    pub fn run(self, sandbox: Sandbox) -> ! {
        let _ = self.serve(sandbox);
        // SAFETY: _exit(2) ends the process and runs no code of the daemon.
        unsafe { libc::_exit(0) }
    }

    fn serve(&self, sandbox: Sandbox) -> io::Result<()> {
        // A signal to the process group or the service also ends the daemon, and so this process.
        for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: this ignores the signal and installs no handler.
            unsafe { signal(number, SigHandler::SigIgn) }?;
        }
        let _ = setsid();
        let mut socket = self.close_inherited()?;
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

    /// Closes all descriptors that came from the daemon, and returns the socket.
    fn close_inherited(&self) -> io::Result<UnixStream> {
        // A root that has nothing but this program has no /dev/null. A read from a socket without a peer ends at
        // once, and a write fails.
        let (nowhere, _) = UnixStream::pair()?;
        let socket = self.0.as_raw_fd();
        // SAFETY: no code of the daemon runs in this process any more that could use the descriptors that
        // are closed here. Descriptor 3 is then the socket, and nothing else owns it.
        unsafe {
            for number in 0..3 {
                libc::dup2(nowhere.as_raw_fd(), number);
            }
            let own = libc::fcntl(socket, libc::F_DUPFD, 4);
            if own < 0 || libc::dup2(own, 3) < 0 {
                return Err(io::Error::last_os_error());
            }
            std::mem::forget(nowhere);
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
    let text = match text.len() {
        ..=TEXT_MAX => text,
        _ => "!there are more addresses than one answer can hold (256 KiB)",
    };
    let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    // This fails if the daemon is gone; then nobody waits for the answer.
    let _ = write_frame(&mut *socket, number, text);
}

/// Reads the first frame of the look-up process, and blocks until it is there. Returns which measures of its
/// sandbox are missing.
///
/// # Errors
///
/// The process has ended, or its frame is too long or not UTF-8.
pub fn read_report(mut socket: &UnixStream) -> io::Result<String> {
    match read_frame(&mut socket) {
        Ok((_, missing)) => Ok(missing),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(io::Error::new(error.kind(), "it has ended at once"))
        }
        Err(error) => Err(error),
    }
}

/// Returns the bytes of a frame.
///
/// # Errors
///
/// The text is longer than the other end takes.
pub fn frame(number: u32, text: &str) -> io::Result<Vec<u8>> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let head = [number.to_ne_bytes(), length.to_ne_bytes()];
    if text.len() > TEXT_MAX {
        let why = format!("{length} bytes are more than can be looked up");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok([head.as_flattened(), text.as_bytes()].concat())
}

/// Returns the number of a frame and the length of its text in bytes; `None` if the text is too long.
#[must_use]
pub fn head(bytes: [u8; 8]) -> Option<(u32, usize)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = usize::try_from(u32::from_ne_bytes([e, f, g, h])).ok()?;
    (length <= TEXT_MAX).then_some((u32::from_ne_bytes([a, b, c, d]), length))
}

fn write_frame(socket: &mut impl Write, number: u32, text: &str) -> io::Result<()> {
    socket.write_all(&frame(number, text)?)
}

/// Reads a frame, and blocks until it is whole. Returns its number and its text.
///
/// # Errors
///
/// The other end is gone, or its frame is too long or not UTF-8.
fn read_frame(socket: &mut impl Read) -> io::Result<(u32, String)> {
    let mut bytes = [0; 8];
    socket.read_exact(&mut bytes)?;
    let (number, length) = head(bytes).ok_or(io::ErrorKind::InvalidData)?;
    let mut text = vec![0; length];
    socket.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((number, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the answer that is read where `text` is answered.
    fn answered(text: &str) -> (u32, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Mutex::new(ours);
        thread::scope(|scope| {
            scope.spawn(|| answer(&ours, 7, text));
            read_frame(&mut theirs).unwrap()
        })
    }

    #[test]
    fn an_answer_that_is_too_long_is_an_error_of_that_look_up() {
        let longest = "x".repeat(TEXT_MAX);
        assert_eq!(answered(&longest), (7, longest.clone()));
        let (number, text) = answered(&(longest + "x"));
        assert_eq!(number, 7);
        assert!(text.starts_with("!there are more addresses"), "{text}");
    }
}
