//! Both programs speak with the C ones and with each other: every pairing,
//! every kind of key exchange, every kind of socket, every way a stream can
//! begin and end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::thread;

use testbed::{ABSENCE, Client, Pattern, Plan, Transport, Tunnel, sha256_of_pattern};

const MIB: u64 = 1024 * 1024;

/// Arguments of the encrypting and of the decrypting end.
const KEY_EXCHANGES: [(&[&str], &[&str]); 5] = [
    (&[], &[]),
    (&["-f"], &[]),
    (&[], &["-f"]),
    (&["-f"], &["-f"]),
    (&["-g"], &["-g"]),
];

testbed::for_each_pairing![
    carries_every_stream_over_ipv4,
    carries_every_stream_over_ipv6,
    carries_every_stream_over_unix_sockets,
    ends_both_sides_when_either_breaks,
    refuses_a_fast_peer_when_forward_secrecy_is_required,
];

fn carries_every_stream_over_ipv4(plan: &Plan<'_>) {
    carries_every_stream(plan, Transport::V4);
}

fn carries_every_stream_over_ipv6(plan: &Plan<'_>) {
    carries_every_stream(plan, Transport::V6);
}

fn carries_every_stream_over_unix_sockets(plan: &Plan<'_>) {
    carries_every_stream(plan, Transport::Unix);
}

fn carries_every_stream(plan: &Plan<'_>, transport: Transport) {
    for (client_args, server_args) in KEY_EXCHANGES {
        println!("client {client_args:?}, server {server_args:?}");
        let plan = plan.clone().over(transport);
        let tunnel = plan
            .client_args(client_args)
            .server_args(server_args)
            .start();
        for length in [1, 1024, 1025] {
            question_and_answer(&tunnel, length);
        }
        both_ways_at_once(&tunnel);
        answer_after_the_end_of_the_question(&tunnel);
        question_after_the_end_of_the_answer(&tunnel);
        target_speaks_first(&tunnel);
    }
}

/// Neither end may keep bytes back until there are more.
fn question_and_answer(tunnel: &Tunnel, length: u64) {
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), length);
    target.rx.expect(&mut Pattern::new(1), length);
    target.tx.send(&mut Pattern::new(2), length);
    client.rx.expect(&mut Pattern::new(2), length);
    client.tx.finish();
    target.rx.expect_end();
    target.tx.finish();
    client.rx.expect_end();
    Client::expect_success(client.spipe);
}

fn both_ways_at_once(tunnel: &Tunnel) {
    let (mut client, mut target) = tunnel.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.tx.send(&mut Pattern::new(3), 3 * MIB + 1);
            client.tx.finish();
        });
        scope.spawn(|| {
            target.tx.send(&mut Pattern::new(4), 3 * MIB + 2);
            target.tx.finish();
        });
        scope.spawn(|| {
            target.rx.expect(&mut Pattern::new(3), 3 * MIB + 1);
            target.rx.expect_end();
        });
        client.rx.expect(&mut Pattern::new(4), 3 * MIB + 2);
        client.rx.expect_end();
    });
    Client::expect_success(client.spipe);
}

fn answer_after_the_end_of_the_question(tunnel: &Tunnel) {
    const LENGTH: usize = 100_000;
    let (mut client, mut target) = tunnel.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut question = Vec::new();
            target.rx.read_to_end(&mut question).unwrap();
            target.tx.write_all(&testbed::sha256(&question)).unwrap();
            target.tx.finish();
        });
        client.tx.send(&mut Pattern::new(5), LENGTH as u64);
        client.tx.finish();
        let mut answer = Vec::new();
        client.rx.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, sha256_of_pattern(5, LENGTH));
    });
    Client::expect_success(client.spipe);
}

fn question_after_the_end_of_the_answer(tunnel: &Tunnel) {
    let (mut client, mut target) = tunnel.open();
    target.tx.send(&mut Pattern::new(6), 50_000);
    target.tx.finish();
    client.rx.expect(&mut Pattern::new(6), 50_000);
    // C's spipe keeps its standard output open until it exits.
    if client.spipe.is_none() {
        client.rx.expect_end();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            target.rx.expect(&mut Pattern::new(7), MIB);
            target.rx.expect_end();
        });
        client.tx.send(&mut Pattern::new(7), MIB);
        client.tx.finish();
    });
    Client::expect_success(client.spipe);
}

fn target_speaks_first(tunnel: &Tunnel) {
    let (mut client, mut target) = tunnel.open();
    target.tx.write_all(b"220 ready\r\n").unwrap();
    let mut banner = [0; 11];
    client.rx.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"220 ready\r\n");
    client.tx.write_all(b"QUIT\r\n").unwrap();
    let mut quit = [0; 6];
    target.rx.read_exact(&mut quit).unwrap();
    assert_eq!(&quit, b"QUIT\r\n");
    drop(target);
    client.tx.finish();
    client.rx.expect_end();
    Client::expect_success(client.spipe);
}

/// Where both ends are ours, it is a reset on the other side; C may make an end of it.
fn ends_both_sides_when_either_breaks(plan: &Plan<'_>) {
    let tunnel = plan.clone().start();
    for of_target in [false, true] {
        let (mut client, mut target) = tunnel.open();
        client.tx.send(&mut Pattern::new(8), 3000);
        target.rx.expect(&mut Pattern::new(8), 3000);
        target.tx.send(&mut Pattern::new(9), 3000);
        client.rx.expect(&mut Pattern::new(9), 3000);
        if of_target {
            target.reset();
            client.rx.expect_nothing();
        } else {
            match &mut client.spipe {
                // Its streams are pipes, which cannot break.
                Some(spipe) => spipe.child().kill().unwrap(),
                None => client.reset(),
            }
            target.rx.expect_nothing();
        }
    }
    question_and_answer(&tunnel, 1000);
}

fn refuses_a_fast_peer_when_forward_secrecy_is_required(plan: &Plan<'_>) {
    let tunnel_is_of_version_2 = plan.is_of_one_maker();
    for (client_args, server_args) in [(["-g"], ["-f"]), (["-f"], ["-g"])] {
        println!("client {client_args:?}, server {server_args:?}");
        let plan = plan.clone().client_args(&client_args);
        let tunnel = plan.server_args(&server_args).start();
        if tunnel_is_of_version_2 {
            // It has forward secrecy whatever is asked for.
            question_and_answer(&tunnel, 1000);
            continue;
        }
        let mut client = tunnel.connect();
        // The connection may have ended before this.
        let _ = client.tx.write_all(b"secret");
        client.rx.expect_nothing();
        if let Some(mut target) = tunnel.target().accept_within(ABSENCE) {
            target.rx.expect_nothing();
        }
        if let Some(mut spipe) = client.spipe {
            assert_eq!(spipe.wait().code(), Some(1));
        }
    }
}
