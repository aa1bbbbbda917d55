//! Addresses on networks that the test makes, with both ends in network namespaces ([`Wire`]).

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testbed::{
    Address, Duplex, End, Listener, Maker, Pattern, Program, Site, Transport, Wire,
    in_private_view, need, until,
};

const PORT: u16 = 8025;

/// A tunnel between two machines, and the test at both ends of it.
struct Tunnel {
    site: Site,
    wire: Wire,
    service: Listener,
    source: Address,
}

impl Tunnel {
    fn new() -> Self {
        let site = Site::new();
        Self {
            wire: Wire::new(&site.dir),
            service: Listener::bind(Transport::Unix, &site.dir),
            source: Address::Unix(site.dir.join("source")),
            site,
        }
    }

    /// Starts the decrypting end on the far machine, at any address in its text form.
    fn decrypting(&self, ours: &Maker, source: &str, more: &[&str]) -> Program {
        let mut command = ours.bare_spiped();
        command.args(["-d", "-F", "-s", source, "-t"]);
        command.arg(self.service.address().to_string()).args(more);
        command.arg("-k").arg(&self.site.key);
        let mut daemon = Program::start(&self.site.dir, "d", self.wire.on(End::Far, &command));
        let v6 = source.contains("::");
        let any = if v6 { "[::]" } else { "0.0.0.0" };
        daemon.listens_on(&Address::Tcp(format!("{any}:{PORT}").parse().unwrap()));
        daemon
    }

    /// Starts the encrypting end on the near one.
    fn encrypting(&self, ours: &Maker, target: &str, more: &[&str]) -> Program {
        let mut command = ours.bare_spiped();
        command.args(["-e", "-F", "-t", target, "-s"]);
        command.arg(self.source.to_string()).args(more);
        command.arg("-k").arg(&self.site.key);
        let command = in_private_view(&self.site.dir, &command);
        let mut daemon = Program::start(&self.site.dir, "e", self.wire.on(End::Near, &command));
        daemon.listens_on(&self.source);
        daemon
    }
}

macro_rules! tunnel {
    () => {{
        need!(
            "root",
            "unshare --net",
            "unshare --mount",
            "ip",
            "nsenter",
            "/proc/sys/net/ipv6"
        );
        Tunnel::new()
    }};
}

/// Runs `spiped status` on this machine, where the interfaces have other names and numbers.
fn status(tunnel: &Tunnel, ours: &Maker, how: &str) -> String {
    let mut command = ours.bare_spiped();
    command.args(["status", how, "--control"]);
    let output = command.arg(tunnel.site.dir.join("control")).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_tunnel_over_link_local_addresses_works_with_brackets_and_without() {
    let tunnel = tunnel!();
    let ours = testbed::ours!();
    for (end, address) in [(End::Near, "fe80::77:1/64"), (End::Far, "fe80::77:2/64")] {
        tunnel
            .wire
            .ip(end, &["address", "add", address, "dev", "wire", "nodad"]);
    }
    for (far, from) in [
        ("[fe80::77:2%wire]:8025", "[fe80::77:1%wire]"),
        ("fe80::77:2%wire:8025", "fe80::77:1%wire"),
    ] {
        let control = tunnel.site.dir.join("control").display().to_string();
        let more = ["--log-level", "info", "--control", &control];
        let d = tunnel.decrypting(&ours, far, &more);
        let _e = tunnel.encrypting(&ours, far, &["-b", from]);
        let mut client = Duplex::connect(&tunnel.source);
        let mut target = tunnel.service.accept();
        echo(&mut client, &mut target);
        let peer = "[fe80::77:1%wire]:";
        let table = status(&tunnel, &ours, "--connections");
        assert!(table.contains(peer), "{table}");
        let json: Value = serde_json::from_str(&status(&tunnel, &ours, "--json")).unwrap();
        let shown = json.to_string();
        assert!(shown.contains(&format!("\"{peer}")), "{shown}");
        drop((client, target));
        until("a line about the connection", || {
            d.stderr()
                .contains(&format!("connection from {peer}"))
                .then_some(())
        });
    }
}

/// So that nothing depends on time, a connection may be asked for more than once: without a bound for all
/// addresses together none would ever come through.
#[test]
fn one_address_that_lives_is_found_behind_many_that_are_dead() {
    let tunnel = tunnel!();
    let ours = testbed::ours!();
    let wire = &tunnel.wire;
    // Whatever is sent there goes to a hardware address that nobody has.
    let nobody = [
        "neighbour",
        "add",
        "10.77.0.9",
        "lladdr",
        "02:00:00:00:00:77",
    ];
    wire.ip(
        End::Near,
        &[&nobody[..], &["dev", "wire", "nud", "permanent"]].concat(),
    );
    wire.ip(
        End::Near,
        &["route", "add", "10.99.0.0/24", "via", "10.77.0.9"],
    );
    wire.ip(
        End::Near,
        &["route", "add", "10.99.0.200/32", "via", "10.77.0.2"],
    );
    wire.ip(
        End::Far,
        &["address", "add", "10.99.0.200/32", "dev", "wire"],
    );
    let _d = tunnel.decrypting(&ours, "[10.99.0.200]:8025", &[]);
    for dead in [20, 60] {
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for number in 1..=dead {
            hosts += &format!("10.99.0.{number} many.invalid\n");
        }
        fs::write(
            tunnel.site.dir.join("hosts"),
            hosts + "10.99.0.200 many.invalid\n",
        )
        .unwrap();
        let e = tunnel.encrypting(&ours, "many.invalid:8025", &["-o", "5"]);
        let before = dialled(&e);
        let (mut client, mut target) = until("a connection that comes through", || {
            let client = Duplex::connect(&tunnel.source);
            let target = tunnel.service.accept_within(Duration::from_secs(10));
            Some((client, target?))
        });
        echo(&mut client, &mut target);
        assert!(dialled(&e) - before > dead, "the dead were not tried first");
    }
}

/// How many TCP connections were started where a program runs.
fn dialled(program: &Program) -> u64 {
    let table = fs::read_to_string(format!("/proc/{}/net/snmp", program.pid())).unwrap();
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let [names, values] = [lines.next(), lines.next()].map(Option::unwrap);
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(name, _)| *name == "ActiveOpens").unwrap();
    value.parse().unwrap()
}

