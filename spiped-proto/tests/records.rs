//! Streams of version 2: every byte comes back, a fault gives no wrong one, and an end is the
//! peer's or none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, KEY_FILE, entropy, fill, talk};
use proptest::prelude::*;
use spiped_proto::{Error, HandshakeConfig, Opened, Secret, Session, Step, Version, Versions};

/// Bytes: room for five whole records.
const ROOM: usize = 5 * 16421;

fn sessions() -> (Session, Session) {
    let config = HandshakeConfig::default().with_versions(Versions::Only(Version::V2));
    let secret = Secret::from_key_file(KEY_FILE);
    let mut client = End::new(Step::client(&secret, config, entropy(1)));
    let mut server = End::new(Step::server(&secret, config, entropy(2)));
    talk(&mut client, &mut server);
    (client.session(), server.session())
}

/// The records of some messages, one call each, and of the end.
fn sealed(session: &mut Session, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| {
            let mut buffer = vec![0x77; ROOM];
            let filled = fill(&session.sealer, &mut buffer, message);
            assert_eq!(filled, message.len());
            let sealed = session.sealer.seal(&mut buffer, filled).unwrap();
            buffer.truncate(sealed);
            buffer
        })
        .collect();
    let mut end = vec![0x77; 37];
    assert_eq!(session.sealer.finish(&mut end), Ok(37));
    records.push(end);
    records
}

/// What a receiver hands out of a stream that arrives in pieces and then ends, and how that went.
fn received(session: &mut Session, stream: &[u8], piece: usize) -> (Vec<u8>, Result<(), Error>) {
    let (mut waiting, mut data) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece) {
        waiting.extend_from_slice(piece);
        loop {
            match session.opener.open(&mut waiting) {
                Ok(Opened::Data {
                    consumed,
                    plaintext,
                }) => {
                    data.extend_from_slice(&waiting[plaintext]);
                    waiting.drain(..consumed);
                }
                Ok(Opened::End { consumed }) => drop(waiting.drain(..consumed)),
                Ok(Opened::Incomplete { missing }) => {
                    assert!(missing > 0);
                    break;
                }
                Err(error) => {
                    assert_eq!(session.opener.open(&mut []), Err(error), "an error stays");
                    assert_eq!(session.opener.end(0), Err(error), "an error stays");
                    return (data, Err(error));
                }
            }
        }
    }
    (data, session.opener.end(waiting.len()))
}

fn any_messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = prop_oneof![
        1..600usize,
        1..3000usize,
        16_000..40_000usize,
        Just(64 * 1024)
    ];
    let message = (any::<u8>(), len)
        .prop_map(|(seed, len)| (0..len).map(|i| ((i * 31) >> 3) as u8 ^ seed).collect());
    prop::collection::vec(message, 0..6)
}

#[test]
fn sizes_are_those_of_the_specification() {
    for (len, sealed) in [
        (0, 0),
        (1, 293),
        (256, 293),
        (257, 549),
        (1024, 1061),
        (1025, 2085),
        (16384, 16421),
        (16385, 16421 + 293),
        (64 * 1024, 4 * 16421),
    ] {
        let mut session = sessions().0;
        let mut buffer = vec![0x77; ROOM];
        assert_eq!(session.sealer.seal(&mut buffer, len), Ok(sealed));
        assert!(buffer[sealed..].iter().all(|byte| *byte == 0x77) || len > 0);
    }
}

#[test]
fn what_does_not_fit_is_not_sealed_and_nothing_is_lost() {
    let (mut client, mut server) = sessions();
    let mut buffer = vec![0x77; 2 * 16421 - 1];
    for len in [31 * 1024 + 1, 2 * 16384, usize::MAX] {
        assert_eq!(
            client.sealer.seal(&mut buffer, len),
            Err(Error::BufferTooSmall)
        );
    }
    assert_eq!(
        client.sealer.finish(&mut buffer[..36]),
        Err(Error::BufferTooSmall)
    );
    let stream = sealed(&mut client, &[vec![1; 5]]).concat();
    assert_eq!(received(&mut server, &stream, 1), (vec![1; 5], Ok(())));
    assert_eq!(client.sealer.finish(&mut buffer), Ok(0));
    assert_eq!(client.sealer.seal(&mut buffer, 1), Err(Error::Finished));
}

