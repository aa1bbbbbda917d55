//! Which version two ends speak, and that nobody in between can choose another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{End, KEY_FILE, entropy, fill, pieces, talk};
use proptest::prelude::*;
use spiped_proto::{
    BUFFER_LEN, Error, HandshakeConfig, Keyring, Opened, Secret, Session, Step, Version,
    Versions::{self, Newest, Only},
};

const ALL: [Versions; 3] = [Newest, Only(Version::V1), Only(Version::V2)];
const SERVER_SENDS: usize = 32 + 1232;
const CLIENT_SENDS: usize = 32 + 1136;

fn config(versions: Versions) -> HandshakeConfig {
    HandshakeConfig::default()
        .with_versions(versions)
        .with_forward_secrecy(spiped_proto::ForwardSecrecy::Disabled)
}

fn client(versions: Versions) -> End {
    client_with(versions, KEY_FILE, 1)
}

fn client_with(versions: Versions, key: &[u8], seed: u8) -> End {
    let secret = Secret::from_key_file(key);
    End::new(Step::client(&secret, config(versions), entropy(seed)))
}

fn server(versions: Versions) -> End {
    let secret = Secret::from_key_file(KEY_FILE);
    End::new(Step::server(&secret, config(versions), entropy(2)))
}

/// What two ends of version 2 send: client, server.
fn sent() -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut server) = (client(Newest), server(Newest));
    talk(&mut client, &mut server);
    assert_eq!(
        (client.sent.len(), server.sent.len()),
        (CLIENT_SENDS, SERVER_SENDS)
    );
    (client.sent, server.sent)
}

/// One can open what the other seals.
fn pass(from: &mut Session, to: &mut Session) {
    let mut buffer = vec![0; BUFFER_LEN];
    let filled = fill(&from.sealer, &mut buffer, b"message");
    let sealed = from.sealer.seal(&mut buffer, filled).unwrap();
    match to.opener.open(&mut buffer[..sealed]) {
        Ok(Opened::Data {
            consumed,
            plaintext,
        }) => {
            assert_eq!((consumed, &buffer[plaintext]), (sealed, &b"message"[..]));
        }
        other => panic!("a record is there: {other:?}"),
    }
}

/// The newest version that both allow, if there is one.
fn common_version(ours: Versions, theirs: Versions) -> Option<Version> {
    let both = |version| ours.allow(version) && theirs.allow(version);
    [Version::V2, Version::V1]
        .into_iter()
        .find(|version| both(*version))
}

#[test]
fn ends_speak_the_newest_version_that_both_allow_whichever_key_it_is() {
    let key = |number: usize| format!("key {number}").into_bytes();
    for size in [1, 2, 17, 130] {
        let keys: Keyring = (0..size)
            .map(|number| Secret::from_key_file(&key(number)))
            .collect();
        for (ours, theirs) in ALL
            .into_iter()
            .flat_map(|ours| ALL.map(|theirs| (ours, theirs)))
        {
            for index in [0, size / 2, size - 1] {
                let mut client = client_with(ours, &key(index), 1);
                let mut server = End::new(Step::server(&keys, config(theirs), entropy(2)));
                talk(&mut client, &mut server);
                let Some(version) = common_version(ours, theirs) else {
                    assert!(!client.proved && !server.proved);
                    let failed = [client.failed, server.failed];
                    assert!(
                        failed.contains(&Some(Error::Version)),
                        "{ours:?}, {theirs:?}"
                    );
                    continue;
                };
                assert_eq!(server.key, Some(index));
                let (mut client, mut server) = (client.session(), server.session());
                assert_eq!([client.version, server.version], [version; 2]);
                let strong = version == Version::V2;
                assert_eq!(
                    [client.forward_secrecy, server.forward_secrecy],
                    [strong; 2]
                );
                pass(&mut client, &mut server);
                pass(&mut server, &mut client);
            }
        }
    }
}

#[test]
fn a_stranger_gets_no_byte_of_a_server_that_does_version_2_only() {
    for stranger in [
        client_with(Newest, b"another", 1),
        client(Only(Version::V1)),
    ] {
        let mut server = server(Only(Version::V2));
        assert!(server.sent.is_empty());
        server.receive(&stranger.sent);
        assert_eq!(
            (server.failed, server.sent.len()),
            (Some(Error::Version), 0)
        );
    }
}

#[test]
fn the_key_decides_in_version_1_for_who_holds_another_one() {
    let mut client = client_with(Newest, b"another", 1);
    let mut server = server(Newest);
    talk(&mut client, &mut server);
    assert_eq!(server.failed, Some(Error::HandshakeMac));
    assert_eq!(server.sent.len(), 32);
}

