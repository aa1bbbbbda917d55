//! Many keys at one server, and which of them a client holds.
//!
//! A server sends nothing that depends on its key before the client's hello is there, whose MAC tells
//! which key made it (protocol v1, handshake steps 2 to 4).

use std::sync::Arc;

use spiped_simd::sha256::{self, Block};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::group14::Element;
use crate::kdf;
use crate::mac::{self, BATCH, Tag};
use crate::secret::Secret;

/// The keys that a server accepts, in order. Clones share them.
///
/// A client proves that it holds one of them, and is not asked which: all are tried, 16 side by side,
/// in a time that depends on nothing but their number. Where two are the same, the first counts.
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
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }

    /// The first key under which the MAC of a client's hello is right.
    pub(crate) fn find(&self, salt: &Block, value: &Element, mac: &Tag) -> Option<usize> {
        let mut found = Choice::from(0);
        let mut first = 0u64;
        let mut index = 0u64;
        let mut take = |right: Choice| {
            first.conditional_assign(&index, right & !found);
            found |= right;
            index = index.wrapping_add(1);
        };
        match &*self.0 {
            // Often there is but one, and zeroing room for more would delay it.
            [_] => try_keys::<1>(&self.0, salt, value, mac, &mut take),
            keys => {
                for keys in keys.chunks(BATCH) {
                    try_keys::<BATCH>(keys, salt, value, mac, &mut take);
                }
            }
        }
        // The one place where it shows whether there is any.
        let first = usize::try_from(first).ok()?;
        bool::from(found).then_some(first)
    }
}

/// Says of each key, `MOST` at most, whether the MAC of a client's hello is right under it.
fn try_keys<const MOST: usize>(
    keys: &[Secret],
    salt: &Block,
    value: &Element,
    mac: &Tag,
    mut say: impl FnMut(Choice),
) {
    let mut hello_keys = Zeroizing::new([[0; 32]; MOST]);
    let (hello_keys, _) = hello_keys.split_at_mut(keys.len().min(MOST));
    let salt = std::slice::from_ref(salt);
    // The client's is the first block of dk_1, and nobody needs the second yet.
    let blocks = keys.iter().map(|key| kdf::pbkdf2_block(key, salt, 1));
    mac::hmac::<MOST>(blocks, hello_keys);

    let mut pads = Zeroizing::new([[sha256::INITIAL; 2]; MOST]);
    let (pads, _) = pads.split_at_mut(hello_keys.len());
    mac::absorb::<MOST>(hello_keys, pads);
    let mut macs = [[0; 32]; MOST];
    let (macs, _) = macs.split_at_mut(pads.len());
    mac::hmac::<MOST>(pads.iter().map(|pads| kdf::hello(pads, value)), macs);
    for right in macs.iter() {
        say(right[..].ct_eq(mac));
    }
}

impl FromIterator<Secret> for Keyring {
    fn from_iter<I: IntoIterator<Item = Secret>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
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
