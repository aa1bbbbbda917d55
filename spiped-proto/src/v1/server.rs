//! The server's handshake from top to bottom (protocol v1, "Handshake").

use alloc::boxed::Box;

use super::kdf::SaltedKeys;
use super::local_end::LocalEnd;
use super::messages::{Hello, array};
use super::packet::{Opener, Sealer};
use super::{NONCE_LEN, Nonce, keyring};
use crate::config::Version;
use crate::crypto::group14::{self, Element};
use crate::error::Error;
use crate::keyring::Keyring;
use crate::next::{Next, Work};
use crate::session::Session;

/// The states of a server, by what each waits for.
pub(crate) enum Server {
    /// A message: nonce_C.
    Nonce { local: LocalEnd, keys: Keyring },
    /// A message: `y_C ‖ h_C`.
    Hello {
        local: LocalEnd,
        keys: Keyring,
        nonce_c: Nonce,
    },
    /// Arithmetic: which of many keys h_C is made with.
    Trial {
        local: LocalEnd,
        keys: Keyring,
        nonce_c: Nonce,
        hello: Hello,
    },
    /// Arithmetic: y_S.
    PublicValue {
        local: LocalEnd,
        salted: SaltedKeys,
        y_c: Box<Element>,
    },
    /// Arithmetic: y_SC.
    SharedValue {
        local: LocalEnd,
        salted: SaltedKeys,
        y_c: Box<Element>,
    },
}

impl Server {
    /// Begins where version 1 alone is allowed.
    pub(crate) fn begin(keys: Keyring, local: LocalEnd) -> Next<Self> {
        // 1. Each end sends 32 fresh random bytes at once, without waiting for the other.
        let nonce_s = local.nonce.to_vec();
        let then = Next::Receive {
            len: NONCE_LEN,
            state: Self::Nonce { local, keys },
        };
        Next::send(nonce_s, then)
    }

    /// Begins once the client has sent its nonce.
    pub(crate) fn begin_with(keys: Keyring, local: LocalEnd, nonce_c: Nonce) -> Next<Self> {
        let nonce_s = local.nonce.to_vec();
        Next::send(nonce_s, Self::await_hello(local, keys, nonce_c))
    }

    fn await_hello(local: LocalEnd, keys: Keyring, nonce_c: Nonce) -> Next<Self> {
        Next::Receive {
            len: Hello::LEN,
            state: Self::Hello {
                local,
                keys,
                nonce_c,
            },
        }
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<Self>, Error> {
        match self {
            Self::Nonce { local, keys } => Ok(Self::await_hello(local, keys, array(message)?)),

            Self::Hello {
                local,
                keys,
                nonce_c,
            } => {
                let hello = Hello::parse(message)?;
                let is_short = keyring::is_short(&keys);
                let trial = Self::Trial {
                    local,
                    keys,
                    nonce_c,
                    hello,
                };
                match is_short {
                    true => trial.next(&[]),
                    false => Ok(Next::Compute {
                        work: Work::LongForStranger,
                        state: trial,
                    }),
                }
            }

            Self::Trial {
                local,
                keys,
                nonce_c,
                hello,
            } => {
                // 4. The server checks the MAC in constant time, under each of its keys,
                let nonces = [nonce_c, local.nonce];
                let key = keyring::find(&keys, &nonces, &hello).ok_or(Error::HandshakeMac)?;
                let secret = keys.get(key).ok_or(Error::HandshakeMac)?.clone();
                // then that y_C is one to go on with. It drops the connection on any fault.
                local.check(&hello.y)?;
                // 2. Both derive dhmac_C ‖ dhmac_S, 32 bytes each, from K and both nonces.
                let salted = SaltedKeys::derive(secret, nonces);
                let y_c = hello.y;
                let then = match local.has_forward_secrecy() {
                    true => Next::Compute {
                        work: Work::Long,
                        state: Self::PublicValue { local, salted, y_c },
                    },
                    false => Self::answer(local, salted, y_c),
                };
                Ok(Next::authenticated(key, Version::V1, then))
            }

            // 4. y_S = 2^x_S mod p
            Self::PublicValue { local, salted, y_c } => Ok(Self::answer(local, salted, y_c)),

            // 6. Both compute y_SC and derive four keys of 32 bytes from K, both nonces and y_SC.
            Self::SharedValue { local, salted, y_c } => {
                Ok(session(&salted, &local.shared_value(&y_c), true))
            }
        }
    }

    /// Only once y_C is checked does the server send y_S = 2^x_S mod p and its MAC.
    fn answer(local: LocalEnd, salted: SaltedKeys, y_c: Box<Element>) -> Next<Self> {
        let hello = Hello::seal(&local.public_value(), &salted.dhmac_s());
        let then = match local.shares_value_with(&y_c) {
            true => Next::Compute {
                work: Work::Long,
                state: Self::SharedValue { local, salted, y_c },
            },
            false => session(&salted, &group14::ONE, false),
        };
        Next::send(hello, then)
    }
}

/// E_C and H_C serve the client's packets, E_S and H_S those of the server.
fn session(salted: &SaltedKeys, y_sc: &Element, forward_secrecy: bool) -> Next<Server> {
    let keys = salted.session_keys(y_sc);
    let (sealer, opener) = (Sealer::new(keys.server()), Opener::new(keys.client()));
    Next::Done(Box::new(Session::v1(sealer, opener, forward_secrecy)))
}
