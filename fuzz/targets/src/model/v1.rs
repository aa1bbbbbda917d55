//! Version 1.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};
use spiped_proto::{Error, ForwardSecrecy, Version};

use super::{Direction, Expected, Key, NONCE_LEN, Outcome, Role, hmac};

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

/// What encrypts and authenticates one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) encryption: Key,
    pub(crate) authentication: Key,
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

    /// What comes of it when the peer sends this much; `key` is the number of this key.
    pub(crate) fn expected(&self, peer: &[u8], key: usize) -> Expected {
        let mut expected = Expected {
            sent: self.nonce.to_vec(),
            proved: None,
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
        expected.proved = Some((key, Version::V1));
        if self.role == Role::Server {
            expected.sent.extend(self.own_hello(&own_key));
        }
        let shared = match self.forward_secrecy {
            ForwardSecrecy::Disabled => one(),
            _ => power(&value, &self.exponent),
        };
        let [client, server] = self.order(&self.nonce, peer_nonce);
        let [client, server] = packet_keys(&self.key, client, server, &shared);
        let [own, peers] = self.order(client, server).map(Direction::V1);
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
