//! Pipes whose target leads back to their own source: that is said, and comes to an end by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reloaded;

use std::fs;

use testbed::{
    ABSENCE, Address, Duplex, Maker, Mode, Program, Site, Transport, in_private_view, need, until,
};

/// Fewer than a loop would make in no time, and more than it takes to find it.
const FEW: usize = 20;

fn failed_lines(daemon: &Program) -> usize {
    let told = daemon.stderr();
    let lines = told.lines().filter(|line| line.contains("connection from"));
    lines.count()
}

/// A line comes that has this, if it is not there yet: the log has a thread of its own.
#[track_caller]
fn told(daemon: &Program, what: &str) {
    until(what, || daemon.stderr().contains(what).then_some(()));
}

/// Connects, and sees the connection end and nothing go on behind it.
#[track_caller]
fn ends(daemon: &Program, source: &Address) {
    let client = Duplex::connect(source);
    until("the loop's end", || {
        daemon
            .stderr()
            .contains("not connected to the target, which leads back")
            .then_some(())
    });
    assert!(client.rx.is_ready_within(testbed::PATIENCE));
    drop(client);
    // Neither the log nor the descriptors grow any more.
    until("rest", || {
        let before = failed_lines(daemon);
        std::thread::sleep(ABSENCE);
        (failed_lines(daemon) == before).then_some(())
    });
    assert!(failed_lines(daemon) < FEW, "{}", daemon.stderr());
}

fn start(maker: &Maker, site: &Site, source: &Address, target: &Address) -> Program {
    let mut command = maker.spiped(Mode::Encrypt, source, target, &site.key);
    // Nothing but what finds it may end it.
    command.args(["-n", "0", "-o", "60"]);
    Program::serving(&site.dir, "e", command, source)
}

#[test]
fn a_target_that_is_the_source_is_told_of_and_not_connected_to() {
    let ours = testbed::ours!();
    for transport in [Transport::V4, Transport::Unix] {
        let site = Site::new();
        let source = Address::free(transport, &site.dir, "loop");
        let daemon = start(&ours, &site, &source, &source);
        let warning = format!("leads back to {source}, the source of the same pipe");
        told(&daemon, &warning);
        ends(&daemon, &source);
    }
}

#[test]
fn a_listener_at_all_addresses_is_found_too() {
    let ours = testbed::ours!();
    let site = Site::new();
    let port = site.source.tcp().port();
    let everywhere = Address::Tcp(format!("0.0.0.0:{port}").parse().unwrap());
    let daemon = start(&ours, &site, &everywhere, &site.source);
    told(&daemon, "leads back to");
    ends(&daemon, &site.source);
}

#[test]
fn a_circle_of_pipes_is_found_too() {
    let ours = testbed::ours!();
    let site = Site::new();
    let [one, other] = [&site.source, &site.target];
    let file = site.dir.write(
        "pipes.toml",
        format!(
            "[defaults]\nmode = \"encrypt\"\nkey = \"key\"\ntimeout = 60\nmax-connections = 0\n\
             [pipe.one]\nsource = \"{one}\"\ntarget = \"{other}\"\n\
             [pipe.other]\nsource = \"{other}\"\ntarget = \"{one}\"\n"
        ),
    );
    let mut command = ours.bare_spiped();
    command.arg("--config").arg(file).arg("-F");
    let mut daemon = Program::start(&site.dir, "e", command);
    daemon.listens_on(one);
    daemon.listens_on(other);
    until("a warning for each", || {
        let told = daemon.stderr();
        let warnings = told.lines().filter(|line| line.contains("leads back to"));
        (warnings.count() == 2).then_some(())
    });
    ends(&daemon, one);
}

#[test]
fn a_name_that_comes_to_lead_to_the_source_is_found_too() {
    need!("root", "unshare --mount");
    let ours = testbed::ours!();
    let site = Site::new();
    let hosts = |address: &str| {
        fs::write(
            site.dir.join("hosts"),
            format!("127.0.0.1 localhost\n{address} moving\n"),
        )
        .unwrap();
    };
    hosts("127.0.0.2");
    let mut command = ours.bare_spiped();
    let port = site.source.tcp().port();
    command
        .args(["-e", "-F", "-n", "0", "-o", "60", "-r", "0.1", "-s"])
        .args([
            &site.source.to_string(),
            "-t",
            &format!("moving:{port}"),
            "-k",
        ])
        .arg(&site.key);
    let mut daemon = Program::start(&site.dir, "e", in_private_view(&site.dir, &command));
    daemon.listens_on(&site.source);
    assert!(
        !daemon.stderr().contains("leads back"),
        "{}",
        daemon.stderr()
    );
    hosts("127.0.0.1");
    until("the new address", || {
        let _ = Duplex::connect(&site.source);
        daemon.stderr().contains("which leads back").then_some(())
    });
    let before = failed_lines(&daemon);
    std::thread::sleep(ABSENCE);
    assert!(failed_lines(&daemon) <= before + FEW, "{}", daemon.stderr());
}
