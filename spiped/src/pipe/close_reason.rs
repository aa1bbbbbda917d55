//! The ends of a connection: [`ConnectionError`] in words for people, [`CloseReason`] as a code for
//! programs. Several errors may have one reason; [`ConnectionError::close_reason`] says which.

use std::io;
use std::time::Duration;

use spiped_tokio::{DialError, HandshakeError, ProtocolError, RelayError};

use crate::config::values::Mode;
use crate::log::{Class, coded_enum};
use crate::os::os_error::os_error;
use crate::pipe::per_client_limit::PerClientLimitReached;
use crate::pipe::proxy_protocol::HeaderError;
use crate::pipe::unproved::EvictionReason;

/// The error of a connection that did not end by the end of both its directions.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer closed the connection before its first byte, as a scan of ports does.
    #[error("closed by the peer before its first byte")]
    Unused,
    /// The target does not accept connections.
    #[error("{}", dial_error(.0))]
    Dial(#[from] DialError),
    /// The connection has come through this pipe before.
    #[error("not connected to the target, which leads back to the source of this pipe")]
    Loop,
    /// The handshake failed in another way than those below.
    #[error("handshake failed: {}", handshake_error(.0))]
    Handshake(HandshakeError),
    /// The peer closed the connection instead of going on with the handshake.
    #[error(
        "handshake failed: the peer closed the connection (another key or version, or not spiped?)"
    )]
    Refused,
    /// The handshake was not over in time.
    #[error("handshake failed: not over within {:?} (the peer is silent, or not spiped)", .0)]
    HandshakeTimeout(Duration),
    /// The peer had not proved a key yet, and its place was needed for another connection.
    #[error("closed to make room for another, as the key was not proved ({0})")]
    Evicted(EvictionReason),
    /// The peer closed the connection while it waited for a permit of `-n`.
    #[error("the peer has gone while it waited for its turn (connection limit): {}", os_error(.0))]
    Left(io::Error),
    /// The client has as many connections as it may have.
    #[error("closed, as {0}")]
    ClientLimit(#[from] PerClientLimitReached),
    /// The key of the peer was removed from the key files.
    #[error("closed, as its key was removed")]
    KeyRemoved,
    /// The connection begins with no header of the PROXY protocol, or a bad one.
    #[error("bad header of the PROXY protocol: {0} (--accept-proxy)")]
    Header(#[from] HeaderError),
    /// The connection ended or broke before the whole header of the PROXY protocol had come.
    #[error("no whole header of the PROXY protocol (--accept-proxy): {}", os_error(.0))]
    CutHeader(io::Error),
    /// The whole header of the PROXY protocol had not come in time.
    #[error("no whole header of the PROXY protocol within {0:?} (--accept-proxy)")]
    HeaderTimeout(Duration),
    /// The header of the PROXY protocol had not come yet, and the place of the connection was needed for
    /// another one.
    #[error("closed to make room for another, as it had no header of the PROXY protocol yet ({0})")]
    HeaderEvicted(EvictionReason),
    /// The connection comes from an address outside the networks of `--accept-proxy`.
    #[error("closed, as it is from no network of --accept-proxy")]
    NoBalancer,
    /// No data has come from either side for as long as `--idle` says.
    #[error("closed, as no data has come from either side for {:?} (--idle)", .0)]
    Idle(Duration),
    /// One of the two connections broke while data was relayed.
    #[error("{}", relay_error(.0))]
    Relay(#[from] RelayError),
    /// The accepted connection broke before the relay began.
    #[error("the connection broke before its stream was up: {}", os_error(.0))]
    Abandoned(io::Error),
}

pub(crate) fn dial_error(error: &DialError) -> String {
    match error {
        DialError::Connect { endpoint, error } => {
            format!("cannot connect to {endpoint}: {}", os_error(error))
        }
        other => other.to_string(),
    }
}

fn handshake_error(error: &HandshakeError) -> String {
    match error {
        HandshakeError::Io(error) => os_error(error),
        other => other.to_string(),
    }
}

fn relay_error(error: &RelayError) -> String {
    match error {
        RelayError::Plain(error) => format!("the plain connection broke: {}", os_error(error)),
        RelayError::Encrypted(error) => {
            format!("the encrypted connection broke: {}", os_error(error))
        }
        other => other.to_string(),
    }
}

impl From<HandshakeError> for ConnectionError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::NoClient => Self::Unused,
            closed if closed.is_end() => Self::Refused,
            other => Self::Handshake(other),
        }
    }
}

