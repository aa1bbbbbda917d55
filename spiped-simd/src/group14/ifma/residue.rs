//! Montgomery arithmetic mod p with R = 2^2080, on AVX-512 IFMA.
//!
//! A number is 40 limbs of 52 bits, eight to a vector. A product is first summed up in 80 columns
//! of 64 bits without carrying: at most 80 terms below 2^52 each. Then the lower 40 columns are
//! cleared by multiples of p, which at most doubles that, and the upper 40 are carried.
//!
//! R is 2^32 times larger than p. The reduced product of numbers below 2^2049 is therefore below
//! p + 2^2018, and nothing needs to be subtracted from it before the next one.

use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::super::{Number, P};

const LIMBS: usize = 40;
const LIMB_BITS: usize = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;
/// Limbs in a vector.
const LANES: usize = 8;
/// Vectors in a number.
const VECTORS: usize = LIMBS / LANES;

/// A number times R mod p, not always below p. Each limb is below 2^52.
#[derive(Clone, Copy, Zeroize)]
#[repr(align(64))]
pub(super) struct Residue([[u64; LANES]; VECTORS]);

type Vectors = [__m512i; VECTORS];

/// A product before its reduction, least significant column first.
type Columns = [__m512i; 2 * VECTORS];

/// The number 1 without the factor R.
pub(super) const ONE: Residue = {
    let mut one = [[0; LANES]; VECTORS];
    one[0][0] = 1;
    Residue(one)
};

/// R^2 mod p: multiplying by it gives a number its factor R.
pub(super) static R_SQUARED: Residue = Residue::from_number(&[
    0x0cd37a33628b3197,
    0x753974f380e61975,
    0xf08f9cfc2c0c5c5c,
    0x40d53255af07c2a7,
    0xb0e23fdab8f4696e,
    0x72c52427b307b988,
    0xfda42ce54908447e,
    0xa34af1276d7c2d2a,
    0x57d68d9a1e49fedc,
    0x62c5047e1fec0f98,
    0x023131e67dac81c6,
    0x1be4d2eaba04865f,
    0x2aed8d99ab5daa8f,
    0x111dd954b4d97239,
    0x7da1dee863392055,
    0x4732dbb662d3827c,
    0x5b4bd0cfc5d59fce,
    0xb76ae6c03e1fa362,
    0x5941f3acbcf0b52f,
    0xb88077307ec11007,
    0xae14c8ef231a59c2,
    0x6d3c89f3dd2124fa,
    0x443d6b0745300848,
    0x488bacf87d325040,
    0xb77698f95db4bfbb,
    0xf80e138005786386,
    0x21ca91ece86c6d85,
    0xf90f8b2ed96b10b1,
    0x21000c913dcec8dc,
    0x14492053334cdb87,
    0x0311d9c0a8cdb540,
    0x4198faec11fab8ac,
]);

/// p + 1 moved up by some limbs.
#[repr(align(64))]
struct Row([[u64; LANES]; VECTORS + 1]);

/// p + 1 moved up by 0 to 8 limbs.
static P_PLUS_ONE: [Row; LANES + 1] = {
    let p = Residue::from_number(&P).0;
    let mut rows = [const { Row([[0; LANES]; VECTORS + 1]) }; LANES + 1];
    let mut up = 0;
    while up <= LANES {
        let mut i = 0;
        while i < LIMBS {
            // p ends in 64 one bits: adding 1 clears limb 0 and carries into limb 1, not further.
            let limb = match i {
                0 => 0,
                1 => p[0][1] + 1,
                _ => p[i / LANES][i % LANES],
            };
            rows[up].0[(i + up) / LANES][(i + up) % LANES] = limb;
            i += 1;
        }
        up += 1;
    }
    rows
};

impl Residue {
    /// The number as it is; it still lacks the factor R.
    pub(super) const fn from_number(number: &Number) -> Self {
        let mut limbs = [[0; LANES]; VECTORS];
        let mut i = 0;
        while i < LIMBS {
            let (word, shift) = (i * LIMB_BITS / 64, i * LIMB_BITS % 64);
            let mut limb = 0;
            if word < number.len() {
                limb = number[word] >> shift;
            }
            if shift > 64 - LIMB_BITS && word + 1 < number.len() {
                limb |= number[word + 1] << (64 - shift);
            }
            limbs[i / LANES][i % LANES] = limb & LIMB_MASK;
            i += 1;
        }
        Self(limbs)
    }

