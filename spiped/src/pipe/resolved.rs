//! The addresses that names resolve to, which stay in use until a later look-up succeeds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use spiped_tokio::{Address, BindAddress, Endpoint};

use crate::config::setup::{self, SetupError};

/// The addresses of the last look-up of a name that succeeded.
#[derive(Debug)]
pub struct Resolved<T>(RwLock<Arc<[T]>>);

impl<T> From<Vec<T>> for Resolved<T> {
    fn from(found: Vec<T>) -> Self {
        Self(RwLock::new(found.into()))
    }
}

impl<T> Resolved<T> {
    /// Returns all addresses.
    #[must_use]
    pub fn get(&self) -> Arc<[T]> {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&found)
    }

    /// Replaces the addresses by those of a later look-up.
    pub fn replace(&self, found: Vec<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found.into();
    }
}

/// The addresses that running pipes have looked up, by name. A reload does not look these names up again.
#[derive(Debug, Default)]
pub struct ResolverCache(HashMap<Address, Vec<Endpoint>>);

impl ResolverCache {
    /// Adds the endpoints that a pipe knows for an address.
    pub fn add(&mut self, address: &Address, endpoints: impl IntoIterator<Item = Endpoint>) {
        let endpoints = endpoints.into_iter().collect();
        self.0.insert(address.clone(), endpoints);
    }

    /// Whether a pipe knows the endpoints of an address.
    #[must_use]
    pub fn knows(&self, address: &Address) -> bool {
        self.0.contains_key(address)
    }

    /// Returns the endpoints of an address. Looks them up if no pipe knows them, which blocks. `role` names
    /// the address in an error.
    ///
    /// # Errors
    ///
    /// The look-up fails.
    pub fn resolve(
        &self,
        role: &'static str,
        address: &Address,
    ) -> Result<Vec<Endpoint>, SetupError> {
        match self.0.get(address) {
            Some(known) => Ok(known.clone()),
            None => setup::resolve(role, address),
        }
    }

    /// Returns the addresses that outgoing connections start from; none if the system chooses. Looks them
    /// up if no pipe knows them, which blocks.
    ///
    /// # Errors
    ///
    /// The look-up fails.
    pub fn resolve_bind(&self, bind: Option<&BindAddress>) -> Result<Vec<SocketAddr>, SetupError> {
        let found = bind.map(|bind| self.resolve("bind", bind.address()));
        let found = found.transpose()?.unwrap_or_default();
        Ok(found.iter().filter_map(Endpoint::tcp).collect())
    }
}
