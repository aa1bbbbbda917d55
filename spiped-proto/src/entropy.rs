//! What a handshake takes from chance.

use zeroize::Zeroize;

use super::Nonce;
use crate::ForwardSecrecy;
use crate::group14::Exponent;

/// The random numbers of one handshake, 64 bytes: a nonce and an exponent.
///
/// They must come from a cryptographically secure generator and serve one handshake only.
pub struct Entropy {
    nonce: Nonce,
    exponent: Exponent,
}

impl Entropy {
    /// How many random bytes a handshake needs.
    pub const LEN: usize = 64;

    /// Takes the random bytes and wipes the caller's copy of them.
    #[must_use]
    pub fn take(bytes: &mut [u8; Self::LEN]) -> Self {
        let (nonce, exponent) = bytes.split_at(size_of::<Nonce>());
        let mut entropy = Self {
            nonce: [0; size_of::<Nonce>()],
            exponent: Exponent::from_entropy(exponent),
        };
        entropy.nonce.copy_from_slice(nonce);
        bytes.zeroize();
        entropy
    }

    /// The nonce, and the exponent of an end that takes part in forward secrecy.
    pub(super) fn split(self, forward_secrecy: ForwardSecrecy) -> (Nonce, Option<Exponent>) {
        let exponent = match forward_secrecy {
            ForwardSecrecy::Disabled => None,
            ForwardSecrecy::Enabled | ForwardSecrecy::Required => Some(self.exponent),
        };
        (self.nonce, exponent)
    }
}
