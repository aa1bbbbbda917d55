//! Two blocks a register with the AES instructions for 256 bits.

use std::arch::x86_64::*;

use zeroize::{Zeroize, Zeroizing};

use super::BLOCK_LEN;

const ROUNDS: usize = 14;
type RoundKeys = [[u8; BLOCK_LEN]; ROUNDS + 1];
type Pair = [u8; 2 * BLOCK_LEN];
/// How many registers are encrypted side by side: a round waits for the one before.
const WIDTH: usize = 8;

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("avx2");
        detected.then_some(Self(()))
    }
}

/// The round keys. Who has a key has the instructions.
pub(super) struct Key(Box<Zeroizing<RoundKeys>>);

impl Key {
    pub(super) fn new(_: Token, key: &[u8; 32]) -> Self {
        let mut expanded = Box::new(Zeroizing::new([[0; BLOCK_LEN]; ROUNDS + 1]));
        // SAFETY: a token exists only where `detect` found aes.
        unsafe { expand(key, &mut expanded) };
        Self(expanded)
    }

    pub(super) fn xor(&self, number: u64, first: u64, from: &[u8], to: &mut [u8]) {
        // SAFETY: a key is made with a token, which exists only where `detect` found vaes and avx2.
        unsafe { xor(&self.0, number, first, from, to) }
    }
}

#[target_feature(enable = "avx2,vaes")]
fn xor(keys: &RoundKeys, number: u64, first: u64, from: &[u8], to: &mut [u8]) {
    let len = from.len().min(to.len());
    let (from, from_rest) = from.split_at(len).0.as_chunks::<{ size_of::<Pair>() }>();
    let (to, to_rest) = to
        .split_at_mut(len)
        .0
        .as_chunks_mut::<{ size_of::<Pair>() }>();
    let mut next = first;
    let (from, from_pairs) = from.as_chunks::<WIDTH>();
    let (to, to_pairs) = to.as_chunks_mut::<WIDTH>();
    for (from, to) in from.iter().zip(to) {
        xor_pairs(keystream(keys, number, next), from, to);
        next = next.wrapping_add(2 * WIDTH as u64);
    }
    for (from, to) in from_pairs.iter().zip(to_pairs) {
        xor_pairs(
            keystream(keys, number, next),
            std::array::from_ref(from),
            std::array::from_mut(to),
        );
        next = next.wrapping_add(2);
    }
    if !to_rest.is_empty() {
        let [keystream] = keystream(keys, number, next);
        let mut last = [0u64; 4];
        // SAFETY: four words are 32 writable bytes; the store asks for no alignment.
        unsafe { _mm256_storeu_si256(last.as_mut_ptr().cast(), keystream) };
        let bytes = last.iter().flat_map(|word| word.to_ne_bytes());
        for ((to, from), keystream) in to_rest.iter_mut().zip(from_rest).zip(bytes) {
            *to = from ^ keystream;
        }
        last.zeroize();
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor_pairs<const N: usize>(keystream: [__m256i; N], from: &[Pair; N], to: &mut [Pair; N]) {
    // A loop over three iterators is not unrolled and goes through memory.
    for i in 0..N {
        store(
            &mut to[i],
            _mm256_xor_si256(load_pair(&from[i]), keystream[i]),
        );
    }
}

/// Keystream from block number `first` on.
#[inline]
#[target_feature(enable = "avx2,vaes")]
#[expect(
    clippy::needless_range_loop,
    reason = "loops over several iterators go through memory"
)]
fn keystream<const N: usize>(keys: &RoundKeys, number: u64, first: u64) -> [__m256i; N] {
    // Else the compiler keeps the keys of all rounds on the stack and goes block by block.
    let keys = std::hint::black_box(keys);
    let [number, first] = [number, first].map(|word| word as i64);
    let counters = _mm256_add_epi64(
        _mm256_broadcastsi128_si256(_mm_set_epi64x(number, first)),
        _mm256_setr_epi64x(0, 0, 1, 0),
    );
    let big_endian = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
    ));
    let mut blocks = [_mm256_setzero_si256(); N];
    let key = load_twice(&keys[0]);
    for i in 0..N {
        let further = 2 * i as i64;
        let counters = _mm256_add_epi64(counters, _mm256_setr_epi64x(further, 0, further, 0));
        blocks[i] = _mm256_xor_si256(_mm256_shuffle_epi8(counters, big_endian), key);
    }
    for round in 1..ROUNDS {
        let key = load_twice(&keys[round]);
        for i in 0..N {
            blocks[i] = _mm256_aesenc_epi128(blocks[i], key);
        }
    }
    let key = load_twice(&keys[ROUNDS]);
    for i in 0..N {
        blocks[i] = _mm256_aesenclast_epi128(blocks[i], key);
    }
    blocks
}

/// The key expansion (FIPS 197 section 5.2).
#[target_feature(enable = "aes")]
fn expand(key: &[u8; 32], keys: &mut RoundKeys) {
    let (halves, _) = key.as_chunks();
    let [mut even, mut odd] = [load(&halves[0]), load(&halves[1])];
    store_key(&mut keys[0], even);
    store_key(&mut keys[1], odd);
    macro_rules! expand {
        ($($round:literal $constant:literal)*) => {$(
            even = next_even::<$constant>(even, odd);
            store_key(&mut keys[$round], even);
            let word = _mm_aeskeygenassist_si128::<0>(even);
            odd = _mm_xor_si128(running_xor(odd), _mm_shuffle_epi32::<0xaa>(word));
            store_key(&mut keys[$round + 1], odd);
        )*};
    }
    expand!(2 0x01 4 0x02 6 0x04 8 0x08 10 0x10 12 0x20);
    store_key(&mut keys[14], next_even::<0x40>(even, odd));
}

#[inline]
#[target_feature(enable = "aes")]
fn next_even<const CONSTANT: i32>(even: __m128i, odd: __m128i) -> __m128i {
    let word = _mm_aeskeygenassist_si128::<CONSTANT>(odd);
    _mm_xor_si128(running_xor(even), _mm_shuffle_epi32::<0xff>(word))
}

/// Each word XORed with all words before it.
#[inline]
#[target_feature(enable = "sse2")]
fn running_xor(words: __m128i) -> __m128i {
    let words = _mm_xor_si128(words, _mm_slli_si128::<4>(words));
    _mm_xor_si128(words, _mm_slli_si128::<8>(words))
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(block: &[u8; BLOCK_LEN]) -> __m128i {
    // SAFETY: a block is 16 readable bytes; the load asks for no alignment.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_twice(key: &[u8; BLOCK_LEN]) -> __m256i {
    _mm256_broadcastsi128_si256(load(key))
}

#[inline]
#[target_feature(enable = "sse2")]
fn store_key(to: &mut [u8; BLOCK_LEN], key: __m128i) {
    // SAFETY: a round key is 16 writable bytes; the store asks for no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), key) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_pair(pair: &Pair) -> __m256i {
    // SAFETY: a pair is 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(pair.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut Pair, blocks: __m256i) {
    // SAFETY: a pair is 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), blocks) }
}
