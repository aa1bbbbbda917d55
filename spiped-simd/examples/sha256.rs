//! Measures the SHA-256 implementations that this CPU has, side by side.
//!
//! `cargo run --release -p spiped-simd --example sha256`

use std::hint::black_box;
use std::time::Instant;

use spiped_simd::sha256::{self, Block, Implementation, State};

const ROUNDS: usize = 31;
/// Bytes compressed in one sample.
const SAMPLE: usize = 4 << 20;

type Compress = Box<dyn Fn(&mut [State], &[&[Block]])>;

fn main() {
    let mut ways: Vec<(&str, Compress)> = Implementation::available()
        .map(|way| -> (&str, Compress) {
            (way.name(), Box::new(move |s, m| way.compress_many(s, m)))
        })
        .collect();
    ways.push(("as chosen", Box::new(sha256::compress_many)));

    println!("GB/s, median of {ROUNDS} (best)\n");
    print!("{:<28}", "");
    for (name, _) in &ways {
        print!("{name:>18}");
    }
    println!();
    for messages in [1, 2, 4, 8, 15, 16, 32, 63, 64] {
        row(
            &format!("{messages} messages of 16 blocks"),
            &ways,
            messages,
            16 * 64,
            compress,
        );
    }
    for messages in [2, 16, 64] {
        row(
            &format!("{messages} messages of 1 block"),
            &ways,
            messages,
            64,
            compress,
        );
    }
    for messages in [1, 2, 8, 16, 64] {
        row(
            &format!("{messages} HMACs of 1036 bytes"),
            &ways,
            messages,
            1036,
            hmac,
        );
    }
}

/// One line of the table: samples of all ways in turn, so that noise hits all of them.
fn row(
    title: &str,
    ways: &[(&str, Compress)],
    messages: usize,
    message_len: usize,
    work: fn(&Compress, &mut [State], &[Vec<u8>]),
) {
    let bytes: Vec<Vec<u8>> = (0..messages).map(|i| vec![i as u8; message_len]).collect();
    let calls = SAMPLE / (messages * message_len);
    let mut samples = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way), samples) in ways.iter().zip(&mut samples) {
            let mut states = vec![sha256::INITIAL; messages];
            let start = Instant::now();
            for _ in 0..calls {
                work(way, black_box(&mut states), black_box(&bytes));
            }
            let seconds = start.elapsed().as_secs_f64();
            samples.push((calls * messages * message_len) as f64 / seconds / 1e9);
        }
    }
    print!("{title:<28}");
    for samples in &mut samples {
        samples.sort_by(f64::total_cmp);
        let cell = format!("{:.2} ({:.2})", samples[ROUNDS / 2], samples[ROUNDS - 1]);
        print!("{cell:>18}");
    }
    println!();
}

fn compress(way: &Compress, states: &mut [State], messages: &[Vec<u8>]) {
    let mut slices: [&[Block]; 64] = [&[]; 64];
    for (slice, message) in slices.iter_mut().zip(messages) {
        *slice = message.as_chunks().0;
    }
    way(states, &slices[..messages.len()]);
}

/// What a batch of packets costs: the blocks in place, the last one on the stack, the outer hash.
fn hmac(way: &Compress, states: &mut [State], messages: &[Vec<u8>]) {
    let mut slices: [&[Block]; 64] = [&[]; 64];
    let mut ends = [[0; 64]; 64];
    let mut inner = [sha256::INITIAL; 64];
    let count = messages.len();
    for ((slice, end), message) in slices.iter_mut().zip(&mut ends).zip(messages) {
        let (blocks, rest) = message.as_chunks();
        *slice = blocks;
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        end[56..].copy_from_slice(&(8 * (64 + message.len() as u64)).to_be_bytes());
    }
    way(&mut inner[..count], &slices[..count]);
    let last = ends.each_ref().map(std::slice::from_ref);
    way(&mut inner[..count], &last[..count]);
    for (end, digest) in ends.iter_mut().zip(&inner).take(count) {
        for (to, word) in end.as_chunks_mut().0.iter_mut().zip(digest) {
            *to = word.to_be_bytes();
        }
        end[32..].fill(0);
        end[32] = 0x80;
        end[56..].copy_from_slice(&(8 * 96u64).to_be_bytes());
    }
    states.fill(sha256::INITIAL);
    let last = ends.each_ref().map(std::slice::from_ref);
    way(states, &last[..count]);
}
