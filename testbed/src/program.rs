//! A running program, and the certainty that it ends with the test.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Address, TempDir, proc, until};

/// A program that runs as a child, killed on drop. Its standard error goes to
/// a file, so it never blocks on it and it can be read at any time.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stderr: PathBuf,
}

impl Program {
    /// Starts it in `dir`, without waiting for anything. Standard input is
    /// empty and standard output dropped, unless the command says otherwise.
    pub fn start(dir: &TempDir, name: &str, command: Command) -> Self {
        Self::with_stdio(dir, name, command, Stdio::null(), Stdio::null())
    }

    /// The same with its standard input and output.
    pub fn with_stdio(
        dir: &TempDir,
        name: &str,
        mut command: Command,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Self {
        let stderr = dir.join(&format!("{name}.stderr"));
        let child = command
            .current_dir(dir.path())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Self { child, stderr }
    }

    /// Starts `spiped` in the foreground and waits until it listens.
    pub fn serving(dir: &TempDir, name: &str, mut command: Command, source: &Address) -> Self {
        command.arg("-F");
        let mut program = Self::start(dir, name, command);
        program.listens_on(source);
        program
    }

    /// Starts it as its supervisor does, with a socket as descriptor 3 and `fds` for their number.
    pub fn passed(
        dir: &TempDir,
        name: &str,
        command: &Command,
        socket: OwnedFd,
        fds: &str,
    ) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "exec 3<&0 </dev/null; export LISTEN_PID=$$; exec \"$@\"",
        ]);
        shell.arg("sh").arg(command.get_program());
        shell.args(command.get_args()).env("LISTEN_FDS", fds);
        Self::with_stdio(dir, name, shell, Stdio::from(socket), Stdio::null())
    }

    /// Waits until a daemon in the foreground is up, which its first line says.
    #[track_caller]
    pub fn is_up(&mut self) {
        until("the daemon's first line", || {
            assert!(self.is_running(), "{}", self.stderr());
            self.stderr().contains("sandbox: ").then_some(())
        });
    }

    /// Waits until something listens there, without connecting to it.
    #[track_caller]
    pub fn listens_on(&mut self, source: &Address) {
        until(&format!("a listener on {source}"), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status} instead of listening: {}", self.stderr());
            }
            // Its own view, as it may be in another network namespace.
            proc::is_listening_for(&self.child.id().to_string(), source).then_some(())
        });
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(dir: &TempDir, name: &str, command: Command) -> (ExitStatus, String) {
        let mut program = Self::start(dir, name, command);
        (program.wait(), program.stderr())
    }

    /// The child, for its standard streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written to standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Waits until it has written `reason` behind the first `from` bytes of
    /// its standard error, and ends it. Gives all lines behind that name
    /// `about`, which no further line can join any more.
    #[track_caller]
    pub fn lines_about(&mut self, about: &str, reason: &str, from: usize) -> Vec<String> {
        until(&format!("a line that says {reason}"), || {
            self.stderr()[from..].contains(reason).then_some(())
        });
        self.terminate();
        self.wait();
        let stderr = self.stderr();
        let lines = stderr[from..].lines().filter(|l| l.contains(about));
        lines.map(str::to_owned).collect()
    }

    /// Has a daemon read its settings again, and gives what it says about that.
    #[track_caller]
    pub fn reload(&self) -> String {
        let before = self.stderr().len();
        signal(self.pid(), Signal::SIGHUP);
        until("a line about the reload", || {
            let told = self.stderr()[before..].to_owned();
            (told.contains("reloaded") && told.ends_with('\n')).then_some(told)
        })
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        signal(self.pid(), Signal::SIGTERM);
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("the program's end", || self.child.try_wait().unwrap())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let stderr = fs::read(&self.stderr).unwrap_or_default();
            let stderr = String::from_utf8_lossy(&stderr);
            eprintln!("{}:\n{stderr}", self.stderr.display());
        }
    }
}

/// A program that has put itself into the background, killed on drop.
#[derive(Debug)]
pub struct Daemonized {
    pid: u32,
    name: String,
}

impl Daemonized {
    /// Runs the command until its parent process returns, which must be with
    /// success and with the pidfile written.
    #[track_caller]
    pub fn start(dir: &TempDir, name: &str, command: Command, pidfile: &Path) -> Self {
        let (status, stderr) = Program::run(dir, name, command);
        assert!(status.success(), "{status}: {stderr}");
        Self::from_pidfile(pidfile)
    }

    /// Takes over the process that a pidfile names.
    #[track_caller]
    pub fn from_pidfile(pidfile: &Path) -> Self {
        let pid =
            fs::read_to_string(pidfile).unwrap_or_else(|e| panic!("{}: {e}", pidfile.display()));
        let pid: u32 = pid.trim_end().parse().unwrap();
        let name = proc::name(pid).unwrap_or_else(|| panic!("no process {pid}"));
        Self { pid, name }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        signal(self.pid, Signal::SIGTERM);
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        proc::name(self.pid).is_some_and(|name| name == self.name)
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&self) {
        until("the daemon's end", || (!self.is_running()).then_some(()));
    }
}

impl Drop for Daemonized {
    fn drop(&mut self) {
        if self.is_running() {
            signal(self.pid, Signal::SIGKILL);
        }
    }
}

/// Sends a signal to a process, which may have ended meanwhile.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.try_into().unwrap()), signal);
}
