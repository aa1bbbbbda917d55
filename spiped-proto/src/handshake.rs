//! The handshake as a chain of steps: each says what it needs and gives the next one.
//!
//! Nothing here reads, waits or draws random numbers. The expensive arithmetic sits in a step of its
//! own, [`Computation`], so that the caller can run it where it delays nobody.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::config::{HandshakeConfig, Version};
use crate::entropy::Entropy;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::next::{Next, Work};
use crate::secret::Secret;
use crate::session::Session;
use crate::{negotiation, v1, v2};

/// The next step of a handshake. Each variant is taken apart to reach the step after it.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Bytes for the peer.
    Send(Outgoing),
    /// More bytes from the peer are needed.
    Receive(Incoming),
    /// Arithmetic that takes longer than to move bytes.
    Compute(Computation),
    /// The peer has shown just now that it holds the key.
    Authenticated(AuthenticatedPeer),
    /// The handshake is over.
    Done(Box<Session>),
}

impl Step {
    /// The first step of a client: the end that opens the encrypted connection.
    pub fn client(secret: &Secret, config: HandshakeConfig, entropy: Entropy) -> Self {
        negotiation::Client::begin(secret, config, entropy).into()
    }

    /// The first step of a server: the end that accepts the encrypted connection, of whoever holds
    /// one of its keys. A reference to a [`Secret`] or a [`Keyring`] will do for them.
    pub fn server(keys: impl Into<Keyring>, config: HandshakeConfig, entropy: Entropy) -> Self {
        negotiation::Server::begin(keys.into(), config, entropy).into()
    }
}

/// Where a handshake stands, in either role and version.
pub(crate) enum State {
    Client(negotiation::Client),
    Server(negotiation::Server),
    ClientV1(v1::Client),
    ServerV1(v1::Server),
    ClientV2(v2::Client),
    ServerV2(v2::Server),
}

impl State {
    /// Goes on with the message that was waited for, or with the arithmetic, which has no message.
    fn next(self, message: &[u8]) -> Result<Step, Error> {
        let next = match self {
            Self::Client(client) => client.next(message)?,
            Self::Server(server) => server.next(message)?,
            Self::ClientV1(client) => client.next(message)?.map(Self::ClientV1),
            Self::ServerV1(server) => server.next(message)?.map(Self::ServerV1),
            Self::ClientV2(client) => client.next(message)?.map(Self::ClientV2),
            Self::ServerV2(server) => server.next(message)?.map(Self::ServerV2),
        };
        Ok(next.into())
    }
}

impl From<Next<State>> for Step {
    fn from(next: Next<State>) -> Self {
        match next {
            Next::Send { bytes, then } => Self::Send(Outgoing { bytes, then }),
            Next::Receive { len, state } => Self::Receive(Incoming {
                received: Vec::new(),
                len,
                state,
            }),
            Next::Compute { work, state } => Self::Compute(Computation { work, state }),
            Next::Authenticated { key, version, then } => {
                Self::Authenticated(AuthenticatedPeer { key, version, then })
            }
            Next::Done(session) => Self::Done(session),
        }
    }
}

/// Bytes that must reach the peer.
pub struct Outgoing {
    bytes: Vec<u8>,
    then: Box<Next<State>>,
}

impl Outgoing {
    /// The bytes to send, in full, to the peer.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Goes on, once the bytes are on their way: sent, or queued before anything that follows.
    pub fn sent(self) -> Step {
        (*self.then).into()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A message that the peer has not sent in full yet.
pub struct Incoming {
    received: Vec<u8>,
    len: usize,
    state: State,
}

impl Incoming {
    /// How many bytes of the message are still to come, at least 1. What follows them belongs to
    /// the next step or, after the handshake, to the [`Opener`](crate::Opener).
    #[must_use]
    pub fn missing(&self) -> usize {
        self.len.saturating_sub(self.received.len())
    }

    /// Takes bytes from the peer; returns how many of them were used, and the next step.
    ///
    /// # Errors
    ///
    /// [`Error::HandshakeMac`], [`Error::HelloTag`], [`Error::PublicValueRange`],
    /// [`Error::NoForwardSecrecy`] and [`Error::Version`]: drop the connection.
    pub fn feed(mut self, input: &[u8]) -> Result<(usize, Step), Error> {
        let used = input.len().min(self.missing());
        self.received.extend(input.iter().take(used));
        let step = match self.missing() {
            0 => self.state.next(&self.received)?,
            _ => Step::Receive(self),
        };
        Ok((used, step))
    }

    /// The peer closed the connection instead: the handshake is cut.
    #[must_use]
    pub fn end(self) -> Error {
        Error::TruncatedHandshake
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("missing", &self.missing())
            .finish_non_exhaustive()
    }
}

/// Arithmetic, not done yet: key pairs, a key exchange, or many keys to try.
pub struct Computation {
    work: Work,
    state: State,
}

impl Computation {
    /// Whether it takes about as long as to wake another thread and be woken by it, or less: some tens
    /// of microseconds at most.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self.work, Work::Short | Work::ShortForStranger)
    }

    /// Whether it is done for a peer that has proved nothing yet: many keys are tried on its message,
    /// or fresh key pairs are made to answer it.
    #[must_use]
    pub fn is_for_stranger(&self) -> bool {
        matches!(self.work, Work::LongForStranger | Work::ShortForStranger)
    }

    /// Does the arithmetic, on the calling thread, in a time that depends on no secret.
    ///
    /// # Errors
    ///
    /// As for [`Incoming::feed`]: drop the connection.
    pub fn run(self) -> Result<Step, Error> {
        self.state.next(&[])
    }
}

impl fmt::Debug for Computation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computation")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

/// A peer that holds a key. Work on its behalf, such as dialling a target, may begin.
pub struct AuthenticatedPeer {
    key: usize,
    version: Version,
    then: Box<Next<State>>,
}

impl AuthenticatedPeer {
    /// Which of the server's keys the peer holds: an index of its [`Keyring`]. 0 at a client.
    #[must_use]
    pub fn key(&self) -> usize {
        self.key
    }

    /// The version that both ends speak.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Goes on with the key exchange.
    pub fn proceed(self) -> Step {
        (*self.then).into()
    }
}

impl fmt::Debug for AuthenticatedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatedPeer")
            .field("key", &self.key)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
