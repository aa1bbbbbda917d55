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

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use spiped_proto::{
    BUFFER_LEN, Computation, Entropy, ForwardSecrecy, HandshakeConfig, Incoming, Keyring, Opener,
    Sealer, Secret, Step, Version, Versions,
};

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
    let powers = measurements / PER_POWER;
    println!(
        "{:<46} {:>9} {:>11} {:>11} {:>8}  verdict",
        "classes", "measured", "first, ns", "second, ns", "max |t|"
    );
    let control = row(
        "control: leaky comparison, early and late",
        measurements,
        leaky(),
    );
    let others = [
        row("packet, wrong MAC: early and late", measurements, packets()),
        row(
            "client hello, wrong MAC: early and late",
            measurements,
            hellos(false),
        ),
        row(
            "server hello, wrong MAC: early and late",
            measurements,
            hellos(true),
        ),
        row(
            "hello, one of 16 keys: first and last",
            measurements,
            keys(16),
        ),
        row(
            "hello, one of 1000 keys: first and last",
            powers,
            keys(1000),
        ),
        row(
            "2^x: fixed and random x",
            powers,
            powers_of(false, FIXED, None),
        ),
        row(
            "2^x: few and many bits",
            powers,
            powers_of(false, FEW, Some(MANY)),
        ),
        row(
            "y^x: fixed and random x",
            powers,
            powers_of(true, FIXED, None),
        ),
        row(
            "y^x: few and many bits",
            powers,
            powers_of(true, FEW, Some(MANY)),
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

/// Measures, prints a line and returns the largest |t|.
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

fn secret() -> Secret {
    Secret::from_key_file(b"a measurement has no secrets")
}

fn entropy(nonce: u8, exponent: &[u8; 32]) -> Entropy {
    let mut bytes = [nonce; Entropy::LEN];
    if let Some(place) = bytes.get_mut(32..64) {
        place.copy_from_slice(exponent);
    }
    Entropy::take(&mut bytes)
}

fn config(forward_secrecy: ForwardSecrecy) -> HandshakeConfig {
    HandshakeConfig::default()
        .with_forward_secrecy(forward_secrecy)
        .with_versions(Versions::Only(Version::V1))
}

fn client(forward_secrecy: ForwardSecrecy, exponent: &[u8; 32]) -> Step {
    Step::client(&secret(), config(forward_secrecy), entropy(1, exponent))
}

fn server(forward_secrecy: ForwardSecrecy) -> Step {
    Step::server(secret(), config(forward_secrecy), entropy(2, &[3; 32]))
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

const FAST: ForwardSecrecy = ForwardSecrecy::Disabled;

/// What a server says to the client: its nonce and its hello.
fn server_says(forward_secrecy: ForwardSecrecy) -> (Vec<u8>, Vec<u8>) {
    let (nonce_s, server) = advance(server(forward_secrecy));
    let (nonce_c, client) = advance(client(FAST, &[0; 32]));
    let (hello_c, _) = advance(feed(client, &nonce_s));
    let (_, server) = advance(feed(server, &nonce_c));
    let (hello_s, _) = advance(feed(server, &hello_c));
    (nonce_s, hello_s)
}

/// A session of the same keys each time; the client's sealer and the server's opener.
fn session() -> (Sealer, Opener) {
    let (nonce_c, client) = advance(client(FAST, &[0; 32]));
    let (nonce_s, server) = advance(server(FAST));
    let (hello_c, client) = advance(feed(client, &nonce_s));
    let (_, server) = advance(feed(server, &nonce_c));
    let (hello_s, server) = advance(feed(server, &hello_c));
    let (_, client) = advance(feed(client, &hello_s));
    match (client, server) {
        (Step::Done(client), Step::Done(server)) => (client.sealer, server.opener),
        other => panic!("the handshake is over: {other:?}"),
    }
}

/// The first byte of a MAC at the end is wrong, or the last.
fn spoil(message: &mut [u8], late: bool) {
    let place = if late { 1 } else { 32 };
    let place = message.len().saturating_sub(place);
    if let Some(byte) = message.get_mut(place) {
        *byte ^= 1;
    }
}

fn packet() -> Vec<u8> {
    let mut packet = vec![7; BUFFER_LEN];
    let (mut sealer, _) = session();
    let sealed = sealer.seal(&mut packet, 1).expect("it is the first");
    packet.truncate(sealed);
    packet
}

fn open(openers: &mut [Opener; BATCH], packet: &mut [u8]) {
    for opener in openers {
        let opened = opener.open(black_box(&mut *packet));
        assert!(black_box(opened).is_err());
    }
}

fn packets() -> impl FnMut(bool, &mut Random) -> f64 {
    let right = packet();
    move |late, _| {
        let mut wrong = right.clone();
        spoil(&mut wrong, late);
        let mut openers = std::array::from_fn(|_| session().1);
        time(|| open(&mut openers, &mut wrong))
    }
}

/// The same, and then the comparison once more as it must not be.
fn leaky() -> impl FnMut(bool, &mut Random) -> f64 {
    let right = packet();
    move |late, _| {
        let mut wrong = right.clone();
        spoil(&mut wrong, late);
        let mut openers = std::array::from_fn(|_| session().1);
        time(|| {
            open(&mut openers, &mut wrong);
            for _ in 0..BATCH {
                let macs = black_box(&right).iter().zip(black_box(&wrong)).rev();
                // From the end to the front, so it takes longer the earlier they differ.
                let mut same = macs
                    .take(32)
                    .take_while(|(a, b)| black_box(a) == black_box(b));
                black_box(same.by_ref().count());
            }
        })
    }
}

/// A hello at a server, or at a client.
fn hellos(at_client: bool) -> impl FnMut(bool, &mut Random) -> f64 {
    let (nonce_s, hello_s) = server_says(FAST);
    let (nonce_c, start) = advance(client(FAST, &[0; 32]));
    let (hello_c, _) = advance(feed(start, &nonce_s));
    move |late, _| {
        let mut wrong = if at_client {
            hello_s.clone()
        } else {
            hello_c.clone()
        };
        spoil(&mut wrong, late);
        let states: [Incoming; BATCH] = std::array::from_fn(|_| {
            let (start, nonce) = match at_client {
                true => (client(FAST, &[0; 32]), &nonce_s),
                false => (server(FAST), &nonce_c),
            };
            waiting(advance(feed(advance(start).1, nonce)).1)
        });
        time(|| {
            for state in states {
                let fed = state.feed(black_box(&wrong));
                assert!(black_box(fed).is_err());
            }
        })
    }
}

/// A right hello at a server with so many keys, made with its first key or its last.
fn keys(count: usize) -> impl FnMut(bool, &mut Random) -> f64 {
    let key = |number: usize| Secret::from_key_file(&number.to_be_bytes());
    let ring: Keyring = (0..count).map(key).collect();
    let start = move || Step::server(&ring, config(FAST), entropy(2, &[3; 32]));
    let (nonce_s, _) = advance(start());
    let client = |number| Step::client(&key(number), config(FAST), entropy(1, &[0; 32]));
    let (nonce_c, _) = advance(client(0));
    let hello = |number| advance(feed(advance(client(number)).1, &nonce_s)).0;
    let hellos = (hello(0), hello(count.saturating_sub(1)));
    move |is_last, _| {
        // Both are there to be read for both classes.
        let hello = black_box(if is_last { &hellos.1 } else { &hellos.0 }).clone();
        let state = waiting(advance(feed(advance(start()).1, &nonce_c)).1);
        let mut next = None;
        let time = time(|| {
            let (_, step) = state.feed(black_box(&hello)).expect("a key fits");
            next = Some(match step {
                Step::Compute(trial) => run(trial),
                authenticated => authenticated,
            });
        });
        assert!(matches!(black_box(next), Some(Step::Authenticated(_))));
        time
    }
}

const FIXED: [u8; 32] = [0x5c; 32];
const FEW: [u8; 32] = [0; 32];
const MANY: [u8; 32] = [0xff; 32];

/// A client's 2^x, or y^x of a server's y; x is `first`, or `second`, or any.
fn powers_of(
    shared: bool,
    first: [u8; 32],
    second: Option<[u8; 32]>,
) -> impl FnMut(bool, &mut Random) -> f64 {
    let (nonce_s, hello_s) = server_says(ForwardSecrecy::Enabled);
    move |is_second, random| {
        // Made for both classes, so that both find the same in the caches.
        let mut any = [0; 32];
        for bytes in any.chunks_mut(8) {
            bytes.copy_from_slice(&random.next().to_le_bytes());
        }
        let exponent = match is_second {
            true => second.unwrap_or(any),
            false => first,
        };
        let Step::Send(nonce) = client(ForwardSecrecy::Enabled, &exponent) else {
            panic!("a client begins with its nonce");
        };
        let mut power = computation(nonce.sent());
        if shared {
            let (_, waiting) = advance(feed(run(power), &nonce_s));
            power = match feed(waiting, &hello_s) {
                Step::Authenticated(peer) => computation(peer.proceed()),
                other => panic!("the server has proved itself: {other:?}"),
            };
        }
        let mut next = None;
        let time = time(|| next = Some(black_box(power).run()));
        drop(black_box(next));
        time
    }
}

fn computation(step: Step) -> Computation {
    match step {
        Step::Compute(computation) => computation,
        other => panic!("a power comes next: {other:?}"),
    }
}
