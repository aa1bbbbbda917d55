//! The machine that a run was made on.

use std::fs;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

/// What a reader needs to know to judge the figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// Processes that ran or wanted to, on average over the minute before the run.
    pub(crate) load_before: f64,
    /// Descriptors that a process may have.
    pub(crate) descriptors: usize,
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn describe(descriptors: usize) -> Self {
        let cpu = after("/proc/cpuinfo", "model name");
        let memory = after("/proc/meminfo", "MemTotal");
        let kibibytes: f64 = first_number(&memory);
        let name = after("/etc/os-release", "PRETTY_NAME");
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kibibytes / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: said("uname", &["-srm"]),
            system: name.trim_matches('"').to_owned(),
            load_before: first_number(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
            descriptors,
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        }
    }
}

/// Lets this process and those it starts have all the descriptors that the system allows; tells how
/// many that is.
pub(crate) fn raise_descriptors() -> usize {
    let limit = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(limit) else {
        return 1024;
    };
    let reached = setrlimit(limit, hard, hard).map_or(soft, |()| hard);
    usize::try_from(reached).unwrap_or(usize::MAX)
}

/// What follows a name and a separator at the start of a line.
fn after(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.map(|line| line.trim_start_matches([' ', '\t', ':', '=']).trim());
    value
        .filter(|value| !value.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}

fn first_number(text: &str) -> f64 {
    let first = text.split_whitespace().next();
    first.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

fn said(program: &str, arguments: &[&str]) -> String {
    Command::new(program).args(arguments).output().map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
