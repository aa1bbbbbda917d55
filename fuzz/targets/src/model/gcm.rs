//! AES-256-GCM (NIST SP 800-38D) from the AES block, bit by bit.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use super::Key;

pub(crate) const TAG_LEN: usize = 16;

/// The product of two blocks (section 6.3).
fn product(x: u128, y: u128) -> u128 {
    let (mut z, mut v) = (0, y);
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            z ^= v;
        }
        let reduced = v & 1 == 1;
        v >>= 1;
        if reduced {
            v ^= 0xe1 << 120;
        }
    }
    z
}

struct Gcm {
    cipher: Aes256,
    nonce: [u8; 12],
}

impl Gcm {
    fn new(key: &Key, nonce: [u8; 12]) -> Self {
        let cipher = Aes256::new(key.into());
        Self { cipher, nonce }
    }

    fn block(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        block.into()
    }

    /// The encrypted counter block of this number; that of the tag is 1.
    fn counter(&self, number: u32) -> [u8; 16] {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&self.nonce);
        block[12..].copy_from_slice(&number.to_be_bytes());
        self.block(block)
    }

    fn crypt(&self, bytes: &mut [u8]) {
        for (number, chunk) in (2..).zip(bytes.chunks_mut(16)) {
            for (byte, key) in chunk.iter_mut().zip(self.counter(number)) {
                *byte ^= key;
            }
        }
    }

    fn tag(&self, aad: &[u8], encrypted: &[u8]) -> [u8; TAG_LEN] {
        let h = u128::from_be_bytes(self.block([0; 16]));
        let mut hash = 0;
        for bytes in [aad, encrypted] {
            for chunk in bytes.chunks(16) {
                let mut block = [0; 16];
                block[..chunk.len()].copy_from_slice(chunk);
                hash = product(hash ^ u128::from_be_bytes(block), h);
            }
        }
        let bits = |bytes: &[u8]| bytes.len() as u128 * 8;
        hash = product(hash ^ (bits(aad) << 64 | bits(encrypted)), h);
        (hash ^ u128::from_be_bytes(self.counter(1))).to_be_bytes()
    }
}

pub(crate) fn seal(key: &Key, nonce: [u8; 12], aad: &[u8], message: &[u8]) -> Vec<u8> {
    let gcm = Gcm::new(key, nonce);
    let mut sealed = message.to_vec();
    gcm.crypt(&mut sealed);
    sealed.extend(gcm.tag(aad, &sealed));
    sealed
}

pub(crate) fn open(key: &Key, nonce: [u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let gcm = Gcm::new(key, nonce);
    let (encrypted, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    if gcm.tag(aad, encrypted) != *tag {
        return None;
    }
    let mut message = encrypted.to_vec();
    gcm.crypt(&mut message);
    Some(message)
}
