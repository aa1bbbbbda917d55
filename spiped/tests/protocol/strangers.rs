//! Whoever does not know the only version that an end allows: what goes out to him is counted on the wire.

use std::io::{Read, Write};

use testbed::{ABSENCE, Duplex, Listener, Maker, Pattern, Plan, Program, Site, Transport, Tunnel};

const NONCE: usize = 32;
/// Bytes of a server's hello.
const HELLO: usize = 1232;
const ONLY_1: &[&str] = &["--protocol", "1"];
const ONLY_2: &[&str] = &["--protocol", "2"];

/// Has a client connect, which fails, and tells what was on the wire: from the client, from the server.
#[track_caller]
fn refused(plan: Plan<'_>) -> [usize; 2] {
    let tunnel = plan.overheard().start();
    let mut client = tunnel.connect();
    let _ = client.tx.write_all(b"for the target");
    client.rx.expect_nothing();
    if let Some(mut spipe) = client.spipe {
        assert!(!spipe.wait().success());
    }
    if let Some(mut target) = tunnel.target().accept_within(ABSENCE) {
        // C dials at once.
        target.rx.expect_nothing();
    }
    tunnel.attacker().sent().map(|sent| sent.len())
}

/// By `spiped -e` and by `spipe`.
fn both_ways<'a>(plan: &Plan<'a>) -> [Plan<'a>; 2] {
    [plan.clone(), plan.clone().with_spipe()]
}

#[test]
fn a_client_that_knows_version_1_gets_no_byte_of_a_server_of_version_2() {
    let ours = testbed::ours!();
    let plan = Plan::new(&ours, &ours).server_args(ONLY_2);
    let other_key = plan.clone().client_key(b"another key");
    for plan in [
        plan.client_args(ONLY_1),
        other_key.clone(),
        other_key.client_args(ONLY_2),
    ] {
        for plan in both_ways(&plan) {
            assert_eq!(refused(plan), [NONCE, 0]);
        }
    }
}

#[test]
fn a_c_client_gets_no_byte_of_a_server_of_version_2() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    for plan in both_ways(&Plan::new(&c, &ours).server_args(ONLY_2)) {
        assert_eq!(refused(plan), [NONCE, 0]);
    }
}

#[test]
fn a_scan_gets_no_byte_of_a_server_of_version_2() {
    let ours = testbed::ours!();
    let tunnel = Plan::new(&ours, &ours).server_args(ONLY_2).start();
    let mut garbage = vec![0; 2000];
    Pattern::new(1).fill(&mut garbage);
    for (words, goes_on) in [
        (&[][..], false),
        (b"\n", false),
        (b"GET / HTTP/1.0\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", true),
        (b"SSH-2.0-OpenSSH_9.9\r\n", false),
        // What TLS begins with: a record with a ClientHello.
        (
            &[
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                &garbage[..500],
            ]
            .concat(),
            true,
        ),
        (&garbage[..NONCE - 1], false),
        (&garbage[..NONCE], true),
        (&[0; NONCE], true),
        (&garbage, true),
    ] {
        let mut scan = Duplex::connect(tunnel.middle());
        // The reset comes in the middle of many words.
        let told = scan.tx.write_all(words).is_err();
        if !goes_on {
            scan.tx.finish();
        }
        match told {
            true => {}
            // Somebody has looked whether there is a listener.
            false if words.is_empty() => scan.rx.expect_nothing(),
            false => scan.rx.expect_reset(),
        }
    }
    assert!(tunnel.target().accept_within(ABSENCE).is_none());
    let mut silent = Duplex::connect(tunnel.middle());
    assert!(!silent.rx.is_ready_within(ABSENCE));
    silent.tx.write_all(&garbage[..NONCE]).unwrap();
    silent.rx.expect_reset();
}

/// Its nonce is all that it says.
#[test]
fn a_client_of_version_2_says_nothing_to_a_server_that_does_not_know_it() {
    let ours = testbed::ours!();
    let plan = Plan::new(&ours, &ours).client_args(ONLY_2);
    for plan in both_ways(&plan.server_args(ONLY_1)) {
        assert_eq!(refused(plan), [NONCE, NONCE]);
    }
}

#[test]
fn a_client_of_version_2_says_nothing_to_a_c_server() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    for plan in both_ways(&Plan::new(&ours, &c).client_args(ONLY_2)) {
        assert_eq!(refused(plan), [NONCE, NONCE]);
    }
}

/// The nonce that a client of ours with the usual key sends.
fn nonce(ours: &Maker, args: &[&str]) -> Vec<u8> {
    let site = Site::new();
    let server = Listener::bind(Transport::V4, &site.dir);
    let key = site.dir.write("the key", b"the key that both ends hold");
    let mut spipe = ours.spipe(server.address(), &key);
    spipe.args(args);
    let _spipe = Program::start(&site.dir, "spipe", spipe);
    let mut nonce = vec![0; NONCE];
    server.accept().rx.read_exact(&mut nonce).unwrap();
    nonce
}

/// The bytes that a server answers these with, before it waits for more.
fn answer(tunnel: &Tunnel, words: &[u8]) -> usize {
    let mut client = Duplex::connect(tunnel.middle());
    client.tx.write_all(words).unwrap();
    let mut answer = [0; 4096];
    let mut answered = 0;
    while client.rx.is_ready_within(ABSENCE) {
        match client.rx.read(&mut answer).unwrap() {
            0 => break,
            length => answered += length,
        }
    }
    answered
}

#[test]
fn a_server_answers_in_kind_and_not_before_the_whole_nonce() {
    let ours = testbed::ours!();
    let [both, only_1, only_2] = [&[][..], ONLY_1, ONLY_2].map(|args| {
        let args = [args, &["-o", "600"]].concat();
        Plan::new(&ours, &ours).server_args(&args).start()
    });
    let (offer, no_offer) = (nonce(&ours, &[]), nonce(&ours, ONLY_1));
    for (server, words, expected) in [
        // Version 1 alone waits for nothing, and looks at no tag.
        (&only_1, &[][..], NONCE),
        (&only_1, &offer, NONCE),
        (&both, &[], 0),
        (&both, &offer[..NONCE - 1], 0),
        (&both, &offer, NONCE + HELLO),
        (&both, &no_offer, NONCE),
        (&both, &[0; NONCE], NONCE),
        (&only_2, &[], 0),
        (&only_2, &offer[..NONCE - 1], 0),
        (&only_2, &offer, NONCE + HELLO),
    ] {
        assert_eq!(answer(server, words), expected, "{words:?}");
    }
}

/// Whoever has recorded a nonce is answered, and has shown nothing by it.
#[test]
fn a_nonce_that_was_sent_before_proves_nothing() {
    let ours = testbed::ours!();
    let args = ["--max-unproved", "2", "-o", "600"];
    let tunnel = Plan::new(&ours, &ours).server_args(&args).start();
    let recorded = nonce(&ours, &[]);
    let mut replaying: Vec<_> = (0..3)
        .map(|_| {
            let mut replay = Duplex::connect(tunnel.middle());
            replay.tx.write_all(&recorded).unwrap();
            replay.rx.read_exact(&mut [0; NONCE + HELLO]).unwrap();
            replay
        })
        .collect();
    // The oldest makes room as any stranger does.
    replaying.remove(0).rx.expect_reset();
    assert!(tunnel.target().accept_within(ABSENCE).is_none());
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 10);
    target.rx.expect(&mut Pattern::new(1), 10);
}
