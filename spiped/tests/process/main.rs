//! What one process with one thread does to itself: fork, change its user, meet its limits.
//!
//! The usual test harness runs tests in threads, which such a process must not have. So this
//! program is its own harness, and each test runs the program again as the process under test: its
//! first argument is then [`SUBJECT`], its second a role. The harness takes the arguments that
//! `cargo test` and nextest give.

// A test that cannot go on fails, in these processes too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
#[cfg(target_os = "linux")]
mod filters;
mod keygen;
mod logging;
#[cfg(target_os = "linux")]
mod sandbox;
mod users;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const SUBJECT: &str = "--subject";

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [subject, role, rest @ ..] = &arguments[..]
        && subject == SUBJECT
    {
        let argument = rest.first().map_or("", String::as_str);
        return match role.split_once('-').map_or(role.as_str(), |(area, _)| area) {
            "daemon" => daemon::subject(role, argument),
            #[cfg(target_os = "linux")]
            "filter" => filters::subject(role, argument),
            "keygen" => keygen::subject(argument),
            "log" => logging::subject(role),
            "user" => users::subject(role, argument),
            #[cfg(target_os = "linux")]
            "sandbox" => sandbox::subject(role, argument),
            _ => panic!("no such role: {role}"),
        };
    }
    harness(&arguments)
}

/// The process under test, in a role that begins with the name of its area.
fn subject(role: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([SUBJECT, role, argument]);
    command
}

/// A directory that is removed when dropped.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn temporary() -> Dir {
    let path = std::env::temp_dir().join(format!(
        "spiped-process.{}.{:x}",
        std::process::id(),
        getrandom::u64().unwrap()
    ));
    fs::create_dir(&path).unwrap();
    Dir(path)
}

fn harness(arguments: &[String]) -> ExitCode {
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter = arguments
        .iter()
        .find(|argument| !argument.starts_with('-') && *argument != "terse");
    let tests = [
        daemon::TESTS,
        #[cfg(target_os = "linux")]
        filters::TESTS,
        keygen::TESTS,
        logging::TESTS,
        users::TESTS,
        #[cfg(target_os = "linux")]
        sandbox::TESTS,
    ]
    .concat();
    let selected = tests.iter().filter(|(name, _)| match filter {
        Some(filter) if given("--exact") => name == filter,
        Some(filter) => name.contains(filter.as_str()),
        None => true,
    });
    if given("--list") {
        if !given("--ignored") {
            selected.for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in selected {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
