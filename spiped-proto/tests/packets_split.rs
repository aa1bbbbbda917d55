//! Plaintext comes back byte by byte, however it is cut before it is sealed, however the packets are
//! cut on their way, and however much room there is.

mod common;

use common::{PACKET_LEN, PAYLOAD_LEN, open, pieces, seal, sessions};
use proptest::prelude::*;
use spiped_proto::{Opener, Progress, Sealer};

/// Long enough for batches of packets and what is left of them.
fn any_plaintext() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3 * PAYLOAD_LEN),
        prop::collection::vec(any::<u8>(), 30 * PAYLOAD_LEN..40 * PAYLOAD_LEN),
    ]
}

/// Lengths around the borders of packets, and others.
fn any_lengths() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![
        1..10usize,
        1..5 * PAYLOAD_LEN,
        1..50 * PACKET_LEN,
        PAYLOAD_LEN - 1..=PAYLOAD_LEN + 1,
        PACKET_LEN - 1..=PACKET_LEN + 1,
        16 * PACKET_LEN - 1..=16 * PACKET_LEN + 1,
    ];
    prop::collection::vec(len, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_of_plaintext_and_packets_gives_the_same_bytes_back(
        plaintext in any_plaintext(),
        sealed_at in any_lengths(),
        rooms in any_lengths(),
        arriving in any_lengths(),
        opened_at in any_lengths(),
    ) {
        let (mut client, mut server) = sessions();
        let mut stream = Vec::new();
        let mut rooms = rooms.iter().cycle().map(|room| room.max(&PACKET_LEN));
        for mut piece in pieces(&plaintext, &sealed_at) {
            while !piece.is_empty() {
                let mut packets = vec![0; *rooms.next().unwrap()];
                let sealed = client.sealer.seal(piece, &mut packets).unwrap();
                // It stops early only when there is no room for another packet.
                let fitting = (packets.len() / PACKET_LEN * PAYLOAD_LEN).min(piece.len());
                prop_assert_eq!(sealed.consumed, fitting);
                prop_assert_eq!(sealed.produced, Sealer::sealed_len(fitting));
                stream.extend_from_slice(&packets[..sealed.produced]);
                piece = &piece[sealed.consumed..];
            }
        }

        let mut received = Vec::new();
        let mut opened = Vec::new();
        let mut rooms = opened_at.iter().cycle().map(|room| room.max(&Opener::MIN_OUTPUT));
        for piece in pieces(&stream, &arriving) {
            received.extend_from_slice(piece);
            while received.len() >= PACKET_LEN {
                let mut buffer = vec![0; *rooms.next().unwrap()];
                let progress = server.opener.open(&received, &mut buffer).unwrap();
                prop_assert!(progress.consumed >= PACKET_LEN);
                prop_assert_eq!(progress.consumed % PACKET_LEN, 0);
                opened.extend_from_slice(&buffer[..progress.produced]);
                received.drain(..progress.consumed);
            }
        }
        prop_assert_eq!(server.opener.end(received.len()), Ok(()));
        prop_assert_eq!(opened, plaintext);
    }

    #[test]
    fn both_directions_are_streams_of_their_own(
        messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..2000)), 1..10),
    ) {
        let (mut client, mut server) = sessions();
        for (from_client, message) in messages {
            let (from, to) = if from_client {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            let packets = seal(from, &message);
            prop_assert_eq!(open(to, &packets), (message, Ok(())));
        }
    }
}

#[test]
fn one_call_makes_full_packets_and_one_for_the_rest() {
    for (plaintext, packets) in [
        (0, 0),
        (1, 1),
        (1023, 1),
        (1024, 1),
        (1025, 2),
        (33 * 1024, 33),
    ] {
        let (mut client, mut server) = sessions();
        let message = vec![9; plaintext];
        let sealed = seal(&mut client, &message);
        assert_eq!(sealed.len(), packets * PACKET_LEN);
        assert_eq!(Sealer::sealed_len(plaintext), sealed.len());
        assert_eq!(open(&mut server, &sealed), (message, Ok(())));
    }
}

#[test]
fn without_room_for_a_packet_nothing_is_sealed_and_nothing_is_lost() {
    let (mut client, mut server) = sessions();
    for room in [0, 1, PACKET_LEN - 1] {
        let sealed = client.sealer.seal(b"message", &mut vec![0; room]);
        assert_eq!(sealed, Ok(Progress::default()));
    }
    let packets = seal(&mut client, b"message");
    assert_eq!(open(&mut server, &packets), (b"message".to_vec(), Ok(())));
}

#[test]
fn without_room_for_a_full_packet_nothing_is_opened_and_nothing_is_lost() {
    let (mut client, mut server) = sessions();
    let packets = seal(&mut client, b"message");
    for room in [0, 1, b"message".len(), Opener::MIN_OUTPUT - 1] {
        let opened = server.opener.open(&packets, &mut vec![0; room]);
        assert_eq!(opened, Ok(Progress::default()));
    }
    assert_eq!(open(&mut server, &packets), (b"message".to_vec(), Ok(())));
}

#[test]
fn a_packet_that_is_not_whole_yet_is_left_alone() {
    let (mut client, mut server) = sessions();
    let packets = [seal(&mut client, b"one"), seal(&mut client, b"two")].concat();
    let mut buffer = [0; 4 * PAYLOAD_LEN];
    for len in 0..PACKET_LEN {
        let opened = server.opener.open(&packets[..len], &mut buffer);
        assert_eq!(opened, Ok(Progress::default()));
    }
    let opened = server
        .opener
        .open(&packets[..2 * PACKET_LEN - 1], &mut buffer);
    let one = Progress {
        consumed: PACKET_LEN,
        produced: 3,
    };
    assert_eq!(opened, Ok(one));
    assert_eq!(&buffer[..3], b"one");
    assert_eq!(
        open(&mut server, &packets[PACKET_LEN..]),
        (b"two".to_vec(), Ok(()))
    );
}

#[test]
fn a_sealer_leaves_what_lies_behind_its_packets_alone() {
    let (mut client, _) = sessions();
    let mut packets = vec![0x77; 3 * PACKET_LEN];
    let sealed = client.sealer.seal(&[1; PAYLOAD_LEN + 1], &mut packets);
    assert_eq!(sealed.map(|sealed| sealed.produced), Ok(2 * PACKET_LEN));
    assert_eq!(packets[2 * PACKET_LEN..], [0x77; PACKET_LEN]);
}

#[test]
fn the_wanted_length_of_packets_fills_the_output() {
    for (room, packets) in [
        (0, 1),
        (1023, 1),
        (1024, 1),
        (2047, 1),
        (2048, 2),
        (65536, 64),
    ] {
        assert_eq!(Opener::packets_len(room), packets * PACKET_LEN);
    }
    // No length overflows.
    assert!(Opener::packets_len(usize::MAX) >= usize::MAX / PAYLOAD_LEN);
    assert!(Sealer::sealed_len(usize::MAX) >= usize::MAX / PAYLOAD_LEN);
}
