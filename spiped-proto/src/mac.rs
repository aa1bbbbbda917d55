//! HMAC-SHA256 of packets: the pads absorbed once per key, many packets a call.

use spiped_simd::sha256::{self, State};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// HMAC-SHA256 of a packet.
pub(crate) type Tag = [u8; 32];

/// How many packets are authenticated side by side.
pub(crate) const BATCH: usize = 16;

/// An HMAC-SHA256 key after its two pads (RFC 2104). It lies on the heap: to move one leaves no copy
/// behind.
pub(crate) struct MacKey(Box<Pads>);

#[derive(Zeroize, ZeroizeOnDrop)]
struct Pads {
    inner: State,
    outer: State,
}

impl MacKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let absorb = |state: &mut State, pad: u8| {
            let mut block = [pad; sha256::BLOCK_LEN];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            sha256::compress(state, std::slice::from_ref(&block));
            block.zeroize();
        };
        let mut pads = Box::new(Pads {
            inner: sha256::INITIAL,
            outer: sha256::INITIAL,
        });
        absorb(&mut pads.inner, 0x36);
        absorb(&mut pads.outer, 0x5c);
        Self(pads)
    }

    /// HMAC(H, body || number) of up to [`BATCH`] packets with consecutive numbers from `first`; a
    /// packet's body is what comes before its tag.
    ///
    /// The last block of each has room for the number and the padding: a body's length modulo 64
    /// is below 48.
    pub(crate) fn tags<const LEN: usize>(&self, packets: &[[u8; LEN]], first: u64) -> [Tag; BATCH] {
        const { assert!((LEN - size_of::<Tag>()) % sha256::BLOCK_LEN < 48) };
        let mut tags = [[0; 32]; BATCH];
        match packets {
            // Often there is but one, and zeroing room for more would delay it.
            [_] => self.fill::<1, LEN>(&mut tags, packets, first),
            _ => self.fill::<BATCH, LEN>(&mut tags, packets, first),
        }
        tags
    }

    fn fill<const MOST: usize, const LEN: usize>(
        &self,
        tags: &mut [Tag],
        packets: &[[u8; LEN]],
        first: u64,
    ) {
        let count = packets.len().min(MOST);
        let mut inner = [sha256::INITIAL; MOST];
        let mut outer = inner;
        // Only those that become digests: what is left of the others would be the key.
        let (inner, _) = inner.split_at_mut(count);
        let (outer, _) = outer.split_at_mut(count);
        inner.fill(self.0.inner);
        outer.fill(self.0.outer);

        let mut messages: [&[Block]; MOST] = [&[]; MOST];
        let mut ends = [[0; sha256::BLOCK_LEN]; MOST];
        for (((packet, message), end), number) in
            packets.iter().zip(&mut messages).zip(&mut ends).zip(0u64..)
        {
            let (body, _) = packet.split_at(LEN.saturating_sub(size_of::<Tag>()));
            let (blocks, rest) = body.as_chunks();
            *message = blocks;
            let (start, end) = end.split_at_mut(rest.len());
            start.copy_from_slice(rest);
            let number = first.wrapping_add(number).to_be_bytes();
            pad(end, number, body.len().wrapping_add(number.len()));
        }
        sha256::compress_many(inner, messages.split_at(count).0);
        sha256::compress_many(inner, each_alone(&ends).split_at(count).0);

        for (end, digest) in ends.iter_mut().zip(inner.iter()) {
            pad(end, to_bytes(digest), size_of::<Tag>());
        }
        sha256::compress_many(outer, each_alone(&ends).split_at(count).0);
        for (tag, digest) in tags.iter_mut().zip(outer.iter()) {
            *tag = to_bytes(digest);
        }
    }
}

type Block = [u8; sha256::BLOCK_LEN];

/// Writes the end of a message that follows a pad: its last bytes, the padding and the length in
/// bits of pad and message (FIPS 180-4 section 5.1.1). There is room.
fn pad<const N: usize>(to: &mut [u8], last: [u8; N], message_len: usize) {
    let bits = (message_len as u64)
        .wrapping_add(sha256::BLOCK_LEN as u64)
        .wrapping_mul(8);
    to.fill(0);
    if let Some((start, [one, ..])) = to.split_first_chunk_mut() {
        *start = last;
        *one = 0x80;
    }
    if let Some(end) = to.last_chunk_mut() {
        *end = bits.to_be_bytes();
    }
}

/// Each block as a message of its own.
fn each_alone<const N: usize>(blocks: &[Block; N]) -> [&[Block]; N] {
    blocks.each_ref().map(std::slice::from_ref)
}

fn to_bytes(state: &State) -> Tag {
    let mut bytes = [0; 32];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;

    #[test]
    fn tags_are_hmac_sha256_for_every_count_and_length() {
        fn check<const LEN: usize>(count: usize, first: u64) {
            let key: [u8; 32] = std::array::from_fn(|i| i as u8);
            let packets: Vec<[u8; LEN]> = (0..count)
                .map(|k| std::array::from_fn(|i| ((i + k) * 31) as u8))
                .collect();
            let tags = MacKey::new(&key).tags(&packets, first);
            for (k, tag) in tags.iter().enumerate() {
                let Some(packet) = packets.get(k) else {
                    assert_eq!(*tag, [0; 32]);
                    continue;
                };
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(&packet[..LEN - 32]);
                mac.update(&first.wrapping_add(k as u64).to_be_bytes());
                assert_eq!(mac.finalize().into_bytes()[..], tag[..]);
            }
        }
        for count in 0..=BATCH {
            for first in [0, 255, u64::MAX - 3] {
                check::<{ 1028 + 32 }>(count, first);
                check::<32>(count, first);
                check::<{ 4 + 32 }>(count, first);
                check::<{ 47 + 32 }>(count, first);
                check::<{ 64 + 32 }>(count, first);
                check::<{ 64 + 47 + 32 }>(count, first);
                check::<{ 128 + 32 }>(count, first);
            }
        }
    }
}
