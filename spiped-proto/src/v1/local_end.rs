//! What an end brings along, and what it makes of the peer's public value.

use alloc::boxed::Box;

use zeroize::Zeroizing;

use super::Nonce;
use crate::config::{ForwardSecrecy, HandshakeConfig};
use crate::crypto::group14::{self, Element, Exponent};
use crate::error::Error;

/// The nonce, the exponent and the configuration of this end.
pub(crate) struct LocalEnd {
    pub(super) nonce: Nonce,
    pub(super) config: HandshakeConfig,
    /// x; `None` stands for the 0 of an end without forward secrecy.
    x: Option<Exponent>,
}

impl LocalEnd {
    pub(crate) fn new(config: HandshakeConfig, nonce: Nonce, x: Exponent) -> Self {
        let takes_part = config.forward_secrecy != ForwardSecrecy::Disabled;
        Self::with(config, nonce, takes_part.then_some(x))
    }

    pub(super) fn with(config: HandshakeConfig, nonce: Nonce, x: Option<Exponent>) -> Self {
        Self { nonce, config, x }
    }

    /// Whether this end's public value takes a power. It is 1 without forward secrecy.
    pub(super) fn has_forward_secrecy(&self) -> bool {
        self.x.is_some()
    }

    /// This end's public value, 2^x mod p.
    pub(super) fn public_value(&self) -> Box<Element> {
        Box::new(self.x.as_ref().map_or(group14::ONE, group14::power_of_two))
    }

    /// Whether the peer's public value, whose MAC is right, is one to go on with.
    pub(super) fn check(&self, y: &Element) -> Result<(), Error> {
        if !group14::is_public_value(y) {
            Err(Error::PublicValueRange)
        } else if self.config.forward_secrecy == ForwardSecrecy::Required && *y == group14::ONE {
            Err(Error::NoForwardSecrecy)
        } else {
            Ok(())
        }
    }

    /// Whether y_SC takes a power. It is 1 where either end goes without forward secrecy.
    pub(super) fn shares_value_with(&self, y: &Element) -> bool {
        self.has_forward_secrecy() && *y != group14::ONE
    }

    /// y_SC = y^x mod p. An exponent is used once, so this end is used up.
    pub(super) fn shared_value(self, y: &Element) -> Box<Zeroizing<Element>> {
        match &self.x {
            Some(x) => group14::power(y, x),
            None => Box::new(Zeroizing::new(group14::ONE)),
        }
    }
}
