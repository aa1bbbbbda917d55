//! Starts where something is missing that every machine has: each works, or says in one line what it
//! lacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Command, ExitStatus};

use testbed::{Maker, Mode, Program, Site, need, proc, until};

/// The same command, run by a script that has it in `"$@"`.
fn by_script(script: &str, command: &Command) -> Command {
    wrapped(&["sh", "-ec", script, "sh"], command)
}

/// The same, in mounts of its own.
fn by_mounting(script: &str, command: &Command) -> Command {
    let words = ["unshare", "--mount", "--", "sh", "-ec", script, "sh"];
    wrapped(&words, command)
}

fn wrapped(words: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer
        .args(&words[1..])
        .arg(command.get_program())
        .args(command.get_args());
    outer
}

/// `spiped -e` at a site, with more options.
fn spiped(maker: &Maker, site: &Site, more: &[&str]) -> Command {
    let mut command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.args(more);
    command
}

#[track_caller]
fn one_line((status, told): (ExitStatus, String)) -> String {
    assert_eq!(status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(!told.contains("(os error"), "{told}");
    told
}

fn serving(site: &Site, command: Command) -> Program {
    let mut daemon = Program::start(&site.dir, "e", command);
    daemon.listens_on(&site.source);
    daemon
}

const WITHOUT_ETC: &str = "mount --bind etc /etc; exec \"$@\"";

#[test]
fn numbers_need_no_user_database() {
    need!("root", "unshare --mount");
    let ours = testbed::ours!();
    for (user, uid, gid) in [
        ("12345:12346", 12345, 12346),
        (":12346", 0, 12346),
        ("12345", 12345, 0),
    ] {
        let site = Site::new();
        fs::create_dir(site.dir.join("etc")).unwrap();
        let command = spiped(&ours, &site, &["-F", "-u", user]);
        let command = by_mounting(WITHOUT_ETC, &command);
        let daemon = serving(&site, command);
        // It listens before it changes.
        until(user, || {
            let ids = ["Uid", "Gid"].map(|which| proc::ids(daemon.pid(), which));
            (ids == [[uid; 4], [gid; 4]]).then_some(())
        });
    }
}

#[test]
fn a_name_without_a_user_database_is_refused() {
    need!("root", "unshare --mount");
    let ours = testbed::ours!();
    let site = Site::new();
    fs::create_dir(site.dir.join("etc")).unwrap();
    for (user, what) in [
        ("daemon", "user \"daemon\""),
        (":daemon", "group \"daemon\""),
        ("12345:daemon", "group \"daemon\""),
    ] {
        let command = by_mounting(WITHOUT_ETC, &spiped(&ours, &site, &["-u", user]));
        assert_eq!(
            one_line(Program::run(&site.dir, "failing", command)),
            format!(
                "spiped: cannot look up {what}: no such file or directory; numbers (-u UID:GID) need \
                 no look-up\n"
            )
        );
    }
}

#[test]
fn a_failed_start_is_one_line_where_the_end_of_children_is_ignored() {
    let ours = testbed::ours!();
    let site = Site::new();
    let command = spiped(&ours, &site, &["-p", "/nonexistent/pid"]);
    let command = by_script("trap '' CHLD; exec \"$@\"", &command);
    let told = one_line(Program::run(&site.dir, "failing", command));
    assert!(told.contains("/nonexistent/pid"), "{told}");
}

#[test]
fn a_machine_without_dev_null_is_named() {
    need!("root", "unshare --mount");
    let ours = testbed::ours!();
    let site = Site::new();
    fs::create_dir(site.dir.join("dev")).unwrap();
    let command = by_mounting(
        "mount --bind dev /dev; exec \"$@\"",
        &spiped(&ours, &site, &[]),
    );
    assert_eq!(
        one_line(Program::run(&site.dir, "failing", command)),
        "spiped: cannot open /dev/null, which standard streams lead to in the background (-F stays in \
         the foreground): no such file or directory\n"
    );
}

#[test]
fn a_machine_without_a_thread_to_spare_is_named() {
    need!("root", "prlimit");
    let ours = testbed::ours!();
    let site = Site::new();
    // A user of its own, whose processes are these alone, and who can read the key again.
    for path in [site.dir.path(), &site.key] {
        chown(path, Some(3_141_592), Some(3_141_592)).unwrap();
    }
    for (more, what) in [
        (
            &["-F", "-u", "3141592:3141592"][..],
            "start the thread that writes the log",
        ),
        (
            &["-u", "3141592:3141592"],
            "start the thread that writes the log",
        ),
    ] {
        let command = wrapped(&["prlimit", "--nproc=1"], &spiped(&ours, &site, more));
        assert_eq!(
            one_line(Program::run(&site.dir, "failing", command)),
            format!(
                "spiped: cannot {what}: resource temporarily unavailable (no more processes or threads \
                 are allowed; raise ulimit -u, or TasksMax= of the unit)\n"
            )
        );
    }
}

#[test]
fn whatever_descriptor_is_missing_an_error_names_it() {
    need!("prlimit");
    let ours = testbed::ours!();
    let site = Site::new();
    let mut failed = 0;
    for limit in 4..24 {
        let limit = format!("--nofile={limit}");
        let nowhere = ours.spipe(&site.target, &site.key);
        let commands = [
            nowhere,
            spiped(&ours, &site, &["-p", "/nonexistent/pid"]),
            spiped(&ours, &site, &["-F", "--control", "/nonexistent/control"]),
        ];
        for command in commands {
            let command = wrapped(&["prlimit", &limit], &command);
            let run = Program::run(&site.dir, "failing", command);
            // The loader of programs needs some too.
            if run.0.code() == Some(127) {
                continue;
            }
            let told = one_line(run);
            failed += i32::from(told.contains("too many open files"));
            assert!(
                told.contains(": cannot ") || told.contains("/nonexistent"),
                "{told}"
            );
        }
    }
    assert!(failed > 0);
}
