//! Measures the powers mod p that this CPU has, beside crypto-bigint's, for exponents of 259 bits.
//!
//! `cargo run --release -p spiped-simd --example group14`

use std::hint::black_box;
use std::time::Instant;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U320, U2048};
use spiped_simd::group14::{self, Implementation, Number};

const SAMPLES: usize = 501;

type Power<'a> = Box<dyn Fn() -> Number + 'a>;

fn main() {
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

    let mut ways: Vec<(String, Power)> = Vec::new();
    for way in Implementation::available() {
        let pow = move || {
            let mut power = [0; 32];
            way.pow(black_box(&base), black_box(&exponent), &mut power);
            power
        };
        ways.push((format!("y^x, {}", way.name()), Box::new(pow)));
        let start = Instant::now();
        black_box(way.power_of_two(&exponent));
        let first = start.elapsed().as_secs_f64() * 1e6;
        println!("tables of {}: {first:.0} us", way.name());
        let pow = move || way.power_of_two(black_box(&exponent));
        ways.push((format!("2^x, {}", way.name()), Box::new(pow)));
    }
    ways.push(("y^x, crypto-bigint".to_owned(), Box::new(portable)));

    // In turn, so that noise hits all of them.
    let mut samples = vec![Vec::new(); ways.len()];
    for _ in 0..SAMPLES {
        for ((_, way), samples) in ways.iter().zip(&mut samples) {
            let start = Instant::now();
            black_box(way());
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    for ((name, _), samples) in ways.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let (median, best) = (samples[SAMPLES / 2], samples[0]);
        println!("{name:<20} {median:>7.1} us, best {best:.1}");
    }
}
