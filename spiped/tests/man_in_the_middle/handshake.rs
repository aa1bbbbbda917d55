//! Hellos. `faults` has what comes of a FIN and of a RST behind each byte of a handshake.

use std::io::Read;

use super::*;

#[test]
fn no_byte_of_a_hello_can_be_changed() {
    let middle = Middle::start();
    for (way, end) in [(Way::ToServer, FROM_CLIENT), (Way::ToClient, FROM_SERVER)] {
        for at in NONCE..end {
            middle.attack(way, at, Fault::Flip(1 << (at % 8)));
            middle.expect_no_handshake();
        }
    }
    middle.expect_nothing_came_of_it();
}

#[test]
fn nothing_that_was_recorded_is_taken_again() {
    let middle = Middle::start();
    let recorded = middle.overhear();
    for (way, recorded) in WAYS.into_iter().zip(&recorded) {
        for from in [0, 32] {
            let replayed = Fault::Replace(recorded[from..].to_vec());
            middle.attack(way, from as u64, replayed);
            middle.expect_no_handshake();
        }
    }
    // Without any client: the server answers the nonce, and nothing more.
    let [from_client, from_server] = recorded;
    let mut replaying = Duplex::connect(middle.tunnel.middle());
    replaying.tx.write_all(&from_client).unwrap();
    let mut answer = Vec::new();
    let _ = replaying.rx.read_to_end(&mut answer);
    assert!(
        answer.len() <= FROM_SERVER as usize,
        "{} bytes",
        answer.len()
    );
    assert!(answer.is_empty() || answer[..32] != from_server[..32]);
    middle.expect_nothing_came_of_it();
}

#[test]
fn no_parts_of_a_hello_can_change_places_or_come_twice_or_be_lost() {
    let middle = Middle::start();
    for (way, end) in [(Way::ToServer, FROM_CLIENT), (Way::ToClient, FROM_SERVER)] {
        for (at, fault) in [
            // X and the start of what follows it, and the two halves of a tag.
            (NONCE, Fault::Swap(32)),
            (end - 16, Fault::Swap(8)),
            (NONCE + 64, Fault::Repeat(32)),
        ] {
            middle.attack(way, at, fault);
            middle.expect_no_handshake();
        }
    }
    middle.expect_nothing_came_of_it();
}

/// H_S in place of H_C.
#[test]
fn a_servers_hello_is_none_of_a_client() {
    let middle = Middle::start();
    for from in [0, 32] {
        middle.attack(Way::ToServer, NONCE, Fault::Reflect(from));
        middle.expect_no_handshake();
    }
    middle.expect_nothing_came_of_it();
}
