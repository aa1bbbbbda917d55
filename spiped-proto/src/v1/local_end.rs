//! What each end brings along.

use spiped_simd::sha256::Block;

use super::Nonce;
use crate::ForwardSecrecy;
use crate::group14::Exponent;
use crate::kdf::{self, HelloKeys};
use crate::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    /// Puts what is ours and what is the peer's into the order client, server. The other way round
    /// it takes client and server apart into ours and the peer's.
    pub(super) fn order<T>(self, ours: T, theirs: T) -> (T, T) {
        match self {
            Self::Client => (ours, theirs),
            Self::Server => (theirs, ours),
        }
    }
}

/// What is this end's, and the same through the whole handshake.
pub(super) struct This {
    pub(super) role: Role,
    pub(super) forward_secrecy: ForwardSecrecy,
    pub(super) nonce: Nonce,
    pub(super) exponent: Option<Exponent>,
}

impl This {
    pub(super) fn salt(&self, peer_nonce: &Nonce) -> Block {
        let (client, server) = self.role.order(&self.nonce, peer_nonce);
        kdf::salt(client, server)
    }
}

impl std::fmt::Debug for This {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("This")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The key that both ends are to use, and what comes of it with both nonces.
pub(super) struct Keyed {
    pub(super) secret: Secret,
    /// Which of the server's keys it is.
    pub(super) index: usize,
    pub(super) salt: Block,
    pub(super) hello_keys: HelloKeys,
}

impl Keyed {
    pub(super) fn new(this: &This, secret: Secret, index: usize, peer_nonce: &Nonce) -> Self {
        let salt = this.salt(peer_nonce);
        Self {
            hello_keys: HelloKeys::derive(&secret, &salt),
            secret,
            index,
            salt,
        }
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(..)")
    }
}
