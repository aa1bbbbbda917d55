//! Keys, tags and transcripts: HMAC-SHA256 and SHA-256 of what protocol v2, sections 1 to 3, says.

use alloc::boxed::Box;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::Nonce;
use crate::crypto::hmac::HmacKey;

/// 32 secret bytes on the heap, wiped when dropped: to move them leaves no copy behind.
pub(crate) type Key = Box<Zeroizing<[u8; 32]>>;
pub(super) type Transcript = [u8; 32];

/// r_C or r_S, the random part of a nonce. The other 8 bytes are its tag.
const RANDOM_LEN: usize = 24;

/// The HMAC keys that version 2 derives from K.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(super) tag: HmacKey,
    pub(super) hello: HmacKey,
    pub(super) mix: HmacKey,
}

impl Keys {
    pub(crate) fn derive(k: &HmacKey) -> Self {
        let key = |label: &str| HmacKey::new(&tag(k, &[label.as_bytes()]));
        Self {
            // K_tag = HMAC(K, "spiped v2 tag")
            tag: key("spiped v2 tag"),
            // K_hello = HMAC(K, "spiped v2 hello")
            hello: key("spiped v2 hello"),
            // K_mix = HMAC(K, "spiped v2 keys")
            mix: key("spiped v2 keys"),
        }
    }
}

/// nonce_C = r_C ‖ HMAC(K_tag, "C" ‖ r_C)[0..8], where r_C is the first 24 bytes of `random`.
pub(crate) fn client_nonce(keys: &Keys, random: &Nonce) -> Nonce {
    with_tag(random, |r_c| keys.tag.tag(&[b"C", r_c]))
}

/// nonce_S = r_S ‖ HMAC(K_tag, "S" ‖ nonce_C ‖ r_S)[0..8], where r_S is the first 24 bytes of
/// `random`.
pub(super) fn server_nonce(keys: &Keys, nonce_c: &Nonce, random: &Nonce) -> Nonce {
    with_tag(random, |r_s| keys.tag.tag(&[b"S", nonce_c, r_s]))
}

/// Whether the tag of nonce_C is right, found out in constant time.
pub(super) fn is_client_nonce(keys: &Keys, nonce_c: &Nonce) -> Choice {
    client_nonce(keys, nonce_c).ct_eq(nonce_c)
}

/// Whether the tag of nonce_S is right for nonce_C, found out in constant time.
pub(crate) fn is_server_nonce(keys: &Keys, nonce_c: &Nonce, nonce_s: &Nonce) -> Choice {
    server_nonce(keys, nonce_c, nonce_s).ct_eq(nonce_s)
}

fn with_tag(random: &Nonce, tag: impl FnOnce(&[u8]) -> [u8; 32]) -> Nonce {
    let mut nonce = *random;
    let (random, to) = nonce.split_at_mut(RANDOM_LEN);
    for (to, from) in to.iter_mut().zip(tag(random)) {
        *to = from;
    }
    nonce
}

/// T0 = SHA-256("spiped v2 handshake" ‖ nonce_C ‖ nonce_S)
pub(super) fn t0(nonce_c: &Nonce, nonce_s: &Nonce) -> Transcript {
    sha256(&[b"spiped v2 handshake", nonce_c, nonce_s])
}

/// T1 = SHA-256(T0 ‖ H_S), and T2 = SHA-256(T1 ‖ H_C).
pub(super) fn transcript(before: &Transcript, hello: &[u8]) -> Transcript {
    sha256(&[before, hello])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// k_S = Expand(K_hello, "server" ‖ T0, 32)
pub(super) fn k_s(keys: &Keys, t0: &Transcript) -> Key {
    expand(&keys.hello, "server", t0)
}

/// k_C = Expand(K_hello, "client" ‖ T0, 32)
pub(super) fn k_c(keys: &Keys, t0: &Transcript) -> Key {
    expand(&keys.hello, "client", t0)
}

/// PRK = Extract(K_mix, ss_M ‖ ss_X ‖ T2)
pub(super) fn prk(keys: &Keys, ss_m: &[u8; 32], ss_x: &[u8; 32], t2: &Transcript) -> Key {
    tag(&keys.mix, &[ss_m, ss_x, t2])
}

/// t_C and t_S.
pub(super) fn traffic_secrets(prk: &Key) -> (Key, Key) {
    let prk = HmacKey::new(prk);
    // t_C = Expand(PRK, "client records", 32)
    let t_c = expand(&prk, "client records", b"");
    // t_S = Expand(PRK, "server records", 32)
    let t_s = expand(&prk, "server records", b"");
    (t_c, t_s)
}

/// key_e = Expand(t_e, "key", 32), and t_(e+1) = Expand(t_e, "next", 32).
pub(super) fn epoch(t: &Key) -> (Key, Key) {
    let t = HmacKey::new(t);
    (expand(&t, "key", b""), expand(&t, "next", b""))
}

/// Expand(prk, label ‖ context, 32) = HMAC(prk, label ‖ context ‖ 0x01)
fn expand(prk: &HmacKey, label: &str, context: &[u8]) -> Key {
    tag(prk, &[label.as_bytes(), context, &[1]])
}

/// HMAC(key, parts) that is a key itself.
fn tag(key: &HmacKey, parts: &[&[u8]]) -> Key {
    let mut tag = Box::new(Zeroizing::new([0; 32]));
    key.tag_into(parts, &mut tag);
    tag
}
