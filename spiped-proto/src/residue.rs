//! Numbers modulo the prime of group 14, in constant time.
//!
//! Numbers are 32 limbs of 64 bits, least significant first. Products are Montgomery products with
//! R = 2^2048. p ends in 64 one bits, so -1/p mod 2^64 is 1 and a quotient digit is simply the
//! lowest limb. Values between products are below 2^2048 but not always below p; only
//! [`Residue::to_element`] reduces them fully. No branch and no address depends on a value.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "every index is a loop counter below a fixed length, every sum fits its type"
)]

use spiped_simd::group14::P;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A number below 2^2048 as it travels: 256 bytes, big-endian.
pub(crate) type Element = [u8; 256];

const LIMBS: usize = 32;
type Limbs = [u64; LIMBS];

/// 2^4096 mod p: a Montgomery product with it takes a number into Montgomery form.
const R_SQUARED: Limbs = [
    0x477122ce125fb664,
    0xb03548fb9b38d313,
    0x4c2153ff6fd412c1,
    0x2a092b50873f9bc6,
    0xbbc71629fcb7f5f9,
    0x4bec06e136bd84e7,
    0x27ba725a6b020cb1,
    0xf8115426ed939eeb,
    0x4bc1b1878a0e30d9,
    0x5620820e258633ff,
    0x074ed6ab785a3071,
    0xf228105f81f1cb61,
    0x570e436f4e2e6f7f,
    0x5ca52ff7d7450bd9,
    0x552272d275f10a7e,
    0xac2b7925739c7978,
    0xa2f88257325b54d0,
    0xbc821c9de8d72bd5,
    0xdbd442b3866d2986,
    0x9478951b70c4b2ce,
    0x5d998fb394910c76,
    0xf273b2937e300867,
    0x8c106bbe38569f92,
    0xf83c92cb14e992c5,
    0xd85d6e7eed6880dd,
    0xeb5b276fbe06a1df,
    0x2a492090fa11e105,
    0x63bdd96d19ea00be,
    0x272382970a1698ab,
    0x8a3a686c9240c974,
    0x3ed8570366613000,
    0x0cd37a33628b3197,
];

/// Whether an element is below p. Public values are not secret, so this may take any time.
pub(crate) fn in_range(element: &Element) -> bool {
    from_bytes(element).iter().rev().lt(P.iter().rev())
}

/// a·2^2048 mod p for a number a, below 2^2048: what Montgomery products work on.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Residue(Limbs);

impl Residue {
    /// The number 1: 2^2048 mod p, which is 2^2048 - p.
    pub(crate) fn one() -> Self {
        let mut one = Self([0; LIMBS]);
        subtract(&mut one.0, &P, u64::MAX);
        one
    }

    pub(crate) fn from_element(element: &Element, multiplier: &mut Multiplier) -> Self {
        let mut residue = Self(from_bytes(element));
        multiplier.multiply(&mut residue, &Self(R_SQUARED));
        residue
    }

    /// The number itself, fully reduced.
    pub(crate) fn to_element(&self, multiplier: &mut Multiplier) -> Element {
        let mut value = self.clone();
        multiplier.multiply(&mut value, &Self(small(1)));
        // A Montgomery product with 1 is p at most.
        let is_p = value.0.ct_eq(&P);
        subtract(&mut value.0, &P, mask(is_p));
        to_bytes(&value.0)
    }

    /// Becomes the table's entry with this index, found by reading all of them.
    pub(crate) fn look_up(&mut self, table: &[Self], index: u64) {
        self.0.fill(0);
        for (entry, number) in table.iter().zip(0u64..) {
            let mask = mask(number.ct_eq(&index));
            for (to, from) in self.0.iter_mut().zip(&entry.0) {
                *to |= from & mask;
            }
        }
    }
}

/// Multiplies residues. It holds the product while it is not reduced, and wipes it when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Multiplier {
    product: [u64; 2 * LIMBS],
}

/// How many limbs of a factor are dealt with at a time.
const ROWS: usize = 4;

