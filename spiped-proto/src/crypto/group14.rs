//! Powers modulo the 2048-bit MODP prime of RFC 3526 section 3 ("group 14"), in constant time, of the
//! crate `crypto-bigint`.

use alloc::boxed::Box;
#[cfg(feature = "std")]
use std::sync::LazyLock;

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{CtAssign, CtEq, U320, U2048, Word, const_monty_params};
use zeroize::Zeroizing;

/// A number below 2^2048, 256 big-endian bytes.
pub(crate) type Element = [u8; 256];

const_monty_params!(
    Group14,
    U2048,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
     ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf05\
     98da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb\
     9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
     e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf695581718\
     3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff"
);
type Residue = ConstMontyForm<Group14, { U2048::LIMBS }>;

/// The number 1: the public value of an end without forward secrecy.
pub(crate) const ONE: Element = {
    let mut one = [0; 256];
    one[255] = 1;
    one
};

/// Whether a number is from 1 to p - 2: what 2^x can be, and the 1 of an end without forward secrecy.
/// Public values are no secret.
pub(crate) fn is_public_value(element: &Element) -> bool {
    let p_minus_1 = Group14::PARAMS.modulus().wrapping_sub(&U2048::ONE);
    let value = U2048::from_be_slice(element);
    value > U2048::ZERO && value < p_minus_1
}

/// A secret exponent below 2^260, wiped when dropped. It lies on the heap: to move one leaves no copy
/// behind.
pub(crate) struct Exponent(Box<Zeroizing<U320>>);

/// The length of every exponent that a handshake makes.
const EXPONENT_BITS: u32 = 259;

impl Exponent {
    /// 2^258 plus 256 random bits: every exponent has the same length (protocol v1, handshake).
    pub(crate) fn from_entropy(entropy: &[u8; 32]) -> Self {
        let mut exponent = Self::from_be_bytes(entropy);
        let top = EXPONENT_BITS - 1;
        let words = exponent.0.as_mut_words();
        if let Some(word) = words.get_mut((top / Word::BITS) as usize) {
            *word = 1 << (top % Word::BITS);
        }
        exponent
    }

    fn from_be_bytes(bytes: &[u8; 32]) -> Self {
        let mut exponent = Self(Box::new(Zeroizing::new(U320::ZERO)));
        let words = exponent.0.as_mut_words().iter_mut();
        for (word, bytes) in words.zip(bytes.as_rchunks().1.iter().rev()) {
            *word = Word::from_be_bytes(*bytes);
        }
        exponent
    }

    /// The bits at `position` of every row as a number, that of row 0 its lowest bit.
    fn digit(&self, position: u32) -> Word {
        let positions = (position..ROWS * ROW_BITS).step_by(ROW_BITS as usize);
        let bits = positions.rev().map(|position| {
            let shifted = Zeroizing::new(self.0.shr_vartime(position));
            shifted.as_words().first().map_or(0, |word| word & 1)
        });
        bits.fold(0, |digit, bit| (digit << 1) | bit)
    }
}

/// An exponent is read as rows of bits, side by side; all of them have room for
/// [`EXPONENT_BITS`].
const ROWS: u32 = 4;
const ROW_BITS: u32 = EXPONENT_BITS.div_ceil(ROWS);
/// Entry d is the product, over the rows r whose bit is set in d, of 2^(2^(`ROW_BITS` · r)).
type Table = [Residue; 1 << ROWS];

/// 2^x mod p, for a public value, with 65 squarings and 65 products: with the bits at position i of
/// every row as a digit d, 2^x is the product over all i of `TABLE[d]^(2^i)`. Every entry of the table
/// is read each time.
pub(crate) fn power_of_two(exponent: &Exponent) -> Element {
    #[cfg(feature = "std")]
    static TABLE: LazyLock<Table> = LazyLock::new(table);
    #[cfg(feature = "std")]
    let table = &*TABLE;
    // Nothing can wait for another thread to make it.
    #[cfg(not(feature = "std"))]
    let table = &table();
    let mut power = Zeroizing::new(Residue::ONE);
    let mut factor = Zeroizing::new(Residue::ONE);
    for position in (0..ROW_BITS).rev() {
        let digit = exponent.digit(position);
        for (entry, index) in table.iter().zip(0..) {
            factor.ct_assign(entry, digit.ct_eq(&index));
        }
        *power = power.square().mul(&factor);
    }
    let mut element = [0; 256];
    element.copy_from_slice(power.retrieve().to_be_bytes().as_ref());
    element
}

fn table() -> Table {
    let mut table = [Residue::ONE; 1 << ROWS];
    let mut power = Residue::new(&U2048::from_u8(2));
    for row in 0..ROWS {
        let (done, new) = table.split_at_mut(1 << row);
        for (entry, done) in new.iter_mut().zip(done) {
            *entry = done.mul(&power);
        }
        power = power.square_repeat_vartime(ROW_BITS);
    }
    table
}

/// y^x mod p, a secret. It lies on the heap.
pub(crate) fn power(base: &Element, exponent: &Exponent) -> Box<Zeroizing<Element>> {
    let base = Residue::new(&U2048::from_be_slice(base));
    let power = Zeroizing::new(base.pow_bounded_exp(&exponent.0, EXPONENT_BITS));
    let power = Zeroizing::new(power.retrieve());
    let mut element = Box::new(Zeroizing::new([0; 256]));
    let words = power.as_words().iter().rev();
    for (bytes, word) in element.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    element
}

