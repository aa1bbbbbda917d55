//! Finds out which system calls a filter kills for that the process was started under, as systemd's
//! `SystemCallFilter=` does. Those that a program does better with but can do without are tried in a child
//! process first.

use std::fs;
use std::io::{self, Read};
use std::sync::OnceLock;

use nix::libc;
use nix::sys::prctl;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use crate::os::daemonize::threads;

/// A system call that the program can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalCall {
    /// `landlock_create_ruleset`.
    Landlock,
    /// `seccomp`.
    Seccomp,
    /// `mlock`, and `madvise` for what is locked.
    Lock,
    /// `setpriority`.
    Priority,
}

impl OptionalCall {
    /// Checks that the call does not kill the process. The first check of each call is the one that tries, and
    /// has to come while the process has one thread: with several there is no way to, and the call is taken as
    /// harmless.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`: a filter kills for it.
    pub fn check(self) -> io::Result<()> {
        static KILLS: [OnceLock<bool>; 4] = [const { OnceLock::new() }; 4];
        let may_try = || is_filtered() && threads().is_none_or(|count| count == 1);
        // Where no child can be made, nothing is known of the call.
        let try_it = || may_try() && self.kills().unwrap_or(false);
        match *KILLS[self as usize].get_or_init(try_it) {
            true => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a filter of system calls would kill the process for it",
            )),
            false => Ok(()),
        }
    }

    fn kills(self) -> io::Result<bool> {
        let (mut alive, write) = io::pipe()?;
        // SAFETY: the process has one thread, so the child has all that it had. It makes system calls and ends.
        match unsafe { fork() }? {
            ForkResult::Child => {
                // No core file of the child is of use to anybody.
                let _ = prctl::set_dumpable(false);
                self.make();
                let _ = nix::unistd::write(&write, &[1]);
                // SAFETY: it ends the process, and runs nothing that the parent has registered for its own end.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                drop(write);
                let survived = alive.read(&mut [0])? == 1;
                // Where SIGCHLD is ignored the system has buried it.
                let _ = waitpid(child, None);
                Ok(!survived)
            }
        }
    }

    /// Makes the call, in a way that changes nothing.
    fn make(self) {
        match self {
            // SAFETY: with the flag for the version, the kernel reads no attributes.
            Self::Landlock => drop(unsafe {
                const VERSION: libc::c_uint = 1;
                let none = std::ptr::null::<libc::c_void>();
                libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION)
            }),
            // SAFETY: the kernel reads the action behind the pointer, which outlives the call.
            Self::Seccomp => drop(unsafe {
                let action = libc::SECCOMP_RET_ALLOW;
                let ask = libc::SECCOMP_GET_ACTION_AVAIL;
                libc::syscall(libc::SYS_seccomp, ask, 0, std::ptr::from_ref(&action))
            }),
            Self::Lock => {
                let page = [0_u8; 1];
                // SAFETY: the page that holds the byte is the child's own; the advice changes nothing of it.
                unsafe {
                    let start = std::ptr::from_ref(&page).cast();
                    libc::mlock(start, 1);
                    libc::madvise(start.cast_mut(), 0, libc::MADV_DONTDUMP);
                }
            }
            // SAFETY: the calls take no pointers. The child's niceness stays what it is.
            Self::Priority => unsafe {
                let niceness = libc::getpriority(libc::PRIO_PROCESS, 0);
                libc::setpriority(libc::PRIO_PROCESS, 0, niceness);
            },
        }
    }
}

/// Whether the process was started under a filter of system calls (proc(5), `Seccomp: 2`). Where there is no
/// `/proc` to tell, it may have been. The system is asked once.
fn is_filtered() -> bool {
    static IS_FILTERED: OnceLock<bool> = OnceLock::new();
    *IS_FILTERED.get_or_init(|| {
        fs::read_to_string("/proc/self/status").map_or(true, |status| {
            let mut modes = status
                .lines()
                .filter_map(|line| line.strip_prefix("Seccomp:"));
            modes.any(|mode| mode.trim() == "2")
        })
    })
}
