//! Version 2: nonces, hellos, and the secrets that come of them (sections 0 to 2).

mod records;
#[cfg(test)]
mod tests;

use ml_kem::kem::Decapsulate;
use ml_kem::{KeyExport, ml_kem_768};
use sha2::{Digest, Sha256};
use spiped_proto::{Error, Version};

pub(crate) use records::{BODY_OVERHEAD, DATA, END, HEADER_LEN, padded};
pub use records::{DATA_LEN, Secret, open_with, seal_with};

use super::{Direction, Expected, Key, Outcome, gcm, hmac};

/// H_S is a sealed X_S ‖ ek, H_C a sealed X_C ‖ ct.
pub(crate) const SERVER_HELLO_LEN: usize = 32 + EK_LEN + gcm::TAG_LEN;
pub(crate) const CLIENT_HELLO_LEN: usize = 32 + CT_LEN + gcm::TAG_LEN;
pub(crate) const EK_LEN: usize = 1184;
pub(crate) const CT_LEN: usize = 1088;

/// Expand(prk, info, 32)
fn expand(prk: &Key, info: &[&[u8]]) -> Key {
    hmac(prk, &[&info.concat(), &[1]])
}

/// The three keys that are made of K.
#[derive(Clone, Debug)]
pub struct Keys {
    tag: Key,
    hello: Key,
    mix: Key,
}

impl Keys {
    /// From K.
    pub fn new(k: &Key) -> Self {
        let [tag, hello, mix] = ["spiped v2 tag", "spiped v2 hello", "spiped v2 keys"]
            .map(|label| hmac(k, &[label.as_bytes()]));
        Self { tag, hello, mix }
    }
}

fn tagged(r: &[u8; 24], tag: [u8; 32]) -> Key {
    [&r[..], &tag[..8]].concat().try_into().unwrap()
}

/// nonce_C
pub fn client_nonce(keys: &Keys, r: &[u8; 24]) -> Key {
    tagged(r, hmac(&keys.tag, &[b"C", r]))
}

/// nonce_S
pub fn server_nonce(keys: &Keys, nonce_c: &Key, r: &[u8; 24]) -> Key {
    tagged(r, hmac(&keys.tag, &[b"S", nonce_c, r]))
}

/// The value of X25519; zeros are for the caller to refuse.
pub fn x25519(private: &Key, public: &Key) -> Key {
    x25519_dalek::x25519(*private, *public)
}

/// The public half of an X25519 pair.
pub fn x25519_public(private: &Key) -> Key {
    x25519(private, &x25519_dalek::X25519_BASEPOINT_BYTES)
}

/// An ML-KEM-768 key pair from d and z.
struct KemPair(ml_kem_768::DecapsulationKey);

impl KemPair {
    fn new([d, z]: &[Key; 2]) -> Self {
        let seed: [u8; 64] = [*d, *z].concat().try_into().unwrap();
        Self(ml_kem_768::DecapsulationKey::from_seed(seed.into()))
    }

    fn ek(&self) -> Vec<u8> {
        self.0.encapsulation_key().to_bytes().to_vec()
    }

    fn decapsulate(&self, ct: &[u8]) -> Key {
        let ct: [u8; CT_LEN] = ct.try_into().unwrap();
        self.0.decapsulate(&ct.into()).into()
    }
}

/// ek of the pair from d and z.
pub fn encapsulation_key(seeds: &[Key; 2]) -> Vec<u8> {
    KemPair::new(seeds).ek()
}

/// ss_M of a ct for the pair from d and z.
pub fn decapsulate(seeds: &[Key; 2], ct: &[u8]) -> Key {
    KemPair::new(seeds).decapsulate(ct)
}

/// ct and ss_M, unless ek fails its check.
pub fn encapsulate(ek: &[u8], m: &Key) -> Option<(Vec<u8>, Key)> {
    let ek: [u8; EK_LEN] = ek.try_into().unwrap();
    // Section 7.2 of FIPS 203: every one of the 768 coefficients of 12 bits is below q.
    let below_q = |three: &[u8]| {
        let (a, b, c) = (three[0] as u16, three[1] as u16, three[2] as u16);
        (a | (b & 15) << 8) < 3329 && (b >> 4 | c << 4) < 3329
    };
    if !ek[..1152].chunks(3).all(below_q) {
        return None;
    }
    let ek = ml_kem_768::EncapsulationKey::new((&ek).into()).unwrap();
    let (ct, ss_m) = ek.encapsulate_deterministic(m.into());
    Some((ct.to_vec(), ss_m.into()))
}

/// What both ends know once both nonces are there.
#[derive(Clone, Debug)]
pub struct Nonces {
    /// Those of the key file.
    pub keys: Keys,
    /// What the client sends first.
    pub nonce_c: Key,
    /// What the server sends first.
    pub nonce_s: Key,
}

impl Nonces {
    /// T0
    pub fn t0(&self) -> Key {
        let label: &[u8] = b"spiped v2 handshake";
        Sha256::digest([label, &self.nonce_c, &self.nonce_s].concat()).into()
    }

    /// k_S, which H_S is sealed with.
    pub fn k_s(&self) -> Key {
        expand(&self.keys.hello, &[b"server", &self.t0()])
    }

