//! Both roles of a handshake against a peer that sends anything, in any pieces. The model says what
//! must come of it.

use crypto_bigint::U2048;
use spiped_proto::{BUFFER_LEN, Session};

use crate::end::{End, Setup, compare};
use crate::forge::flip;
use crate::input::{Cuts, Input};
use crate::model::{Direction, Key, NONCE_LEN, Outcome, Role, hmac, v1, v2};
use crate::packets::forged_packets;
use crate::records::forged_records;
use crate::session::{Reader, fill, finish};

pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) cuts: Cuts,
}

impl Case {
    pub(crate) fn take(input: &mut Input) -> Self {
        Self {
            setup: Setup::take(input),
            cuts: input.cuts(),
        }
    }
}

/// A peer that sends these bytes as they are: without the key, it proves nothing.
pub fn handshake_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let case = Case::take(&mut input);
    check(case, input.rest().to_vec(), |_| Vec::new());
}

/// A peer of version 1 that holds the key and makes what it likes of it: values, MACs and packets.
pub fn handshake_values(data: &[u8]) {
    let mut input = Input::new(data);
    let case = Case::take(&mut input);
    let nonce: Key = input.array();
    let [own_key, peers_key] = hello_keys(case.setup, &nonce);
    let value = public_value(&mut input);
    let mut hello = [&value[..], &hmac(&peers_key, &[&value])].concat();
    match input.byte() % 8 {
        1 => flip(&mut hello, input.number()),
        2 => hello[256..].copy_from_slice(&hmac(&own_key, &[&value])),
        3 => hello[256..].copy_from_slice(&input.array::<32>()),
        4 => hello.truncate(input.number() % 288),
        _ => {}
    }
    let peer = [&nonce[..], &hello].concat();
    check(case, peer, |peers| forged(&mut input, peers));
}

/// The keys of the end's hello and of its peer's, in version 1.
fn hello_keys(setup: Setup, nonce: &Key) -> [Key; 2] {
    let party = setup.party();
    let (_, place) = setup.place();
    // A client sends its nonce at once; a server that allows version 2 sends one of version 1 once it
    // has seen that the peer's has no tag.
    let sent = match setup.role {
        Role::Client => party.expected(&[]).sent,
        Role::Server => party.random.to_vec(),
    };
    let own_nonce = *sent.first_chunk::<NONCE_LEN>().unwrap();
    party.v1(party.keys[place], own_nonce).hello_keys(nonce)
}

fn public_value(input: &mut Input) -> v1::Element {
    let p = v1::prime();
    let kinds: [fn(&U2048) -> U2048; 8] = [
        |_| U2048::ZERO,
        |_| U2048::ONE,
        |_| U2048::from_u8(2),
        |p| p.wrapping_sub(&U2048::ONE),
        |p| *p,
        |p| p.wrapping_add(&U2048::ONE),
        |_| U2048::MAX,
        |p| p.wrapping_shr_vartime(1),
    ];
    match input.byte() {
        kind @ 0..8 => v1::element(&kinds[usize::from(kind)](&p)),
        kind if kind % 2 == 0 => input.array(),
        _ => v1::power(&v1::two(), &v1::exponent(&input.array())),
    }
}

/// What a peer sends that holds the secrets of a session.
pub(crate) fn forged(input: &mut Input, direction: &Direction) -> Vec<u8> {
    match direction {
        Direction::V1(keys) => forged_packets(input, keys),
        Direction::V2(secret) => forged_records(input, secret),
    }
}

/// An end that gets these bytes, and what is made with the secrets of the session if it comes to one,
/// does what the model does.
pub(crate) fn check(mut case: Case, mut peer: Vec<u8>, then: impl FnOnce(&Direction) -> Vec<u8>) {
    let expected = case.setup.party().expected(&peer);
    if let Outcome::Done { peers, .. } = &expected.outcome {
        peer.extend(then(peers));
    }
    let mut end = End::new(case.setup);
    let rest = end.receive_all(&peer, &mut case.cuts);
    if let Some((session, own, peers)) = compare(end, expected) {
        check_session(session, &own, &peers, rest, &mut case.cuts);
    }
}

fn check_session(
    mut session: Session,
    own: &Direction,
    peers: &Direction,
    stream: &[u8],
    cuts: &mut Cuts,
) {
    let read = Reader::new(session.opener).read(stream, cuts);
    assert_eq!(read, peers.open(stream));

    let message = b"what this end has to say";
    let mut buffer = vec![0xee; BUFFER_LEN];
    let filled = fill(&session.sealer, &mut buffer, message);
    assert_eq!(filled, message.len());
    let sealed = session.sealer.seal(&mut buffer, filled).unwrap();
    let end = finish(&mut session.sealer);
    let (expected, expected_end) = match own {
        Direction::V1(keys) => (keys.seal(0, message, message.len() as u32), Vec::new()),
        Direction::V2(secret) => (secret.seal_all(0, message), secret.seal(1, v2::END, b"", 0)),
    };
    assert_eq!(buffer[..sealed], expected);
    assert_eq!(end, expected_end);
}
