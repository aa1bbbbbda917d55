//! Streams of bytes that can be made again anywhere, so that what arrives can
//! be compared byte for byte without keeping what was sent.

use sha2::{Digest, Sha256};

/// An endless stream of bytes, fixed by its seed. Any shift, loss, repetition
/// or exchange within it or between two of them shows as a difference.
#[derive(Clone, Debug)]
pub struct Pattern {
    seed: u64,
    position: u64,
}

impl Pattern {
    /// The stream of this seed from its beginning.
    pub fn new(seed: u64) -> Self {
        Self { seed, position: 0 }
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            let word = self.word(self.position / 8).to_le_bytes();
            let from = (self.position % 8) as usize;
            let n = rest.len().min(8 - from);
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&word[from..from + n]);
            self.position += n as u64;
            rest = later;
        }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    // The output function of SplitMix64.
    fn word(&self, index: u64) -> u64 {
        let mut z = self
            .seed
            .wrapping_mul(0xd6e8_feb8_6659_fd93)
            .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 of the first `length` bytes of a pattern.
pub fn sha256_of_pattern(seed: u64, length: usize) -> [u8; 32] {
    let mut bytes = vec![0; length];
    Pattern::new(seed).fill(&mut bytes);
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_make_the_same_stream() {
        let mut whole = [0; 1000];
        Pattern::new(7).fill(&mut whole);
        let mut pieces = Vec::new();
        let mut pattern = Pattern::new(7);
        for n in (1..50).cycle() {
            let mut piece = vec![0; n.min(1000 - pieces.len())];
            pattern.fill(&mut piece);
            pieces.extend(piece);
            if pieces.len() == 1000 {
                break;
            }
        }
        assert_eq!(pieces, whole);
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(sha256_of_pattern(1, 64), sha256_of_pattern(2, 64));
    }
}
