//! Powers compared with crypto-bigint's.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};

use super::*;

pub(super) fn random(seed: &mut u64) -> u64 {
    // splitmix64
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn expected(base: &Number, exponent: &[u64; 5]) -> Number {
    let params = FixedMontyParams::new_vartime(Odd::new(U2048::from_words(P)).unwrap());
    FixedMontyForm::new(&U2048::from_words(*base), &params)
        .pow(&U320::from_words(*exponent))
        .retrieve()
        .to_words()
}

/// Compares all ways that this CPU has.
fn check(base: &Number, exponent: &[u64; 5]) {
    let expected = expected(base, exponent);
    for way in Implementation::available() {
        let mut power = [u64::MAX; 32];
        way.pow(base, exponent, &mut power);
        assert_eq!(power, expected, "{way:?}: {base:x?} ^ {exponent:x?}");
    }
    let untouched = [u64::MAX; 32];
    let mut power = untouched;
    let computed = pow(base, exponent, &mut power);
    assert_eq!(computed, Implementation::available().next().is_some());
    assert_eq!(power, if computed { expected } else { untouched });
}

fn check_power_of_two(exponent: &[u64; 5]) {
    let expected = expected(&small(2), exponent);
    for way in Implementation::available() {
        let power = way.power_of_two(exponent);
        assert_eq!(power, expected, "{way:?}: 2 ^ {exponent:x?}");
    }
    assert!(power_of_two(exponent).is_none_or(|power| power == expected));
}

fn small(value: u64) -> Number {
    std::array::from_fn(|i| if i == 0 { value } else { 0 })
}

#[test]
fn it_is_said_what_is_tested() {
    let all: Vec<_> = Implementation::available()
        .map(Implementation::name)
        .collect();
    eprintln!("tested, as this CPU has them: {all:?}");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        all.contains(&"AVX2 and FMA"),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    );
}

#[test]
fn p_is_the_prime_of_rfc_3526() {
    let rfc = "FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1
        29024E08 8A67CC74 020BBEA6 3B139B22 514A0879 8E3404DD
        EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245
        E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
        EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D
        C2007CB8 A163BF05 98DA4836 1C55D39A 69163FA8 FD24CF5F
        83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D
        670C354E 4ABC9804 F1746C08 CA18217C 32905E46 2E36CE3B
        E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9
        DE2BCBF6 95581718 3995497C EA956AE5 15D22618 98FA0510
        15728E5A 8AACAA68 FFFFFFFF FFFFFFFF";
    let hex: String = rfc.split_whitespace().collect();
    assert_eq!(U2048::from_words(P), U2048::from_be_hex(&hex));
}

#[test]
fn edge_values_agree() {
    let mut p_minus_one = P;
    p_minus_one[0] -= 1;
    let mut p_plus_one = P;
    p_plus_one[0] = 0;
    p_plus_one[1] += 1;
    let bases = [
        small(0),
        small(1),
        small(2),
        p_minus_one,
        P,
        p_plus_one,
        [u64::MAX; 32],
        std::array::from_fn(|i| if i == 31 { 1 << 63 } else { 0 }),
        std::array::from_fn(|i| if i == 31 { 0 } else { u64::MAX }),
    ];
    let exponents = [
        [0; 5],
        [1, 0, 0, 0, 0],
        [2, 0, 0, 0, 0],
        [0, 0, 0, 0, 4],
        [u64::MAX, u64::MAX, u64::MAX, u64::MAX, 7],
        [0, 0, 0, 0, 15],
        [0, 0, 0, 0, 16],
        [0, 0, 0, 0, 1 << 63],
        [u64::MAX; 5],
    ];
    for base in &bases {
        for exponent in &exponents {
            check(base, exponent);
        }
    }
    for exponent in &exponents {
        check_power_of_two(exponent);
    }
}

#[test]
fn each_bit_of_an_exponent_counts() {
    for position in 0..320 {
        let mut exponent = [0; 5];
        exponent[position / 64] = 1 << (position % 64);
        check_power_of_two(&exponent);
        if position < 260 {
            // Together with all bits below it.
            let below = |i| match position / 64 {
                limb if i < limb => u64::MAX,
                limb if i == limb => u64::MAX >> (63 - position % 64),
                _ => 0,
            };
            check_power_of_two(&std::array::from_fn(below));
        }
    }
}

#[test]
fn random_values_agree() {
    let mut seed = 1;
    for _ in 0..200 {
        let base = std::array::from_fn(|_| random(&mut seed));
        let mut exponent = std::array::from_fn(|_| random(&mut seed));
        check(&base, &exponent);
        exponent[4] = 4;
        check(&base, &exponent);
        check_power_of_two(&exponent);
    }
}
