//! Key derivation: PBKDF2-HMAC-SHA256 with one iteration, and the keys that come out of it
//! (protocol v1, handshake steps 2 and 6).
//!
//! Keys are derived where they stay, on the heap: to move them leaves no copy behind.

use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::group14;
use crate::handshake::Nonce;
use crate::secret::Secret;

/// An HMAC-SHA256 key that authenticates one end's public value.
pub(crate) struct HelloKey<'a>(&'a [u8; 32]);

impl HelloKey<'_> {
    pub(crate) fn mac(&self, public_value: &group14::Element) -> [u8; 32] {
        let mut mac = [0; 32];
        hmac(self.0, [&public_value[..]], &mut mac);
        mac
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0
    }
}

/// dk_1: what both ends know before the key exchange.
pub(crate) struct HelloKeys(Box<Zeroizing<[[u8; 32]; 2]>>);

impl HelloKeys {
    pub(crate) fn derive(secret: &Secret, client_nonce: &Nonce, server_nonce: &Nonce) -> Self {
        let mut dk_1 = Box::new(Zeroizing::new([[0; 32]; 2]));
        pbkdf2(secret, &[client_nonce, server_nonce], &mut **dk_1);
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
pub(crate) struct SessionKeys(Box<Zeroizing<[[u8; 32]; 4]>>);

impl SessionKeys {
    pub(crate) fn derive(
        secret: &Secret,
        client_nonce: &Nonce,
        server_nonce: &Nonce,
        shared: &group14::Element,
    ) -> Self {
        let mut dk_2 = Box::new(Zeroizing::new([[0; 32]; 4]));
        pbkdf2(secret, &[client_nonce, server_nonce, shared], &mut **dk_2);
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

/// PBKDF2 (RFC 8018 section 5.2) with one iteration: block i is HMAC(K, salt || i), i from 1.
fn pbkdf2(secret: &Secret, salt: &[&[u8]], blocks: &mut [[u8; 32]]) {
    for (block, number) in blocks.iter_mut().zip(1u32..) {
        let number = number.to_be_bytes();
        let parts = salt.iter().copied().chain([&number[..]]);
        hmac(secret.as_bytes(), parts, block);
    }
}

fn hmac<'a>(key: &[u8; 32], parts: impl IntoIterator<Item = &'a [u8]>, to: &mut [u8; 32]) {
    // RFC 2104: a key shorter than a block is padded with zeros.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize_into(to.into());
}
