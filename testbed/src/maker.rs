//! Whose programs are started, and where they are.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Address;

/// A pair of programs: those under test, or the C ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    spiped: PathBuf,
    spipe: PathBuf,
}

/// Which way `spiped` works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `-e`: plaintext at the source, encrypted at the target.
    Encrypt,
    /// `-d`: the other way round.
    Decrypt,
}

impl Maker {
    /// See [`ours!`](crate::ours).
    pub fn under_test(spiped: &str, spipe: &str) -> Self {
        match env::var_os("SPIPED_UNDER_TEST_DIR") {
            Some(dir) => Self {
                spiped: Path::new(&dir).join("spiped"),
                spipe: Path::new(&dir).join("spipe"),
            },
            None => Self {
                spiped: spiped.into(),
                spipe: spipe.into(),
            },
        }
    }

    /// The C programs: those that `C_SPIPED` and `C_SPIPE` name, else those
    /// of `/usr/bin`. See [`theirs!`](crate::theirs).
    pub fn c(test: &str) -> Option<Self> {
        let at = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let spiped = at("C_SPIPED", "/usr/bin/spiped");
        let spipe = at("C_SPIPE", "/usr/bin/spipe");
        present(test, &[&spiped, &spipe]).then(|| Self {
            spiped: spiped.into(),
            spipe: spipe.into(),
        })
    }

    /// `spiped -e` or `-d` from a source to a target with a key.
    pub fn spiped(&self, mode: Mode, source: &Address, target: &Address, key: &Path) -> Command {
        let mut command = self.bare_spiped();
        command
            .arg(match mode {
                Mode::Encrypt => "-e",
                Mode::Decrypt => "-d",
            })
            .args(["-s", &source.to_string(), "-t", &target.to_string()])
            .arg("-k")
            .arg(key);
        command
    }

    /// `spiped` without arguments.
    pub fn bare_spiped(&self) -> Command {
        Command::new(&self.spiped)
    }

    /// `spipe` to a target with a key.
    pub fn spipe(&self, target: &Address, key: &Path) -> Command {
        let mut command = self.bare_spipe();
        command.args(["-t", &target.to_string(), "-k"]).arg(key);
        command
    }

    /// `spipe` without arguments.
    pub fn bare_spipe(&self) -> Command {
        Command::new(&self.spipe)
    }
}

/// Where a program is, also among those that only root is expected to run.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).exists().then(|| program.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// See [`need!`](crate::need). `root` stands for the right to do what only
/// root may; a program with arguments, such as `unshare --KIND` or `strace -f`,
/// for that to run another one in this way, which not every container allows.
pub fn present(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|&&program| match program {
        "root" => !is_root(),
        _ if program.contains(' ') => !can_run(program),
        _ => find(program).is_none(),
    });
    let Some(program) = missing else { return true };
    let line = format!("skipped: {test} needs {program}");
    if env::var_os("SPIPED_REQUIRE_INTEROP").is_some_and(|v| v == "1") {
        panic!("{line}, and SPIPED_REQUIRE_INTEROP is set");
    }
    println!("{line}");
    // The test runner keeps what a passed test prints to itself, and a
    // skipped one must still be counted.
    if let Some(list) = env::var_os("SPIPED_TEST_SKIPS") {
        let mut list = OpenOptions::new()
            .append(true)
            .create(true)
            .open(list)
            .unwrap();
        list.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    false
}

fn can_run(prefix: &str) -> bool {
    let mut words = prefix.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = command.args(words).arg("true").output();
    output.is_ok_and(|o| o.status.success())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
