//! Arithmetic mod p in floating-point numbers, on AVX2 with fused multiply-add.
//!
//! A number is 41 limbs of 51 bits, each a whole number in an `f64` from about -2^50 to 2^50, four to
//! a vector. A product of two limbs takes 102 bits, of which an `f64` holds 53, but a fused
//! multiply-add rounds only once: from a·b + [`HIGH`] it leaves the product's multiple of 2^51, in a
//! place of the mantissa that is known since HIGH is much larger, and a·b less that multiple is
//! exact. Both parts are summed up by integer additions of the bit patterns; the sums start at the
//! negative of what the offsets add to them.
//!
//! A square or product is first summed up in 82 columns without carrying. Its columns from 41 on,
//! carried, are then factors of the numbers 2^(51·i) mod p, constants, whose sum with the columns
//! below 41 is the product mod p. All of that needs no number to wait for another, unlike
//! a Montgomery reduction, which has to know a quotient digit before the next one.
//!
//! # Ranges
//!
//! Limbs 0 to 39 of a residue are at most 2^50 + 1 in magnitude, limb 40 at most 2^50 + 2^23. So
//! a residue is at most 2^2090 + 2^2064, and a product at most 2^4180 + 2^4155.
//!
//! - HIGH is 1.5·2^103. While a·b, or a sum of such, is at most 2^102 in magnitude, HIGH plus it
//!   stays from 2^103 to 2^104, where neighbours differ by 2^51. Rounded to a multiple of 2^51, it
//!   leaves at most 2^50 in magnitude to the low part, which [`LOW`] = 1.5·2^52 takes to between
//!   2^52 and 2^53, where neighbours differ by 1, even if two low parts are added. The bit patterns
//!   of these numbers differ by as much as the numbers do, in units of 2^51 or of 1. Of a product,
//!   a·b is at most (2^50 + 2^23)^2; of a square, with one factor doubled, at most twice that: about
//!   2^101. Of a reduction, two products that share a high part are at most 2·(2^50 + 1)·2^50.
//! - A column sums up at most 42 low parts and 42 high parts of products, each at most 2^50 (and
//!   half as many high parts of at most 2^50 + 2^24 in a square): below 2^57. A reduction adds
//!   41 low parts of at most 2^50 and high parts of at most 2^49 + 1: below 2^58 in all.
//! - [`Carry`](super::columns::Carry) leaves digits from -2^50 to 2^50 - 1 plus a carry of at most
//!   2^7, and once more: plus a carry of -1 to 1. The last column, 81, is at most 2^49 + 2^25 with
//!   its carries, as the columns below it are less than one in its place; so nothing is carried out
//!   of it.
//! - The constants are below p, so their limb 40 is at most 2^8. Column 40 of a reduction gets at
//!   most 41·(2^50 + 2^50) more than the 2^57 from the product, and column 41 at most 41 high parts
//!   of at most 2^7 + 1. What they exceed 51 bits by, below 2^13, is the factor of 2^2091 mod p. It
//!   adds at most 2^21 to column 40, and carries of at most 2^13 + 2^7 + 1.
//!
//! All numbers are zero or whole numbers below 2^105, so none is denormal, and the CPU's time for
//! each operation depends on none.

use std::arch::x86_64::*;

use zeroize::{Zeroize, Zeroizing};

use super::super::{Number, P};
use super::columns::{load, store};

pub(super) const LIMBS: usize = 41;
pub(super) const LIMB_BITS: usize = 51;
pub(super) const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;
pub(super) const HALF: i64 = 1 << (LIMB_BITS - 1);
/// Limbs in a vector.
pub(super) const LANES: usize = 4;
/// Vectors in a number: ten full ones, then one with a single limb and zeros.
pub(super) const VECTORS: usize = 11;
pub(super) const FULL: usize = VECTORS - 1;
/// Vectors in a product.
pub(super) const WIDE: usize = VECTORS + FULL;
/// The last limb.
pub(super) const TOP: usize = LIMBS - 1;

/// 1.5 · 2^103, whose last place is 2^51.
pub(super) const HIGH: f64 = 3.0 * (1u128 << 102) as f64;
/// 1.5 · 2^52, whose last place is 1.
pub(super) const LOW: f64 = 3.0 * (1u64 << 51) as f64;

/// A number mod p, not always below p and not always positive.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Residue(pub(super) Limbs);

