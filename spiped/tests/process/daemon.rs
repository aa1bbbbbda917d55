//! Forking, and when the parent returns.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getsid};
use spiped::log;
use spiped::os::daemonize::{self, Outcome, Role};

use crate::{Dir, Test, subject as command, temporary};

pub(crate) const TESTS: &[Test] = &[
    (
        "parent_returns_when_the_daemon_is_ready",
        parent_returns_when_the_daemon_is_ready,
    ),
    (
        "daemon_leads_a_session_and_stays_in_its_directory",
        daemon_leads_a_session,
    ),
    (
        "standard_streams_of_the_caller_are_let_go",
        standard_streams_are_let_go,
    ),
    (
        "standard_error_to_a_file_is_kept",
        standard_error_to_a_file_is_kept,
    ),
    (
        "standard_error_to_the_journal_is_kept",
        standard_error_to_the_journal_is_kept,
    ),
    (
        "daemon_that_fails_makes_the_parent_fail",
        daemon_that_fails_makes_the_parent_fail,
    ),
    (
        "daemon_that_is_killed_is_told_of",
        daemon_that_is_killed_is_told_of,
    ),
    (
        "daemon_learns_that_its_parent_is_gone",
        daemon_learns_that_its_parent_is_gone,
    ),
    (
        "fork_is_refused_beside_other_threads",
        fork_is_refused_beside_other_threads,
    ),
];

const PATIENCE: Duration = Duration::from_secs(30);

/// The process under test; `control` is the socket where the daemon reports and takes orders.
pub(crate) fn subject(role: &str, control: &str) -> ExitCode {
    if role == "daemon-threads" {
        let (_alive, wait) = std::sync::mpsc::channel::<()>();
        thread::spawn(move || wait.recv());
        let refused = daemonize::fork().is_err();
        return if refused {
            ExitCode::from(7)
        } else {
            ExitCode::SUCCESS
        };
    }
    let readiness = match daemonize::fork().unwrap() {
        Role::Parent(waiting) => {
            return match waiting.wait().unwrap() {
                Outcome::Ready => ExitCode::SUCCESS,
                Outcome::Failed => ExitCode::FAILURE,
                Outcome::Killed(signal) => {
                    log::error_now(format_args!("killed by {signal}"));
                    ExitCode::FAILURE
                }
            };
        }
        Role::Child(readiness) => readiness,
    };
    match role {
        "daemon-fails" => {
            log::error_now("it is no use");
            return ExitCode::FAILURE;
        }
        "daemon-killed" => kill(getpid(), Signal::SIGKILL).unwrap(),
        _ => {}
    }
    let mut control = UnixStream::connect(control).unwrap();
    writeln!(control, "{}", getpid()).unwrap();
    // The end of the stream means that the test is over, whether well or not.
    let mut order = [0];
    if control.read_exact(&mut order).is_err() {
        return ExitCode::FAILURE;
    }
    match readiness.ready() {
        Ok(()) => writeln!(control, "ready").unwrap(),
        Err(error) => writeln!(control, "{:?}", error.kind()).unwrap(),
    }
    log::warning_now("one line of the daemon");
    writeln!(control, "done").unwrap();
    let _ = control.read_exact(&mut order);
    ExitCode::SUCCESS
}

/// A started program, and the socket over which its daemon is led. The daemon ends with this.
struct Started {
    parent: Child,
    daemon: Pid,
    control: BufReader<UnixStream>,
    // Removed last.
    _dir: Dir,
}

fn start(configure: impl FnOnce(&mut Command)) -> Started {
    let dir = temporary();
    let socket = dir.0.join("control");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut command = command("daemon", socket.to_str().unwrap());
    command.stdin(Stdio::null());
    configure(&mut command);
    let parent = command.spawn().unwrap();
    // Let go of this process's copies of what the program got.
    drop(command);
    let (control, _) = listener.accept().unwrap();
    let mut started = Started {
        parent,
        daemon: Pid::from_raw(0),
        control: BufReader::new(control),
        _dir: dir,
    };
    started.daemon = Pid::from_raw(started.line().parse().unwrap());
    started
}

