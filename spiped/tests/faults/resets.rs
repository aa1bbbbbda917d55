//! RST, from either side and in every state of a connection.

use std::io::{Read, Write};
use std::time::Duration;

use testbed::{Client, Duplex, Fault, Pattern, Plan, Receiver, Way};

use super::Scene;
use super::scene::STREAMS;

/// Bytes of a whole handshake of version 2 from its client and from its server, and of a packet.
const FROM_CLIENT: u64 = 32 + 1136;
const FROM_SERVER: u64 = 32 + 1232;
const PACKET: u64 = 1061;

const ROUNDS: usize = 50;

/// What a dial that nobody waits for may take to be seen here.
const LATE: Duration = Duration::from_millis(10);

/// What a stream has gone through before it breaks.
const STATES: [fn(&mut Client, &mut Duplex); 5] = [
    |_, _| {},
    |client, _| client.tx.send(&mut Pattern::new(1), 100_000),
    |_, target| target.tx.send(&mut Pattern::new(1), 100_000),
    |client, target| {
        client.tx.send(&mut Pattern::new(1), 5000);
        target.rx.expect(&mut Pattern::new(1), 5000);
        target.tx.send(&mut Pattern::new(1), 5000);
    },
    |client, target| {
        client.tx.send(&mut Pattern::new(1), 2000);
        target.rx.expect(&mut Pattern::new(1), 1000);
    },
];

/// Reads what was on its way, up to the end, which must be a reset.
#[track_caller]
fn expect_break(rx: &mut Receiver) {
    let mut rest = Vec::new();
    let broken = rx.read_to_end(&mut rest).is_err();
    assert!(broken, "a clean end after {} bytes", rest.len());
}

#[test]
fn of_a_client_before_its_stream_is_up() {
    let scene = Scene::start();
    for length in 0..ROUNDS as u64 {
        let mut client = scene.tunnel.connect();
        client.tx.send(&mut Pattern::new(1), length * 10);
        client.reset();
    }
    scene.forget_the_broken();
    scene.end();
}

#[test]
fn of_a_client_whose_stream_is_up() {
    let scene = Scene::start();
    for state in STATES {
        let (mut client, mut target) = scene.tunnel.open();
        state(&mut client, &mut target);
        client.reset();
        expect_break(&mut target.rx);
    }
    scene.end();
}

#[test]
fn of_a_target() {
    let scene = Scene::start();
    for state in STATES {
        let (mut client, mut target) = scene.tunnel.open();
        state(&mut client, &mut target);
        target.reset();
        expect_break(&mut client.rx);
    }
    scene.end();
}

/// Each end has ended its direction in turn, and the other one breaks.
#[test]
fn after_a_half_close() {
    let scene = Scene::start();
    let (client, mut target) = scene.tunnel.open();
    client.tx.finish();
    target.rx.expect_end();
    target.reset();
    let mut rx = client.rx;
    rx.expect_reset();

    let (client, target) = scene.tunnel.open();
    target.tx.finish();
    let Client { tx, mut rx, .. } = client;
    rx.expect_end();
    Client {
        tx,
        rx,
        spipe: None,
    }
    .reset();
    let mut rx = target.rx;
    rx.expect_reset();
    scene.end();
}

/// Neither knows of the other's yet.
#[test]
fn from_both_sides_at_once() {
    let scene = Scene::start();
    for _ in 0..ROUNDS {
        let (mut client, mut target) = scene.tunnel.open();
        client.tx.send(&mut Pattern::new(1), 1000);
        target.tx.send(&mut Pattern::new(2), 1000);
        std::thread::scope(|scope| {
            scope.spawn(|| client.reset());
            target.reset();
        });
    }
    scene.end();
}

#[test]
fn that_crosses_a_fin() {
    let scene = Scene::start();
    for round in 0..ROUNDS {
        let (mut client, mut target) = scene.tunnel.open();
        client.tx.send(&mut Pattern::new(1), 1000);
        target.tx.send(&mut Pattern::new(2), 1000);
        std::thread::scope(|scope| match round % 2 {
            0 => {
                scope.spawn(|| client.reset());
                target.tx.finish();
            }
            _ => {
                scope.spawn(|| client.tx.finish());
                target.reset();
            }
        });
    }
    scene.end();
}

#[test]
fn of_a_stranger() {
    let scene = Scene::start();
    for length in 0..ROUNDS {
        let mut peer = Duplex::connect(scene.tunnel.middle());
        let _ = peer.tx.write_all(&vec![7; length * 7]);
        peer.reset();
    }
    scene.end();
}

#[test]
fn between_the_ends_in_the_handshake_and_in_packets() {
    for (way, handshake) in [(Way::ToServer, FROM_CLIENT), (Way::ToClient, FROM_SERVER)] {
        let ours = testbed::ours!();
        let places = (0..handshake + PACKET).step_by(33);
        let untouched = [u64::MAX; STREAMS];
        let all: Vec<_> = untouched.into_iter().chain(places.clone()).collect();
        let plan = Plan::new(&ours, &ours).tampered_in_turn(way, &all, &Fault::Reset);
        let scene = Scene::of(plan);
        for place in places {
            println!("after {place} bytes {way:?}");
            let mut client = scene.tunnel.connect();
            // The reset may have come this far already, and is told once.
            let told = client.tx.write_all(&[7; 1024]).is_err();
            if way == Way::ToClient && place > handshake {
                // Only the target's data takes it so far.
                let mut target = scene.accept_whole();
                target.tx.send(&mut Pattern::new(1), 1024);
                expect_break(&mut target.rx);
            }
            if !told {
                client.rx.expect_reset();
            }
            // The dial beside the handshake may have come this far.
            while let Some(mut target) = scene.tunnel.target().accept_within(LATE) {
                expect_break(&mut target.rx);
            }
        }
        scene.end();
    }
}
