//! Listening sockets that whoever started the daemon holds for it, as systemd and other supervisors
//! pass them (sd_listen_fds(3)). Several daemons can have them, so one can follow another without a
//! moment in which nobody listens. Which pipe takes which is decided in `daemon/bind.rs`.

use std::env;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use crate::os::os_error::os_error;

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// A socket that was passed to the process.
#[derive(Debug)]
pub struct InheritedSocket {
    /// What it is, or something else.
    pub socket: OwnedFd,
    number: RawFd,
    name: Option<String>,
}

/// As whoever passed it knows it.
impl fmt::Display for InheritedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {}", self.number)?;
        match &self.name {
            Some(name) => write!(f, " ({})", name.escape_debug()),
            None => Ok(()),
        }
    }
}

/// Takes the sockets, if `LISTEN_PID` names this process. Call it once, before any fork and before the
/// process opens something that stays open.
///
/// # Errors
///
/// More than `most` are passed, or fewer than there should be.
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
        let socket = own(number).map_err(|error| {
            let why = os_error(&error);
            io::Error::other(format!(
                "LISTEN_FDS passes {count} sockets, and descriptor {number} is none: {why}"
            ))
        })?;
        let name = names.next().filter(|name| !name.is_empty());
        Ok(InheritedSocket {
            socket,
            number,
            name: name.map(str::to_owned),
        })
    });
    taken.collect()
}

fn own(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it is used for the next call only, which says whether it is open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(descriptor, FcntlArg::F_GETFD)?;
    // SAFETY: it is open, and who names this process in LISTEN_PID has opened it for the process, in
    // which nothing else has; it is taken once, at the start.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
