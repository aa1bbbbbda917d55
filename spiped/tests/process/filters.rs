//! Life under a filter of system calls that kills, as systemd's `SystemCallFilter=` does.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use spiped::os::syscall_filter::OptionalCall;
use testbed::{Echo, Listener, Program, Site, Transport, until};

use crate::{Test, subject as command};

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
fn kill_for(calls: impl IntoIterator<Item = impl Into<i64>>) {
    let rules: BTreeMap<_, _> = calls
        .into_iter()
        .map(|call| (call.into(), Vec::new()))
        .collect();
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
        kill_for(CALLS.map(|(.., number)| number));
        let mut spiped = Command::new(env!("CARGO_BIN_EXE_spiped"));
        panic!("{}", spiped.args(argument.split(' ')).exec());
    }
    for (name, _, number) in CALLS {
        if name == argument {
            kill_for([number]);
        }
    }
    for (name, call, _) in CALLS {
        if call.check().is_err() {
            println!("{name}");
        }
    }
    ExitCode::SUCCESS
}

fn skipped() -> bool {
    let skipped = TargetArch::try_from(std::env::consts::ARCH).is_err();
    if skipped {
        println!("skipped: no filter can be made for this processor");
    }
    skipped
}

fn filters_that_kill_are_found() {
    if skipped() {
        return;
    }
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
    if skipped() {
        return;
    }
    for sandbox in ["on", "off"] {
        let site = Site::new();
        let target = Echo::serve(Listener::bind(Transport::V4, &site.dir));
        let (source, target, key) = (&site.source, target.address(), site.key.display());
        let arguments = format!("-d -F --sandbox={sandbox} -s {source} -t {target} -k {key}");
        let daemon = command("filter-spiped", &arguments);
        let mut daemon = Program::serving(&site.dir, "d", daemon, source);
        if sandbox == "on" {
            let line = until("a line about the sandbox", || {
                let told = daemon.stderr();
                told.lines()
                    .find(|line| line.contains("sandbox: "))
                    .map(str::to_owned)
            });
            let (_, without) = line.split_once("; without ").unwrap();
            for measure in ["locked key", "landlock", "seccomp"] {
                assert!(without.contains(measure), "{line}");
            }
        }
        // The key exchange of version 1 runs on threads of lower priority.
        for protocol in ["2", "1"] {
            let mut probe = Command::new(env!("CARGO_BIN_EXE_spiped"));
            probe.args(["probe", "--protocol", protocol, "-k"]);
            probe.arg(&site.key).arg(source.to_string());
            let (status, told) = Program::run(&site.dir, "probe", probe);
            assert!(status.success(), "{told}");
        }
        daemon.terminate();
        let status = daemon.wait();
        assert!(status.success(), "{sandbox}: {status}");
    }
}
