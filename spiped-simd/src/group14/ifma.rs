//! Powers on AVX-512 IFMA.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use zeroize::{Zeroize, Zeroizing};

use super::powers::*;
use super::{Number, P};

mod residue;

use residue::{ONE, R_SQUARED, Residue};

powers!("avx512f", "avx512ifma"; "avx512f,avx512ifma");

/// Where a square leaves a secret.
#[derive(Zeroize)]
struct Scratch(Residue);

impl Scratch {
    fn new() -> Self {
        Self(ONE)
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn from_number(number: &Number, _: &mut Scratch) -> Residue {
    let mut residue = Residue::from_number(number);
    residue.multiply(&R_SQUARED);
    residue
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn to_number(residue: &Residue, _: &mut Scratch, number: &mut Number) {
    let mut residue = Zeroizing::new(*residue);
    residue.multiply(&ONE);
    residue.write_to(number);
    subtract_p(number);
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply(residue: &mut Residue, other: &Residue, _: &mut Scratch) {
    residue.multiply(other);
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn square(residue: &mut Residue, scratch: &mut Scratch) {
    residue.square(&mut scratch.0);
}

/// Copies the entry with this index, reading all of them.
#[target_feature(enable = "avx512f")]
fn look_up(table: &[Residue], index: u64, found: &mut Residue) {
    // Hidden from the compiler, which could otherwise see that only one entry counts.
    let index = _mm512_set1_epi64(std::hint::black_box(index) as i64);
    let mut sum = [_mm512_setzero_si512(); _];
    for (number, entry) in (0..).zip(table) {
        let matches = _mm512_cmpeq_epi64_mask(index, _mm512_set1_epi64(number));
        let mask = _mm512_maskz_set1_epi64(matches, -1);
        for (sum, entry) in sum.iter_mut().zip(entry.load()) {
            *sum = _mm512_or_si512(*sum, _mm512_and_si512(entry, mask));
        }
    }
    found.store(sum);
}

/// Subtracts p unless the number is below p.
fn subtract_p(number: &mut Number) {
    let mut less_p = Zeroizing::new(*number);
    let mut borrow = false;
    for (limb, p) in less_p.iter_mut().zip(P) {
        let (difference, first) = limb.overflowing_sub(p);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        *limb = difference;
        borrow = first | second;
    }
    let keep = std::hint::black_box(u64::from(borrow)).wrapping_neg();
    for (limb, less_p) in number.iter_mut().zip(less_p.iter()) {
        *limb = (*limb & keep) | (less_p & !keep);
    }
}
