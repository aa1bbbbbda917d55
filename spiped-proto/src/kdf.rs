//! Key derivation: PBKDF2-HMAC-SHA256 with one iteration, and the keys that come out of it
//! (protocol v1, handshake steps 2 and 6).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::group14;
use crate::handshake::Nonce;
use crate::secret::Secret;

/// An HMAC-SHA256 key that authenticates one end's public value.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct HelloKey([u8; 32]);

impl HelloKey {
    pub(crate) fn mac(&self, public_value: &group14::Element) -> [u8; 32] {
        hmac(&self.0, [&public_value[..]])
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// dk_1: what both ends know before the key exchange.
pub(crate) struct HelloKeys {
    pub(crate) client: HelloKey,
    pub(crate) server: HelloKey,
}

impl HelloKeys {
    pub(crate) fn derive(secret: &Secret, client_nonce: &Nonce, server_nonce: &Nonce) -> Self {
        let dk_1: Zeroizing<[_; 2]> = pbkdf2(secret, &[client_nonce, server_nonce]);
        let [client, server] = &*dk_1;
        Self {
            client: HelloKey(*client),
            server: HelloKey(*server),
        }
    }
}

/// The keys of one direction: E for AES-256-CTR, H for HMAC-SHA256.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct DirectionKeys {
    pub(crate) encryption: [u8; 32],
    pub(crate) authentication: [u8; 32],
}

/// dk_2: the keys of both directions.
pub(crate) struct SessionKeys {
    pub(crate) client: DirectionKeys,
    pub(crate) server: DirectionKeys,
}

impl SessionKeys {
    pub(crate) fn derive(
        secret: &Secret,
        client_nonce: &Nonce,
        server_nonce: &Nonce,
        shared: &group14::Element,
    ) -> Self {
        let dk_2: Zeroizing<[_; 4]> = pbkdf2(secret, &[client_nonce, server_nonce, shared]);
        let [e_c, h_c, e_s, h_s] = &*dk_2;
        let direction = |encryption: &[u8; 32], authentication: &[u8; 32]| DirectionKeys {
            encryption: *encryption,
            authentication: *authentication,
        };
        Self {
            client: direction(e_c, h_c),
            server: direction(e_s, h_s),
        }
    }
}

/// PBKDF2 (RFC 8018 section 5.2) with one iteration: block i is HMAC(K, salt || i), i from 1.
fn pbkdf2<const BLOCKS: usize>(secret: &Secret, salt: &[&[u8]]) -> Zeroizing<[[u8; 32]; BLOCKS]> {
    let mut output = Zeroizing::new([[0; 32]; BLOCKS]);
    for (block, number) in output.iter_mut().zip(1u32..) {
        let number = number.to_be_bytes();
        let parts = salt.iter().copied().chain([&number[..]]);
        *block = hmac(secret.as_bytes(), parts);
    }
    output
}

fn hmac<'a>(key: &[u8; 32], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    // RFC 2104: a key shorter than a block is padded with zeros.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
