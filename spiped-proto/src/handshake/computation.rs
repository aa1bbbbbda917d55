//! What takes longer than to move bytes: powers, and many keys to try.

use zeroize::Zeroize;

use super::ends::{Keyed, This};
use super::hello::Trial;
use super::{AfterHello, Expected, Step};
use crate::error::Error;
use crate::group14::{self, Element};
use crate::secret::Secret;

/// Arithmetic, not done yet.
#[derive(Debug)]
pub struct Computation(pub(super) Task);

#[derive(Debug)]
pub(super) enum Task {
    Trial {
        this: This,
        trial: Trial,
    },
    OwnValue {
        this: This,
        after: AfterOwnValue,
    },
    SharedValue {
        this: This,
        keyed: Keyed,
        peer_value: Box<Element>,
    },
}

#[derive(Debug)]
pub(super) enum AfterOwnValue {
    ReceiveNonce(Secret),
    SendHello {
        keyed: Keyed,
        peer_value: Box<Element>,
    },
}

impl AfterOwnValue {
    pub(super) fn with(self, this: This, value: &Element) -> Step {
        match self {
            Self::ReceiveNonce(secret) => {
                let own_value = Box::new(*value);
                Step::receive(this, Expected::ServerNonce { secret, own_value })
            }
            Self::SendHello { keyed, peer_value } => {
                Step::send_hello(this, keyed, value, AfterHello::ComputeShared { peer_value })
            }
        }
    }
}

impl Computation {
    /// Whether it is the short one, 2^x, which takes a quarter of the time of y^x. The others are
    /// y^x, and a large [`Keyring`](crate::Keyring) that is tried on a stranger's hello.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self.0, Task::OwnValue { .. })
    }

    /// Whether it is done for a peer that has proved nothing yet: many keys are tried on its hello.
    #[must_use]
    pub fn is_for_stranger(&self) -> bool {
        matches!(self.0, Task::Trial { .. })
    }

    /// Does the arithmetic, on the calling thread, in a time that depends on no secret.
    ///
    /// # Errors
    ///
    /// As for [`Incoming::feed`](super::Incoming::feed): drop the connection.
    pub fn run(self) -> Result<Step, Error> {
        match self.0 {
            Task::Trial { this, trial } => trial.run(this),
            Task::OwnValue { this, after } => {
                let value = match &this.exponent {
                    Some(exponent) => group14::power_of_two(exponent),
                    None => group14::ONE,
                };
                Ok(after.with(this, &value))
            }
            Task::SharedValue {
                mut this,
                keyed,
                peer_value,
            } => {
                // Taken out, because each exponent is used once.
                let mut shared = match this.exponent.take() {
                    Some(exponent) => group14::power(&peer_value, &exponent),
                    None => group14::ONE,
                };
                let step = Step::done(&this, &keyed, &shared, true);
                shared.zeroize();
                Ok(step)
            }
        }
    }
}
