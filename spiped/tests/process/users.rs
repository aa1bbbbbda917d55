//! Becoming another user for good.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, ExitCode};

#[cfg(target_os = "linux")]
use nix::unistd::setgroups;
use nix::unistd::{Gid, Uid, geteuid, setgid, setuid};
use spiped::os::privileges::Identity;

use crate::{Test, subject as command};

pub(crate) const TESTS: &[Test] = &[
    (
        "user_and_group_change_for_good",
        user_and_group_change_for_good,
    ),
    (
        "user_that_is_not_root_may_not_change",
        user_that_is_not_root_may_not_change,
    ),
    (
        "user_that_it_is_already_needs_no_root",
        user_that_it_is_already_needs_no_root,
    ),
    (
        "privileges_that_can_be_regained_are_an_error",
        privileges_that_can_be_regained_are_an_error,
    ),
];

/// The process under test: becomes `identity`, and shows who it is.
pub(crate) fn subject(role: &str, identity: &str) -> ExitCode {
    // These tests are skipped elsewhere, and nix has no such call for macOS.
    #[cfg(target_os = "linux")]
    setgroups(&[4, 20, 1000].map(Gid::from_raw)).unwrap();
    if role.starts_with("user-powerless") {
        if role == "user-powerless-alone" {
            #[cfg(target_os = "linux")]
            setgroups(&[]).unwrap();
        }
        setgid(Gid::from_raw(4_000_000_000)).unwrap();
        setuid(Uid::from_raw(4_000_000_000)).unwrap();
    }
    match Identity::parse(identity).unwrap().assume() {
        Ok(groups) => {
            println!("groups left: {}", groups.are_left());
            println!("{}", fs::read_to_string("/proc/self/status").unwrap());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn skipped() -> bool {
    let skipped = !cfg!(target_os = "linux") || !geteuid().is_root();
    if skipped {
        println!("skipped: needs Linux and root");
    }
    skipped
}

fn user_and_group_change_for_good() {
    if skipped() {
        return;
    }
    for (identity, uid, gid) in [
        ("nobody", 65534, 65534),
        ("nobody:daemon", 65534, 1),
        (":daemon", 0, 1),
        ("4000000001:4000000000", 4_000_000_001, 4_000_000_000_u32),
        ("4000000001", 4_000_000_001_u32, 0),
    ] {
        let output = command("user", identity).output().unwrap();
        assert!(output.status.success(), "{identity}: {output:?}");
        let status = String::from_utf8(output.stdout).unwrap();
        let status: HashMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .collect();
        let ids = |name| -> Vec<u32> {
            status[name]
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect()
        };
        // Real, effective, saved and file system id.
        assert_eq!(ids("Uid"), [uid; 4], "{identity}");
        assert_eq!(ids("Gid"), [gid; 4], "{identity}");
        assert_eq!(ids("Groups"), [0; 0], "{identity}");
    }
}

fn user_that_is_not_root_may_not_change() {
    if skipped() {
        return;
    }
    let output = command("user-powerless", "root").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "cannot give up supplementary groups: operation not permitted\n"
    );
}

/// As a service manager or a container has started it.
fn user_that_it_is_already_needs_no_root() {
    if skipped() {
        return;
    }
    let it = "4000000000";
    for (role, left) in [("user-powerless", true), ("user-powerless-alone", false)] {
        for identity in [it.to_owned(), format!(":{it}"), format!("{it}:{it}")] {
            let output = command(role, &identity).output().unwrap();
            assert!(output.status.success(), "{role} {identity}: {output:?}");
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(
                told.contains(&format!("groups left: {left}\n")),
                "{role} {identity}"
            );
        }
        for identity in ["root", "4000000001", ":root", "4000000000:root"] {
            let output = command(role, identity).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{role} {identity}");
        }
    }
}

fn privileges_that_can_be_regained_are_an_error() {
    if skipped() {
        return;
    }
    // With this bit set, a process keeps its capabilities when it gives up root.
    let inner = command("user", "nobody");
    let mut outer = Command::new("setpriv");
    outer.args(["--securebits", "+no_setuid_fixup", "--"]);
    let output = outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "dropped privileges, but they can be regained\n"
    );
}
