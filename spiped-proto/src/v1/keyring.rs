//! Which of many keys made a client's hello (protocol v1, handshake step 4).

use zeroize::Zeroizing;

use super::kdf::{self, Nonces};
use super::messages::Hello;
use crate::crypto::hmac::HmacKey;
use crate::keyring::Keyring;

/// So many keys are tried at once: it takes less than to have another thread do it.
const FEW: usize = 16;

/// Whether a trial takes no longer than the rest of what a server does for a stranger.
pub(super) fn is_short(keys: &Keyring) -> bool {
    keys.len() <= FEW
}

/// The index of the first key under which h_C is right; 11 compressions of SHA-256 a key.
pub(super) fn find(keys: &Keyring, nonces: &Nonces, hello: &Hello) -> Option<usize> {
    let mut dhmac_c = Zeroizing::new([0; 32]);
    keys.find(|secret| {
        kdf::derive_dhmac_c(secret, nonces, &mut dhmac_c);
        HmacKey::new(&dhmac_c).verify(&[&*hello.y], &hello.h)
    })
}
