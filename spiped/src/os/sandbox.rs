//! The sandbox, which the process enters before it accepts a connection, so that an intruder can do little.
//! It gives up new privileges, core dumps, and all files, ports and system calls that it does not need.
//! docs/hardening.md has the rules and their reasons.
//!
//! The process has one thread when it enters the sandbox, so every later thread is in it too.

#[cfg(target_os = "linux")]
mod access;
#[cfg(target_os = "openbsd")]
mod pledge;
mod process;
#[cfg(any(target_os = "openbsd", test))]
mod promises;
#[cfg(target_os = "linux")]
mod resolver;
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod syscalls;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::{AccessFlags, access};

use spiped_tokio::Endpoint;

use crate::os::os_error::os_error;
#[cfg(target_os = "linux")]
use crate::os::syscall_filter::OptionalCall;

/// The value of `--sandbox`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// No measure is taken.
    Off,
    /// The measures that the system has are taken.
    #[default]
    On,
    /// The process does not start unless all measures are taken.
    Require,
}

/// The permissions of the process in the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Whether it may use the system's resolver.
    pub names: bool,
    /// Whether it may connect to unix sockets: its target, syslog or the journal.
    pub unix_sockets: bool,
    /// The TCP ports that it may connect to.
    pub connect: BTreeSet<u16>,
    /// The TCP ports that it may bind, to connect from or to listen on; 0 lets the system choose a port.
    pub bind: BTreeSet<u16>,
    /// Whether it may listen on further sockets.
    pub listen: bool,
    /// The folders of the files that it may read, for a reload.
    pub reads: BTreeSet<PathBuf>,
    /// The folders in which it may make unix sockets to listen on.
    pub makes: BTreeSet<PathBuf>,
    /// Whether it may use all ports, because a reload can name others.
    pub any_port: bool,
}

impl Permissions {
    /// Permissions for connections from the addresses `from` to the endpoints `target`.
    #[must_use]
    pub fn of(target: &[Endpoint], from: &[SocketAddr]) -> Self {
        Self {
            unix_sockets: target.iter().any(|to| matches!(to, Endpoint::Unix(_))),
            connect: target.iter().filter_map(Endpoint::port).collect(),
            bind: from.iter().map(SocketAddr::port).collect(),
            ..Self::default()
        }
    }

    /// Adds all permissions of `others`.
    pub fn join(&mut self, others: Self) {
        self.names |= others.names;
        self.unix_sockets |= others.unix_sockets;
        self.connect.extend(others.connect);
        self.bind.extend(others.bind);
        self.listen |= others.listen;
        self.reads.extend(others.reads);
        self.makes.extend(others.makes);
        self.any_port |= others.any_port;
    }
}

/// The measures that are in force, and the measures that are missing, each with the reason.
#[derive(Debug, Default)]
pub struct SandboxReport {
    applied: Vec<String>,
    missing: Vec<(&'static str, io::Error)>,
}

/// The error of `--sandbox require`: the measures that are missing, each with the reason.
#[derive(Debug)]
pub struct SandboxError(Vec<(&'static str, io::Error)>);

impl std::error::Error for SandboxError {}

/// Writes one line that names each measure with the reason.
impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot put up the whole sandbox")?;
        let mut before = ": ";
        for (measure, error) in &self.0 {
            write!(f, "{before}{measure}: {}", os_error(error))?;
            before = "; ";
        }
        Ok(())
    }
}

/// Whether this process has entered the sandbox.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Returns the reason why the file or folder at `path` cannot be read, with advice if it is the sandbox.
#[must_use]
pub fn file_error(path: &Path, error: &io::Error) -> String {
    let why = os_error(error);
    // The sandbox is the reason if the file's mode allows to read it: Landlock refuses only to open it.
    let by_sandbox = error.kind() == io::ErrorKind::PermissionDenied
        && ENTERED.load(Ordering::Relaxed)
        && access(path, AccessFlags::R_OK).is_ok();
    match by_sandbox {
        true => format!(
            "{why} by the sandbox, which lets it read the folders that were there at the start: \
             restart the daemon"
        ),
        false => why,
    }
}

impl Sandbox {
    /// Whether names have to be looked up in another process, because this one could not read the files
    /// of the resolver.
    #[must_use]
    pub fn needs_lookup_process(self) -> bool {
        cfg!(target_os = "linux") && self != Self::Off
    }

