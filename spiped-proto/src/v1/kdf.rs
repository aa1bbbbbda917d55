//! Key derivation: PBKDF2-HMAC-SHA256 with one iteration, and the keys that come out of it
//! (protocol v1, handshake steps 2 and 6).
//!
//! Keys are derived where they stay, on the heap: to move them leaves no copy behind.

use spiped_simd::sha256::{self, Block};
use zeroize::Zeroizing;

use crate::group14::Element;
use crate::handshake::Nonce;
use crate::mac::{self, Message, Tag};
use crate::secret::Secret;

/// Both nonces, the client's first: what salts begin with, a block long.
pub(crate) fn salt(client_nonce: &Nonce, server_nonce: &Nonce) -> Block {
    let mut salt = [0; sha256::BLOCK_LEN];
    let (client, server) = salt.split_at_mut(size_of::<Nonce>());
    client.copy_from_slice(client_nonce);
    server.copy_from_slice(server_nonce);
    salt
}

/// An HMAC-SHA256 key that authenticates one end's public value.
pub(crate) struct HelloKey<'a>(&'a [u8; 32]);

impl HelloKey<'_> {
    pub(crate) fn mac(&self, public_value: &Element) -> Tag {
        let mut pads = Zeroizing::new([[sha256::INITIAL; 2]]);
        mac::absorb::<1>(std::slice::from_ref(self.0), &mut *pads);
        let mut tag = [[0; 32]];
        mac::hmac::<1>(pads.iter().map(|key| hello(key, public_value)), &mut tag);
        let [tag] = tag;
        tag
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0
    }
}

/// What the MAC of a hello is made of.
pub(crate) fn hello<'a>(key: &'a mac::Pads, public_value: &'a Element) -> Message<'a> {
    Message::new(key, public_value.as_chunks().0, &[], [])
}

/// dk_1: what both ends know before the key exchange.
pub(crate) struct HelloKeys(Box<Zeroizing<[Tag; 2]>>);

impl HelloKeys {
    pub(crate) fn derive(secret: &Secret, salt: &Block) -> Self {
        let mut dk_1 = Box::new(Zeroizing::new([[0; 32]; 2]));
        pbkdf2(secret, std::slice::from_ref(salt), &mut **dk_1);
        Self(dk_1)
    }

    pub(crate) fn client(&self) -> HelloKey<'_> {
        let [client, _] = &**self.0;
        HelloKey(client)
    }

    pub(crate) fn server(&self) -> HelloKey<'_> {
        let [_, server] = &**self.0;
        HelloKey(server)
    }
}

/// The keys of one direction: E for AES-256-CTR, H for HMAC-SHA256.
pub(crate) struct DirectionKeys<'a> {
    pub(crate) encryption: &'a [u8; 32],
    pub(crate) authentication: &'a [u8; 32],
}

/// dk_2: the keys of both directions.
pub(crate) struct SessionKeys(Box<Zeroizing<[Tag; 4]>>);

impl SessionKeys {
    pub(crate) fn derive(secret: &Secret, salt: &Block, shared: &Element) -> Self {
        let mut blocks = Zeroizing::new([[0; sha256::BLOCK_LEN]; 5]);
        let [nonces, value @ ..] = &mut *blocks;
        *nonces = *salt;
        value.as_flattened_mut().copy_from_slice(shared);
        let mut dk_2 = Box::new(Zeroizing::new([[0; 32]; 4]));
        pbkdf2(secret, &*blocks, &mut **dk_2);
        Self(dk_2)
    }

    pub(crate) fn client(&self) -> DirectionKeys<'_> {
        let [encryption, authentication, ..] = &**self.0;
        DirectionKeys {
            encryption,
            authentication,
        }
    }

    pub(crate) fn server(&self) -> DirectionKeys<'_> {
        let [.., encryption, authentication] = &**self.0;
        DirectionKeys {
            encryption,
            authentication,
        }
    }
}

/// PBKDF2 (RFC 8018 section 5.2) with one iteration, four blocks at most.
fn pbkdf2(secret: &Secret, salt: &[Block], to: &mut [Tag]) {
    let blocks = (1..).map(|number| pbkdf2_block(secret, salt, number));
    mac::hmac::<4>(blocks, to);
}

/// What HMAC makes block `number` of, from 1.
pub(crate) fn pbkdf2_block<'a>(secret: &'a Secret, salt: &'a [Block], number: u32) -> Message<'a> {
    Message::new(secret.pads(), salt, &[], number.to_be_bytes())
}