#[cfg(test)]
impl Exponent {
    pub(crate) fn known(bytes: &[u8; 32]) -> Self {
        Self::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: Element = small(2);

    const fn small(value: u8) -> Element {
        let mut element = [0; 256];
        element[255] = value;
        element
    }

    fn element(number: &U2048) -> Element {
        number.to_be_bytes().as_ref().try_into().unwrap()
    }

    fn p() -> U2048 {
        *Group14::PARAMS.modulus().as_ref()
    }

    fn p_minus(difference: u8) -> Element {
        element(&p().wrapping_sub(&U2048::from_u8(difference)))
    }

    fn exponent(words: [u64; 5]) -> Exponent {
        let mut bytes = [0; 40];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Exponent(Box::new(Zeroizing::new(U320::from_le_slice(&bytes))))
    }

    /// a · b mod p by long division, without Montgomery's arithmetic.
    fn slow_multiply(a: &U2048, b: &U2048) -> U2048 {
        let p = Group14::PARAMS.modulus().as_nz_ref();
        U2048::rem_wide_vartime(a.widening_mul(b), p)
    }

    /// Square and multiply, one bit at a time.
    fn slow_power(base: &Element, exponent: &Exponent) -> Element {
        let base = U2048::from_be_slice(base);
        let mut power = U2048::ONE;
        for position in (0..EXPONENT_BITS).rev() {
            power = slow_multiply(&power, &power);
            if exponent.0.bit_vartime(position) {
                power = slow_multiply(&power, &base);
            }
        }
        element(&power)
    }

    #[test]
    fn p_is_the_prime_of_rfc_3526() {
        // The RFC gives the prime as 2^2048 - 2^1984 - 1 + 2^64 * { [2^1918 pi] + 124476 }; its first
        // and last words and the first digits of pi stand for the rest, Fermat's test for no slip.
        assert_eq!(
            element(&p())[..16],
            0xffff_ffff_ffff_ffff_c90f_daa2_2168_c234_u128.to_be_bytes()
        );
        assert_eq!(p().as_words()[0], Word::MAX);
        let two = Residue::new(&U2048::from_u8(2));
        let power = two.pow(&p().wrapping_sub(&U2048::ONE));
        assert_eq!(power.retrieve(), U2048::ONE);
    }

    #[test]
    fn public_values_are_from_1_to_p_minus_2() {
        let above = element(&p().wrapping_add(&U2048::ONE));
        for value in [ONE, TWO, p_minus(3), p_minus(2)] {
            assert!(is_public_value(&value));
        }
        for value in [small(0), p_minus(1), p_minus(0), above, [0xff; 256]] {
            assert!(!is_public_value(&value));
        }
    }

    #[test]
    fn edge_values_have_the_right_powers() {
        let all_bits = [u64::MAX, u64::MAX, u64::MAX, u64::MAX, 0x7];
        for base in [small(0), ONE, TWO, p_minus(1), p_minus(0), [0xff; 256]] {
            for words in [[0; 5], [1, 0, 0, 0, 0], [0, 0, 0, 0, 4], all_bits] {
                let exponent = exponent(words);
                let expected = slow_power(&base, &exponent);
                assert_eq!(**power(&base, &exponent), expected);
            }
        }
        assert_eq!(power_of_two(&exponent([0; 5])), ONE);
        let all_bits = exponent(all_bits);
        assert_eq!(power_of_two(&all_bits), slow_power(&TWO, &all_bits));
    }

    #[test]
    fn each_bit_of_an_exponent_counts() {
        let mut expected = U2048::from_u8(2);
        for position in 0..EXPONENT_BITS {
            let mut words = [0; 5];
            words[position as usize / 64] = 1 << (position % 64);
            let bit = exponent(words);
            assert_eq!(power_of_two(&bit), element(&expected));
            assert_eq!(**power(&TWO, &bit), element(&expected));
            expected = slow_multiply(&expected, &expected);
        }
    }

    #[test]
    fn an_exponent_that_moves_leaves_its_bytes_where_they_are() {
        assert_eq!(size_of::<Exponent>(), size_of::<usize>());
    }

    #[test]
    fn an_exponent_from_entropy_has_259_bits() {
        let entropy = std::array::from_fn(|i| i as u8);
        let mut bytes = [0; 40];
        bytes[7] = 4;
        bytes[8..].copy_from_slice(&entropy);
        assert_eq!(
            **Exponent::from_entropy(&entropy).0,
            U320::from_be_slice(&bytes)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn powers_agree_with_slow_arithmetic(base in any::<[[u8; 32]; 8]>(), low in any::<[u64; 4]>(), top in 0u64..8) {
            let base: Element = std::array::from_fn(|i| base[i / 32][i % 32]);
            let exponent = exponent([low[0], low[1], low[2], low[3], top]);
            let expected = slow_power(&base, &exponent);
            prop_assert_eq!(**power(&base, &exponent), expected);
            let expected = slow_power(&TWO, &exponent);
            prop_assert_eq!(power_of_two(&exponent), expected);
        }

        #[test]
        fn both_ends_agree(client in any::<[u8; 32]>(), server in any::<[u8; 32]>()) {
            let (x, z) = (Exponent::from_entropy(&client), Exponent::from_entropy(&server));
            prop_assert_eq!(power(&power_of_two(&x), &z), power(&power_of_two(&z), &x));
        }
    }
}