    /// Enters the sandbox for good: the process keeps only `permissions`, as far as the system can take the
    /// others away. `key` is the outcome of locking the keys in memory, which is one of the measures.
    /// Returns `None` if no sandbox is wanted.
    ///
    /// # Errors
    ///
    /// All measures are required, and one is missing. The process must exit.
    pub fn enter(
        self,
        permissions: &Permissions,
        key: io::Result<()>,
    ) -> Result<Option<SandboxReport>, SandboxError> {
        if self == Self::Off {
            return Ok(None);
        }
        let mut report = SandboxReport::default();
        report.note("locked key", key);
        report.apply(permissions);
        ENTERED.store(true, Ordering::Relaxed);
        if self == Self::Require && !report.missing.is_empty() {
            return Err(SandboxError(report.missing));
        }
        Ok(Some(report))
    }
}

impl SandboxReport {
    /// Adds the report of another process, which does the part of the work that `what` names. `missing`
    /// lists the measures that are missing there; it is empty if none is.
    ///
    /// # Errors
    ///
    /// `sandbox` requires all measures, and one is missing there.
    pub fn join(
        &mut self,
        sandbox: Sandbox,
        what: &'static str,
        missing: &str,
    ) -> Result<(), SandboxError> {
        if missing.is_empty() {
            self.applied.push(format!("{what} apart"));
            return Ok(());
        }
        self.missing
            .push((what, io::Error::other(missing.to_owned())));
        match sandbox {
            Sandbox::Require => Err(SandboxError(mem::take(&mut self.missing))),
            Sandbox::On | Sandbox::Off => Ok(()),
        }
    }

    /// Lists the measures that are missing, each with the reason.
    #[must_use]
    pub fn missing(&self) -> String {
        let missing = self.missing.iter();
        let missing = missing.map(|(measure, error)| format!("{measure}: {}", os_error(error)));
        missing.collect::<Vec<_>>().join(", ")
    }

    fn note(&mut self, measure: &'static str, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.applied.push(measure.to_owned()),
            Err(error) => self.missing.push((measure, error)),
        }
    }

    /// Takes all measures. System calls are restricted last, as the other measures use some of them.
    fn apply(&mut self, permissions: &Permissions) {
        #[cfg(target_os = "linux")]
        if permissions.names {
            resolver::load_modules();
            // A file for a reload may be readable by the process's own user alone.
            if permissions.reads.is_empty() {
                self.note("files as nobody", resolver::read_as_nobody());
            }
        }
        // OpenBSD does without, as pledge(2) takes the call that starts a program.
        #[cfg(not(target_os = "openbsd"))]
        self.note("no new privileges", process::no_new_privileges());
        self.note("no core dumps", process::no_core_dumps());
        self.confine(permissions);
    }

    #[cfg(target_os = "linux")]
    fn confine(&mut self, permissions: &Permissions) {
        match OptionalCall::Landlock
            .check()
            .and_then(|()| access::restrict(permissions))
        {
            Ok(restricted) => {
                if let Some(what) = restricted.missing() {
                    self.missing.push((what, io::ErrorKind::Unsupported.into()));
                }
                self.applied.push(format!("landlock ({restricted})"));
            }
            Err(error) => self.missing.push(("landlock", error)),
        }
        #[cfg(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        ))]
        match OptionalCall::Seccomp
            .check()
            .and_then(|()| syscalls::restrict(permissions))
        {
            Ok(left) => self.applied.push(format!("seccomp ({left} system calls)")),
            Err(error) => self.missing.push(("seccomp", error)),
        }
        #[cfg(not(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        )))]
        self.missing
            .push(("seccomp", io::ErrorKind::Unsupported.into()));
    }

    #[cfg(target_os = "openbsd")]
    fn confine(&mut self, permissions: &Permissions) {
        self.note("unveil", pledge::unveil(&promises::paths(permissions)));
        let promises = promises::promises(permissions);
        match pledge::pledge(&promises) {
            Ok(()) => self.applied.push(format!("pledge ({promises})")),
            Err(error) => self.missing.push(("pledge", error)),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "openbsd")))]
    fn confine(&mut self, _: &Permissions) {
        for measure in [
            "limits on files",
            "limits on ports",
            "limits on system calls",
        ] {
            self.missing
                .push((measure, io::ErrorKind::Unsupported.into()));
        }
    }
}

/// Writes one line for the log.
impl fmt::Display for SandboxReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox: {}", self.applied.join(", "))?;
        for (number, (measure, error)) in self.missing.iter().enumerate() {
            let before = if number == 0 { "; without " } else { ", " };
            write!(f, "{before}{measure} ({})", os_error(error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_all_measures_that_are_missing() {
        let unsupported = || io::ErrorKind::Unsupported.into();
        let missing = vec![
            ("locked key", nix::errno::Errno::EPERM.into()),
            ("limits on files", unsupported()),
        ];
        assert_eq!(
            SandboxError(missing).to_string(),
            "cannot put up the whole sandbox: locked key: operation not permitted; \
             limits on files: unsupported"
        );
    }
}
