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
//! - [`Carry`] leaves digits from -2^50 to 2^50 - 1 plus a carry of at most 2^7, and once more: plus
//!   a carry of -1 to 1. The last column, 81, is at most 2^49 + 2^25 with its carries, as the
//!   columns below it are less than one in its place; so nothing is carried out of it.
//! - The constants are below p, so their limb 40 is at most 2^8. Column 40 of a reduction gets at
//!   most 41·(2^50 + 2^50) more than the 2^57 from the product, and column 41 at most 41 high parts
//!   of at most 2^7 + 1. What they exceed 51 bits by, below 2^13, is the factor of 2^2091 mod p. It
//!   adds at most 2^21 to column 40, and carries of at most 2^13 + 2^7 + 1.
//!
//! All numbers are zero or whole numbers below 2^105, so none is denormal, and the CPU's time for
//! each operation depends on none.

use std::arch::asm;
use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::super::{Number, P};

pub(super) const LIMBS: usize = 41;
const LIMB_BITS: usize = 51;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;
/// Limbs in a vector.
const LANES: usize = 4;
/// Vectors in a number: ten full ones, then one with a single limb and zeros.
const VECTORS: usize = 11;
const FULL: usize = VECTORS - 1;
/// Vectors in a product.
const WIDE: usize = VECTORS + FULL;
/// The last limb.
const TOP: usize = LIMBS - 1;

/// 1.5 · 2^103, whose last place is 2^51.
const HIGH: f64 = 3.0 * (1u128 << 102) as f64;
/// 1.5 · 2^52, whose last place is 1.
const LOW: f64 = 3.0 * (1u64 << 51) as f64;

/// A number mod p, not always below p and not always positive.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Residue([[f64; LANES]; VECTORS]);

