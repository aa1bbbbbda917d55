//! HMAC-SHA256 (RFC 2104), of the crates `hmac` and `sha2`.

use hmac::block_api::HmacCore;
use hmac::digest::FixedOutput;
use hmac::digest::block_api::CoreProxy;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// A tag of HMAC-SHA256, 32 bytes.
pub(crate) type Tag = [u8; 32];

/// Bytes in a block of SHA-256.
const BLOCK_LEN: usize = 64;

/// A key after its two pads, which is all that HMAC needs of it; 80 bytes, wiped on drop.
#[derive(Clone)]
pub(crate) struct HmacKey(HmacCore<Sha256>);

impl HmacKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key up with zeros to a whole block.
        let mut block = Zeroizing::new([0; BLOCK_LEN]);
        block.split_at_mut(key.len()).0.copy_from_slice(key);
        Self(HmacCore::new((&*block).into()))
    }

    /// The tag of all parts, one after the other.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut tag = [0; 32];
        self.tag_into(parts, &mut tag);
        tag
    }

    /// The same in its place: if it is a key, no copy is left elsewhere.
    pub(crate) fn tag_into(&self, parts: &[&[u8]], to: &mut Tag) {
        self.begin(parts).0.finalize_into(to.into());
    }

    /// Takes what several messages begin with, which is hashed once for all of them.
    pub(crate) fn begin(&self, parts: &[&[u8]]) -> HmacPrefix {
        let mut mac = Hmac::<Sha256>::compose(self.0.clone(), Default::default());
        for part in parts {
            mac.update(part);
        }
        HmacPrefix(mac)
    }

    /// Whether `tag` is the tag of all parts, found out in constant time.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &Tag) -> Choice {
        self.tag(parts)[..].ct_eq(tag)
    }

    /// Whether another key is the same, found out in constant time. The library does not show its
    /// state; two keys that make one tag are the same unless HMAC-SHA256 has collisions.
    pub(crate) fn is_same(&self, other: &Self) -> Choice {
        self.verify(&[], &other.tag(&[]))
    }
}

/// HMAC-SHA256 after the beginning of a message, wiped on drop.
pub(crate) struct HmacPrefix(Hmac<Sha256>);

impl HmacPrefix {
    /// Puts the tag of the beginning and `rest` in its place.
    pub(crate) fn tag_into(&self, rest: &[u8], to: &mut Tag) {
        let mut mac = self.0.clone();
        mac.update(rest);
        mac.finalize_into(to.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_hmac_sha256_however_a_message_is_cut() {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let message: Vec<u8> = (0..1100).map(|i| (i * 31) as u8).collect();
        for len in [0, 1, 8, 36, 47, 55, 56, 63, 64, 65, 111, 128, 1036, 1100] {
            let message = &message[..len];
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).unwrap();
            mac.update(message);
            let expected: Tag = mac.finalize().into_bytes().into();
            for cut in [0, len / 3, len] {
                let (start, end) = message.split_at(cut);
                let key = HmacKey::new(&key);
                assert_eq!(key.tag(&[start, &[], end]), expected);
                let prefix = key.begin(&[start]);
                for _ in 0..2 {
                    let mut tag = [0; 32];
                    prefix.tag_into(end, &mut tag);
                    assert_eq!(tag, expected);
                }
                assert!(bool::from(key.verify(&[start, end], &expected)));
                for bit in 0..256 {
                    let mut wrong = expected;
                    wrong[bit / 8] ^= 1 << (bit % 8);
                    assert!(!bool::from(key.verify(&[message], &wrong)));
                }
            }
        }
    }

    #[test]
    fn the_answers_of_rfc_4231_are_given() {
        // Test case 2 of section 4.3; its key is shorter than a block.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let tag = HmacKey::new(&key).tag(&[b"what do ya want ", b"for nothing?"]);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
