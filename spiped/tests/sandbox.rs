//! The sandbox of running daemons, seen from outside, and what they say of it. What it keeps in is
//! tried from inside, in `process/sandbox.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use testbed::{Duplex, Mode, Pattern, Plan, Program, Signal, Site, Transport, until};

const NOBODY: u32 = 65534;
const LINE: &str = "spiped: sandbox: locked key, no new privileges, no core dumps, \
                    landlock (files, TCP ports, signals), seccomp (";

/// Says so where the system lacks a part: `require` is not to start there.
fn complete() -> bool {
    let ours = testbed::ours!();
    let site = Site::new();
    // A start that fails after the sandbox, or by it.
    let mut probe = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    probe.args(["-F", "--sandbox=require"]);
    let mut probe = Program::start(&site.dir, "probe", probe);
    let complete = until("its start, or its end", || {
        let up = testbed::proc::is_listening(&site.source) && probe.stderr().contains("sandbox: ");
        (up || !probe.is_running()).then_some(up)
    });
    if !complete {
        println!("skipped: {}", probe.stderr().trim());
    }
    complete
}

/// What `/proc` says of each thread.
fn threads(pid: u32, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let line = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap().trim().to_owned()
    };
    status.map(line).collect()
}

#[test]
fn every_thread_of_both_ends_is_inside() {
    if !complete() {
        return;
    }
    let ours = testbed::ours!();
    for transport in [Transport::V4, Transport::V6, Transport::Unix] {
        let plan = Plan::new(&ours, &ours).over(transport);
        let plan = plan.client_args(&["--sandbox=require"]);
        let mut tunnel = plan.server_args(&["--sandbox=require"]).start();
        let (mut client, mut target) = tunnel.open();
        client.tx.send(&mut Pattern::new(1), 100_000);
        target.rx.expect(&mut Pattern::new(1), 100_000);
        for program in [tunnel.client().pid(), tunnel.server().pid()] {
            // The main thread, the log's, and at least one worker.
            let filtered = threads(program, "Seccomp:");
            assert!(filtered.len() >= 3, "{filtered:?}");
            assert!(filtered.iter().all(|mode| mode == "2"), "{filtered:?}");
            let fixed = threads(program, "NoNewPrivs:");
            assert!(fixed.iter().all(|set| set == "1"), "{fixed:?}");
        }
    }
}

#[test]
fn spipe_is_inside_and_silent() {
    if !complete() {
        return;
    }
    let ours = testbed::ours!();
    let tunnel = Plan::new(&ours, &ours).with_spipe().start();
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 100_000);
    target.rx.expect(&mut Pattern::new(1), 100_000);
    let mut spipe = client.spipe.take().unwrap();
    // The main thread, and those of standard input and output, at least.
    let filtered = threads(spipe.pid(), "Seccomp:");
    assert!(filtered.len() >= 3, "{filtered:?}");
    assert!(filtered.iter().all(|mode| mode == "2"), "{filtered:?}");
    let fixed = threads(spipe.pid(), "NoNewPrivs:");
    assert!(fixed.iter().all(|set| set == "1"), "{fixed:?}");
    client.tx.finish();
    target.rx.expect_end();
    target.tx.finish();
    client.rx.expect_end();
    assert!(spipe.wait().success());
    assert_eq!(spipe.stderr(), "");
}

