//! Which of many keys made a client's hello (protocol v1, "Many keys at one server").

use subtle::{Choice, ConditionallySelectable};
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

/// The index of the first key under which h_C is right. All keys are tried whatever comes of it, and
/// the first that fits is picked without a branch; 11 compressions of SHA-256 a key.
pub(super) fn find(keys: &Keyring, nonces: &Nonces, hello: &Hello) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut first = 0u64;
    let mut dhmac_c = Zeroizing::new([0; 32]);
    for (secret, index) in keys.iter().zip(0u64..) {
        kdf::derive_dhmac_c(secret, nonces, &mut dhmac_c);
        let right = HmacKey::new(&dhmac_c).verify(&[&*hello.y], &hello.h);
        first.conditional_assign(&index, right & !found);
        found |= right;
    }
    // The one place where it shows whether there is any.
    let first = usize::try_from(first).ok()?;
    bool::from(found).then_some(first)
}