impl Zeroize for Residue {
    fn zeroize(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// What a multiplication leaves behind; kept to be wiped once and not after each.
#[derive(Clone)]
#[repr(align(32))]
pub(super) struct Scratch {
    /// Twice the factor of a square.
    twice: [[f64; LANES]; VECTORS],
    /// The product's columns below 41.
    columns: [[i64; LANES]; VECTORS],
    /// Its limbs from 41 on, in a vector with a zero first.
    limbs: [[f64; LANES]; VECTORS],
    /// Sums of low and high parts.
    sums: [[[i64; LANES]; FULL]; 2],
}

impl Scratch {
    pub(super) const fn new() -> Self {
        Self {
            twice: [[0.0; LANES]; VECTORS],
            columns: [[0; LANES]; VECTORS],
            limbs: [[0.0; LANES]; VECTORS],
            sums: [[[0; LANES]; FULL]; 2],
        }
    }
}

impl Scratch {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn rows(&mut self) {
        for from in (0..FULL).step_by(2) {
            rows::<2>(self, from);
        }
    }
}

impl Zeroize for Scratch {
    fn zeroize(&mut self) {
        self.twice.as_flattened_mut().zeroize();
        self.columns.as_flattened_mut().zeroize();
        self.limbs.as_flattened_mut().zeroize();
        self.sums.as_flattened_mut().as_flattened_mut().zeroize();
    }
}

/// Limbs 0 to 39 of 2^(51·i) mod p, for i from 41 to 81.
#[repr(align(64))]
struct Powers([[[f64; LANES]; FULL]; LIMBS]);

/// Limb 40 of these, for i from 40 to 83, with zeros for the first and the last two.
#[repr(align(32))]
struct Tops([[f64; LANES]; VECTORS]);

static POWERS: Powers = Powers(split_powers().0);
static TOPS: Tops = Tops(split_powers().1);

const fn split_powers() -> ([[[f64; LANES]; FULL]; LIMBS], [[f64; LANES]; VECTORS]) {
    let mut powers = [[[0.0; LANES]; FULL]; LIMBS];
    let mut tops = [[0.0; LANES]; VECTORS];
    let mut power = [0; 32];
    power[0] = 1;
    let mut i = 0;
    while i < 2 * LIMBS {
        if i >= LIMBS {
            let limbs = Residue::from_number(&power).0;
            let mut j = 0;
            while j < FULL {
                powers[i - LIMBS][j] = limbs[j];
                j += 1;
            }
            tops[(i - TOP) / LANES][(i - TOP) % LANES] = limbs[FULL][0];
        }
        power = move_up(&power);
        i += 1;
    }
    (powers, tops)
}

/// number · 2^51 mod p.
const fn move_up(number: &Number) -> Number {
    let mut moved = [0; 32];
    let mut below = 0;
    let mut i = 0;
    while i < number.len() {
        moved[i] = (number[i] << LIMB_BITS) | below;
        below = number[i] >> (64 - LIMB_BITS);
        i += 1;
    }
    fold(&moved, below)
}

/// (number + top · 2^2048) mod p, for a top below 2^62.
const fn fold(number: &Number, top: u64) -> Number {
    // 2^2048 mod p is 2^2048 - p, so that the sum is below p + 2^2047.
    let (mut sum, mut carry, mut borrow) = ([0; 32], 0u128, 0i128);
    let mut i = 0;
    while i < number.len() {
        let negated = if i == 0 { !P[0] + 1 } else { !P[i] };
        carry += number[i] as u128 + top as u128 * negated as u128;
        sum[i] = carry as u64;
        carry >>= 64;
        i += 1;
    }
    let mut less_p = [0; 32];
    let mut i = 0;
    while i < sum.len() {
        borrow += sum[i] as i128 - P[i] as i128;
        less_p[i] = borrow as u64;
        borrow >>= 64;
        i += 1;
    }
    // All ones if the sum was less than p.
    let keep = std::hint::black_box((borrow + carry as i128) as u64);
    let mut i = 0;
    while i < sum.len() {
        sum[i] = (sum[i] & keep) | (less_p[i] & !keep);
        i += 1;
    }
    sum
}

const fn counts_low(square: bool) -> [[u64; LANES + 1]; WIDE] {
    // What offsets add to the five sums of each vector of columns.
    let mut offsets = [[0u64; LANES + 1]; WIDE];
    let mut c = 0;
    while c < WIDE {
        let pairs = if c < FULL { c + 1 } else if c < 2 * FULL { 2 * FULL - 1 - c } else { 0 };
        let blocks = if square { pairs.div_ceil(2) } else { pairs } as u64;
        let tops = if c < FULL {
            0
        } else if square || c == 2 * FULL {
            1
        } else {
            2
        };
        let (low, high) = (LOW.to_bits(), HIGH.to_bits());
        let mut place = 0;
        while place <= LANES {
            let mut lows = if place < LANES { blocks } else { 0 };
            let mut highs = if place > 0 { blocks } else { 0 };
            if place == 0 {
                lows += tops;
            }
            if place == 1 {
                highs += tops;
            }
            let sum = low.wrapping_mul(lows).wrapping_add(high.wrapping_mul(highs));
            offsets[c][place] = sum.wrapping_neg();
            place += 1;
        }
        c += 1;
    }
    offsets
}

static PRODUCT: [[u64; LANES + 1]; WIDE] = counts_low(false);
static SQUARE: [[u64; LANES + 1]; WIDE] = counts_low(true);

/// Five sums for four columns each: sum i is of columns i higher.
type Sums = [__m256i; LANES + 1];

impl Residue {
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
            carry = if i < TOP { (sum + HALF) >> LIMB_BITS } else { 0 };
            limbs[i / LANES][i % LANES] = (sum - (carry << LIMB_BITS)) as f64;
            i += 1;
        }
        Self(limbs)
    }

