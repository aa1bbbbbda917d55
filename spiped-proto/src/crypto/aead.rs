//! AES-256-GCM with 12-byte nonces and 16-byte tags (NIST SP 800-38D), in place.

use alloc::boxed::Box;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use super::{AeadError, Library};

pub(crate) const TAG_LEN: usize = 16;
pub(crate) type Key = [u8; 32];
pub(crate) type Nonce = [u8; 12];

/// An expanded key: up to about 800 bytes on the heap, wiped when dropped, made in 0.3 µs or so.
pub(crate) struct Aead(Cipher);

enum Cipher {
    #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
    Graviola(Box<graviola::aead::AesGcm>),
    Portable(Box<Aes256Gcm>),
}

impl Aead {
    pub(crate) fn new(library: Library, key: &Key) -> Self {
        Self(match library {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Library::Graviola => Cipher::Graviola(Box::new(graviola::aead::AesGcm::new(key))),
            Library::Portable => Cipher::Portable(Box::new(Aes256Gcm::new(key.into()))),
        })
    }

    /// Encrypts all of `sealed` but its last 16 bytes, which the tag is put into.
    ///
    /// `nonce` must be new under this key.
    pub(crate) fn seal(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        sealed: &mut [u8],
    ) -> Result<(), AeadError> {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        match &self.0 {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Cipher::Graviola(cipher) => cipher.encrypt(nonce, aad, text, tag),
            Cipher::Portable(cipher) => {
                let made = cipher.encrypt_inout_detached(nonce.into(), aad, text.into());
                *tag = made.map_err(|_| AeadError)?.into();
            }
        }
        Ok(())
    }

    /// Decrypts all of `sealed` but its last 16 bytes, the tag, where it lies; returns that part.
    ///
    /// It is not worth reading when the tag is wrong.
    pub(crate) fn open<'s>(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        sealed: &'s mut [u8],
    ) -> Result<&'s mut [u8], AeadError> {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        match &self.0 {
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            Cipher::Graviola(cipher) => cipher
                .decrypt(nonce, aad, text, tag)
                .map_err(|_| AeadError)?,
            Cipher::Portable(cipher) => cipher
                .decrypt_inout_detached(nonce.into(), aad, (&mut *text).into(), (&*tag).into())
                .map_err(|_| AeadError)?,
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unhex;

    fn sealed(library: Library, key: u8, nonce: &Nonce, aad: &[u8], text: &[u8]) -> Vec<u8> {
        let mut sealed = [text, &[0xee; TAG_LEN]].concat();
        let aead = Aead::new(library, &[key; 32]);
        aead.seal(nonce, aad, &mut sealed).unwrap();
        sealed
    }

    /// Test case 16 of the paper on GCM by McGrew and Viega.
    #[test]
    fn known_answer() {
        let half = "feffe9928665731c6d6a8f9467308308";
        let key: Key = unhex(&format!("{half}{half}")).try_into().unwrap();
        let nonce: Nonce = unhex("cafebabefacedbaddecaf888").try_into().unwrap();
        let text = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24\
             49a6b525b16aedf5aa0de657ba637b39",
        );
        let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let expected = unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10\
             56828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        );
        for library in Library::all() {
            let mut sealed = [&text[..], &[0; TAG_LEN]].concat();
            let aead = Aead::new(library, &key);
            aead.seal(&nonce, &aad, &mut sealed).unwrap();
            assert_eq!(sealed, expected, "{library:?}");
            assert_eq!(
                aead.open(&nonce, &aad, &mut sealed),
                Ok(&mut text.clone()[..])
            );
        }
    }

    #[test]
    fn libraries_agree_at_every_length() {
        let text: Vec<u8> = (0..4200u32).map(|n| ((n * n) >> 3) as u8).collect();
        let aads = [&[][..], &[9; 5], &[7; 21], &[3; 32]];
        for len in (0..=4200).chain([16 * 1024]) {
            let text: Vec<u8> = text.iter().copied().cycle().take(len).collect();
            let aad = aads[len % aads.len()];
            let nonce = [len as u8; 12];
            let expected = sealed(Library::Portable, 5, &nonce, aad, &text);
            for library in Library::all() {
                let mut made = sealed(library, 5, &nonce, aad, &text);
                assert_eq!(made, expected, "{library:?}, {len} bytes");
                let aead = Aead::new(library, &[5; 32]);
                assert_eq!(aead.open(&nonce, aad, &mut made).unwrap(), text);
            }
        }
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        for library in Library::all() {
            let aead = Aead::new(library, &[5; 32]);
            for len in [0, 1, 5, 15, 16, 17, 127, 128, 300, 1232] {
                let whole = sealed(library, 5, &[1; 12], b"aad", &vec![7; len]);
                let open = |aead: &Aead, nonce: u8, aad: &[u8], bytes: &[u8]| {
                    let mut bytes = bytes.to_vec();
                    aead.open(&[nonce; 12], aad, &mut bytes).map(drop)
                };
                assert_eq!(open(&aead, 1, b"aad", &whole), Ok(()));
                for bit in 0..whole.len() * 8 {
                    let mut changed = whole.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(open(&aead, 1, b"aad", &changed), Err(AeadError));
                }
                let (_, cut) = whole.split_first().unwrap();
                let other = Aead::new(library, &[6; 32]);
                for refused in [
                    open(&aead, 1, b"aad", cut),
                    open(&aead, 1, b"aad", &[&whole[..], &[0]].concat()),
                    open(&aead, 1, b"aae", &whole),
                    open(&aead, 1, b"", &whole),
                    open(&aead, 2, b"aad", &whole),
                    open(&other, 1, b"aad", &whole),
                ] {
                    assert_eq!(refused, Err(AeadError));
                }
            }
            for shorter in 0..TAG_LEN {
                let mut bytes = vec![0; shorter];
                assert_eq!(aead.open(&[1; 12], b"", &mut bytes), Err(AeadError));
                assert_eq!(aead.seal(&[1; 12], b"", &mut bytes), Err(AeadError));
            }
        }
    }
}
