//! Squares and products mod p.

use std::arch::asm;
use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::columns::*;
use super::constants::{POWERS, PRODUCT, SQUARE, TOPS};
use super::residue::*;

/// What a multiplication leaves behind; kept to be wiped once and not after each.
#[repr(align(32))]
pub(super) struct Scratch {
    /// Twice the factor of a square.
    twice: Limbs,
    /// The product's columns below 41.
    columns: [[i64; LANES]; VECTORS],
    /// Its limbs from 41 on, in a vector with a zero first.
    limbs: Limbs,
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

impl Zeroize for Scratch {
    fn zeroize(&mut self) {
        self.twice.as_flattened_mut().zeroize();
        self.columns.as_flattened_mut().zeroize();
        self.limbs.as_flattened_mut().zeroize();
        self.sums.as_flattened_mut().as_flattened_mut().zeroize();
    }
}

impl Residue {
    /// self = self · other mod p.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply(&mut self, other: &Self, scratch: &mut Scratch) {
        let (mut columns, mut carry) = (Columns::new(), Carry::new());
        for (c, offsets) in PRODUCT.iter().enumerate() {
            let mut sums = start(offsets);
            let first = c.saturating_sub(FULL - 1);
            for i in first..(c + 1).min(FULL) {
                add_block(&mut sums, load(&self.0[c - i]), &other.0[i]);
            }
            if c >= FULL {
                add(
                    &mut sums,
                    load(&self.0[c - FULL]),
                    broadcast(&other.0[FULL][0]),
                );
                if c < 2 * FULL {
                    add(
                        &mut sums,
                        load(&other.0[c - FULL]),
                        broadcast(&self.0[FULL][0]),
                    );
                }
            }
            scratch.keep(c, columns.next(&sums), &mut carry);
        }
        self.reduce(scratch);
    }

    /// self = self · self mod p, with each product of different vectors computed once.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn square(&mut self, scratch: &mut Scratch) {
        for (twice, once) in scratch.twice.iter_mut().zip(&self.0) {
            let once = load(once);
            store(twice, _mm256_add_pd(once, once));
        }
        let (mut columns, mut carry) = (Columns::new(), Carry::new());
        for (c, offsets) in SQUARE.iter().enumerate() {
            let mut sums = start(offsets);
            let first = c.saturating_sub(FULL - 1);
            for i in first..c.div_ceil(2).min(FULL) {
                add_block(&mut sums, load(&self.0[c - i]), &scratch.twice[i]);
            }
            if c % 2 == 0 && c < 2 * FULL {
                add_block(&mut sums, load(&self.0[c / 2]), &self.0[c / 2]);
            }
            if c >= FULL {
                let top = if c < 2 * FULL {
                    &scratch.twice
                } else {
                    &self.0
                };
                add(&mut sums, load(&self.0[c - FULL]), broadcast(&top[FULL][0]));
            }
            scratch.keep(c, columns.next(&sums), &mut carry);
        }
        self.reduce(scratch);
    }

    /// The product's columns below 41, and its limbs above as multiples of powers of 2 mod p.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn reduce(&mut self, scratch: &mut Scratch) {
        for from in (0..FULL).step_by(2) {
            add_powers(scratch, from);
        }
        let (factor, column) = scratch.excess();
        let mut above = _mm256_setzero_si256();
        let mut carry = Carry::new();
        let [lows, highs] = &scratch.sums;
        for i in 0..FULL {
            let (low, high) = product(load(&POWERS.0[0][i]), factor);
            let low = _mm256_add_epi64(low, load_int(&lows[i]));
            let high = rotate_by_one(_mm256_add_epi64(high, load_int(&highs[i])));
            let sum = _mm256_add_epi64(low, _mm256_blend_epi32::<0b11>(high, above));
            above = high;
            store(&mut self.0[i], carry.next(sum));
        }
        let one_lane = _mm256_set_epi64x(0, 0, 0, -1);
        let sum = _mm256_add_epi64(above, _mm256_set_epi64x(0, 0, 0, column));
        let limb = carry.last(sum);
        let limb = _mm256_and_pd(limb, _mm256_castsi256_pd(one_lane));
        store(&mut self.0[FULL], limb);
    }
}

