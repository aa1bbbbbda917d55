//! Powers modulo the 2048-bit MODP prime of RFC 3526 section 3 ("group 14"), in constant time.
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

use std::sync::LazyLock;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A number below 2^2048 as it travels: 256 bytes, big-endian.
pub(crate) type Element = [u8; 256];

const LIMBS: usize = 32;
type Limbs = [u64; LIMBS];

const P: Limbs = [
    0xffffffffffffffff,
    0x15728e5a8aacaa68,
    0x15d2261898fa0510,
    0x3995497cea956ae5,
    0xde2bcbf695581718,
    0xb5c55df06f4c52c9,
    0x9b2783a2ec07a28f,
    0xe39e772c180e8603,
    0x32905e462e36ce3b,
    0xf1746c08ca18217c,
    0x670c354e4abc9804,
    0x9ed529077096966d,
    0x1c62f356208552bb,
    0x83655d23dca3ad96,
    0x69163fa8fd24cf5f,
    0x98da48361c55d39a,
    0xc2007cb8a163bf05,
    0x49286651ece45b3d,
    0xae9f24117c4b1fe6,
    0xee386bfb5a899fa5,
    0x0bff5cb6f406b7ed,
    0xf44c42e9a637ed6b,
    0xe485b576625e7ec6,
    0x4fe1356d6d51c245,
    0x302b0a6df25f1437,
    0xef9519b3cd3a431b,
    0x514a08798e3404dd,
    0x020bbea63b139b22,
    0x29024e088a67cc74,
    0xc4c6628b80dc1cd1,
    0xc90fdaa22168c234,
    0xffffffffffffffff,
];

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

/// The number 1: the public value of an end without forward secrecy.
pub(crate) const ONE: Element = {
    let mut one = [0; 256];
    one[255] = 1;
    one
};

/// Whether an element is below p. Public values are not secret, so this may take any time.
pub(crate) fn in_range(element: &Element) -> bool {
    from_bytes(element).iter().rev().lt(P.iter().rev())
}

/// A secret exponent below 2^260, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Exponent([u64; EXPONENT_LIMBS]);

const EXPONENT_LIMBS: usize = 5;
const EXPONENT_BITS: usize = 260;

impl Exponent {
    /// 2^258 plus 256 random bits: every exponent has the same length (handshake step 6).
    pub(crate) fn from_entropy(entropy: &[u8; 32]) -> Self {
        let mut exponent = Self::from_be_bytes(entropy);
        exponent.0[EXPONENT_LIMBS - 1] = 1 << (258 % 64);
        exponent
    }

    pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; EXPONENT_LIMBS];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.as_rchunks().1.iter().rev()) {
            *limb = u64::from_be_bytes(*chunk);
        }
        Self(limbs)
    }

    /// The bits of each limb at one position, packed into a number below 32.
    fn comb(&self, position: usize) -> u64 {
        let bits = self.0.iter().map(|limb| (limb >> position) & 1);
        bits.rev().fold(0, |digit, bit| (digit << 1) | bit)
    }

    /// The exponent in windows of [`WINDOW`] bits, most significant first.
    fn windows(&self) -> impl Iterator<Item = u64> {
        (0..EXPONENT_BITS / WINDOW).rev().map(|window| {
            let positions = (window * WINDOW..(window + 1) * WINDOW).rev();
            let bits = positions.map(|position| (self.0[position / 64] >> (position % 64)) & 1);
            bits.fold(0, |digit, bit| (digit << 1) | bit)
        })
    }
}

/// 2^x mod p, from a table of powers of 2.
///
/// The exponent's five limbs are read side by side: with position i of every limb as a digit d,
/// 2^x is the product over all i of `TABLE[d]^(2^i)`. The 64 positions are split into four rows
/// with a table each, so that 15 squarings serve all of them.
pub(crate) fn power_of_two(exponent: &Exponent) -> Element {
    static ROWS: LazyLock<[[Residue; 32]; COMB_ROWS]> = LazyLock::new(comb_tables);
    let mut power = Residue::one();
    for column in (0..COMB_COLUMNS).rev() {
        power = power.square();
        for (row, table) in ROWS.iter().enumerate() {
            let digit = exponent.comb(row * COMB_COLUMNS + column);
            power = power.multiply(&Residue::lookup(table, digit));
        }
    }
    power.to_element()
}

