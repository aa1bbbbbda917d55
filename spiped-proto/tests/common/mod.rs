//! Both ends of a handshake in one place, without sockets.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "every test uses a part of it, and fails by panicking"
)]

use proptest::prelude::*;
use spiped_proto::{
    Entropy, Error, ForwardSecrecy, HandshakeConfig, Opened, Sealer, Secret, Session, Step,
    Version, Versions,
};

pub const KEY_FILE: &[u8] = b"what both ends of the tests share";

pub const NONCE_LEN: usize = 32;
pub const HELLO_LEN: usize = 256 + 32;
pub const HANDSHAKE_LEN: usize = NONCE_LEN + HELLO_LEN;
pub const PAYLOAD_LEN: usize = 1024;
pub const PACKET_LEN: usize = PAYLOAD_LEN + 4 + 32;

pub const FORWARD_SECRECY: [ForwardSecrecy; 3] = [
    ForwardSecrecy::Disabled,
    ForwardSecrecy::Enabled,
    ForwardSecrecy::Required,
];

pub fn any_forward_secrecy() -> impl Strategy<Value = ForwardSecrecy> {
    proptest::sample::select(&FORWARD_SECRECY[..])
}

/// Version 1, which forward secrecy is a choice of.
pub fn config(forward_secrecy: ForwardSecrecy) -> HandshakeConfig {
    HandshakeConfig::default()
        .with_forward_secrecy(forward_secrecy)
        .with_versions(Versions::Only(Version::V1))
}

/// Different for every seed, and the same each time: a handshake can be run again.
pub fn entropy(seed: u8) -> Entropy {
    let mut bytes = std::array::from_fn(|i| seed.wrapping_mul(151) ^ (i as u8).wrapping_mul(29));
    Entropy::take(&mut bytes)
}

/// One end of a handshake, as far as it has come.
pub struct End {
    step: Option<Step>,
    pub sent: Vec<u8>,
    /// The peer has shown that it holds the key.
    pub proved: bool,
    /// Which of a server's keys it holds.
    pub key: Option<usize>,
    pub failed: Option<Error>,
    /// How often there was arithmetic to do.
    pub computed: usize,
}

impl End {
    pub fn new(step: Step) -> Self {
        let mut end = Self {
            step: Some(step),
            sent: Vec::new(),
            proved: false,
            key: None,
            failed: None,
            computed: 0,
        };
        end.go_on();
        end
    }

    pub fn client(forward_secrecy: ForwardSecrecy) -> Self {
        let secret = Secret::from_key_file(KEY_FILE);
        Self::new(Step::client(&secret, config(forward_secrecy), entropy(1)))
    }

    pub fn server(forward_secrecy: ForwardSecrecy) -> Self {
        let secret = Secret::from_key_file(KEY_FILE);
        Self::new(Step::server(&secret, config(forward_secrecy), entropy(2)))
    }

    /// Takes all steps that need nothing from the peer.
    fn go_on(&mut self) {
        while let Some(step) = self.step.take() {
            self.step = Some(match step {
                Step::Send(outgoing) => {
                    self.sent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Compute(computation) => {
                    self.computed += 1;
                    match computation.run() {
                        Ok(next) => next,
                        Err(error) => {
                            self.failed = Some(error);
                            return;
                        }
                    }
                }
                Step::Authenticated(peer) => {
                    assert!(!self.proved, "a peer proves itself once");
                    self.proved = true;
                    self.key = Some(peer.key());
                    peer.proceed()
                }
                waiting => {
                    self.step = Some(waiting);
                    return;
                }
            });
        }
    }

    /// Takes bytes from the peer; returns how many of them belonged to the handshake.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            let incoming = match self.step.take() {
                Some(Step::Receive(incoming)) => incoming,
                other => {
                    self.step = other;
                    break;
                }
            };
            let missing = incoming.missing();
            assert!(missing > 0);
            match incoming.feed(&bytes[used..]) {
                Ok((taken, next)) => {
                    assert_eq!(taken, missing.min(bytes.len() - used));
                    used += taken;
                    self.step = Some(next);
                    self.go_on();
                }
                Err(error) => self.failed = Some(error),
            }
        }
        used
    }

    pub fn is_done(&self) -> bool {
        matches!(self.step, Some(Step::Done(_)))
    }

    /// How many bytes of a message are to come; `None` when no message is awaited.
    pub fn missing(&self) -> Option<usize> {
        match &self.step {
            Some(Step::Receive(incoming)) => Some(incoming.missing()),
            _ => None,
        }
    }

    /// The peer closes the connection while a message is awaited.
    pub fn close(self) -> Error {
        match self.step {
            Some(Step::Receive(incoming)) => incoming.end(),
            other => panic!("nothing is awaited: {other:?}"),
        }
    }

    pub fn session(self) -> Session {
        match self.step {
            Some(Step::Done(session)) => *session,
            other => panic!("not done: {other:?}, {:?}", self.failed),
        }
    }
}

