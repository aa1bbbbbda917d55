//! One end of a handshake, as far as it has come.

use spiped_proto::{
    Entropy, Error, ForwardSecrecy, HandshakeConfig, Keyring, Opened, Opener, Sealer, Secret,
    Session, Step, Version, Versions,
};

use crate::model::Role;

pub(crate) const KEY_FILE: &[u8] = b"what both ends of the fuzzer share";

pub(crate) const FORWARD_SECRECY: [ForwardSecrecy; 3] = [
    ForwardSecrecy::Disabled,
    ForwardSecrecy::Enabled,
    ForwardSecrecy::Required,
];

/// Random numbers that are the same for the same seed.
pub(crate) fn random(seed: u8) -> [u8; Entropy::LEN] {
    std::array::from_fn(|i| seed.wrapping_mul(151) ^ (i as u8).wrapping_mul(29))
}

/// How many keys a server may have, and which of them is that of both ends.
pub(crate) fn place(seed: u8) -> (usize, usize) {
    let sizes = [1, 1, 2, 3, 16, 17, 40, 70];
    let size = sizes[usize::from(seed) % sizes.len()];
    (size, usize::from(seed) / sizes.len() % size)
}

/// A server's keys: others before that of both ends, which is there once more at the end.
fn keyring(secret: &Secret, seed: u8) -> Keyring {
    let (size, place) = place(seed);
    let keys = (0..size).map(|index| match index {
        index if index == place || index + 1 == size => secret.clone(),
        index => Secret::from_key_file(&index.to_be_bytes()),
    });
    keys.collect()
}

pub(crate) struct End {
    step: Option<Step>,
    pub(crate) sent: Vec<u8>,
    /// The peer has shown that it holds a key, the one of this index.
    pub(crate) proved: Option<usize>,
    pub(crate) failed: Option<Error>,
}

impl End {
    pub(crate) fn new(role: Role, forward_secrecy: ForwardSecrecy, seed: u8) -> Self {
        let secret = Secret::from_key_file(KEY_FILE);
        let entropy = Entropy::take(&mut random(seed));
        let config = HandshakeConfig::default()
            .with_forward_secrecy(forward_secrecy)
            .with_versions(Versions::Only(Version::V1));
        let mut end = Self {
            step: Some(match role {
                Role::Client => Step::client(&secret, config, entropy),
                Role::Server => Step::server(keyring(&secret, seed), config, entropy),
            }),
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
                    self.proved = Some(peer.key());
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

/// Puts a message into the slots of a buffer, as far as they go; says how far.
pub(crate) fn fill(sealer: &Sealer, buffer: &mut [u8], message: &[u8]) -> usize {
    let mut rest = message;
    for slot in sealer.slots(buffer) {
        let (data, later) = rest.split_at(slot.len().min(rest.len()));
        slot[..data.len()].copy_from_slice(data);
        rest = later;
    }
    message.len() - rest.len()
}

/// Opens packets as they arrive, with an error that stays.
pub(crate) struct Reader {
    opener: Opener,
    unopened: Vec<u8>,
    pub(crate) opened: Vec<u8>,
    pub(crate) failed: Option<Error>,
}

impl Reader {
    pub(crate) fn new(opener: Opener) -> Self {
        Self {
            opener,
            unopened: Vec::new(),
            opened: Vec::new(),
            failed: None,
        }
    }

    /// Takes a piece.
    pub(crate) fn receive(&mut self, piece: &[u8]) {
        self.unopened.extend_from_slice(piece);
        while self.failed.is_none() {
            let before = self.unopened.clone();
            match self.opener.open(&mut self.unopened) {
                Ok(Opened::Data {
                    consumed,
                    plaintext,
                }) => {
                    assert!(!plaintext.is_empty() && plaintext.end <= consumed);
                    assert_eq!(self.unopened[consumed..], before[consumed..]);
                    self.opened.extend_from_slice(&self.unopened[plaintext]);
                    self.unopened.drain(..consumed);
                }
                Ok(Opened::Incomplete { missing }) => {
                    assert!(missing > 0);
                    assert_eq!(self.unopened, before, "it is left alone");
                    self.opener.rest();
                    return;
                }
                Ok(Opened::End { .. }) => panic!("version 1 has no record for the end"),
                Err(error) => {
                    self.failed = Some(error);
                    let again = self.opener.open(&mut self.unopened);
                    assert_eq!(again, Err(error), "an error stays");
                    assert_eq!(self.opener.end(0), Err(error), "an error stays");
                }
            }
        }
    }

    /// The stream ends here; says how it ended.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.opener.end(self.unopened.len())
    }
}
