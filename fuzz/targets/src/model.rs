//! The protocol a second time, slow and plain, from `docs/protocol.md`: what the fast one is compared
//! with. It has SHA-256, the AES block, X25519 and ML-KEM from libraries, the last two from others
//! than those that the fast one uses where the processor is new enough. Its tests hold it to the known
//! answers.
//!
//! Here is how the version is chosen; each version has a room of its own.

mod gcm;
#[cfg(test)]
mod testing;
pub(crate) mod v1;
pub(crate) mod v2;

use aes::cipher::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use spiped_proto::{Entropy, Error, ForwardSecrecy, Version, Versions};

pub(crate) const NONCE_LEN: usize = 32;

/// 32 bytes: a key, a nonce, a hash or a point.
pub type Key = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// K, from the contents of a key file.
pub fn shared_key(key_file: &[u8]) -> Key {
    Sha256::digest(key_file).into()
}

/// What one end is given.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) role: Role,
    /// One at a client.
    pub(crate) keys: Vec<Key>,
    pub(crate) versions: Versions,
    pub(crate) forward_secrecy: ForwardSecrecy,
    /// A nonce, x of version 1, an X25519 private key, and the two seeds of an ML-KEM key pair, of
    /// which a client uses the first one as its m.
    pub(crate) random: [u8; Entropy::LEN],
}

/// What it must make of what the peer sends.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) sent: Vec<u8>,
    /// The key that the peer has shown to hold, and the version.
    pub(crate) proved: Option<(usize, Version)>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// A message is not whole; so many bytes are missing.
    Waiting(usize),
    Failed(Error),
    /// What seals that which this end sends, and that which it receives.
    Done {
        own: Direction,
        peers: Direction,
    },
}

/// What encrypts and authenticates one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    V1(v1::Keys),
    V2(v2::Secret),
}

impl Direction {
    /// All that a stream carries, from its first byte on, and how it ends.
    pub(crate) fn open(&self, stream: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        match self {
            Self::V1(keys) => keys.open(stream),
            Self::V2(secret) => secret.open(stream),
        }
    }
}

impl Party {
    fn part<const N: usize>(&self, from: usize) -> [u8; N] {
        self.random[from..from + N].try_into().unwrap()
    }

    /// The end of a connection that speaks version 1, with this nonce.
    pub(crate) fn v1(&self, key: Key, nonce: Key) -> v1::Handshake {
        v1::Handshake {
            role: self.role,
            key,
            forward_secrecy: self.forward_secrecy,
            nonce,
            exponent: v1::exponent(&self.part(32)),
        }
    }

    /// Version 1: the keys are tried on the peer's hello, one after the other.
    fn expected_v1(&self, nonce: Key, peer: &[u8]) -> Expected {
        let mut wrong = None;
        for (index, key) in self.keys.iter().enumerate() {
            let expected = self.v1(*key, nonce).expected(peer, index);
            match expected.outcome {
                Outcome::Failed(Error::HandshakeMac) => wrong = Some(expected),
                _ => return expected,
            }
        }
        wrong.expect("there is a key")
    }

    fn v2(&self, key: &Key, nonce_c: Key, nonce_s: Key) -> v2::Handshake {
        v2::Handshake {
            nonces: v2::Nonces {
                keys: v2::Keys::new(key),
                nonce_c,
                nonce_s,
            },
            private: self.part(64),
            seeds: [self.part(96), self.part(128)],
        }
    }

    /// nonce_C of a client that allows version 2.
    fn tagged_nonce(&self) -> Key {
        v2::client_nonce(&v2::Keys::new(&self.keys[0]), &self.part(0))
    }

    /// What comes of it when the peer sends this much.
    pub(crate) fn expected(&self, peer: &[u8]) -> Expected {
        if !self.versions.allow(Version::V2) {
            return self.expected_v1(self.part(0), peer);
        }
        let sent_at_once = match self.role {
            Role::Client => self.tagged_nonce().to_vec(),
            Role::Server => Vec::new(),
        };
        let so_far = |outcome| Expected {
            sent: sent_at_once,
            proved: None,
            outcome,
        };
        let Some((peer_nonce, rest)) = peer.split_first_chunk::<NONCE_LEN>() else {
            return so_far(Outcome::Waiting(NONCE_LEN - peer.len()));
        };
        let (r, _) = peer_nonce.split_first_chunk().unwrap();
        let nonce_for_v1 = match self.role {
            Role::Client => {
                let (nonce_c, keys) = (self.tagged_nonce(), v2::Keys::new(&self.keys[0]));
                if v2::server_nonce(&keys, &nonce_c, r) == *peer_nonce {
                    let handshake = self.v2(&self.keys[0], nonce_c, *peer_nonce);
                    return handshake.expected_of_client(rest);
                }
                nonce_c
            }
            Role::Server => {
                let fits = |key: &Key| v2::client_nonce(&v2::Keys::new(key), r) == *peer_nonce;
                if let Some(index) = self.keys.iter().position(fits) {
                    let key = &self.keys[index];
                    let keys = v2::Keys::new(key);
                    let nonce_s = v2::server_nonce(&keys, peer_nonce, &self.part(0));
                    let handshake = self.v2(key, *peer_nonce, nonce_s);
                    return handshake.expected_of_server(rest, index);
                }
                self.part(0)
            }
        };
        match self.versions.allow(Version::V1) {
            true => self.expected_v1(nonce_for_v1, peer),
            false => so_far(Outcome::Failed(Error::Version)),
        }
    }
}
