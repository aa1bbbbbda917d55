//! Many streams at once and long ones, with the C programs at either end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use testbed::{
    Address, Client, Duplex, Echo, Listener, Maker, Mode, Pattern, Plan, Program, Site, TempDir,
    Transport, metric, until,
};

const CONNECTIONS: u64 = 200;
const ARGS: [&str; 4] = ["-n", "500", "-o", "50"];
const GIB: u64 = 1024 * 1024 * 1024;

/// The C programs queue ten connections, and who comes to a full queue tries
/// again only after seconds.
const C_BACKLOG: u64 = 8;

#[test]
fn two_hundred_at_once_between_our_ends() {
    let ours = testbed::ours!();
    two_hundred_at_once(&ours, &ours, CONNECTIONS);
}

#[test]
fn two_hundred_at_once_from_our_spiped_to_c_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    two_hundred_at_once(&ours, &c, C_BACKLOG);
}

#[test]
fn two_hundred_at_once_from_c_spiped_to_our_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    two_hundred_at_once(&c, &ours, C_BACKLOG);
}

/// Each connection carries bytes of its own while all the others are open.
fn two_hundred_at_once(client: &Maker, server: &Maker, opened_at_once: u64) {
    let dir = TempDir::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &dir));
    let plan = Plan::new(client, server).to(echo.address());
    let tunnel = plan.client_args(&ARGS).server_args(&ARGS).start();
    use_all(open_all(tunnel.source(), 0..CONNECTIONS, opened_at_once));
    assert_eq!(echo.accepted() as u64, CONNECTIONS);
}

/// Connects so many at a time, and sees that each has its echo.
fn open_all(source: &Address, seeds: Range<u64>, at_once: u64) -> Vec<(u64, Duplex)> {
    let seeds: Vec<u64> = seeds.collect();
    let mut clients = Vec::new();
    for group in seeds.chunks(usize::try_from(at_once).unwrap()) {
        thread::scope(|scope| {
            let open = |&seed| {
                scope.spawn(move || {
                    let mut client = Duplex::connect(source);
                    client.tx.send(&mut Pattern::new(seed), 100);
                    client.rx.expect(&mut Pattern::new(seed), 100);
                    (seed, client)
                })
            };
            let opening: Vec<_> = group.iter().map(open).collect();
            clients.extend(opening.into_iter().map(|opened| opened.join().unwrap()));
        });
    }
    clients
}

/// Has all of them send at the same time, and end in order.
fn use_all(clients: Vec<(u64, Duplex)>) {
    thread::scope(|scope| {
        for (seed, mut client) in clients {
            scope.spawn(move || {
                client.tx.send(&mut Pattern::new(!seed), 100_000);
                client.rx.expect(&mut Pattern::new(!seed), 100_000);
                client.tx.finish();
                client.rx.expect_end();
            });
        }
    });
}

#[test]
fn two_hundred_of_c_spiped_and_ours_at_one_listener_with_one_key() {
    two_hundred_of_both(&testbed::ours!(), &testbed::theirs!(), |site| {
        [site.key.clone(), site.key.clone(), site.key.clone()]
    });
}

/// More of them than are tried at once, and the two ends with keys of their own.
#[test]
fn two_hundred_of_c_spiped_and_ours_at_one_listener_with_many_keys() {
    two_hundred_of_both(&testbed::ours!(), &testbed::theirs!(), |site| {
        let folder = site.dir.join("keys");
        fs::create_dir(&folder).unwrap();
        let key = |name: &str| {
            site.dir
                .write(&format!("keys/{name}.key"), format!("{name:0>32}"))
        };
        (0..38).for_each(|number| drop(key(&format!("client-{number}"))));
        [folder, key("a c client"), key("our client")]
    });
}

/// Each kind of client speaks the newest version that it knows.
fn two_hundred_of_both(ours: &Maker, c: &Maker, keys: fn(&Site) -> [PathBuf; 3]) {
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let [key, of_c, of_ours] = keys(&site);
    let metrics = Address::free_v4();
    let mut d = ours.spiped(Mode::Decrypt, &site.source, echo.address(), &key);
    d.args(ARGS).args(["--metrics", &metrics.to_string()]);
    let _d = Program::serving(&site.dir, "d", d, &site.source);
    let client = |name: &str, maker: &Maker, key: &Path| {
        let source = Address::free_v4();
        let mut e = maker.spiped(Mode::Encrypt, &source, &site.source, key);
        e.args(ARGS);
        (Program::serving(&site.dir, name, e, &source), source)
    };
    let (_c, old) = client("c", c, &of_c);
    let (_e, new) = client("e", ours, &of_ours);
    const HALF: u64 = CONNECTIONS / 2;
    thread::scope(|scope| {
        let old = scope.spawn(|| open_all(&old, 0..HALF, C_BACKLOG));
        let mut all = open_all(&new, HALF..CONNECTIONS, HALF);
        all.extend(old.join().unwrap());
        use_all(all);
    });
    assert_eq!(echo.accepted() as u64, CONNECTIONS);
    for (version, key) in [("1", of_c), ("2", of_ours)] {
        let name = match key == site.key {
            true => String::new(),
            false => key.file_stem().unwrap().to_string_lossy().into_owned(),
        };
        let [key, version] = [("key", &*name), ("protocol", version)]
            .map(|(label, value)| format!("{label}=\"{value}\""));
        let labels = ["result=\"done\"", &key, &version];
        until("the end of all connections", || {
            let done = metric(&metrics, "spiped_handshakes_total", &labels);
            (done == HALF as f64).then_some(())
        });
    }
    until("nobody's presence", || {
        (metric(&metrics, "spiped_connections_active", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_gibibyte_from_our_spiped_to_c_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    a_gibibyte(&Plan::new(&ours, &c));
}

#[test]
fn a_gibibyte_from_c_spiped_to_our_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    a_gibibyte(&Plan::new(&c, &ours));
}

#[test]
fn a_gibibyte_from_our_spipe_to_c_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    a_gibibyte(&Plan::new(&ours, &c).with_spipe());
}

#[test]
fn a_gibibyte_from_c_spipe_to_our_spiped() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    a_gibibyte(&Plan::new(&c, &ours).with_spipe());
}

fn a_gibibyte(plan: &Plan<'_>) {
    let tunnel = plan.clone().start();
    let (mut client, mut target) = tunnel.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.tx.send(&mut Pattern::new(1), GIB);
            client.tx.finish();
        });
        target.rx.expect(&mut Pattern::new(1), GIB);
        target.rx.expect_end();
        target.tx.write_all(b"done").unwrap();
        target.tx.finish();
        let mut answer = [0; 4];
        client.rx.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"done");
        client.rx.expect_end();
    });
    Client::expect_success(client.spipe);
}
