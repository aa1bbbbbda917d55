//! `spiped check`: what it finds beyond the file itself, and how it says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::symlink;

use testbed::{Program, Site};

/// Checks a file with two pipes that have these sources.
fn check(site: &Site, sources: [&str; 2]) -> (Option<i32>, String) {
    let [one, other] = sources;
    let file = site.dir.write(
        "pipes.toml",
        format!(
            "[defaults]\nmode = \"encrypt\"\nkey = \"key\"\ntarget = \"[127.0.0.1]:1\"\n\
             [pipe.one]\nsource = \"{one}\"\n[pipe.other]\nsource = \"{other}\"\n"
        ),
    );
    let mut command = testbed::ours!().bare_spiped();
    command.arg("check").arg(file);
    let (status, told) = Program::run(&site.dir, "check", command);
    (status.code(), told)
}

#[test]
fn sources_that_cannot_both_be_listened_at_are_mistakes() {
    let site = Site::new();
    let folder = site.dir.path().display().to_string();
    symlink(site.dir.path(), site.dir.join("link")).unwrap();
    for [one, other] in [
        ["[0.0.0.0]:7000", "[127.0.0.1]:7000"],
        ["[127.0.0.1]:7000", "[0.0.0.0]:7000"],
        ["[::]:7000", "[::1]:7000"],
        // A host name as far as the form goes, which the resolver takes for an address.
        ["127.0.0.1:7000", "[127.0.0.1]:7000"],
        ["127.0.0.1:7000", "[0.0.0.0]:7000"],
        ["[::ffff:127.0.0.1]:7000", "[127.0.0.1]:7000"],
        [&format!("{folder}/a"), &format!("{folder}/link/a")],
    ] {
        let (status, told) = check(&site, [one, other]);
        assert_eq!(status, Some(1), "{one} and {other}: {told}");
        let mistake = format!(
            "pipes.toml:7:7: {other} cannot be listened at beside {one}, the source of pipe.one\n"
        );
        assert!(told.ends_with(&mistake), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn sources_that_can_are_none() {
    let site = Site::new();
    for sources in [
        ["[127.0.0.1]:7000", "[127.0.0.2]:7000"],
        ["[0.0.0.0]:7000", "[0.0.0.0]:7001"],
        ["[127.0.0.1]:7000", "[::1]:7000"],
        ["[0.0.0.0]:0", "[127.0.0.1]:0"],
        ["name.invalid:7000", "[127.0.0.1]:7000"],
        ["/nonexistent/a", "/nonexistent/b"],
    ] {
        assert_eq!(
            check(&site, sources),
            (Some(0), String::new()),
            "{sources:?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_one_line_that_begins_with_the_program() {
    let site = Site::new();
    let mut command = testbed::ours!().bare_spiped();
    command.args(["check", "/nonexistent/pipes.toml"]);
    let (status, told) = Program::run(&site.dir, "check", command);
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        told,
        "spiped: cannot read /nonexistent/pipes.toml: no such file or directory\n"
    );
}
