//! Which of many keys made a client's nonce (protocol v2, section 1).

use subtle::{Choice, ConditionallySelectable};

use super::{Nonce, kdf};
use crate::keyring::Keyring;

/// So many keys are tried at once: it takes less than to have another thread do it.
const FEW: usize = 100;

/// Whether a trial takes no longer than to have another thread do it.
pub(crate) fn is_short(keys: &Keyring) -> bool {
    keys.len() <= FEW
}

/// The index of the first key under which the tag of nonce_C is right. All keys are tried whatever
/// comes of it, and the first that fits is picked without a branch; 2 compressions of SHA-256 a key.
pub(crate) fn find(keys: &Keyring, nonce_c: &Nonce) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut first = 0u64;
    for (secret, index) in keys.iter().zip(0u64..) {
        let right = kdf::is_client_nonce(secret.v2(), nonce_c);
        first.conditional_assign(&index, right & !found);
        found |= right;
    }
    // The one place where it shows whether there is any.
    let first = usize::try_from(first).ok()?;
    bool::from(found).then_some(first)
}
