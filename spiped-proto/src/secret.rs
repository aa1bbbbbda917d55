//! K, the secret that both ends share, made from a key file's bytes.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use spiped_simd::sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::mac;

/// K as it lies in memory, 64 bytes: the two chaining values of SHA-256 that HMAC goes on from, all
/// it needs of K.
pub type HeldKey = [[u32; 8]; 2];

/// The shared secret K: SHA-256 of all bytes of a key file.
///
/// It is wiped when its last clone is dropped, and never printed. Clones share one K, so that it
/// lies in memory once however many handshakes run; [`placed`](Self::placed) says where.
#[derive(Clone)]
pub struct Secret(Arc<dyn AsRef<HeldKey> + Send + Sync>);

impl Secret {
    /// Makes K from the contents of a key file. Any length is legal, 0 included.
    ///
    /// A file too large to hold in memory goes through [`SecretHasher`].
    #[must_use]
    pub fn from_key_file(contents: &[u8]) -> Self {
        let mut hasher = SecretHasher::new();
        hasher.update(contents);
        hasher.finish()
    }

    /// The same K in memory that the caller chooses, locked for one: `place` copies it there, and
    /// what it returns is in charge of wiping it when dropped.
    #[must_use]
    pub fn placed<P>(&self, place: impl FnOnce(&HeldKey) -> P) -> Self
    where
        P: AsRef<HeldKey> + Send + Sync + 'static,
    {
        Self(Arc::new(place(self.pads())))
    }

    /// Whether another secret is the same, found out in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.pads().as_flattened(), other.pads().as_flattened());
        ours.ct_eq(theirs).into()
    }

    pub(crate) fn pads(&self) -> &HeldKey {
        (*self.0).as_ref()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// K on the heap.
#[derive(ZeroizeOnDrop)]
struct Held(HeldKey);

impl AsRef<HeldKey> for Held {
    fn as_ref(&self) -> &HeldKey {
        &self.0
    }
}

/// Makes a [`Secret`] from a key file that arrives in pieces.
#[derive(Default)]
pub struct SecretHasher(Sha256);

impl SecretHasher {
    /// Starts with an empty key file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the key file's next bytes.
    pub fn update(&mut self, contents: &[u8]) {
        self.0.update(contents);
    }

    /// The secret of all bytes added so far.
    #[must_use]
    pub fn finish(self) -> Secret {
        let mut held = Arc::new(Held([sha256::INITIAL; 2]));
        let mut digest: [u8; 32] = self.0.finalize().into();
        // Made in its place rather than moved there, which would leave bytes behind.
        if let Some(Held(pads)) = Arc::get_mut(&mut held) {
            mac::absorb::<1>(std::slice::from_ref(&digest), std::slice::from_mut(pads));
        }
        digest.zeroize();
        Secret(held)
    }
}

impl std::fmt::Debug for SecretHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows whether it is still there.
    struct Place {
        key: HeldKey,
        _alive: Arc<()>,
    }

    impl AsRef<HeldKey> for Place {
        fn as_ref(&self) -> &HeldKey {
            &self.key
        }
    }

    #[test]
    fn clones_share_one_place_until_the_last_is_gone() {
        let alive = Arc::new(());
        let secret = Secret::from_key_file(b"key");
        let placed = secret.placed(|&key| Place {
            key,
            _alive: Arc::clone(&alive),
        });
        assert!(placed.is_same(&secret));
        let clone = placed.clone();
        assert_eq!(clone.pads().as_ptr(), placed.pads().as_ptr());
        drop(placed);
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(clone);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn secrets_are_the_same_when_their_key_files_are() {
        let secret = Secret::from_key_file(b"key");
        assert!(secret.is_same(&Secret::from_key_file(b"key")));
        for other in [&b"kez"[..], b"", b"key\n"] {
            assert!(!secret.is_same(&Secret::from_key_file(other)));
        }
    }
}
