//! Up to four messages at once with the SHA instructions: while a round of one message waits for
//! its result, rounds of the others are computed.
//!
//! The SHA instructions know no registers but those of 128 bits. Compiled with AVX, what is around
//! them needs fewer copies.

use std::arch::x86_64::*;

use super::{Block, K, State, common_len};

/// The words of a state in the order that the instructions want: (A, B, E, F) and (C, D, G, H).
type Halves = [__m128i; 2];

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("avx");
        detected.then_some(Self(()))
    }

    /// Absorbs as many blocks as the shortest message has, and returns how many.
    pub(super) fn compress<const LANES: usize>(
        self,
        states: &mut [State; LANES],
        messages: &[&[Block]; LANES],
    ) -> usize {
        // SAFETY: a token exists only where `detect` found sha, sse4.1 and avx.
        unsafe { compress(states, messages) }
    }
}

#[target_feature(enable = "sha,sse4.1,avx")]
fn compress<const LANES: usize>(
    states: &mut [State; LANES],
    messages: &[&[Block]; LANES],
) -> usize {
    let mut halves = states.each_ref().map(|state| load_state(state));
    let blocks = common_len(messages);
    for block in 0..blocks {
        let w = messages.map(|message| load_block(&message[block]));
        absorb(&mut halves, w);
    }
    for (state, halves) in states.iter_mut().zip(halves) {
        store_state(state, halves);
    }
    blocks
}

#[inline]
#[target_feature(enable = "sha,sse4.1,avx")]
fn absorb<const LANES: usize>(states: &mut [Halves; LANES], mut w: [[__m128i; 4]; LANES]) {
    let before = *states;
    let (k, _) = K.as_flattened().as_chunks::<4>();
    macro_rules! rounds {
        ($($t:literal)*) => {$(
            let k4 = k[$t].map(|k| k as i32);
            let k4 = _mm_setr_epi32(k4[0], k4[1], k4[2], k4[3]);
            for (state, w) in states.iter_mut().zip(&mut w) {
                if $t >= 4 {
                    w[$t % 4] = schedule(w[$t % 4], w[($t + 1) % 4], w[($t + 2) % 4], w[($t + 3) % 4]);
                }
                *state = four_rounds(*state, _mm_add_epi32(w[$t % 4], k4));
            }
        )*};
    }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    for (state, before) in states.iter_mut().zip(before) {
        *state = [
            _mm_add_epi32(state[0], before[0]),
            _mm_add_epi32(state[1], before[1]),
        ];
    }
}

/// Four rounds with W_t + K_t of each.
#[inline]
#[target_feature(enable = "sha,sse2")]
fn four_rounds([abef, cdgh]: Halves, wk: __m128i) -> Halves {
    // Two rounds turn (A, B, E, F) into the next (C, D, G, H).
    let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
    let abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(wk));
    [abef, cdgh]
}

/// Four words of the message schedule from the sixteen before them.
#[inline]
#[target_feature(enable = "sha,ssse3")]
fn schedule(w16: __m128i, w12: __m128i, w8: __m128i, w4: __m128i) -> __m128i {
    let with_sigma0 = _mm_sha256msg1_epu32(w16, w12);
    let w7 = _mm_alignr_epi8::<4>(w4, w8);
    _mm_sha256msg2_epu32(_mm_add_epi32(with_sigma0, w7), w4)
}

/// The sixteen big-endian words of a block.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_block(block: &Block) -> [__m128i; 4] {
    let (quarters, _) = block.as_chunks::<16>();
    let swap = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    [&quarters[0], &quarters[1], &quarters[2], &quarters[3]].map(|quarter| {
        // SAFETY: a quarter of a block is 16 readable bytes; the load asks for no alignment.
        let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        _mm_shuffle_epi8(bytes, swap)
    })
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn load_state(state: &State) -> Halves {
    // SAFETY: a state is 32 readable bytes; the loads ask for no alignment.
    let (abcd, efgh) = unsafe {
        let state = state.as_ptr().cast::<__m128i>();
        (_mm_loadu_si128(state), _mm_loadu_si128(state.add(1)))
    };
    // As written here, the lowest word is the last.
    let cdab = _mm_shuffle_epi32::<0xb1>(abcd);
    let efgh = _mm_shuffle_epi32::<0x1b>(efgh);
    [
        _mm_alignr_epi8::<8>(cdab, efgh),
        _mm_blend_epi16::<0xf0>(efgh, cdab),
    ]
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn store_state(state: &mut State, [abef, cdgh]: Halves) {
    let feba = _mm_shuffle_epi32::<0x1b>(abef);
    let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
    let dcba = _mm_blend_epi16::<0xf0>(feba, dchg);
    let hgfe = _mm_alignr_epi8::<8>(dchg, feba);
    // SAFETY: a state is 32 writable bytes; the stores ask for no alignment.
    unsafe {
        let state = state.as_mut_ptr().cast::<__m128i>();
        _mm_storeu_si128(state, dcba);
        _mm_storeu_si128(state.add(1), hgfe);
    }
}