/// A version that somebody in between has chosen must not come to be: neither end may think that
/// the other is there.
fn assert_no_downgrade(a: &End, b: &End) {
    for end in [a, b] {
        assert!(!end.proved && !end.is_done(), "{:?}", end.failed);
    }
}

#[test]
fn no_bit_of_a_nonce_can_be_changed_unnoticed() {
    for bit in 0..32 * 8 {
        for of_client in [true, false] {
            let (mut client, mut server) = (client(Newest), server(Newest));
            let mut nonce_c = client.sent.clone();
            if of_client {
                nonce_c[bit / 8] ^= 1 << (bit % 8);
            }
            server.receive(&nonce_c);
            let mut from_server = server.sent.clone();
            if !of_client {
                from_server[bit / 8] ^= 1 << (bit % 8);
            }
            let (mut to_client, mut to_server) = (from_server.len(), client.sent.len());
            client.receive(&from_server);
            for _ in 0..3 {
                let (from_client, from_server) = (
                    client.sent[to_server..].to_vec(),
                    server.sent[to_client..].to_vec(),
                );
                (to_server, to_client) = (client.sent.len(), server.sent.len());
                server.receive(&from_client);
                client.receive(&from_server);
            }
            assert_no_downgrade(&client, &server);
        }
    }
}

#[test]
fn no_bit_of_a_hello_can_be_changed_unnoticed() {
    let (client_sends, server_sends) = sent();
    for bit in (32 * 8..SERVER_SENDS * 8).step_by(3) {
        let mut changed = server_sends.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut client = client(Newest);
        client.receive(&changed);
        assert_eq!(client.failed, Some(Error::HelloTag), "bit {bit}");
        assert_eq!((client.proved, client.sent.len()), (false, 32));
    }
    for bit in (32 * 8..CLIENT_SENDS * 8).step_by(29) {
        let mut changed = client_sends.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut server = server(Newest);
        server.receive(&changed);
        assert_eq!(server.failed, Some(Error::HelloTag), "bit {bit}");
        assert!(!server.proved);
    }
}

#[test]
fn what_is_replayed_or_sent_back_proves_nothing() {
    let (client_sends, server_sends) = sent();
    // A nonce that was recorded gets a hello, and its hello does not fit.
    let secret = Secret::from_key_file(KEY_FILE);
    let mut server = End::new(Step::server(&secret, config(Newest), entropy(9)));
    server.receive(&client_sends);
    assert_eq!(server.failed, Some(Error::HelloTag));
    assert_eq!((server.proved, server.sent.len()), (false, SERVER_SENDS));
    // A server that was recorded is none of this client's.
    let mut client = client_with(Newest, KEY_FILE, 9);
    client.receive(&server_sends);
    assert!(!client.proved);
    // Its own bytes are those of no server.
    let mut client = client_with(Only(Version::V2), KEY_FILE, 1);
    client.receive(&client_sends);
    assert_eq!(
        (client.failed, client.sent.len()),
        (Some(Error::Version), 32)
    );
}

#[test]
fn a_handshake_cut_anywhere_is_truncated() {
    let (client_sends, server_sends) = sent();
    for len in 0..SERVER_SENDS {
        let mut client = client(Newest);
        assert_eq!(client.receive(&server_sends[..len]), len);
        assert!(!client.proved);
        assert_eq!(client.close(), Error::TruncatedHandshake);
    }
    for len in 0..CLIENT_SENDS {
        let mut server = server(Newest);
        assert_eq!(server.receive(&client_sends[..len]), len);
        assert!(!server.proved);
        assert_eq!(server.close(), Error::TruncatedHandshake);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_cut_of_what_arrives_is_as_good_as_none(
        lengths in prop::collection::vec(1..1300usize, 1..10),
    ) {
        let (client_sends, server_sends) = sent();
        let (mut client, mut server) = (client(Newest), server(Newest));
        for piece in pieces(&server_sends, &lengths) {
            client.receive(piece);
        }
        for piece in pieces(&client_sends, &lengths) {
            server.receive(piece);
        }
        prop_assert_eq!(&client.sent, &client_sends);
        prop_assert_eq!(&server.sent, &server_sends);
        let (mut client, mut server) = (client.session(), server.session());
        pass(&mut client, &mut server);
    }

    #[test]
    fn neither_end_takes_garbage_for_a_handshake(
        garbage in prop::collection::vec(any::<u8>(), 0..3000),
        versions in prop::sample::select(&ALL[..]),
    ) {
        for mut end in [client(versions), server(versions)] {
            end.receive(&garbage);
            prop_assert!(!end.proved && !end.is_done());
        }
    }
}
