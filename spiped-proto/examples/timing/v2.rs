//! Version 2: nonces, hellos, records, and the arithmetic of a handshake.

use std::hint::black_box;

use spiped_proto::{
    BUFFER_LEN, HandshakeConfig, Incoming, Keyring, Opener, Sealer, Secret, Session, Step, Version,
    Versions,
};

use super::{
    BATCH, FEW, FIXED, MANY, Random, advance, computation, entropy, feed, run, secret, time,
    time_of, waiting,
};

/// Where the tag of a nonce begins, in bytes.
const TAG_AT: usize = 24;
const NONCE_LEN: usize = 32;

fn config() -> HandshakeConfig {
    HandshakeConfig::default().with_versions(Versions::Only(Version::V2))
}

fn client(c: &[u8; 32]) -> Step {
    Step::client(&secret(), config(), entropy(1, c))
}

fn server(s: &[u8; 32]) -> Step {
    Step::server(secret(), config(), entropy(2, s))
}

fn start(at_client: bool) -> Step {
    match at_client {
        true => client(&FIXED),
        false => server(&FIXED),
    }
}

/// What two ends say to each other, the same each time.
struct Transcript {
    nonce_c: Vec<u8>,
    nonce_s: Vec<u8>,
    hello_s: Vec<u8>,
    hello_c: Vec<u8>,
}

fn talk(c: &[u8; 32], s: &[u8; 32]) -> (Transcript, Session, Session) {
    let (nonce_c, client) = advance(client(c));
    let (said, server) = advance(feed(advance(server(s)).1, &nonce_c));
    let (nonce_s, hello_s) = said.split_at(NONCE_LEN);
    let (_, client) = advance(feed(client, nonce_s));
    let (hello_c, client) = advance(feed(client, hello_s));
    let (_, server) = advance(feed(server, &hello_c));
    let transcript = Transcript {
        nonce_c,
        nonce_s: nonce_s.to_vec(),
        hello_s: hello_s.to_vec(),
        hello_c,
    };
    match (client, server) {
        (Step::Done(client), Step::Done(server)) => (transcript, *client, *server),
        other => panic!("the handshake is over: {other:?}"),
    }
}

fn spoiled(message: &[u8], place: usize) -> Vec<u8> {
    let mut wrong = message.to_vec();
    if let Some(byte) = wrong.get_mut(place) {
        *byte ^= 1;
    }
    wrong
}

/// Feeds each state a message that it must refuse.
fn refused(states: [Incoming; BATCH], wrong: &[u8]) -> f64 {
    time(|| {
        for state in states {
            let fed = state.feed(black_box(wrong));
            assert!(black_box(fed).is_err());
        }
    })
}

/// A nonce whose tag is wrong in its first byte or its last, at a server or at a client.
pub(super) fn nonces(at_client: bool) -> impl FnMut(bool, &mut Random) -> f64 {
    let (right, ..) = talk(&FIXED, &FIXED);
    move |late, _| {
        let nonce = match at_client {
            true => &right.nonce_s,
            false => &right.nonce_c,
        };
        let place = if late { NONCE_LEN - 1 } else { TAG_AT };
        let states = std::array::from_fn(|_| waiting(advance(start(at_client)).1));
        refused(states, &spoiled(nonce, place))
    }
}

/// A right nonce at a server with so many keys, made with its first key or its last.
pub(super) fn keys(count: usize) -> impl FnMut(bool, &mut Random) -> f64 {
    let key = |number: usize| Secret::from_key_file(&number.to_be_bytes());
    let ring: Keyring = (0..count).map(key).collect();
    let start = move || Step::server(&ring, config(), entropy(2, &FIXED));
    let nonce = |number| advance(Step::client(&key(number), config(), entropy(1, &FIXED))).0;
    let nonces = (nonce(0), nonce(count.saturating_sub(1)));
    move |is_last, _| {
        // Both are there to be read for both classes.
        let nonce = black_box(if is_last { &nonces.1 } else { &nonces.0 }).clone();
        let state = waiting(advance(start()).1);
        let mut next = None;
        let time = time(|| {
            let (_, step) = state.feed(black_box(&nonce)).expect("a key fits");
            next = Some(match step {
                Step::Compute(trial) if trial.is_for_stranger() && count > 100 => run(trial),
                key_pairs => key_pairs,
            });
        });
        assert!(matches!(black_box(next), Some(Step::Compute(_))));
        time
    }
}

/// A hello whose tag is wrong in its first byte or its last, at a server or at a client.
pub(super) fn hellos(at_client: bool) -> impl FnMut(bool, &mut Random) -> f64 {
    let (right, ..) = talk(&FIXED, &FIXED);
    move |late, _| {
        let (nonce, hello) = match at_client {
            true => (&right.nonce_s, &right.hello_s),
            false => (&right.nonce_c, &right.hello_c),
        };
        let states =
            std::array::from_fn(|_| waiting(advance(feed(advance(start(at_client)).1, nonce)).1));
        let place = hello.len().saturating_sub(if late { 1 } else { 16 });
        refused(states, &spoiled(hello, place))
    }
}

/// A record of one byte that is wrong at either of two places.
pub(super) fn records(early: usize, late: usize) -> impl FnMut(bool, &mut Random) -> f64 {
    let session = || -> (Sealer, Opener) {
        let (_, client, server) = talk(&FIXED, &FIXED);
        (client.sealer, server.opener)
    };
    let mut right = vec![7; BUFFER_LEN];
    let sealed = session().0.seal(&mut right, 1).expect("it is the first");
    right.truncate(sealed);
    move |is_late, _| {
        let place = if is_late { late } else { early };
        let mut openers: [Opener; BATCH] = std::array::from_fn(|_| session().1);
        let mut wrong: [Vec<u8>; BATCH] = std::array::from_fn(|_| spoiled(&right, place));
        time(|| {
            for (opener, record) in openers.iter_mut().zip(&mut wrong) {
                let opened = opener.open(black_box(record));
                assert!(black_box(opened).is_err());
            }
        })
    }
}

/// The key pairs of a server, whose s has few bits or many.
pub(super) fn key_pairs() -> impl FnMut(bool, &mut Random) -> f64 {
    let (right, ..) = talk(&FIXED, &FIXED);
    move |has_many, _| {
        let s = if has_many { &MANY } else { &FEW };
        let pairs = computation(feed(advance(server(s)).1, &right.nonce_c));
        time_of(pairs)
    }
}

/// The key exchange of an end whose c or s has few bits or many.
pub(super) fn exchanges(at_client: bool) -> impl FnMut(bool, &mut Random) -> f64 {
    let talks = [FEW, MANY].map(|private| match at_client {
        true => talk(&private, &FIXED).0,
        false => talk(&FIXED, &private).0,
    });
    move |has_many, _| {
        let [few, many] = &talks;
        let (right, private) = match has_many {
            true => (many, &MANY),
            false => (few, &FEW),
        };
        let authenticated = match at_client {
            true => {
                let waiting = advance(feed(advance(client(private)).1, &right.nonce_s)).1;
                feed(waiting, &right.hello_s)
            }
            false => {
                let waiting = advance(feed(advance(server(private)).1, &right.nonce_c)).1;
                feed(waiting, &right.hello_c)
            }
        };
        let exchange = match authenticated {
            Step::Authenticated(peer) => computation(peer.proceed()),
            other => panic!("the peer has proved itself: {other:?}"),
        };
        time_of(exchange)
    }
}