const COMB_ROWS: usize = 4;
const COMB_COLUMNS: usize = 16;

/// Entry d of row r is the product, over the bits k set in d, of 2^(2^(64 k + 16 r)).
fn comb_tables() -> [[Residue; 32]; COMB_ROWS] {
    let mut tables = std::array::from_fn(|_| std::array::from_fn(|_| Residue::one()));
    let mut power = Residue::from_element(&to_bytes(&small(2)));
    for tooth in 0..EXPONENT_LIMBS {
        for table in &mut tables {
            for (index, entry) in table.iter_mut().enumerate() {
                if (index >> tooth) & 1 == 1 {
                    *entry = entry.multiply(&power);
                }
            }
            for _ in 0..COMB_COLUMNS {
                power = power.square();
            }
        }
    }
    tables
}

/// y^x mod p, with a fixed window of 5 bits.
pub(crate) fn power(base: &Element, exponent: &Exponent) -> Element {
    let base = Residue::from_element(base);
    let mut table: Zeroizing<[Residue; 1 << WINDOW]> =
        Zeroizing::new(std::array::from_fn(|_| Residue::one()));
    let mut next = Residue::one();
    for entry in table.iter_mut() {
        *entry = next.clone();
        next = next.multiply(&base);
    }
    let mut power = Residue::one();
    for digit in exponent.windows() {
        for _ in 0..WINDOW {
            power = power.square();
        }
        power = power.multiply(&Residue::lookup(&*table, digit));
    }
    power.to_element()
}

const WINDOW: usize = 5;

/// a·2^2048 mod p for a number a, below 2^2048: what Montgomery products work on.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Residue(Limbs);

impl Residue {
    /// 2^2048 mod p, which is 2^2048 - p.
    fn one() -> Self {
        Self(subtract(&[0; LIMBS], &P).0)
    }

    fn from_element(element: &Element) -> Self {
        Self(from_bytes(element)).multiply(&Self(R_SQUARED))
    }

    /// The number itself, fully reduced.
    fn to_element(&self) -> Element {
        let value = self.multiply(&Self(small(1)));
        let (reduced, borrow) = subtract(&value.0, &P);
        let value = Self(select(&value.0, &reduced, !borrow));
        to_bytes(&value.0)
    }

    /// self · other / 2^2048 mod p.
    fn multiply(&self, other: &Self) -> Self {
        let mut product = Product::default();
        for (i, &digit) in other.0.iter().enumerate() {
            product.0[i + LIMBS] = add_multiple(&mut product.0[i..i + LIMBS], &self.0, digit);
        }
        product.reduce()
    }

    /// self · self / 2^2048 mod p, with every product of two different limbs computed once.
    fn square(&self) -> Self {
        let mut product = Product::default();
        for (i, &digit) in self.0.iter().enumerate() {
            let row = &mut product.0[2 * i + 1..i + LIMBS];
            product.0[i + LIMBS] = add_multiple(row, &self.0[i + 1..], digit);
        }
        let (mut shifted_out, mut carry) = (0, 0);
        for (pair, &limb) in product.0.as_chunks_mut::<2>().0.iter_mut().zip(&self.0) {
            let [low, high] = *pair;
            let doubled = [(low << 1) | shifted_out, (high << 1) | (low >> 63)];
            shifted_out = high >> 63;
            let (low, square_high) = multiply_add(limb, limb, doubled[0], carry);
            let (high, overflow) = doubled[1].overflowing_add(square_high);
            *pair = [low, high];
            carry = u64::from(overflow);
        }
        product.reduce()
    }

    /// The table's entry with this index, found by reading all of them.
    fn lookup(table: &[Self], index: u64) -> Self {
        let mut found = Self([0; LIMBS]);
        for (entry, number) in table.iter().zip(0u64..) {
            let mask = mask(number.ct_eq(&index));
            for (to, from) in found.0.iter_mut().zip(&entry.0) {
                *to |= from & mask;
            }
        }
        found
    }
}

/// A product of two numbers, not yet reduced; wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Product([u64; 2 * LIMBS]);