impl Scratch {
    /// What columns from 40 on exceed 51 bits by, in all lanes; and the rest of column 40 with
    /// what it gets for the excess, but without the high part from column 39.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn excess(&self) -> (__m256d, i64) {
        let mut low = less(LOW, VECTORS);
        let mut high = less(HIGH, VECTORS);
        for (limbs, tops) in self.limbs.iter().zip(&TOPS.0) {
            let (l, h) = product(load(limbs), load(tops));
            low = _mm256_add_epi64(low, l);
            high = _mm256_add_epi64(high, h);
        }
        // These sums still lack one product.
        let last = self.sums[1][FULL - 1][LANES - 1].wrapping_add(HIGH.to_bits() as i64);
        let column = sum_lanes(low) + self.columns[FULL][0] + last;
        let carry = (column + HALF) >> LIMB_BITS;
        let excess = sum_lanes(high) + carry;
        let column = column - (carry << LIMB_BITS) + excess * TOPS.0[0][1] as i64 - last;
        (_mm256_set1_pd(excess as f64), column)
    }

    /// Keeps a vector of the product's columns, as columns below 41 and as limbs from there on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn keep(&mut self, vector: usize, columns: __m256i, carry: &mut Carry) {
        if vector <= FULL {
            store_int(&mut self.columns[vector], columns);
        }
        if vector >= FULL {
            let columns = if vector == FULL {
                _mm256_blend_epi32::<0b11>(columns, _mm256_setzero_si256())
            } else {
                columns
            };
            store(&mut self.limbs[vector - FULL], carry.next(columns));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn start(offsets: &[u64; LANES + 1]) -> Sums {
    offsets.map(|offset| _mm256_set1_epi64x(offset as i64))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(sums: &mut Sums, a: __m256d, b: __m256d) {
    let (low, high) = product(a, b);
    sums[0] = _mm256_add_epi64(sums[0], low);
    sums[1] = _mm256_add_epi64(sums[1], high);
}

/// Adds a times all of these limbs.
///
/// In assembly, since the compiler sums up the products first and runs out of registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_block(sums: &mut Sums, a: __m256d, b: &[f64; LANES]) {
    let [s0, s1, s2, s3, s4] = sums;
    // SAFETY: this reads four limbs and changes nothing but registers. The flags are not preserved:
    // rounding raises one in MXCSR, which counts among them.
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
            options(pure, readonly, nostack),
        );
    }
}

/// The negative of what the offset adds in so many products.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn less(offset: f64, products: usize) -> __m256i {
    repeat(
        offset
            .to_bits()
            .wrapping_mul(products as u64)
            .wrapping_neg(),
    )
}

/// Limbs after the first that [`add_powers`] takes two at a time.
const PAIRS: usize = LIMBS / 2;

/// Sums up the limbs from 41 on times [`POWERS`], for two vectors, and the columns there.
///
/// Two products share a high part. The sums still lack a product that [`Residue::reduce`] adds.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_powers(scratch: &mut Scratch, vector: usize) {
    let [mut low0, mut low1] = [less(LOW, PAIRS + 2); 2];
    let [mut high0, mut high1] = [less(HIGH, PAIRS + 2); 2];
    low0 = _mm256_add_epi64(low0, load_int(&scratch.columns[vector]));
    low1 = _mm256_add_epi64(low1, load_int(&scratch.columns[vector + 1]));
    let digits = &scratch.limbs.as_flattened()[1..];
    let [first, pairs @ ..] = &POWERS.0;
    for (low, high, power) in [
        (&mut low0, &mut high0, &first[vector]),
        (&mut low1, &mut high1, &first[vector + 1]),
    ] {
        let product = product(load(power), broadcast(&digits[0]));
        *low = _mm256_add_epi64(*low, product.0);
        *high = _mm256_add_epi64(*high, product.1);
    }
    for (powers, digits) in pairs
        .as_chunks::<2>()
        .0
        .iter()
        .zip(digits[1..].as_chunks::<2>().0)
    {
        // SAFETY: this reads two digits, and two vectors of each of two powers, which lie 320 bytes
        // apart. It changes nothing but registers, of which MXCSR counts as one of flags.
        unsafe {
            asm!(
                "vbroadcastsd {d0}, [{digits}]",
                "vmovapd {h0}, {high}",
                "vmovapd {h1}, {high}",
                "vbroadcastsd {d1}, [{digits} + 8]",
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
                row = in(reg) powers.as_flattened()[vector..].as_ptr(),
                digits = in(reg) digits,
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
                options(pure, readonly, nostack),
            );
        }
    }
    store_int(&mut scratch.sums[0][vector], low0);
    store_int(&mut scratch.sums[0][vector + 1], low1);
    store_int(&mut scratch.sums[1][vector], high0);
    store_int(&mut scratch.sums[1][vector + 1], high1);
}