    /// Sets `number` to the number mod 2^2048, with its factor R if it has one.
    pub(super) fn write_to(&self, number: &mut Number) {
        number.fill(0);
        for (i, &limb) in self.0.as_flattened().iter().enumerate() {
            let (word, shift) = (i * LIMB_BITS / 64, i * LIMB_BITS % 64);
            if let Some(to) = number.get_mut(word) {
                *to |= limb << shift;
            }
            if shift > 64 - LIMB_BITS
                && let Some(to) = number.get_mut(word + 1)
            {
                *to |= limb >> (64 - shift);
            }
        }
    }

    /// self = self * other / R mod p.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn multiply(&mut self, other: &Self) {
        let a = self.load();
        // The other's limbs by their place in a vector, the last one first: what is summed up so
        // far moves up by a limb from one place to the next.
        let mut columns = [_mm512_setzero_si512(); 2 * VECTORS];
        add_high(&mut columns, &a, other, LANES - 1);
        for place in (1..LANES).rev() {
            move_up(&mut columns);
            add_low(&mut columns, &a, other, place);
            add_high(&mut columns, &a, other, place - 1);
        }
        move_up(&mut columns);
        add_low(&mut columns, &a, other, 0);
        self.store(carry(reduce(columns)));
    }

    /// self = self * self / R mod p. Leaves a secret in `twice`, which spares a wipe a call.
    ///
    /// With the number in parts A0 to A4 of a vector each, a product of two different parts is
    /// computed once, with a part of twice the number for the lower one. The parts of twice the
    /// number below part i add up to twice the parts of the number below it, less the bit that is
    /// carried into part i. That bit times part i is added by itself.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn square(&mut self, twice: &mut Self) {
        let a = self.load();
        twice.store(double(&a));
        let mut columns = [_mm512_setzero_si512(); 2 * VECTORS];
        add_square_high(&mut columns, &a, self, twice, LANES - 1);
        for place in (1..LANES).rev() {
            move_up(&mut columns);
            add_square_low(&mut columns, &a, self, twice, place);
            add_square_high(&mut columns, &a, self, twice, place - 1);
        }
        move_up(&mut columns);
        add_square_low(&mut columns, &a, self, twice, 0);
        for i in 1..VECTORS {
            let top = _mm512_set1_epi64((self.0[i - 1][LANES - 1] >> (LIMB_BITS - 1)) as i64);
            let mask = _mm512_sub_epi64(_mm512_setzero_si512(), top);
            columns[2 * i] = _mm512_add_epi64(columns[2 * i], _mm512_and_si512(a[i], mask));
        }
        self.store(carry(reduce(columns)));
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(&self) -> Vectors {
        self.0.each_ref().map(|limbs| load(limbs))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn store(&mut self, vectors: Vectors) {
        for (limbs, vector) in self.0.iter_mut().zip(vectors) {
            // SAFETY: the limbs are 64 writable bytes; the store asks for no alignment.
            unsafe { _mm512_storeu_si512(limbs.as_mut_ptr().cast(), vector) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(limbs: &[u64; LANES]) -> __m512i {
    // SAFETY: the limbs are 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(limbs.as_ptr().cast()) }
}

macro_rules! additions {
    ($add:ident, $add_square:ident, $multiply_add:ident, $half:literal) => {
        #[doc = concat!("Adds the ", $half, " halves of a times b's limbs at one place.")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn $add(columns: &mut Columns, a: &Vectors, b: &Residue, place: usize) {
            for (j, part) in b.0.iter().enumerate() {
                let digit = _mm512_set1_epi64(part[place] as i64);
                for (i, a) in a.iter().enumerate() {
                    columns[i + j] = $multiply_add(columns[i + j], *a, digit);
                }
            }
        }

        #[doc = concat!("As `", stringify!($add), "` for the square of a; see [`Residue::square`].")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn $add_square(columns: &mut Columns, a: &Vectors, once: &Residue, twice: &Residue, place: usize) {
            for j in 0..VECTORS {
                let digit = _mm512_set1_epi64(once.0[j][place] as i64);
                columns[2 * j] = $multiply_add(columns[2 * j], a[j], digit);
                let digit = _mm512_set1_epi64(twice.0[j][place] as i64);
                for i in j + 1..VECTORS {
                    columns[i + j] = $multiply_add(columns[i + j], a[i], digit);
                }
            }
        }
    };
}
additions!(add_low, add_square_low, _mm512_madd52lo_epu64, "low");
additions!(add_high, add_square_high, _mm512_madd52hi_epu64, "high");

/// Moves all columns up by one limb.
#[inline]
#[target_feature(enable = "avx512f")]
fn move_up(columns: &mut Columns) {
    let mut below = _mm512_setzero_si512();
    for column in columns {
        let moved = _mm512_alignr_epi64::<7>(*column, below);
        below = std::mem::replace(column, moved);
    }
}

/// 2a, for a below 2^2079.
#[inline]
#[target_feature(enable = "avx512f")]
fn double(a: &Vectors) -> Vectors {
    let full = _mm512_set1_epi64(LIMB_MASK as i64);
    let mut below = _mm512_setzero_si512();
    a.map(|limbs| {
        let carried =
            _mm512_srli_epi64::<{ LIMB_BITS as u32 - 1 }>(_mm512_alignr_epi64::<7>(limbs, below));
        below = limbs;
        _mm512_or_si512(
            _mm512_and_si512(_mm512_slli_epi64::<1>(limbs), full),
            carried,
        )
    })
}

/// columns / R mod p: adds the multiples of p that clear the lower half, and returns the upper.
///
/// -1/p mod 2^52 is 1, so a column's own lower 52 bits are the multiple that clears them, and its
/// upper bits are the carry. The multiple of p is added as one of p + 1, whose lowest limb is 0,
/// less itself, which is the clearing.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(mut columns: Columns) -> Vectors {
    for _ in 0..VECTORS {
        let mut column = _mm512_broadcastq_epi64(_mm512_castsi512_si128(columns[0]));
        macro_rules! clear {
            ($($r:literal)*) => {$(
                // In every lane: the column. Multiplications ignore its upper bits.
                let carry = _mm512_srli_epi64::<{ LIMB_BITS as u32 }>(column);
                let (Row(low), Row(high)) = (&P_PLUS_ONE[$r], &P_PLUS_ONE[$r + 1]);
                let mut next = column;
                if $r < 7 {
                    columns[0] = _mm512_madd52lo_epu64(columns[0], column, load(&low[0]));
                    // The next multiplication waits for this, so it comes before the high halves,
                    // which only count from the column after the next one on.
                    next = _mm512_permutexvar_epi64(_mm512_set1_epi64($r + 1), columns[0]);
                    next = _mm512_add_epi64(next, carry);
                    columns[0] = _mm512_madd52hi_epu64(columns[0], column, load(&high[0]));
                } else {
                    columns[1] = _mm512_mask_add_epi64(columns[1], 1, columns[1], carry);
                }
                for i in 1..=VECTORS {
                    columns[i] = _mm512_madd52lo_epu64(columns[i], column, load(&low[i]));
                    columns[i] = _mm512_madd52hi_epu64(columns[i], column, load(&high[i]));
                }
                column = next;
            )*};
        }
        clear!(0 1 2 3 4 5 6 7);
        let [_, a, b, c, d, e, f, g, h, i] = columns;
        columns = [a, b, c, d, e, f, g, h, i, _mm512_setzero_si512()];
    }
    let [a, b, c, d, e, ..] = columns;
    [a, b, c, d, e]
}

/// Carries until every limb is below 2^52. The number is below 2^2080.
#[inline]
#[target_feature(enable = "avx512f")]
fn carry(mut limbs: Vectors) -> Vectors {
    let full = _mm512_set1_epi64(LIMB_MASK as i64);
    let mut below = _mm512_setzero_si512();
    for limb in &mut limbs {
        let carry = _mm512_srli_epi64::<{ LIMB_BITS as u32 }>(*limb);
        let carried = _mm512_alignr_epi64::<7>(carry, below);
        *limb = _mm512_add_epi64(_mm512_and_si512(*limb, full), carried);
        below = carry;
    }
    // Now a limb carries at most 1: when it is above its limit, or at it and carried into. One
    // addition with a bit a limb lets such a carry run through limbs at their limit.
    let (mut above, mut at) = (0u64, 0u64);
    for (i, limb) in limbs.iter().enumerate() {
        above |= u64::from(_mm512_cmpgt_epu64_mask(*limb, full)) << (i * LANES);
        at |= u64::from(_mm512_cmpeq_epi64_mask(*limb, full)) << (i * LANES);
    }
    let carried = at.wrapping_add(above << 1) ^ at;
    for (i, limb) in limbs.iter_mut().enumerate() {
        let carried = (carried >> (i * LANES)) as u8;
        let sum = _mm512_mask_sub_epi64(*limb, carried, *limb, _mm512_set1_epi64(-1));
        *limb = _mm512_and_si512(sum, full);
    }
    limbs
}

#[cfg(test)]
mod tests;