    /// k_C, which H_C is sealed with.
    pub fn k_c(&self) -> Key {
        expand(&self.keys.hello, &[b"client", &self.t0()])
    }

    /// t_C and t_S, from both shared secrets and T2.
    pub fn secrets(&self, ss_m: &Key, ss_x: &Key, t2: &Key) -> [Secret; 2] {
        secrets_of(&self.prk(ss_m, ss_x, t2))
    }

    fn prk(&self, ss_m: &Key, ss_x: &Key, t2: &Key) -> Key {
        hmac(&self.keys.mix, &[ss_m, ss_x, t2])
    }
}

/// T1 from T0 and H_S, or T2 from T1 and H_C.
pub fn transcript(before: &Key, hello: &[u8]) -> Key {
    Sha256::digest([before, hello].concat()).into()
}

/// t_C and t_S.
fn traffic_secrets(prk: &Key) -> [Direction; 2] {
    secrets_of(prk).map(Direction::V2)
}

fn secrets_of(prk: &Key) -> [Secret; 2] {
    let labels: [&[u8]; 2] = [b"client records", b"server records"];
    labels.map(|label| Secret(expand(prk, &[label])))
}

/// One end of a handshake, either role.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) nonces: Nonces,
    /// c or s
    pub(crate) private: Key,
    /// d and z, or m in the first place
    pub(crate) seeds: [Key; 2],
}

impl Handshake {
    /// H_S
    fn server_hello(&self) -> Vec<u8> {
        let (k_s, t0) = (self.nonces.k_s(), self.nonces.t0());
        let public = [
            x25519_public(&self.private).to_vec(),
            KemPair::new(&self.seeds).ek(),
        ];
        gcm::seal(&k_s, [0; 12], &t0, &public.concat())
    }

    /// What a server of a client with this key does, behind nonce_C.
    pub(crate) fn expected_of_server(&self, rest: &[u8], key: usize) -> Expected {
        let h_s = self.server_hello();
        let mut expected = Expected {
            sent: [&self.nonces.nonce_s[..], &h_s].concat(),
            proved: None,
            outcome: Outcome::Waiting(CLIENT_HELLO_LEN.saturating_sub(rest.len())),
        };
        let Some(h_c) = rest.get(..CLIENT_HELLO_LEN) else {
            return expected;
        };
        let t1 = transcript(&self.nonces.t0(), &h_s);
        expected.outcome = match gcm::open(&self.nonces.k_c(), [0; 12], &t1, h_c) {
            None => Outcome::Failed(Error::HelloTag),
            Some(public) => {
                expected.proved = Some((key, Version::V2));
                let (x_c, ct) = public.split_first_chunk().unwrap();
                let ss_x = x25519(&self.private, x_c);
                let ss_m = KemPair::new(&self.seeds).decapsulate(ct);
                match ss_x == [0; 32] {
                    true => Outcome::Failed(Error::PublicValueRange),
                    false => {
                        let prk = self.nonces.prk(&ss_m, &ss_x, &transcript(&t1, h_c));
                        let [peers, own] = traffic_secrets(&prk);
                        Outcome::Done { own, peers }
                    }
                }
            }
        };
        expected
    }

    /// What a client does, behind nonce_S.
    pub(crate) fn expected_of_client(&self, rest: &[u8]) -> Expected {
        let mut expected = Expected {
            sent: self.nonces.nonce_c.to_vec(),
            proved: None,
            outcome: Outcome::Waiting(SERVER_HELLO_LEN.saturating_sub(rest.len())),
        };
        let Some(h_s) = rest.get(..SERVER_HELLO_LEN) else {
            return expected;
        };
        let t0 = self.nonces.t0();
        let Some(public) = gcm::open(&self.nonces.k_s(), [0; 12], &t0, h_s) else {
            expected.outcome = Outcome::Failed(Error::HelloTag);
            return expected;
        };
        expected.proved = Some((0, Version::V2));
        let (x_s, ek) = public.split_first_chunk().unwrap();
        let ss_x = x25519(&self.private, x_s);
        let (Some((ct, ss_m)), false) = (encapsulate(ek, &self.seeds[0]), ss_x == [0; 32]) else {
            expected.outcome = Outcome::Failed(Error::PublicValueRange);
            return expected;
        };
        let t1 = transcript(&t0, h_s);
        let public = [&x25519_public(&self.private)[..], &ct].concat();
        let h_c = gcm::seal(&self.nonces.k_c(), [0; 12], &t1, &public);
        let prk = self.nonces.prk(&ss_m, &ss_x, &transcript(&t1, &h_c));
        let [own, peers] = traffic_secrets(&prk);
        expected.sent.extend(h_c);
        expected.outcome = Outcome::Done { own, peers };
        expected
    }
}

/// A hello that a holder of the key seals as it likes.
pub fn seal_hello(key: &Key, aad: &[u8], public: &[u8]) -> Vec<u8> {
    gcm::seal(key, [0; 12], aad, public)
}

/// What a hello holds.
pub fn open_hello(key: &Key, aad: &[u8], hello: &[u8]) -> Option<Vec<u8>> {
    gcm::open(key, [0; 12], aad, hello)
}
