//! Our two roles against each other, with an attacker between them that knows no key: each end gets
//! exactly what the other one sent, or the beginning of it and an error.

use spiped_proto::{Error, ForwardSecrecy, Opener, Version};

use crate::end::{End, FORWARD_SECRECY, KEY_FILE, Setup, VERSIONS, newest};
use crate::input::{Cuts, Input};
use crate::model::Role;
use crate::model::v1::PACKET_LEN;
use crate::session::{Reader, finish, seal};

/// The wire in one direction.
struct Wire {
    cuts: Cuts,
    /// Positions, and what they are changed by.
    changes: Vec<(usize, u8)>,
    /// Where the connection is cut.
    cut: Option<usize>,
    passed: usize,
    harmed: bool,
}

impl Wire {
    fn take(input: &mut Input) -> Self {
        let cuts = input.cuts();
        let changes = (0..input.byte() % 4)
            .map(|_| (input.number() % 8192, input.byte()))
            .filter(|(_, by)| *by != 0)
            .collect();
        let cut = match input.byte() % 4 {
            1 => Some(input.number() % 8192),
            _ => None,
        };
        Self {
            cuts,
            changes,
            cut,
            passed: 0,
            harmed: false,
        }
    }

    /// What arrives of these bytes, in pieces.
    fn carry(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let span = self.passed..self.passed + bytes.len();
        for (at, by) in &self.changes {
            if span.contains(at) {
                bytes[at - span.start] ^= by;
            }
        }
        // Two changes of one byte may undo each other.
        let net = |at: usize| {
            let here = self.changes.iter().filter(|(other, _)| *other == at);
            here.fold(0, |all, (_, by)| all ^ by)
        };
        let changed = |(at, _): &(usize, u8)| span.contains(at) && net(*at) != 0;
        let arrives = self
            .cut
            .map_or(span.end, |cut| cut.clamp(span.start, span.end));
        bytes.truncate(arrives - span.start);
        let arrived = span.start..arrives;
        self.harmed |= self
            .changes
            .iter()
            .any(|c| changed(c) && arrived.contains(&c.0));
        self.passed = span.end;
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(self.cuts.next(rest.len()));
            pieces.push(piece.to_vec());
            rest = later;
        }
        pieces
    }

    fn is_cut(&self) -> bool {
        self.cut.is_some_and(|cut| cut < self.passed)
    }
}

fn hand_over(from: &End, seen: &mut usize, wire: &mut Wire, to: &mut End) -> bool {
    let new = from.sent[*seen..].to_vec();
    *seen = from.sent.len();
    for piece in wire.carry(&new) {
        to.receive(&piece);
    }
    !new.is_empty()
}

/// A whole connection, both directions of it.
pub fn tunnel(data: &[u8]) {
    let mut input = Input::new(data);
    let mut setup = |role, seed| {
        let choice = usize::from(input.byte());
        Setup {
            role,
            versions: VERSIONS[choice / 3 % 3],
            forward_secrecy: FORWARD_SECRECY[choice % 3],
            seed,
            key_file: KEY_FILE,
        }
    };
    let setups = [setup(Role::Client, 1), setup(Role::Server, 2)];
    let [mut client, mut server] = setups.map(End::new);
    let wants = setups.map(|setup| setup.forward_secrecy);
    let version = newest(setups.map(|setup| setup.versions));
    let (mut up, mut down) = (Wire::take(&mut input), Wire::take(&mut input));
    let mut writes = input.cuts();
    // There was a second list of cuts, and the corpus still has it.
    let _ = input.cuts();
    let up_message = input.bytes(4096).to_vec();
    let down_message = input.rest();

    let (mut to_server, mut to_client) = (0, 0);
    while hand_over(&client, &mut to_server, &mut up, &mut server)
        | hand_over(&server, &mut to_client, &mut down, &mut client)
    {}
    let agree_in_v1 =
        !(wants.contains(&ForwardSecrecy::Required) && wants.contains(&ForwardSecrecy::Disabled));
    let agree = match version {
        Some(Version::V1) => agree_in_v1,
        Some(Version::V2) => true,
        _ => false,
    };
    let untouched = [&up, &down]
        .iter()
        .all(|wire| !wire.harmed && !wire.is_cut());
    match (client.session(), server.session()) {
        (Some(client), Some(server)) => {
            assert!(agree && !up.harmed && !down.harmed);
            assert_eq!(Some(client.version), version);
            assert_eq!(Some(server.version), version);
            for (mut sealer, opener, message, wire) in [
                (client.sealer, server.opener, &up_message[..], &mut up),
                (server.sealer, client.opener, down_message, &mut down),
            ] {
                let mut sealed = seal(&mut sealer, message, &mut writes);
                sealed.extend(finish(&mut sealer));
                deliver(opener, message, &sealed, wire, client.version);
            }
        }
        (client_session, server_session) => {
            assert!(!(agree && untouched), "an untouched handshake failed");
            // Whoever is not done learns so when the connection closes, at the latest.
            for (end, session) in [(client, client_session), (server, server_session)] {
                if session.is_none() {
                    match end.close() {
                        Error::TruncatedHandshake => {}
                        Error::HandshakeMac | Error::HelloTag => assert!(up.harmed || down.harmed),
                        Error::NoForwardSecrecy => assert!(!agree_in_v1),
                        Error::Version => assert!(version.is_none() || up.harmed || down.harmed),
                        error => panic!("{error:?}"),
                    }
                }
            }
        }
    }
}

fn deliver(opener: Opener, message: &[u8], sealed: &[u8], wire: &mut Wire, version: Version) {
    let mut reader = Reader::new(opener);
    let mut arrived = 0;
    for piece in wire.carry(sealed) {
        arrived += piece.len();
        reader.receive(&piece);
    }
    assert!(
        message.starts_with(&reader.opened),
        "a wrong byte came through"
    );
    let whole = reader.opened == message;
    match reader.end() {
        Ok(()) if version == Version::V1 => {
            assert!(!wire.harmed);
            // Version 1 does not notice a cut between two packets.
            assert_eq!(arrived % PACKET_LEN, 0);
            assert!(whole || wire.is_cut());
        }
        Ok(()) => assert!(
            whole && !wire.harmed && !wire.is_cut(),
            "a cut passed for an end"
        ),
        Err(Error::TruncatedPacket | Error::UnauthenticatedEnd) => assert!(wire.is_cut()),
        Err(Error::PacketMac) => assert!(wire.harmed),
        Err(error) => panic!("{error:?}"),
    }
}
