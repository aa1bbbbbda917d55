//! Where a handshake ends: at which byte, what follows it, and what if the stream ends before.

mod common;

use common::{
    End, HANDSHAKE_LEN, NONCE_LEN, any_forward_secrecy, assert_connected, open, seal, sessions,
    talk,
};
use proptest::prelude::*;
use spiped_proto::Error;
use spiped_proto::ForwardSecrecy::Disabled;

#[test]
fn a_stream_that_ends_at_any_byte_of_a_handshake_is_cut() {
    for len in 0..HANDSHAKE_LEN {
        let (mut client, mut server) = (End::client(Disabled), End::server(Disabled));
        talk(&mut client, &mut server);
        for (mut end, peer_sent) in [
            (End::client(Disabled), &server.sent),
            (End::server(Disabled), &client.sent),
        ] {
            assert_eq!(end.receive(&peer_sent[..len]), len);
            let border = if len < NONCE_LEN {
                NONCE_LEN
            } else {
                HANDSHAKE_LEN
            };
            assert_eq!(end.missing(), Some(border - len));
            assert!(!end.proved);
            assert_eq!(end.close(), Error::TruncatedHandshake);
        }
    }
}

#[test]
fn nothing_read_is_no_progress_and_no_fault() {
    let mut end = End::server(Disabled);
    assert_eq!(end.receive(&[]), 0);
    assert_eq!(end.missing(), Some(NONCE_LEN));
    let (mut client, mut server) = (End::client(Disabled), end);
    talk(&mut client, &mut server);
    assert_connected(&mut client.session(), &mut server.session());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_follows_a_handshake_is_left_for_the_opener(
        ours in any_forward_secrecy(),
        message in prop::collection::vec(any::<u8>(), 1..3000),
        cut in 0..=HANDSHAKE_LEN,
    ) {
        // The peer's packets are made in another run of the same handshake.
        let theirs = spiped_proto::ForwardSecrecy::Enabled;
        let (mut client, mut server) = (End::client(ours), End::server(theirs));
        talk(&mut client, &mut server);
        prop_assert!(client.is_done() && server.is_done());
        let (client_sent, server_sent) = (client.sent.clone(), server.sent.clone());
        let (mut client, mut server) = (client.session(), server.session());

        let from_client = [client_sent, seal(&mut client, &message)].concat();
        let from_server = [server_sent, seal(&mut server, &message)].concat();
        for (mut end, stream) in [
            (End::server(theirs), from_client),
            (End::client(ours), from_server),
        ] {
            prop_assert_eq!(end.receive(&stream[..cut]), cut);
            let used = cut + end.receive(&stream[cut..]);
            prop_assert_eq!(used, HANDSHAKE_LEN);
            let (opened, result) = open(&mut end.session(), &stream[used..]);
            prop_assert_eq!(&opened, &message);
            prop_assert_eq!(result, Ok(()));
        }
    }
}

#[test]
fn a_session_without_a_packet_is_an_empty_stream() {
    let (client, server) = sessions();
    assert_eq!(client.opener.end(0), Ok(()));
    assert_eq!(server.opener.end(0), Ok(()));
}