impl Product {
    /// Montgomery reduction: the product / 2^2048 mod p.
    fn reduce(mut self) -> Residue {
        let mut top = 0;
        for i in 0..LIMBS {
            // -1/p mod 2^64 is 1, so the limb itself is the multiple of p that clears it.
            let quotient = self.0[i];
            let carry = add_multiple(&mut self.0[i..i + LIMBS], &P, quotient);
            (self.0[i + LIMBS], top) = multiply_add(1, carry, self.0[i + LIMBS], top);
        }
        let mut high = Residue([0; LIMBS]);
        high.0.copy_from_slice(&self.0[LIMBS..]);
        let (less_p, _) = subtract(&high.0, &P);
        // What was carried out of 2^2048 is worth one p at most.
        Residue(select(&high.0, &less_p, Choice::from(top as u8)))
    }
}

impl Default for Product {
    fn default() -> Self {
        Self([0; 2 * LIMBS])
    }
}

/// a · b + c + d as (low, high) limbs; it cannot overflow.
#[inline(always)]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (wide as u64, (wide >> 64) as u64)
}

/// sum += factor · digit, over the sum's length; returns the carry.
#[inline(always)]
fn add_multiple(sum: &mut [u64], factor: &[u64], digit: u64) -> u64 {
    let mut carry = 0;
    for (limb, &factor) in sum.iter_mut().zip(factor) {
        (*limb, carry) = multiply_add(factor, digit, *limb, carry);
    }
    carry
}

/// a - b mod 2^2048, and whether it borrowed.
fn subtract(a: &Limbs, b: &Limbs) -> (Limbs, Choice) {
    let mut difference = *a;
    let mut borrow = false;
    for (limb, &b) in difference.iter_mut().zip(b) {
        let (partial, first) = limb.overflowing_sub(b);
        let (value, second) = partial.overflowing_sub(u64::from(borrow));
        *limb = value;
        borrow = first | second;
    }
    (difference, Choice::from(u8::from(borrow)))
}

/// `b` if the choice is 1, `a` otherwise.
fn select(a: &Limbs, b: &Limbs, choice: Choice) -> Limbs {
    let mask = mask(choice);
    let mut selected = *a;
    for (a, b) in selected.iter_mut().zip(b) {
        *a ^= (*a ^ b) & mask;
    }
    selected
}

/// All ones for 1, all zeros for 0.
fn mask(choice: Choice) -> u64 {
    u64::from(choice.unwrap_u8()).wrapping_neg()
}

fn small(value: u64) -> Limbs {
    let mut limbs = [0; LIMBS];
    limbs[0] = value;
    limbs
}