pub(super) type Limbs = [[f64; LANES]; VECTORS];

impl Zeroize for Residue {
    fn zeroize(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

impl Residue {
    /// The number, which need not be below p.
    pub(super) const fn from_number(number: &Number) -> Self {
        let mut limbs = [[0.0; LANES]; VECTORS];
        let mut carry = 0;
        let mut i = 0;
        while i < LIMBS {
            let (word, shift) = (i * LIMB_BITS / 64, i * LIMB_BITS % 64);
            let mut limb = number[word] >> shift;
            if shift > 64 - LIMB_BITS && word + 1 < number.len() {
                limb |= number[word + 1] << (64 - shift);
            }
            let sum = (limb as i64 & LIMB_MASK) + carry;
            carry = if i < TOP {
                (sum + HALF) >> LIMB_BITS
            } else {
                0
            };
            limbs[i / LANES][i % LANES] = (sum - (carry << LIMB_BITS)) as f64;
            i += 1;
        }
        Self(limbs)
    }

    /// Sets `reduced` to the number below p.
    pub(super) fn reduce_to(&self, reduced: &mut Number) {
        // Adds 2^43 · p, which is more than the residue is below 0.
        let mut number = Zeroizing::new([0u64; 33]);
        let mut carry = 0i64;
        for (i, &limb) in self.0.as_flattened().iter().take(LIMBS).enumerate() {
            let sum = limb as i64 + MULTIPLE_OF_P[i] + carry;
            carry = sum >> LIMB_BITS;
            let limb = if i < TOP { sum & LIMB_MASK } else { sum } as u64;
            let (word, shift) = (i * LIMB_BITS / 64, i * LIMB_BITS % 64);
            number[word] |= limb << shift;
            if shift > 64 - LIMB_BITS - 2 {
                number[word + 1] |= limb >> (64 - shift);
            }
        }
        reduced.copy_from_slice(&number[..32]);
        fold(reduced, number[32], &mut Zeroizing::new([0; 32]));
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn look_up(&mut self, table: &[Self], index: u64) {
        let index = _mm256_set1_epi64x(std::hint::black_box(index) as i64);
        let mut sum = [_mm256_setzero_pd(); VECTORS];
        for (number, entry) in (0..).zip(table) {
            let matches = _mm256_cmpeq_epi64(index, _mm256_set1_epi64x(number));
            let mask = _mm256_castsi256_pd(matches);
            for (sum, entry) in sum.iter_mut().zip(&entry.0) {
                *sum = _mm256_or_pd(*sum, _mm256_and_pd(load(entry), mask));
            }
        }
        for (to, sum) in self.0.iter_mut().zip(sum) {
            store(to, sum);
        }
    }
}

/// 2^43 · p.
static MULTIPLE_OF_P: [i64; LIMBS] = {
    let mut limbs = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        let mut limb = 0;
        let mut bit = 0;
        while bit < LIMB_BITS {
            let place = i * LIMB_BITS + bit;
            if place >= 43 && place - 43 < 2048 {
                let from = place - 43;
                limb |= (((P[from / 64] >> (from % 64)) & 1) as i64) << bit;
            }
            bit += 1;
        }
        limbs[i] = limb;
        i += 1;
    }
    limbs
};

/// number = (number + top · 2^2048) mod p, for a top below 2^62. Leaves a secret in `less_p`.
pub(super) const fn fold(number: &mut Number, top: u64, less_p: &mut Number) {
    // 2^2048 mod p is 2^2048 - p, so that the sum is below p + 2^2047.
    let (mut carry, mut borrow) = (0u128, 0i128);
    let mut i = 0;
    while i < number.len() {
        // p's lowest limb is all ones.
        let negated = if i == 0 { 1 } else { !P[i] };
        carry += number[i] as u128 + top as u128 * negated as u128;
        number[i] = carry as u64;
        carry >>= 64;
        borrow += number[i] as i128 - P[i] as i128;
        less_p[i] = borrow as u64;
        borrow >>= 64;
        i += 1;
    }
    // All ones if the sum was less than p.
    let keep = std::hint::black_box((borrow + carry as i128) as u64);
    let mut i = 0;
    while i < number.len() {
        number[i] = (number[i] & keep) | (less_p[i] & !keep);
        i += 1;
    }
}
