//! The known answers of `vectors/v1.json`, every value of them, through both roles.

use serde_json::Value;

use super::kdf::SaltedKeys;
use super::local_end::LocalEnd;
use super::{Client, Nonce, Server};
use crate::crypto::group14::{self, Exponent};
use crate::crypto::hmac::HmacKey;
use crate::next::Next;
use crate::testing::unhex;
use crate::{BUFFER_LEN, Error, HandshakeConfig, Opened, Secret, Session};

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Self> {
        let file: Value = serde_json::from_str(include_str!("../../vectors/v1.json")).unwrap();
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
        (bytes != [0; 32]).then(|| Exponent::known(&bytes))
    }

    /// An end with the nonce and the exponent of these names.
    fn local(&self, nonce: &str, exponent: &str) -> LocalEnd {
        let (nonce, x) = (self.array(nonce), self.exponent(exponent));
        LocalEnd::with(HandshakeConfig::default(), nonce, x)
    }

    fn client(&self) -> Next<Client> {
        Client::begin(self.secret(), self.local("nonce_C", "x_C"))
    }

    fn server(&self) -> Next<Server> {
        Server::begin(self.secret().into(), self.local("nonce_S", "x_S"))
    }
}

/// Runs one role to its end against the peer's bytes; returns what it sent and its keys.
fn run<S>(
    mut next: Next<S>,
    advance: fn(S, &[u8]) -> Result<Next<S>, Error>,
    mut peer: &[u8],
) -> (Vec<u8>, Session) {
    let mut sent = Vec::new();
    loop {
        next = match next {
            Next::Send { bytes, then } => {
                sent.extend(bytes);
                *then
            }
            Next::Receive { len, state } => {
                let (message, rest) = peer.split_at(len);
                peer = rest;
                advance(state, message).unwrap()
            }
            Next::Compute { state, .. } => advance(state, &[]).unwrap(),
            Next::Authenticated { then, .. } => *then,
            Next::Done(session) => {
                assert!(peer.is_empty());
                return (sent, *session);
            }
        };
    }
}

#[test]
fn keys_are_derived() {
    for vector in Vector::all() {
        let secret = vector.secret();
        let key = HmacKey::new(&vector.array("K"));
        assert!(bool::from(secret.key().is_same(&key)));
        let nonces: [Nonce; 2] = [vector.array("nonce_C"), vector.array("nonce_S")];
        let salted = SaltedKeys::derive(secret, nonces);
        assert_eq!(salted.dk_1[0][..], vector.bytes("dhmac_C"));
        assert_eq!(salted.dk_1[1][..], vector.bytes("dhmac_S"));
        let keys = salted.session_keys(&vector.array("y_SC"));
        assert_eq!(keys.0.concat(), vector.bytes("dk_2"));
        let directions = [keys.client(), keys.server()];
        let dk_2 = directions.map(|keys| [*keys.e, *keys.h].concat());
        assert_eq!(dk_2.concat(), vector.bytes("dk_2"));
    }
}

#[test]
fn both_ends_compute_the_shared_value() {
    for vector in Vector::all() {
        for (own, peer) in [("x_C", "server_hello"), ("x_S", "client_hello")] {
            let peer_hello = vector.bytes(peer);
            let (peer_value, _) = peer_hello.split_first_chunk().unwrap();
            let exponent = Exponent::known(&vector.array::<32>(own));
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
        let (sent, mut client) = run(vector.client(), Client::next, &server_sends);
        assert_eq!(sent, client_sends);
        let (sent, mut server) = run(vector.server(), Server::next, &client_sends);
        assert_eq!(sent, server_sends);
        check_packets(&vector, "client", &mut client, &mut server);
        check_packets(&vector, "server", &mut server, &mut client);
    }
}

fn check_packets(vector: &Vector, sender: &str, from: &mut Session, to: &mut Session) {
    let packets = vector.0["packets"].as_array().unwrap();
    let packets = packets.iter().filter(|packet| packet["sender"] == sender);
    let mut checked = 0;
    for packet in packets {
        let number = packet["number"].as_u64().unwrap();
        let message = unhex(packet["message"].as_str().unwrap());
        let expected = unhex(packet["packet"].as_str().unwrap());

        from.skip_to(number);
        let mut buffer = vec![0; BUFFER_LEN];
        let slot = from.sealer.slots(&mut buffer).next().unwrap();
        slot[..message.len()].copy_from_slice(&message);
        let sealed = from.sealer.seal(&mut buffer, message.len()).unwrap();
        buffer.truncate(sealed);
        assert_eq!(buffer, expected);

        to.skip_to(number);
        let opened = Opened::Data {
            consumed: expected.len(),
            plaintext: 0..message.len(),
        };
        assert_eq!(to.opener.open(&mut buffer), Ok(opened));
        assert_eq!(buffer[..message.len()], message);
        checked += 1;
    }
    assert_eq!(checked, 9);
}
