//! The log of a whole process, from its first line to its last.

use std::process::ExitCode;
use std::time::Duration;

use spiped::log::{self, Class, Destination};

use crate::{Test, subject as command};

pub(crate) const TESTS: &[Test] = &[
    (
        "lines_reach_standard_error_before_and_after_the_start",
        lines_reach_standard_error,
    ),
    ("panics_are_lines", panics_are_lines),
];

/// The process under test.
pub(crate) fn subject(role: &str) -> ExitCode {
    if role == "log-panic" {
        return panicking();
    }
    log::set_program("spipe");
    log::warning_now("first");
    log::error(
        Class::Daemon,
        format_args!("before the start, and not\nforged"),
    );
    log::open(Destination::Stderr);
    log::warning(Class::Daemon, format_args!("opened"));
    log::start().unwrap();
    log::notice(Class::Daemon, format_args!("after the start"));
    assert!(log::finish(Duration::from_secs(30)));
    assert_eq!(log::lost(), 0);
    ExitCode::SUCCESS
}

fn panicking() -> ExitCode {
    log::set_json();
    log::take_panics();
    log::start().unwrap();
    let ended = std::thread::spawn(|| panic!("one\ntwo")).join();
    assert!(ended.is_err());
    assert!(log::finish(Duration::from_secs(30)));
    ExitCode::SUCCESS
}

fn panics_are_lines() {
    let mut command = command("log-panic", "");
    let output = command.env_remove("RUST_BACKTRACE").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let object: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(object["level"], "error", "{object}");
    assert_eq!(object["class"], "panic", "{object}");
    let message = object["message"].as_str().unwrap();
    assert!(
        message.starts_with("a bug in spiped: panicked at "),
        "{message}"
    );
    assert!(message.ends_with("one\ntwo"), "{message}");
}

fn lines_reach_standard_error() {
    let output = command("log", "").output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "spipe: first\nspipe: before the start, and not\\nforged\nspipe: opened\nspipe: after the start\n"
    );
}
