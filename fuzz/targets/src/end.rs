//! One end of a handshake, as far as it has come.

use spiped_proto::{
    Entropy, Error, ForwardSecrecy, HandshakeConfig, Keyring, Secret, Session, Step, Version,
    Versions,
};

use crate::input::{Cuts, Input};
use crate::model::{self, Direction, Outcome, Party, Role};

pub(crate) const KEY_FILE: &[u8] = b"what both ends of the fuzzer share";

pub(crate) const FORWARD_SECRECY: [ForwardSecrecy; 3] = [
    ForwardSecrecy::Disabled,
    ForwardSecrecy::Enabled,
    ForwardSecrecy::Required,
];

/// The first one is what inputs meant before there was a choice.
pub(crate) const VERSIONS: [Versions; 3] = [
    Versions::Only(Version::V1),
    Versions::Newest,
    Versions::Only(Version::V2),
];

/// What two ends speak, if there is anything.
pub(crate) fn newest(versions: [Versions; 2]) -> Option<Version> {
    let both = |version: &Version| versions.iter().all(|versions| versions.allow(*version));
    [Version::V2, Version::V1].into_iter().find(both)
}

/// Random numbers that are the same for the same seed.
pub(crate) fn random(seed: u8) -> [u8; Entropy::LEN] {
    std::array::from_fn(|i| seed.wrapping_mul(151) ^ (i as u8).wrapping_mul(29))
}

/// How many keys a server may have, and which of them is that of both ends.
fn place(seed: u8) -> (usize, usize) {
    // Either version has a number of keys from which on other threads are to try them.
    let sizes = [1, 1, 2, 3, 16, 17, 40, 130];
    let size = sizes[usize::from(seed) % sizes.len()];
    (size, usize::from(seed) / sizes.len() % size)
}

/// What an end is given.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) role: Role,
    pub(crate) versions: Versions,
    pub(crate) forward_secrecy: ForwardSecrecy,
    pub(crate) seed: u8,
    pub(crate) key_file: &'static [u8],
}

impl Setup {
    pub(crate) fn take(input: &mut Input) -> Self {
        let byte = usize::from(input.byte());
        Self {
            role: [Role::Client, Role::Server][byte % 2],
            versions: VERSIONS[byte / 2 % 3],
            forward_secrecy: input.pick(&FORWARD_SECRECY),
            seed: input.byte(),
            key_file: KEY_FILE,
        }
    }

    /// One that speaks this version and does no arithmetic for version 1.
    pub(crate) fn fast(role: Role, version: Version, seed: u8) -> Self {
        Self {
            role,
            versions: Versions::Only(version),
            forward_secrecy: ForwardSecrecy::Disabled,
            seed,
            key_file: KEY_FILE,
        }
    }

    /// How many keys the end has, and which of them is that of both ends.
    pub(crate) fn place(self) -> (usize, usize) {
        match self.role {
            Role::Client => (1, 0),
            Role::Server => place(self.seed),
        }
    }

    /// A server has other keys before that of both ends, which is there once more at the end.
    fn key_files(self) -> Vec<Vec<u8>> {
        let (size, place) = self.place();
        let file = |index: usize| match index {
            index if index == place || index + 1 == size => self.key_file.to_vec(),
            index => index.to_be_bytes().to_vec(),
        };
        (0..size).map(file).collect()
    }

    fn config(self) -> HandshakeConfig {
        HandshakeConfig::default()
            .with_forward_secrecy(self.forward_secrecy)
            .with_versions(self.versions)
    }

    /// The same for the model.
    pub(crate) fn party(self) -> Party {
        let keys = self.key_files();
        Party {
            role: self.role,
            keys: keys.iter().map(|file| model::shared_key(file)).collect(),
            versions: self.versions,
            forward_secrecy: self.forward_secrecy,
            random: random(self.seed),
        }
    }
}

pub(crate) struct End {
    step: Option<Step>,
    pub(crate) sent: Vec<u8>,
    /// The peer has shown that it holds a key, the one of this index, in this version.
    pub(crate) proved: Option<(usize, Version)>,
    pub(crate) failed: Option<Error>,
}

impl End {
    pub(crate) fn new(setup: Setup) -> Self {
        let files = setup.key_files();
        let secrets = files.iter().map(|file| Secret::from_key_file(file));
        let keys: Keyring = secrets.collect();
        let entropy = Entropy::take(&mut random(setup.seed));
        let step = match (setup.role, keys.get(0)) {
            (Role::Client, Some(secret)) => Step::client(secret, setup.config(), entropy),
            _ => Step::server(keys, setup.config(), entropy),
        };
        let mut end = Self {
            step: Some(step),
            sent: Vec::new(),
            proved: None,
            failed: None,
        };
        end.go_on();
        end
    }

    /// Takes all steps that need nothing from the peer.
    fn go_on(&mut self) {
        while let Some(step) = self.step.take() {
            self.step = Some(match step {
                Step::Send(outgoing) => {
                    self.sent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Compute(computation) => match computation.run() {
                    Ok(next) => next,
                    Err(error) => {
                        self.failed = Some(error);
                        return;
                    }
                },
                Step::Authenticated(peer) => {
                    assert_eq!(self.proved, None, "a peer proves itself once");
                    self.proved = Some((peer.key(), peer.version()));
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
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> usize {
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

    /// Takes bytes in pieces; returns those that did not belong to the handshake.
    pub(crate) fn receive_all<'a>(&mut self, bytes: &'a [u8], cuts: &mut Cuts) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = self.receive(&rest[..cuts.next(rest.len())]);
            rest = &rest[used..];
            if used == 0 {
                break;
            }
        }
        rest
    }

    /// How many bytes of a message are to come; `None` when no message is awaited.
    pub(crate) fn missing(&self) -> Option<usize> {
        match &self.step {
            Some(Step::Receive(incoming)) => Some(incoming.missing()),
            _ => None,
        }
    }

    /// The session of a handshake that is over.
    pub(crate) fn session(&mut self) -> Option<Session> {
        match self.step.take() {
            Some(Step::Done(session)) => Some(*session),
            other => {
                self.step = other;
                None
            }
        }
    }

    /// The peer closes the connection before the handshake is over.
    pub(crate) fn close(self) -> Error {
        match (self.failed, self.step) {
            (Some(error), _) => error,
            (None, Some(Step::Receive(incoming))) => incoming.end(),
            (None, other) => panic!("nothing is awaited: {other:?}"),
        }
    }
}

/// An end must have made of what it received what the model makes of it. Returns the session of a
/// handshake that is over, with what seals its directions, that of this end first.
pub(crate) fn compare(
    mut end: End,
    expected: model::Expected,
) -> Option<(Session, Direction, Direction)> {
    assert_eq!(end.sent, expected.sent);
    assert_eq!(end.proved, expected.proved);
    match expected.outcome {
        Outcome::Waiting(missing) => {
            assert_eq!(end.missing(), Some(missing));
            assert_eq!(end.close(), Error::TruncatedHandshake);
            None
        }
        Outcome::Failed(error) => {
            assert_eq!(end.failed, Some(error));
            assert_eq!(end.close(), error);
            None
        }
        Outcome::Done { own, peers } => {
            let session = end.session().expect("the handshake is over");
            let version = match &own {
                Direction::V1(_) => Version::V1,
                Direction::V2(_) => Version::V2,
            };
            assert_eq!(session.version, version);
            Some((session, own, peers))
        }
    }
}
