//! The client's handshake from top to bottom, behind the nonces (protocol v2, section 2).

use alloc::boxed::Box;

use super::kdf::{self, Transcript};
use super::messages::{ClientHello, ServerHello};
use super::record::{Opener, Sealer};
use super::{Nonce, key_exchange};
use crate::config::Version;
use crate::crypto::{Library, mlkem, x25519};
use crate::error::Error;
use crate::next::Next;
use crate::secret::Secret;
use crate::session::Session;

/// The states of a client, by what each waits for.
pub(crate) enum Client {
    /// A message: H_S.
    Hello {
        local: LocalEnd,
        secret: Secret,
        t0: Transcript,
    },
    /// Arithmetic: ss_M and ss_X.
    KeyExchange {
        local: LocalEnd,
        secret: Secret,
        t0: Transcript,
        t1: Transcript,
        hello: ServerHello,
    },
}

/// The ephemeral keys of this end.
pub(crate) struct LocalEnd {
    library: Library,
    /// A fresh X25519 pair (c, X_C).
    c: Box<x25519::PrivateKey>,
    x_c: [u8; x25519::LEN],
    /// m in the first half.
    mlkem: Box<mlkem::Seed>,
}

impl LocalEnd {
    pub(crate) fn new(
        library: Library,
        c: Box<x25519::PrivateKey>,
        mlkem: Box<mlkem::Seed>,
    ) -> Self {
        let x_c = x25519::public_key(library, &c);
        Self {
            library,
            c,
            x_c,
            mlkem,
        }
    }
}

impl Client {
    /// Begins once the tag of nonce_S is right.
    pub(crate) fn begin(
        secret: Secret,
        local: LocalEnd,
        nonce_c: &Nonce,
        nonce_s: &Nonce,
    ) -> Next<Self> {
        // T0 = SHA-256("spiped v2 handshake" ‖ nonce_C ‖ nonce_S)
        let t0 = kdf::t0(nonce_c, nonce_s);
        Next::Receive {
            len: ServerHello::LEN,
            state: Self::Hello { local, secret, t0 },
        }
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<Self>, Error> {
        match self {
            Self::Hello { local, secret, t0 } => {
                // k_S = Expand(K_hello, "server" ‖ T0, 32)
                let k_s = kdf::k_s(secret.v2(), &t0);
                // client: opens H_S;
                let hello = ServerHello::open(local.library, &k_s, &t0, message)?;
                // T1 = SHA-256(T0 ‖ H_S)
                let t1 = kdf::transcript(&t0, message);
                let then = Next::Compute {
                    work: key_exchange(local.library),
                    state: Self::KeyExchange {
                        local,
                        secret,
                        t0,
                        t1,
                        hello,
                    },
                };
                Ok(Next::authenticated(0, Version::V2, then))
            }

            Self::KeyExchange {
                local,
                secret,
                t0,
                t1,
                hello,
            } => {
                let LocalEnd {
                    library,
                    c,
                    x_c,
                    mlkem: m,
                } = local;
                let (m, _) = m.split_first_chunk().ok_or(Error::PublicValueRange)?;
                // (ct, ss_M) = Encaps(ek); fault: ek that fails FIPS 203's check
                let encapsulated = mlkem::encapsulate(library, &hello.kem, m);
                let (ct, ss_m) = encapsulated.ok_or(Error::PublicValueRange)?;
                // ss_X = X25519(c, X_S); a client whose ss_X is zero sends nothing of H_C
                let ss_x = x25519::shared_secret(library, &c, &hello.x);
                let ss_x = ss_x.ok_or(Error::PublicValueRange)?;
                // k_C = Expand(K_hello, "client" ‖ T0, 32)
                let k_c = kdf::k_c(secret.v2(), &t0);
                // H_C = Seal(k_C, 0^12, T1, X_C ‖ ct)
                let h_c = ClientHello::seal(library, &k_c, &t1, &x_c, &ct)?;
                // T2 = SHA-256(T1 ‖ H_C)
                let t2 = kdf::transcript(&t1, &h_c);
                // PRK = Extract(K_mix, ss_M ‖ ss_X ‖ T2)
                let prk = kdf::prk(secret.v2(), &ss_m, &ss_x, &t2);
                let (t_c, t_s) = kdf::traffic_secrets(&prk);
                let (sealer, opener) = (Sealer::new(library, &t_c), Opener::new(library, &t_s));
                // The client may send records right behind H_C.
                let then = Next::Done(Box::new(Session::v2(sealer, opener)));
                Ok(Next::send(h_c, then))
            }
        }
    }
}