    /// The number below p.
    pub(super) fn to_number(&self) -> Number {
        // Adds 2^43 · p, which is more than the residue is below 0.
        let mut number = [0u64; 33];
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
        let [low @ .., top] = number;
        fold(&low, top)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply(&mut self, other: &Self, scratch: &mut Scratch) {
        let mut combine = Combine::new();
        for c in 0..WIDE {
            let mut sums = start(&PRODUCT[c]);
            for i in c.saturating_sub(FULL - 1)..(c + 1).min(FULL) {
                add_block(&mut sums, load(&self.0[c - i]), &other.0[i]);
            }
            if c >= FULL {
                add(&mut sums, load(&self.0[c - FULL]), broadcast(&other.0[FULL][0]));
                if c < 2 * FULL {
                    add(&mut sums, load(&other.0[c - FULL]), broadcast(&self.0[FULL][0]));
                }
            }
            combine.next(&sums, c, scratch);
        }
        self.reduce(scratch);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn square(&mut self, scratch: &mut Scratch) {
        for (twice, once) in scratch.twice.iter_mut().zip(&self.0) {
            let once = load(once);
            store(twice, _mm256_add_pd(once, once));
        }
        let mut combine = Combine::new();
        macro_rules! all { ($($c:literal)*) => {$({
            const C: usize = $c;
            let mut sums = start(&SQUARE[C]);
            let (a, twice) = (launder(&self.0), launder(&scratch.twice));
            for i in C.saturating_sub(FULL - 1)..C.div_ceil(2).min(FULL) {
                add_block(&mut sums, load(&a[C - i]), &twice[i]);
            }
            if C % 2 == 0 && C < 2 * FULL {
                add_block(&mut sums, load(&a[C / 2]), &a[C / 2]);
            }
            if C >= FULL {
                let top = if C < 2 * FULL { twice } else { a };
                add(&mut sums, load(&a[C - FULL]), broadcast(&top[FULL][0]));
            }
            combine.next(&sums, C, scratch);
        })*} }
        all!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);
        self.reduce(scratch);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn reduce(&mut self, scratch: &mut Scratch) {
        scratch.rows();
        // Column 40 and 41.
        let mut low = _mm256_set1_epi64x(LOW.to_bits().wrapping_mul(VECTORS as u64).wrapping_neg() as i64);
        let mut high = _mm256_set1_epi64x(HIGH.to_bits().wrapping_mul(VECTORS as u64).wrapping_neg() as i64);
        for (limbs, tops) in scratch.limbs.iter().zip(&TOPS.0) {
            let (l, h) = product(load(limbs), load(tops));
            low = _mm256_add_epi64(low, l);
            high = _mm256_add_epi64(high, h);
        }
        let last = scratch.sums[1][FULL - 1][LANES - 1].wrapping_add(HIGH.to_bits() as i64);
        let column = sum_lanes(low) + scratch.columns[FULL][0] + last;
        let carry = (column + HALF) >> LIMB_BITS;
        let excess = sum_lanes(high) + carry;
        let column = column - (carry << LIMB_BITS) + excess * TOPS.0[0][1] as i64 - last;

        let factor = _mm256_set1_pd(excess as f64);
        let mut above = _mm256_setzero_si256();
        let mut carrier = Carry::new();
        let [lows, highs] = &scratch.sums;
        for i in 0..FULL {
            let (low, high) = product(load(&POWERS.0[0][i]), factor);
            let low = _mm256_add_epi64(low, load_int(&lows[i]));
            let high = rotate::<0b10_01_00_11>(_mm256_add_epi64(high, load_int(&highs[i])));
            let sum = _mm256_add_epi64(low, _mm256_blend_epi32::<0b11>(high, above));
            above = high;
            store(&mut self.0[i], carrier.next(sum));
        }
        let one_lane = _mm256_set_epi64x(0, 0, 0, -1);
        let sum = _mm256_add_epi64(above, _mm256_set_epi64x(0, 0, 0, column));
        let limb = carrier.last(sum);
        let limb = _mm256_and_pd(limb, _mm256_castsi256_pd(one_lane));
        store(&mut self.0[FULL], limb);
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

const HALF: i64 = 1 << (LIMB_BITS - 1);

static MULTIPLE_OF_P: [i64; LIMBS] = {
    // 2^43 · p = 2^2091 - 2^43 · (2^2048 - p)
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

/// Sums for vectors FROM to FROM + N.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rows<const N: usize>(scratch: &mut Scratch, from: usize) {
    let pairs = (LIMBS / 2) as u64;
    let low_offset = _mm256_set1_epi64x(LOW.to_bits().wrapping_mul(pairs + 2).wrapping_neg() as i64);
    let high_offset = _mm256_set1_epi64x(HIGH.to_bits().wrapping_mul(pairs + 2).wrapping_neg() as i64);
    let mut lows = [low_offset; N];
    let mut highs = [high_offset; N];
    for i in 0..N {
        lows[i] = _mm256_add_epi64(low_offset, load_int(&scratch.columns[from + i]));
    }
    let digits = scratch.limbs.as_flattened();
    let first = broadcast(&digits[1]);
    for i in 0..N {
        let (low, high) = product(load(&POWERS.0[0][from + i]), first);
        lows[i] = _mm256_add_epi64(lows[i], low);
        highs[i] = _mm256_add_epi64(highs[i], high);
    }
    let [mut low0, mut low1] = [lows[0], lows[1]];
    let [mut high0, mut high1] = [highs[0], highs[1]];
    for (rows, digits) in POWERS.0[1..].as_chunks::<2>().0.iter().zip(digits[2..].as_chunks::<2>().0) {
        // SAFETY: reads the two digits and the rows
        unsafe {
            asm!(
                "vbroadcastsd {d0}, [{d}]",
                "vmovapd {h0}, {high}",
                "vmovapd {h1}, {high}",
                "vbroadcastsd {d1}, [{d} + 8]",
                "vfmadd231pd {h0}, {d0}, [{row}]",
                "vfmadd231pd {h1}, {d0}, [{row} + 32]",
                "vmovapd {g0}, {h0}",
                "vmovapd {g1}, {h1}",
                "vfmadd231pd {g0}, {d1}, [{row} + 320]",
                "vfmadd231pd {g1}, {d1}, [{row} + 352]",
                "vsubpd {l0}, {both}, {h0}",
                "vsubpd {l1}, {both}, {h1}",
                "vfmadd231pd {l0}, {d0}, [{row}]",
                "vfmadd231pd {l1}, {d0}, [{row} + 32]",
                "vsubpd {h0}, {h0}, {g0}",
                "vsubpd {h1}, {h1}, {g1}",
                "vfmadd231pd {h0}, {d1}, [{row} + 320]",
                "vfmadd231pd {h1}, {d1}, [{row} + 352]",
                "vpaddq {high0}, {high0}, {g0}",
                "vpaddq {high1}, {high1}, {g1}",
                "vaddpd {l0}, {l0}, {h0}",
                "vaddpd {l1}, {l1}, {h1}",
                "vpaddq {low0}, {low0}, {l0}",
                "vpaddq {low1}, {low1}, {l1}",
                row = in(reg) &rows[0][from],
                d = in(reg) digits,
                high = in(ymm_reg) _mm256_set1_pd(HIGH),
                both = in(ymm_reg) _mm256_set1_pd(HIGH + LOW),
                low0 = inout(ymm_reg) low0,
                low1 = inout(ymm_reg) low1,
                high0 = inout(ymm_reg) high0,
                high1 = inout(ymm_reg) high1,
                d0 = out(ymm_reg) _,
                d1 = out(ymm_reg) _,
                h0 = out(ymm_reg) _,
                h1 = out(ymm_reg) _,
                g0 = out(ymm_reg) _,
                g1 = out(ymm_reg) _,
                l0 = out(ymm_reg) _,
                l1 = out(ymm_reg) _,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
    }
    [lows[0], lows[1]] = [low0, low1];
    [highs[0], highs[1]] = [high0, high1];
    for i in 0..N {
        store_int(&mut scratch.sums[0][from + i], lows[i]);
        store_int(&mut scratch.sums[1][from + i], highs[i]);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_lanes(vector: __m256i) -> i64 {
    let halves = _mm_add_epi64(_mm256_castsi256_si128(vector), _mm256_extracti128_si256::<1>(vector));
    _mm_cvtsi128_si64(halves).wrapping_add(_mm_extract_epi64::<1>(halves))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn start(offsets: &[u64; LANES + 1]) -> Sums {
    offsets.map(|offset| _mm256_set1_epi64x(offset as i64))
}

/// Bit patterns: low, high
#[inline]
#[target_feature(enable = "avx2,fma")]
fn product(a: __m256d, b: __m256d) -> (__m256i, __m256i) {
    let high = _mm256_fmadd_pd(a, b, _mm256_set1_pd(HIGH));
    let rest = _mm256_sub_pd(_mm256_set1_pd(HIGH + LOW), high);
    let low = _mm256_fmadd_pd(a, b, rest);
    (_mm256_castpd_si256(low), _mm256_castpd_si256(high))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(sums: &mut Sums, a: __m256d, b: __m256d) {
    let (low, high) = product(a, b);
    sums[0] = _mm256_add_epi64(sums[0], low);
    sums[1] = _mm256_add_epi64(sums[1], high);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_block(sums: &mut Sums, a: __m256d, b: &[f64; LANES]) {
    let [s0, s1, s2, s3, s4] = sums;
    // SAFETY: reads the four limbs, and nothing else but registers.
    unsafe {
        asm!(
            "vbroadcastsd {b0}, [{b}]",
            "vbroadcastsd {b1}, [{b} + 8]",
            "vbroadcastsd {b2}, [{b} + 16]",
            "vbroadcastsd {b3}, [{b} + 24]",
            "vmovapd {h0}, {high}",
            "vmovapd {h1}, {high}",
            "vmovapd {h2}, {high}",
            "vmovapd {h3}, {high}",
            "vfmadd231pd {h0}, {a}, {b0}",
            "vfmadd231pd {h1}, {a}, {b1}",
            "vfmadd231pd {h2}, {a}, {b2}",
            "vfmadd231pd {h3}, {a}, {b3}",
            "vpaddq {s1}, {s1}, {h0}",
            "vsubpd {h0}, {both}, {h0}",
            "vpaddq {s2}, {s2}, {h1}",
            "vsubpd {h1}, {both}, {h1}",
            "vpaddq {s3}, {s3}, {h2}",
            "vsubpd {h2}, {both}, {h2}",
            "vpaddq {s4}, {s4}, {h3}",
            "vsubpd {h3}, {both}, {h3}",
            "vfmadd231pd {h0}, {a}, {b0}",
            "vfmadd231pd {h1}, {a}, {b1}",
            "vfmadd231pd {h2}, {a}, {b2}",
            "vfmadd231pd {h3}, {a}, {b3}",
            "vpaddq {s0}, {s0}, {h0}",
            "vpaddq {s1}, {s1}, {h1}",
            "vpaddq {s2}, {s2}, {h2}",
            "vpaddq {s3}, {s3}, {h3}",
            b = in(reg) b,
            a = in(ymm_reg) a,
            high = in(ymm_reg) _mm256_set1_pd(HIGH),
            both = in(ymm_reg) _mm256_set1_pd(HIGH + LOW),
            s0 = inout(ymm_reg) *s0,
            s1 = inout(ymm_reg) *s1,
            s2 = inout(ymm_reg) *s2,
            s3 = inout(ymm_reg) *s3,
            s4 = inout(ymm_reg) *s4,
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            b2 = out(ymm_reg) _,
            b3 = out(ymm_reg) _,
            h0 = out(ymm_reg) _,
            h1 = out(ymm_reg) _,
            h2 = out(ymm_reg) _,
            h3 = out(ymm_reg) _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}

struct Combine {
    above: [__m256i; LANES],
    carry: Carry,
}

impl Combine {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new() -> Self {
        Self { above: [_mm256_setzero_si256(); LANES], carry: Carry::new() }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn next(&mut self, sums: &Sums, c: usize, scratch: &mut Scratch) {
        let by_one = rotate::<0b10_01_00_11>(sums[1]);
        let by_two = rotate::<0b01_00_11_10>(sums[2]);
        let by_three = rotate::<0b00_11_10_01>(sums[3]);
        let [one, two, three, four] = self.above;
        let a = _mm256_add_epi64(sums[0], four);
        let b = _mm256_add_epi64(_mm256_blend_epi32::<0b11>(by_one, one), _mm256_blend_epi32::<0b1111>(by_two, two));
        let a = _mm256_add_epi64(a, _mm256_blend_epi32::<0b11_1111>(by_three, three));
        let mut sum = _mm256_add_epi64(a, b);
        self.above = [by_one, by_two, by_three, sums[4]];
        if c <= FULL {
            store_int(&mut scratch.columns[c], sum);
        }
        if c >= FULL {
            if c == FULL {
                sum = _mm256_blend_epi32::<0b11>(sum, _mm256_setzero_si256());
            }
            store(&mut scratch.limbs[c - FULL], self.carry.next(sum));
        }
    }
}

/// Carries twice, from each limb into the next.
struct Carry {
    first: __m256i,
    second: __m256i,
}

const ABOVE: i64 = 1 << 62;
const ABOVE_CARRY: i64 = ABOVE >> LIMB_BITS;

impl Carry {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new() -> Self {
        let none = _mm256_set1_epi64x(ABOVE_CARRY);
        Self { first: none, second: none }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn next(&mut self, columns: __m256i) -> __m256d {
        let mask = _mm256_set1_epi64x(LIMB_MASK);
        let sum = _mm256_add_epi64(columns, _mm256_set1_epi64x(ABOVE + HALF));
        let carry = rotate::<0b10_01_00_11>(_mm256_srli_epi64::<{ LIMB_BITS as i32 }>(sum));
        let digit = _mm256_and_si256(sum, mask);
        let sum = _mm256_add_epi64(digit, _mm256_blend_epi32::<0b11>(carry, self.first));
        self.first = carry;
        let sum = _mm256_add_epi64(sum, _mm256_set1_epi64x(ABOVE - ABOVE_CARRY));
        let carry = rotate::<0b10_01_00_11>(_mm256_srli_epi64::<{ LIMB_BITS as i32 }>(sum));
        let digit = _mm256_and_si256(sum, mask);
        let sum = _mm256_add_epi64(digit, _mm256_blend_epi32::<0b11>(carry, self.second));
        self.second = carry;
        to_real(sum, HALF + ABOVE_CARRY)
    }

    /// The first of these lanes, which keeps its carry.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn last(self, columns: __m256i) -> __m256d {
        let sum = _mm256_add_epi64(columns, _mm256_add_epi64(self.first, self.second));
        to_real(sum, 2 * ABOVE_CARRY)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_real(whole: __m256i, offset: i64) -> __m256d {
    let bits = _mm256_add_epi64(whole, _mm256_set1_epi64x(LOW.to_bits() as i64 - offset));
    _mm256_sub_pd(_mm256_castsi256_pd(bits), _mm256_set1_pd(LOW))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn rotate<const ORDER: i32>(vector: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<ORDER>(vector)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn broadcast(limb: &f64) -> __m256d {
    _mm256_broadcast_sd(limb)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(limbs: &[f64; LANES]) -> __m256d {
    // SAFETY: the limbs are 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_pd(limbs.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(limbs: &mut [f64; LANES], vector: __m256d) {
    // SAFETY: the limbs are 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_pd(limbs.as_mut_ptr(), vector) };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_int(columns: &[i64; LANES]) -> __m256i {
    // SAFETY: the columns are 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(columns.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_int(columns: &mut [i64; LANES], vector: __m256i) {
    // SAFETY: the columns are 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(columns.as_mut_ptr().cast(), vector) };
}

const UNROLL: usize = 4;

#[inline]
fn launder<T>(reference: &T) -> &T {
    let mut pointer: *const T = reference;
    unsafe { std::arch::asm!("/* {0} */", inout(reg) pointer, options(nostack, preserves_flags, pure, readonly)) };
    unsafe { &*pointer }
}
