//! How the daemon comes up: the parent, the pidfile, the errors, the user it
//! becomes, and where it writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use testbed::{
    Address, Client, Daemonized, Duplex, Listener, Maker, Mode, Pattern, Plan, Program, Site,
    Transport, in_private_view, proc,
};

testbed::for_both![
    the_parent_returns_when_the_daemon_serves,
    the_pidfile_has_the_name_of_the_source,
    the_pidfile_can_be_named,
    the_daemon_leads_its_session,
    no_pidfile_in_the_foreground,
    a_failed_start_exits_with_1_and_says_why,
    a_pidfile_that_cannot_be_written_fails_the_start,
    the_key_can_come_from_standard_input,
    spipe_with_the_key_from_standard_input_has_nothing_to_send,
    a_unix_socket_with_a_listener_is_refused,
    a_file_in_the_place_of_a_unix_socket_is_left_alone,
    the_user_and_groups_are_changed,
    syslog_takes_the_warnings,
];

fn the_parent_returns_when_the_daemon_serves(maker: &Maker) {
    let site = Site::new();
    let listener = Listener::bind(Transport::V4, &site.dir);
    let middle = Address::free_v4();
    let d = maker.spiped(Mode::Decrypt, &middle, listener.address(), &site.key);
    let e = maker.spiped(Mode::Encrypt, &site.source, &middle, &site.key);
    let _d = Daemonized::start(&site.dir, "d", d, &pidfile(&site, &middle));
    let _e = Daemonized::start(&site.dir, "e", e, &pidfile(&site, &site.source));
    // The first attempt must succeed.
    let mut client = Duplex::connect(&site.source);
    client.tx.send(&mut Pattern::new(1), 10_000);
    listener.accept().rx.expect(&mut Pattern::new(1), 10_000);
}

fn the_pidfile_has_the_name_of_the_source(maker: &Maker) {
    let site = Site::new();
    for source in [
        site.source.clone(),
        Address::free(Transport::V6, &site.dir, ""),
        Address::Unix(site.dir.join("socket")),
    ] {
        let command = maker.spiped(Mode::Encrypt, &source, &site.target, &site.key);
        Daemonized::start(&site.dir, "e", command, &pidfile(&site, &source));
    }
}

fn the_pidfile_can_be_named(maker: &Maker) {
    let site = Site::new();
    let mut command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.args(["-p", "named"]);
    Daemonized::start(&site.dir, "e", command, &site.dir.join("named"));
    assert!(!pidfile(&site, &site.source).exists());
}

fn the_daemon_leads_its_session(maker: &Maker) {
    let site = Site::new();
    let command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    let daemon = Daemonized::start(&site.dir, "e", command, &pidfile(&site, &site.source));
    assert_eq!(proc::session(daemon.pid()), daemon.pid());
}

fn no_pidfile_in_the_foreground(maker: &Maker) {
    let site = Site::new();
    let command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    let _program = Program::serving(&site.dir, "e", command, &site.source);
    assert!(!pidfile(&site, &site.source).exists());
}

/// Command lines that cannot work, as (source, target, key, more), with what
/// of each must be named in the reason.
fn failing_starts(site: &Site) -> Vec<([String; 4], String)> {
    let (source, target) = (site.source.to_string(), site.target.to_string());
    let key = site.key.display().to_string();
    let lost = site.dir.join("lost");
    let unbindable = Address::Unix(lost.join("socket")).to_string();
    let lost = lost.display().to_string();
    let start = |s: &str, t: &str, k: &str, u: &str, named: &str| {
        ([s, t, k, u].map(str::to_owned), named.to_owned())
    };
    vec![
        start("127.0.0.1", &target, &key, "", "127.0.0.1"),
        start("[127.0.0.1]:no", &target, &key, "", "no"),
        start("[127.0.0.300]:80", &target, &key, "", "127.0.0.300"),
        start(&source, "[::1", &key, "", "::1"),
        start(&source, &target, &lost, "", "lost"),
        start(&unbindable, &target, &key, "", "socket"),
        start(
            &source,
            &target,
            &key,
            "nobody-by-this-name",
            "nobody-by-this-name",
        ),
    ]
}

fn start_of(maker: &Maker, [source, target, key, user]: &[String; 4]) -> std::process::Command {
    let mut command = maker.bare_spiped();
    command.args(["-d", "-s", source, "-t", target, "-k", key]);
    if !user.is_empty() {
        command.args(["-u", user]);
    }
    command
}

fn a_failed_start_exits_with_1_and_says_why(maker: &Maker) {
    let site = Site::new();
    for (words, named) in failing_starts(&site) {
        let mut command = start_of(maker, &words);
        command.arg("-F");
        let (status, stderr) = Program::run(&site.dir, "failing", command);
        assert_eq!(status.code(), Some(1), "{words:?}: {stderr}");
        assert!(stderr.contains(&named), "{words:?}: {stderr}");
    }
    let _other = Listener::bind_tcp(&site.source.tcp().to_string());
    for more in [None, Some("-F")] {
        let mut command = maker.spiped(Mode::Decrypt, &site.source, &site.target, &site.key);
        command.args(more);
        let (status, stderr) = Program::run(&site.dir, "failing", command);
        assert_eq!(status.code(), Some(1), "port in use: {stderr}");
        assert!(stderr.contains("in use"), "{stderr}");
    }
}

