//! The client's handshake from top to bottom (protocol v1, "Handshake").

use alloc::boxed::Box;

use super::kdf::SaltedKeys;
use super::local_end::LocalEnd;
use super::messages::{Hello, array};
use super::packet::{Opener, Sealer};
use super::{NONCE_LEN, Nonce};
use crate::config::Version;
use crate::crypto::group14::{self, Element};
use crate::error::Error;
use crate::next::{Next, Work};
use crate::secret::Secret;
use crate::session::Session;

/// The states of a client, by what each waits for.
pub(crate) enum Client {
    /// Arithmetic: y_C.
    PublicValue {
        local: LocalEnd,
        secret: Secret,
        /// It is there already where the versions were negotiated.
        nonce_s: Option<Nonce>,
    },
    /// A message: nonce_S.
    Nonce {
        local: LocalEnd,
        secret: Secret,
        y_c: Box<Element>,
    },
    /// A message: `y_S ‖ h_S`.
    Hello { local: LocalEnd, salted: SaltedKeys },
    /// Arithmetic: y_SC.
    SharedValue {
        local: LocalEnd,
        salted: SaltedKeys,
        y_s: Box<Element>,
    },
}

impl Client {
    /// Begins where version 1 alone is allowed.
    pub(crate) fn begin(secret: Secret, local: LocalEnd) -> Next<Self> {
        // 1. Each end sends 32 fresh random bytes at once, without waiting for the other.
        let nonce_c = local.nonce.to_vec();
        // y_C depends on nothing that the server says: it is computed while its nonce travels.
        Next::send(nonce_c, Self::public_value(local, secret, None))
    }

    /// Begins once both ends have sent their nonces.
    pub(crate) fn begin_with(secret: Secret, local: LocalEnd, nonce_s: Nonce) -> Next<Self> {
        Self::public_value(local, secret, Some(nonce_s))
    }

    fn public_value(local: LocalEnd, secret: Secret, nonce_s: Option<Nonce>) -> Next<Self> {
        match local.has_forward_secrecy() {
            true => Next::Compute {
                work: Work::Long,
                state: Self::PublicValue {
                    local,
                    secret,
                    nonce_s,
                },
            },
            false => Self::with_public_value(local, secret, nonce_s),
        }
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<Self>, Error> {
        match self {
            Self::PublicValue {
                local,
                secret,
                nonce_s,
            } => Ok(Self::with_public_value(local, secret, nonce_s)),

            Self::Nonce { local, secret, y_c } => {
                Ok(Self::hello(local, secret, array(message)?, &y_c))
            }

            Self::Hello { local, salted } => {
                // 5. The client checks y_S in the same way.
                let hello = Hello::parse(message)?;
                hello.check(&salted.dhmac_s())?;
                local.check(&hello.y)?;
                let y_s = hello.y;
                let then = match local.shares_value_with(&y_s) {
                    true => Next::Compute {
                        work: Work::Long,
                        state: Self::SharedValue { local, salted, y_s },
                    },
                    false => session(&salted, &group14::ONE, false),
                };
                Ok(Next::authenticated(0, Version::V1, then))
            }

            // 6. Both compute y_SC and derive four keys of 32 bytes from K, both nonces and y_SC.
            Self::SharedValue { local, salted, y_s } => {
                Ok(session(&salted, &local.shared_value(&y_s), true))
            }
        }
    }

    fn with_public_value(local: LocalEnd, secret: Secret, nonce_s: Option<Nonce>) -> Next<Self> {
        // 3. y_C = 2^x_C mod p
        let y_c = local.public_value();
        match nonce_s {
            Some(nonce_s) => Self::hello(local, secret, nonce_s, &y_c),
            None => Next::Receive {
                len: NONCE_LEN,
                state: Self::Nonce { local, secret, y_c },
            },
        }
    }

    fn hello(local: LocalEnd, secret: Secret, nonce_s: Nonce, y_c: &Element) -> Next<Self> {
        // 2. Both derive dhmac_C ‖ dhmac_S, 32 bytes each, from K and both nonces.
        let salted = SaltedKeys::derive(secret, [local.nonce, nonce_s]);
        // 3. The client sends y_C = 2^x_C mod p as 256 bytes, and its MAC.
        let hello = Hello::seal(y_c, &salted.dhmac_c());
        let then = Next::Receive {
            len: Hello::LEN,
            state: Self::Hello { local, salted },
        };
        Next::send(hello, then)
    }
}

/// E_C and H_C serve the client's packets, E_S and H_S those of the server.
fn session(salted: &SaltedKeys, y_sc: &Element, forward_secrecy: bool) -> Next<Client> {
    let keys = salted.session_keys(y_sc);
    let (sealer, opener) = (Sealer::new(keys.client()), Opener::new(keys.server()));
    Next::Done(Box::new(Session::v1(sealer, opener, forward_secrecy)))
}
