//! Daemons: processes that are nobody's child until somebody adopts them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Nothing here takes longer, unless it never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look again.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// Makes this process the parent of daemons that its children leave behind.
pub(crate) fn adopt() {
    #[cfg(target_os = "linux")]
    assert_eq!(nix::sys::prctl::set_child_subreaper(true), Ok(()));
}

/// A daemon; it is killed when this goes away.
#[derive(Debug)]
pub(crate) struct Orphan {
    pid: Pid,
    ended: bool,
}

/// How an [`Orphan`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signaled(Signal),
    /// Somehow: only Linux lets a process adopt others.
    Unknown,
}

impl Orphan {
    /// The daemon whose process id this is.
    pub(crate) fn new(pid: i32) -> Self {
        Self {
            pid: Pid::from_raw(pid),
            ended: false,
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(self.pid, signal).map_err(|error| format!("cannot signal the daemon: {error}"))
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> Result<End, String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(end) = self.poll()? {
                self.ended = true;
                return Ok(end);
            }
            thread::sleep(PAUSE);
        }
        Err("the daemon does not end".to_owned())
    }

    fn poll(&self) -> Result<Option<End>, String> {
        if cfg!(not(target_os = "linux")) {
            return Ok(kill(self.pid, None).is_err().then_some(End::Unknown));
        }
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => Ok(Some(End::Exited(status))),
            Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(End::Signaled(signal))),
            Ok(_) => Ok(None),
            Err(error) => Err(format!(
                "process {} is no daemon of ours: {error}",
                self.pid
            )),
        }
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.ended && kill(self.pid, Signal::SIGKILL).is_ok() {
            let _ = self.wait();
        }
    }
}

/// Kills every process that was started with a path in `dir` among its arguments.
pub(crate) fn kill_those_in(dir: &Path) {
    let dir = [dir.as_os_str().as_encoded_bytes(), b"/"].concat();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if arguments.windows(dir.len()).any(|window| window == dir) {
            drop(Orphan::new(pid));
        }
    }
}