/// Six local ports serve six connections to each of three targets, as they do where the system chooses the
/// address as well. (Linux leaves one of an odd number of ports out.)
#[test]
fn an_address_to_start_from_takes_no_port_from_connections_to_elsewhere() {
    let tunnel = tunnel!();
    let ours = testbed::ours!();
    let targets = ["8025", "8026", "8027"];
    let binds = ["127.0.0.1", "[127.0.0.1]", "localhost"];
    let dir = &tunnel.site.dir;
    let mut lines = "[defaults]\nkey = \"key\"\nmax-connections = 0\n".to_owned();
    for (port, bind) in targets.iter().zip(binds) {
        let source = dir.join(port);
        lines += &format!(
            "[pipe.d{port}]\nmode = \"decrypt\"\nsource = \"[127.0.0.1]:{port}\"\ntarget = \"{}\"\n\
             [pipe.e{port}]\nmode = \"encrypt\"\nsource = \"{}\"\ntarget = \"[127.0.0.1]:{port}\"\n\
             bind = \"{bind}\"\n",
            tunnel.service.address(),
            source.display()
        );
    }
    tunnel
        .wire
        .set(End::Near, "net.ipv4.ip_local_port_range", "40000 40005");
    let mut command = ours.bare_spiped();
    command
        .arg("-F")
        .arg("--config")
        .arg(dir.write("pipes.toml", lines));
    let mut daemon = Program::start(dir, "all", tunnel.wire.on(End::Near, &command));
    let sources = targets.map(|port| Address::Unix(dir.join(port)));
    for source in &sources {
        daemon.listens_on(source);
    }
    let mut open = Vec::new();
    for _ in 0..6 {
        for source in &sources {
            let mut client = Duplex::connect(source);
            let mut target = tunnel.service.accept();
            echo(&mut client, &mut target);
            open.push((client, target));
        }
    }
    assert_eq!(open.len(), 18);
}

/// Sends data from one end to the other and back.
#[track_caller]
fn echo(client: &mut Duplex, target: &mut Duplex) {
    client.tx.send(&mut Pattern::new(1), 1000);
    target.rx.expect(&mut Pattern::new(1), 1000);
    target.tx.send(&mut Pattern::new(2), 1000);
    client.rx.expect(&mut Pattern::new(2), 1000);
}
