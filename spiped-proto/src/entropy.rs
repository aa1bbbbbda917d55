//! What a handshake takes from chance.

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::group14::Exponent;

/// The random numbers of one handshake, in either role: a nonce, and the exponent of version 1.
///
/// They must come from a cryptographically secure generator and serve one handshake only. They are
/// wiped when dropped.
pub struct Entropy {
    pub(crate) nonce: Zeroizing<[u8; 32]>,
    pub(crate) exponent: Exponent,
}

impl Entropy {
    /// How many random bytes a handshake needs: 32 of the nonce, then 32 of the exponent.
    pub const LEN: usize = 64;

    /// Takes the random bytes and wipes the caller's copy of them.
    #[must_use]
    pub fn take(bytes: &mut [u8; Self::LEN]) -> Self {
        let mut halves = Zeroizing::new([[0; 32]; 2]);
        halves.as_flattened_mut().copy_from_slice(bytes);
        bytes.zeroize();
        let [nonce, exponent] = &*halves;
        Self {
            nonce: Zeroizing::new(*nonce),
            exponent: Exponent::from_entropy(exponent),
        }
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}
