//! Runs a program with one command line, and sees whether it ends as expected.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::orphan::{End, Orphan, PATIENCE, PAUSE};
use crate::site::{Site, hang_up};
use crate::table::{Outcome, Row};

/// `spiped` or `spipe`, ours or the C one.
pub(crate) struct Program {
    name: &'static str,
    path: PathBuf,
    whose: Whose,
}

/// Of which programs a [`Program`] is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This project's.
    Ours,
    /// The C ones.
    Theirs,
}

impl Program {
    /// Ours.
    pub(crate) fn ours(name: &'static str, path: &str) -> Self {
        Self {
            name,
            path: path.into(),
            whose: Whose::Ours,
        }
    }

    /// The C one, if it is there and of a version that the table is about.
    pub(crate) fn theirs(name: &'static str, path: &Path) -> Option<Self> {
        let version = Command::new(path).arg("-v").output().ok()?;
        let version = String::from_utf8_lossy(&version.stderr).into_owned();
        version.starts_with(&format!("{name} 1.6.")).then(|| Self {
            name,
            path: path.to_owned(),
            whose: Whose::Theirs,
        })
    }

    /// Of which programs it is one.
    pub(crate) fn whose(&self) -> Whose {
        self.whose
    }

    /// Whether its usage mentions `-b`.
    pub(crate) fn knows_bind(&self) -> bool {
        let usage = Command::new(&self.path).output();
        usage.is_ok_and(|usage| String::from_utf8_lossy(&usage.stderr).contains("[-b "))
    }

    /// Runs one command line.
    pub(crate) fn check(&self, row: &Row, expected: Outcome) -> Result<(), String> {
        let site = match self.name {
            "spipe" => Site::with_target(),
            _ => Site::without_target(),
        };
        let site = site.map_err(|error| format!("no place to run it: {error}"))?;
        if row.line.contains("::") && !site.has_ipv6() {
            eprintln!("skipped, as there is no [::1]: {}", row.line);
            return Ok(());
        }
        let mut run = self
            .start(row, &site)
            .map_err(|error| format!("cannot run {}: {error}", self.path.display()))?;
        let ended = match expected {
            Outcome::Up => run.up(),
            Outcome::Dials => run.dials(),
            Outcome::Daemon | Outcome::Detached | Outcome::Dies => run.daemon(expected),
            Outcome::Refused | Outcome::Fails => run.ends_with(1),
            Outcome::Version | Outcome::Help => run.ends_with(0),
        };
        let ended = ended.and_then(|()| self.words(expected, &site));
        ended.map_err(|why| {
            let (stdout, stderr) = site.said();
            format!("{why} [stdout: {stdout:?}, stderr: {stderr:?}]")
        })
    }

    fn start<'a>(&self, row: &Row, site: &'a Site) -> io::Result<Run<'a>> {
        // Files, not pipes: a daemon may keep them open.
        let child = Command::new(&self.path)
            .args(row.arguments(site.place()))
            .current_dir(site.dir())
            // An empty key is legal, and C spipe gets SIGPIPE when it has something left to send.
            .stdin(Stdio::null())
            .stdout(File::create(site.dir().join("stdout"))?)
            .stderr(File::create(site.dir().join("stderr"))?)
            .spawn()?;
        Ok(Run { child, site })
    }

    /// What it prints. Theirs is only asked for its version.
    fn words(&self, outcome: Outcome, site: &Site) -> Result<(), String> {
        let (stdout, stderr) = site.said();
        let prefix = format!("{}: ", self.name);
        let usage = stderr.contains("\nusage: ");
        let right = match (self.whose, outcome) {
            (Whose::Theirs, Outcome::Version) => stderr.starts_with(self.name),
            (Whose::Theirs, _) => true,
            (Whose::Ours, Outcome::Version) => {
                stderr == format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
            }
            (Whose::Ours, Outcome::Help) => stderr.is_empty() && stdout.contains("Usage: "),
            (Whose::Ours, Outcome::Refused) => stderr.starts_with(&prefix) && usage,
            (Whose::Ours, Outcome::Fails) => {
                stderr.starts_with(&prefix) && stderr.lines().count() == 1
            }
            (Whose::Ours, _) => !usage,
        };
        match right && (stdout.is_empty() || outcome == Outcome::Help) {
            true => Ok(()),
            false => Err("says the wrong thing".to_owned()),
        }
    }
}

/// A program that runs, and is killed if this goes away first.
struct Run<'a> {
    child: Child,
    site: &'a Site,
}

impl Run<'_> {
    fn up(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Err(format!("ends with {status}"));
            }
            if let Some(connection) = self.site.connect() {
                hang_up(connection)?;
                self.terminate()?;
                return self.ends_with(0);
            }
            thread::sleep(PAUSE);
        }
        Err("takes no connections".to_owned())
    }

    fn dials(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(connection) = self.site.accept() {
                hang_up(connection)?;
                return self.ends_with(1);
            }
            if let Some(status) = self.ended()? {
                return Err(format!("ends with {status} before it connects"));
            }
            thread::sleep(PAUSE);
        }
        Err("does not connect".to_owned())
    }

    fn daemon(&mut self, expected: Outcome) -> Result<(), String> {
        self.ends_with(0)?;
        let pid = self.site.pid().ok_or("writes no pidfile")?;
        let mut daemon = Orphan::new(pid);
        let (wanted, end) = match expected {
            Outcome::Daemon => {
                let connection = self.site.connect().ok_or("takes no connections yet")?;
                hang_up(connection)?;
                daemon.signal(Signal::SIGTERM)?;
                (End::Exited(0), daemon.wait()?)
            }
            Outcome::Detached => {
                if self.site.connect().is_some() {
                    return Err("takes connections".to_owned());
                }
                daemon.signal(Signal::SIGKILL)?;
                (End::Signaled(Signal::SIGKILL), daemon.wait()?)
            }
            _ => (End::Exited(1), daemon.wait()?),
        };
        match end == wanted || end == End::Unknown {
            true => Ok(()),
            false => Err(format!("the daemon ends with {end:?}, not {wanted:?}")),
        }
    }

    fn ends_with(&mut self, code: i32) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                if status.code() != Some(code) {
                    return Err(format!("ends with {status}"));
                }
                return match self.site.accept() {
                    Some(_) => Err("connects to the target".to_owned()),
                    None => Ok(()),
                };
            }
            thread::sleep(PAUSE);
        }
        Err("does not end".to_owned())
    }

    fn terminate(&self) -> Result<(), String> {
        let pid = self.child.id().try_into().map_err(|_| "no process id")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| error.to_string())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
