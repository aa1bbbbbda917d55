//! An end of the tunnel: a child process that runs in the foreground.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::demo::PATIENCE;
use crate::error::{DemoError, Said, system};
use crate::interrupt::Interrupt;

/// How often a child is asked whether it is there yet, or gone yet.
const POLL: Duration = Duration::from_millis(5);
/// How long a child may take to end when asked.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Encrypt,
    Decrypt,
}

/// A running end; stopped when dropped.
pub(crate) struct End {
    child: Child,
    name: &'static str,
    source: SocketAddr,
    log: PathBuf,
}

impl End {
    pub(crate) fn start(
        executable: &Path,
        mode: Mode,
        name: &'static str,
        [source, target]: [SocketAddr; 2],
        key: &Path,
        dir: &Path,
    ) -> Result<Self, DemoError> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create_new(&log).map_err(system("cannot make a log file"))?;
        let mode = match mode {
            Mode::Encrypt => "-e",
            Mode::Decrypt => "-d",
        };
        let [source_argument, target_argument] =
            [source, target].map(|address| format!("[{}]:{}", address.ip(), address.port()));
        let child = Command::new(executable)
            .args([
                mode,
                "-F",
                "-s",
                &source_argument,
                "-t",
                &target_argument,
                "-k",
            ])
            .arg(key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            // Ctrl-C is for the demo alone, which then ends its children.
            .process_group(0)
            .spawn()
            .map_err(system(&format!("cannot start {}", executable.display())))?;
        Ok(Self {
            child,
            name,
            source,
            log,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.source
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Connects as soon as it listens.
    pub(crate) fn connect(&mut self, interrupt: &Interrupt) -> Result<TcpStream, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            interrupt.check()?;
            self.check()?;
            match TcpStream::connect(self.source) {
                // A port that nobody listens on can come to be connected to itself.
                Ok(stream) if stream.local_addr().ok() != stream.peer_addr().ok() => {
                    return Ok(stream);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    return Err(system(&format!("cannot connect to {}", self.name))(error));
                }
            }
            thread::sleep(POLL);
        }
        Err(DemoError::Stalled(self.name))
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), DemoError> {
        let state = self
            .child
            .try_wait()
            .map_err(system("cannot wait for a child"))?;
        match state {
            None => Ok(()),
            Some(status) => Err(DemoError::EndGone {
                end: self.name,
                status,
                said: self.last_line(),
            }),
        }
    }

    /// Stops it, and returns the last line that it wrote.
    pub(crate) fn stop(mut self) -> Option<String> {
        self.end();
        self.last_line().into_line()
    }

    fn last_line(&self) -> Said {
        Said::last_of(&fs::read(&self.log).unwrap_or_default())
    }

    fn end(&mut self) {
        let deadline = Instant::now() + GRACE;
        let id = Pid::from_raw(self.child.id().cast_signed());
        // A child that was waited for has no id any more that a signal could go to.
        let mut running = matches!(self.child.try_wait(), Ok(None));
        if running && kill(id, Signal::SIGTERM).is_ok() {
            while running && Instant::now() < deadline {
                thread::sleep(POLL);
                running = matches!(self.child.try_wait(), Ok(None));
            }
        }
        if running {
            // What is left to fail here cannot be helped.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
    }
}
