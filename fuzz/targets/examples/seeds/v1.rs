//! What a peer that holds the key does in version 1.

use crate::both::ends;
use crate::{BYTEWISE, UNEVEN, WHOLE};

/// What a peer that holds the key and the packets' keys does, each with its operands.
pub(crate) const STREAMS: &[&[u8]] = &[
    // A short packet, a full one, and many.
    &[0, b'a', 9, 0, 0, b'b', 0xff, 3, 2, 35, b'c'],
    // A length of 0, of 1025, of 2^31.
    &[0, 1, 0, 0, 3, 2, 9, 0, 0, 0, 0, 0],
    &[3, 2, 9, 0, 1, 4, 0, 0],
    &[3, 2, 9, 0, 0, 0, 0, 0x80],
    // Another number, a changed bit, a repetition, an exchange, a cut, and noise.
    &[0, 1, 0, 0, 4, 2, 9, 0, 5, 0, 0, 0, 0, 0, 0, 0],
    &[2, 20, 1, 5, 0xff, 0x20],
    &[2, 3, 1, 6, 1, 0],
    &[0, 1, 0, 0, 0, 2, 0, 0, 7, 0, 0, 1, 0],
    &[2, 17, 1, 8, 0xf0, 1],
    &[2, 16, 1, 9, 5, 0, 1, 2, 3, 4, 5],
];

pub(crate) fn handshake_values() -> Vec<Vec<u8>> {
    let nonce = [0x5a; 32];
    let mut seeds = Vec::new();
    for (end, cuts) in ends().zip([WHOLE, UNEVEN].into_iter().cycle()) {
        for value in 0..8 {
            let stream = STREAMS[usize::from(value)];
            seeds.push([&end, cuts, &nonce, &[value, 0], stream].concat());
        }
        // Any value, and a power of 2.
        seeds.push([&end, cuts, &nonce, &[8], &[0x77; 256], &[0], STREAMS[0]].concat());
        seeds.push([&end, cuts, &nonce, &[9], &[0x77; 32], &[0], STREAMS[1]].concat());
        for fate in [&[1, 0, 9][..], &[2], &[3, 4, 5], &[4, 0, 1]] {
            seeds.push([&end, cuts, &nonce, &[2], fate].concat());
        }
    }
    // An older peer of an end that allows both versions, and of one that does not.
    for (end, cuts) in ends().zip([WHOLE, UNEVEN].into_iter().cycle()) {
        for versions in [1, 2] {
            let end = [end[0] + 2 * versions, end[1], end[2]];
            seeds.push([&end, cuts, &nonce, &[2, 0], STREAMS[0]].concat());
        }
    }
    seeds
}

pub(crate) fn packets_opened() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (cuts, rooms) in [(WHOLE, WHOLE), (UNEVEN, WHOLE), (BYTEWISE, UNEVEN)] {
        for stream in STREAMS {
            seeds.push([cuts, rooms, &[0], stream].concat());
        }
    }
    seeds.push([WHOLE, WHOLE, &[255], STREAMS[0]].concat());
    seeds
}

pub(crate) fn packets_there_and_back() -> Vec<Vec<u8>> {
    let message: Vec<u8> = (0..3000).map(|n| (n % 251) as u8).collect();
    let cuts = [WHOLE, UNEVEN, BYTEWISE];
    let mut seeds = Vec::new();
    for (writes, pieces) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let start = [cuts[writes], cuts[pieces], cuts[pieces], cuts[writes]].concat();
        seeds.push([&start[..], &[60, 0], &message].concat());
        seeds.push([&start[..], &[0, 0], &message[..1025]].concat());
    }
    seeds.push(
        [
            BYTEWISE,
            BYTEWISE,
            BYTEWISE,
            BYTEWISE,
            &[0, 0],
            &message[..30],
        ]
        .concat(),
    );
    seeds
}
