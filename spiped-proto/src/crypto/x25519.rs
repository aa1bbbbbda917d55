//! X25519 (RFC 7748).

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Library, SharedSecret};

pub(crate) const LEN: usize = 32;
/// Any 32 bytes will do; the function masks them itself.
pub(crate) type PrivateKey = Zeroizing<[u8; LEN]>;

/// X25519(k, 9).
pub(crate) fn public_key(library: Library, private: &PrivateKey) -> [u8; LEN] {
    match library {
        #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
        Library::Graviola => {
            use graviola::key_agreement::x25519::StaticPrivateKey;
            StaticPrivateKey::from_array(private)
                .public_key()
                .as_bytes()
        }
        Library::Portable => PublicKey::from(&StaticSecret::from(**private)).to_bytes(),
    }
}

/// X25519(k, u), or `None` where that is zero, so that the peer alone has chosen the outcome.
pub(crate) fn shared_secret(
    library: Library,
    private: &PrivateKey,
    peer: &[u8; LEN],
) -> Option<SharedSecret> {
    match library {
        #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
        Library::Graviola => {
            use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
            let shared =
                StaticPrivateKey::from_array(private).diffie_hellman(&PublicKey::from_array(peer));
            // It fails for zero, and for nothing else.
            shared.ok().map(|shared| super::shared_secret(&shared.0))
        }
        Library::Portable => {
            let shared = StaticSecret::from(**private).diffie_hellman(&PublicKey::from(*peer));
            shared
                .was_contributory()
                .then(|| super::shared_secret(shared.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unhex;
    use proptest::prelude::*;

    /// RFC 7748, section 5.2: the iterated function after 1 and 1,000 rounds.
    #[test]
    fn known_answers() {
        let once = unhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        let thousand = unhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
        for library in Library::all() {
            let mut base = [0; 32];
            base[0] = 9;
            let mut k = Zeroizing::new(base);
            let mut u = base;
            assert_eq!(public_key(library, &k)[..], once);
            for round in 0..1000 {
                let next = shared_secret(library, &k, &u).unwrap();
                u = *k;
                k = *next;
                if round == 0 {
                    assert_eq!(k[..], once);
                }
            }
            assert_eq!(k[..], thousand);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn libraries_agree_on_any_bytes(private: [u8; 32], peer: [u8; 32]) {
            let private = Zeroizing::new(private);
            let public = public_key(Library::Portable, &private);
            let shared = shared_secret(Library::Portable, &private, &peer);
            for library in Library::all() {
                prop_assert_eq!(public_key(library, &private), public);
                prop_assert_eq!(shared_secret(library, &private, &peer), shared.clone());
            }
        }
    }
}
