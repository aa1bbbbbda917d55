//! OpenBSD's pledge(2) and unveil(2), for good and for all threads.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// Leaves these paths and what lies below them, each for some of `r`, `w`, `x` and `c`. A path that
/// is not there is left out: nothing can be reached there.
pub(super) fn unveil(paths: &[(PathBuf, &str)]) -> io::Result<()> {
    for (path, permissions) in paths {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let permissions = CString::new(*permissions)?;
        // SAFETY: both are strings that end with a NUL byte, and the system keeps neither.
        let outcome = unsafe { libc::unveil(path.as_ptr(), permissions.as_ptr()) };
        match Errno::result(outcome) {
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // SAFETY: two null pointers are how the list is closed.
    Errno::result(unsafe { libc::unveil(ptr::null(), ptr::null()) })?;
    Ok(())
}

/// Leaves the system calls of these promises. A program is never started, so nothing is said of those.
pub(super) fn pledge(promises: &str) -> io::Result<()> {
    let promises = CString::new(promises)?;
    // SAFETY: a string that ends with a NUL byte, and a null pointer where there is nothing to say.
    Errno::result(unsafe { libc::pledge(promises.as_ptr(), ptr::null()) })?;
    Ok(())
}
