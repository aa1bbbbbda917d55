//! A handshake that somebody touched ends with the error for a wrong MAC, and never with a session.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, HANDSHAKE_LEN, HELLO_LEN, NONCE_LEN, any_forward_secrecy, config, talk};
use proptest::prelude::*;
use spiped_proto::ForwardSecrecy::{self, Disabled, Enabled};
use spiped_proto::{Error, Secret, Step};

/// What each end sends in a handshake that goes well: client, server.
fn sent(client: ForwardSecrecy, server: ForwardSecrecy) -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut server) = (End::client(client), End::server(server));
    talk(&mut client, &mut server);
    assert!(client.is_done() && server.is_done());
    (client.sent, server.sent)
}

/// The end refuses what its peer sent, with the last byte of it and not before.
#[track_caller]
fn assert_refused(mut end: End, peer_sent: &[u8]) {
    let (last, before) = peer_sent.split_last().unwrap();
    assert_eq!(end.receive(before), before.len());
    assert_eq!((end.failed, end.missing()), (None, Some(1)));
    end.receive(&[*last]);
    assert_eq!(end.failed, Some(Error::HandshakeMac));
    assert!(!end.proved && !end.is_done());
}

#[test]
fn every_change_of_any_byte_is_refused_by_a_server() {
    let (client_sends, _) = sent(Enabled, Enabled);
    for position in 0..HANDSHAKE_LEN {
        for change in 1..=255 {
            let mut changed = client_sends.clone();
            changed[position] ^= change;
            let server = End::server(Enabled);
            assert_refused(server, &changed);
        }
    }
}

#[test]
fn every_change_of_any_byte_is_refused_by_a_client() {
    // A client without forward secrecy checks the same in less time,
    let (_, server_sends) = sent(Disabled, Enabled);
    for position in 0..HANDSHAKE_LEN {
        for change in 1..=255 {
            let mut changed = server_sends.clone();
            changed[position] ^= change;
            assert_refused(End::client(Disabled), &changed);
        }
    }
    // and one bit a byte shows that it does check the same.
    let (_, server_sends) = sent(Enabled, Enabled);
    for position in 0..HANDSHAKE_LEN {
        let mut changed = server_sends.clone();
        changed[position] ^= 1 << (position % 8);
        assert_refused(End::client(Enabled), &changed);
    }
}

#[test]
fn a_server_that_refuses_a_hello_has_sent_a_nonce_and_nothing_else() {
    let (mut client_sends, _) = sent(Enabled, Enabled);
    client_sends[HANDSHAKE_LEN - 1] ^= 1;
    let mut server = End::server(Enabled);
    server.receive(&client_sends);
    assert_eq!(server.failed, Some(Error::HandshakeMac));
    assert_eq!(server.sent.len(), NONCE_LEN);
}

#[test]
fn ends_with_different_keys_do_not_connect() {
    let other = Secret::from_key_file(b"another key");
    let mut client = End::new(Step::client(&other, config(Enabled), common::entropy(1)));
    let mut server = End::server(Enabled);
    talk(&mut client, &mut server);
    assert_eq!(server.failed, Some(Error::HandshakeMac));
    assert_eq!(
        client.missing(),
        Some(HELLO_LEN),
        "the server answers nothing"
    );
    assert!(!server.proved && !client.proved);

    // A server that answers all the same: it has the nonces of the handshake and another key.
    let mut client = End::new(Step::client(&other, config(Enabled), common::entropy(1)));
    let mut server = End::new(Step::server(&other, config(Enabled), common::entropy(2)));
    talk(&mut client, &mut server);
    assert!(client.is_done());
    assert_refused(End::client(Enabled), &server.sent);
}

#[test]
fn a_client_refuses_its_own_messages_sent_back() {
    let mut client = End::client(Enabled);
    let nonce = client.sent.clone();
    client.receive(&nonce);
    let hello = client.sent[NONCE_LEN..].to_vec();
    client.receive(&hello);
    assert_eq!(client.failed, Some(Error::HandshakeMac));
    assert!(!client.proved);
}

#[test]
fn two_clients_refuse_each_other() {
    for seeds in [(1, 1), (1, 2)] {
        let secret = Secret::from_key_file(common::KEY_FILE);
        let client = |seed| {
            End::new(Step::client(
                &secret,
                config(Enabled),
                common::entropy(seed),
            ))
        };
        let (mut a, mut b) = (client(seeds.0), client(seeds.1));
        talk(&mut a, &mut b);
        assert_eq!(a.failed, Some(Error::HandshakeMac));
        assert_eq!(b.failed, Some(Error::HandshakeMac));
    }
}

#[test]
fn two_servers_wait_for_a_client_that_never_speaks() {
    let (mut a, mut b) = (End::server(Enabled), End::server(Enabled));
    talk(&mut a, &mut b);
    for server in [a, b] {
        assert_eq!(server.missing(), Some(HELLO_LEN));
        assert_eq!(server.close(), Error::TruncatedHandshake);
    }
}

#[test]
fn messages_of_another_handshake_are_refused() {
    let secret = Secret::from_key_file(common::KEY_FILE);
    let (client_sends, server_sends) = sent(Enabled, Enabled);
    assert_refused(
        End::new(Step::server(&secret, config(Enabled), common::entropy(3))),
        &client_sends,
    );
    assert_refused(
        End::new(Step::client(&secret, config(Enabled), common::entropy(3))),
        &server_sends,
    );
}

proptest! {
    #[test]
    fn any_changes_are_refused(
        ours in any_forward_secrecy(),
        changes in prop::collection::vec((0..HANDSHAKE_LEN, 1..=255u8), 1..20),
    ) {
        let (client_sends, server_sends) = sent(Enabled, Enabled);
        for (end, peer_sent) in [
            (End::server(ours), client_sends),
            (End::client(ours), server_sends),
        ] {
            let mut changed = peer_sent.clone();
            for (position, change) in &changes {
                changed[*position] ^= change;
            }
            // They may undo each other.
            if changed != peer_sent {
                assert_refused(end, &changed);
            }
        }
    }
}