impl Multiplier {
    pub(crate) fn new() -> Self {
        Self {
            product: [0; 2 * LIMBS],
        }
    }

    /// a = a · b / 2^2048 mod p.
    pub(crate) fn multiply(&mut self, a: &mut Residue, b: &Residue) {
        self.product.fill(0);
        for (i, digits) in b.0.as_chunks::<ROWS>().0.iter().enumerate() {
            let sum = &mut self.product[ROWS * i..][..LIMBS + ROWS];
            add_rows(sum, &a.0, digits, [0; ROWS]);
        }
        self.reduce(a);
    }

    /// a = a · a / 2^2048 mod p, with every product of two different limbs computed once.
    pub(crate) fn square(&mut self, a: &mut Residue) {
        self.product.fill(0);
        for (i, digits) in a.0.as_chunks::<ROWS>().0.iter().enumerate() {
            let sum = &mut self.product[2 * ROWS * i..][..LIMBS + ROWS - ROWS * i];
            let others = &a.0[ROWS * (i + 1)..];
            let mut carries = [0; ROWS];
            for row in 0..ROWS {
                let within = &mut sum[2 * row + 1..ROWS + row];
                carries[row] = add_row(within, &digits[row + 1..], digits[row], 0);
                if others.is_empty() {
                    sum[ROWS + row] = carries[row];
                }
            }
            if !others.is_empty() {
                add_rows(&mut sum[ROWS..], others, digits, carries);
            }
        }
        self.double_and_add_squares(&a.0);
        self.reduce(a);
    }

    fn double_and_add_squares(&mut self, a: &Limbs) {
        let mut carry = 0;
        for (pair, &limb) in self.product.as_chunks_mut::<2>().0.iter_mut().zip(a) {
            // The sum of the two is added twice rather than shifted, for the sake of processors
            // that are slow to shift double words.
            let once = u128::from(pair[0]) | u128::from(pair[1]) << 64;
            let square = u128::from(limb) * u128::from(limb);
            let (sum, first) = square.overflowing_add(once);
            let (sum, second) = sum.overflowing_add(once);
            let (sum, third) = sum.overflowing_add(carry);
            *pair = [sum as u64, (sum >> 64) as u64];
            carry = u128::from(first) + u128::from(second) + u128::from(third);
        }
    }

    /// Montgomery reduction: the product / 2^2048 mod p.
    fn reduce(&mut self, residue: &mut Residue) {
        let (_, high) = self.product.split_at_mut(LIMBS);
        residue.0.copy_from_slice(high);
        high.fill(0);
        // Adds the multiple of p that clears the low half, which leaves (multiple + low half) / R
        // in the high half: p at most.
        for i in 0..LIMBS / ROWS {
            let sum = &mut self.product[ROWS * i..][..LIMBS + ROWS];
            let mut quotient = [0; ROWS];
            let mut carries = [0; ROWS];
            for row in 0..ROWS {
                // -1/p mod 2^64 is 1, so the limb itself is the multiple of p that clears it; and p's
                // lowest limb, 2^64 - 1, leaves 0 there and a carry of the same value.
                let digit = sum[row];
                quotient[row] = digit;
                carries[row] = add_row(&mut sum[row + 1..ROWS + row], &P[1..ROWS], digit, digit);
            }
            add_rows(&mut sum[ROWS..], &P[ROWS..], &quotient, carries);
        }
        let carry = add(&mut residue.0, &self.product[LIMBS..]);
        // The sum is below 2^2048 + p, so that one p less is enough.
        subtract(&mut residue.0, &P, mask(Choice::from(carry as u8)));
    }
}

