//! A stream that breaks never looks like one that has ended: whoever reads it
//! in plaintext gets the bytes that are proved, and then a reset.
//!
//! The attacker between the ends knows no key. C's ends are the senders here;
//! as receivers they take some of these streams for finished ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read};

use testbed::{Fault, Maker, Pattern, Plan, Program, Receiver, Sender, Way};

/// Bytes of a whole handshake in one direction: nonce, public value, MAC.
const HANDSHAKE: u64 = 32 + 256 + 32;
/// Bytes of a packet, and of the data in it.
const PACKET: usize = 1060;
const DATA: usize = 1024;

/// What the attacker does, and after how many bytes, in or behind the second
/// of four packets. One packet arrives; the second must not.
const BREAKS: [(u64, Fault); 9] = [
    (PACKET as u64 + 1, Fault::Finish),
    (PACKET as u64 + 530, Fault::Finish),
    (PACKET as u64 * 2 - 1, Fault::Finish),
    (PACKET as u64 + 530, Fault::Reset),
    (PACKET as u64, Fault::Reset),
    (PACKET as u64, Fault::Flip(1)),
    (PACKET as u64 * 2 - 1, Fault::Flip(1)),
    (PACKET as u64, Fault::Repeat(PACKET)),
    (PACKET as u64, Fault::Swap(PACKET)),
];

/// Places in the handshake.
const HANDSHAKE_BREAKS: [(u64, Fault); 8] = [
    (0, Fault::Finish),
    (31, Fault::Finish),
    (32, Fault::Finish),
    (HANDSHAKE - 1, Fault::Finish),
    (100, Fault::Reset),
    (5, Fault::Flip(1)),
    (32, Fault::Flip(1)),
    (HANDSHAKE - 1, Fault::Flip(1)),
];

/// Sends four packets' worth and goes on, as far as it gets.
fn send(tx: &mut Sender) {
    tx.send(&mut Pattern::new(1), 4 * DATA as u64);
}

/// Everything up to the end, which is `None` when it is a clean one. What
/// comes must be the beginning of what was sent, one packet at most.
fn receive(rx: &mut Receiver) -> Option<ErrorKind> {
    let mut wanted = vec![0; DATA];
    Pattern::new(1).fill(&mut wanted);
    let mut got = Vec::new();
    let end = rx.read_to_end(&mut got).err().map(|e| e.kind());
    assert!(got.len() <= DATA, "{} bytes", got.len());
    assert_eq!(got, wanted[..got.len()]);
    end
}

fn expect_failure(spipe: Option<Program>) {
    let mut spipe = spipe.unwrap();
    assert_eq!(spipe.wait().code(), Some(1));
    let stderr = spipe.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Not even C's ends let a byte pass that was tampered with.
mod no_wrong_byte_is_delivered {
    use super::*;

    fn to_the_target(client: &Maker, server: &Maker) {
        for (at, fault) in BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(client, server).tampered(Way::ToServer, HANDSHAKE + at, fault);
            let tunnel = plan.start();
            let (mut client, mut target) = tunnel.open();
            send(&mut client.tx);
            receive(&mut target.rx);
        }
    }

    fn to_the_client(client: &Maker, server: &Maker) {
        for (at, fault) in BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(client, server).tampered(Way::ToClient, HANDSHAKE + at, fault);
            let tunnel = plan.start();
            let (mut client, mut target) = tunnel.open();
            send(&mut target.tx);
            receive(&mut client.rx);
        }
    }

    #[test]
    fn from_our_spiped_to_c_spiped() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        to_the_target(&ours, &c);
        to_the_client(&c, &ours);
    }

    #[test]
    fn from_c_spiped_to_our_spiped() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        to_the_target(&c, &ours);
        to_the_client(&ours, &c);
    }
}

#[test]
fn a_broken_handshake_fails_spipe() {
    let (ours, c) = (testbed::ours!(), testbed::theirs!());
    for (at, fault) in HANDSHAKE_BREAKS {
        println!("{fault:?} after {at}");
        let plan = Plan::new(&ours, &c).with_spipe();
        let tunnel = plan.tampered(Way::ToClient, at, fault).start();
        let mut client = tunnel.connect();
        client.rx.expect_end();
        expect_failure(client.spipe);
    }
}

