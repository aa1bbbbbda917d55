//! Reads keys, parses addresses and looks them up, as the daemon and the commands do before the first
//! connection.

use std::io;
use std::sync::Arc;

use spiped_tokio::{Address, AddressError, BindAddress, Endpoint, TargetAddress};

use crate::config::file::mistakes::ConfigError;
use crate::config::network::NobodyError;
use crate::config::values::Mode;
use crate::keys::keyfile::KeyWarning;
use crate::keys::{KeyCount, Keys, KeysError, KeysSource};
use crate::log::{self, Class};
use crate::os::os_error::os_error;

/// The reason why a program cannot start, or a daemon cannot apply a configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeysError),
    /// An address is written wrongly.
    #[error("bad {role} address: {error}")]
    Address {
        /// The role of the address, as "target".
        role: &'static str,
        /// The error of the parser.
        error: AddressError,
    },
    /// No network of `--accept-proxy` has peers that can connect to the source.
    #[error("bad --accept-proxy: {0}")]
    AcceptProxy(#[from] NobodyError),
    /// A name has no address, as far as the resolver knows.
    #[error("cannot resolve {role} address {address}: {}", os_error(.error))]
    Resolve {
        /// The role of the address, as "target".
        role: &'static str,
        /// The address.
        address: Address,
        /// The resolver's error.
        error: io::Error,
    },
    /// The configuration file cannot be read, or has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An endpoint cannot be listened on.
    #[error("cannot listen on {endpoint}{}: {}", in_brackets(*.option), os_error(.error))]
    Listen {
        /// The endpoint.
        endpoint: Endpoint,
        /// The option that asks for it, if it is not the source of a pipe.
        option: Option<&'static str>,
        /// The system's error.
        error: io::Error,
    },
    /// Two pipes would take connections from each other.
    #[error("pipes {} and {} would both listen on {endpoint}", .pipes[0], .pipes[1])]
    SharedSource {
        /// The endpoint.
        endpoint: Endpoint,
        /// The names of the pipes.
        pipes: [Arc<str>; 2],
    },
}

fn in_brackets(option: Option<&str>) -> String {
    option.map_or_else(String::new, |option| format!(" ({option})"))
}

impl SetupError {
    /// Returns the error as text, a line for each thing that is wrong.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.lines(),
            other => vec![other.to_string()],
        }
    }

    /// Makes the error of a pipe's source that cannot be listened on.
    pub(crate) fn listen(endpoint: &Endpoint, error: io::Error) -> Self {
        Self::Listen {
            endpoint: endpoint.clone(),
            option: None,
            error,
        }
    }

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

/// Reads the key, or keys, and logs the warnings about their files.
pub(crate) fn read_keys(source: &KeysSource, mode: Mode) -> Result<Keys, SetupError> {
    warned(Keys::read(source, mode.into()))
}

/// Logs the warnings about key files, and returns the keys.
pub(crate) fn warned(read: Result<(Keys, Vec<KeyWarning>), KeysError>) -> Result<Keys, SetupError> {
    let (keys, warnings) = read?;
    for warning in warnings {
        log::warning(Class::Daemon, format_args!("{warning}"));
    }
    Ok(keys)
}

pub(crate) fn parse_address(role: &'static str, text: &str) -> Result<Address, SetupError> {
    text.parse()
        .map_err(|error| SetupError::Address { role, error })
}

/// Parses the address of a target.
pub(crate) fn parse_target(text: &str) -> Result<Address, SetupError> {
    let target: Result<TargetAddress, _> = text.parse();
    target
        .map(Address::from)
        .map_err(|error| SetupError::Address {
            role: "target",
            error,
        })
}

/// Looks an address up. Blocks.
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
