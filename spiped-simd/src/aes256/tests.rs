//! The key for this CPU compared with the portable one, and with known answers.

use super::*;

const KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut i = 0;
    while i < key.len() {
        key[i] = (i * i + 7) as u8;
        i += 1;
    }
    key
};

fn check(key: &[u8; 32], number: u64, first: u64, from_len: usize, to_len: usize) {
    let from: Vec<u8> = (0..from_len).map(|i| (i * 31) as u8).collect();
    let mut expected = vec![0xcc; to_len];
    Key::portable(key).xor(number, first, &from, &mut expected);
    let mut got = vec![0xcc; to_len];
    Key::new(key).xor(number, first, &from, &mut got);
    assert!(
        got == expected,
        "number {number}, block {first}, {from_len} to {to_len} bytes"
    );
}

#[test]
fn all_lengths_agree() {
    for len in 0..=if cfg!(miri) { 40 } else { 1100 } {
        check(&KEY, 0x0102_0304_0506_0708, 0, len, len);
    }
}

#[test]
fn the_shorter_length_counts() {
    for (from_len, to_len) in [(0, 5), (5, 0), (3, 4), (300, 299), (31, 600), (1000, 40)] {
        check(&KEY, 1, 0, from_len, to_len);
    }
}

#[test]
fn numbers_and_blocks_agree_up_to_their_wrap() {
    for number in [0, 1, 255, 1 << 32, u64::MAX - 1, u64::MAX] {
        for first in [0, 1, 63, 255, 0xffff_ffff, u64::MAX - 20, u64::MAX] {
            check(&KEY, number, first, 700, 700);
        }
    }
}

#[test]
fn keys_agree() {
    for byte in 0..32 {
        for bit in 0..8 {
            let mut key = [0; 32];
            key[byte] = 1 << bit;
            check(&key, 0, 0, 32, 32);
        }
    }
}

/// FIPS 197 appendix C.3: the one block of it is a counter block here.
#[test]
fn known_answer() {
    let key = std::array::from_fn(|i| i as u8);
    for key in [Key::new(&key), Key::portable(&key)] {
        let mut block = [0; BLOCK_LEN];
        let (number, first) = (0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff);
        key.xor(number, first, &[0; BLOCK_LEN], &mut block);
        assert_eq!(
            u128::from_be_bytes(block),
            0x8ea2_b7ca_5167_45bf_eafc_4990_4b49_6089
        );
    }
}

#[test]
fn a_key_that_moves_leaves_its_bytes_where_they_are() {
    assert!(size_of::<Key>() <= 2 * size_of::<usize>());
}
