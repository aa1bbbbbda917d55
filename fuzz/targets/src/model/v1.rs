//! The protocol a second time, slow and plain, from `docs/protocol.md`: what the fast one is
//! compared with. It shares SHA-256 and the AES block with it, and nothing else; its tests
//! hold it to the known answers.

use std::sync::OnceLock;

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use spiped_proto::{Error, ForwardSecrecy};

pub(crate) const NONCE_LEN: usize = 32;
pub(crate) const HELLO_LEN: usize = 256 + 32;
pub(crate) const PAYLOAD_LEN: usize = 1024;
pub(crate) const PACKET_LEN: usize = 1024 + 4 + 32;

/// RFC 3526, section 3.
const P: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
    020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
    4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf05\
    98da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb\
    9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf695581718\
    3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff";

pub(crate) type Element = [u8; 256];
type Key = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What encrypts and authenticates one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) encryption: Key,
    pub(crate) authentication: Key,
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// K, from the contents of a key file.
pub(crate) fn shared_key(key_file: &[u8]) -> Key {
    Sha256::digest(key_file).into()
}

/// N blocks of PBKDF2-HMAC-SHA256 with one iteration.
fn pbkdf2<const N: usize>(key: &Key, salt: &[&[u8]]) -> [Key; N] {
    let salt = salt.concat();
    std::array::from_fn(|i| {
        let number = u32::try_from(i + 1).unwrap().to_be_bytes();
        hmac(key, &[&salt, &number])
    })
}

/// dhmac_C and dhmac_S.
pub(crate) fn hello_keys(key: &Key, client: &Key, server: &Key) -> [Key; 2] {
    pbkdf2(key, &[client, server])
}

/// The keys of the client's packets and of the server's.
pub(crate) fn packet_keys(key: &Key, client: &Key, server: &Key, shared: &Element) -> [Keys; 2] {
    let [e_c, h_c, e_s, h_s] = pbkdf2(key, &[client, server, shared]);
    [(e_c, h_c), (e_s, h_s)].map(|(encryption, authentication)| Keys {
        encryption,
        authentication,
    })
}

pub(crate) fn prime() -> U2048 {
    U2048::from_be_hex(P)
}

pub(crate) fn element(number: &U2048) -> Element {
    number.to_be_bytes().as_ref().try_into().unwrap()
}

/// The exponent that a handshake makes of 32 random bytes.
pub(crate) fn exponent(random: &[u8; 32]) -> U320 {
    let mut bytes = [0; 40];
    bytes[8..].copy_from_slice(random);
    // 2^258 is bit 2 of the byte before.
    bytes[7] = 4;
    U320::from_be_slice(&bytes)
}

/// base^x mod p.
pub(crate) fn power(base: &Element, exponent: &U320) -> Element {
    static PARAMS: OnceLock<FixedMontyParams<{ U2048::LIMBS }>> = OnceLock::new();
    let params = PARAMS.get_or_init(|| FixedMontyParams::new_vartime(Odd::new(prime()).unwrap()));
    let base = FixedMontyForm::new(&U2048::from_be_slice(base), params);
    element(&base.pow_bounded_exp(exponent, 259).retrieve())
}

pub(crate) fn two() -> Element {
    element(&U2048::from_u8(2))
}

pub(crate) fn one() -> Element {
    element(&U2048::ONE)
}

/// What one end is given.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) role: Role,
    pub(crate) key: Key,
    pub(crate) forward_secrecy: ForwardSecrecy,
    pub(crate) nonce: Key,
    pub(crate) exponent: U320,
}

/// What it must make of what the peer sends.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) sent: Vec<u8>,
    pub(crate) proved: bool,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// A message is not whole; so many bytes are missing.
    Waiting(usize),
    Failed(Error),
    /// Keys for what this end sends, and for what it receives.
    Done {
        own: Keys,
        peers: Keys,
    },
}

impl Handshake {
    fn order<T>(&self, own: T, peers: T) -> [T; 2] {
        match self.role {
            Role::Client => [own, peers],
            Role::Server => [peers, own],
        }
    }

