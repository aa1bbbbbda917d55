//! Which version two ends speak, with somebody between them who holds no key but has recorded other
//! connections.

use spiped_proto::{ForwardSecrecy, Session, Version, Versions};

use crate::end::{End, FORWARD_SECRECY, KEY_FILE, Setup, VERSIONS, compare, newest};
use crate::input::{Cuts, Input};
use crate::model::{NONCE_LEN, Role};
use crate::session::{Reader, finish, seal};

/// What becomes of what one end sends.
struct Wire {
    cuts: Cuts,
    /// Bytes that take the place of others, from a position on, and bits that are changed.
    edits: Vec<(usize, Vec<u8>)>,
    changes: Vec<(usize, u8)>,
    cut: Option<usize>,
    sent: usize,
    arrived: Vec<u8>,
}

impl Wire {
    /// `recorded` is what other connections with the same key had in this direction, `reflected` what
    /// the receiver of this direction says itself.
    fn take(input: &mut Input, recorded: &dyn Fn(u8) -> Vec<u8>, reflected: &[u8]) -> Self {
        let mut wire = Self {
            cuts: input.cuts(),
            edits: Vec::new(),
            changes: Vec::new(),
            cut: None,
            sent: 0,
            arrived: Vec::new(),
        };
        for _ in 0..input.byte() % 4 {
            match input.byte() % 8 {
                0 | 1 => wire.changes.push((input.number() % 32, input.byte())),
                2 => wire.changes.push((input.number() % 1500, input.byte())),
                // The tag is stripped, or made up.
                3 => wire.edits.push((24, input.array::<8>().to_vec())),
                4 => wire.edits.push((0, input.array::<NONCE_LEN>().to_vec())),
                5 => {
                    let mut old = recorded(input.byte());
                    let nonce_only = input.byte().is_multiple_of(2);
                    old.truncate(if nonce_only { NONCE_LEN } else { old.len() });
                    wire.edits.push((0, old));
                }
                6 => wire.edits.push((0, reflected.to_vec())),
                _ => wire.cut = Some(input.number() % 1500),
            }
        }
        wire
    }

    /// What arrives of these bytes.
    fn carry(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut arriving = Vec::new();
        for byte in bytes {
            let at = self.sent;
            let mut byte = *byte;
            for (from, edit) in &self.edits {
                let edited = at.checked_sub(*from).and_then(|at| edit.get(at));
                byte = edited.copied().unwrap_or(byte);
            }
            for (_, by) in self.changes.iter().filter(|(place, _)| *place == at) {
                byte ^= by;
            }
            if self.cut.is_none_or(|cut| at < cut) {
                arriving.push(byte);
            }
            self.sent += 1;
        }
        self.arrived.extend(&arriving);
        arriving
    }
}

fn hand_over(from: &End, wire: &mut Wire, to: &mut End) -> bool {
    let new = &from.sent[wire.sent..];
    let arriving = wire.carry(new);
    to.receive_all(&arriving, &mut wire.cuts);
    !new.is_empty()
}

/// Any versions at both ends, one key or many, and nonces that are changed, stripped, replayed,
/// reflected or cut: each end does what the model does with what it got; two ends that know version 2
/// and share a key never speak version 1; and whoever is left alone speaks the newest that both allow.
pub fn negotiation(data: &[u8]) {
    let mut input = Input::new(data);
    let mut setup = |role| Setup {
        role,
        versions: input.pick(&VERSIONS),
        forward_secrecy: input.pick(&FORWARD_SECRECY),
        seed: input.byte(),
        key_file: KEY_FILE,
    };
    let (mut client, server) = (setup(Role::Client), setup(Role::Server));
    let is_stranger = input.byte() % 8 == 7;
    if is_stranger {
        client.key_file = b"what the server never heard of";
    }
    let parties = [client.party(), server.party()];
    let said_at_once = parties.each_ref().map(|party| party.expected(&[]).sent);
    let old = |setup: Setup, seed| Setup {
        versions: Versions::Newest,
        seed,
        key_file: KEY_FILE,
        ..setup
    };
    let old_client = |seed| old(client, seed).party().expected(&[]).sent;
    // The place of its keys goes with a server's seed, and makes no difference to what it says.
    let old_server = |seed| old(server, seed).party().expected(&old_client(seed)).sent;
    let mut up = Wire::take(&mut input, &old_client, &said_at_once[1]);
    let mut down = Wire::take(&mut input, &old_server, &said_at_once[0]);

    let (mut client_end, mut server_end) = (End::new(client), End::new(server));
    while hand_over(&client_end, &mut up, &mut server_end)
        | hand_over(&server_end, &mut down, &mut client_end)
    {}

    let version = newest([client.versions, server.versions]).filter(|_| !is_stranger);
    let proved = [client_end.proved, server_end.proved];
    for (_, spoken) in proved.into_iter().flatten() {
        assert_eq!(Some(spoken), version, "not the newest that both know");
    }
    let untouched = up.arrived == client_end.sent && down.arrived == server_end.sent;
    let sent_by_server = server_end.sent.len();
    let sessions = [
        compare(client_end, parties[0].expected(&down.arrived)),
        compare(server_end, parties[1].expected(&up.arrived)),
    ];
    if !server.versions.allow(Version::V1) && untouched && version.is_none() {
        assert_eq!(sent_by_server, 0, "a stranger got an answer");
    }
    let wants = [client.forward_secrecy, server.forward_secrecy];
    let agree = version == Some(Version::V2)
        || !(wants.contains(&ForwardSecrecy::Required)
            && wants.contains(&ForwardSecrecy::Disabled));
    match sessions.map(|end| end.map(|(session, ..)| session)) {
        [Some(client), Some(server)] => {
            assert!(untouched && agree);
            assert_eq!(Some(client.version), version);
            talk(client, server);
        }
        _ => assert!(!untouched || version.is_none() || !agree),
    }
}

/// Both ends understand each other.
fn talk(client: Session, server: Session) {
    for (mut sealer, opener) in [
        (client.sealer, server.opener),
        (server.sealer, client.opener),
    ] {
        let mut whole = Input::new(&[]).cuts();
        let mut stream = seal(&mut sealer, b"hello", &mut whole);
        stream.extend(finish(&mut sealer));
        let read = Reader::new(opener).read(&stream, &mut whole);
        assert_eq!(read, (b"hello".to_vec(), Ok(())));
    }
}
