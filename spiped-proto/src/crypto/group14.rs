//! Powers modulo the 2048-bit MODP prime of RFC 3526 section 3 ("group 14"), in constant time.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "every index is a loop counter below a fixed length, every sum fits its type"
)]

use std::sync::LazyLock;

use zeroize::Zeroizing;

use crate::residue::{self, Multiplier, Residue};
pub(crate) use crate::residue::{Element, in_range};

/// The number 1: the public value of an end without forward secrecy.
pub(crate) const ONE: Element = small(1);
const TWO: Element = small(2);

const fn small(value: u8) -> Element {
    let mut element = [0; 256];
    element[255] = value;
    element
}

/// A secret exponent below 2^260, wiped when dropped. It lies on the heap: to move one leaves no copy
/// behind.
pub(crate) struct Exponent(Box<Zeroizing<[u64; 5]>>);

const EXPONENT_BITS: usize = 260;

impl Exponent {
    /// 2^258 plus 256 random bits, of 32 bytes: every exponent has the same length (handshake step 6).
    pub(crate) fn from_entropy(entropy: &[u8]) -> Self {
        let mut exponent = Self::from_be_bytes(entropy);
        exponent.0[4] = 1 << (258 % 64);
        exponent
    }

    pub(crate) fn from_be_bytes(bytes: &[u8]) -> Self {
        let mut exponent = Self(Box::new(Zeroizing::new([0; 5])));
        for (limb, chunk) in exponent.0.iter_mut().zip(bytes.as_rchunks().1.iter().rev()) {
            *limb = u64::from_be_bytes(*chunk);
        }
        exponent
    }

    /// The bits at these positions as a number, the first of them its lowest bit.
    fn digit(&self, positions: impl DoubleEndedIterator<Item = usize>) -> u64 {
        let bits = positions.map(|position| (self.0[position / 64] >> (position % 64)) & 1);
        bits.rev().fold(0, |digit, bit| (digit << 1) | bit)
    }
}

/// y^x mod p.
pub(crate) fn power(base: &Element, exponent: &Exponent) -> Element {
    let mut power = Zeroizing::new([0; 32]);
    if spiped_simd::group14::pow(&residue::from_bytes(base), &exponent.0, &mut power) {
        residue::to_bytes(&power)
    } else {
        portable_power(base, exponent)
    }
}

/// [`power`] on any CPU, with a fixed window of 4 bits.
fn portable_power(base: &Element, exponent: &Exponent) -> Element {
    let mut multiplier = Multiplier::new();
    let base = Residue::from_element(base, &mut multiplier);
    let mut table: Zeroizing<[Residue; 1 << WINDOW]> =
        Zeroizing::new(std::array::from_fn(|_| Residue::one()));
    for index in 1..table.len() {
        if index % 2 == 0 {
            table[index] = table[index / 2].clone();
            multiplier.square(&mut table[index]);
        } else {
            table[index] = table[index - 1].clone();
            multiplier.multiply(&mut table[index], &base);
        }
    }
    let digit = |window| exponent.digit(window * WINDOW..(window + 1) * WINDOW);
    let mut power = Residue::one();
    let mut factor = Residue::one();
    power.look_up(&*table, digit(WINDOWS - 1));
    for window in (0..WINDOWS - 1).rev() {
        for _ in 0..WINDOW {
            multiplier.square(&mut power);
        }
        factor.look_up(&*table, digit(window));
        multiplier.multiply(&mut power, &factor);
    }
    power.to_element(&mut multiplier)
}

const WINDOW: usize = 4;
const WINDOWS: usize = EXPONENT_BITS / WINDOW;

/// 2^x mod p.
pub(crate) fn power_of_two(exponent: &Exponent) -> Element {
    match spiped_simd::group14::power_of_two(&exponent.0) {
        Some(power) => residue::to_bytes(&power),
        None => portable_power_of_two(exponent),
    }
}

/// [`power_of_two`] on any CPU, from tables of powers of 2.
///
/// The exponent is read as five rows of 52 bits, side by side: with the bits at position i of every
/// row as a digit d, 2^x is the product over all i of `TABLE[d]^(2^i)`. The 52 positions are split
/// into four parts with a table each, so that 12 squarings serve all of them.
fn portable_power_of_two(exponent: &Exponent) -> Element {
    static TABLES: LazyLock<[Table; PARTS]> = LazyLock::new(tables);
    let mut multiplier = Multiplier::new();
    let mut power = Residue::one();
    let mut factor = Residue::one();
    for step in (0..STEPS).rev() {
        multiplier.square(&mut power);
        for (part, table) in TABLES.iter().enumerate() {
            let position = part * STEPS + step;
            let digit = exponent.digit((0..ROWS).map(|row| row * ROW_BITS + position));
            factor.look_up(table, digit);
            multiplier.multiply(&mut power, &factor);
        }
    }
    power.to_element(&mut multiplier)
}

