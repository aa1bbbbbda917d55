//! What a peer that holds the key does in version 2, and what others do to its nonces.

use crate::{BYTEWISE, UNEVEN, WHOLE};

/// What a peer that holds the secret of version 2 does, each with its operands.
pub(crate) const RECORDS: &[&[u8]] = &[
    // A short one, a full one, one with more padding than ours, an end.
    &[
        0, b'a', 9, 0, 1, b'b', 0xff, 0x3f, 2, b'c', 0, 2, 40, 1, 4, 0, 0,
    ],
    // Many, over two steps, and an end with padding.
    &[3, 150, b'x', 3, 150, b'y', 5, 200, 0],
    // An end with a byte behind it, with a record behind it, and none.
    &[4, 0, 0, 14, 1, 0, 9],
    &[4, 0, 0, 0, b'a', 9, 0],
    &[0, b'a', 9, 0],
    // Kinds 2 and 255; data of length 0, longer than its padding, of more than 16384.
    &[6, 2, 0, 1, 1, 0, 0, 0, 1],
    &[6, 255, 0, 0, 0, 0, 0, 0, 0],
    &[6, 0, 0, 1, 0, 0, 0, 0, 1],
    &[6, 0, 1, 0, 2, 0, 0, 1, 0],
    &[6, 0, 1, 0x40, 1, 0, 0, 1, 0x40],
    // An end with a length, one that is too long, one whose body is shorter than it says.
    &[6, 1, 1, 0, 1, 0, 0, 1, 0],
    &[6, 1, 1, 0x40, 0, 0, 0, 1, 0x40],
    &[6, 1, 9, 0, 0, 0, 0, 8, 0],
    // Padding of data and of an end.
    &[7, 0, 3, 0, 255, 0, 1, 7, 0, 3, 0, 2, 0, 0],
    &[7, 0, 3, 0, 3, 0, 1],
    &[7, 1, 0, 0, 7, 0, 1],
    // Another number, another epoch, another body.
    &[8, 1, 9, 0, 1, 0, 0, 0],
    &[3, 128, b'x', 8, 1, 9, 0, 0, 1, 0, 0],
    &[9, 1, 9, 0, 2, 9, 0],
    // A changed bit of a header and of a body, a repetition, an exchange, a cut, and noise.
    &[0, 1, 9, 0, 10, 5, 0],
    &[0, 1, 9, 0, 10, 0xff, 3],
    &[0, 1, 9, 0, 11, 0, 0],
    &[0, 1, 9, 0, 0, 2, 9, 0, 12, 0, 0, 1, 0],
    &[0, 1, 9, 0, 4, 0, 0, 13, 20, 0],
];

pub(crate) fn records_opened() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for cuts in [WHOLE, UNEVEN] {
        seeds.extend(RECORDS.iter().map(|stream| [cuts, &[0], stream].concat()));
    }
    let short = [0, b'a', 9, 0, 4, 0, 0];
    seeds.push([BYTEWISE, &[0], &short].concat());
    // Those of the other direction.
    seeds.push([WHOLE, &[255], &short].concat());
    seeds
}

pub(crate) fn records_there_and_back() -> Vec<Vec<u8>> {
    let message: Vec<u8> = (0..1100).map(|n| (n % 251) as u8).collect();
    let mut seeds = Vec::new();
    for (rests, writes) in [(0, WHOLE), (1, UNEVEN), (2, WHOLE), (3, UNEVEN)] {
        seeds.push([writes, UNEVEN, WHOLE, &[rests, 63, 0], &message].concat());
        seeds.push([writes, WHOLE, UNEVEN, &[rests, 0, 0], &message[..1025]].concat());
    }
    // Over two steps to the next secret.
    seeds.push([BYTEWISE, WHOLE, UNEVEN, &[1, 0, 0], &message[..520]].concat());
    seeds.push([WHOLE, WHOLE, BYTEWISE, &[0, 0, 0], &message[..30]].concat());
    // Padded to a multiple of 256, not of 1024.
    seeds.push([WHOLE, WHOLE, WHOLE, &[0, 0, 0], &message[..513]].concat());
    seeds.push([WHOLE, WHOLE, WHOLE, &[2, 0, 0]].concat());
    seeds
}

