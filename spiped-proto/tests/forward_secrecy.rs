//! What each choice of forward secrecy at one end comes to with each at the other.

mod common;

use common::{End, FORWARD_SECRECY, HANDSHAKE_LEN, HELLO_LEN, NONCE_LEN, assert_connected, talk};
use spiped_proto::Error;
use spiped_proto::ForwardSecrecy::{Disabled, Required};

/// y of the hello that an end sent.
fn public_value(end: &End) -> &[u8] {
    &end.sent[NONCE_LEN..][..256]
}

fn one() -> Vec<u8> {
    let mut one = vec![0; 256];
    one[255] = 1;
    one
}

#[test]
fn ends_connect_unless_one_requires_what_the_other_lacks() {
    for ours in FORWARD_SECRECY {
        for theirs in FORWARD_SECRECY {
            let (mut client, mut server) = (End::client(ours), End::server(theirs));
            talk(&mut client, &mut server);
            if (ours, theirs) == (Required, Disabled) {
                assert_eq!(client.failed, Some(Error::NoForwardSecrecy));
                assert!(!client.proved);
            } else if (ours, theirs) == (Disabled, Required) {
                assert_eq!(server.failed, Some(Error::NoForwardSecrecy));
                assert!(!server.proved);
                assert_eq!(server.sent.len(), NONCE_LEN, "it answers nothing");
                assert_eq!(client.missing(), Some(HELLO_LEN));
                assert_eq!(client.close(), Error::TruncatedHandshake);
            } else {
                assert!(client.proved && server.proved);
                let [mut client, mut server] = [client, server].map(End::session);
                assert_connected(&mut client, &mut server);
                let both = ours != Disabled && theirs != Disabled;
                assert_eq!([client.forward_secrecy, server.forward_secrecy], [both; 2]);
            }
        }
    }
}

#[test]
fn an_end_without_forward_secrecy_sends_1() {
    for peer in FORWARD_SECRECY {
        let (mut client, mut server) = (End::client(Disabled), End::server(peer));
        talk(&mut client, &mut server);
        assert_eq!(public_value(&client), one());

        let (mut client, mut server) = (End::client(peer), End::server(Disabled));
        talk(&mut client, &mut server);
        assert_eq!(public_value(&server), one());
    }
}

#[test]
fn an_end_without_forward_secrecy_computes_no_power_and_its_peer_one() {
    for peer in FORWARD_SECRECY {
        let powers = usize::from(peer != Disabled);
        let (mut client, mut server) = (End::client(Disabled), End::server(peer));
        talk(&mut client, &mut server);
        assert_eq!(client.computed, 0);
        // A server that requires it refuses the client before it computes anything.
        assert_eq!(server.computed, if peer == Required { 0 } else { powers });

        let (mut client, mut server) = (End::client(peer), End::server(Disabled));
        talk(&mut client, &mut server);
        assert_eq!((client.computed, server.computed), (powers, 0));
    }
    let (mut client, mut server) = (End::client(Required), End::server(Required));
    talk(&mut client, &mut server);
    assert_eq!((client.computed, server.computed), (2, 2));
}

#[test]
fn an_end_with_forward_secrecy_never_sends_1() {
    for ours in FORWARD_SECRECY.into_iter().filter(|ours| *ours != Disabled) {
        let (mut client, mut server) = (End::client(ours), End::server(ours));
        talk(&mut client, &mut server);
        for end in [&client, &server] {
            assert_eq!(end.sent.len(), HANDSHAKE_LEN);
            assert_ne!(public_value(end), one());
        }
        assert_ne!(public_value(&client), public_value(&server));
    }
}
