//! Whatever has a version.

use crate::{BYTEWISE, UNEVEN, WHOLE};

/// Role, forward secrecy and seed of the own random numbers.
pub(crate) fn ends() -> impl Iterator<Item = [u8; 3]> {
    (0..6).map(|n| [n % 2, n / 2, 7 * n])
}

pub(crate) fn handshake_bytes() -> Vec<Vec<u8>> {
    let peer: Vec<u8> = (0..400).map(|n| (n * 31) as u8).collect();
    let cuts = [WHOLE, BYTEWISE, UNEVEN].into_iter().cycle();
    // The second six allow both versions, the third six version 2 only.
    let ends = (0..3)
        .flat_map(|versions| ends().map(move |[role, f, seed]| [role + 2 * versions, f, seed]));
    ends.zip(cuts)
        .map(|(end, cuts)| [&end, cuts, &peer].concat())
        .collect()
}

/// A wire that is left alone, one with a byte changed at a place, and one that is cut there.
pub(crate) fn wires(at: u16) -> [Vec<u8>; 3] {
    let [low, high] = at.to_le_bytes();
    [
        [UNEVEN, &[0, 0]].concat(),
        [WHOLE, &[1, low, high, 1, 0]].concat(),
        [UNEVEN, &[0, 1, low, high]].concat(),
    ]
}

pub(crate) fn tunnels() -> Vec<Vec<u8>> {
    let message = [0x42; 6000];
    let mut seeds = Vec::new();
    for at in [0, 31, 32, 287, 319, 320, 1379, 1380, 2000] {
        let [fine, changed, cut] = wires(at);
        for (up, down) in [
            (&fine, &changed),
            (&changed, &fine),
            (&cut, &fine),
            (&fine, &cut),
        ] {
            seeds.push([&[0, 0], &up[..], down, UNEVEN, WHOLE, &message].concat());
        }
    }
    let [fine, ..] = wires(0);
    for (client, server) in [(0, 1), (1, 1), (2, 2), (2, 0), (0, 2)] {
        seeds.push([&[client, server], &fine[..], &fine, WHOLE, UNEVEN, &message].concat());
    }
    // Version 2 where both allow it, and every other mixture of versions.
    let newest = 3;
    for at in [
        0, 24, 31, 32, 1167, 1168, 1188, 1263, 1264, 1284, 5000, 5400,
    ] {
        let [_, changed, cut] = wires(at);
        for (up, down) in [
            (&fine, &changed),
            (&changed, &fine),
            (&cut, &fine),
            (&fine, &cut),
        ] {
            seeds.push([&[newest; 2], &up[..], down, UNEVEN, WHOLE, &message].concat());
        }
    }
    for client in [0, 3, 6] {
        for server in [0, 3, 6] {
            seeds.push([&[client, server], &fine[..], &fine, WHOLE, UNEVEN, &message].concat());
        }
    }
    seeds
}

pub(crate) fn streams() -> Vec<Vec<u8>> {
    let message = [0x42; 12_000];
    let never = [0; 8];
    let often = [0b0101_0011; 8];
    let mut seeds = Vec::new();
    for (up, down) in [
        (&[0][..], &[0][..]),
        (&[1, 0, 8, 1], &[0]),
        (&[0], &[1, 40, 0, 128]),
        (&[3, 64, 1], &[0]),
        (&[0], &[3, 0, 9]),
    ] {
        for (cuts, stalls) in [(WHOLE, never), (UNEVEN, often)] {
            let socket = [cuts, cuts, &stalls, &stalls].concat();
            let rest = [cuts, cuts, cuts, cuts, &message].concat();
            seeds.push([up, down, &socket, &socket, &rest].concat());
            // The same in version 2.
            let newest = |wire: &[u8]| [&[wire[0] + 8], &wire[1..]].concat();
            let (up, down) = (newest(up), newest(down));
            seeds.push([&up[..], &down, &socket, &socket, &rest].concat());
        }
    }
    seeds
}
