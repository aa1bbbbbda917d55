//! What the protocol costs: packets, the two powers of the key exchange, a whole handshake, and the
//! primitives alone to compare with.
//!
//! `cargo bench -p spiped-proto`; a name after `--` picks a part, such as `-- seal`.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark may stop where it goes wrong"
)]

use std::hint::black_box;
use std::ops::ControlFlow::{self, Break, Continue};

use aes::Aes256;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use spiped_proto::{
    BUFFER_LEN, Computation, Entropy, ForwardSecrecy, HandshakeConfig, Incoming, Keyring, Opened,
    Opener, Secret, Session, Step,
};

const PACKET: usize = 1024;
/// How many inputs are made ahead: enough to hide the clock's cost, few enough to stay in a cache.
const AHEAD: BatchSize = BatchSize::NumIterations(16);

fn secret() -> Secret {
    Secret::from_key_file(b"a benchmark has no secrets")
}

fn entropy() -> Entropy {
    let mut bytes = [0; Entropy::LEN];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    Entropy::take(&mut bytes)
}

fn config(forward_secrecy: ForwardSecrecy) -> HandshakeConfig {
    HandshakeConfig::default().with_forward_secrecy(forward_secrecy)
}

fn run(computation: Computation) -> Step {
    computation.run().expect("both ends are sound")
}

/// Takes a step that needs nothing from the peer, or gives back one that does.
fn step(step: Step, sent: &mut Vec<u8>) -> ControlFlow<Step, Step> {
    match step {
        Step::Send(outgoing) => {
            sent.extend_from_slice(outgoing.bytes());
            Continue(outgoing.sent())
        }
        Step::Compute(computation) => Continue(run(computation)),
        Step::Authenticated(peer) => Continue(peer.proceed()),
        waiting => Break(waiting),
    }
}

/// Goes on until the peer is needed, or the end; returns what was sent.
fn advance(mut state: Step) -> (Vec<u8>, Step) {
    let mut sent = Vec::new();
    loop {
        state = match step(state, &mut sent) {
            Continue(next) => next,
            Break(waiting) => return (sent, waiting),
        };
    }
}

fn feed(state: Step, message: &[u8]) -> Step {
    let Step::Receive(incoming) = state else {
        panic!("the handshake waits for a message");
    };
    let (used, next) = incoming.feed(message).expect("both ends are sound");
    assert_eq!(used, message.len());
    next
}

fn handshake(secret: &Secret, forward_secrecy: ForwardSecrecy) -> (Session, Session) {
    let (nonce_c, client) = advance(Step::client(secret, config(forward_secrecy), entropy()));
    let (nonce_s, server) = advance(Step::server(secret, config(forward_secrecy), entropy()));
    let (hello_c, client) = advance(feed(client, &nonce_s));
    let (_, server) = advance(feed(server, &nonce_c));
    let (hello_s, server) = advance(feed(server, &hello_c));
    let (_, client) = advance(feed(client, &hello_s));
    match (client, server) {
        (Step::Done(client), Step::Done(server)) => (*client, *server),
        other => panic!("the handshake is over: {other:?}"),
    }
}

/// A client's first computation: 2^x.
fn own_value(secret: &Secret) -> Computation {
    let Step::Send(nonce) = Step::client(secret, HandshakeConfig::default(), entropy()) else {
        panic!("a client begins with its nonce");
    };
    match nonce.sent() {
        Step::Compute(computation) => computation,
        other => panic!("then it computes its value: {other:?}"),
    }
}

/// A client's second computation: y^x.
fn shared_value(secret: &Secret) -> Computation {
    let (nonce_c, client) = advance(Step::client(secret, HandshakeConfig::default(), entropy()));
    let (nonce_s, server) = advance(Step::server(secret, HandshakeConfig::default(), entropy()));
    let (hello_c, client) = advance(feed(client, &nonce_s));
    let (_, server) = advance(feed(server, &nonce_c));
    // Only as far as the server's hello: its own y^x is of no use here.
    let mut server = feed(server, &hello_c);
    let mut hello_s = Vec::new();
    while hello_s.is_empty() {
        server = match step(server, &mut hello_s) {
            Continue(next) => next,
            Break(waiting) => panic!("the server answers first: {waiting:?}"),
        };
    }
    match step(feed(client, &hello_s), &mut Vec::new()) {
        Continue(Step::Compute(computation)) => computation,
        other => panic!("a client with its peer's value computes: {other:?}"),
    }
}

