//! Sets the kernel's flags of the process: no new privileges and no core dumps.

use std::io;

#[cfg(target_os = "linux")]
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Makes sure that no program that this process starts has more privileges, not even by a set-user-id bit.
#[cfg(target_os = "linux")]
pub(super) fn no_new_privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// Makes sure that no program that this process starts has more privileges, not even by a set-user-id bit.
/// FreeBSD before 13.0 lacks this and fails with EINVAL.
#[cfg(target_os = "freebsd")]
pub(super) fn no_new_privileges() -> io::Result<()> {
    use nix::libc::{PROC_NO_NEW_PRIVS_CTL, PROC_NO_NEW_PRIVS_ENABLE};
    control(PROC_NO_NEW_PRIVS_CTL, PROC_NO_NEW_PRIVS_ENABLE)
}

/// Fails, as other systems have no such flag.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
pub(super) fn no_new_privileges() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Forbids core dumps, both to a file and to a program. On Linux and FreeBSD also keeps debuggers of the same
/// user out, which could read the keys. On Linux a change of user undoes that, so call this after it.
pub(super) fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    #[cfg(target_os = "linux")]
    prctl::set_dumpable(false)?;
    #[cfg(target_os = "freebsd")]
    control(nix::libc::PROC_TRACE_CTL, nix::libc::PROC_TRACE_CTL_DISABLE)?;
    Ok(())
}

/// Changes a setting of this process.
#[cfg(target_os = "freebsd")]
fn control(command: nix::libc::c_int, mut setting: nix::libc::c_int) -> io::Result<()> {
    use nix::libc::{P_PID, id_t, procctl};

    let id = id_t::from(std::process::id());
    // SAFETY: both commands read one int, which `setting` is, and keep no pointer to it.
    let outcome = unsafe { procctl(P_PID, id, command, (&raw mut setting).cast()) };
    nix::errno::Errno::result(outcome)?;
    Ok(())
}
