//! Version 1 of the model against `vectors/v1.json`.

use serde_json::Value;

use super::*;
use crate::model::shared_key;
use crate::model::testing::{array, entries, file, unhex};

fn known_answers() -> Value {
    file(include_str!("../../../../../spiped-proto/vectors/v1.json"))
}

fn check_end(answer: &Value, role: Role, own: &str, peers: &str) {
    let random: [u8; 32] = array(&answer[format!("x_{own}")]);
    let mut exponent_bytes = [0; 40];
    exponent_bytes[8..].copy_from_slice(&random);
    let handshake = Handshake {
        role,
        key: shared_key(&unhex(&answer["key_file"])),
        forward_secrecy: match random {
            [0, ..] if random == [0; 32] => ForwardSecrecy::Disabled,
            _ => ForwardSecrecy::Enabled,
        },
        nonce: array(&answer[format!("nonce_{own}")]),
        exponent: U320::from_be_slice(&exponent_bytes),
    };
    assert_eq!(handshake.key, array(&answer["K"]));
    let name = |end: &str| match end {
        "C" => "client_hello",
        _ => "server_hello",
    };
    let said = |end: &str| {
        let nonce = unhex(&answer[format!("nonce_{end}")]);
        [nonce, unhex(&answer[name(end)])].concat()
    };
    let expected = handshake.expected(&said(peers), 3);
    assert_eq!(expected.proved, Some((3, Version::V1)));
    assert_eq!(expected.sent, said(own));
    let Outcome::Done {
        own: Direction::V1(own),
        peers: Direction::V1(peers),
    } = expected.outcome
    else {
        panic!("{expected:?}");
    };
    let [client, server] = handshake.order(own, peers);
    let all = [
        client.encryption,
        client.authentication,
        server.encryption,
        server.authentication,
    ];
    assert_eq!(all.concat(), unhex(&answer["dk_2"]));
    for packet in answer["packets"].as_array().unwrap() {
        let keys = match packet["sender"].as_str() {
            Some("client") => &client,
            _ => &server,
        };
        let message = unhex(&packet["message"]);
        let number = packet["number"].as_u64().unwrap();
        let length = u32::try_from(message.len()).unwrap();
        assert_eq!(
            keys.seal(number, &message, length),
            unhex(&packet["packet"])
        );
    }
}

#[test]
fn the_model_gives_the_known_answers() {
    for answer in entries(&known_answers()["handshakes"], 5) {
        check_end(answer, Role::Client, "C", "S");
        check_end(answer, Role::Server, "S", "C");
    }
}

#[test]
fn what_the_model_seals_it_opens() {
    let keys = Keys {
        encryption: [1; 32],
        authentication: [2; 32],
    };
    let mut stream = [keys.seal(0, b"one", 3), keys.seal(1, &[2; 1024], 1024)].concat();
    let opened = [&b"one"[..], &[2; 1024]].concat();
    assert_eq!(keys.open(&stream), (opened.clone(), Ok(())));
    stream.extend(keys.seal(2, b"", 0));
    assert_eq!(keys.open(&stream), (opened, Err(Error::PacketLength(0))));
    stream.truncate(PACKET_LEN + 1);
    let cut = (b"one".to_vec(), Err(Error::TruncatedPacket));
    assert_eq!(keys.open(&stream), cut);
    stream[PACKET_LEN - 1] ^= 1;
    assert_eq!(keys.open(&stream), (Vec::new(), Err(Error::PacketMac)));
}