#[test]
fn one_line_says_what_is_in_force() {
    if !complete() {
        return;
    }
    let ours = testbed::ours!();
    let mut tunnel = Plan::new(&ours, &ours).start();
    let (_client, _target) = tunnel.open();
    let program = tunnel.client();
    until("the line", || {
        program.stderr().ends_with('\n').then_some(())
    });
    let stderr = program.stderr();
    assert!(stderr.starts_with(LINE), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn it_can_be_turned_off() {
    let ours = testbed::ours!();
    let plan = Plan::new(&ours, &ours).client_args(&["--sandbox=off"]);
    let mut tunnel = plan.start();
    let (_client, _target) = tunnel.open();
    let pid = tunnel.client().pid();
    assert!(threads(pid, "NoNewPrivs:").iter().all(|set| set == "0"));
    assert!(threads(pid, "Seccomp:").iter().all(|mode| mode == "0"));
    assert_eq!(tunnel.client().stderr(), "");
}

/// Of what is not dumpable, the kernel gives `/proc/PID` to root.
#[test]
fn it_cannot_be_dumped_or_traced_by_its_own_user() {
    testbed::need!("root", "setpriv");
    if !complete() {
        return;
    }
    let ours = testbed::ours!();
    for (mode, owner) in [("require", 0), ("off", NOBODY)] {
        let site = Site::new();
        for path in [site.dir.path(), &site.key] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let spiped = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(spiped.get_program()).args(spiped.get_args());
        command.arg(format!("--sandbox={mode}"));
        let program = Program::serving(&site.dir, "e", command, &site.source);
        // It listens before it is inside.
        until("the sandbox", || {
            let inside = program.stderr().contains("sandbox: ");
            (inside || mode == "off").then_some(())
        });
        assert_eq!(testbed::proc::ids(program.pid(), "Uid"), [NOBODY; 4]);
        let environment = fs::metadata(format!("/proc/{}/environ", program.pid())).unwrap();
        assert_eq!(environment.uid(), owner, "{mode}");
        let limits = fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
        let core = limits.lines().find(|line| line.contains("core file size"));
        let none = core.unwrap().split_whitespace().nth(5) == Some("0");
        assert!(none || mode == "off", "{limits}");
    }
}

/// A process that may lock no memory, standing for a system that lacks a part.
#[test]
fn a_gap_is_told_or_fails_the_start() {
    testbed::need!("root", "setpriv", "prlimit");
    if !complete() {
        return;
    }
    let ours = testbed::ours!();
    for (mode, starts) in [("on", true), ("require", false)] {
        let site = Site::new();
        let spiped = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"]);
        command.args(["prlimit", "--memlock=0:0"]);
        command.arg(spiped.get_program()).args(spiped.get_args());
        command.args(["-F", &format!("--sandbox={mode}")]);
        let mut program = Program::start(&site.dir, "e", command);
        if starts {
            program.listens_on(&site.source);
            until("the line", || {
                program.stderr().ends_with('\n').then_some(())
            });
            let stderr = program.stderr();
            assert!(stderr.contains("; without locked key ("), "{stderr}");
            assert!(stderr.contains("seccomp ("), "{stderr}");
        } else {
            assert_eq!(program.wait().code(), Some(1));
            let stderr = program.stderr();
            assert!(
                stderr.starts_with("spiped: cannot put up the whole sandbox: locked key: "),
                "{stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
}

/// The sandbox hides whether there is a terminal.
#[test]
fn a_terminal_that_is_gone_ends_a_daemon_in_its_foreground() {
    testbed::need!("setsid --wait");
    for sandbox in ["on", "off"] {
        let ours = testbed::ours!();
        let site = Site::new();
        let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let stdin = fs::File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&terminal).unwrap())
            .unwrap();
        // The daemon leads a session, which the terminal controls, as a shell's last command may.
        let mut command = Command::new("setsid");
        let daemon = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        command.arg("--ctty").arg(daemon.get_program());
        command.args(daemon.get_args());
        command.args(["-F", "--sandbox", sandbox]);
        let (stdin, stdout) = (stdin.into(), Stdio::null());
        let mut daemon = Program::with_stdio(&site.dir, "d", command, stdin, stdout);
        daemon.listens_on(&site.source);
        // Who has tried to serve somebody is surely prepared for signals.
        Duplex::connect(&site.source).rx.expect_nothing();
        drop(terminal);
        assert_eq!(
            daemon.wait().signal(),
            Some(Signal::SIGHUP as i32),
            "{sandbox}"
        );
    }
}

/// Without a terminal SIGHUP comes from somebody who wants a reload.
#[test]
fn a_daemon_in_the_foreground_without_a_terminal_reloads() {
    let ours = testbed::ours!();
    let site = Site::new();
    let command = ours.spiped(Mode::Decrypt, &site.source, &site.target, &site.key);
    let daemon = Program::serving(&site.dir, "d", command, &site.source);
    assert!(daemon.reload().contains("0 changed"));
}
