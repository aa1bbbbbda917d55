//! The client that `spipe` and `spiped probe` have in common, which makes one connection to one server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use spiped_tokio::Handshaker;

use crate::cli::SpipeOptions;
use crate::config::settings::ConnectionConfig;
use crate::config::setup::SetupError;
use crate::config::values::Seconds;
use crate::keys::Keys;
use crate::os::os_error::os_error;
use crate::os::system_error::SystemError;
use crate::pipe::close_reason::ConnectionError;
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::target::Target;
use crate::pipe::workers::key_exchange_pool;

/// The reason why `spipe` or `spiped probe` failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The key cannot be read, or an address is wrong or cannot be looked up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The connection could not be made, the handshake failed, or the connection broke.
    #[error("{target}: {error}")]
    Connection {
        /// The peer, as it was given.
        target: String,
        /// The error of the connection.
        error: ConnectionError,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input: {}", os_error(.0))]
    Input(io::Error),
    /// Standard output cannot be written.
    #[error("cannot write standard output: {}", os_error(.0))]
    Output(io::Error),
    /// The system lacks what it takes to run.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl ClientError {
    /// Whether the reader of standard output has gone, as `head` does once it has seen enough.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Makes the error of a connection to the target of `options`.
    pub(super) fn connection(options: &SpipeOptions, error: ConnectionError) -> Self {
        Self::Connection {
            target: options.target.clone(),
            error,
        }
    }
}

/// Returns a handler that connects to `target`, from one of the addresses `bind` or, if there are none, from
/// an address that the system chooses.
pub(super) fn handler(
    options: &SpipeOptions,
    target: Target,
    bind: Vec<SocketAddr>,
    keys: Keys,
) -> ConnectionHandler {
    ConnectionHandler {
        targets: Arc::new(target.into()),
        bind: bind.into(),
        handshaker: Handshaker::with_pool(keys.ring(), key_exchange_pool())
            .with_config(options.handshake),
        keys,
        is_loop: false.into(),
        config: ConnectionConfig {
            handshake: options.handshake,
            keepalive: options.keepalive,
            timeout: options.timeout,
            // The rest is for a daemon.
            proxy_protocol: None,
            accept_proxy: None,
            max_connections: None.into(),
            max_connections_per_client: None.into(),
            max_unproved: None.into(),
            max_unproved_per_source: None.into(),
            idle: Seconds::default(),
            resolve_interval: None,
        },
    }
}
