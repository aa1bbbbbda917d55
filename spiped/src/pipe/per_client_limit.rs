//! The limit on the connections of one client (`--max-connections-per-client`).
//!
//! A client at its limit is refused rather than made to wait, as a connection that waits takes the place of
//! others.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The error of a client that has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its client has {0} open already, and may have no more (--max-connections-per-client)")]
pub struct PerClientLimitReached(NonZeroUsize);

/// Counts the connections of each client that has proved its key, those that wait included.
#[derive(Debug)]
pub struct PerClientLimit {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bound: Option<NonZeroUsize>,
    connections: HashMap<Arc<str>, NonZeroUsize>,
}

/// One connection of a client, which is counted until this is dropped.
#[derive(Debug)]
pub struct ClientPermit {
    limit: Arc<PerClientLimit>,
    client: Arc<str>,
}

impl PerClientLimit {
    /// Starts without a connection; `None` is no limit.
    #[must_use]
    pub fn new(bound: Option<NonZeroUsize>) -> Self {
        Self {
            state: Mutex::new(State {
                bound,
                connections: HashMap::new(),
            }),
        }
    }

    /// Changes the limit, for connections that come from now on.
    pub fn set_bound(&self, bound: Option<NonZeroUsize>) {
        self.state().bound = bound;
    }

    /// Counts one more connection of a client.
    ///
    /// # Errors
    ///
    /// The client has as many connections as it may have.
    pub fn admit(
        self: &Arc<Self>,
        client: &Arc<str>,
    ) -> Result<ClientPermit, PerClientLimitReached> {
        let mut state = self.state();
        let bound = state.bound;
        // Connections are counted even without a limit, as a limit may be set later.
        match state.connections.get_mut(client) {
            None => {
                let first = NonZeroUsize::MIN;
                state.connections.insert(Arc::clone(client), first);
            }
            Some(open) => match bound {
                Some(bound) if *open >= bound => return Err(PerClientLimitReached(bound)),
                _ => *open = open.saturating_add(1),
            },
        }
        Ok(ClientPermit {
            limit: Arc::clone(self),
            client: Arc::clone(client),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No critical section panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let connections = &mut self.limit.state().connections;
        if let Some(open) = connections.get_mut(&self.client) {
            match NonZeroUsize::new(open.get() - 1) {
                Some(left) => *open = left,
                None => drop(connections.remove(&self.client)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(
        clients: &Arc<PerClientLimit>,
        client: &str,
    ) -> Result<ClientPermit, PerClientLimitReached> {
        clients.admit(&client.into())
    }

    #[test]
    fn each_client_has_a_bound_of_its_own_and_places_come_back() {
        let clients = Arc::new(PerClientLimit::new(NonZeroUsize::new(2)));
        let first = enter(&clients, "alice").unwrap();
        let _second = enter(&clients, "alice").unwrap();
        let refused = enter(&clients, "alice").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "its client has 2 open already, and may have no more (--max-connections-per-client)"
        );
        let _other = enter(&clients, "bob").unwrap();
        drop(first);
        let _third = enter(&clients, "alice").unwrap();
        enter(&clients, "alice").unwrap_err();
    }

    #[test]
    fn a_bound_that_comes_later_counts_those_who_are_there() {
        let clients = Arc::new(PerClientLimit::new(None));
        let places: Vec<_> = (0..3).map(|_| enter(&clients, "alice").unwrap()).collect();
        clients.set_bound(NonZeroUsize::new(1));
        enter(&clients, "alice").unwrap_err();
        drop(places);
        let _client_permit = enter(&clients, "alice").unwrap();
        enter(&clients, "alice").unwrap_err();
        clients.set_bound(None);
        enter(&clients, "alice").unwrap();
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let clients = Arc::new(PerClientLimit::new(None));
        for client in ["alice", "bob"] {
            drop((enter(&clients, client), enter(&clients, client)));
        }
        assert!(clients.state().connections.is_empty());
    }
}
