//! The network between the ends loses everything, or leads nowhere. Both ends
//! are machines of their own ([`Wire`]); the test talks to them through unix
//! sockets.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use testbed::{
    Address, Duplex, End, Listener, Mode, Pattern, Program, Site, Transport, Wire, until,
};

use super::scene::expect_line;

const MIB: u64 = 1024 * 1024;

/// Where the decrypting end listens on its machine.
const PORT: u16 = 8025;

/// A tunnel over a wire.
struct Scene {
    wire: Wire,
    e: Program,
    d: Program,
    source: Address,
    service: Listener,
    _site: Site,
}

impl Scene {
    fn start(args: &[&str]) -> Self {
        let ours = testbed::ours!();
        let site = Site::new();
        let wire = Wire::new(&site.dir);
        let service = Listener::bind(Transport::Unix, &site.dir);
        let middle = End::Far.address(PORT);
        let source = Address::Unix(site.dir.join("source"));
        let start = |name, end, source: &Address, mut command: Command| {
            command.args(args);
            Program::serving(&site.dir, name, wire.on(end, &command), source)
        };
        let d = ours.spiped(Mode::Decrypt, &middle, service.address(), &site.key);
        let d = start("d", End::Far, &middle, d);
        let e = ours.spiped(Mode::Encrypt, &source, &middle, &site.key);
        let e = start("e", End::Near, &source, e);
        Self {
            wire,
            e,
            d,
            source,
            service,
            _site: site,
        }
    }

    /// A stream that has carried data.
    fn open(&self) -> (Duplex, Duplex) {
        let mut client = Duplex::connect(&self.source);
        let mut target = self.service.accept();
        client.tx.send(&mut Pattern::new(1), 1000);
        target.rx.expect(&mut Pattern::new(1), 1000);
        (client, target)
    }

    /// Both ends say so.
    #[track_caller]
    fn expect_line(&self, words: &str) {
        expect_line(&self.e, words);
        expect_line(&self.d, words);
    }

    /// Nothing is left of the fault.
    fn end(mut self) {
        assert!(self.e.is_running() && self.d.is_running());
        let (client, mut target) = self.open();
        client.tx.finish();
        target.rx.expect_end();
        target.tx.finish();
        let mut rx = client.rx;
        rx.expect_end();
        for mut program in [self.e, self.d] {
            program.terminate();
            assert_eq!(program.wait().code(), Some(0));
        }
    }
}

macro_rules! scene {
    ($args:expr) => {{
        testbed::need!("root", "unshare --net", "ip", "nsenter");
        Scene::start($args)
    }};
}