    /// The keys of the own hello and of the peer's, once its nonce is known.
    pub(crate) fn hello_keys(&self, peer_nonce: &Key) -> [Key; 2] {
        let [client, server] = self.order(&self.nonce, peer_nonce);
        let [client, server] = hello_keys(&self.key, client, server);
        self.order(client, server)
    }

    fn own_hello(&self, key: &Key) -> Vec<u8> {
        let value = match self.forward_secrecy {
            ForwardSecrecy::Disabled => one(),
            _ => power(&two(), &self.exponent),
        };
        [&value[..], &hmac(key, &[&value])].concat()
    }

    fn judge(&self, key: &Key, hello: &[u8]) -> Result<Element, Error> {
        let (value, mac) = hello.split_at(256);
        let value: Element = value.try_into().unwrap();
        if hmac(key, &[&value]) != mac {
            Err(Error::HandshakeMac)
        } else if value == element(&U2048::ZERO)
            || U2048::from_be_slice(&value) >= prime().wrapping_sub(&U2048::ONE)
        {
            Err(Error::PublicValueRange)
        } else if self.forward_secrecy == ForwardSecrecy::Required && value == one() {
            Err(Error::NoForwardSecrecy)
        } else {
            Ok(value)
        }
    }

    /// What comes of it when the peer sends this much.
    pub(crate) fn expected(&self, peer: &[u8]) -> Expected {
        let mut expected = Expected {
            sent: self.nonce.to_vec(),
            proved: false,
            outcome: Outcome::Waiting(NONCE_LEN.saturating_sub(peer.len())),
        };
        let Some((peer_nonce, rest)) = peer.split_first_chunk() else {
            return expected;
        };
        let [own_key, peers_key] = self.hello_keys(peer_nonce);
        if self.role == Role::Client {
            expected.sent.extend(self.own_hello(&own_key));
        }
        if rest.len() < HELLO_LEN {
            expected.outcome = Outcome::Waiting(HELLO_LEN - rest.len());
            return expected;
        }
        let value = match self.judge(&peers_key, &rest[..HELLO_LEN]) {
            Ok(value) => value,
            Err(error) => {
                expected.outcome = Outcome::Failed(error);
                return expected;
            }
        };
        expected.proved = true;
        if self.role == Role::Server {
            expected.sent.extend(self.own_hello(&own_key));
        }
        let shared = match self.forward_secrecy {
            ForwardSecrecy::Disabled => one(),
            _ => power(&value, &self.exponent),
        };
        let [client, server] = self.order(&self.nonce, peer_nonce);
        let [client, server] = packet_keys(&self.key, client, server, &shared);
        let [own, peers] = self.order(client, server);
        expected.outcome = Outcome::Done { own, peers };
        expected
    }
}

impl Keys {
    fn crypt(&self, number: u64, bytes: &mut [u8]) {
        let cipher = Aes256::new((&self.encryption).into());
        for (block, chunk) in bytes.chunks_mut(16).enumerate() {
            let mut counter = [0; 16];
            counter[..8].copy_from_slice(&number.to_be_bytes());
            counter[8..].copy_from_slice(&(block as u64).to_be_bytes());
            let mut keystream = counter.into();
            cipher.encrypt_block(&mut keystream);
            for (byte, key) in chunk.iter_mut().zip(keystream) {
                *byte ^= key;
            }
        }
    }

    fn tag(&self, number: u64, encrypted: &[u8]) -> [u8; 32] {
        hmac(&self.authentication, &[encrypted, &number.to_be_bytes()])
    }

    /// One packet, whose length may be a lie.
    pub(crate) fn seal(&self, number: u64, payload: &[u8], length: u32) -> Vec<u8> {
        let mut packet = vec![0; PAYLOAD_LEN];
        packet[..payload.len()].copy_from_slice(payload);
        packet.extend(length.to_be_bytes());
        self.crypt(number, &mut packet);
        packet.extend(self.tag(number, &packet));
        packet
    }

