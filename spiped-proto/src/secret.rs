//! K, the secret that both ends share, made from a key file's bytes.

use alloc::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::hmac::HmacKey;
use crate::v2;

/// The states of HMAC-SHA256 under K, K_tag, K_hello and K_mix, all of them inside the value: to move it into
/// locked memory locks all. They are wiped when dropped, and never printed.
#[derive(Clone)]
pub struct HeldKey {
    key: HmacKey,
    v2: v2::Keys,
}

impl HeldKey {
    fn new(key: &[u8; 32]) -> Self {
        let key = HmacKey::new(key);
        Self {
            v2: v2::Keys::derive(&key),
            key,
        }
    }
}

impl AsRef<Self> for HeldKey {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl core::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HeldKey(..)")
    }
}

/// The shared secret K: SHA-256 of all bytes of a key file.
///
/// It is wiped when its last clone is dropped, and never printed. Clones share one K, so that it
/// lies in memory once however many handshakes run; [`placed`](Self::placed) says where.
#[derive(Clone)]
pub struct Secret(Arc<dyn AsRef<HeldKey> + Send + Sync>);

impl Secret {
    /// Makes K from the bytes that a key file contains. Any length is legal, 0 included.
    ///
    /// A file too large to hold in memory goes through [`SecretHasher`].
    #[must_use]
    pub fn from_key_file(contents: &[u8]) -> Self {
        let mut hasher = SecretHasher::new();
        hasher.update(contents);
        hasher.finish()
    }

    /// The same K in memory that the caller chooses, locked for one: `place` puts a clone there, and
    /// what it returns is in charge of dropping that.
    #[must_use]
    pub fn placed<P>(&self, place: impl FnOnce(&HeldKey) -> P) -> Self
    where
        P: AsRef<HeldKey> + Send + Sync + 'static,
    {
        Self(Arc::new(place(self.held())))
    }

    /// Whether another secret is the same, found out in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key().is_same(other.key()).into()
    }

    /// K, for HMAC.
    pub(crate) fn key(&self) -> &HmacKey {
        &self.held().key
    }

    /// K_tag, K_hello and K_mix.
    pub(crate) fn v2(&self) -> &v2::Keys {
        &self.held().v2
    }

    fn held(&self) -> &HeldKey {
        (*self.0).as_ref()
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
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
        let mut digest = Zeroizing::new([0; 32]);
        self.0.finalize_into((&mut *digest).into());
        Secret(Arc::new(HeldKey::new(&digest)))
    }
}

impl core::fmt::Debug for SecretHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
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
        let placed = secret.placed(|key| Place {
            key: key.clone(),
            _alive: Arc::clone(&alive),
        });
        assert!(placed.is_same(&secret));
        let clone = placed.clone();
        assert!(std::ptr::eq(clone.held(), placed.held()));
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
