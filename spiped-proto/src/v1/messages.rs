//! The peer's hello, and the proof that is in it (handshake steps 4 and 5).

use subtle::ConstantTimeEq;

use super::Nonce;
use super::Step;
use super::ends::{Keyed, This};
use crate::error::Error;
use crate::group14::Element;
use crate::kdf::HelloKey;
use crate::keyring::Keyring;
use crate::mac::Tag;

/// So many keys are tried at once: it takes less than to have another thread do it.
const FEW: usize = 64;

/// `y || MAC`, of a peer that may be anybody.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) value: Box<Element>,
    mac: Tag,
}

impl Hello {
    pub(super) const LEN: usize = size_of::<Element>() + size_of::<Tag>();

    /// Takes a message of this length apart.
    pub(super) fn parse(message: &[u8]) -> Self {
        let (value, mac) = message.split_at(size_of::<Element>());
        let mut hello = Self {
            value: Box::new([0; size_of::<Element>()]),
            mac: [0; size_of::<Tag>()],
        };
        hello.value.copy_from_slice(value);
        hello.mac.copy_from_slice(mac);
        hello
    }

    /// Checks the MAC under the one key that it can be of.
    pub(super) fn check(&self, key: &HelloKey<'_>) -> Result<(), Error> {
        match key.mac(&self.value)[..].ct_eq(&self.mac).into() {
            true => Ok(()),
            false => Err(Error::HandshakeMac),
        }
    }
}

/// A client's hello that all of a server's keys are to be tried on.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) keys: Keyring,
    pub(super) peer_nonce: Nonce,
    pub(super) hello: Hello,
}

impl Trial {
    /// Whether it takes no longer than the rest of what a server does for a stranger.
    pub(super) fn is_short(&self) -> bool {
        self.keys.len() <= FEW
    }

    pub(super) fn run(self, this: This) -> Result<Step, Error> {
        let salt = this.salt(&self.peer_nonce);
        let index = self.keys.find(&salt, &self.hello.value, &self.hello.mac);
        let held = index.and_then(|index| Some((index, self.keys.get(index)?)));
        let Some((index, secret)) = held else {
            return Err(Error::HandshakeMac);
        };
        let keyed = Keyed::new(&this, secret.clone(), index, &self.peer_nonce);
        Step::proved(this, keyed, self.hello)
    }
}
