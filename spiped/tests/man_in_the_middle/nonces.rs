//! Nonces, which choose the version.

use super::*;

/// Random, as those of version 1 are.
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Pattern::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn no_bit_can_be_changed() {
    let middle = Middle::start();
    for way in WAYS {
        for bit in 0..NONCE * 8 {
            middle.attack(way, bit / 8, Fault::Flip(1 << (bit % 8)));
            middle.expect_no_handshake();
        }
    }
    middle.expect_nothing_came_of_it();
}

#[test]
fn no_tag_can_be_stripped_or_made_up() {
    let middle = Middle::start();
    for way in WAYS {
        for (at, by) in [
            (24, random(1, 8)),
            (24, vec![0; 8]),
            (0, random(2, 32)),
            (0, vec![0; 32]),
        ] {
            middle.attack(way, at, Fault::Replace(by));
            middle.expect_no_handshake();
        }
        // The hello moves into its place, or nothing, until the server's time is up.
        middle.attack(way, 24, Fault::Drop(8));
        middle.expect_no_handshake();
    }
    middle.expect_nothing_came_of_it();
}

#[test]
fn none_can_be_replayed() {
    let middle = Middle::start();
    let old = middle.overhear().map(|sent| sent[..32].to_vec());
    for (way, old) in WAYS.into_iter().zip(old) {
        middle.attack(way, 0, Fault::Replace(old));
        middle.expect_no_handshake();
    }
    middle.expect_nothing_came_of_it();
}

#[test]
fn none_is_taken_for_the_other_ends() {
    let middle = Middle::start();
    let [of_client, of_server] = middle.overhear().map(|sent| sent[..32].to_vec());
    for (way, other) in [(Way::ToServer, of_server), (Way::ToClient, of_client)] {
        middle.attack(way, 0, Fault::Replace(other));
        middle.expect_no_handshake();
    }
    // All that a client says comes back to it.
    middle.attack(Way::ToClient, 0, Fault::Reflect(0));
    middle.expect_no_handshake();
    middle.expect_nothing_came_of_it();
}

/// Halves of nonces, and a nonce with the beginning of a hello.
#[test]
fn no_parts_can_change_places() {
    let middle = Middle::start();
    for way in WAYS {
        for (at, length) in [(0, 16), (16, 8), (0, 8), (30, 1)] {
            middle.attack(way, at, Fault::Swap(length));
            middle.expect_no_handshake();
        }
    }
    middle.attack(Way::ToClient, 0, Fault::Swap(32));
    middle.expect_no_handshake();
    middle.expect_nothing_came_of_it();
}
