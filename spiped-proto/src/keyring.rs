//! Many keys at one server.

use alloc::sync::Arc;
use core::slice;

use subtle::{Choice, ConditionallySelectable};

use crate::secret::Secret;

/// The keys that a server accepts, in order. Clones share them.
///
/// A client proves that it holds one of them, and is not asked which: all are tried, in a time that
/// depends on nothing but their number. Where two are the same, the first counts.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<[Secret]>);

impl Keyring {
    /// How many keys there are. Without any, nobody gets in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key at an index, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Secret> {
        self.0.get(index)
    }

    /// All keys, in order.
    pub fn iter(&self) -> slice::Iter<'_, Secret> {
        self.0.iter()
    }

    /// The index of the first key that `fits`. All keys are tried whatever comes of it, and the first
    /// that fits is picked without a branch.
    pub(crate) fn find(&self, mut fits: impl FnMut(&Secret) -> Choice) -> Option<usize> {
        let mut found = Choice::from(0);
        let mut first = 0u64;
        for (secret, index) in self.iter().zip(0u64..) {
            let right = fits(secret);
            first.conditional_assign(&index, right & !found);
            found |= right;
        }
        // The one place where it shows whether there is any.
        let first = usize::try_from(first).ok()?;
        bool::from(found).then_some(first)
    }
}

impl FromIterator<Secret> for Keyring {
    fn from_iter<I: IntoIterator<Item = Secret>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl<'k> IntoIterator for &'k Keyring {
    type Item = &'k Secret;
    type IntoIter = slice::Iter<'k, Secret>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Secret> for Keyring {
    /// A single key.
    fn from(secret: Secret) -> Self {
        Self(Arc::new([secret]))
    }
}

impl From<&Secret> for Keyring {
    fn from(secret: &Secret) -> Self {
        secret.clone().into()
    }
}

impl From<&Keyring> for Keyring {
    fn from(keys: &Keyring) -> Self {
        keys.clone()
    }
}
