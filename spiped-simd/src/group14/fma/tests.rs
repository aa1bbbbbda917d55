//! Limbs at their limits, which random numbers do not have.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048};

use super::columns::{Carry, load_int, store};
use super::residue::{HALF, LANES, LIMB_BITS, LIMBS, TOP, VECTORS};
use super::*;
use crate::group14::P;
use crate::group14::tests::random;

/// The limits that the arithmetic is said to keep.
const LIMB: i64 = HALF + 1;
const TOP_LIMB: i64 = HALF + (1 << 23);

/// A limb that is often at a limit.
fn limb(seed: &mut u64, limit: i64) -> i64 {
    match random(seed) % 10 {
        0 => 0,
        1 => 1,
        2 => -1,
        3 | 4 => limit,
        5 | 6 => -limit,
        7 => HALF - 1,
        _ => random(seed) as i64 % limit,
    }
}

fn residue(mut limb: impl FnMut(usize) -> i64) -> Residue {
    let mut residue = Residue::from_number(&small(0));
    for (i, to) in residue.0.as_flattened_mut()[..LIMBS].iter_mut().enumerate() {
        *to = limb(i) as f64;
    }
    residue
}

fn check_limits(residue: &Residue) {
    for (i, &limb) in residue.0.as_flattened().iter().enumerate() {
        let limit = match i {
            TOP => TOP_LIMB,
            LIMBS.. => 0,
            _ => LIMB,
        };
        assert_eq!(limb, limb.trunc());
        assert!(limb.abs() <= limit as f64, "limb {i}: {limb}");
    }
}

fn reduced(residue: &Residue) -> Number {
    let mut number = small(u64::MAX);
    residue.reduce_to(&mut number);
    number
}

/// Compares with crypto-bigint's products.
fn check(a: &Residue, b: &Residue) {
    let params = FixedMontyParams::new_vartime(Odd::new(U2048::from_words(P)).unwrap());
    let number =
        |residue: &Residue| FixedMontyForm::new(&U2048::from_words(reduced(residue)), &params);
    let mut scratch = Scratch::new();
    let (mut product, mut square) = (*a, *a);
    // SAFETY: the caller found the token.
    unsafe {
        product.multiply(b, &mut scratch);
        square.square(&mut scratch);
    }
    for (got, expected) in [
        (&product, number(a) * number(b)),
        (&square, number(a).square()),
    ] {
        check_limits(got);
        assert_eq!(
            reduced(got),
            expected.retrieve().to_words(),
            "{:?} {:?}",
            a.0,
            b.0
        );
    }
}

#[test]
fn residues_at_their_limits_reduce_to_less_than_p() {
    let params = FixedMontyParams::new_vartime(Odd::new(U2048::from_words(P)).unwrap());
    let form = |value| FixedMontyForm::new(&U2048::from_words(small(value)), &params);
    let limit = |i| if i == TOP { TOP_LIMB } else { LIMB };
    let mut seed = 2;
    let mut all = vec![
        residue(limit),
        residue(|i| -limit(i)),
        residue(|i| if i == TOP { -TOP_LIMB } else { LIMB }),
        residue(|_| 0),
    ];
    for last in [P[0] - 1, P[0]] {
        let mut near_p = P;
        near_p[0] = last;
        let near_p = Residue::from_number(&near_p);
        all.push(residue(|i| near_p.0.as_flattened()[i] as i64));
        all.push(residue(|i| -near_p.0.as_flattened()[i] as i64));
    }
    all.extend((0..1_000).map(|_| residue(|i| limb(&mut seed, limit(i)))));
    for residue in &all {
        let limbs = residue.0.as_flattened()[..LIMBS].iter().rev();
        let expected = limbs.fold(form(0), |sum, &limb| {
            let (above, magnitude) = (sum * form(1 << LIMB_BITS), form(limb.abs() as u64));
            if limb < 0.0 {
                above - magnitude
            } else {
                above + magnitude
            }
        });
        assert_eq!(
            reduced(residue),
            expected.retrieve().to_words(),
            "{:?}",
            residue.0
        );
    }
}

#[test]
fn products_of_extreme_limbs_are_right() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX2 and FMA");
        return;
    }
    let limit = |i| if i == TOP { TOP_LIMB } else { LIMB };
    let all = [
        residue(limit),
        residue(|i| -limit(i)),
        residue(|i| if i % 2 == 0 { limit(i) } else { -limit(i) }),
        residue(|i| if i == TOP { TOP_LIMB } else { 0 }),
        residue(|i| if i == TOP { 0 } else { -HALF }),
        residue(|i| if i == 0 { 1 } else { 0 }),
        residue(|_| 0),
        Residue::from_number(&[u64::MAX; 32]),
    ];
    for a in &all {
        for b in &all {
            check(a, b);
        }
    }
    let mut seed = 1;
    for _ in 0..5_000 {
        let [a, b] = [(); 2].map(|()| residue(|i| limb(&mut seed, limit(i))));
        check(&a, &b);
    }
}

#[test]
fn long_chains_stay_within_the_limits() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX2 and FMA");
        return;
    }
    let mut scratch = Scratch::new();
    let mut a = Residue::from_number(&[u64::MAX; 32]);
    let factor = residue(|i| if i == TOP { TOP_LIMB } else { LIMB });
    for _ in 0..20_000 {
        // SAFETY: the token was found above.
        unsafe {
            a.square(&mut scratch);
            check_limits(&a);
            a.multiply(&factor, &mut scratch);
        }
        check_limits(&a);
    }
}

#[test]
fn carrying_keeps_the_number() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX2 and FMA");
        return;
    }
    let mut seed = 3;
    for round in 0..20_000 {
        let columns: [[i64; LANES]; VECTORS] = std::array::from_fn(|_| {
            std::array::from_fn(|_| match random(&mut seed) % 6 {
                0 => (1 << 58) - 1,
                1 => 1 - (1 << 58),
                2 => HALF,
                3 => HALF - 1,
                4 => -HALF,
                _ => random(&mut seed) as i64 >> (6 + round % 50),
            })
        });
        // SAFETY: the token was found above.
        let limbs = unsafe { carried(&columns) };
        let (mut difference, mut last) = (0i128, 0);
        for (column, limb) in columns.as_flattened().iter().zip(limbs.as_flattened()) {
            assert!(limb.abs() <= LIMB as f64, "{columns:x?}");
            // What the limbs so far lack, in places of this one.
            difference += i128::from(*column) - *limb as i128;
            assert_eq!(difference & ((1 << LIMB_BITS) - 1), 0, "{columns:x?}");
            difference >>= LIMB_BITS;
            last = difference;
        }
        assert!(last.abs() <= 1 << 7);
    }
}

#[target_feature(enable = "avx2,fma")]
fn carried(columns: &[[i64; LANES]; VECTORS]) -> [[f64; LANES]; VECTORS] {
    let mut carry = Carry::new();
    columns.map(|columns| {
        let mut limbs = [0.0; LANES];
        store(&mut limbs, carry.next(load_int(&columns)));
        limbs
    })
}

#[test]
fn look_up_finds_each_entry() {
    if Token::detect().is_none() {
        eprintln!("not tested: this CPU has no AVX2 and FMA");
        return;
    }
    let table: [Residue; 32] = std::array::from_fn(|n| residue(|i| (n * LIMBS + i) as i64 - 300));
    for (index, entry) in table.iter().enumerate() {
        let mut found = table[5];
        // SAFETY: the token was found above.
        unsafe { found.look_up(&table, index as u64) };
        assert_eq!(found.0, entry.0);
    }
}
