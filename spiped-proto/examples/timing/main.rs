//! Looks for secrets in the time that the protocol takes, in the way of dudect (Reparaz, Balasch and
//! Verbauwhede, 2017): two classes of inputs in random order, and Welch's t-test between their times.
//!
//! `cargo run --release -p spiped-proto --example timing [MEASUREMENTS]`, on a machine that does
//! nothing else. The first row is a leak on purpose, of the size that a comparison of MACs byte by
//! byte would have: unless it is found, the others say nothing. The exit status is 1 then, and when a
//! leak is found where there must be none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement may stop where it goes wrong"
)]

mod v1;
mod v2;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use spiped_proto::{Computation, Entropy, Incoming, Secret, Step};

const MEASUREMENTS: usize = 100_000;
/// A power takes so much longer than a packet.
const PER_POWER: usize = 10;
/// From here on a difference is likely, and certain.
const LIKELY: f64 = 4.5;
const CERTAIN: f64 = 10.0;
/// So many at once, for what is short beside the clock's own time.
const BATCH: usize = 8;
/// The slowest measurements are left out, in this many ways.
const CROPS: i32 = 100;

fn main() -> ExitCode {
    let given = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let measurements = given.unwrap_or(MEASUREMENTS).max(PER_POWER * 100);
    println!(
        "{:<46} {:>9} {:>11} {:>11} {:>8}  verdict",
        "classes", "measured", "first, ns", "second, ns", "max |t|"
    );
    let (many, few) = (measurements, measurements / PER_POWER);
    let control = row(
        "control: leaky comparison, early and late",
        many,
        v1::leaky(),
    );
    let others = [
        row("1: packet, wrong MAC: early and late", many, v1::packets()),
        row(
            "1: client hello, wrong MAC: early and late",
            many,
            v1::hellos(false),
        ),
        row(
            "1: server hello, wrong MAC: early and late",
            many,
            v1::hellos(true),
        ),
        row(
            "1: hello, one of 16 keys: first and last",
            many,
            v1::keys(16),
        ),
        row(
            "1: hello, one of 1000 keys: first and last",
            few,
            v1::keys(1000),
        ),
        row(
            "1: 2^x: fixed and random x",
            few,
            v1::powers(false, FIXED, None),
        ),
        row(
            "1: 2^x: few and many bits",
            few,
            v1::powers(false, FEW, Some(MANY)),
        ),
        row(
            "1: y^x: fixed and random x",
            few,
            v1::powers(true, FIXED, None),
        ),
        row(
            "1: y^x: few and many bits",
            few,
            v1::powers(true, FEW, Some(MANY)),
        ),
        row(
            "2: client nonce, wrong tag: early and late",
            many,
            v2::nonces(false),
        ),
        row(
            "2: server nonce, wrong tag: early and late",
            many,
            v2::nonces(true),
        ),
        row(
            "2: nonce, one of 100 keys: first and last",
            many,
            v2::keys(100),
        ),
        row(
            "2: nonce, one of 1000 keys: first and last",
            few,
            v2::keys(1000),
        ),
        row(
            "2: client hello, wrong tag: early and late",
            few,
            v2::hellos(false),
        ),
        row(
            "2: server hello, wrong tag: early and late",
            few,
            v2::hellos(true),
        ),
        row(
            "2: header of a record, wrong tag: early, late",
            few,
            v2::records(5, 20),
        ),
        row(
            "2: body of a record, wrong tag: early, late",
            few,
            v2::records(277, 292),
        ),
        row("2: key pairs: few and many bits of s", few, v2::key_pairs()),
        row(
            "2: client's exchange: few and many bits of c",
            few,
            v2::exchanges(true),
        ),
        row(
            "2: server's exchange: few and many bits of s",
            few,
            v2::exchanges(false),
        ),
    ];
    if control < CERTAIN {
        println!("\nThe leak on purpose was not found: the machine is too noisy, or N too small.");
        return ExitCode::FAILURE;
    }
    match others.iter().all(|t| *t < CERTAIN) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Measures, prints a line and returns the largest |t|. `measure` gives the nanoseconds that an input of
/// the first class (false) or the second takes.
fn row(name: &str, measurements: usize, mut measure: impl FnMut(bool, &mut Random) -> f64) -> f64 {
    let mut random = Random(1);
    let mut times = Vec::new();
    for _ in 0..measurements / 20 {
        measure(random.next() & 1 == 1, &mut random);
    }
    for _ in 0..measurements {
        let second = random.next() & 1 == 1;
        times.push((measure(second, &mut random), second));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let median = |of_second: bool| {
        let times: Vec<f64> = of_class(&times, of_second).collect();
        times.get(times.len() / 2).copied().unwrap_or(0.0)
    };
    let crops = (0..CROPS).map(|crop| 1.0 - 0.5_f64.powf(10.0 * f64::from(crop + 1) / 100.0));
    let t = crops
        .chain([1.0])
        .map(|part| (times.len() as f64 * part) as usize)
        .map(|kept| welch(times.split_at(kept).0).abs())
        .fold(0.0, f64::max);
    let verdict = match t {
        CERTAIN.. => "differ",
        LIKELY..CERTAIN => "may differ: measure longer",
        _ => "alike",
    };
    println!(
        "{name:<46} {measurements:>9} {:>11.0} {:>11.0} {t:>8.1}  {verdict}",
        median(false),
        median(true)
    );
    t
}

fn of_class(times: &[(f64, bool)], second: bool) -> impl Iterator<Item = f64> {
    let class = times.iter().filter(move |(_, class)| *class == second);
    class.map(|(time, _)| *time)
}

/// Welch's t, or 0 for too few to say.
fn welch(times: &[(f64, bool)]) -> f64 {
    let moments = |second: bool| {
        let n = of_class(times, second).count() as f64;
        let mean = of_class(times, second).sum::<f64>() / n;
        let squares = of_class(times, second).map(|time| (time - mean).powi(2));
        (n, mean, squares.sum::<f64>() / (n - 1.0))
    };
    let ((n1, mean1, var1), (n2, mean2, var2)) = (moments(false), moments(true));
    let error = (var1 / n1 + var2 / n2).sqrt();
    if n1.min(n2) < 100.0 || error == 0.0 {
        return 0.0;
    }
    (mean1 - mean2) / error
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}

/// The time of a computation, without that of dropping what comes of it.
fn time_of(computation: Computation) -> f64 {
    let mut next = None;
    let time = time(|| next = Some(black_box(computation).run()));
    drop(black_box(next));
    time
}

fn secret() -> Secret {
    Secret::from_key_file(b"a measurement has no secrets")
}

/// Random bytes that are none: x of version 1 and the X25519 key of version 2 are `private`.
fn entropy(nonce: u8, private: &[u8; 32]) -> Entropy {
    let mut bytes = [nonce; Entropy::LEN];
    for place in [32..64, 64..96] {
        if let Some(place) = bytes.get_mut(place) {
            place.copy_from_slice(private);
        }
    }
    Entropy::take(&mut bytes)
}

/// Goes on until the peer is needed, or the end; returns what was sent.
fn advance(mut step: Step) -> (Vec<u8>, Step) {
    let mut sent = Vec::new();
    loop {
        step = match step {
            Step::Send(outgoing) => {
                sent.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Compute(computation) => run(computation),
            Step::Authenticated(peer) => peer.proceed(),
            waiting => return (sent, waiting),
        };
    }
}

fn run(computation: Computation) -> Step {
    computation.run().expect("both ends are sound")
}

fn waiting(step: Step) -> Incoming {
    match step {
        Step::Receive(incoming) => incoming,
        other => panic!("the handshake waits for a message: {other:?}"),
    }
}

fn feed(step: Step, message: &[u8]) -> Step {
    let (used, next) = waiting(step).feed(message).expect("both ends are sound");
    assert_eq!(used, message.len());
    next
}

fn computation(step: Step) -> Computation {
    match step {
        Step::Compute(computation) => computation,
        other => panic!("a power comes next: {other:?}"),
    }
}

const FIXED: [u8; 32] = [0x5c; 32];
const FEW: [u8; 32] = [0; 32];
const MANY: [u8; 32] = [0xff; 32];
