//! Columns of products: what is carried where.

use std::arch::x86_64::*;

use super::residue::{HALF, HIGH, LANES, LIMB_BITS, LIMB_MASK, LOW};

/// Five sums for each vector of columns, of which sum i belongs i columns higher.
pub(super) type Sums = [__m256i; LANES + 1];

/// Brings sums into their columns, vector by vector.
pub(super) struct Columns {
    /// The last vector's sums, rotated, whose upper ends belong to the next vector.
    above: [__m256i; LANES],
}

impl Columns {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new() -> Self {
        Self {
            above: [_mm256_setzero_si256(); LANES],
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn next(&mut self, sums: &Sums) -> __m256i {
        let by_one = rotate_by_one(sums[1]);
        let by_two = _mm256_permute4x64_epi64::<0b01_00_11_10>(sums[2]);
        let by_three = _mm256_permute4x64_epi64::<0b00_11_10_01>(sums[3]);
        let [one, two, three, four] = self.above;
        self.above = [by_one, by_two, by_three, sums[4]];
        let one = _mm256_blend_epi32::<0b11>(by_one, one);
        let two = _mm256_blend_epi32::<0b1111>(by_two, two);
        let three = _mm256_blend_epi32::<0b11_1111>(by_three, three);
        let low = _mm256_add_epi64(_mm256_add_epi64(sums[0], four), three);
        _mm256_add_epi64(low, _mm256_add_epi64(one, two))
    }
}

/// Makes columns limbs, vector by vector, by carrying twice from each into the next.
pub(super) struct Carry {
    first: __m256i,
    second: __m256i,
}

/// Added to a column so that it is not negative and a logical shift will do; and what that adds to
/// its carry.
const ABOVE: i64 = 1 << 62;
const ABOVE_CARRY: i64 = ABOVE >> LIMB_BITS;

impl Carry {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new() -> Self {
        let none = _mm256_set1_epi64x(ABOVE_CARRY);
        Self {
            first: none,
            second: none,
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn next(&mut self, columns: __m256i) -> __m256d {
        let mask = _mm256_set1_epi64x(LIMB_MASK);
        // HALF makes digits signed: what is left below the carry is more than the digit by HALF.
        let sum = _mm256_add_epi64(columns, _mm256_set1_epi64x(ABOVE + HALF));
        let carry = rotate_by_one(_mm256_srli_epi64::<{ LIMB_BITS as i32 }>(sum));
        let digit = _mm256_and_si256(sum, mask);
        let sum = _mm256_add_epi64(digit, _mm256_blend_epi32::<0b11>(carry, self.first));
        self.first = carry;
        // The digit has brought HALF and the carry ABOVE_CARRY.
        let sum = _mm256_add_epi64(sum, _mm256_set1_epi64x(ABOVE - ABOVE_CARRY));
        let carry = rotate_by_one(_mm256_srli_epi64::<{ LIMB_BITS as i32 }>(sum));
        let digit = _mm256_and_si256(sum, mask);
        let sum = _mm256_add_epi64(digit, _mm256_blend_epi32::<0b11>(carry, self.second));
        self.second = carry;
        to_real(sum, HALF + ABOVE_CARRY)
    }

    /// The first of these lanes, which keeps its carry.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn last(self, columns: __m256i) -> __m256d {
        let sum = _mm256_add_epi64(columns, _mm256_add_epi64(self.first, self.second));
        to_real(sum, 2 * ABOVE_CARRY)
    }
}

/// Whole numbers, below 2^51 in magnitude after the offset is taken off, as floating-point ones.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_real(whole: __m256i, offset: i64) -> __m256d {
    let bits = _mm256_add_epi64(whole, _mm256_set1_epi64x(LOW.to_bits() as i64 - offset));
    _mm256_sub_pd(_mm256_castsi256_pd(bits), _mm256_set1_pd(LOW))
}

/// The bit patterns of a·b's low and high parts with their offsets.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn product(a: __m256d, b: __m256d) -> (__m256i, __m256i) {
    let high = _mm256_fmadd_pd(a, b, _mm256_set1_pd(HIGH));
    let rest = _mm256_sub_pd(_mm256_set1_pd(HIGH + LOW), high);
    let low = _mm256_fmadd_pd(a, b, rest);
    (_mm256_castpd_si256(low), _mm256_castpd_si256(high))
}

/// Every lane's value to the next lane, the last to the first.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn rotate_by_one(vector: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b10_01_00_11>(vector)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn sum_lanes(vector: __m256i) -> i64 {
    let halves = _mm_add_epi64(
        _mm256_castsi256_si128(vector),
        _mm256_extracti128_si256::<1>(vector),
    );
    _mm_cvtsi128_si64(halves).wrapping_add(_mm_extract_epi64::<1>(halves))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn repeat(bits: u64) -> __m256i {
    _mm256_set1_epi64x(bits as i64)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn broadcast(limb: &f64) -> __m256d {
    _mm256_broadcast_sd(limb)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load(limbs: &[f64; LANES]) -> __m256d {
    // SAFETY: the limbs are 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_pd(limbs.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store(limbs: &mut [f64; LANES], vector: __m256d) {
    // SAFETY: the limbs are 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_pd(limbs.as_mut_ptr(), vector) };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load_int(columns: &[i64; LANES]) -> __m256i {
    // SAFETY: the columns are 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(columns.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store_int(columns: &mut [i64; LANES], vector: __m256i) {
    // SAFETY: the columns are 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(columns.as_mut_ptr().cast(), vector) };
}
