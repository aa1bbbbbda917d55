//! Where the peers of a run live: a directory for their files, ports, and how they are started.

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::interrupt;
use crate::ports::Ports;
use crate::process::Process;

/// For a peer to accept its first connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect to a peer that starts: the resolution of start times.
const STEP: Duration = Duration::from_micros(200);

/// The way from a front end to its back end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    /// Where the back end listens.
    pub(crate) listen: Ipv4Addr,
    /// Where the front end reaches it.
    pub(crate) reach: Ipv4Addr,
}

impl Hop {
    /// Both ends side by side.
    pub(crate) const LOOPBACK: Self = Self {
        listen: Ipv4Addr::LOCALHOST,
        reach: Ipv4Addr::LOCALHOST,
    };
}

/// The place of one run. Its directory goes when it does.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    ports: Ports,
    /// Between the ends of the peer that is measured.
    pub(crate) hop: Hop,
    /// Our spiped, if it is to be measured.
    pub(crate) ours: Option<PathBuf>,
    /// Descriptors that a process may have.
    pub(crate) descriptors: usize,
}

/// One end of a tunnel, accepting.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) process: Process,
    /// From the start of the process to the first connection it accepted.
    pub(crate) started: Duration,
}

impl Site {
    pub(crate) fn new(ours: Option<PathBuf>, descriptors: usize) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("spiped-bench-")
            .tempdir()
            .map_err(Error::system("cannot make a directory"))?;
        Ok(Self {
            dir,
            ports: Ports::new()?,
            hop: Hop::LOOPBACK,
            ours,
            descriptors,
        })
    }

    /// A free port to listen on.
    pub(crate) fn port(&mut self) -> Result<u16> {
        self.ports.take()
    }

    /// The path of a file of this run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that nobody else may read, over the one of an earlier start.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path(name);
        let what = || format!("cannot write {}", path.display());
        fs::write(&path, content).map_err(Error::system(what()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(Error::system(what()))?;
        Ok(path)
    }

    /// A file with 64 random hexadecimal digits, the same for the whole run.
    pub(crate) fn key(&self) -> Result<PathBuf> {
        let path = self.path("key");
        if path.exists() {
            return Ok(path);
        }
        let mut random = [0; 32];
        fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut random))
            .map_err(Error::system("cannot read /dev/urandom"))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write("key", &digits)
    }

    /// A program that makes a file of this run, unless the file is there.
    pub(crate) fn make(&self, file: &str, program: &str, arguments: &[&str]) -> Result<PathBuf> {
        let path = self.path(file);
        if !path.exists() {
            let output = Command::new(program)
                .args(arguments)
                .current_dir(self.dir.path())
                .output()
                .map_err(Error::system(format!("cannot start {program}")))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or("no reason").to_owned();
                return Err(Error::Failed(format!("{program}: {last}")));
            }
        }
        Ok(path)
    }

    /// Starts one end and waits until it accepts at `address`.
    pub(crate) fn launch(&self, name: &str, command: Command, address: SocketAddr) -> Result<End> {
        let begun = Instant::now();
        let mut process = Process::start(command, &self.path(&format!("{name}.log")))?;
        loop {
            if TcpStream::connect(address).is_ok() {
                let started = begun.elapsed();
                return Ok(End { process, started });
            }
            interrupt::check()?;
            process.check()?;
            if begun.elapsed() > PATIENCE {
                return Err(Error::Failed(format!(
                    "does not accept after {} s",
                    PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(STEP);
        }
    }
}

/// Finds a program where shells and administrators have theirs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
