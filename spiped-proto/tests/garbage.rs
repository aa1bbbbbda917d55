//! Bytes from somebody who knows nothing: no panic, no session, no plaintext.

mod common;

use common::{End, HANDSHAKE_LEN, PACKET_LEN, any_forward_secrecy, open, pieces, seal, sessions};
use proptest::prelude::*;
use spiped_proto::{Error, Opened, Secret};

fn any_bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..longest),
        // The same byte again and again.
        (any::<u8>(), 0..longest).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

proptest! {
    #[test]
    fn neither_role_takes_garbage_for_a_handshake(
        forward_secrecy in any_forward_secrecy(),
        garbage in any_bytes(3 * HANDSHAKE_LEN),
        lengths in prop::collection::vec(1..HANDSHAKE_LEN, 1..10),
    ) {
        for mut end in [End::client(forward_secrecy), End::server(forward_secrecy)] {
            for piece in pieces(&garbage, &lengths) {
                end.receive(piece);
            }
            prop_assert!(!end.proved && !end.is_done());
            if garbage.len() < HANDSHAKE_LEN {
                prop_assert_eq!(end.failed, None);
                prop_assert_eq!(end.close(), Error::TruncatedHandshake);
            } else {
                prop_assert_eq!(end.failed, Some(Error::HandshakeMac));
            }
        }
    }

    #[test]
    fn an_opener_takes_no_garbage_for_packets(
        before in prop::collection::vec(any::<u8>(), 0..5000),
        garbage in any_bytes(20 * PACKET_LEN),
    ) {
        let (mut client, mut server) = sessions();
        let stream = [seal(&mut client, &before), garbage.clone()].concat();
        let expected = match garbage.len() {
            0 => Ok(()),
            len if len < PACKET_LEN => Err(Error::TruncatedPacket),
            _ => Err(Error::PacketMac),
        };
        prop_assert_eq!(open(&mut server, &stream), (before, expected));
    }

    #[test]
    fn calls_of_any_shape_do_not_panic(
        calls in prop::collection::vec((0..4 * PACKET_LEN, 0..4 * PACKET_LEN), 0..20),
    ) {
        let (mut client, mut server) = sessions();
        for (plaintext, room) in calls {
            let mut buffer = vec![1; room];
            let slots: usize = client.sealer.slots(&mut buffer).map(|slot| slot.len()).sum();
            match client.sealer.seal(&mut buffer, plaintext) {
                Ok(sealed) => prop_assert!(plaintext <= slots && sealed <= room),
                Err(error) => {
                    prop_assert_eq!(error, Error::BufferTooSmall);
                    prop_assert!(plaintext > slots && buffer.iter().all(|byte| *byte == 1));
                }
            }
            let opened = server.opener.open(&mut vec![1; plaintext]);
            let nothing = matches!(opened, Err(_) | Ok(Opened::Incomplete { .. }));
            prop_assert!(nothing);
        }
    }

    #[test]
    fn a_key_file_in_pieces_is_the_same_key(contents in any_bytes(5000), lengths in prop::collection::vec(1..1000usize, 1..5)) {
        let mut hasher = spiped_proto::SecretHasher::new();
        for piece in pieces(&contents, &lengths) {
            hasher.update(piece);
        }
        let entropy = || common::entropy(7);
        let config = common::config(spiped_proto::ForwardSecrecy::Disabled);
        let client = spiped_proto::Step::client(&hasher.finish(), config, entropy());
        let whole = Secret::from_key_file(&contents);
        let server = spiped_proto::Step::server(&whole, config, entropy());
        let (mut client, mut server) = (End::new(client), End::new(server));
        common::talk(&mut client, &mut server);
        common::assert_connected(&mut client.session(), &mut server.session());
    }
}

#[test]
fn endless_garbage_is_refused_at_its_first_packet() {
    let (_, mut server) = sessions();
    let garbage = vec![0xaa; 1 << 20];
    assert_eq!(open(&mut server, &garbage), (vec![], Err(Error::PacketMac)));
}
