//! Names that cannot be resolved yet, or resolve to something else later. The
//! tests write the `/etc/hosts` that the daemon sees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testbed::{
    ABSENCE, Address, Daemonized, Duplex, Listener, Maker, Mode, Pattern, Program, Site, Transport,
    in_private_view, until, within,
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

/// Who has let it go still reads from a pipe why it did not come up.
#[test]
fn one_that_waits_for_names_in_the_background_tells_why_it_gives_up() {
    let ours = testbed::ours!();
    let site = Site::new();
    let taken = Listener::bind_tcp("127.0.0.1:0");
    let source = taken.address().to_string();
    let target = site.target.to_string();
    let mut command = ours.bare_spiped();
    command.args(["-d", "-D", "-s", &source, "-t", &target, "-k"]);
    command.arg(&site.key).arg("-p").arg(site.dir.join("pid"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "it was let go before it bound");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("address already in use"), "{told}");
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
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
        assert!(copied.unwrap().success());
        replace("127.0.0.2");

        let source = moving.site.source.to_string();
        let target = format!("moving.invalid:{}", moving.first.address().tcp().port());
        let mut daemon = Command::new("unshare");
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

    #[test]
    fn a_source_that_moves_is_followed() {
        testbed::need!("root", "unshare --mount");
        let ours = testbed::ours!();
        let site = Site::new();
        let target = Listener::bind(Transport::V4, &site.dir);
        let port = Address::free_v4().tcp().port();
        let [first, second] = ["127.0.0.2", "127.0.0.3"]
            .map(|ip| Address::Tcp((ip.parse::<std::net::IpAddr>().unwrap(), port).into()));
        let resolves_to = |ip: &str| {
            fs::write(site.dir.join("hosts"), format!("{ip} moving.invalid\n")).unwrap();
        };
        resolves_to("127.0.0.2");
        let mut command = ours.bare_spiped();
        command
            .args([
                "-d",
                "-F",
                "-r",
                "0.1",
                "-s",
                &format!("moving.invalid:{port}"),
                "-t",
            ])
            .args([&target.address().to_string(), "-k"])
            .arg(&site.key);
        let command: Command = in_private_view(&site.dir, &command);
        let daemon = Program::start(&site.dir, "d", command);
        let reaches = |address: &Address| {
            TcpStream::connect_timeout(&address.tcp(), Duration::from_secs(1)).is_ok()
        };
        until("it listens", || reaches(&first).then_some(()));
        resolves_to("127.0.0.3");
        until("it has moved", || reaches(&second).then_some(()));
        until("the old place is left", || (!reaches(&first)).then_some(()));
        let expected = format!("moving.invalid:{port} has moved: listening on [127.0.0.3]:{port}");
        until("a line about it", || {
            daemon.stderr().contains(&expected).then_some(())
        });
    }

    /// One that looks names up a minute after its start, or at a reload.
    fn described(moving: &Moving, source: &str, more: &str) -> Program {
        let port = moving.first.address().tcp().port();
        let dir = &moving.site.dir;
        let text = format!(
            "[pipe.p]\nsource = \"{source}\"\ntarget = \"moving.invalid:{port}\"\n{more}\n"
        );
        let config = dir.write("pipes.toml", text);
        let mut command = testbed::ours!().bare_spiped();
        command.arg("-F").arg("--config").arg(config);
        let command = in_private_view(dir, &command);
        let mut daemon = Program::start(dir, "fleet", command);
        daemon.listens_on(&moving.site.source);
        daemon
    }

    #[test]
    fn a_reload_has_names_looked_up_of_pipes_that_stay_as_they_are() {
        testbed::need!("root", "unshare --mount");
        let moving = Moving::new();
        moving.resolves_to(Some("127.0.0.2"));
        let source = moving.site.source.to_string();
        let daemon = described(&moving, &source, "mode = \"encrypt\"\nkey = \"key\"");
        assert!(moving.leads_to(&moving.first));
        moving.resolves_to(Some("127.0.0.3"));
        assert!(moving.leads_to(&moving.first));
        let told = daemon.reload();
        assert!(told.contains("0 changed"), "{told}");
        until("the new address in use", || {
            moving.leads_to(&moving.second).then_some(())
        });
    }

    /// Where another pipe listens may be among the addresses of a source.
    #[test]
    fn a_file_that_starts_can_be_read_again() {
        testbed::need!("root", "unshare --mount");
        let site = Site::new();
        let hosts = "127.0.0.2 two.invalid\n127.0.0.3 two.invalid\n";
        fs::write(site.dir.join("hosts"), hosts).unwrap();
        let port = testbed::free_port();
        let pipe = |name: &str, source: &str| {
            format!(
                "[pipe.{name}]\nmode = \"encrypt\"\nkey = \"key\"\ntarget = \"{}\"\n\
                 source = \"{source}:{port}\"\n",
                site.target
            )
        };
        let text = pipe("a", "[127.0.0.3]") + &pipe("b", "two.invalid");
        let config = site.dir.write("pipes.toml", text);
        let mut command = testbed::ours!().bare_spiped();
        command.arg("-F").arg("--config").arg(config);
        let command = in_private_view(&site.dir, &command);
        let daemon = Program::start(&site.dir, "fleet", command);
        for ip in ["127.0.0.2", "127.0.0.3"] {
            let at = format!("{ip}:{port}");
            until("both to listen", || TcpStream::connect(&at).ok());
        }
        let told = daemon.reload();
        // What became of the connections that were only to see it listen may be told before and after.
        let is_right = |line: &str| line.ends_with("0 added, 0 changed, 0 removed");
        assert!(told.lines().any(is_right), "{told}");
    }

    /// Or else whoever rules the names could keep a client in that is to go. The target's name server
    /// is silent, and the source leads to an address of another machine.
    #[test]
    fn a_reload_revokes_keys_whatever_has_become_of_names() {
        testbed::need!("root", "unshare --mount");
        let moving = Moving::new();
        let dir = &moving.site.dir;
        let name_server = Ipv4Addr::new(127, 77, 1, 53);
        let _silent = UdpSocket::bind((name_server, 53)).unwrap();
        let resolver = format!("nameserver {name_server}\noptions timeout:60\n");
        dir.write("resolv.conf", resolver);
        let resolve = |source: &str, target: &str| {
            let lines = format!("{source} source.invalid\n{target}\n");
            fs::write(dir.join("hosts"), lines).unwrap();
        };
        fs::create_dir(dir.join("keys")).unwrap();
        let key = |name: &str| dir.write(&format!("keys/{name}.key"), format!("{name:0>32}"));
        let [stays, goes] = ["stays", "goes"].map(key);
        resolve("127.0.0.1", "127.0.0.2 moving.invalid");
        let source = format!("source.invalid:{}", moving.site.source.tcp().port());
        let daemon = described(&moving, &source, "mode = \"decrypt\"\nkey = \"keys\"");
        let clients = [stays, goes.clone()].map(|key| {
            let source = Address::free_v4();
            let e = testbed::ours!().spiped(Mode::Encrypt, &source, &moving.site.source, &key);
            let name = key.file_stem().unwrap().display().to_string();
            (Program::serving(dir, &name, e, &source), source)
        });
        let connect = |(_, source): &(Program, Address)| {
            let client = Duplex::connect(source);
            (client, moving.first.accept())
        };
        let [_, (mut client, _target)] = clients.each_ref().map(connect);
        resolve("192.0.2.1", "");
        fs::remove_file(goes).unwrap();
        let told = daemon.reload();
        assert!(told.contains("1 changed"), "{told}");
        client.rx.expect_reset();
        connect(&clients[0]);
        until("a line about the source", || {
            daemon
                .stderr()
                .contains("listening on as before")
                .then_some(())
        });
        connect(&clients[0]);
    }

    #[test]
    fn an_address_to_start_from_is_followed() {
        testbed::need!("root", "unshare --mount");
        let ours = testbed::ours!();
        let site = Site::new();
        let target = Listener::bind_tcp("127.0.0.1:0");
        let resolves_to = |ip: &str| {
            fs::write(site.dir.join("hosts"), format!("{ip} moving.invalid\n")).unwrap();
        };
        resolves_to("127.0.0.2");
        let mut command = ours.spiped(Mode::Encrypt, &site.source, target.address(), &site.key);
        command.args(["-F", "-r", "0.1", "-b", "moving.invalid"]);
        let mut daemon = Program::start(&site.dir, "e", in_private_view(&site.dir, &command));
        daemon.listens_on(&site.source);
        let starts_from = |ip: &str| {
            let _client = Duplex::connect(&site.source);
            let (_, from) = target.accept_from();
            (from.ip().to_string() == ip).then_some(())
        };
        assert!(starts_from("127.0.0.2").is_some());
        resolves_to("127.0.0.3");
        until("the new address in use", || starts_from("127.0.0.3"));
    }
}