coded_enum! {
    /// The reason why a connection ended.
    pub enum CloseReason:
    /// Returns the class of the log line of a connection that ended for this reason.
    class -> Class {
        /// Both directions ended well.
        Done = "done", Class::Closed;
        /// The peer closed the connection before its first byte.
        Unused = "unused", Class::Unused;
        /// The peer holds another key, or does not speak the protocol.
        WrongKey = "wrong-key", Class::Handshake;
        /// The handshake failed in another way.
        Handshake = "handshake-failed", Class::Handshake;
        /// The peer closed the connection during the handshake.
        Refused = "refused", Class::Handshake;
        /// The handshake was not over in time.
        HandshakeTimeout = "handshake-timeout", Class::Handshake;
        /// The peer had not proved the key, or not sent its header, and had to make room.
        Evicted = "evicted", Class::Unproved;
        /// The peer left while it waited for a connection slot.
        Left = "left", Class::Limit;
        /// The client had as many connections as it may have.
        ClientLimit = "client-limit", Class::Limit;
        /// There was no good header of the PROXY protocol.
        BadProxyHeader = "bad-proxy-header", Class::Handshake;
        /// The target does not accept connections.
        Dial = "dial-failed", Class::Dial;
        /// The plain connection broke.
        Plain = "plain-broken", Class::Broken;
        /// The encrypted connection broke.
        Encrypted = "encrypted-broken", Class::Broken;
        /// There was no data for too long.
        Idle = "idle", Class::Broken;
        /// The key of the peer was removed.
        KeyRemoved = "key-removed", Class::Broken;
    }
}

impl CloseReason {
    /// The reasons for which a handshake fails, as the metric `handshakes` counts them. A connection
    /// without a good PROXY header gets to no handshake.
    pub const FAILED_HANDSHAKES: [Self; 5] = [
        Self::WrongKey,
        Self::Handshake,
        Self::Refused,
        Self::HandshakeTimeout,
        Self::Evicted,
    ];

    /// Whether the connection failed: its log line is then a warning.
    #[must_use]
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Done | Self::Unused)
    }
}

impl ConnectionError {
    /// Returns the reason that the error counts under. `mode` tells whether the accepted connection is the
    /// plain or the encrypted one.
    #[must_use]
    pub fn close_reason(&self, mode: Mode) -> CloseReason {
        match self {
            Self::Unused => CloseReason::Unused,
            Self::Dial(_) | Self::Loop => CloseReason::Dial,
            Self::Handshake(HandshakeError::Protocol(
                ProtocolError::HandshakeMac | ProtocolError::Version,
            )) => CloseReason::WrongKey,
            Self::Handshake(_) => CloseReason::Handshake,
            Self::Refused => CloseReason::Refused,
            Self::HandshakeTimeout(_) => CloseReason::HandshakeTimeout,
            Self::Evicted(_) | Self::HeaderEvicted(_) => CloseReason::Evicted,
            Self::Left(_) => CloseReason::Left,
            Self::ClientLimit(_) => CloseReason::ClientLimit,
            Self::Header(_) | Self::CutHeader(_) | Self::HeaderTimeout(_) | Self::NoBalancer => {
                CloseReason::BadProxyHeader
            }
            Self::Idle(_) => CloseReason::Idle,
            Self::KeyRemoved => CloseReason::KeyRemoved,
            Self::Relay(RelayError::Encrypted(_)) => CloseReason::Encrypted,
            Self::Relay(_) => CloseReason::Plain,
            Self::Abandoned(_) => match mode {
                Mode::Encrypt => CloseReason::Plain,
                Mode::Decrypt => CloseReason::Encrypted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_the_system_says_has_no_number() {
        let broken = || io::Error::from(nix::errno::Errno::ETIMEDOUT);
        for error in [
            ConnectionError::Handshake(HandshakeError::Io(broken())),
            ConnectionError::Left(broken()),
            ConnectionError::CutHeader(broken()),
            ConnectionError::Abandoned(broken()),
            ConnectionError::Relay(RelayError::Plain(broken())),
            ConnectionError::Relay(RelayError::Encrypted(broken())),
            ConnectionError::Dial(DialError::Connect {
                endpoint: spiped_tokio::Endpoint::Unix("/socket".into()),
                error: broken(),
            }),
        ] {
            let told = error.to_string();
            assert!(!told.contains("os error"), "{told}");
        }
    }

    #[test]
    fn codes_are_words_of_their_own() {
        let codes = CloseReason::ALL.map(CloseReason::code);
        assert_eq!(HashSet::from(codes).len(), codes.len());
        for code in codes {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(code.bytes().all(is_plain), "{code}");
        }
    }
}
