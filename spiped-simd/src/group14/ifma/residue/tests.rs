//! Limbs at their limits, which random numbers do not have.

use super::*;
use crate::group14::ifma::Token;
use crate::group14::tests::random;

const PICKS: u64 = 8;

/// A limb that is often at a limit.
fn limb(seed: &mut u64) -> u64 {
    match random(seed) % PICKS {
        0 => 0,
        1 => 1,
        2 => 1 << (LIMB_BITS - 1),
        3 => (1 << (LIMB_BITS - 1)) - 1,
        4 | 5 => LIMB_MASK,
        6 => LIMB_MASK - 1,
        _ => random(seed) & LIMB_MASK,
    }
}

fn limbs(mut limb: impl FnMut(usize) -> u64) -> Residue {
    let mut limbs = [[0; LANES]; VECTORS];
    for (i, to) in limbs.as_flattened_mut().iter_mut().enumerate() {
        *to = limb(i);
    }
    Residue(limbs)
}

#[test]
fn carries_run_through_full_limbs() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX-512 IFMA");
        return;
    }
    let mut seed = 1;
    for round in 0..20_000 {
        let columns = limbs(|i| match (i, round) {
            (39, _) => random(&mut seed) >> 16,
            // One carry that runs from the first limb to the last.
            (0, 0) => LIMB_MASK + 1,
            (_, 0) => LIMB_MASK,
            _ => {
                limb(&mut seed) + ((random(&mut seed) & random(&mut seed) & 1) << (round % 12 + 47))
            }
        });
        let mut carry_in = 0;
        let expected = limbs(|i| {
            let sum = columns.0[i / LANES][i % LANES] + carry_in;
            carry_in = sum >> LIMB_BITS;
            sum & LIMB_MASK
        });
        let mut got = ONE;
        // SAFETY: the token was found above.
        unsafe { got.store(carry(columns.load())) };
        assert_eq!(got.0, expected.0, "{:x?}", columns.0);
    }
}

#[test]
fn squares_are_products() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX-512 IFMA");
        return;
    }
    let mut seed = 2;
    for _ in 0..20_000 {
        // Below 2^2049, as every factor is.
        let number = limbs(|i| limb(&mut seed) >> if i == LIMBS - 1 { 31 } else { 0 });
        let (mut square, mut product, mut room) = (number, number, ONE);
        // SAFETY: the token was found above.
        unsafe {
            square.square(&mut room);
            product.multiply(&number);
        }
        assert_eq!(square.0, product.0, "{:x?}", number.0);
    }
}