/// Lets two ends talk until neither has anything to say.
pub fn talk(a: &mut End, b: &mut End) {
    let (mut to_a, mut to_b) = (0, 0);
    loop {
        let from_b = b.sent[to_a..].to_vec();
        to_a += from_b.len();
        a.receive(&from_b);
        let from_a = a.sent[to_b..].to_vec();
        to_b += from_a.len();
        b.receive(&from_a);
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
    }
}

/// A session of both ends, without the cost of forward secrecy.
pub fn sessions() -> (Session, Session) {
    let mut client = End::client(ForwardSecrecy::Disabled);
    let mut server = End::server(ForwardSecrecy::Disabled);
    talk(&mut client, &mut server);
    (client.session(), server.session())
}

/// Puts a message into the slots of a buffer, as far as they go; says how far.
pub fn fill(sealer: &Sealer, buffer: &mut [u8], message: &[u8]) -> usize {
    let mut rest = message;
    for slot in sealer.slots(buffer) {
        let (data, later) = rest.split_at(slot.len().min(rest.len()));
        slot[..data.len()].copy_from_slice(data);
        rest = later;
    }
    message.len() - rest.len()
}

/// Seals a message of any length in one call.
pub fn seal(session: &mut Session, message: &[u8]) -> Vec<u8> {
    let mut packets = vec![0; message.len().div_ceil(PAYLOAD_LEN) * PACKET_LEN];
    let filled = fill(&session.sealer, &mut packets, message);
    assert_eq!(filled, message.len());
    let sealed = session.sealer.seal(&mut packets, filled);
    assert_eq!(sealed, Ok(packets.len()));
    packets
}

/// Opens what can be opened of `packets`; returns it, and the error that it ended with.
pub fn open(session: &mut Session, packets: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let mut opened = Vec::new();
    let mut packets = packets.to_vec();
    let mut rest = &mut packets[..];
    loop {
        let before = rest.to_vec();
        match session.opener.open(rest) {
            Ok(Opened::Data {
                consumed,
                plaintext,
            }) => {
                assert!(!plaintext.is_empty() && plaintext.end <= consumed);
                opened.extend_from_slice(&rest[plaintext]);
                assert_eq!(rest[consumed..], before[consumed..], "it is not touched");
                rest = &mut rest[consumed..];
            }
            Ok(Opened::Incomplete { missing }) => {
                assert!(missing > 0);
                assert_eq!(*rest, before[..], "it is left alone");
                return (opened, session.opener.end(rest.len()));
            }
            Ok(Opened::End { .. }) => panic!("version 1 has no record for the end"),
            Err(error) => {
                assert_eq!(session.opener.open(rest), Err(error), "an error stays");
                assert_eq!(session.opener.end(0), Err(error), "an error stays");
                return (opened, Err(error));
            }
        }
    }
}

/// Whether each of two ends can open what the other seals.
pub fn assert_connected(client: &mut Session, server: &mut Session) {
    let packets = seal(client, b"from the client");
    assert_eq!(
        open(server, &packets),
        (b"from the client".to_vec(), Ok(()))
    );
    let packets = seal(server, b"from the server");
    assert_eq!(
        open(client, &packets),
        (b"from the server".to_vec(), Ok(()))
    );
}

/// `bytes` in pieces of these lengths, repeated as often as needed.
pub fn pieces<'a>(bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let len = (*lengths.next()?)
            .clamp(1, rest.len().max(1))
            .min(rest.len());
        let (piece, after) = rest.split_at(len);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
