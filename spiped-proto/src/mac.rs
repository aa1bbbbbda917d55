//! HMAC-SHA256 of packets: the pads absorbed once per key, many packets a call.

use spiped_simd::sha256::{self, State};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// HMAC-SHA256 of a packet.
pub(crate) type Tag = [u8; 32];

/// How many packets are authenticated side by side.
pub(crate) const BATCH: usize = 16;

/// An HMAC-SHA256 key after its two pads (RFC 2104).
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MacKey {
    inner: State,
    outer: State,
}

impl MacKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let absorb = |pad: u8| {
            let mut block = [pad; sha256::BLOCK_LEN];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            let mut state = sha256::INITIAL;
            sha256::compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self {
            inner: absorb(0x36),
            outer: absorb(0x5c),
        }
    }

    /// HMAC(H, body || number) of up to [`BATCH`] bodies with consecutive numbers from `first`.
    ///
    /// The bodies are equally long, and the last block of each has room for the number and the
    /// padding: their length modulo 64 is below 48.
    pub(crate) fn tags(&self, bodies: &[&[u8]], first: u64) -> [Tag; BATCH] {
        let count = bodies.len().min(BATCH);
        let mut inner = [sha256::INITIAL; BATCH];
        let mut outer = inner;
        // Only those that become digests: what is left of the others would be the key.
        let (inner, _) = inner.split_at_mut(count);
        let (outer, _) = outer.split_at_mut(count);
        inner.fill(self.inner);
        outer.fill(self.outer);

        let mut messages: [&[Block]; BATCH] = [&[]; BATCH];
        let mut ends = [[0; sha256::BLOCK_LEN]; BATCH];
        for (((body, message), end), number) in
            bodies.iter().zip(&mut messages).zip(&mut ends).zip(0u64..)
        {
            let (blocks, rest) = body.as_chunks();
            *message = blocks;
            let number = first.wrapping_add(number).to_be_bytes();
            *end = final_block(&[rest, &number], body.len().wrapping_add(number.len()));
        }
        sha256::compress_many(inner, messages.split_at(count).0);
        sha256::compress_many(inner, each_alone(&ends).split_at(count).0);

        for (end, digest) in ends.iter_mut().zip(inner.iter()) {
            *end = final_block(&[&to_bytes(digest)], size_of::<Tag>());
        }
        sha256::compress_many(outer, each_alone(&ends).split_at(count).0);
        let mut tags = [[0; 32]; BATCH];
        for (tag, digest) in tags.iter_mut().zip(outer.iter()) {
            *tag = to_bytes(digest);
        }
        tags
    }
}

type Block = [u8; sha256::BLOCK_LEN];

/// The last block of a message that follows a pad: its rest, the padding and the length in bits of
/// pad and message (FIPS 180-4 section 5.1.1).
fn final_block(rest: &[&[u8]], message_len: usize) -> Block {
    let mut block = [0; sha256::BLOCK_LEN];
    let bytes = rest.iter().copied().flatten().chain(&[0x80]);
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    let bits = (message_len as u64)
        .wrapping_add(sha256::BLOCK_LEN as u64)
        .wrapping_mul(8)
        .to_be_bytes();
    for (to, from) in block.iter_mut().rev().zip(bits.iter().rev()) {
        *to = *from;
    }
    block
}

/// Each block as a message of its own.
fn each_alone(blocks: &[Block; BATCH]) -> [&[Block]; BATCH] {
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
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let bytes: Vec<u8> = (0..1028 + BATCH).map(|i| (i * 31) as u8).collect();
        for (count, len) in (0..=BATCH).zip([1028, 0, 4, 47, 64, 64 + 47, 128].into_iter().cycle())
        {
            for first in [0, 255, u64::MAX - 3] {
                let bodies: Vec<&[u8]> = (0..count).map(|k| &bytes[k..k + len]).collect();
                let tags = MacKey::new(&key).tags(&bodies, first);
                for (k, tag) in tags.iter().enumerate() {
                    let Some(body) = bodies.get(k) else {
                        assert_eq!(*tag, [0; 32]);
                        continue;
                    };
                    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                    mac.update(body);
                    mac.update(&first.wrapping_add(k as u64).to_be_bytes());
                    assert_eq!(mac.finalize().into_bytes()[..], tag[..]);
                }
            }
        }
    }
}
