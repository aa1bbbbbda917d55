//! The client that `spipe` and `spiped probe` have in common, which makes one connection to one server.

use std::net::SocketAddr;
use std::sync::Arc;

use spiped_tokio::Handshaker;

use crate::cli::SpipeOptions;
use crate::config::settings::ConnectionConfig;
use crate::config::values::Seconds;
use crate::keys::Keys;
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::target::Target;

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
        handshaker: Handshaker::new(keys.ring()).with_config(options.handshake),
        keys,
        is_loop: false,
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
