//! The two hellos, H_S and H_C: an X25519 value and one of ML-KEM, sealed (protocol v2, section 2).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::kdf::{Key, Transcript};
use crate::crypto::aead::{Aead, TAG_LEN};
use crate::crypto::mlkem::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN};
use crate::crypto::{Library, x25519};
use crate::error::Error;

/// X_S ‖ ek, or X_C ‖ ct: public values.
pub(crate) struct Hello<const KEM_LEN: usize> {
    pub(super) x: [u8; x25519::LEN],
    pub(super) kem: Box<[u8; KEM_LEN]>,
}

/// X_S ‖ ek
pub(super) type ServerHello = Hello<ENCAPSULATION_KEY_LEN>;
/// X_C ‖ ct
pub(super) type ClientHello = Hello<CIPHERTEXT_LEN>;

impl<const KEM_LEN: usize> Hello<KEM_LEN> {
    /// Bytes on the wire: 1232 of H_S, 1136 of H_C.
    pub(super) const LEN: usize = x25519::LEN + KEM_LEN + TAG_LEN;

    /// Seal(key, 0^12, transcript, X ‖ KEM), with a key that seals nothing else.
    pub(super) fn seal(
        library: Library,
        key: &Key,
        transcript: &Transcript,
        x: &[u8; x25519::LEN],
        kem: &[u8; KEM_LEN],
    ) -> Result<Vec<u8>, Error> {
        let mut hello = [&x[..], kem, &[0; TAG_LEN]].concat();
        let sealed = Aead::new(library, key).seal(&[0; 12], transcript, &mut hello);
        sealed.map_err(|_| Error::HelloTag)?;
        Ok(hello)
    }

    pub(super) fn open(
        library: Library,
        key: &Key,
        transcript: &Transcript,
        message: &[u8],
    ) -> Result<Self, Error> {
        let mut hello = message.to_vec();
        let opened = Aead::new(library, key).open(&[0; 12], transcript, &mut hello);
        let opened = opened.map_err(|_| Error::HelloTag)?;
        let (x, kem) = opened.split_first_chunk().ok_or(Error::HelloTag)?;
        let kem = kem.first_chunk().ok_or(Error::HelloTag)?;
        Ok(Self {
            x: *x,
            kem: Box::new(*kem),
        })
    }
}
