//! Measures AES-256-CTR for this CPU and the portable one, side by side.
//!
//! `cargo run --release -p spiped-simd --example aes256`

use std::hint::black_box;
use std::time::Instant;

use spiped_simd::aes256::Key;

const ROUNDS: usize = 301;
/// Bytes encrypted in one sample: short ones dodge what else the machine does.
const SAMPLE: usize = 64 << 10;

fn main() {
    let key = [7; 32];
    let ways = [
        ("portable", Key::portable(&key)),
        ("as chosen", Key::new(&key)),
    ];
    println!("GB/s, median of {ROUNDS} (best)\n");
    print!("{:<16}", "");
    for (name, _) in &ways {
        print!("{name:>18}");
    }
    println!();
    for len in [16, 64, 256, 1024, 16384] {
        let mut samples = ways.each_ref().map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((_, key), samples) in ways.iter().zip(&mut samples) {
                samples.push(sample(key, len));
            }
        }
        print!("{:<16}", format!("{len} bytes"));
        for samples in &mut samples {
            samples.sort_by(f64::total_cmp);
            let cell = format!("{:.2} ({:.2})", samples[ROUNDS / 2], samples[ROUNDS - 1]);
            print!("{cell:>18}");
        }
        println!();
    }
}

fn sample(key: &Key, len: usize) -> f64 {
    let from = vec![0xa5; len];
    let mut to = vec![0; len];
    let calls = SAMPLE / len;
    let start = Instant::now();
    for number in 0..calls as u64 {
        key.xor(number, 0, black_box(&from), black_box(&mut to));
    }
    (calls * len) as f64 / start.elapsed().as_secs_f64() / 1e9
}