/// Four rows of a long multiplication: sum += factor · digits, where row r is `digits[r]` · factor,
/// r limbs up, and has a carry into its first limb already. `factor` has at least four limbs; `sum`
/// has four more, which are 0 before.
///
/// The rows are added column by column: four chains of carries that do not wait for each other keep
/// a processor busier than one.
#[inline(always)]
fn add_rows(sum: &mut [u64], factor: &[u64], digits: &[u64; ROWS], mut carries: [u64; ROWS]) {
    let (factor, _) = factor.as_chunks::<ROWS>();
    let (first, last) = (factor[0], factor[factor.len() - 1]);
    let (columns, ends) = sum.as_chunks_mut::<ROWS>().0.split_at_mut(factor.len());

    // The rows begin one after the other,
    for (column, sum) in columns[0].iter_mut().enumerate() {
        for row in 0..=column {
            let limb = first[column - row];
            (*sum, carries[row]) = multiply_add(limb, digits[row], *sum, carries[row]);
        }
    }
    // run side by side,
    for (columns, limbs) in columns[1..].iter_mut().zip(factor.windows(2)) {
        for (column, sum) in columns.iter_mut().enumerate() {
            for row in 0..ROWS {
                let limb = limbs.as_flattened()[ROWS + column - row];
                (*sum, carries[row]) = multiply_add(limb, digits[row], *sum, carries[row]);
            }
        }
    }
    // and end one after the other.
    for (column, end) in ends[0].iter_mut().enumerate() {
        let mut sum = carries[column];
        for row in column + 1..ROWS {
            let limb = last[ROWS + column - row];
            (sum, carries[row]) = multiply_add(limb, digits[row], sum, carries[row]);
        }
        *end = sum;
    }
}

/// One row: sum += factor · digit + carry, over the sum's length; returns the carry.
#[inline(always)]
fn add_row(sum: &mut [u64], factor: &[u64], digit: u64, mut carry: u64) -> u64 {
    for (limb, &factor) in sum.iter_mut().zip(factor) {
        (*limb, carry) = multiply_add(factor, digit, *limb, carry);
    }
    carry
}

/// a · b + c + d as (low, high) limbs; it cannot overflow.
#[inline(always)]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (wide as u64, (wide >> 64) as u64)
}

/// a += b mod 2^2048; returns the carry.
fn add(a: &mut Limbs, b: &[u64]) -> u64 {
    let mut carry = 0;
    for (a, &b) in a.iter_mut().zip(b) {
        (*a, carry) = multiply_add(1, *a, b, carry);
    }
    carry
}

/// a -= b & mask mod 2^2048.
fn subtract(a: &mut Limbs, b: &Limbs, mask: u64) {
    let mut borrow = false;
    for (a, &b) in a.iter_mut().zip(b) {
        let (partial, first) = a.overflowing_sub(b & mask);
        let (value, second) = partial.overflowing_sub(u64::from(borrow));
        *a = value;
        borrow = first | second;
    }
}

/// All ones for 1, all zeros for 0. The compiler does not see through a [`Choice`].
fn mask(choice: Choice) -> u64 {
    u64::from(choice.unwrap_u8()).wrapping_neg()
}

fn small(value: u64) -> Limbs {
    let mut limbs = [0; LIMBS];
    limbs[0] = value;
    limbs
}

