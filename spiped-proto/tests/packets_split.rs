//! Plaintext comes back byte by byte, however it is cut before it is sealed, however the packets are
//! cut on their way, and however much room there is for them.

mod common;

use common::{PACKET_LEN, PAYLOAD_LEN, fill, open, pieces, seal, sessions};
use proptest::prelude::*;
use spiped_proto::{BUFFER_LEN, Error, Opened};

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
    ) {
        let (mut client, mut server) = sessions();
        let mut stream = Vec::new();
        let mut rooms = rooms.iter().cycle().map(|room| room.max(&PACKET_LEN));
        for mut piece in pieces(&plaintext, &sealed_at) {
            while !piece.is_empty() {
                let mut packets = vec![0x77; *rooms.next().unwrap()];
                let filled = fill(&client.sealer, &mut packets, piece);
                // Slots end only when there is no room for another packet.
                let fitting = (packets.len() / PACKET_LEN * PAYLOAD_LEN).min(piece.len());
                prop_assert_eq!(filled, fitting);
                let sealed = client.sealer.seal(&mut packets, filled).unwrap();
                prop_assert_eq!(sealed, fitting.div_ceil(PAYLOAD_LEN) * PACKET_LEN);
                prop_assert!(packets[sealed..].iter().all(|byte| *byte == 0x77));
                stream.extend_from_slice(&packets[..sealed]);
                piece = &piece[filled..];
            }
        }

        let mut received = Vec::new();
        let mut opened = Vec::new();
        for piece in pieces(&stream, &arriving) {
            received.extend_from_slice(piece);
            while received.len() >= PACKET_LEN {
                let Opened::Data { consumed, plaintext } = server.opener.open(&mut received).unwrap() else {
                    panic!("a whole packet is there");
                };
                prop_assert_eq!(consumed, PACKET_LEN);
                opened.extend_from_slice(&received[plaintext]);
                received.drain(..consumed);
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
        assert_eq!(open(&mut server, &sealed), (message, Ok(())));
    }
}

#[test]
fn without_room_for_a_packet_nothing_is_sealed_and_nothing_is_lost() {
    let (mut client, mut server) = sessions();
    for room in [0, 1, PACKET_LEN - 1] {
        let mut packets = vec![0x77; room];
        assert_eq!(client.sealer.slots(&mut packets).count(), 0);
        let sealed = client.sealer.seal(&mut packets, 1);
        assert_eq!(sealed, Err(Error::BufferTooSmall));
        assert_eq!(packets, vec![0x77; room]);
    }
    let packets = seal(&mut client, b"message");
    assert_eq!(open(&mut server, &packets), (b"message".to_vec(), Ok(())));
}

#[test]
fn more_than_the_slots_hold_is_an_error_and_loses_nothing() {
    let (mut client, mut server) = sessions();
    let mut packets = vec![0x77; 3 * PACKET_LEN - 1];
    for plaintext in [2 * PAYLOAD_LEN + 1, 3 * PAYLOAD_LEN, usize::MAX] {
        let sealed = client.sealer.seal(&mut packets, plaintext);
        assert_eq!(sealed, Err(Error::BufferTooSmall));
    }
    assert_eq!(packets, vec![0x77; 3 * PACKET_LEN - 1]);
    let sealed = client.sealer.seal(&mut packets, 2 * PAYLOAD_LEN);
    assert_eq!(sealed, Ok(2 * PACKET_LEN));
    let opened = open(&mut server, &packets[..2 * PACKET_LEN]);
    assert_eq!(opened, (vec![0x77; 2 * PAYLOAD_LEN], Ok(())));
}

#[test]
fn a_packet_that_is_not_whole_yet_is_left_alone() {
    let (mut client, mut server) = sessions();
    let mut packets = [seal(&mut client, b"one"), seal(&mut client, b"two")].concat();
    let sealed = packets.clone();
    for len in 0..PACKET_LEN {
        let missing = PACKET_LEN - len;
        let opened = server.opener.open(&mut packets[..len]);
        assert_eq!(opened, Ok(Opened::Incomplete { missing }));
    }
    assert_eq!(packets, sealed);
    let opened = server.opener.open(&mut packets[..2 * PACKET_LEN - 1]);
    let one = Opened::Data {
        consumed: PACKET_LEN,
        plaintext: 0..3,
    };
    assert_eq!(opened, Ok(one));
    assert_eq!(&packets[..3], b"one");
    assert_eq!(packets[PACKET_LEN..], sealed[PACKET_LEN..]);
    assert_eq!(
        open(&mut server, &packets[PACKET_LEN..]),
        (b"two".to_vec(), Ok(()))
    );
}

#[test]
fn a_sealer_leaves_what_lies_behind_its_packets_alone() {
    let (mut client, _) = sessions();
    let mut packets = vec![0x77; 3 * PACKET_LEN];
    let sealed = client.sealer.seal(&mut packets, PAYLOAD_LEN + 1);
    assert_eq!(sealed, Ok(2 * PACKET_LEN));
    assert_eq!(packets[2 * PACKET_LEN..], [0x77; PACKET_LEN]);
}

#[test]
fn what_lay_behind_the_plaintext_is_not_sealed_with_it() {
    let (mut client, mut other) = (sessions().0, sessions().0);
    let mut packets = [[0x77; PACKET_LEN], [0; PACKET_LEN]];
    packets[1][..5].fill(0x77);
    assert_eq!(client.sealer.seal(&mut packets[0], 5), Ok(PACKET_LEN));
    assert_eq!(other.sealer.seal(&mut packets[1], 5), Ok(PACKET_LEN));
    assert_eq!(packets[0], packets[1]);
}

/// IPv6 and TCP headers with all options that are usual take 72 bytes.
#[test]
fn a_buffer_holds_61_kib_of_plaintext_and_leaves_in_one_segment() {
    let (client, _) = sessions();
    let mut buffer = vec![0; BUFFER_LEN];
    let slots = client.sealer.slots(&mut buffer).map(|slot| slot.len());
    assert_eq!(slots.sum::<usize>(), 61 * 1024);
    const { assert!(BUFFER_LEN + 72 <= 64 * 1024) };
}

#[test]
fn no_byte_ends_a_stream_and_nothing_is_sealed_after_it() {
    let (mut client, mut server) = sessions();
    let mut packets = seal(&mut client, b"last words");
    for _ in 0..2 {
        assert_eq!(client.sealer.finish(&mut []), Ok(0));
        assert_eq!(client.sealer.seal(&mut packets, 1), Err(Error::Finished));
    }
    let opened = open(&mut server, &packets);
    assert_eq!(opened, (b"last words".to_vec(), Ok(())));
}

#[test]
fn a_session_that_rests_between_packets_goes_on() {
    let (mut client, mut server) = sessions();
    for message in [&b"one"[..], b"two", b"three"] {
        let packets = seal(&mut client, message);
        assert_eq!(open(&mut server, &packets), (message.to_vec(), Ok(())));
        client.sealer.rest();
        server.opener.rest();
    }
}