impl Started {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn get_ready(&mut self) {
        self.control.get_mut().write_all(b"!").unwrap();
        assert_eq!(self.line(), "ready");
        assert_eq!(self.line(), "done");
    }

    #[cfg(target_os = "linux")]
    fn open_as(&self, fd: u8) -> PathBuf {
        fs::read_link(format!("/proc/{}/fd/{fd}", self.daemon)).unwrap()
    }
}

fn parent_returns_when_the_daemon_is_ready() {
    let mut started = start(|_| {});
    assert!(
        started.parent.try_wait().unwrap().is_none(),
        "the daemon is not ready yet"
    );
    started.get_ready();
    assert_eq!(started.parent.wait().unwrap().code(), Some(0));
    kill(started.daemon, None).unwrap();
}

fn daemon_leads_a_session() {
    let dir = temporary();
    let mut started = start(|command| {
        command.current_dir(&dir.0);
    });
    started.get_ready();
    assert_eq!(getsid(Some(started.daemon)).unwrap(), started.daemon);
    assert_ne!(started.parent.id().cast_signed(), started.daemon.as_raw());
    #[cfg(target_os = "linux")]
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", started.daemon)).unwrap(),
        dir.0.canonicalize().unwrap()
    );
}

/// Everything up to the end of a pipe, which must come soon.
fn all_of(mut pipe: impl Read + Send + 'static) -> String {
    let (done, text) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let outcome = pipe.read_to_string(&mut text).map(|_| text);
        let _ = done.send(outcome);
    });
    text.recv_timeout(PATIENCE)
        .expect("somebody keeps the pipe open")
        .unwrap()
}

fn standard_streams_are_let_go() {
    let mut started = start(|command| {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    });
    started.get_ready();
    // These return only because the daemon, which lives, has closed its ends.
    assert_eq!(all_of(started.parent.stdout.take().unwrap()), "");
    assert_eq!(all_of(started.parent.stderr.take().unwrap()), "");
    kill(started.daemon, None).unwrap();
    #[cfg(target_os = "linux")]
    for fd in 0..=2 {
        assert_eq!(started.open_as(fd), PathBuf::from("/dev/null"));
    }
}

fn standard_error_to_a_file_is_kept() {
    let dir = temporary();
    let path = dir.0.join("log");
    let file = File::create(&path).unwrap();
    let mut started = start(|command| {
        command.stderr(file);
    });
    started.get_ready();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "spiped: one line of the daemon\n"
    );
}

fn standard_error_to_the_journal_is_kept() {
    for named in [true, false] {
        let (journal, stream) = UnixStream::pair().unwrap();
        let metadata = File::from(OwnedFd::from(stream.try_clone().unwrap()))
            .metadata()
            .unwrap();
        let inode = if named {
            metadata.ino()
        } else {
            metadata.ino() + 1
        };
        let mut started = start(|command| {
            command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()));
            command.stderr(OwnedFd::from(stream));
        });
        started.get_ready();
        started.parent.wait().unwrap();
        drop(started);
        let mut text = String::new();
        BufReader::new(journal).read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            if named {
                "spiped: one line of the daemon\n"
            } else {
                ""
            }
        );
    }
}

fn daemon_that_fails_makes_the_parent_fail() {
    let output = command("daemon-fails", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "spiped: it is no use\n"
    );
}

fn daemon_that_is_killed_is_told_of() {
    let output = command("daemon-killed", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "spiped: killed by SIGKILL\n"
    );
}

fn daemon_learns_that_its_parent_is_gone() {
    let mut started = start(|_| {});
    started.parent.kill().unwrap();
    started.parent.wait().unwrap();
    started.control.get_mut().write_all(b"!").unwrap();
    assert_eq!(started.line(), "BrokenPipe");
}

fn fork_is_refused_beside_other_threads() {
    if !cfg!(target_os = "linux") {
        println!("skipped: this system does not tell how many threads there are");
        return;
    }
    let status = command("daemon-threads", "").status().unwrap();
    assert_eq!(status.code(), Some(7));
}
