//! What the process says of itself to the kernel.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// No program that this process starts is more than it is itself, set-user-id or not.
pub(super) fn no_new_privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// No core file, neither written nor piped to a program, and no debugger of the same user: both
/// would hold the keys. A change of user undoes it, so this comes after that.
pub(super) fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(prctl::set_dumpable(false)?)
}
