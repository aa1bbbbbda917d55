//! Constants of the arithmetic in floating-point numbers.

use super::super::Number;
use super::residue::{FULL, HIGH, LANES, LIMB_BITS, LIMBS, LOW, Residue, TOP, VECTORS, WIDE, fold};

/// Limbs 0 to 39 of 2^(51·i) mod p, for i from 41 to 81.
#[repr(align(64))]
pub(super) struct Powers(pub(super) [[[f64; LANES]; FULL]; LIMBS]);

/// Limb 40 of these, for i from 40 to 83, with zeros for the first and the last two.
#[repr(align(32))]
pub(super) struct Tops(pub(super) [[f64; LANES]; VECTORS]);

pub(super) static POWERS: Powers = Powers(split_powers().0);
pub(super) static TOPS: Tops = Tops(split_powers().1);

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
    fold(&mut moved, below, &mut [0; 32]);
    moved
}

/// The negative of what the offsets of all products add to the sums for each vector of columns.
const fn offsets(square: bool) -> [[u64; LANES + 1]; WIDE] {
    let mut offsets = [[0u64; LANES + 1]; WIDE];
    let mut c = 0;
    while c < WIDE {
        let pairs = if c < FULL {
            c + 1
        } else if c < 2 * FULL {
            2 * FULL - 1 - c
        } else {
            0
        };
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
            let sum = low
                .wrapping_mul(lows)
                .wrapping_add(high.wrapping_mul(highs));
            offsets[c][place] = sum.wrapping_neg();
            place += 1;
        }
        c += 1;
    }
    offsets
}

pub(super) static PRODUCT: [[u64; LANES + 1]; WIDE] = offsets(false);
pub(super) static SQUARE: [[u64; LANES + 1]; WIDE] = offsets(true);
