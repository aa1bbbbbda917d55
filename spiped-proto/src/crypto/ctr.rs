//! AES-256 (FIPS 197) in counter mode (NIST SP 800-38A section 6.5), of the crates `aes` and `ctr`.

use aes::Aes256Enc;
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors};

/// An expanded key of AES-256, wiped on drop.
pub(crate) struct CtrKey(Aes256Enc);

impl CtrKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Enc::new(key.into()))
    }

    /// Encrypts or decrypts `bytes`. Counter blocks are `number` and the number of the block from 0,
    /// 8 big-endian bytes each.
    pub(crate) fn apply(&self, number: u64, bytes: &mut [u8]) {
        let first = (u128::from(number) << 64).to_be_bytes();
        let core = CtrCore::<_, flavors::Ctr64BE>::inner_iv_init(&self.0, &first.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
    }
}

#[cfg(test)]
mod tests {
    use aes::Aes256;
    use aes::cipher::BlockCipherEncrypt;

    use super::*;

    #[test]
    fn the_keystream_is_the_counter_blocks_encrypted_for_every_length() {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8 * 7);
        let block_cipher = Aes256::new(&key.into());
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut keystream = Vec::new();
            for block in 0..70u64 {
                let counter = u128::from(number) << 64 | u128::from(block);
                let mut block = counter.to_be_bytes().into();
                block_cipher.encrypt_block(&mut block);
                keystream.extend_from_slice(&block);
            }
            for len in 0..keystream.len() {
                let mut bytes = vec![0; len];
                CtrKey::new(&key).apply(number, &mut bytes);
                assert_eq!(bytes, keystream[..len]);
            }
        }
    }
}
