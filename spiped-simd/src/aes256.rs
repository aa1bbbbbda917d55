//! AES-256 (FIPS 197) in counter mode (NIST SP 800-38A section 6.5).
//!
//! A counter block is a number that stays and the number of the block, 8 big-endian bytes each.

use aes::Aes256Enc;
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors};

#[cfg(target_arch = "x86_64")]
mod vaes;

/// Bytes in a block of keystream.
pub const BLOCK_LEN: usize = 16;

/// An expanded key, wiped on drop. It lies on the heap: to move one leaves no copy behind.
pub struct Key(Kind);

enum Kind {
    Portable(Box<Aes256Enc>),
    #[cfg(target_arch = "x86_64")]
    Vaes(vaes::Key),
}

impl Key {
    /// Expands a key for the fastest way that this CPU has.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        #[cfg(target_arch = "x86_64")]
        // The portable one uses the 512 bits of AVX-512.
        if let Some(token) = vaes::Token::detect()
            && !is_x86_feature_detected!("avx512f")
        {
            return Self(Kind::Vaes(vaes::Key::new(token, key)));
        }
        Self::portable(key)
    }

    /// A key for the portable way. Only tests and measurements choose; everyone else calls
    /// [`new`](Self::new).
    #[must_use]
    pub fn portable(key: &[u8; 32]) -> Self {
        Self(Kind::Portable(Box::new(Aes256Enc::new(key.into()))))
    }

    /// XORs `from` with the keystream of `number`, from its block `first` on, into `to`, as far as
    /// the shorter one goes.
    pub fn xor(&self, number: u64, first: u64, from: &[u8], to: &mut [u8]) {
        match &self.0 {
            Kind::Portable(cipher) => {
                let counter = u128::from(number) << 64 | u128::from(first);
                let core = CtrCore::<_, flavors::Ctr64BE>::inner_iv_init(
                    &**cipher,
                    &counter.to_be_bytes().into(),
                );
                let len = from.len().min(to.len());
                StreamCipherCoreWrapper::from_core(core)
                    .apply_keystream_b2b(from.split_at(len).0, to.split_at_mut(len).0);
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Vaes(key) => key.xor(number, first, from, to),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
