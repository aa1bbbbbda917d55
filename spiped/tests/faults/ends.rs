//! FIN between the ends, after every byte of a handshake and of a packet.

use std::ops::Range;
use std::thread;

use testbed::{Duplex, Fault, Pattern, Plan, Way};

use super::Scene;
use super::scene::STREAMS;

/// Bytes of a whole handshake of version 2 from its client and from its server, and of a packet with
/// this much data.
const FROM_CLIENT: u64 = 32 + 1136;
const FROM_SERVER: u64 = 32 + 1232;
const PACKET: u64 = 1061;
const DATA: u64 = 1024;

/// Streams that break at the same time.
const CROWD: usize = 8;

/// A scene in which the streams that are opened next end at these places.
fn scene(way: Way, places: Range<u64>) -> Scene {
    let ours = testbed::ours!();
    let untouched = [u64::MAX; STREAMS];
    let places: Vec<_> = untouched.into_iter().chain(places).collect();
    Scene::of(Plan::new(&ours, &ours).tampered_in_turn(way, &places, &Fault::Finish))
}

/// As many times as there are places, for some at a time.
fn for_each_place(places: Range<u64>, act: impl Fn() + Sync) {
    let places: Vec<_> = places.collect();
    thread::scope(|scope| {
        for share in places.chunks(places.len().div_ceil(CROWD)) {
            scope.spawn(|| share.iter().for_each(|_| act()));
        }
    });
}

#[test]
fn in_the_handshake_to_the_server_resets_the_client_and_dials_no_target() {
    let places = 0..FROM_CLIENT;
    let mut scene = scene(Way::ToServer, places.clone());
    for_each_place(places, || scene.tunnel.connect().rx.expect_reset());
    assert!(
        scene
            .tunnel
            .target()
            .accept_within(testbed::ABSENCE)
            .is_none()
    );
    scene.expect_as_before();
    scene.end();
}

#[test]
fn in_the_handshake_to_the_client_resets_it() {
    let places = 0..FROM_SERVER;
    let scene = scene(Way::ToClient, places.clone());
    for_each_place(places, || scene.tunnel.connect().rx.expect_reset());
    scene.forget_the_broken();
    scene.end();
}

#[test]
fn in_a_packet_to_the_server_resets_both_sides() {
    let places = FROM_CLIENT..FROM_CLIENT + PACKET;
    let scene = scene(Way::ToServer, places.clone());
    for_each_place(places, || {
        let mut client = scene.tunnel.connect();
        client.tx.send(&mut Pattern::new(1), DATA);
        // Whosever it is: all are alike.
        let Duplex { mut rx, .. } = scene.tunnel.target().accept();
        rx.expect_reset();
        client.rx.expect_reset();
    });
    scene.end();
}

#[test]
fn in_a_packet_to_the_client_resets_both_sides() {
    let places = FROM_SERVER + 1..FROM_SERVER + PACKET;
    let scene = scene(Way::ToClient, places.clone());
    for_each_place(places, || {
        let mut client = scene.tunnel.connect();
        let mut target = scene.tunnel.target().accept();
        target.tx.send(&mut Pattern::new(1), DATA);
        client.rx.expect_reset();
        target.rx.expect_reset();
    });
    scene.end();
}
