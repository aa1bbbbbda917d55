//! Both roles of a handshake against a peer that sends anything, in any pieces. The model says what
//! must come of it.

use crypto_bigint::U2048;
use spiped_proto::{BUFFER_LEN, ForwardSecrecy, Session};

use crate::end::{End, FORWARD_SECRECY, KEY_FILE, Reader, fill, place, random};
use crate::input::{Cuts, Input};
use crate::model::{self, Element, Handshake, Keys, NONCE_LEN, Outcome, Role, hmac};
use crate::packets::forged_stream;

struct Case {
    role: Role,
    forward_secrecy: ForwardSecrecy,
    seed: u8,
    cuts: Cuts,
}

impl Case {
    fn take(input: &mut Input) -> Self {
        Self {
            role: input.pick(&[Role::Client, Role::Server]),
            forward_secrecy: input.pick(&FORWARD_SECRECY),
            seed: input.byte(),
            cuts: input.cuts(),
        }
    }

    fn model(&self) -> Handshake {
        let random = random(self.seed);
        Handshake {
            role: self.role,
            key: model::shared_key(KEY_FILE),
            forward_secrecy: self.forward_secrecy,
            nonce: *random.first_chunk().unwrap(),
            exponent: model::exponent(random[NONCE_LEN..].first_chunk().unwrap()),
        }
    }
}

/// A peer that sends these bytes as they are: without the key, it proves nothing.
pub fn handshake_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let case = Case::take(&mut input);
    check(case, input.rest().to_vec(), |_| Vec::new());
}

/// A peer that holds the key and makes what it likes of it: values, MACs and packets.
pub fn handshake_values(data: &[u8]) {
    let mut input = Input::new(data);
    let case = Case::take(&mut input);
    let nonce: [u8; NONCE_LEN] = input.array();
    let [own_key, peers_key] = case.model().hello_keys(&nonce);
    let value = public_value(&mut input);
    let mut hello = [&value[..], &hmac(&peers_key, &[&value])].concat();
    match input.byte() % 8 {
        1 => {
            let bit = input.number() % (hello.len() * 8);
            hello[bit / 8] ^= 1 << (bit % 8);
        }
        2 => hello[256..].copy_from_slice(&hmac(&own_key, &[&value])),
        3 => hello[256..].copy_from_slice(&input.array::<32>()),
        4 => hello.truncate(input.number() % 288),
        _ => {}
    }
    let peer = [&nonce[..], &hello].concat();
    check(case, peer, |peers| forged_stream(&mut input, peers));
}

fn public_value(input: &mut Input) -> Element {
    let p = model::prime();
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
        kind @ 0..8 => model::element(&kinds[usize::from(kind)](&p)),
        kind if kind % 2 == 0 => input.array(),
        _ => model::power(&model::two(), &model::exponent(&input.array())),
    }
}

fn check(mut case: Case, mut peer: Vec<u8>, packets: impl FnOnce(&Keys) -> Vec<u8>) {
    let expected = case.model().expected(&peer);
    let held = match case.role {
        Role::Client => 0,
        Role::Server => place(case.seed).1,
    };
    if let Outcome::Done { peers, .. } = &expected.outcome {
        peer.extend(packets(peers));
    }

    let mut end = End::new(case.role, case.forward_secrecy, case.seed);
    let mut rest = &peer[..];
    while !rest.is_empty() {
        let used = end.receive(&rest[..case.cuts.next(rest.len())]);
        rest = &rest[used..];
        if used == 0 {
            break;
        }
    }
    assert_eq!(end.sent, expected.sent);
    assert_eq!(end.proved, expected.proved.then_some(held));
    match expected.outcome {
        Outcome::Waiting(missing) => {
            assert_eq!(end.missing(), Some(missing));
            assert_eq!(end.failed, None);
        }
        Outcome::Failed(error) => {
            assert_eq!(end.failed, Some(error));
            assert_eq!(end.close(), error);
        }
        Outcome::Done { own, peers } => {
            let session = end.session().expect("the handshake is over");
            check_session(session, &own, &peers, rest, &mut case.cuts);
        }
    }
}

fn check_session(mut session: Session, own: &Keys, peers: &Keys, packets: &[u8], cuts: &mut Cuts) {
    let mut reader = Reader::new(session.opener);
    let mut rest = packets;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(cuts.next(rest.len()));
        reader.receive(piece);
        rest = later;
    }
    assert_eq!((reader.end(), reader.opened), {
        let (opened, end) = peers.open(packets);
        (end, opened)
    });

    let message = b"what this end has to say";
    let mut buffer = vec![0xee; BUFFER_LEN];
    let filled = fill(&session.sealer, &mut buffer, message);
    assert_eq!(filled, message.len());
    let sealed = session.sealer.seal(&mut buffer, filled).unwrap();
    assert_eq!(own.seal(0, message, message.len() as u32), buffer[..sealed]);
}
