//! What the options for connections do: the limit, the outgoing address,
//! keep-alives, the time for a handshake.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use testbed::{
    ABSENCE, Duplex, Listener, Maker, Mode, Pattern, Plan, Program, Site, Transport, Tunnel, proc,
    until,
};

testbed::for_both![
    the_limit_makes_the_third_connection_wait,
    the_limit_holds_at_the_decrypting_end,
    no_limit_with_zero,
    keep_alives_are_on,
    keep_alives_can_be_turned_off,
    a_silent_peer_is_dropped_in_time,
    a_target_that_does_not_answer_is_given_up,
];

fn the_limit_makes_the_third_connection_wait(maker: &Maker) {
    let mut tunnel = Plan::new(maker, maker).client_args(&["-n", "2"]).start();
    third_connection_waits(&tunnel);
    let stderr = tunnel.client().stderr();
    assert!(stderr.contains("onnection"), "{stderr}");
}

fn the_limit_holds_at_the_decrypting_end(maker: &Maker) {
    // The third waits in its handshake, for longer than it may by default.
    let plan = Plan::new(maker, maker).client_args(&["-o", "50"]);
    third_connection_waits(&plan.server_args(&["-n", "2", "-o", "50"]).start());
}

fn third_connection_waits(tunnel: &Tunnel) {
    let first = tunnel.open();
    let second = tunnel.open();
    let mut third = tunnel.connect();
    third.tx.send(&mut Pattern::new(3), 100);
    // Who has sent all waits for the answer.
    third.tx.finish();
    assert!(tunnel.target().accept_within(ABSENCE).is_none());
    for (mut client, mut target) in [first, second] {
        client.tx.send(&mut Pattern::new(1), 1000);
        target.rx.expect(&mut Pattern::new(1), 1000);
    }
    // Both have ended now, so there is room for one more.
    let mut target = tunnel.target().accept();
    target.rx.expect(&mut Pattern::new(3), 100);
    target.rx.expect_end();
    target.tx.send(&mut Pattern::new(4), 100);
    third.rx.expect(&mut Pattern::new(4), 100);
}

/// The limit without the option is 100.
fn no_limit_with_zero(maker: &Maker) {
    let plan = Plan::new(maker, maker).client_args(&["-n", "0"]);
    let tunnel = plan.server_args(&["-n", "0"]).start();
    let streams: Vec<_> = (0..110).map(|_| tunnel.open()).collect();
    for (mut client, mut target) in streams {
        client.tx.send(&mut Pattern::new(1), 10);
        target.rx.expect(&mut Pattern::new(1), 10);
    }
}

fn keep_alives_are_on(maker: &Maker) {
    keep_alives(maker, &[], (2, 0));
}

fn keep_alives_can_be_turned_off(maker: &Maker) {
    keep_alives(maker, &["-j"], (0, 2));
}

fn keep_alives(maker: &Maker, args: &[&str], wanted: (usize, usize)) {
    // Of a process in a sandbox, nobody else sees the sockets.
    testbed::need!("root");
    let plan = Plan::new(maker, maker).client_args(args);
    let mut tunnel = plan.server_args(args).start();
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 10);
    target.rx.expect(&mut Pattern::new(1), 10);
    for pid in [tunnel.client().pid(), tunnel.server().pid()] {
        // Right after the data another timer may run.
        until(&format!("{wanted:?} with and without keep-alives"), || {
            (proc::keep_alives(pid) == wanted).then_some(())
        });
    }
}

fn a_silent_peer_is_dropped_in_time(maker: &Maker) {
    let site = Site::new();
    let listener = Listener::bind(Transport::V4, &site.dir);
    let mut command = maker.spiped(Mode::Decrypt, &site.source, listener.address(), &site.key);
    command.args(["-o", "1.5"]);
    let _program = Program::serving(&site.dir, "d", command, &site.source);
    let start = Instant::now();
    let mut silent = Duplex::connect(&site.source);
    // Whatever the peer begins with, it then ends.
    let _ = silent.rx.read_to_end(&mut Vec::new());
    assert!(start.elapsed() >= Duration::from_millis(1400));
}

/// The other end takes the connection and never says a word.
fn a_target_that_does_not_answer_is_given_up(maker: &Maker) {
    let site = Site::new();
    let mute = Listener::bind(Transport::V4, &site.dir);
    let mut command = maker.spiped(Mode::Encrypt, &site.source, mute.address(), &site.key);
    command.args(["-o", "1.5"]);
    let _program = Program::serving(&site.dir, "e", command, &site.source);
    let start = Instant::now();
    let mut client = Duplex::connect(&site.source);
    client.tx.write_all(b"hello?").unwrap();
    client.rx.expect_nothing();
    assert!(start.elapsed() >= Duration::from_millis(1400));
}

/// C 1.6.2 has no such option.
mod ours_only {
    use super::*;

    fn bind_addresses() -> [String; 4] {
        let port = testbed::free_port();
        [
            "127.0.0.7".to_owned(),
            "[127.0.0.7]".to_owned(),
            "[127.0.0.7]:0".to_owned(),
            format!("[127.0.0.7]:{port}"),
        ]
    }

    fn expect_from(listener: &Listener, bind: &str) {
        let (_, from) = listener.accept_from();
        assert_eq!(from.ip().to_string(), "127.0.0.7", "{bind}");
        if let Some(port) = bind.strip_prefix("[127.0.0.7]:").filter(|&p| p != "0") {
            assert_eq!(from.port().to_string(), port);
        }
    }

    #[test]
    fn the_encrypting_end_binds_its_connections() {
        let ours = testbed::ours!();
        for bind in bind_addresses() {
            let site = Site::new();
            let listener = Listener::bind(Transport::V4, &site.dir);
            let mut e = ours.spiped(Mode::Encrypt, &site.source, listener.address(), &site.key);
            e.args(["-b", &bind]);
            let _e = Program::serving(&site.dir, "e", e, &site.source);
            let _client = Duplex::connect(&site.source);
            expect_from(&listener, &bind);
        }
    }

    #[test]
    fn the_decrypting_end_binds_its_connections() {
        let ours = testbed::ours!();
        for bind in bind_addresses() {
            let plan = Plan::new(&ours, &ours).server_args(&["-b", &bind]);
            let tunnel = plan.start();
            let mut client = tunnel.connect();
            client.tx.write_all(b"x").unwrap();
            expect_from(tunnel.target(), &bind);
        }
    }

    #[test]
    fn spipe_binds_its_connection() {
        let ours = testbed::ours!();
        for bind in bind_addresses() {
            let site = Site::new();
            let listener = Listener::bind(Transport::V4, &site.dir);
            let mut spipe = ours.spipe(listener.address(), &site.key);
            spipe.args(["-b", &bind]);
            let _spipe = Program::start(&site.dir, "spipe", spipe);
            expect_from(&listener, &bind);
        }
    }
}
