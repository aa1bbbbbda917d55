//! Life under a filter of system calls that kills, as systemd's `SystemCallFilter=` does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use spiped::os::syscall_filter::OptionalCall;

use crate::{Test, subject as command, temporary};

pub(crate) const TESTS: &[Test] = &[
    ("filters_that_kill_are_found", filters_that_kill_are_found),
    (
        "filters_that_kill_for_what_is_optional_end_nothing",
        filters_that_kill_for_what_is_optional_end_nothing,
    ),
];

const CALLS: [(&str, OptionalCall, libc::c_long); 4] = [
    (
        "landlock",
        OptionalCall::Landlock,
        libc::SYS_landlock_create_ruleset,
    ),
    ("seccomp", OptionalCall::Seccomp, libc::SYS_seccomp),
    ("lock", OptionalCall::Lock, libc::SYS_mlock),
    ("priority", OptionalCall::Priority, libc::SYS_setpriority),
];

/// Has the process killed from now on for each of these system calls.
fn kill_for(calls: &[libc::c_long]) {
    let rules: BTreeMap<_, _> = calls.iter().map(|&call| (call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let (allow, deadly) = (SeccompAction::Allow, SeccompAction::KillProcess);
    let filter = SeccompFilter::new(rules, allow, deadly, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// The process under test: under a filter that kills for one call, checks all; or becomes spiped under a filter
/// that kills for all.
pub(crate) fn subject(role: &str, argument: &str) -> ExitCode {
    if role == "filter-spiped" {
        kill_for(&CALLS.map(|(.., number)| number));
        let mut spiped = Command::new(env!("CARGO_BIN_EXE_spiped"));
        panic!("{}", spiped.args(argument.split(' ')).exec());
    }
    for (name, _, number) in CALLS {
        if name == argument {
            kill_for(&[number]);
        }
    }
    for (name, call, _) in CALLS {
        if call.check().is_err() {
            println!("{name}");
        }
    }
    ExitCode::SUCCESS
}

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn filters_that_kill_are_found() {
    for name in CALLS.map(|(name, ..)| name).into_iter().chain(["none"]) {
        let output = command("filter-check", name).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let expected = match name {
            "none" => String::new(),
            deadly => format!("{deadly}\n"),
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

fn filters_that_kill_for_what_is_optional_end_nothing() {
    let folder = temporary();
    let key = folder.0.join("key");
    std::fs::write(&key, [7; 32]).unwrap();
    let key = key.to_str().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = free.local_addr().unwrap();
    drop(free);
    for sandbox in ["on", "off"] {
        let arguments =
            format!("-d -F --sandbox={sandbox} -s {source} -t {target} -k {key} --log-level info");
        let mut daemon = Daemon(
            command("filter-spiped", &arguments)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut lines = BufReader::new(daemon.0.stderr.take().unwrap()).lines();
        if sandbox == "on" {
            let line = lines
                .find(|line| line.as_ref().unwrap().contains("sandbox: "))
                .unwrap();
            let line = line.unwrap();
            let (_, without) = line.split_once("; without ").unwrap();
            for measure in ["locked key", "landlock", "seccomp"] {
                assert!(without.contains(measure), "{line}");
            }
        }
        while TcpStream::connect(source).is_err() {
            assert!(daemon.0.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        // The key exchange of version 1 runs on threads of lower priority.
        for protocol in ["2", "1"] {
            let probed = Command::new(env!("CARGO_BIN_EXE_spiped"))
                .args([
                    "probe",
                    "--protocol",
                    protocol,
                    "-k",
                    key,
                    "-t",
                    &source.to_string(),
                ])
                .output()
                .unwrap();
            assert!(probed.status.success(), "{probed:?}");
        }
        let pid = Pid::from_raw(daemon.0.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let status = daemon.0.wait().unwrap();
        assert_eq!(
            (status.code(), status.signal()),
            (Some(0), None),
            "{sandbox}"
        );
    }
}