fn a_pidfile_that_cannot_be_written_fails_the_start(maker: &Maker) {
    let site = Site::new();
    let mut command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.args(["-p", "lost/pidfile"]);
    let (status, stderr) = Program::run(&site.dir, "e", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("lost/pidfile"), "{stderr}");
    assert!(!proc::is_listening(&site.source));
}

fn the_key_can_come_from_standard_input(maker: &Maker) {
    let site = Site::new();
    let listener = Listener::bind(Transport::V4, &site.dir);
    let middle = Address::free_v4();
    let d = maker.spiped(Mode::Decrypt, &middle, listener.address(), &site.key);
    let _d = Daemonized::start(&site.dir, "d", d, &pidfile(&site, &middle));

    let dash = "-".as_ref();
    let e = maker.spiped(Mode::Encrypt, &site.source, &middle, dash);
    let mut parent = Program::with_stdio(&site.dir, "e", e, Stdio::piped(), Stdio::null());
    let key = fs::read(&site.key).unwrap();
    let mut stdin = parent.child().stdin.take().unwrap();
    stdin.write_all(&key).unwrap();
    drop(stdin);
    assert!(parent.wait().success(), "{}", parent.stderr());
    let _e = Daemonized::from_pidfile(&pidfile(&site, &site.source));

    let mut client = Duplex::connect(&site.source);
    client.tx.send(&mut Pattern::new(1), 100);
    listener.accept().rx.expect(&mut Pattern::new(1), 100);
}

fn spipe_with_the_key_from_standard_input_has_nothing_to_send(maker: &Maker) {
    let site = Site::new();
    let listener = Listener::bind(Transport::V4, &site.dir);
    let d = maker.spiped(Mode::Decrypt, &site.source, listener.address(), &site.key);
    let _d = Daemonized::start(&site.dir, "d", d, &pidfile(&site, &site.source));

    let spipe = maker.spipe(&site.source, "-".as_ref());
    let mut spipe = Program::with_stdio(&site.dir, "spipe", spipe, Stdio::piped(), Stdio::piped());
    let key = fs::read(&site.key).unwrap();
    let mut stdin = spipe.child().stdin.take().unwrap();
    stdin.write_all(&key).unwrap();
    drop(stdin);
    let mut target = listener.accept();
    target.rx.expect_end();
    target.tx.write_all(b"answer").unwrap();
    target.tx.finish();
    let mut answer = Vec::new();
    let mut stdout = spipe.child().stdout.take().unwrap();
    stdout.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
    Client::expect_success(Some(spipe));
}

