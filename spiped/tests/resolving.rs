//! Names that cannot be resolved yet, or resolve to something else later. The
//! tests write the `/etc/hosts` that the daemon sees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use testbed::{
    ABSENCE, Daemonized, Duplex, Listener, Maker, Pattern, Program, Site, in_private_view, until,
    within,
};

testbed::for_both![
    an_unresolvable_name_fails_the_start,
    it_can_start_before_its_target_resolves,
    it_follows_a_target_that_moves,
    the_last_address_is_used_while_none_is_found,
];

const LOCALHOST: &str = "127.0.0.1 localhost\n";

fn an_unresolvable_name_fails_the_start(maker: &Maker) {
    let site = Site::new();
    let source = site.source.to_string();
    let mut command = maker.bare_spiped();
    command
        .args(["-d", "-s", &source, "-t", "moving.invalid:1", "-k"])
        .arg(&site.key);
    let (status, stderr) = Program::run(&site.dir, "d", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("moving.invalid"), "{stderr}");
}

#[test]
fn a_daemon_that_waits_for_a_name_ends_when_it_is_asked_to() {
    let ours = testbed::ours!();
    let site = Site::new();
    let source = site.source.to_string();
    let mut command = ours.bare_spiped();
    command
        .args([
            "-d",
            "-D",
            "-F",
            "-s",
            &source,
            "-t",
            "moving.invalid:1",
            "-k",
        ])
        .arg(&site.key);
    let mut daemon = Program::start(&site.dir, "d", command);
    until("a look-up that fails", || {
        daemon.stderr().contains("trying again").then_some(())
    });
    daemon.terminate();
    assert!(!daemon.wait().success());
}

/// An encrypting daemon whose target is `moving.invalid`, and whoever may be
/// found under this name: two listeners of the same port.
struct Moving {
    site: Site,
    first: Listener,
    second: Listener,
}

impl Moving {
    fn new() -> Self {
        let site = Site::new();
        let first = Listener::bind_tcp("127.0.0.2:0");
        let port = first.address().tcp().port();
        let second = Listener::bind_tcp(&format!("127.0.0.3:{port}"));
        Self {
            site,
            first,
            second,
        }
    }

    /// Overwrites in place, because the daemon sees this very file.
    fn resolves_to(&self, address: Option<&str>) {
        let line = address
            .map(|a| format!("{a} moving.invalid\n"))
            .unwrap_or_default();
        fs::write(self.site.dir.join("hosts"), format!("{LOCALHOST}{line}")).unwrap();
    }

    fn start(&self, maker: &Maker, args: &[&str]) -> Daemonized {
        let source = self.site.source.to_string();
        let target = format!("moving.invalid:{}", self.first.address().tcp().port());
        let mut command = maker.bare_spiped();
        command
            .args(["-e", "-s", &source, "-t", &target, "-k"])
            .arg(&self.site.key)
            .args(args);
        let command = in_private_view(&self.site.dir, &command);
        Daemonized::start(&self.site.dir, "e", command, &self.pidfile())
    }

    fn pidfile(&self) -> PathBuf {
        self.site.dir.join(&format!("{}.pid", self.site.source))
    }

    /// Whether a new connection leads to this listener.
    fn leads_to(&self, listener: &Listener) -> bool {
        let _client = Duplex::connect(&self.site.source);
        let mut taken = None;
        until("a connection to the target", || {
            taken = [&self.first, &self.second]
                .into_iter()
                .find(|l| l.accept_within(Duration::ZERO).is_some());
            taken.map(|_| ())
        });
        taken.is_some_and(|l| l.address() == listener.address())
    }
}

fn it_can_start_before_its_target_resolves(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    moving.resolves_to(None);
    let _daemon = moving.start(maker, &["-D"]);
    moving.resolves_to(Some("127.0.0.2"));
    // Until then it may refuse connections, drop them or let them wait.
    until("a stream to the target", || {
        let connected = TcpStream::connect(moving.site.source.tcp());
        let target = moving.first.accept_within(ABSENCE);
        connected.is_ok().then_some(target?)
    });
    let mut client = Duplex::connect(&moving.site.source);
    client.tx.send(&mut Pattern::new(1), 1);
    moving.first.accept();
}

fn it_follows_a_target_that_moves(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    moving.resolves_to(Some("127.0.0.2"));
    let _daemon = moving.start(maker, &["-r", "1"]);
    assert!(moving.leads_to(&moving.first));
    moving.resolves_to(Some("127.0.0.3"));
    until("the new address in use", || {
        moving.leads_to(&moving.second).then_some(())
    });
}

fn the_last_address_is_used_while_none_is_found(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::new();
    moving.resolves_to(Some("127.0.0.2"));
    let _daemon = moving.start(maker, &["-r", "1"]);
    moving.resolves_to(Some("127.0.0.3"));
    until("the new address in use", || {
        moving.leads_to(&moving.second).then_some(())
    });
    moving.resolves_to(None);
    // Two seconds in which it must have looked, and found nothing.
    let lost = within(Duration::from_secs(2), || {
        (!moving.leads_to(&moving.second)).then_some(())
    });
    assert!(lost.is_none());
}

mod ours_only {
    use super::*;

    /// As editors and DHCP clients do it; the sandbox must not hold on to the old file.
    #[test]
    fn a_hosts_file_that_is_replaced_is_followed() {
        testbed::need!("root", "unshare --mount");
        let ours = testbed::ours!();
        let moving = Moving::new();
        let etc = moving.site.dir.join("etc");
        let replace = |address: &str| {
            let new = etc.join("hosts.new");
            fs::write(&new, format!("{LOCALHOST}{address} moving.invalid\n")).unwrap();
            fs::rename(new, etc.join("hosts")).unwrap();
        };
        let copied = std::process::Command::new("cp")
            .args(["-a", "/etc"])
            .arg(&etc)
            .status();
        assert!(copied.unwrap().success());
        replace("127.0.0.2");

        let source = moving.site.source.to_string();
        let target = format!("moving.invalid:{}", moving.first.address().tcp().port());
        let mut daemon = std::process::Command::new("unshare");
        daemon.args(["--mount", "--", "sh", "-ec"]);
        daemon.args(["mount --bind etc /etc; exec \"$@\"", "sh"]);
        daemon.arg(ours.bare_spiped().get_program());
        daemon.args(["-e", "-F", "-r", "1", "--sandbox=require"]);
        daemon.args(["-s", &source, "-t", &target, "-k"]);
        daemon.arg(&moving.site.key);
        let mut daemon = Program::start(&moving.site.dir, "e", daemon);
        daemon.listens_on(&moving.site.source);
        assert!(moving.leads_to(&moving.first));
        replace("127.0.0.3");
        until("the new address in use", || {
            moving.leads_to(&moving.second).then_some(())
        });
    }
}
