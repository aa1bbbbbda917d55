//! K, the secret that both ends share, made from a key file's bytes.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The shared secret K: SHA-256 of all bytes of a key file.
///
/// It is wiped when dropped and never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

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

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        let mut digest = self.0.finalize();
        let secret = Secret(digest.into());
        digest.zeroize();
        secret
    }
}

impl std::fmt::Debug for SecretHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHasher(..)")
    }
}