fn packets(c: &mut Criterion) {
    let sizes = [64, PACKET, 16 * PACKET, 64 * PACKET];
    let name = |len: usize| match len / PACKET {
        0 => format!("{len} bytes"),
        packets => format!("{packets} packets"),
    };

    let mut group = c.benchmark_group("seal");
    for len in sizes {
        let (mut client, _) = handshake(&secret(), ForwardSecrecy::Disabled);
        let mut buffer = vec![0xa5; BUFFER_LEN];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name(len), |b| {
            b.iter(|| client.sealer.seal(black_box(&mut buffer), len));
        });
    }
    group.finish();

    let mut group = c.benchmark_group("open");
    for len in sizes {
        let (mut client, mut server) = handshake(&secret(), ForwardSecrecy::Disabled);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name(len), |b| {
            b.iter_batched_ref(
                || {
                    let mut buffer = vec![0xa5; BUFFER_LEN];
                    let sealed = client.sealer.seal(&mut buffer, len).expect("it is sealed");
                    buffer.truncate(sealed);
                    buffer
                },
                |packets| assert_eq!(open_all(&mut server.opener, packets), len),
                AHEAD,
            );
        });
    }
    group.finish();

    let mut group = c.benchmark_group("a keystroke after a rest");
    let (mut client, mut server) = handshake(&secret(), ForwardSecrecy::Disabled);
    let mut buffer = vec![0xa5; BUFFER_LEN];
    group.bench_function("seal and open", |b| {
        b.iter(|| {
            client.sealer.rest();
            server.opener.rest();
            let sealed = client.sealer.seal(&mut buffer, 1).expect("it is sealed");
            open_all(&mut server.opener, buffer.split_at_mut(sealed).0)
        });
    });
    group.finish();
}

/// Opens whole packets; says how much was in them.
fn open_all(opener: &mut Opener, mut packets: &mut [u8]) -> usize {
    let mut len = 0;
    while let Ok(Opened::Data {
        consumed,
        plaintext,
    }) = opener.open(packets)
    {
        len += plaintext.len();
        packets = packets.split_at_mut(consumed).1;
    }
    len
}

fn key_exchange(c: &mut Criterion) {
    let secret = secret();
    c.bench_function("2^x", |b| {
        b.iter_batched(|| own_value(&secret), run, AHEAD);
    });
    c.bench_function("y^x", |b| {
        b.iter_batched(|| shared_value(&secret), run, AHEAD);
    });
    let mut group = c.benchmark_group("handshake, both ends");
    for (name, forward_secrecy) in [
        ("forward secrecy", ForwardSecrecy::Enabled),
        ("fast", ForwardSecrecy::Disabled),
    ] {
        group.bench_function(name, |b| b.iter(|| handshake(&secret, forward_secrecy)));
    }
    group.finish();
}

/// What a stranger can have for 320 bytes and no key.
fn strangers(c: &mut Criterion) {
    let mut group = c.benchmark_group("a stranger's hello");
    for count in [1, 10, 16, 32, 100, 1000, 10_000] {
        let keys: Keyring = (0..count)
            .map(|number: u32| Secret::from_key_file(&number.to_be_bytes()))
            .collect();
        let waiting = || -> Incoming {
            let (_, server) = advance(Step::server(&keys, HandshakeConfig::default(), entropy()));
            match advance(feed(server, &[7; 32])) {
                (_, Step::Receive(incoming)) => incoming,
                other => panic!("a server waits for a hello: {other:?}"),
            }
        };
        let try_all = |incoming: Incoming| match incoming.feed(&[7; 288]) {
            Ok((_, Step::Compute(trial))) => trial.run().map(drop),
            other => other.map(drop),
        };
        group.bench_function(format!("{count} keys"), |b| {
            b.iter_batched(waiting, try_all, AHEAD);
        });
    }
    group.finish();
}

fn primitives(c: &mut Criterion) {
    let mut group = c.benchmark_group("reference");
    let mut body = vec![0xa5; PACKET + 4];
    group.throughput(Throughput::Bytes(PACKET as u64));
    group.bench_function("HMAC-SHA256 of a packet", |b| {
        let key = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length will do");
        b.iter(|| {
            let mut mac = key.clone();
            mac.update(black_box(&body));
            mac.update(&[0; 8]);
            mac.finalize()
        });
    });
    group.bench_function("AES-256-CTR of a packet", |b| {
        let mut cipher = Ctr64BE::<Aes256>::new(&[7; 32].into(), &[0; 16].into());
        b.iter(|| cipher.apply_keystream(black_box(&mut body)));
    });
    group.finish();
}

criterion_group!(benches, packets, key_exchange, strangers, primitives);
criterion_main!(benches);
