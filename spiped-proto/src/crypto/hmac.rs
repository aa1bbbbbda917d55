//! HMAC-SHA256 (RFC 2104): the pads absorbed once per key, many messages a call.

use spiped_simd::sha256::{self, Block, State};
use zeroize::Zeroizing;

/// What HMAC-SHA256 gives.
pub(crate) type Tag = [u8; 32];

/// How many messages are authenticated side by side.
pub(crate) const BATCH: usize = 16;

/// A key after its two pads: the chaining values that the inner hash and the outer one go on from.
/// For HMAC it is all there is to know of the key.
pub(crate) type Pads = [State; 2];

/// Absorbs the pads of keys, `MOST` at most, each into its place.
pub(crate) fn absorb<const MOST: usize>(keys: &[[u8; 32]], to: &mut [Pads]) {
    let count = keys.len().min(to.len()).min(MOST);
    let (to, _) = to.split_at_mut(count);
    let pads = [[0x36; sha256::BLOCK_LEN], [0x5c; sha256::BLOCK_LEN]];
    let mut blocks = Zeroizing::new([pads; MOST]);
    for (block, key) in blocks.iter_mut().zip(keys) {
        for block in block {
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
    }
    to.fill([sha256::INITIAL; 2]);
    let messages = blocks.each_ref().map(each_alone);
    let (messages, _) = messages.split_at(count);
    sha256::compress_many(to.as_flattened_mut(), messages.as_flattened());
}

/// What is authenticated, and under which key.
pub(crate) struct Message<'a> {
    key: &'a Pads,
    blocks: &'a [Block],
    end: Block,
}

impl<'a> Message<'a> {
    /// A message of whole blocks, `rest` and `last`. The last two are less than 56 bytes: they share
    /// their block with the padding.
    pub(crate) fn new<const N: usize>(
        key: &'a Pads,
        blocks: &'a [Block],
        rest: &[u8],
        last: [u8; N],
    ) -> Self {
        let len = blocks.as_flattened().len();
        let len = len.wrapping_add(rest.len()).wrapping_add(last.len());
        let mut end = [0; sha256::BLOCK_LEN];
        let (start, room) = end.split_at_mut(rest.len());
        start.copy_from_slice(rest);
        pad(room, last, len);
        Self { key, blocks, end }
    }
}

/// HMAC of as many messages as there are places for it, `MOST` at most. It may be a key: no copy of
/// it is left behind.
pub(crate) fn hmac<'a, const MOST: usize>(
    messages: impl Iterator<Item = Message<'a>>,
    to: &mut [Tag],
) {
    let mut digests = Zeroizing::new([sha256::INITIAL; MOST]);
    let (digests, _) = digests.split_at_mut(to.len().min(MOST));
    digest::<MOST>(messages, digests);
    write_all(digests, to);
}

/// The same as [`hmac`], into the states of the outer hash.
fn digest<'a, const MOST: usize>(messages: impl Iterator<Item = Message<'a>>, outer: &mut [State]) {
    let count = outer.len();
    let mut inner = [sha256::INITIAL; MOST];
    let (inner, _) = inner.split_at_mut(count);
    let mut bodies: [&[Block]; MOST] = [&[]; MOST];
    let mut ends = [[0; sha256::BLOCK_LEN]; MOST];
    let places = inner.iter_mut().zip(outer.iter_mut());
    let places = places.zip(&mut bodies).zip(&mut ends);
    for (message, (((inner, outer), body), end)) in messages.zip(places) {
        [*inner, *outer] = *message.key;
        *body = message.blocks;
        *end = message.end;
    }
    sha256::compress_many(inner, bodies.split_at(count).0);
    sha256::compress_many(inner, each_alone(&ends).split_at(count).0);

    for (end, digest) in ends.iter_mut().zip(inner.iter()) {
        pad(end, to_bytes(digest), size_of::<Tag>());
    }
    sha256::compress_many(outer, each_alone(&ends).split_at(count).0);
}

/// A key that authenticates packets. It lies on the heap: to move one leaves no copy behind.
pub(crate) struct MacKey(Box<Zeroizing<Pads>>);

impl MacKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut pads = Box::new(Zeroizing::new([sha256::INITIAL; 2]));
        absorb::<1>(std::slice::from_ref(key), std::slice::from_mut(&mut pads));
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
        let (places, _) = tags.split_at_mut(packets.len().min(BATCH));
        let messages = packets.iter().zip(0u64..).map(|(packet, number)| {
            let (body, _) = packet.split_at(LEN.saturating_sub(size_of::<Tag>()));
            let (blocks, rest) = body.as_chunks();
            let number = first.wrapping_add(number).to_be_bytes();
            Message::new(&self.0, blocks, rest, number)
        });
        match packets {
            // Often there is but one, and zeroing room for more would delay it.
            [_] => tag::<1>(messages, places),
            _ => tag::<BATCH>(messages, places),
        }
        tags
    }
}

/// As [`hmac`] for what everybody may see, which is not wiped.
fn tag<'a, const MOST: usize>(messages: impl Iterator<Item = Message<'a>>, to: &mut [Tag]) {
    let mut digests = [sha256::INITIAL; MOST];
    let (digests, _) = digests.split_at_mut(to.len().min(MOST));
    digest::<MOST>(messages, digests);
    write_all(digests, to);
}

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
    write(state, &mut bytes);
    bytes
}

fn write_all(states: &[State], to: &mut [Tag]) {
    for (state, to) in states.iter().zip(to) {
        write(state, to);
    }
}

fn write(state: &State, to: &mut Tag) {
    for (to, word) in to.as_chunks_mut().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
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

    #[test]
    fn many_keys_side_by_side_are_as_good_as_one_by_one() {
        for count in 0..=BATCH {
            let keys: Vec<[u8; 32]> = (0..count)
                .map(|k| std::array::from_fn(|i| (i * 7 + k) as u8))
                .collect();
            let mut pads = vec![[sha256::INITIAL; 2]; count];
            absorb::<BATCH>(&keys, &mut pads);
            let blocks: [Block; 5] = std::array::from_fn(|k| [k as u8; sha256::BLOCK_LEN]);
            let messages = pads.iter().enumerate();
            let messages =
                messages.map(|(k, pads)| Message::new(pads, &blocks, &[9; 13], [k as u8; 4]));
            let mut tags = vec![[0; 32]; count];
            hmac::<BATCH>(messages, &mut tags);
            for (k, (key, tag)) in keys.iter().zip(&tags).enumerate() {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
                mac.update(blocks.as_flattened());
                mac.update(&[9; 13]);
                mac.update(&[k as u8; 4]);
                assert_eq!(mac.finalize().into_bytes()[..], tag[..]);
            }
        }
    }
}
