//! Processes that a run starts: ended when their guard goes, and accounted for by what the operating
//! system says about them and their children.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// What USER_HZ is on every Linux: the unit of times in `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and all that it forks, ended by their ids when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Pages that are shared count in full in each process that has them.
    pub(crate) rss: u64,
    /// Shared pages are divided among those who have them.
    pub(crate) pss: u64,
}

impl Process {
    /// Starts `command` in a process group of its own, so that ctrl-C reaches only the bench.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::create(log).map_err(Error::system("cannot write a log"))?;
        let errors = output
            .try_clone()
            .map_err(Error::system("cannot write a log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Error::system(format!("cannot start {name}")))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// An error with the last thing it said, if the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Failed(format!("{status}{}", self.last_words()))),
            Err(error) => Err(Error::system("cannot wait for a process")(error)),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(String::new, |line| format!(", {}", line.trim()))
    }

    /// CPU time used since the start: by its threads, by its living children, and by those it has
    /// waited for.
    pub(crate) fn cpu(&self) -> Duration {
        self.family()
            .into_iter()
            .map(|pid| own_cpu(pid) + waited_cpu(pid))
            .sum()
    }

    /// Resident memory now, or `None` where the system does not let us look.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let mut sum = Memory::default();
        for (member, pid) in self.family().into_iter().enumerate() {
            match memory_of(pid) {
                Some(memory) => {
                    sum.rss += memory.rss;
                    sum.pss += memory.pss;
                }
                None if member == 0 => return None,
                // A child that has just ended.
                None => {}
            }
        }
        Some(sum)
    }

    /// Open descriptors of the process and its children.
    pub(crate) fn descriptors(&self) -> usize {
        let count = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.family().into_iter().map(count).sum()
    }

    /// The process and its living descendants, itself first. Those whose parent has gone are known
    /// by their process group.
    fn family(&self) -> Vec<i32> {
        let root = self.child.id() as i32;
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && pid != root
                && let Some([parent, group]) = stat_fields(pid, [4, 5])
            {
                let parent = if group == root as u64 {
                    root
                } else {
                    parent as i32
                };
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut family = vec![root];
        let mut seen = 0;
        while let Some(pid) = family.get(seen) {
            family.extend(children.remove(pid).unwrap_or_default());
            seen += 1;
        }
        family
    }
}

/// Makes this process the parent of those whose own parent has gone, so that it can wait for them
/// where the system's first process does not.
pub(crate) fn adopt_orphans() -> Result<()> {
    set_child_subreaper(true).map_err(Error::system("cannot adopt orphans"))
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = !matches!(self.child.try_wait(), Ok(None));
        // Once it has been waited for, its number may be another's.
        let family: Vec<Pid> = self
            .family()
            .into_iter()
            .skip(usize::from(ended))
            .map(Pid::from_raw)
            .collect();
        for pid in &family {
            // Some may have ended by themselves in between.
            kill(*pid, Signal::SIGKILL).ok();
        }
        self.child.wait().ok();
        for pid in family {
            // Those that their own parent has waited for are gone.
            waitpid(pid, None).ok();
        }
    }
}

fn own_cpu(pid: i32) -> Duration {
    clock_getcpuclockid(Pid::from_raw(pid))
        .and_then(clock_gettime)
        .map_or(Duration::ZERO, Duration::from)
}

fn waited_cpu(pid: i32) -> Duration {
    let ticks: u64 = stat_fields(pid, [16, 17]).map_or(0, |times| times.iter().sum());
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
}

/// Numbers of `/proc/PID/stat`, counted from 1 as proc(5) does; they must lie behind the name.
fn stat_fields<const N: usize>(pid: i32, wanted: [usize; N]) -> Option<[u64; N]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let mut numbers = [0; N];
    for (number, field) in numbers.iter_mut().zip(wanted) {
        *number = fields.get(field - 3)?.parse().ok()?;
    }
    Some(numbers)
}

fn memory_of(pid: i32) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory {
        rss: field("Rss:")?,
        pss: field("Pss:")?,
    })
}
