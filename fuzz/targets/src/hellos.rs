//! Version 2: a peer that holds the key and makes of its hello what it likes.

use spiped_proto::{Version, Versions};

use crate::end::Setup;
use crate::forge::flip;
use crate::handshake::{Case, check, forged};
use crate::input::Input;
use crate::model::{Key, NONCE_LEN, Role, v2};

/// Points whose product with any private key is zero (RFC 7748, section 6.1), and with the top bit set
/// as many again.
pub const SMALL_ORDER: [Key; 7] = [
    ends(0, 0, 0),
    ends(1, 0, 0),
    // p - 1, p and p + 1
    ends(0xec, 0xff, 0x7f),
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
    // Order 8
    *b"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\
       \xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00",
    *b"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\
       \x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57",
];

/// p + 9: not canonical, and the base point.
pub const NOT_CANONICAL: Key = ends(0xf6, 0xff, 0x7f);

const fn ends(first: u8, middle: u8, last: u8) -> Key {
    let mut point = [middle; 32];
    point[0] = first;
    point[31] = last;
    point
}

/// Both nonces, what the end under test has sent, and what the peer did to get there.
struct Meeting {
    nonces: v2::Nonces,
    /// nonce_S of a server, nonce_C of a client.
    peer_nonce: Key,
    own_hello: Vec<u8>,
}

fn meet(setup: Setup, r: &[u8; 24]) -> Meeting {
    let party = setup.party();
    let (_, place) = setup.place();
    let keys = v2::Keys::new(&party.keys[place]);
    let split = |sent: &[u8]| {
        let (nonce, hello) = sent.split_first_chunk::<NONCE_LEN>().unwrap();
        (*nonce, hello.to_vec())
    };
    let (nonce_c, nonce_s, peer_nonce, own_hello) = match setup.role {
        Role::Client => {
            let (nonce_c, _) = split(&party.expected(&[]).sent);
            let nonce_s = v2::server_nonce(&keys, &nonce_c, r);
            (nonce_c, nonce_s, nonce_s, Vec::new())
        }
        Role::Server => {
            let nonce_c = v2::client_nonce(&keys, r);
            let (nonce_s, h_s) = split(&party.expected(&nonce_c).sent);
            (nonce_c, nonce_s, nonce_c, h_s)
        }
    };
    let nonces = v2::Nonces {
        keys,
        nonce_c,
        nonce_s,
    };
    Meeting {
        nonces,
        peer_nonce,
        own_hello,
    }
}

/// X of the peer.
fn public_x(input: &mut Input) -> Key {
    let (kind, top) = (input.byte(), input.byte() & 0x80);
    let mut x = match kind % 16 {
        point @ 0..7 => SMALL_ORDER[usize::from(point)],
        7 => NOT_CANONICAL,
        8 => input.array(),
        _ => v2::x25519_public(&[input.byte(); 32]),
    };
    x[31] ^= top;
    x
}

/// ek of a server that is the peer.
fn hostile_ek(input: &mut Input) -> Vec<u8> {
    let seed = input.byte();
    let mut ek = v2::encapsulation_key(&[[seed; 32], [seed ^ 1; 32]]);
    match input.byte() % 4 {
        // A coefficient of its own choice.
        1 => {
            let place = input.number() % 768;
            let value = input.number() % 4096;
            let first = place / 2 * 3;
            let (a, b, c) = (ek[first], ek[first + 1], ek[first + 2]);
            let both = u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16;
            let both = match place % 2 {
                0 => both & 0xff_f000 | value as u32,
                _ => both & 0xfff | (value as u32) << 12,
            };
            ek[first..first + 3].copy_from_slice(&both.to_le_bytes()[..3]);
        }
        2 => flip(&mut ek, input.number()),
        3 => ek = vec![input.byte(); v2::EK_LEN],
        _ => {}
    }
    ek
}

/// ct of a client that is the peer, for the ek of the end under test.
fn hostile_ct(input: &mut Input, ek: &[u8]) -> Vec<u8> {
    let (mut ct, _) = v2::encapsulate(ek, &[input.byte(); 32]).unwrap();
    match input.byte() % 4 {
        1 | 2 => flip(&mut ct, input.number()),
        3 => ct = vec![input.byte(); v2::CT_LEN],
        _ => {}
    }
    ct
}

/// A peer of version 2 that holds the key: odd values, hellos of another key, transcript or size,
/// changed, cut and reflected ones, and forged records behind them.
pub fn hellos(data: &[u8]) {
    let mut input = Input::new(data);
    let mut case = Case::take(&mut input);
    if !case.setup.versions.allow(Version::V2) {
        case.setup.versions = Versions::Newest;
    }
    let meeting = meet(case.setup, &[input.byte(); 24]);
    let nonces = &meeting.nonces;
    let (t0, k_s, k_c) = (nonces.t0(), nonces.k_s(), nonces.k_c());
    let t1 = v2::transcript(&t0, &meeting.own_hello);
    let x = public_x(&mut input);
    let (key, aad, other_key, kem) = match case.setup.role {
        Role::Client => (k_s, t0, k_c, hostile_ek(&mut input)),
        Role::Server => {
            let own = v2::open_hello(&k_s, &t0, &meeting.own_hello).unwrap();
            (k_c, t1, k_s, hostile_ct(&mut input, &own[32..]))
        }
    };
    let mut public = [&x[..], &kem].concat();
    let mut hello = match input.byte() % 12 {
        0 => v2::seal_hello(&other_key, &aad, &public),
        1 => v2::seal_hello(&key, &[input.byte(); 32], &public),
        2 => v2::seal_hello(&key, &v2::transcript(&aad, b""), &public),
        3 => v2::seal_hello(&key, b"", &public),
        // A wrong size.
        4 => {
            public.resize(input.number() % 2500, input.byte());
            v2::seal_hello(&key, &aad, &public)
        }
        // What the end has sent itself, or nothing that was ever sealed.
        5 => [&meeting.own_hello[..], &[input.byte(); 1232]].concat(),
        _ => v2::seal_hello(&key, &aad, &public),
    };
    match input.byte() % 8 {
        1 => flip(&mut hello, input.number()),
        2 => hello.truncate(input.number() % hello.len()),
        _ => {}
    }
    let peer = [&meeting.peer_nonce[..], &hello].concat();
    check(case, peer, |peers| forged(&mut input, peers));
}
