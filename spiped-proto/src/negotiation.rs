//! Which version a connection speaks, as its nonces say (protocol v2, section 1).
//!
//! The versions meet here alone. Either goes on where this ends.

use alloc::boxed::Box;

use crate::config::{HandshakeConfig, Version, Versions};
use crate::crypto::{Library, mlkem, x25519};
use crate::entropy::Entropy;
use crate::error::Error;
use crate::handshake::State;
use crate::keyring::Keyring;
use crate::next::{Next, Work};
use crate::secret::Secret;
use crate::v1;
use crate::v2::{self, Nonce};

/// The states of a client that allows version 2, by what each waits for.
pub(crate) enum Client {
    /// Arithmetic: its X25519 pair, made while nonce_C travels.
    KeyPair {
        nonces: ClientNonces,
        c: Box<x25519::PrivateKey>,
        mlkem: Box<mlkem::Seed>,
    },
    /// A message: nonce_S.
    Nonce {
        nonces: ClientNonces,
        local: v2::LocalEnd,
    },
}

/// What a client needs to go on with either version.
pub(crate) struct ClientNonces {
    secret: Secret,
    nonce_c: Nonce,
    /// Version 1, if it is allowed.
    v1: Option<v1::LocalEnd>,
}

impl Client {
    pub(crate) fn begin(secret: &Secret, config: HandshakeConfig, entropy: Entropy) -> Next<State> {
        let Entropy {
            nonce,
            exponent,
            x25519,
            mlkem,
        } = entropy;
        if config.versions == Versions::Only(Version::V1) {
            // A client that does version 1 only sends 32 random bytes as before.
            let local = v1::LocalEnd::new(config, *nonce, exponent);
            return v1::Client::begin(secret.clone(), local).map(State::ClientV1);
        }
        // nonce_C = r_C ‖ HMAC(K_tag, "C" ‖ r_C)[0..8]
        let nonce_c = v2::client_nonce(secret.v2(), &nonce);
        let v1_is_allowed = config.versions.allow(Version::V1);
        let nonces = ClientNonces {
            secret: secret.clone(),
            nonce_c,
            v1: v1_is_allowed.then(|| v1::LocalEnd::new(config, nonce_c, exponent)),
        };
        let then = Next::Compute {
            work: Work::Short,
            state: Self::KeyPair {
                nonces,
                c: x25519,
                mlkem,
            },
        };
        // The client sends nonce_C at once.
        Next::send(nonce_c.to_vec(), then).map(State::Client)
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<State>, Error> {
        match self {
            Self::KeyPair { nonces, c, mlkem } => {
                let local = v2::LocalEnd::new(Library::fastest(), c, mlkem);
                let state = Self::Nonce { nonces, local };
                Ok(Next::Receive {
                    len: size_of::<Nonce>(),
                    state,
                }
                .map(State::Client))
            }

            // The client reads 32 bytes. The tag is right for its nonce_C: version 2. Else version 1
            // with these nonces, if allowed; else it resets the connection.
            Self::Nonce {
                nonces:
                    ClientNonces {
                        secret,
                        nonce_c,
                        v1,
                    },
                local,
            } => {
                let nonce_s = nonce(message)?;
                if v2::is_server_nonce(secret.v2(), &nonce_c, &nonce_s).into() {
                    let client = v2::Client::begin(secret, local, &nonce_c, &nonce_s);
                    return Ok(client.map(State::ClientV2));
                }
                let local = v1.ok_or(Error::Version)?;
                Ok(v1::Client::begin_with(secret, local, nonce_s).map(State::ClientV1))
            }
        }
    }
}

/// The states of a server that allows version 2, by what each waits for.
pub(crate) enum Server {
    /// A message: nonce_C.
    Nonce {
        keys: Keyring,
        config: HandshakeConfig,
        entropy: Entropy,
    },
    /// Arithmetic: which of many keys its tag is made with.
    Trial {
        keys: Keyring,
        config: HandshakeConfig,
        entropy: Entropy,
        nonce_c: Nonce,
    },
}

impl Server {
    pub(crate) fn begin(keys: Keyring, config: HandshakeConfig, entropy: Entropy) -> Next<State> {
        if config.versions == Versions::Only(Version::V1) {
            // A server that allows version 1 only does not wait and looks at no tag.
            let local = v1::LocalEnd::new(config, *entropy.nonce, entropy.exponent);
            return v1::Server::begin(keys, local).map(State::ServerV1);
        }
        // The server waits for all 32 bytes of nonce_C.
        let state = Self::Nonce {
            keys,
            config,
            entropy,
        };
        Next::Receive {
            len: size_of::<Nonce>(),
            state,
        }
        .map(State::Server)
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<State>, Error> {
        match self {
            Self::Nonce {
                keys,
                config,
                entropy,
            } => {
                let is_short = v2::is_short(&keys);
                let trial = Self::Trial {
                    keys,
                    config,
                    entropy,
                    nonce_c: nonce(message)?,
                };
                match is_short {
                    true => trial.next(&[]),
                    false => Ok(Next::Compute {
                        work: Work::LongForStranger,
                        state: trial,
                    }
                    .map(State::Server)),
                }
            }

            Self::Trial {
                keys,
                config,
                entropy,
                nonce_c,
            } => {
                // Its tag is right under a key of the server: version 2 with that key.
                if let Some(index) = v2::find(&keys, &nonce_c) {
                    let secret = keys.get(index).ok_or(Error::Version)?.clone();
                    let key = v2::MatchedKey { index, secret };
                    let server = v2::Server::begin(Library::fastest(), key, entropy, nonce_c);
                    return Ok(server.map(State::ServerV2));
                }
                // Else it resets the connection without having sent a byte,
                if !config.versions.allow(Version::V1) {
                    return Err(Error::Version);
                }
                // or, if version 1 is allowed, it sends 32 random bytes as nonce_S and goes on with
                // version 1, with nonce_C as the client's nonce.
                let local = v1::LocalEnd::new(config, *entropy.nonce, entropy.exponent);
                Ok(v1::Server::begin_with(keys, local, nonce_c).map(State::ServerV1))
            }
        }
    }
}

fn nonce(message: &[u8]) -> Result<Nonce, Error> {
    message.try_into().map_err(|_| Error::TruncatedHandshake)
}
