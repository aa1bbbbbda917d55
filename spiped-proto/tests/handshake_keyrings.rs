//! A server with many keys knows which one its client holds, and takes no other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, HANDSHAKE_LEN, NONCE_LEN, assert_connected, config, entropy, talk};
use spiped_proto::ForwardSecrecy::{Disabled, Enabled, Required};
use spiped_proto::{Error, Keyring, Secret, Step};

/// Around what is tried at once, and many.
const SIZES: [usize; 10] = [1, 2, 15, 16, 17, 33, 64, 65, 80, 1000];

fn key(number: usize) -> Secret {
    Secret::from_key_file(format!("the key of client {number}").as_bytes())
}

fn keyring(size: usize) -> Keyring {
    (0..size).map(key).collect()
}

#[test]
fn a_keyring_has_its_keys_in_order() {
    let keys = keyring(3);
    assert_eq!((keys.len(), keys.iter().len()), (3, 3));
    for (number, secret) in (&keys).into_iter().enumerate() {
        assert!(secret.is_same(&key(number)));
    }
}

fn client(secret: &Secret) -> End {
    End::new(Step::client(secret, config(Disabled), entropy(1)))
}

fn server(keys: &Keyring) -> End {
    End::new(Step::server(keys, config(Disabled), entropy(2)))
}

#[test]
fn each_key_of_many_gets_in_and_is_told_from_the_others() {
    for size in SIZES {
        let keys = keyring(size);
        assert_eq!(keys.len(), size);
        for index in 0..size {
            let (mut client, mut server) = (client(&key(index)), server(&keys));
            talk(&mut client, &mut server);
            assert_eq!(server.key, Some(index), "of {size}");
            assert_eq!(client.key, Some(0));
            assert_connected(&mut client.session(), &mut server.session());
        }
    }
}

#[test]
fn a_key_that_is_not_there_is_a_wrong_key() {
    for size in SIZES.into_iter().chain([0]) {
        let keys = keyring(size);
        assert_eq!(keys.is_empty(), size == 0);
        let (mut client, mut server) = (client(&key(size)), server(&keys));
        talk(&mut client, &mut server);
        assert_eq!(server.failed, Some(Error::HandshakeMac), "{size} keys");
        assert!(!server.proved && !client.proved);
        assert_eq!(server.sent.len(), NONCE_LEN, "it answers nothing");
    }
}

#[test]
fn the_first_of_equal_keys_counts() {
    for places in [vec![0, 1], vec![3, 16, 17], vec![15, 16], vec![40, 99]] {
        let mut keys: Vec<Secret> = (0..100).map(key).collect();
        for place in &places {
            keys[*place] = key(1000);
        }
        let (mut client, mut server) = (client(&key(1000)), server(&keys.into_iter().collect()));
        talk(&mut client, &mut server);
        assert_eq!(server.key, places.first().copied());
    }
}

#[test]
fn any_bit_of_a_hello_counts_for_all_keys() {
    for size in [17, 70] {
        let keys = keyring(size);
        let (mut client, mut whole) = (client(&key(16)), server(&keys));
        talk(&mut client, &mut whole);
        assert!(whole.is_done());
        // Every bit of the MAC, and one of each byte that it covers.
        let mac = (HANDSHAKE_LEN - 32) * 8..HANDSHAKE_LEN * 8;
        let covered = (0..HANDSHAKE_LEN - 32).map(|byte| byte * 8 + byte % 8);
        for bit in mac.chain(covered) {
            let mut sent = client.sent.clone();
            sent[bit / 8] ^= 1 << (bit % 8);
            let mut server = server(&keys);
            server.receive(&sent);
            assert_eq!(server.failed, Some(Error::HandshakeMac), "bit {bit}");
            assert!(!server.proved);
        }
    }
}

#[test]
fn what_is_asked_of_a_client_is_asked_whichever_key_it_holds() {
    for size in [2, 100] {
        let keys = keyring(size);
        let mut server = End::new(Step::server(&keys, config(Required), entropy(2)));
        let mut client = client(&key(size - 1));
        talk(&mut client, &mut server);
        assert_eq!(server.failed, Some(Error::NoForwardSecrecy));

        let mut server = End::new(Step::server(&keys, config(Required), entropy(2)));
        let mut client = End::new(Step::client(&key(size - 1), config(Enabled), entropy(1)));
        talk(&mut client, &mut server);
        assert_eq!(server.key, Some(size - 1));
        assert_connected(&mut client.session(), &mut server.session());
    }
}

#[test]
fn one_client_s_keys_are_not_those_of_another() {
    let keys = keyring(3);
    let (mut first, mut server_of_first) = (client(&key(0)), server(&keys));
    talk(&mut first, &mut server_of_first);
    // All random numbers are the same, and the hello is the other client's.
    let (mut second, mut server_of_second) = (client(&key(1)), server(&keys));
    talk(&mut second, &mut server_of_second);
    let sealed = common::seal(&mut first.session(), b"for the first");
    assert_eq!(
        common::open(&mut server_of_second.session(), &sealed),
        (vec![], Err(Error::PacketMac))
    );
    let opened = common::open(&mut server_of_first.session(), &sealed);
    assert_eq!(opened, (b"for the first".to_vec(), Ok(())));
}