/// Both roles, with both versions allowed and with version 2 only.
pub(crate) fn hellos() -> Vec<Vec<u8>> {
    // Role and versions, forward secrecy, seed.
    let ends = [[2, 1, 0], [3, 2, 9], [4, 0, 7], [5, 1, 30]];
    let right = 9;
    let mut seeds = Vec::new();
    for (end, cuts) in ends.iter().zip([WHOLE, UNEVEN].into_iter().cycle()) {
        let mut push = |x: &[u8], kem: &[u8], hello: &[u8], change: &[u8], stream: &[u8]| {
            seeds.push([end, cuts, &[77], x, kem, hello, change, stream].concat());
        };
        let is_client = end[0] % 2 == 0;
        let x = [right, 0, 4];
        // A seed, and nothing changed.
        let kem = [3, 0];
        for point in 0..8 {
            push(&[point, 0], &kem, &[right], &[0], RECORDS[0]);
            push(&[point, 0x80], &kem, &[right], &[0], RECORDS[4]);
        }
        push(&x, &kem, &[right], &[0], RECORDS[1]);
        push(&[right, 0x80, 4], &kem, &[right], &[0], RECORDS[2]);
        for hello in [&[0][..], &[1, 0], &[2], &[3], &[4, 0xcf, 4, 0], &[5, 9]] {
            push(&x, &kem, hello, &[0], &[]);
        }
        for change in [&[1, 0, 1][..], &[1, 0xff, 0x23], &[2, 100, 0]] {
            push(&x, &kem, &[right], change, &[]);
        }
        // Of ek the first and the last coefficient: q - 1, q and 4095; or bytes of any value.
        let kems: &[&[u8]] = match is_client {
            true => &[
                &[3, 1, 0, 0, 0x00, 0x0d],
                &[3, 1, 0, 0, 0x01, 0x0d],
                &[3, 1, 0xff, 2, 0x00, 0x0d],
                &[3, 1, 0xff, 2, 0xff, 0x0f],
                &[3, 2, 0, 1],
                &[3, 3, 0xff],
                &[3, 3, 0],
            ],
            false => &[&[3, 1, 0, 0], &[3, 3, 0], &[3, 3, 0xff]],
        };
        for kem in kems {
            push(&x, kem, &[right], &[0], RECORDS[0]);
        }
    }
    seeds
}

pub(crate) fn negotiations() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let alone: &[u8] = &[0, 0];
    // Versions, forward secrecy, seed, of either end.
    for client in 0..3 {
        for server in 0..3 {
            let ends = [client, 1, 3, server, 0, 5];
            seeds.push([&ends, &[0][..], alone, alone].concat());
        }
    }
    // Forward secrecy that one end refuses and the other one wants, many keys, a stranger.
    seeds.push([&[0, 0, 3, 1, 2, 5, 0], alone, alone].concat());
    for place in [4, 13, 86, 255] {
        seeds.push([&[1, 1, 3, 1, 0, place, 0], alone, alone].concat());
        seeds.push([&[1, 1, 3, 1, 0, place, 7], alone, alone].concat());
    }
    seeds.push([&[2, 1, 3, 2, 0, 4, 7], alone, alone].concat());
    let attacks: &[&[u8]] = &[
        // A bit of r, of the tag, of the hello.
        &[0, 1, 0, 0, 0, 1],
        &[0, 1, 0, 31, 0, 0x80],
        &[0, 1, 2, 100, 0, 1],
        &[0, 1, 2, 0xff, 4, 1],
        // A tag and a nonce made up, a nonce and a hello replayed, what the other end says, a cut.
        &[0, 1, 3, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 1, 4, 9, 9, 9],
        &[0, 1, 5, 200, 0],
        &[0, 1, 5, 200, 1],
        &[0, 1, 6],
        &[0, 1, 7, 31, 0],
        &[0, 1, 7, 100, 0],
        // The same bytes again are no attack.
        &[0, 1, 5, 3, 0],
    ];
    // All that an attack reads is there, whatever comes behind it.
    let padded = |attack: &[u8]| {
        let mut attack = attack.to_vec();
        if attack[2..].first() == Some(&4) {
            attack.resize(35, 0x5a);
        }
        attack
    };
    for attack in attacks {
        let attack = padded(attack);
        for versions in [[1, 1], [2, 1], [1, 2], [0, 1]] {
            let ends = [versions[0], 0, 3, versions[1], 0, 5, 0];
            seeds.push([&ends, &attack[..], alone].concat());
            seeds.push([&ends, alone, &attack[..]].concat());
        }
        seeds.push([&[1, 0, 3, 1, 0, 5, 0], &attack[..], &attack[..]].concat());
    }
    seeds
}
