//! ML-KEM-768 (FIPS 203), with its randomness passed in.

use alloc::boxed::Box;

use ml_kem::kem::Decapsulate;
use ml_kem::{KeyExport, ml_kem_768};
use zeroize::{Zeroize, Zeroizing};

use super::{Library, SharedSecret, shared_secret};

pub(crate) const ENCAPSULATION_KEY_LEN: usize = 1184;
pub(crate) const CIPHERTEXT_LEN: usize = 1088;

/// d ‖ z
pub(crate) type Seed = Zeroizing<[u8; 64]>;

/// A decapsulation key: some 7 KiB on the heap, of which the secret part is wiped when dropped.
pub(crate) struct DecapsulationKey(Key);

enum Key {
    #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
    Graviola(Box<graviola::key_agreement::mlkem768::DecapKey>),
    Portable(Box<ml_kem_768::DecapsulationKey>),
}

impl DecapsulationKey {
    /// KeyGen from d ‖ z.
    pub(crate) fn generate(library: Library, seed: &Seed) -> Self {
        Self(match library {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Library::Graviola => {
                use graviola::key_agreement::mlkem768::DecapKey;
                Key::Graviola(Box::new(DecapKey::keygen_internal(seed)))
            }
            Library::Portable => {
                let mut seed = ml_kem::Seed::from(**seed);
                let key = Box::new(ml_kem_768::DecapsulationKey::from_seed(seed));
                seed.zeroize();
                Key::Portable(key)
            }
        })
    }

    pub(crate) fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        match &self.0 {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Key::Graviola(key) => key.encapsulation_key().as_bytes(),
            Key::Portable(key) => key.encapsulation_key().to_bytes().into(),
        }
    }

    /// Decaps, which never fails: a wrong ciphertext gives a secret that nobody else has. The key is
    /// wiped.
    pub(crate) fn decapsulate(self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> SharedSecret {
        match self.0 {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Key::Graviola(key) => {
                // `decaps` would take the key out of its box, and leave it there unwiped.
                shared_secret(key.decaps_internal(&(*ciphertext).into()).as_ref())
            }
            Key::Portable(key) => {
                let mut secret = key.decapsulate(&(*ciphertext).into());
                let shared = shared_secret(secret.as_ref());
                secret.zeroize();
                shared
            }
        }
    }
}

/// Encaps with the randomness m, or `None` where the key fails the check of FIPS 203, section 7.2:
/// one of its coefficients is not below 3329.
pub(crate) fn encapsulate(
    library: Library,
    encapsulation_key: &[u8; ENCAPSULATION_KEY_LEN],
    m: &[u8; 32],
) -> Option<([u8; CIPHERTEXT_LEN], SharedSecret)> {
    match library {
        #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
        Library::Graviola => {
            use graviola::key_agreement::mlkem768::{EncapKey, Message};
            let key = EncapKey::from_bytes(encapsulation_key).ok()?;
            let (secret, ciphertext) = key.encaps_internal(Message(*m));
            Some((*ciphertext.as_ref(), shared_secret(secret.as_ref())))
        }
        Library::Portable => {
            let key = ml_kem_768::EncapsulationKey::new(encapsulation_key.into()).ok()?;
            let (ciphertext, mut secret) = key.encapsulate_deterministic(m.into());
            let shared = shared_secret(secret.as_ref());
            secret.zeroize();
            Some((ciphertext.into(), shared))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn libraries_agree_on_any_bytes(
            seed in proptest::array::uniform(any::<u8>()).prop_map(Zeroizing::new),
            m: [u8; 32],
            place in 0..CIPHERTEXT_LEN,
            change: u8,
            coefficient in 0..768usize,
            value in 0..4096u16,
        ) {
            let ek = DecapsulationKey::generate(Library::Portable, &seed).encapsulation_key();
            let (ct, secret) = encapsulate(Library::Portable, &ek, &m).unwrap();
            let mut wrong = ct;
            wrong[place] ^= change;
            let implicit = DecapsulationKey::generate(Library::Portable, &seed).decapsulate(&wrong);
            prop_assert_eq!(implicit == secret, change == 0);

            let mut changed = ek;
            let first = coefficient / 2 * 3;
            let (low, high) = (value as u8, (value >> 8) as u8);
            if coefficient % 2 == 0 {
                changed[first] = low;
                changed[first + 1] = changed[first + 1] & 0xf0 | high;
            } else {
                changed[first + 1] = changed[first + 1] & 0x0f | low << 4;
                changed[first + 2] = value as u8 >> 4 | high << 4;
            }
            let for_changed = encapsulate(Library::Portable, &changed, &m);
            prop_assert_eq!(for_changed.is_some(), value < 3329);

            for library in Library::all() {
                let key = || DecapsulationKey::generate(library, &seed);
                prop_assert_eq!(key().encapsulation_key(), ek);
                prop_assert_eq!(encapsulate(library, &ek, &m), Some((ct, secret.clone())));
                prop_assert_eq!(encapsulate(library, &changed, &m), for_changed.clone());
                prop_assert_eq!(key().decapsulate(&ct), secret.clone());
                prop_assert_eq!(key().decapsulate(&wrong), implicit.clone());
            }
        }
    }
}
