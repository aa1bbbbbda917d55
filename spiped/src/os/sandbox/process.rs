//! What the process says of itself to the kernel.

use std::io;

#[cfg(target_os = "linux")]
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// No program that this process starts is more than it is itself, set-user-id or not.
#[cfg(target_os = "linux")]
pub(super) fn no_new_privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// No program that this process starts is more than it is itself, set-user-id or not. FreeBSD has it
/// since 13.0, and says EINVAL before.
#[cfg(target_os = "freebsd")]
pub(super) fn no_new_privileges() -> io::Result<()> {
    use nix::libc::{PROC_NO_NEW_PRIVS_CTL, PROC_NO_NEW_PRIVS_ENABLE};
    control(PROC_NO_NEW_PRIVS_CTL, PROC_NO_NEW_PRIVS_ENABLE)
}

/// Other systems have nothing of the kind.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
pub(super) fn no_new_privileges() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No core file, neither written nor piped to a program. On Linux and FreeBSD no debugger of the same
/// user either, which would see the keys as well; on Linux a change of user undoes that, so this comes
/// after it.
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
    // SAFETY: both commands read an int, which `setting` is, and keep no pointer to it.
    let outcome = unsafe { procctl(P_PID, id, command, (&raw mut setting).cast()) };
    nix::errno::Errno::result(outcome)?;
    Ok(())
}
