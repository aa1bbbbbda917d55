//! What a handshake's state machine, of either version and role, asks for next.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::config::Version;
use crate::session::Session;

/// The next thing that a handshake needs; `S` is the state that waits for it.
pub(crate) enum Next<S> {
    /// Bytes for the peer, and what comes once they are on their way.
    Send { bytes: Vec<u8>, then: Box<Self> },
    /// A message of this many bytes, at least 1, from the peer.
    Receive { len: usize, state: S },
    /// Arithmetic.
    Compute { work: Work, state: S },
    /// Word for the caller that the peer holds a key, by its index, and what comes after that.
    Authenticated {
        key: usize,
        version: Version,
        then: Box<Self>,
    },
    /// Nothing: the handshake is over.
    Done(Box<Session>),
}

/// A kind of arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It takes about as long as to wake another thread and be woken by it, or less.
    Short,
    /// It takes longer than that.
    Long,
    /// A short one, for a peer that has proved nothing yet.
    ShortForStranger,
    /// A long one, for a peer that has proved nothing yet.
    LongForStranger,
}

impl<S> Next<S> {
    pub(crate) fn send(bytes: Vec<u8>, then: Self) -> Self {
        Self::Send {
            bytes,
            then: Box::new(then),
        }
    }

    pub(crate) fn authenticated(key: usize, version: Version, then: Self) -> Self {
        Self::Authenticated {
            key,
            version,
            then: Box::new(then),
        }
    }

    /// The same, with the state inside another one.
    pub(crate) fn map<T>(self, within: fn(S) -> T) -> Next<T> {
        match self {
            Self::Send { bytes, then } => Next::send(bytes, then.map(within)),
            Self::Receive { len, state } => Next::Receive {
                len,
                state: within(state),
            },
            Self::Compute { work, state } => Next::Compute {
                work,
                state: within(state),
            },
            Self::Authenticated { key, version, then } => {
                Next::authenticated(key, version, then.map(within))
            }
            Self::Done(session) => Next::Done(session),
        }
    }
}
