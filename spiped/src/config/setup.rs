//! What both programs do before their first connection: the key and the addresses.

use std::io;

use spiped_tokio::{Address, AddressError, BindAddress, Endpoint, TargetAddress};

use crate::config::network::NobodyError;
use crate::config::settings::Mode;
use crate::keys::{KeyCount, Keys, KeysError, KeysSource};
use crate::log::{self, Class};

/// Why a program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeysError),
    /// An address is written wrongly.
    #[error("bad {role} address: {error}")]
    Address {
        /// What the address is for.
        role: &'static str,
        /// What is wrong with it.
        error: AddressError,
    },
    /// Nobody who can connect to the source may.
    #[error("bad --accept-proxy: {0}")]
    AcceptProxy(#[from] NobodyError),
    /// A name has no address, as far as the resolver knows.
    #[error("cannot resolve {role} address {address}: {error}")]
    Resolve {
        /// What the address is for.
        role: &'static str,
        /// The address.
        address: Address,
        /// What the resolver said.
        error: io::Error,
    },
}

impl SetupError {
    pub(crate) fn resolve(role: &'static str, address: &Address, error: io::Error) -> Self {
        Self::Resolve {
            role,
            address: address.clone(),
            error,
        }
    }
}

impl From<Mode> for KeyCount {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Encrypt => Self::One,
            Mode::Decrypt => Self::Many,
        }
    }
}

/// Reads the key, or keys, and warns of what is unwise about it.
pub(crate) fn read_keys(source: &KeysSource, mode: Mode) -> Result<Keys, SetupError> {
    let (keys, warnings) = Keys::read(source, mode.into())?;
    for warning in warnings {
        log::warning(Class::Daemon, format_args!("{warning}"));
    }
    Ok(keys)
}

pub(crate) fn parse_address(role: &'static str, text: &str) -> Result<Address, SetupError> {
    text.parse()
        .map_err(|error| SetupError::Address { role, error })
}

/// An address that connections go to.
pub(crate) fn parse_target(text: &str) -> Result<Address, SetupError> {
    let target: Result<TargetAddress, _> = text.parse();
    target
        .map(Address::from)
        .map_err(|error| SetupError::Address {
            role: "target",
            error,
        })
}

/// Looks an address up; blocks.
pub(crate) fn resolve(role: &'static str, address: &Address) -> Result<Vec<Endpoint>, SetupError> {
    let found = address.resolve_blocking();
    found.map_err(|error| SetupError::resolve(role, address, error))
}

pub(crate) fn parse_bind(text: &str) -> Result<BindAddress, SetupError> {
    text.parse().map_err(|error| SetupError::Address {
        role: "bind",
        error,
    })
}