#[test]
fn keys_move_on_at_both_ends_and_rests_change_nothing() {
    let (mut client, mut server) = sessions();
    let mut resting = sessions().0;
    let messages: Vec<Vec<u8>> = (0..1100u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let mut with_rests = Vec::new();
    for message in &messages {
        let mut buffer = vec![0; 16421];
        fill(&resting.sealer, &mut buffer, message);
        let sealed = resting.sealer.seal(&mut buffer, 4).unwrap();
        with_rests.extend_from_slice(&buffer[..sealed]);
        resting.sealer.rest();
        server.opener.rest();
    }
    let stream = sealed(&mut client, &messages).concat();
    assert_eq!(stream[..with_rests.len()], with_rests);
    assert_eq!(
        received(&mut server, &stream, 5000),
        (messages.concat(), Ok(()))
    );
}

#[test]
fn any_single_bit_counts() {
    let stream = sealed(&mut sessions().0, &[vec![3; 7]]).concat();
    for bit in 0..stream.len() * 8 {
        let mut changed = stream.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (data, end) = received(&mut sessions().1, &changed, 4096);
        let whole = if bit / 8 < 293 { 0 } else { 7 };
        assert_eq!(
            (data.len(), end),
            (whole, Err(Error::PacketMac)),
            "bit {bit}"
        );
    }
}

#[test]
fn a_stream_cut_anywhere_or_gone_on_with_has_no_end() {
    let records = sealed(&mut sessions().0, &[vec![3; 7], vec![4; 300]]);
    let stream = records.concat();
    for len in 0..stream.len() {
        let (data, end) = received(&mut sessions().1, &stream[..len], 4096);
        let at_border = [0, 293, 293 + 549].contains(&len);
        let fault = if at_border {
            Error::UnauthenticatedEnd
        } else {
            Error::TruncatedPacket
        };
        assert_eq!(end, Err(fault), "{len}");
        assert!([vec![], vec![3; 7], [vec![3; 7], vec![4; 300]].concat()].contains(&data));
    }
    for more in [1, 21, 37, 500] {
        let longer = [&stream[..], &vec![0; more]].concat();
        let (data, end) = received(&mut sessions().1, &longer, 4096);
        assert_eq!((data.len(), end), (307, Err(Error::DataAfterEnd)));
    }
}

#[test]
fn records_sent_back_or_in_another_order_are_refused() {
    let (mut client, mut server) = sessions();
    let records = sealed(&mut client, &[vec![1; 5], vec![2; 5]]);
    assert_eq!(
        received(&mut client, &records[0], 100),
        (vec![], Err(Error::PacketMac))
    );
    let (one, two, end) = (&records[0], &records[1], &records[2]);
    for (stream, good) in [
        ([two, one, end], 0),
        ([one, one, end], 5),
        ([one, end, two], 5),
    ] {
        let (data, fault) = received(&mut sessions().1, &stream.map(Vec::as_slice).concat(), 999);
        assert_eq!((data.len(), fault), (good, Err(Error::PacketMac)));
    }
    let stream = [one, two, end].map(Vec::as_slice).concat();
    assert_eq!(
        received(&mut server, &stream, 1),
        ([[1; 5], [2; 5]].concat(), Ok(()))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_messages_come_back_however_they_arrive(messages in any_messages(), piece in 1..50_000usize) {
        let (mut client, mut server) = sessions();
        let stream = sealed(&mut client, &messages).concat();
        prop_assert_eq!(received(&mut server, &stream, piece), (messages.concat(), Ok(())));
    }

    #[test]
    fn a_fault_gives_no_wrong_byte_and_no_end(
        messages in any_messages(),
        place in any::<prop::sample::Index>(),
        change in 1..=255u8,
        piece in 1..50_000usize,
    ) {
        let mut stream = sealed(&mut sessions().0, &messages).concat();
        let place = place.index(stream.len());
        stream[place] ^= change;
        let (data, end) = received(&mut sessions().1, &stream, piece);
        prop_assert_eq!(end, Err(Error::PacketMac));
        prop_assert!(messages.concat().starts_with(&data));
    }

    #[test]
    fn garbage_is_refused_at_its_first_header(garbage in prop::collection::vec(any::<u8>(), 21..3000)) {
        let (data, end) = received(&mut sessions().1, &garbage, 4096);
        prop_assert_eq!((data, end), (vec![], Err(Error::PacketMac)));
    }
}