mod ours_only {
    use super::*;

    #[test]
    fn a_broken_stream_resets_the_target() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        for (at, fault) in BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(&c, &ours).tampered(Way::ToServer, HANDSHAKE + at, fault);
            let tunnel = plan.start();
            let (mut client, mut target) = tunnel.open();
            send(&mut client.tx);
            let end = receive(&mut target.rx);
            assert_eq!(end, Some(ErrorKind::ConnectionReset));
        }
    }

    #[test]
    fn a_broken_stream_resets_the_client() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        for (at, fault) in BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(&ours, &c).tampered(Way::ToClient, HANDSHAKE + at, fault);
            let tunnel = plan.start();
            let (mut client, mut target) = tunnel.open();
            // The handshake is over once the first byte has come through.
            send(&mut target.tx);
            let end = receive(&mut client.rx);
            assert_eq!(end, Some(ErrorKind::ConnectionReset));
        }
    }

    #[test]
    fn a_broken_stream_fails_spipe() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        for (at, fault) in BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(&ours, &c).with_spipe();
            let tunnel = plan.tampered(Way::ToClient, HANDSHAKE + at, fault).start();
            let (mut client, mut target) = tunnel.open();
            send(&mut target.tx);
            receive(&mut client.rx);
            expect_failure(client.spipe);
        }
    }

    #[test]
    fn a_broken_handshake_resets_the_client() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        for way in [Way::ToServer, Way::ToClient] {
            for (at, fault) in HANDSHAKE_BREAKS {
                println!("{fault:?} after {at} {way:?}");
                let tunnel = Plan::new(&ours, &c).tampered(way, at, fault).start();
                tunnel.connect().rx.expect_reset();
            }
        }
    }

    /// C dials the target at once.
    #[test]
    fn a_broken_handshake_never_dials_the_target() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        for (at, fault) in HANDSHAKE_BREAKS {
            println!("{fault:?} after {at}");
            let plan = Plan::new(&c, &ours).tampered(Way::ToServer, at, fault);
            let tunnel = plan.start();
            tunnel.connect().rx.expect_nothing();
            assert!(tunnel.target().accept_within(testbed::ABSENCE).is_none());
        }
    }

    /// C makes a clean end of it.
    #[test]
    fn a_reset_of_the_client_reaches_the_target() {
        let ours = testbed::ours!();
        let tunnel = Plan::new(&ours, &ours).start();
        let (mut client, mut target) = tunnel.open();
        send(&mut client.tx);
        target.rx.expect(&mut Pattern::new(1), 4 * DATA as u64);
        client.reset();
        target.rx.expect_reset();
    }

    #[test]
    fn a_reset_of_the_target_reaches_the_client() {
        let ours = testbed::ours!();
        let tunnel = Plan::new(&ours, &ours).start();
        let (mut client, mut target) = tunnel.open();
        send(&mut target.tx);
        client.rx.expect(&mut Pattern::new(1), 4 * DATA as u64);
        target.reset();
        client.rx.expect_reset();
    }

    #[test]
    fn a_reset_after_a_half_close_is_no_clean_end() {
        let ours = testbed::ours!();
        let tunnel = Plan::new(&ours, &ours).start();
        let (client, mut target) = tunnel.open();
        client.tx.finish();
        target.rx.expect_end();
        target.reset();
        let mut answer = client.rx;
        answer.expect_reset();
    }

    #[test]
    fn a_reset_of_the_target_fails_spipe() {
        let ours = testbed::ours!();
        let tunnel = Plan::new(&ours, &ours).with_spipe().start();
        let (mut client, mut target) = tunnel.open();
        send(&mut target.tx);
        client.rx.expect(&mut Pattern::new(1), 4 * DATA as u64);
        target.reset();
        client.rx.expect_end();
        expect_failure(client.spipe);
    }
}
