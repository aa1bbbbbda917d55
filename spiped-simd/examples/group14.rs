//! Measures y^x mod p with AVX-512 IFMA beside crypto-bigint, for exponents of 259 bits.
//!
//! `cargo run --release -p spiped-simd --example group14`

use std::hint::black_box;
use std::time::Instant;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};
use spiped_simd::group14;

const SAMPLES: usize = 501;

fn main() {
    group14::fma::bench();
    let base = std::array::from_fn(|i| 0x0123_4567_89ab_cdef_u64.wrapping_mul(i as u64 + 3));
    let exponent = [
        0x1234_5678_9abc_def0,
        u64::MAX,
        0,
        0x5555_aaaa_5555_aaaa,
        1 << 2,
    ];
    let Some(p) = Option::from(Odd::new(U2048::from_words(group14::P))) else {
        return;
    };
    let params = FixedMontyParams::new_vartime(p);
    let portable = || {
        let base = FixedMontyForm::new(&U2048::from_words(*black_box(&base)), &params);
        let power = base.pow_bounded_exp(&U320::from_words(*black_box(&exponent)), 259);
        power.retrieve().to_words()
    };
    let ifma = || group14::pow(black_box(&base), black_box(&exponent));
    if ifma().is_none() {
        println!("this CPU has no AVX-512 IFMA");
    }

    let mut samples = [const { Vec::new() }; 2];
    for _ in 0..SAMPLES {
        let start = Instant::now();
        black_box(ifma());
        samples[0].push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        black_box(portable());
        samples[1].push(start.elapsed().as_secs_f64());
    }
    for (name, samples) in ["AVX-512 IFMA", "crypto-bigint"].iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let (median, best) = (samples[SAMPLES / 2] * 1e6, samples[0] * 1e6);
        println!("{name:<14} {median:>7.1} us, best {best:.1}");
    }
}
