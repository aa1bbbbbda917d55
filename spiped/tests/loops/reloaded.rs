//! Whether a pipe leads back to itself depends on other pipes too, so each reload finds out again, also for
//! pipes that stay as they are.

use std::process::Command;

use testbed::{Address, Duplex, Listener, Program, Site, TempDir, Transport, until};

use super::{ends, told};

/// A pipe from the source `source` to `target`.
fn pipe(name: &str, source: &Address, target: &Address) -> String {
    format!("[pipe.{name}]\nsource = \"{source}\"\ntarget = \"{target}\"\n")
}

fn describe(site: &Site, pipes: &[String]) {
    let text = format!(
        "[defaults]\nmode = \"encrypt\"\nkey = \"key\"\ntimeout = 60\nmax-connections = 0\n{}",
        pipes.concat()
    );
    site.dir.write("pipes.toml", text);
}

fn command(site: &Site) -> Command {
    let mut command = testbed::ours!().bare_spiped();
    let file = site.dir.join("pipes.toml");
    command.arg("-F").arg("--config").arg(file);
    command
}

/// Starts a daemon with these pipes, and waits until there is a socket at `source`.
fn start(site: &Site, pipes: &[String], source: &Address) -> Program {
    describe(site, pipes);
    let mut daemon = Program::start(&site.dir, "e", command(site));
    daemon.listens_on(source);
    daemon
}

fn unix(dir: &TempDir, name: &str) -> Address {
    Address::Unix(dir.join(name))
}

#[test]
fn a_circle_that_is_opened_lets_connections_of_the_pipe_that_stays_through() {
    let site = Site::new();
    let [a, b] = ["a", "b"].map(|name| unix(&site.dir, name));
    let target = Listener::bind(Transport::V4, &site.dir);
    let daemon = start(&site, &[pipe("a", &a, &b), pipe("b", &b, &a)], &a);
    told(&daemon, "leads back to");
    describe(&site, &[pipe("a", &a, &b), pipe("b", &b, target.address())]);
    let told = daemon.reload();
    assert!(told.contains("0 added, 1 changed, 0 removed"), "{told}");
    let _client = Duplex::connect(&a);
    target.accept();
}

#[test]
fn a_circle_that_a_new_pipe_closes_ends_connections_of_the_pipe_that_stays() {
    for transport in [Transport::Unix, Transport::V4] {
        let site = Site::new();
        let a = unix(&site.dir, "a");
        let b = Address::free(transport, &site.dir, "b");
        let daemon = start(&site, &[pipe("a", &a, &b)], &a);
        describe(&site, &[pipe("a", &a, &b), pipe("b", &b, &a)]);
        let told = daemon.reload();
        assert_eq!(told.matches("leads back to").count(), 2, "{told}");
        assert!(told.contains("1 added, 0 changed, 0 removed"), "{told}");
        ends(&daemon, &a);
    }
}

/// The sandbox hides what the system makes of `[::]`.
#[test]
fn a_circle_by_way_of_a_listener_for_ipv6_and_ipv4_is_found() {
    let site = Site::new();
    let a = unix(&site.dir, "a");
    let at = site.source.tcp();
    let everywhere = Address::Tcp(format!("[::]:{}", at.port()).parse().unwrap());
    let to = Address::Tcp(at);
    let daemon = start(&site, &[pipe("a", &a, &to)], &a);
    describe(&site, &[pipe("a", &a, &to), pipe("b", &everywhere, &a)]);
    let told = daemon.reload();
    assert_eq!(told.matches("leads back to").count(), 2, "{told}");
    ends(&daemon, &a);
}

/// The sandbox hides which addresses the machine has.
#[test]
fn a_circle_by_way_of_an_address_of_the_machine_is_found() {
    testbed::need!("root", "unshare --net", "ip");
    for (ip, everywhere) in [("10.77.0.1", "0.0.0.0"), ("[fd77::1]", "[::]")] {
        let site = Site::new();
        let a = unix(&site.dir, "a");
        let [to, everywhere] =
            [ip, everywhere].map(|ip| Address::Tcp(format!("{ip}:7000").parse().unwrap()));
        describe(&site, &[pipe("a", &a, &to)]);
        let inside = command(&site);
        let mut outside = Command::new("unshare");
        outside.args(["--net", "sh", "-c"]).arg(
            "ip link set lo up && ip address add 10.77.0.1 dev lo && \
             ip address add fd77::1 dev lo nodad && exec \"$0\" \"$@\"",
        );
        outside.arg(inside.get_program()).args(inside.get_args());
        let daemon = Program::start(&site.dir, "e", outside);
        until("a daemon that is up", || {
            daemon.stderr().contains("sandbox: ").then_some(())
        });
        // An address that nobody has is none of the machine.
        let nobodys = Address::Tcp("192.0.2.1:7000".parse().unwrap());
        describe(
            &site,
            &[pipe("a", &a, &nobodys), pipe("b", &everywhere, &a)],
        );
        let told = daemon.reload();
        assert!(!told.contains("leads back to"), "{told}");
        describe(&site, &[pipe("a", &a, &to), pipe("b", &everywhere, &a)]);
        let told = daemon.reload();
        assert_eq!(told.matches("leads back to").count(), 2, "{told}");
        ends(&daemon, &a);
    }
}
