//! A stream has no message borders: a handshake ends alike however its bytes arrive.

mod common;

use common::{
    End, FORWARD_SECRECY, HANDSHAKE_LEN, any_forward_secrecy, assert_connected, pieces, seal, talk,
};
use proptest::prelude::*;
use spiped_proto::ForwardSecrecy;

/// What an end came to: whom it trusted, what it sent, why it failed, and a packet that only its
/// keys can make.
#[derive(Debug, PartialEq)]
struct Outcome {
    proved: bool,
    sent: Vec<u8>,
    failed: Option<spiped_proto::Error>,
    missing: Option<usize>,
    packet: Option<Vec<u8>>,
}

fn outcome(end: End) -> Outcome {
    Outcome {
        proved: end.proved,
        sent: end.sent.clone(),
        failed: end.failed,
        missing: end.missing(),
        packet: end
            .is_done()
            .then(|| seal(&mut end.session(), b"made with the session's keys")),
    }
}

/// Both ends of a handshake in which everything arrives at once.
fn at_once(client: ForwardSecrecy, server: ForwardSecrecy) -> (Outcome, Outcome) {
    let (mut client, mut server) = (End::client(client), End::server(server));
    talk(&mut client, &mut server);
    (outcome(client), outcome(server))
}

/// Feeds an end with what its peer sent in another run of the same handshake.
fn in_pieces(mut end: End, peer_sent: &[u8], lengths: &[usize]) -> Outcome {
    for piece in pieces(peer_sent, lengths) {
        end.receive(piece);
    }
    outcome(end)
}

fn assert_alike(client: ForwardSecrecy, server: ForwardSecrecy, lengths: &[usize]) {
    let (whole_client, whole_server) = at_once(client, server);
    let cut_client = in_pieces(End::client(client), &whole_server.sent, lengths);
    let cut_server = in_pieces(End::server(server), &whole_client.sent, lengths);
    assert_eq!(cut_client, whole_client);
    assert_eq!(cut_server, whole_server);
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    for client in FORWARD_SECRECY {
        for server in FORWARD_SECRECY {
            assert_alike(client, server, &[1]);
            assert_alike(client, server, &[HANDSHAKE_LEN]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_is_as_good_as_none(
        client in any_forward_secrecy(),
        server in any_forward_secrecy(),
        lengths in prop::collection::vec(1..HANDSHAKE_LEN, 1..20),
    ) {
        assert_alike(client, server, &lengths);
    }

    #[test]
    fn two_ends_connect_whatever_arrives_first(
        client in any_forward_secrecy(),
        server in any_forward_secrecy(),
        turns in prop::collection::vec((any::<bool>(), 1..HANDSHAKE_LEN), 0..40),
    ) {
        let (whole_client, whole_server) = at_once(client, server);
        let (mut client, mut server) = (End::client(client), End::server(server));
        let (mut to_client, mut to_server) = (0, 0);
        let rest = [(true, HANDSHAKE_LEN), (false, HANDSHAKE_LEN)].repeat(3);
        for (client_turn, len) in turns.into_iter().chain(rest) {
            let (from, to, done) = if client_turn {
                (&server.sent, &mut client, &mut to_client)
            } else {
                (&client.sent, &mut server, &mut to_server)
            };
            let len = len.min(from.len() - *done);
            to.receive(&from[*done..][..len]);
            *done += len;
        }
        if client.is_done() && server.is_done() {
            assert_connected(&mut client.session(), &mut server.session());
        } else {
            prop_assert_eq!(outcome(client), whole_client);
            prop_assert_eq!(outcome(server), whole_server);
        }
    }
}
