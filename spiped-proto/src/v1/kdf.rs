//! Key derivation: PBKDF2-HMAC-SHA256 with one iteration, and the keys that come out of it
//! (protocol v1, handshake steps 2 and 6).
//!
//! Keys are derived where they stay, on the heap: to move them leaves no copy behind.

use alloc::boxed::Box;

use zeroize::Zeroizing;

use super::Nonce;
use crate::crypto::group14::Element;
use crate::crypto::hmac::{HmacKey, Tag};
use crate::secret::Secret;

/// `nonce_C ‖ nonce_S`: what the salts of a handshake begin with.
pub(super) type Nonces = [Nonce; 2];

/// The key that both ends are to use, and what comes of it with both nonces.
pub(crate) struct SaltedKeys {
    secret: Secret,
    nonces: Nonces,
    /// `dhmac_C ‖ dhmac_S`.
    pub(super) dk_1: Box<Zeroizing<[Tag; 2]>>,
}

impl SaltedKeys {
    pub(super) fn derive(secret: Secret, nonces: Nonces) -> Self {
        let mut dk_1 = Box::new(Zeroizing::new([[0; 32]; 2]));
        pbkdf2(&secret, &nonces, &[], &mut **dk_1);
        Self {
            secret,
            nonces,
            dk_1,
        }
    }

    /// The key that authenticates y_C.
    pub(super) fn dhmac_c(&self) -> HmacKey {
        let [dhmac_c, _] = &**self.dk_1;
        HmacKey::new(dhmac_c)
    }

    /// The key that authenticates y_S.
    pub(super) fn dhmac_s(&self) -> HmacKey {
        let [_, dhmac_s] = &**self.dk_1;
        HmacKey::new(dhmac_s)
    }

    /// The keys of both directions, with y_SC.
    pub(super) fn session_keys(&self, y_sc: &Element) -> SessionKeys {
        let mut dk_2 = Box::new(Zeroizing::new([[0; 32]; 4]));
        pbkdf2(&self.secret, &self.nonces, y_sc, &mut **dk_2);
        SessionKeys(dk_2)
    }
}

/// dhmac_C alone, of a key that is tried, into its place.
pub(super) fn derive_dhmac_c(secret: &Secret, nonces: &Nonces, to: &mut Tag) {
    pbkdf2(secret, nonces, &[], core::slice::from_mut(to));
}

/// The keys of one direction: E for AES-256-CTR, H for HMAC-SHA256.
#[derive(Clone, Copy)]
pub(super) struct DirectionKeys<'a> {
    pub(super) e: &'a [u8; 32],
    pub(super) h: &'a [u8; 32],
}

/// dk_2: `E_C ‖ H_C ‖ E_S ‖ H_S`.
pub(super) struct SessionKeys(pub(super) Box<Zeroizing<[Tag; 4]>>);

impl SessionKeys {
    /// E_C and H_C, which serve the client's packets.
    pub(super) fn client(&self) -> DirectionKeys<'_> {
        let [e, h, ..] = &**self.0;
        DirectionKeys { e, h }
    }

    /// E_S and H_S, which serve the server's packets.
    pub(super) fn server(&self) -> DirectionKeys<'_> {
        let [.., e, h] = &**self.0;
        DirectionKeys { e, h }
    }
}

/// PBKDF2 (RFC 8018 section 5.2) with one iteration: block i, from 1, is HMAC(K, salt ‖ i). The salt
/// is both nonces and `y_sc`.
fn pbkdf2(secret: &Secret, nonces: &Nonces, y_sc: &[u8], to: &mut [Tag]) {
    let salted = secret.key().begin(&[nonces.as_flattened(), y_sc]);
    for (block, number) in to.iter_mut().zip(1u32..) {
        salted.tag_into(&number.to_be_bytes(), block);
    }
}
