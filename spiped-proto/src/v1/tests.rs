//! The known answers of `vectors/v1.json`, every value of them, through both roles.

use serde_json::Value;

use crate::group14::{self, Exponent};
use crate::handshake::{Nonce, Role};
use crate::kdf::{self, HelloKeys, SessionKeys};
use crate::mac;
use crate::packet::{Opener, Sealer};
use crate::{Error, ForwardSecrecy, Secret, Session, Step};

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Self> {
        let file: Value = serde_json::from_str(include_str!("../vectors/v1.json")).unwrap();
        let handshakes = file["handshakes"].as_array().unwrap();
        assert_eq!(handshakes.len(), 5);
        handshakes.iter().cloned().map(Self).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.0[name].as_str().unwrap())
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    fn secret(&self) -> Secret {
        Secret::from_key_file(&self.bytes("key_file"))
    }

    /// The exponent of one end; `None` where it is fast.
    fn exponent(&self, name: &str) -> Option<Exponent> {
        let bytes: [u8; 32] = self.array(name);
        (bytes != [0; 32]).then(|| Exponent::from_be_bytes(&bytes))
    }

    fn start(&self, role: Role) -> Step {
        let (secret, forward_secrecy) = (self.secret(), ForwardSecrecy::Enabled);
        match role {
            Role::Client => {
                let (nonce, exponent) = (self.array("nonce_C"), self.exponent("x_C"));
                Step::begin_client(secret, forward_secrecy, nonce, exponent)
            }
            Role::Server => {
                let (nonce, exponent) = (self.array("nonce_S"), self.exponent("x_S"));
                Step::begin_server(secret.into(), forward_secrecy, nonce, exponent)
            }
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    assert!(digits.remainder().is_empty());
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Runs one role to its end against the peer's bytes; returns what it sent and its keys.
fn run(mut step: Step, mut peer: &[u8]) -> Result<(Vec<u8>, Session), Error> {
    let mut sent = Vec::new();
    loop {
        step = match step {
            Step::Send(outgoing) => {
                sent.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Receive(incoming) => {
                let (used, next) = incoming.feed(peer)?;
                peer = peer.split_at(used).1;
                next
            }
            Step::Compute(computation) => computation.run()?,
            Step::Proved(proved) => proved.proceed(),
            Step::Done(session) => {
                assert!(peer.is_empty());
                return Ok((sent, *session));
            }
        };
    }
}

#[test]
fn keys_are_derived() {
    for vector in Vector::all() {
        let secret = vector.secret();
        let mut pads = [[[0; 8]; 2]];
        mac::absorb::<1>(&[vector.array("K")], &mut pads);
        assert_eq!([*secret.pads()], pads);
        let (client, server): (Nonce, Nonce) = (vector.array("nonce_C"), vector.array("nonce_S"));
        let salt = kdf::salt(&client, &server);
        let hello_keys = HelloKeys::derive(&secret, &salt);
        assert_eq!(hello_keys.client().as_bytes()[..], vector.bytes("dhmac_C"));
        assert_eq!(hello_keys.server().as_bytes()[..], vector.bytes("dhmac_S"));
        let keys = SessionKeys::derive(&secret, &salt, &vector.array("y_SC"));
        let dk_2 = [
            *keys.client().encryption,
            *keys.client().authentication,
            *keys.server().encryption,
            *keys.server().authentication,
        ];
        assert_eq!(dk_2.concat(), vector.bytes("dk_2"));
    }
}

#[test]
fn both_ends_compute_the_shared_value() {
    for vector in Vector::all() {
        for (own, peer) in [("x_C", "server_hello"), ("x_S", "client_hello")] {
            let peer_hello = vector.bytes(peer);
            let (peer_value, _) = peer_hello.split_first_chunk().unwrap();
            let exponent = Exponent::from_be_bytes(&vector.array::<32>(own));
            assert_eq!(
                group14::power(peer_value, &exponent)[..],
                vector.bytes("y_SC")
            );
        }
    }
}

#[test]
fn both_roles_send_the_known_messages_and_packets() {
    for vector in Vector::all() {
        let client_sends = [vector.bytes("nonce_C"), vector.bytes("client_hello")].concat();
        let server_sends = [vector.bytes("nonce_S"), vector.bytes("server_hello")].concat();
        let (sent, client) = run(vector.start(Role::Client), &server_sends).unwrap();
        assert_eq!(sent, client_sends);
        let (sent, server) = run(vector.start(Role::Server), &client_sends).unwrap();
        assert_eq!(sent, server_sends);
        check_packets(&vector, "client", client.sealer, server.opener);
        check_packets(&vector, "server", server.sealer, client.opener);
    }
}

fn check_packets(vector: &Vector, sender: &str, mut sealer: Sealer, mut opener: Opener) {
    let packets = vector.0["packets"].as_array().unwrap();
    let packets = packets.iter().filter(|packet| packet["sender"] == sender);
    let mut checked = 0;
    for packet in packets {
        let number = packet["number"].as_u64().unwrap();
        let message = unhex(packet["message"].as_str().unwrap());
        let expected = unhex(packet["packet"].as_str().unwrap());

        sealer.skip_to(number);
        let mut sealed = vec![0; Sealer::sealed_len(message.len())];
        let progress = sealer.seal(&message, &mut sealed).unwrap();
        assert_eq!(
            (progress.consumed, progress.produced),
            (message.len(), expected.len())
        );
        assert_eq!(sealed, expected);

        opener.skip_to(number);
        let mut opened = vec![0; Opener::MIN_OUTPUT];
        let progress = opener.open(&expected, &mut opened).unwrap();
        assert_eq!(progress.consumed, expected.len());
        assert_eq!(opened.split_at(progress.produced).0, message);
        checked += 1;
    }
    assert_eq!(checked, 9);
}