fn a_unix_socket_with_a_listener_is_refused(maker: &Maker) {
    let site = Site::new();
    let listener = Listener::bind(Transport::Unix, &site.dir);
    let mut command = maker.spiped(Mode::Decrypt, listener.address(), &site.target, &site.key);
    command.arg("-F");
    let (status, stderr) = Program::run(&site.dir, "second", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    let _client = Duplex::connect(listener.address());
    listener.accept();
}

fn a_file_in_the_place_of_a_unix_socket_is_left_alone(maker: &Maker) {
    let site = Site::new();
    let path = site.dir.write("socket", "precious");
    let source = Address::Unix(path.clone());
    let mut command = maker.spiped(Mode::Decrypt, &source, &site.target, &site.key);
    command.arg("-F");
    let (status, stderr) = Program::run(&site.dir, "d", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(fs::read(path).unwrap(), b"precious");
}

fn the_user_and_groups_are_changed(maker: &Maker) {
    testbed::need!("root");
    let nobody = id("/etc/passwd", "nobody", 2);
    let daemon = id("/etc/group", "daemon", 2);
    assert_eq!(user_and_group_after(maker, "nobody").0, nobody);
    assert_eq!(user_and_group_after(maker, ":daemon"), (0, daemon));
    assert_eq!(
        user_and_group_after(maker, "nobody:daemon"),
        (nobody, daemon)
    );
}

/// What a daemon with `-u` is, once it has passed something on. All its user
/// ids are the same then, and so are its groups.
fn user_and_group_after(maker: &Maker, change: &str) -> (u32, u32) {
    let mut tunnel = Plan::new(maker, maker).server_args(&["-u", change]).start();
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 100);
    target.rx.expect(&mut Pattern::new(1), 100);
    let pid = tunnel.server().pid();
    let (uid, gid) = (proc::ids(pid, "Uid")[0], proc::ids(pid, "Gid")[0]);
    assert_eq!(proc::ids(pid, "Uid"), [uid; 4], "{change}");
    assert_eq!(proc::ids(pid, "Gid"), [gid; 4], "{change}");
    let groups = proc::ids(pid, "Groups");
    assert!(groups.iter().all(|&g| g == gid), "{change}: {groups:?}");
    (uid, gid)
}

/// A number out of a line of `/etc/passwd` or `/etc/group`.
fn id(file: &str, name: &str, field: usize) -> u32 {
    let table = fs::read_to_string(file).unwrap();
    let mut lines = table.lines().map(|l| l.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields[0] == name).unwrap();
    line[field].parse().unwrap()
}

fn syslog_takes_the_warnings(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    warns_to_syslog(maker, &[]);
}

fn warns_to_syslog(maker: &Maker, args: &[&str]) {
    let site = Site::new();
    let log = syslog(&site);
    let listener = Listener::bind(Transport::V4, &site.dir);
    let mut command = maker.spiped(Mode::Encrypt, &site.source, listener.address(), &site.key);
    command.args(["--syslog", "-n", "1"]).args(args);
    let mut program = Program::start(&site.dir, "e", in_private_view(&site.dir, &command));
    let _daemon = if args.contains(&"-F") {
        program.listens_on(&site.source);
        None
    } else {
        assert!(program.wait().success(), "{}", program.stderr());
        Some(Daemonized::from_pidfile(&pidfile(&site, &site.source)))
    };
    // One more than the limit is worth a warning.
    let _clients = [0; 2].map(|_| Duplex::connect(&site.source));
    expect_in(&log, "onnection");
    assert_eq!(program.stderr(), "");
}

/// The syslog daemon of a private view.
fn syslog(site: &Site) -> UnixDatagram {
    fs::create_dir(site.dir.join("dev")).unwrap();
    let log = UnixDatagram::bind(site.dir.join("dev/log")).unwrap();
    log.set_read_timeout(Some(testbed::PATIENCE)).unwrap();
    log
}

/// Waits for a line with these words, behind others.
fn expect_in(log: &UnixDatagram, words: &str) {
    let mut line = [0; 1000];
    loop {
        let length = log.recv(&mut line).unwrap();
        let line = String::from_utf8_lossy(&line[..length]);
        assert!(line.contains("spiped"), "{line}");
        if line.contains(words) {
            return;
        }
    }
}

fn pidfile(site: &Site, source: &Address) -> std::path::PathBuf {
    site.dir.join(&format!("{source}.pid"))
}

mod ours_only {
    use super::*;

    /// C says it in two lines, and its parent has gone with success before it
    /// looks for the user.
    #[test]
    fn a_failed_start_is_one_line_and_leaves_nothing_behind() {
        let ours = testbed::ours!();
        let site = Site::new();
        for (words, named) in failing_starts(&site) {
            let (status, stderr) = Program::run(&site.dir, "failing", start_of(&ours, &words));
            assert_eq!(status.code(), Some(1), "{words:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
            assert!(stderr.contains(&named), "{words:?}: {stderr}");
            assert!(!pidfile(&site, &site.source).exists(), "{words:?}");
            assert!(!proc::is_listening(&site.source), "{words:?}");
        }
    }

    /// C stays in the group of whoever started it.
    #[test]
    fn a_user_without_a_group_gets_its_own() {
        testbed::need!("root");
        let (_, group) = user_and_group_after(&testbed::ours!(), "nobody");
        assert_eq!(group, id("/etc/passwd", "nobody", 3));
    }

    #[test]
    fn a_unix_socket_without_a_listener_is_replaced() {
        let ours = testbed::ours!();
        let site = Site::new();
        let source = Address::Unix(site.dir.join("socket"));
        for _ in 0..2 {
            let command = ours.spiped(Mode::Encrypt, &source, &site.target, &site.key);
            let program = Program::serving(&site.dir, "e", command, &source);
            let _client = Duplex::connect(&source);
            // Killed, so that it leaves its socket behind.
            drop(program);
            assert!(site.dir.join("socket").exists());
        }
    }

    #[test]
    fn syslog_takes_the_error_that_ends_a_daemon() {
        testbed::need!("root", "unshare --mount");
        for background in [&["-D"][..], &["-D", "-F"]] {
            let site = Site::new();
            let log = syslog(&site);
            let taken = Listener::bind(Transport::V4, &site.dir);
            let ours = testbed::ours!();
            let mut command = ours.bare_spiped();
            command.args(["-d", "--syslog", "-s", &taken.address().to_string(), "-t"]);
            command
                .arg(site.target.to_string())
                .arg("-k")
                .arg(&site.key);
            command.args(background);
            let command = in_private_view(&site.dir, &command);
            let (_, stderr) = Program::run(&site.dir, "d", command);
            expect_in(&log, "address already in use");
            assert!(stderr.contains("address already in use"), "{stderr}");
        }
    }

    #[test]
    fn syslog_takes_the_warnings_of_a_daemon_in_the_foreground() {
        testbed::need!("root", "unshare --mount");
        warns_to_syslog(&testbed::ours!(), &["-F"]);
    }
}
