//! K, the secret that both ends share, made from a key file's bytes.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The shared secret K: SHA-256 of all bytes of a key file.
///
/// It is wiped when its last clone is dropped, and never printed. Clones share one K, so that it
/// lies in memory once however many handshakes run; [`placed`](Self::placed) says where.
#[derive(Clone)]
pub struct Secret(Arc<dyn AsRef<[u8; 32]> + Send + Sync>);

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
    pub fn placed<P>(&self, place: impl FnOnce(&[u8; 32]) -> P) -> Self
    where
        P: AsRef<[u8; 32]> + Send + Sync + 'static,
    {
        Self(Arc::new(place(self.as_bytes())))
    }

    /// Whether another secret is the same, found out in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
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
struct Held([u8; 32]);

impl AsRef<[u8; 32]> for Held {
    fn as_ref(&self) -> &[u8; 32] {
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
        let mut held = Arc::new(Held([0; 32]));
        let mut digest = self.0.finalize();
        // Copied into its place rather than moved there, which would leave bytes behind.
        if let Some(held) = Arc::get_mut(&mut held) {
            held.0.copy_from_slice(&digest);
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
        key: [u8; 32],
        _alive: Arc<()>,
    }

    impl AsRef<[u8; 32]> for Place {
        fn as_ref(&self) -> &[u8; 32] {
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
        assert!(!placed.is_same(&Secret::from_key_file(b"other")));
        let clone = placed.clone();
        assert_eq!(clone.as_bytes().as_ptr(), placed.as_bytes().as_ptr());
        drop(placed);
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(clone);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
