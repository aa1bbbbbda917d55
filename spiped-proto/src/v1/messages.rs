//! The two hellos, `y_C ‖ h_C` and `y_S ‖ h_S` (protocol v1, handshake steps 3 to 5).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::crypto::group14::Element;
use crate::crypto::hmac::{HmacKey, Tag};
use crate::error::Error;

/// A public value y and h, its MAC, of a peer that may be anybody.
pub(crate) struct Hello {
    pub(super) y: Box<Element>,
    pub(super) h: Tag,
}

impl Hello {
    /// Bytes on the wire.
    pub(super) const LEN: usize = size_of::<Element>() + size_of::<Tag>();

    /// The message that an end sends: its public value and the MAC under its key.
    pub(super) fn seal(y: &Element, dhmac: &HmacKey) -> Vec<u8> {
        [&y[..], &dhmac.tag(&[y])].concat()
    }

    /// Takes a message of [`LEN`](Self::LEN) bytes apart.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Error> {
        let (y, h) = message
            .split_first_chunk()
            .ok_or(Error::TruncatedHandshake)?;
        Ok(Self {
            y: Box::new(*y),
            h: array(h)?,
        })
    }

    /// Checks the MAC under the one key that it can be of.
    pub(super) fn check(&self, dhmac: &HmacKey) -> Result<(), Error> {
        match dhmac.verify(&[&*self.y], &self.h).into() {
            true => Ok(()),
            false => Err(Error::HandshakeMac),
        }
    }
}

/// A message of this length, such as a nonce.
pub(super) fn array<const N: usize>(message: &[u8]) -> Result<[u8; N], Error> {
    message.try_into().map_err(|_| Error::TruncatedHandshake)
}