fn from_bytes(element: &Element) -> Limbs {
    let mut limbs = [0; LIMBS];
    for (limb, chunk) in limbs.iter_mut().zip(element.as_chunks().0.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

fn to_bytes(limbs: &Limbs) -> Element {
    let mut element = [0; 256];
    for (chunk, limb) in element.as_chunks_mut().0.iter_mut().zip(limbs.iter().rev()) {
        *chunk = limb.to_be_bytes();
    }
    element
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(limbs: Limbs) -> Element {
        to_bytes(&limbs)
    }

    fn exponent(value: [u64; EXPONENT_LIMBS]) -> Exponent {
        Exponent(value)
    }

    /// Square and multiply, one bit at a time, over plain shift-and-subtract arithmetic.
    fn slow_power(base: &Element, exponent: &Exponent) -> Element {
        let base = slow_multiply(&from_bytes(base), &small(1));
        let mut power = small(1);
        for position in (0..64 * EXPONENT_LIMBS).rev() {
            power = slow_multiply(&power, &power);
            if (exponent.0[position / 64] >> (position % 64)) & 1 == 1 {
                power = slow_multiply(&power, &base);
            }
        }
        to_bytes(&power)
    }

    /// a · b mod p for a, b below 2^2048: double and add, bit by bit.
    fn slow_multiply(a: &Limbs, b: &Limbs) -> Limbs {
        let reduced = |limbs: Limbs, carry: bool| {
            let (less_p, borrow) = subtract(&limbs, &P);
            if carry || !bool::from(borrow) {
                less_p
            } else {
                limbs
            }
        };
        let add = |a: &Limbs, b: &Limbs| {
            let mut sum = [0; LIMBS];
            let mut carry = 0;
            for i in 0..LIMBS {
                (sum[i], carry) = multiply_add(1, a[i], b[i], carry);
            }
            reduced(sum, carry == 1)
        };
        let a = reduced(*a, false);
        let mut sum = small(0);
        for position in (0..64 * LIMBS).rev() {
            sum = add(&sum, &sum);
            if (b[position / 64] >> (position % 64)) & 1 == 1 {
                sum = add(&sum, &a);
            }
        }
        sum
    }

    #[test]
    fn p_is_the_prime_of_rfc_3526() {
        // The RFC gives the prime as 2^2048 - 2^1984 - 1 + 2^64 * { [2^1918 pi] + 124476 }; its first
        // and last words and the first digits of pi stand for the rest, Fermat's test for no slip.
        assert_eq!(
            to_bytes(&P)[..16],
            0xffff_ffff_ffff_ffff_c90f_daa2_2168_c234_u128.to_be_bytes()
        );
        assert_eq!(P[0], u64::MAX);
        let mut p_minus_one = P;
        p_minus_one[0] -= 1;
        let mut power = Residue::from_element(&bytes(small(2)));
        let two = power.clone();
        for position in (0..64 * LIMBS - 1).rev() {
            power = power.square();
            if (p_minus_one[position / 64] >> (position % 64)) & 1 == 1 {
                power = power.multiply(&two);
            }
        }
        assert_eq!(power.to_element(), ONE);
    }

    #[test]
    fn in_range_stops_at_p() {
        let mut below = P;
        below[0] -= 1;
        let above = {
            let mut p = P;
            p[1] += 1;
            p[0] = 0;
            p
        };
        assert!(in_range(&bytes(small(0))));
        assert!(in_range(&bytes(below)));
        assert!(!in_range(&bytes(P)));
        assert!(!in_range(&bytes(above)));
        assert!(!in_range(&[0xff; 256]));
    }

    #[test]
    fn edge_values_have_the_right_powers() {
        let mut p_minus_one = P;
        p_minus_one[0] -= 1;
        let all_bits = exponent([u64::MAX, u64::MAX, u64::MAX, u64::MAX, 0xf]);
        for base in [
            small(0),
            small(1),
            small(2),
            p_minus_one,
            P,
            [u64::MAX; LIMBS],
        ] {
            for exponent in [
                exponent([0; 5]),
                exponent([1, 0, 0, 0, 0]),
                exponent([0, 0, 0, 0, 4]),
                Exponent(all_bits.0),
            ] {
                assert_eq!(
                    power(&bytes(base), &exponent),
                    slow_power(&bytes(base), &exponent)
                );
            }
        }
        assert_eq!(power_of_two(&exponent([0; 5])), ONE);
        assert_eq!(
            power_of_two(&all_bits),
            slow_power(&bytes(small(2)), &all_bits)
        );
    }

    #[test]
    fn an_exponent_from_entropy_has_259_bits() {
        let exponent = Exponent::from_entropy(&std::array::from_fn(|i| i as u8));
        assert_eq!(exponent.0[0], 0x1819_1a1b_1c1d_1e1f);
        assert_eq!(exponent.0[3], 0x0001_0203_0405_0607);
        assert_eq!(exponent.0[4], 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn powers_agree_with_slow_arithmetic(base in proptest::array::uniform32(any::<u64>()), low in any::<[u64; 4]>(), top in 0u64..16) {
            let exponent = exponent([low[0], low[1], low[2], low[3], top]);
            prop_assert_eq!(power(&bytes(base), &exponent), slow_power(&bytes(base), &exponent));
            prop_assert_eq!(power_of_two(&exponent), slow_power(&bytes(small(2)), &exponent));
        }

        #[test]
        fn both_ends_agree(client in any::<[u8; 32]>(), server in any::<[u8; 32]>()) {
            let (x, z) = (Exponent::from_entropy(&client), Exponent::from_entropy(&server));
            prop_assert_eq!(power(&power_of_two(&x), &z), power(&power_of_two(&z), &x));
        }
    }
}
