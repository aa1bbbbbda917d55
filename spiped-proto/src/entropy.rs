//! The random bytes of one handshake.

use alloc::boxed::Box;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::group14::Exponent;
use crate::crypto::{mlkem, x25519};

/// The random numbers of one handshake, in either role and version.
///
/// They must come from a cryptographically secure generator and serve one handshake only. They are
/// wiped when dropped.
pub struct Entropy {
    /// The nonce of version 1. Its first 24 bytes are r_C or r_S of version 2.
    pub(crate) nonce: Zeroizing<[u8; 32]>,
    /// x of version 1.
    pub(crate) exponent: Exponent,
    /// c or s of version 2.
    pub(crate) x25519: Box<x25519::PrivateKey>,
    /// A server's d ‖ z of version 2. A client's m is the first half.
    pub(crate) mlkem: Box<mlkem::Seed>,
}

impl Entropy {
    /// How many random bytes a handshake needs.
    pub const LEN: usize = 160;

    /// Takes the random bytes and wipes the caller's copy of them.
    #[must_use]
    pub fn take(bytes: &mut [u8; Self::LEN]) -> Self {
        let mut parts = Zeroizing::new([[0; 32]; 5]);
        parts.as_flattened_mut().copy_from_slice(bytes);
        bytes.zeroize();
        let [nonce, exponent, x25519, mlkem @ ..] = &*parts;
        let mut entropy = Self {
            nonce: Zeroizing::new(*nonce),
            exponent: Exponent::from_entropy(exponent),
            x25519: Box::new(Zeroizing::new([0; 32])),
            mlkem: Box::new(Zeroizing::new([0; 64])),
        };
        // Copied to where they stay: to move them there would leave a copy behind.
        entropy.x25519.copy_from_slice(x25519);
        entropy.mlkem.copy_from_slice(mlkem.as_flattened());
        entropy
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}
