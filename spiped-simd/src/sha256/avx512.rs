//! Sixteen messages at once: each 512-bit register holds one word of all of them.

use std::arch::x86_64::*;

use super::{Block, K, State, common_len};

const LANES: usize = 16;

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        detected.then_some(Self(()))
    }

    /// Absorbs as many blocks as the shortest message has, and returns how many.
    pub(super) fn compress(
        self,
        states: &mut [State; LANES],
        messages: &[&[Block]; LANES],
    ) -> usize {
        // SAFETY: a token exists only where `detect` found avx512f and avx512bw.
        unsafe { compress(states, messages) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress(states: &mut [State; LANES], messages: &[&[Block]; LANES]) -> usize {
    let rows = transpose(states.each_ref().map(|state| load_state(state)));
    let mut state = [
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7],
    ];
    let blocks = common_len(messages);
    for block in 0..blocks {
        let w = transpose(messages.map(|message| load_block(&message[block])));
        absorb(&mut state, w);
    }
    let [a, b, c, d, e, f, g, h] = state;
    let zero = _mm512_setzero_si512();
    let rows = transpose([
        a, b, c, d, e, f, g, h, zero, zero, zero, zero, zero, zero, zero, zero,
    ]);
    for (state, row) in states.iter_mut().zip(rows) {
        store_state(state, row);
    }
    blocks
}

#[inline]
#[target_feature(enable = "avx512f")]
fn absorb(state: &mut [__m512i; 8], mut w: [__m512i; 16]) {
    let before = *state;
    macro_rules! rounds {
        ($k:ident: $($t:literal)*) => {$(
            round(state, _mm512_add_epi32(w[$t], _mm512_set1_epi32($k[$t] as i32)));
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
        *state = _mm512_add_epi32(*state, before);
    }
}

/// One round with W_t + K_t.
#[inline]
#[target_feature(enable = "avx512f")]
fn round(state: &mut [__m512i; 8], wk: __m512i) {
    const XOR: i32 = 0x96;
    const CHOOSE: i32 = 0xca;
    const MAJORITY: i32 = 0xe8;
    let [a, b, c, d, e, f, g, h] = *state;
    let sigma1 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    );
    let sigma0 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    );
    let choose = _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g);
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    let t1 = _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(h, wk), choose), sigma1);
    let t2 = _mm512_add_epi32(sigma0, majority);
    *state = [
        _mm512_add_epi32(t1, t2),
        a,
        b,
        c,
        _mm512_add_epi32(d, t1),
        e,
        f,
        g,
    ];
}

/// W_t from W_(t-16), W_(t-15), W_(t-7) and W_(t-2).
#[inline]
#[target_feature(enable = "avx512f")]
fn schedule(w16: __m512i, w15: __m512i, w7: __m512i, w2: __m512i) -> __m512i {
    const XOR: i32 = 0x96;
    let sigma0 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<7>(w15),
        _mm512_ror_epi32::<18>(w15),
        _mm512_srli_epi32::<3>(w15),
    );
    let sigma1 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<17>(w2),
        _mm512_ror_epi32::<19>(w2),
        _mm512_srli_epi32::<10>(w2),
    );
    _mm512_add_epi32(_mm512_add_epi32(w16, w7), _mm512_add_epi32(sigma0, sigma1))
}

/// Turns sixteen rows of sixteen words into columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    // First 4 x 4 words within each quarter of four rows, then 4 x 4 quarters.
    let mut quarters = [[_mm512_setzero_si512(); 4]; 4];
    for (quarter, rows) in quarters.iter_mut().zip(rows.as_chunks::<4>().0) {
        let low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
        let high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
        let low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
        let high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
        *quarter = [
            _mm512_unpacklo_epi64(low01, low23),
            _mm512_unpackhi_epi64(low01, low23),
            _mm512_unpacklo_epi64(high01, high23),
            _mm512_unpackhi_epi64(high01, high23),
        ];
    }
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    let mut columns = [_mm512_setzero_si512(); 16];
    for c in 0..4 {
        let even01 = _mm512_shuffle_i32x4::<EVEN>(quarters[0][c], quarters[1][c]);
        let odd01 = _mm512_shuffle_i32x4::<ODD>(quarters[0][c], quarters[1][c]);
        let even23 = _mm512_shuffle_i32x4::<EVEN>(quarters[2][c], quarters[3][c]);
        let odd23 = _mm512_shuffle_i32x4::<ODD>(quarters[2][c], quarters[3][c]);
        columns[c] = _mm512_shuffle_i32x4::<EVEN>(even01, even23);
        columns[c + 4] = _mm512_shuffle_i32x4::<EVEN>(odd01, odd23);
        columns[c + 8] = _mm512_shuffle_i32x4::<ODD>(even01, even23);
        columns[c + 12] = _mm512_shuffle_i32x4::<ODD>(odd01, odd23);
    }
    columns
}

/// The sixteen big-endian words of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_block(block: &Block) -> __m512i {
    // SAFETY: a block is 64 readable bytes; the load asks for no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let swap = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    _mm512_shuffle_epi8(bytes, swap)
}

/// A state's eight words in the lower half.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_state(state: &State) -> __m512i {
    // SAFETY: a state is 32 readable bytes; the load asks for no alignment.
    let words = unsafe { _mm256_loadu_si256(state.as_ptr().cast()) };
    _mm512_zextsi256_si512(words)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_state(state: &mut State, row: __m512i) {
    // SAFETY: a state is 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(state.as_mut_ptr().cast(), _mm512_castsi512_si256(row)) }
}
