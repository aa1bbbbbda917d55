//! Powers with a fixed window, on AVX-512 IFMA.

use std::arch::x86_64::*;

use zeroize::Zeroizing;

use super::residue::{ONE, R_SQUARED, Residue};
use super::{Number, P};

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let detected =
            is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        detected.then_some(Self(()))
    }

    pub(super) fn pow(self, base: &Number, exponent: &[u64; 5]) -> Number {
        // SAFETY: a token exists only where `detect` found avx512f and avx512ifma.
        unsafe { pow(base, exponent) }
    }
}

/// Bits of the exponent per multiplication.
const WINDOW: usize = 4;

/// The powers of the base with the exponents 0 to 15.
type Table = [Residue; 1 << WINDOW];

#[target_feature(enable = "avx512f,avx512ifma")]
fn pow(base: &Number, exponent: &[u64; 5]) -> Number {
    let mut residue = Zeroizing::new(Residue::from_number(base));
    residue.multiply(&R_SQUARED);
    let mut table: Zeroizing<Table> = Zeroizing::new([ONE; 1 << WINDOW]);
    table[0].multiply(&R_SQUARED);
    for i in 1..table.len() {
        table[i] = table[i - 1];
        table[i].multiply(&residue);
    }

    let mut digits = digits(exponent);
    let mut power = Zeroizing::new(ONE);
    if let Some(top) = digits.next() {
        look_up(&table, top, &mut power);
    }
    for digit in digits {
        for _ in 0..WINDOW {
            power.square(&mut residue);
        }
        look_up(&table, digit, &mut residue);
        power.multiply(&residue);
    }
    power.multiply(&ONE);
    let mut number = power.to_number();
    subtract_p(&mut number);
    number
}

/// The exponent's windows, the most significant first: 65 of them, or 80 if it needs more.
fn digits(exponent: &[u64; 5]) -> impl Iterator<Item = u64> {
    let unused = if exponent[4] < 1 << WINDOW { 15 } else { 0 };
    let limbs = exponent.iter().rev();
    let digits = limbs.flat_map(|limb| {
        let windows = (0..u64::BITS as usize / WINDOW).rev();
        windows.map(move |window| (limb >> (window * WINDOW)) & ((1 << WINDOW) - 1))
    });
    digits.skip(unused)
}

/// Copies the entry with this index, reading all of them.
#[target_feature(enable = "avx512f")]
fn look_up(table: &Table, index: u64, found: &mut Residue) {
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