pub(crate) fn from_bytes(element: &Element) -> Limbs {
    let mut limbs = [0; LIMBS];
    for (limb, chunk) in limbs.iter_mut().zip(element.as_chunks().0.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

pub(crate) fn to_bytes(limbs: &Limbs) -> Element {
    let mut element = [0; 256];
    for (chunk, limb) in element.as_chunks_mut().0.iter_mut().zip(limbs.iter().rev()) {
        *chunk = limb.to_be_bytes();
    }
    element
}

/// Plain shift-and-subtract arithmetic to compare with.
#[cfg(test)]
pub(crate) mod slow {
    use super::*;

    /// a · b mod p: double and add, bit by bit.
    pub(crate) fn multiply(a: &Element, b: &Element) -> Element {
        let (mut a, b) = (from_bytes(a), from_bytes(b));
        if !below_p(&a) {
            subtract(&mut a, &P, u64::MAX);
        }
        let mut sum = small(0);
        for position in (0..64 * LIMBS).rev() {
            let double = sum;
            add_mod_p(&mut sum, &double);
            if (b[position / 64] >> (position % 64)) & 1 == 1 {
                add_mod_p(&mut sum, &a);
            }
        }
        to_bytes(&sum)
    }

    fn add_mod_p(sum: &mut Limbs, b: &Limbs) {
        if add(sum, b) == 1 || !below_p(sum) {
            subtract(sum, &P, u64::MAX);
        }
    }

    fn below_p(limbs: &Limbs) -> bool {
        in_range(&to_bytes(limbs))
    }

    pub(crate) fn p_minus(difference: u64) -> Element {
        let mut limbs = P;
        subtract(&mut limbs, &small(difference), u64::MAX);
        to_bytes(&limbs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p_is_the_prime_of_rfc_3526() {
        // The RFC gives the prime as 2^2048 - 2^1984 - 1 + 2^64 * { [2^1918 pi] + 124476 }; its first
        // and last words and the first digits of pi stand for the rest, Fermat's test for no slip.
        assert_eq!(
            to_bytes(&P)[..16],
            0xffff_ffff_ffff_ffff_c90f_daa2_2168_c234_u128.to_be_bytes()
        );
        assert_eq!(P[0], u64::MAX);
        let mut multiplier = Multiplier::new();
        let two = Residue::from_element(&to_bytes(&small(2)), &mut multiplier);
        let exponent = from_bytes(&slow::p_minus(1));
        let mut power = two.clone();
        for position in (0..64 * LIMBS - 1).rev() {
            multiplier.square(&mut power);
            if (exponent[position / 64] >> (position % 64)) & 1 == 1 {
                multiplier.multiply(&mut power, &two);
            }
        }
        assert_eq!(power.to_element(&mut multiplier), to_bytes(&small(1)));
    }

    #[test]
    fn in_range_stops_at_p() {
        let above = {
            let mut p = P;
            p[1] += 1;
            p[0] = 0;
            p
        };
        assert!(in_range(&to_bytes(&small(0))));
        assert!(in_range(&slow::p_minus(1)));
        assert!(!in_range(&slow::p_minus(0)));
        assert!(!in_range(&to_bytes(&above)));
        assert!(!in_range(&[0xff; 256]));
    }

    fn check(a: Limbs, b: Limbs) {
        let mut multiplier = Multiplier::new();
        let (a, b) = (to_bytes(&a), to_bytes(&b));
        // Also with limbs as they are, so that values between p and 2^2048 take part.
        let raw = Residue(from_bytes(&a));
        let mut square = raw.clone();
        multiplier.square(&mut square);
        let mut product = raw.clone();
        multiplier.multiply(&mut product, &raw);
        assert_eq!(
            square.to_element(&mut multiplier),
            product.to_element(&mut multiplier)
        );

        let b_residue = Residue::from_element(&b, &mut multiplier);
        let mut product = Residue::from_element(&a, &mut multiplier);
        multiplier.multiply(&mut product, &b_residue);
        assert_eq!(product.to_element(&mut multiplier), slow::multiply(&a, &b));
        let mut square = Residue::from_element(&a, &mut multiplier);
        multiplier.square(&mut square);
        assert_eq!(square.to_element(&mut multiplier), slow::multiply(&a, &a));
    }

    #[test]
    fn extreme_limbs_carry_as_far_as_they_must() {
        let p_minus_one = from_bytes(&slow::p_minus(1));
        let half = std::array::from_fn(|i| if i < LIMBS / 2 { u64::MAX } else { 0 });
        let comb = std::array::from_fn(|i| if i % 2 == 0 { u64::MAX } else { 0 });
        let values = [
            small(0),
            small(1),
            p_minus_one,
            P,
            [u64::MAX; LIMBS],
            half,
            comb,
        ];
        for a in values {
            for b in values {
                check(a, b);
            }
        }
    }

    /// A limb, often one that makes carries run far.
    fn limb() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            Just(0),
            Just(u64::MAX),
            Just(1),
            Just(u64::MAX - 1)
        ]
    }

    proptest! {
        #[test]
        fn products_agree_with_slow_arithmetic(a in proptest::array::uniform32(limb()), b in proptest::array::uniform32(limb())) {
            check(a, b);
        }
    }
}