#[test]
fn a_short_loss_is_made_up_for() {
    let scene = scene!(&[]);
    let (mut client, mut target) = scene.open();
    std::thread::scope(|scope| {
        scope.spawn(|| client.tx.send(&mut Pattern::new(2), 20 * MIB));
        scope.spawn(|| {
            for _ in 0..2 {
                scene.wire.cut();
                std::thread::sleep(Duration::from_millis(700));
                scene.wire.mend();
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        target.rx.expect(&mut Pattern::new(2), 20 * MIB);
    });
    drop((client, target));
    scene.end();
}

/// The system gives up after its own time, which is set to the least here.
#[test]
fn a_peer_that_vanishes_while_data_is_under_way_ends_the_stream_with_a_line() {
    let scene = scene!(&[]);
    for end in [End::Near, End::Far] {
        scene.wire.set(end, "net.ipv4.tcp_retries2", 2);
        scene.wire.set(end, "net.ipv4.tcp_rto_max_ms", 1000);
    }
    let (mut client, mut target) = scene.open();
    scene.wire.cut();
    client.tx.send(&mut Pattern::new(2), 1000);
    target.tx.send(&mut Pattern::new(3), 1000);
    client.rx.expect_nothing();
    target.rx.expect_nothing();
    scene.expect_line("the encrypted connection broke: connection timed out");
    scene.wire.mend();
    scene.end();
}

#[test]
fn a_peer_that_vanishes_in_silence_ends_the_stream_under_idle() {
    let scene = scene!(&["--idle", "2"]);
    let (mut client, mut target) = scene.open();
    scene.wire.cut();
    client.rx.expect_nothing();
    target.rx.expect_nothing();
    scene.expect_line("no data has come from either side for 2s");
    scene.wire.mend();
    scene.end();
}

/// It takes the six minutes of the keep-alives.
#[test]
#[ignore = "takes six minutes"]
fn a_peer_that_vanishes_in_silence_ends_the_stream_by_keep_alives() {
    const SIX_MINUTES: Duration = Duration::from_secs(6 * 60 + 60);
    let scene = scene!(&[]);
    let (client, target) = scene.open();
    // What is not acknowledged is sent again, for a quarter of an hour, before anybody is probed.
    std::thread::sleep(Duration::from_secs(5));
    scene.wire.cut();
    assert!(client.rx.is_ready_within(SIX_MINUTES));
    assert!(target.rx.is_ready_within(SIX_MINUTES));
    scene.expect_line("the encrypted connection broke: connection timed out");
    scene.wire.mend();
    scene.end();
}

#[test]
fn a_server_that_has_vanished_is_given_up_in_time() {
    let scene = scene!(&["-o", "1"]);
    scene.wire.cut();
    Duplex::connect(&scene.source).rx.expect_nothing();
    expect_line(&scene.e, "no answer in time");
    scene.wire.mend();
    scene.end();
}

#[test]
fn a_network_that_leads_nowhere_is_a_line_and_then_works_again() {
    let scene = scene!(&["-o", "1"]);
    for (kind, reason) in [
        ("unreachable", "no route to host"),
        ("prohibit", "permission denied"),
        ("blackhole", "invalid argument"),
    ] {
        let route = [kind, "10.77.0.2/32"];
        scene
            .wire
            .ip(End::Near, &[&["route", "add"][..], &route].concat());
        let (seen, lost) = (scene.e.stderr().len(), Duplex::connect(&scene.source));
        let mut rx = lost.rx;
        rx.expect_nothing();
        until(&format!("{kind}: {reason}"), || {
            scene.e.stderr()[seen..].contains(reason).then_some(())
        });
        scene
            .wire
            .ip(End::Near, &[&["route", "delete"][..], &route].concat());
    }
    scene.end();
}

/// Streams that are up wait until it works again.
#[test]
fn a_route_that_is_lost_for_a_while_breaks_no_stream() {
    let scene = scene!(&[]);
    let (mut client, mut target) = scene.open();
    let route = ["unreachable", "10.77.0.2/32"];
    scene
        .wire
        .ip(End::Near, &[&["route", "add"][..], &route].concat());
    client.tx.send(&mut Pattern::new(2), 10_000);
    std::thread::sleep(Duration::from_millis(500));
    scene
        .wire
        .ip(End::Near, &[&["route", "delete"][..], &route].concat());
    target.rx.expect(&mut Pattern::new(2), 10_000);
    drop((client, target));
    scene.end();
}

/// The system has no port to start from but that of the service, and would connect it to itself.
#[test]
fn a_service_that_is_down_is_not_found_where_the_system_starts_from_its_port() {
    const PORT: u16 = 40_000;
    let scene = scene!(&[]);
    let range = format!("{PORT} {PORT}");
    scene
        .wire
        .set(End::Near, "net.ipv4.ip_local_port_range", range);
    let site = Site::new();
    let (source, target) = (
        Address::Unix(site.dir.join("source")),
        Address::Tcp((Ipv4Addr::LOCALHOST, PORT).into()),
    );
    let e = testbed::ours!().spiped(Mode::Encrypt, &source, &target, &site.key);
    let e = Program::serving(&site.dir, "e", scene.wire.on(End::Near, &e), &source);
    let client = Duplex::connect(&source);
    expect_line(&e, "connection refused");
    assert!(client.rx.is_ready_within(testbed::PATIENCE));
    scene.end();
}
