//! The server's handshake from top to bottom, behind nonce_C (protocol v2, section 2).

use alloc::boxed::Box;

use super::kdf::{self, Transcript};
use super::messages::{ClientHello, ServerHello};
use super::record::{Opener, Sealer};
use super::{Nonce, key_exchange, key_pairs};
use crate::config::Version;
use crate::crypto::mlkem::DecapsulationKey;
use crate::crypto::{Library, x25519};
use crate::entropy::Entropy;
use crate::error::Error;
use crate::next::Next;
use crate::secret::Secret;
use crate::session::Session;

/// The states of a server, by what each waits for.
pub(crate) enum Server {
    /// Arithmetic: both key pairs.
    KeyPairs {
        library: Library,
        entropy: Entropy,
        key: MatchedKey,
        nonce_c: Nonce,
    },
    /// A message: H_C.
    Hello {
        local: KeyPairs,
        key: MatchedKey,
        t0: Transcript,
        t1: Transcript,
    },
    /// Arithmetic: ss_X and ss_M.
    KeyExchange {
        local: KeyPairs,
        key: MatchedKey,
        t2: Transcript,
        hello: ClientHello,
    },
}

/// The key under which the tag of nonce_C is right.
pub(crate) struct MatchedKey {
    pub(crate) index: usize,
    pub(crate) secret: Secret,
}

/// The private halves s and dk of a fresh X25519 pair and a fresh ML-KEM-768 pair.
pub(crate) struct KeyPairs {
    library: Library,
    s: Box<x25519::PrivateKey>,
    dk: DecapsulationKey,
}

impl Server {
    /// Begins once the tag of nonce_C is right under a key.
    pub(crate) fn begin(
        library: Library,
        key: MatchedKey,
        entropy: Entropy,
        nonce_c: Nonce,
    ) -> Next<Self> {
        Next::Compute {
            // Whoever has recorded nonce_C can send it again.
            work: key_pairs(library),
            state: Self::KeyPairs {
                library,
                entropy,
                key,
                nonce_c,
            },
        }
    }

    /// Goes on with a message that has been waited for, or with arithmetic.
    pub(crate) fn next(self, message: &[u8]) -> Result<Next<Self>, Error> {
        match self {
            Self::KeyPairs {
                library,
                entropy,
                key,
                nonce_c,
            } => {
                let keys = key.secret.v2();
                // nonce_S = r_S ‖ HMAC(K_tag, "S" ‖ nonce_C ‖ r_S)[0..8]
                let nonce_s = kdf::server_nonce(keys, &nonce_c, &entropy.nonce);
                // T0 = SHA-256("spiped v2 handshake" ‖ nonce_C ‖ nonce_S)
                let t0 = kdf::t0(&nonce_c, &nonce_s);
                // server: fresh ML-KEM-768 pair (dk, ek); fresh X25519 pair (s, X_S)
                let dk = DecapsulationKey::generate(library, &entropy.mlkem);
                let s = entropy.x25519;
                let x_s = x25519::public_key(library, &s);
                // k_S = Expand(K_hello, "server" ‖ T0, 32)
                let k_s = kdf::k_s(keys, &t0);
                // H_S = Seal(k_S, 0^12, T0, X_S ‖ ek), right behind nonce_S
                let h_s = ServerHello::seal(library, &k_s, &t0, &x_s, &dk.encapsulation_key())?;
                // T1 = SHA-256(T0 ‖ H_S)
                let t1 = kdf::transcript(&t0, &h_s);
                let local = KeyPairs { library, s, dk };
                let then = Next::Receive {
                    len: ClientHello::LEN,
                    state: Self::Hello { local, key, t0, t1 },
                };
                Ok(Next::send([&nonce_s[..], &h_s].concat(), then))
            }

            Self::Hello { local, key, t0, t1 } => {
                // k_C = Expand(K_hello, "client" ‖ T0, 32)
                let k_c = kdf::k_c(key.secret.v2(), &t0);
                // server: opens H_C: this proves the key. Only now is a target dialled.
                let hello = ClientHello::open(local.library, &k_c, &t1, message)?;
                // T2 = SHA-256(T1 ‖ H_C)
                let t2 = kdf::transcript(&t1, message);
                let index = key.index;
                let then = Next::Compute {
                    work: key_exchange(local.library),
                    state: Self::KeyExchange {
                        local,
                        key,
                        t2,
                        hello,
                    },
                };
                Ok(Next::authenticated(index, Version::V2, then))
            }

            Self::KeyExchange {
                local: KeyPairs { library, s, dk },
                key,
                t2,
                hello,
            } => {
                // ss_M = Decaps(dk, ct)
                let ss_m = dk.decapsulate(&hello.kem);
                // ss_X = X25519(s, X_C); fault: ss_X of all zeros
                let ss_x = x25519::shared_secret(library, &s, &hello.x);
                let ss_x = ss_x.ok_or(Error::PublicValueRange)?;
                // PRK = Extract(K_mix, ss_M ‖ ss_X ‖ T2)
                let prk = kdf::prk(key.secret.v2(), &ss_m, &ss_x, &t2);
                let (t_c, t_s) = kdf::traffic_secrets(&prk);
                let (sealer, opener) = (Sealer::new(library, &t_s), Opener::new(library, &t_c));
                Ok(Next::Done(Box::new(Session::v2(sealer, opener))))
            }
        }
    }
}
