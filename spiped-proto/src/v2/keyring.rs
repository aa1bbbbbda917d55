//! Which of many keys made a client's nonce (protocol v2, section 1).

use super::{Nonce, kdf};
use crate::keyring::Keyring;

/// So many keys are tried at once: it takes less than to have another thread do it.
const FEW: usize = 100;

/// Whether a trial takes no longer than to have another thread do it.
pub(crate) fn is_short(keys: &Keyring) -> bool {
    keys.len() <= FEW
}

/// The index of the first key under which the tag of nonce_C is right; 2 compressions of SHA-256 a
/// key.
pub(crate) fn find(keys: &Keyring, nonce_c: &Nonce) -> Option<usize> {
    keys.find(|secret| kdf::is_client_nonce(secret.v2(), nonce_c))
}
