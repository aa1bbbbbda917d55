//! Work for a connection that is given up when the connection ends otherwise.
//!
//! The work is pinned where it is, in a box or by `pin!`: an async function that took it would keep room for it
//! twice.

use spiped_tokio::{AuthenticatedPeer, Socket};

use crate::keys::Entry;
use crate::pipe::close_reason::ConnectionError;

/// Runs `work`, and gives it up when the connection `source` breaks.
pub(super) async fn unless_broken<T>(
    source: &Socket,
    work: impl Future<Output = Result<T, ConnectionError>> + Unpin,
) -> Result<T, ConnectionError> {
    tokio::select! {
        biased;
        done = work => done,
        error = source.broken() => Err(ConnectionError::Abandoned(error)),
    }
}

/// Runs `work`, and gives it up when the plaintext connection `source` breaks. One that breaks before its
/// first byte was unused.
pub(crate) async fn unless_gone<T>(
    source: &Socket,
    work: impl Future<Output = Result<T, ConnectionError>> + Unpin,
) -> Result<T, ConnectionError> {
    match unless_broken(source, work).await {
        Err(ConnectionError::Abandoned(_)) if !source.has_unread() => Err(ConnectionError::Unused),
        other => other,
    }
}

/// Runs `work` for the client that holds `key`, and gives it up when the key is removed.
pub(super) async fn unless_removed<T>(
    key: &Entry,
    work: impl Future<Output = Result<T, ConnectionError>> + Unpin,
) -> Result<T, ConnectionError> {
    tokio::select! {
        biased;
        () = key.removed() => Err(ConnectionError::KeyRemoved),
        done = work => done,
    }
}

/// Runs `work`, and gives it up when the peer closes the connection.
pub(super) async fn unless_left<T>(
    peer: &AuthenticatedPeer<&Socket>,
    work: impl Future<Output = T> + Unpin,
) -> Result<T, ConnectionError> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        error = peer.left() => Err(ConnectionError::Left(error)),
    }
}
