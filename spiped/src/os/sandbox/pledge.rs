//! Calls pledge(2) and unveil(2) of OpenBSD, which work for good and for all threads.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// Restricts the process to `paths` and everything below them. Each has permissions of unveil(2), out of `r`,
/// `w`, `x` and `c`. A path that does not exist is skipped.
pub(super) fn unveil(paths: &[(PathBuf, &str)]) -> io::Result<()> {
    for (path, permissions) in paths {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let permissions = CString::new(*permissions)?;
        // SAFETY: both arguments are strings that end with a NUL byte, and the system keeps neither.
        let outcome = unsafe { libc::unveil(path.as_ptr(), permissions.as_ptr()) };
        match Errno::result(outcome) {
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // SAFETY: unveil(2) takes two null pointers, which close the list.
    Errno::result(unsafe { libc::unveil(ptr::null(), ptr::null()) })?;
    Ok(())
}

/// Restricts the process to the system calls of `promises`. It starts no program, so it makes no promises for
/// one.
pub(super) fn pledge(promises: &str) -> io::Result<()> {
    let promises = CString::new(promises)?;
    // SAFETY: the first argument is a string that ends with a NUL byte; the second may be null.
    Errno::result(unsafe { libc::pledge(promises.as_ptr(), ptr::null()) })?;
    Ok(())
}