    /// All that a stream of packets carries, from packet 0 on, and how it ends.
    pub(crate) fn open(&self, stream: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        let mut opened = Vec::new();
        let packets = stream.chunks_exact(PACKET_LEN);
        let unopened = packets.remainder().len();
        for (number, packet) in (0..).zip(packets) {
            let (encrypted, tag) = packet.split_at(PAYLOAD_LEN + 4);
            if self.tag(number, encrypted) != tag {
                return (opened, Err(Error::PacketMac));
            }
            let mut padded = encrypted.to_vec();
            self.crypt(number, &mut padded);
            let (payload, length) = padded.split_at(PAYLOAD_LEN);
            let length = u32::from_be_bytes(length.try_into().unwrap());
            if !(1..=1024).contains(&length) {
                return (opened, Err(Error::PacketLength(length)));
            }
            opened.extend_from_slice(&payload[..length as usize]);
        }
        match unopened {
            0 => (opened, Ok(())),
            _ => (opened, Err(Error::TruncatedPacket)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn unhex(value: &Value) -> Vec<u8> {
        let digits = value.as_str().unwrap().as_bytes().chunks_exact(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn array<const N: usize>(value: &Value) -> [u8; N] {
        unhex(value).try_into().unwrap()
    }

    fn known_answers() -> Vec<Value> {
        let file = include_str!("../../../../spiped-proto/vectors/v1.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let handshakes = file["handshakes"].as_array().unwrap();
        assert_eq!(handshakes.len(), 5);
        handshakes.clone()
    }

    fn check_end(answer: &Value, role: Role, own: &str, peers: &str) {
        let random: [u8; 32] = array(&answer[format!("x_{own}")]);
        let mut exponent_bytes = [0; 40];
        exponent_bytes[8..].copy_from_slice(&random);
        let handshake = Handshake {
            role,
            key: shared_key(&unhex(&answer["key_file"])),
            forward_secrecy: match random {
                [0, ..] if random == [0; 32] => ForwardSecrecy::Disabled,
                _ => ForwardSecrecy::Enabled,
            },
            nonce: array(&answer[format!("nonce_{own}")]),
            exponent: U320::from_be_slice(&exponent_bytes),
        };
        assert_eq!(handshake.key, array(&answer["K"]));
        let name = |end: &str| match end {
            "C" => "client_hello",
            _ => "server_hello",
        };
        let said = |end: &str| {
            let nonce = unhex(&answer[format!("nonce_{end}")]);
            [nonce, unhex(&answer[name(end)])].concat()
        };
        let expected = handshake.expected(&said(peers));
        assert!(expected.proved);
        assert_eq!(expected.sent, said(own));
        let Outcome::Done { own, peers } = expected.outcome else {
            panic!("{expected:?}");
        };
        let [client, server] = handshake.order(own, peers);
        let all = [
            client.encryption,
            client.authentication,
            server.encryption,
            server.authentication,
        ];
        assert_eq!(all.concat(), unhex(&answer["dk_2"]));
        for packet in answer["packets"].as_array().unwrap() {
            let keys = match packet["sender"].as_str() {
                Some("client") => &client,
                _ => &server,
            };
            let message = unhex(&packet["message"]);
            let number = packet["number"].as_u64().unwrap();
            let length = u32::try_from(message.len()).unwrap();
            assert_eq!(
                keys.seal(number, &message, length),
                unhex(&packet["packet"])
            );
        }
    }

    #[test]
    fn the_model_gives_the_known_answers() {
        for answer in known_answers() {
            check_end(&answer, Role::Client, "C", "S");
            check_end(&answer, Role::Server, "S", "C");
        }
    }

    #[test]
    fn what_the_model_seals_it_opens() {
        let keys = Keys {
            encryption: [1; 32],
            authentication: [2; 32],
        };
        let mut stream = [keys.seal(0, b"one", 3), keys.seal(1, &[2; 1024], 1024)].concat();
        let opened = [&b"one"[..], &[2; 1024]].concat();
        assert_eq!(keys.open(&stream), (opened.clone(), Ok(())));
        stream.extend(keys.seal(2, b"", 0));
        assert_eq!(keys.open(&stream), (opened, Err(Error::PacketLength(0))));
        stream.truncate(PACKET_LEN + 1);
        let cut = (b"one".to_vec(), Err(Error::TruncatedPacket));
        assert_eq!(keys.open(&stream), cut);
        stream[PACKET_LEN - 1] ^= 1;
        assert_eq!(keys.open(&stream), (Vec::new(), Err(Error::PacketMac)));
    }
}