const ROWS: usize = 5;
const PARTS: usize = 4;
const STEPS: usize = EXPONENT_BITS / (ROWS * PARTS);
const ROW_BITS: usize = PARTS * STEPS;
type Table = [Residue; 1 << ROWS];

/// Entry d of the table of part t is the product, over the bits r set in d, of
/// 2^(2^(ROW_BITS · r + STEPS · t)).
fn tables() -> [Table; PARTS] {
    let mut multiplier = Multiplier::new();
    let mut tables: [Table; PARTS] =
        std::array::from_fn(|_| std::array::from_fn(|_| Residue::one()));
    let mut power = Residue::from_element(&TWO, &mut multiplier);
    for row in 0..ROWS {
        for table in &mut tables {
            let (done, new) = table.split_at_mut(1 << row);
            for (entry, done) in new.iter_mut().zip(done) {
                entry.clone_from(done);
                multiplier.multiply(entry, &power);
            }
            for _ in 0..STEPS {
                multiplier.square(&mut power);
            }
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::residue::slow;

    fn exponent(value: [u64; 5]) -> Exponent {
        Exponent(Box::new(Zeroizing::new(value)))
    }

    /// Square and multiply, one bit at a time, over plain shift-and-subtract arithmetic.
    fn slow_power(base: &Element, exponent: &Exponent) -> Element {
        let mut power = ONE;
        for position in (0..320).rev() {
            power = slow::multiply(&power, &power);
            if (exponent.0[position / 64] >> (position % 64)) & 1 == 1 {
                power = slow::multiply(&power, base);
            }
        }
        power
    }

    #[test]
    fn edge_values_have_the_right_powers() {
        let all_bits = exponent([u64::MAX, u64::MAX, u64::MAX, u64::MAX, 0xf]);
        for base in [
            small(0),
            ONE,
            TWO,
            slow::p_minus(1),
            slow::p_minus(0),
            [0xff; 256],
        ] {
            for exponent in [
                exponent([0; 5]),
                exponent([1, 0, 0, 0, 0]),
                exponent([0, 0, 0, 0, 4]),
                exponent(**all_bits.0),
            ] {
                let expected = slow_power(&base, &exponent);
                assert_eq!(power(&base, &exponent), expected);
                assert_eq!(portable_power(&base, &exponent), expected);
            }
        }
        for power_of_two in [power_of_two, portable_power_of_two] {
            assert_eq!(power_of_two(&exponent([0; 5])), ONE);
            assert_eq!(power_of_two(&all_bits), slow_power(&TWO, &all_bits));
        }
    }

    #[test]
    fn each_bit_of_an_exponent_counts() {
        let mut expected = TWO;
        for position in 0..EXPONENT_BITS {
            let mut bit = exponent([0; 5]);
            bit.0[position / 64] = 1 << (position % 64);
            assert_eq!(power_of_two(&bit), expected);
            assert_eq!(portable_power_of_two(&bit), expected);
            assert_eq!(power(&TWO, &bit), expected);
            assert_eq!(portable_power(&TWO, &bit), expected);
            expected = slow::multiply(&expected, &expected);
        }
    }

    #[test]
    fn an_exponent_that_moves_leaves_its_bytes_where_they_are() {
        assert_eq!(size_of::<Exponent>(), size_of::<usize>());
    }

    #[test]
    fn an_exponent_from_entropy_has_259_bits() {
        let exponent = Exponent::from_entropy(&std::array::from_fn::<u8, 32, _>(|i| i as u8));
        assert_eq!(exponent.0[0], 0x1819_1a1b_1c1d_1e1f);
        assert_eq!(exponent.0[3], 0x0001_0203_0405_0607);
        assert_eq!(exponent.0[4], 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn powers_agree_with_slow_arithmetic(base in any::<[[u8; 32]; 8]>(), low in any::<[u64; 4]>(), top in 0u64..16) {
            let base: Element = std::array::from_fn(|i| base[i / 32][i % 32]);
            let exponent = exponent([low[0], low[1], low[2], low[3], top]);
            let expected = slow_power(&base, &exponent);
            prop_assert_eq!(power(&base, &exponent), expected);
            prop_assert_eq!(portable_power(&base, &exponent), expected);
            let expected = slow_power(&TWO, &exponent);
            prop_assert_eq!(power_of_two(&exponent), expected);
            prop_assert_eq!(portable_power_of_two(&exponent), expected);
        }

        #[test]
        fn both_ends_agree(client in any::<[u8; 32]>(), server in any::<[u8; 32]>()) {
            let (x, z) = (Exponent::from_entropy(&client), Exponent::from_entropy(&server));
            prop_assert_eq!(power(&power_of_two(&x), &z), power(&power_of_two(&z), &x));
        }
    }
}
