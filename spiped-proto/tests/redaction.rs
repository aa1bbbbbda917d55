//! What `Debug` prints does not depend on any secret.

#![allow(clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::entropy;
use spiped_proto::{
    HandshakeConfig, Keyring, Secret, SecretHasher, Session, Step, Version, Versions,
};

/// Takes the steps of one end that need nothing more from the peer, and notes how each prints.
fn advance(mut step: Step, mut from_peer: &[u8], printed: &mut Vec<String>) -> (Vec<u8>, Step) {
    let mut sent = Vec::new();
    loop {
        printed.push(format!("{step:?}"));
        step = match step {
            Step::Send(outgoing) => {
                sent.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Receive(incoming) if !from_peer.is_empty() => {
                let (used, next) = incoming
                    .feed(from_peer)
                    .unwrap_or_else(|error| panic!("both ends hold the key: {error}"));
                from_peer = from_peer.split_at(used).1;
                next
            }
            Step::Compute(computation) => {
                let run = computation.run();
                run.unwrap_or_else(|error| panic!("both ends hold the key: {error}"))
            }
            Step::Authenticated(peer) => peer.proceed(),
            waiting_or_done => return (sent, waiting_or_done),
        };
    }
}

/// How all that holds a secret prints, in a connection with this key and these random bytes.
fn printed(version: Version, key: &[u8], seed: u8) -> Vec<String> {
    let config = HandshakeConfig::default().with_versions(Versions::Only(version));
    let secret = Secret::from_key_file(key);
    let mut hasher = SecretHasher::new();
    hasher.update(key);
    let keys: Keyring = [secret.clone()].into_iter().collect();
    let mut printed = vec![
        format!("{secret:?} {hasher:?} {keys:?} {:?}", entropy(seed)),
        format!("{:#?}", hasher.finish()),
    ];
    let mut client = Step::client(&secret, config, entropy(seed));
    let mut server = Step::server(&secret, config, entropy(!seed));
    let mut from_server = Vec::new();
    for _ in 0..4 {
        let from_client;
        (from_client, client) = advance(client, &from_server, &mut printed);
        (from_server, server) = advance(server, &from_client, &mut printed);
    }
    let (Step::Done(client), Step::Done(server)) = (client, server) else {
        panic!("the handshake is over");
    };
    for mut session in [client, server] {
        let mut buffer = [seed; 4096];
        let sealed = session.sealer.seal(&mut buffer, 1);
        printed.push(format!("{sealed:?} {session:?}"));
        let Session { sealer, opener, .. } = *session;
        printed.push(format!("{sealer:#?} {opener:#?}"));
    }
    printed
}

#[test]
fn whatever_the_secrets_are_the_same_is_printed() {
    for version in [Version::V1, Version::V2] {
        let one = printed(version, b"one key", 1);
        let other = printed(version, b"quite another key", 2);
        assert!(one.len() > 10, "{one:?}");
        assert_eq!(one, other);
    }
}
