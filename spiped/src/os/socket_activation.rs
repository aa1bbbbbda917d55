//! Takes the listening sockets that systemd or another supervisor passes to the daemon
//! (sd_listen_fds(3)). The supervisor keeps them open, so the daemon can be replaced without a moment in
//! which nobody listens. `daemon/bind.rs` decides which pipe gets which socket.

use std::env;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use crate::os::os_error::os_error;

/// The number of the first descriptor that is passed.
const FIRST: RawFd = 3;

/// A file descriptor that was passed to the process.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The descriptor, which is open. Whether it is a listening socket has not been checked.
    pub fd: OwnedFd,
    /// The number of the descriptor when it was passed.
    number: RawFd,
    /// The name that `LISTEN_FDNAMES` gives it.
    name: Option<String>,
}

/// Writes the number of the descriptor and its name, by which the supervisor knows it.
impl fmt::Display for InheritedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {}", self.number)?;
        match &self.name {
            Some(name) => write!(f, " ({})", name.escape_debug()),
            None => Ok(()),
        }
    }
}

/// Takes the sockets that were passed, at most `most`; none unless `LISTEN_PID` names this process. Call it
/// once, before any fork and before the process opens anything that stays open.
///
/// # Errors
///
/// More than `most` sockets are passed, or one of `LISTEN_FDS` is not open.
pub fn take(most: usize) -> io::Result<Vec<InheritedSocket>> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    if usize::try_from(count).is_ok_and(|count| count > most) {
        return Err(io::Error::other(format!(
            "LISTEN_FDS passes {count} sockets, and one can be listened on"
        )));
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let numbers = (FIRST..).zip(0..count).map(|(number, _)| number);
    let taken = numbers.map(|number| {
        let fd = take_one(number).map_err(|error| {
            let why = os_error(&error);
            io::Error::other(format!(
                "LISTEN_FDS passes {count} sockets, and descriptor {number} is none: {why}"
            ))
        })?;
        let name = names.next().filter(|name| !name.is_empty());
        Ok(InheritedSocket {
            fd,
            number,
            name: name.map(str::to_owned),
        })
    });
    taken.collect()
}

/// Takes one descriptor.
fn take_one(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: only the next call uses the descriptor, and checks that it is open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(descriptor, FcntlArg::F_GETFD)?;
    // SAFETY: the descriptor is open. Nothing in this process has opened it, as the supervisor that set
    // LISTEN_PID did, and it is taken once, at the start.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
