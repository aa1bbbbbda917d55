//! Every implementation that the CPU has, compared with the portable one and with known answers.

use super::*;

/// Bytes that differ from place to place.
fn blocks(count: usize) -> Vec<Block> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[3]
    };
    (0..count)
        .map(|_| std::array::from_fn(|_| next()))
        .collect()
}

/// States that differ from lane to lane.
fn states(count: usize) -> Vec<State> {
    let words = blocks(count);
    let word = |block: &Block, i: usize| u32::from_le_bytes(block.as_chunks().0[i]);
    words
        .iter()
        .map(|block| std::array::from_fn(|i| word(block, i)))
        .collect()
}

/// Compresses with every implementation and with the public function, and compares.
fn check(states: &[State], messages: &[&[Block]]) {
    let mut expected = states.to_vec();
    for (state, message) in expected.iter_mut().zip(messages) {
        sha2::block_api::compress256(state, message);
    }
    let mut got = states.to_vec();
    compress_many(&mut got, messages);
    assert!(got == expected, "chosen: {} messages", messages.len());
    for implementation in Implementation::available() {
        let mut got = states.to_vec();
        implementation.compress_many(&mut got, messages);
        assert!(
            got == expected,
            "{}: {} states, {} messages",
            implementation.name(),
            states.len(),
            messages.len()
        );
    }
}

#[test]
fn all_counts_of_messages_and_blocks_agree() {
    let (lanes, lengths) = if cfg!(miri) { (18, 2) } else { (40, 20) };
    let blocks = blocks(lanes + lengths);
    for lane_count in 0..=lanes {
        for block_count in 0..=lengths {
            let messages: Vec<&[Block]> = (0..lane_count)
                .map(|lane| &blocks[lane..lane + block_count])
                .collect();
            check(&states(lane_count), &messages);
        }
    }
}

#[test]
fn messages_of_unequal_lengths_are_absorbed_whole() {
    let blocks = blocks(64);
    for lane_count in [2, 3, 8, 16, 33] {
        for seed in 0..8 {
            let messages: Vec<&[Block]> = (0..lane_count)
                .map(|lane| &blocks[lane..lane + (lane * 7 + seed) % 11])
                .collect();
            check(&states(lane_count), &messages);
        }
    }
}

#[test]
fn states_and_messages_without_partner_are_left_alone() {
    let blocks = blocks(3);
    for state_count in [0, 1, 2, 15, 16, 17, 33] {
        for message_count in [0, 1, 2, 15, 16, 17, 33] {
            check(&states(state_count), &vec![&blocks[..]; message_count]);
        }
    }
}

#[test]
fn messages_at_any_alignment_agree() {
    let bytes = blocks(8);
    let bytes = bytes.as_flattened();
    for offset in 0..64 {
        let (message, _) = bytes[offset..].as_chunks();
        check(&states(17), &[message; 17]);
    }
}

/// Pads as FIPS 180-4 section 5.1.1 says.
fn padded(message: &[u8]) -> Vec<Block> {
    let mut bytes = message.to_vec();
    bytes.push(0x80);
    while bytes.len() % BLOCK_LEN != BLOCK_LEN - 8 {
        bytes.push(0);
    }
    bytes.extend((8 * message.len() as u64).to_be_bytes());
    bytes.as_chunks().0.to_vec()
}

/// The examples that NIST publishes for FIPS 180-4.
#[test]
fn known_answers() {
    let million = vec![b'a'; 1_000_000];
    let answers: [(&[u8], State); 4] = [
        (
            b"",
            [
                0xe3b0c442, 0x98fc1c14, 0x9afbf4c8, 0x996fb924, 0x27ae41e4, 0x649b934c, 0xa495991b,
                0x7852b855,
            ],
        ),
        (
            b"abc",
            [
                0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61,
                0xf20015ad,
            ],
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            [
                0x248d6a61, 0xd20638b8, 0xe5c02693, 0x0c3e6039, 0xa33ce459, 0x64ff2167, 0xf6ecedd4,
                0x19db06c1,
            ],
        ),
        (
            &million,
            [
                0xcdc76e5c, 0x9914fb92, 0x81a1c7e2, 0x84d73e67, 0xf1809a48, 0xa497200e, 0x046d39cc,
                0xc7112cd0,
            ],
        ),
    ];
    let count = if cfg!(miri) { 3 } else { 4 };
    for (message, digest) in answers.into_iter().take(count) {
        let message = padded(message);
        let mut state = INITIAL;
        compress(&mut state, &message);
        assert_eq!(state, digest);
        for implementation in Implementation::available() {
            let mut states = [INITIAL; 17];
            implementation.compress_many(&mut states, &[&message[..]; 17]);
            assert_eq!(states, [digest; 17], "{}", implementation.name());
        }
    }
}
