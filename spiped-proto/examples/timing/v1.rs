//! Version 1: packets, hellos and powers.

use std::hint::black_box;

use spiped_proto::{
    BUFFER_LEN, ForwardSecrecy, HandshakeConfig, Incoming, Keyring, Opener, Sealer, Secret, Step,
    Version, Versions,
};

use super::{
    BATCH, Random, advance, computation, entropy, feed, run, secret, time, time_of, waiting,
};

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

pub(super) fn packets() -> impl FnMut(bool, &mut Random) -> f64 {
    let right = packet();
    move |late, _| {
        let mut wrong = right.clone();
        spoil(&mut wrong, late);
        let mut openers = std::array::from_fn(|_| session().1);
        time(|| open(&mut openers, &mut wrong))
    }
}

/// The same, and then the comparison once more as it must not be.
pub(super) fn leaky() -> impl FnMut(bool, &mut Random) -> f64 {
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
pub(super) fn hellos(at_client: bool) -> impl FnMut(bool, &mut Random) -> f64 {
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
pub(super) fn keys(count: usize) -> impl FnMut(bool, &mut Random) -> f64 {
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

/// A client's 2^x, or y^x of a server's y; x is `first`, or `second`, or any.
pub(super) fn powers(
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
        time_of(power)
    }
}
