//! A listening socket that whoever started the daemon holds for it, as systemd and other supervisors
//! pass it (sd_listen_fds(3)). Several daemons can have it, so one can follow another without a
//! moment in which nobody listens.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// Takes the socket, if `LISTEN_PID` names this process. Call it once, before any fork.
///
/// # Errors
///
/// Another number of descriptors than one is passed.
pub fn take() -> io::Result<Option<OwnedFd>> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    match number("LISTEN_FDS") {
        None | Some(0) => Ok(None),
        Some(1) => {
            // SAFETY: who names this process in LISTEN_PID has opened this descriptor for it, and
            // nothing in it has; it is taken once, at the start.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(FIRST) }))
        }
        Some(count) => Err(io::Error::other(format!(
            "LISTEN_FDS passes {count} sockets, and one can be listened on"
        ))),
    }
}
