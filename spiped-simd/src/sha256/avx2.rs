//! Eight messages at once, for CPUs without SHA-NI: each 256-bit register holds one word of all of
//! them.

use std::arch::x86_64::*;

use super::{Block, K, State, common_len};

const LANES: usize = 8;

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Absorbs as many blocks as the shortest message has, and returns how many.
    pub(super) fn compress(
        self,
        states: &mut [State; LANES],
        messages: &[&[Block]; LANES],
    ) -> usize {
        // SAFETY: a token exists only where `detect` found avx2.
        unsafe { compress(states, messages) }
    }
}

#[target_feature(enable = "avx2")]
fn compress(states: &mut [State; LANES], messages: &[&[Block]; LANES]) -> usize {
    let mut state = transpose(states.each_ref().map(|state| load_state(state)));
    let blocks = common_len(messages);
    for block in 0..blocks {
        let halves = messages.map(|message| load_block(&message[block]));
        let low = transpose(halves.map(|[low, _]| low));
        let high = transpose(halves.map(|[_, high]| high));
        let mut w = [_mm256_setzero_si256(); 16];
        w[..8].copy_from_slice(&low);
        w[8..].copy_from_slice(&high);
        absorb(&mut state, w);
    }
    for (state, row) in states.iter_mut().zip(transpose(state)) {
        store_state(state, row);
    }
    blocks
}

#[inline]
#[target_feature(enable = "avx2")]
fn absorb(state: &mut [__m256i; 8], mut w: [__m256i; 16]) {
    let before = *state;
    macro_rules! rounds {
        ($k:ident: $($t:literal)*) => {$(
            round(state, _mm256_add_epi32(w[$t], _mm256_set1_epi32($k[$t] as i32)));
        )*};
    }
    macro_rules! scheduled_rounds {
        ($k:ident: $($t:literal)*) => {$(
            w[$t] = schedule(w[$t], w[($t + 1) % 16], w[($t + 9) % 16], w[($t + 14) % 16]);
            rounds!($k: $t);
        )*};
    }
    let [first, rest @ ..] = &K;
    rounds!(first: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    for k in rest {
        scheduled_rounds!(k: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    for (state, before) in state.iter_mut().zip(before) {
        *state = _mm256_add_epi32(*state, before);
    }
}

/// One round with W_t + K_t.
#[inline]
#[target_feature(enable = "avx2")]
fn round(state: &mut [__m256i; 8], wk: __m256i) {
    let [a, b, c, d, e, f, g, h] = *state;
    let sigma1 = xor3(
        rotate_right::<6, 26>(e),
        rotate_right::<11, 21>(e),
        rotate_right::<25, 7>(e),
    );
    let sigma0 = xor3(
        rotate_right::<2, 30>(a),
        rotate_right::<13, 19>(a),
        rotate_right::<22, 10>(a),
    );
    let choose = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
    let majority = _mm256_or_si256(
        _mm256_and_si256(a, b),
        _mm256_and_si256(c, _mm256_or_si256(a, b)),
    );
    let t1 = _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(h, wk), choose), sigma1);
    let t2 = _mm256_add_epi32(sigma0, majority);
    *state = [
        _mm256_add_epi32(t1, t2),
        a,
        b,
        c,
        _mm256_add_epi32(d, t1),
        e,
        f,
        g,
    ];
}

/// W_t from W_(t-16), W_(t-15), W_(t-7) and W_(t-2).
#[inline]
#[target_feature(enable = "avx2")]
fn schedule(w16: __m256i, w15: __m256i, w7: __m256i, w2: __m256i) -> __m256i {
    let sigma0 = xor3(
        rotate_right::<7, 25>(w15),
        rotate_right::<18, 14>(w15),
        _mm256_srli_epi32::<3>(w15),
    );
    let sigma1 = xor3(
        rotate_right::<17, 15>(w2),
        rotate_right::<19, 13>(w2),
        _mm256_srli_epi32::<10>(w2),
    );
    _mm256_add_epi32(_mm256_add_epi32(w16, w7), _mm256_add_epi32(sigma0, sigma1))
}

/// Rotates each word right by `RIGHT`; `LEFT` is the rest of its 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_right<const RIGHT: i32, const LEFT: i32>(x: __m256i) -> __m256i {
    const { assert!(RIGHT + LEFT == 32) };
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(x), _mm256_slli_epi32::<LEFT>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(x, y), z)
}

/// Turns eight rows of eight words into columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    // First 4 x 4 words within each half of four rows, then 2 x 2 halves.
    let mut halves = [[_mm256_setzero_si256(); 4]; 2];
    for (half, rows) in halves.iter_mut().zip(rows.as_chunks::<4>().0) {
        let low01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
        let high01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
        let low23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
        let high23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
        *half = [
            _mm256_unpacklo_epi64(low01, low23),
            _mm256_unpackhi_epi64(low01, low23),
            _mm256_unpacklo_epi64(high01, high23),
            _mm256_unpackhi_epi64(high01, high23),
        ];
    }
    let mut columns = [_mm256_setzero_si256(); 8];
    for c in 0..4 {
        columns[c] = _mm256_permute2x128_si256::<0x20>(halves[0][c], halves[1][c]);
        columns[c + 4] = _mm256_permute2x128_si256::<0x31>(halves[0][c], halves[1][c]);
    }
    columns
}

/// The sixteen big-endian words of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn load_block(block: &Block) -> [__m256i; 2] {
    let (halves, _) = block.as_chunks::<32>();
    let swap = _mm256_setr_epi8(
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8,
        15, 14, 13, 12,
    );
    [&halves[0], &halves[1]].map(|half| {
        // SAFETY: half a block is 32 readable bytes; the load asks for no alignment.
        let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
        _mm256_shuffle_epi8(bytes, swap)
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_state(state: &State) -> __m256i {
    // SAFETY: a state is 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(state.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_state(state: &mut State, row: __m256i) {
    // SAFETY: a state is 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(state.as_mut_ptr().cast(), row) }
}
