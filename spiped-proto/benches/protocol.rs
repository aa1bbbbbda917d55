//! What the protocol costs, of both versions: records, handshakes, and a stranger's first message.
//!
//! `cargo bench -p spiped-proto` uses the fastest cryptography that the processor runs, and
//! `RUSTFLAGS='--cfg spiped_portable' cargo bench -p spiped-proto` the portable one. Each figure is
//! the fastest of several rounds, which is the one that others on the machine disturbed least.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark may stop where it goes wrong"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use spiped_proto::{
    BUFFER_LEN, Entropy, HandshakeConfig, Keyring, Opened, Secret, Session, Step, Version, Versions,
};

const ROUNDS: usize = 20;

fn entropy() -> Entropy {
    let mut bytes = [0; Entropy::LEN];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    Entropy::take(&mut bytes)
}

fn config(version: Version) -> HandshakeConfig {
    HandshakeConfig::default().with_versions(Versions::Only(version))
}

/// One end of a handshake, and how long it has worked.
struct End {
    step: Option<Step>,
    sent: Vec<u8>,
    worked: Duration,
}

impl End {
    fn new(begin: impl FnOnce() -> Step) -> Self {
        let begun = Instant::now();
        let step = Some(begin());
        let worked = begun.elapsed();
        let sent = Vec::new();
        let mut end = Self { step, sent, worked };
        end.receive(&[]);
        end
    }

    /// Takes a part of a handshake and goes on until the peer is needed.
    fn receive(&mut self, mut bytes: &[u8]) {
        let begun = Instant::now();
        let mut step = self.step.take().expect("it has not failed");
        self.step = loop {
            step = match step {
                Step::Send(outgoing) => {
                    self.sent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Receive(incoming) if !bytes.is_empty() => {
                    let Ok((used, next)) = incoming.feed(bytes) else {
                        break None;
                    };
                    bytes = bytes.split_at(used).1;
                    next
                }
                Step::Compute(computation) => match computation.run() {
                    Ok(next) => next,
                    Err(_) => break None,
                },
                Step::Authenticated(peer) => peer.proceed(),
                waiting => break Some(waiting),
            };
        };
        self.worked += begun.elapsed();
    }

    fn session(self) -> Session {
        match self.step {
            Some(Step::Done(session)) => *session,
            other => panic!("the handshake is over: {other:?}"),
        }
    }
}

fn handshake(secret: &Secret, version: Version) -> (End, End) {
    let mut client = End::new(|| Step::client(secret, config(version), entropy()));
    let mut server = End::new(|| Step::server(secret, config(version), entropy()));
    for _ in 0..3 {
        server.receive(&std::mem::take(&mut client.sent));
        client.receive(&std::mem::take(&mut server.sent));
    }
    (client, server)
}

/// The shortest time of a call in several rounds of so many.
fn fastest(calls: u32, mut round: impl FnMut(u32) -> Duration) -> Duration {
    let rounds = (0..ROUNDS).map(|_| round(calls) / calls);
    rounds.min().unwrap_or_default()
}

fn print(what: &str, time: Duration, bytes: usize) {
    let micros = time.as_secs_f64() * 1e6;
    match bytes {
        0 => println!("{what:45} {micros:9.2} µs"),
        bytes => {
            let rate = bytes as f64 / time.as_secs_f64() / 1e9;
            println!("{what:45} {micros:9.2} µs {rate:7.2} GB/s");
        }
    }
}

fn records(secret: &Secret, version: Version) {
    for len in [64, 1024, 16 * 1024, 61 * 1024] {
        let mut client = handshake(secret, version).0.session();
        let mut buffer = vec![0xa5; BUFFER_LEN];
        let sealing = fastest(200, |calls| {
            let begun = Instant::now();
            for _ in 0..calls {
                let sealed = client.sealer.seal(black_box(&mut buffer), len);
                sealed.expect("it fits");
            }
            begun.elapsed()
        });
        print(
            &format!("version {version}: seal {len} bytes"),
            sealing,
            len,
        );

        let (client, server) = handshake(secret, version);
        let (mut client, mut server) = (client.session(), server.session());
        let opening = fastest(200, |calls| {
            let mut worked = Duration::ZERO;
            for _ in 0..calls {
                let sealed = client.sealer.seal(&mut buffer, len).expect("it fits");
                let (mut records, _) = buffer.split_at_mut(sealed);
                let begun = Instant::now();
                while !records.is_empty() {
                    match server.opener.open(records) {
                        Ok(Opened::Data { consumed, .. }) => {
                            records = records.split_at_mut(consumed).1;
                        }
                        other => panic!("all is whole: {other:?}"),
                    }
                }
                worked += begun.elapsed();
            }
            worked
        });
        print(
            &format!("version {version}: open {len} bytes"),
            opening,
            len,
        );
    }
}

/// A key expanded for one record, where an idle connection has given it back.
fn rested(secret: &Secret, version: Version) {
    let mut client = handshake(secret, version).0.session();
    let mut buffer = vec![0xa5; BUFFER_LEN];
    let sealing = fastest(200, |calls| {
        let begun = Instant::now();
        for _ in 0..calls {
            client.sealer.rest();
            client
                .sealer
                .seal(black_box(&mut buffer), 64)
                .expect("it fits");
        }
        begun.elapsed()
    });
    print(
        &format!("version {version}: seal 64 bytes after a rest"),
        sealing,
        64,
    );
}

fn handshakes(secret: &Secret, version: Version) {
    let mut clients = Duration::MAX;
    let servers = fastest(10, |calls| {
        let (mut client, mut server) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..calls {
            let ends = handshake(secret, version);
            client += ends.0.worked;
            server += ends.1.worked;
        }
        clients = clients.min(client / calls);
        server
    });
    print(&format!("version {version}: handshake, client"), clients, 0);
    print(&format!("version {version}: handshake, server"), servers, 0);
}

/// What a stranger can have for a message and no key.
fn strangers(version: Version, message: &[u8]) {
    for count in [1u32, 16, 100, 1000] {
        let keys: Keyring = (0..count)
            .map(|number| Secret::from_key_file(&number.to_be_bytes()))
            .collect();
        let server = fastest(20, |calls| {
            let mut worked = Duration::ZERO;
            for _ in 0..calls {
                let mut server = End::new(|| Step::server(&keys, config(version), entropy()));
                server.receive(message);
                worked += server.worked;
            }
            worked
        });
        let what = format!("version {version}: a stranger, {count} keys");
        print(&what, server, 0);
    }
}

fn main() {
    let secret = Secret::from_key_file(b"a benchmark has no secrets");
    for version in [Version::V2, Version::V1] {
        handshakes(&secret, version);
        records(&secret, version);
        rested(&secret, version);
    }
    strangers(Version::V2, &[7; 32]);
    strangers(Version::V1, &[7; 32 + 288]);
}
