//! Many streams at once and long ones, with the C programs at either end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::thread;

use testbed::{Client, Echo, Listener, Maker, Pattern, Plan, TempDir, Transport};

const CONNECTIONS: u64 = 200;
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
    const ARGS: [&str; 4] = ["-n", "500", "-o", "50"];
    let dir = TempDir::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &dir));
    let plan = Plan::new(client, server).to(echo.address());
    let tunnel = plan.client_args(&ARGS).server_args(&ARGS).start();

    let seeds: Vec<u64> = (0..CONNECTIONS).collect();
    let mut clients = Vec::new();
    for group in seeds.chunks(usize::try_from(opened_at_once).unwrap()) {
        thread::scope(|scope| {
            let opening: Vec<_> = group
                .iter()
                .map(|&seed| {
                    let tunnel = &tunnel;
                    scope.spawn(move || {
                        let mut client = tunnel.connect();
                        client.tx.send(&mut Pattern::new(seed), 100);
                        client.rx.expect(&mut Pattern::new(seed), 100);
                        (seed, client)
                    })
                })
                .collect();
            clients.extend(opening.into_iter().map(|opened| opened.join().unwrap()));
        });
    }
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
    assert_eq!(echo.accepted() as u64, CONNECTIONS);
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
