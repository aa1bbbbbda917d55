//! Where names lead. A look-up that fails takes nothing from who has an earlier answer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use spiped_tokio::{Address, Endpoint};

use crate::log::{self, Class};
use crate::start::{self, StartError};

/// What a name led to when it was last looked up well.
#[derive(Debug)]
pub struct Found<T>(RwLock<Arc<[T]>>);

impl<T> From<Vec<T>> for Found<T> {
    fn from(found: Vec<T>) -> Self {
        Self(RwLock::new(found.into()))
    }
}

impl<T> Found<T> {
    /// All of it.
    #[must_use]
    pub fn get(&self) -> Arc<[T]> {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&found)
    }

    /// The name has been looked up again.
    pub fn replace(&self, found: Vec<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found.into();
    }
}

/// Where names lead, as far as the pipes that run know.
#[derive(Debug, Default)]
pub struct Known(HashMap<Address, Vec<Endpoint>>);

impl Known {
    /// What a pipe knows.
    pub fn add(&mut self, address: &Address, endpoints: impl IntoIterator<Item = Endpoint>) {
        let endpoints = endpoints.into_iter().collect();
        self.0.insert(address.clone(), endpoints);
    }

    /// Looks an address up; where that fails, it leads where it led before. Blocks.
    ///
    /// # Errors
    ///
    /// Nobody knows.
    pub fn resolve(
        &self,
        role: &'static str,
        address: &Address,
    ) -> Result<Vec<Endpoint>, StartError> {
        start::resolve(role, address).or_else(|error| {
            let Some(known) = self.0.get(address) else {
                return Err(error);
            };
            log::warning(
                Class::Lookup,
                format_args!("{error}; keeping its last addresses"),
            );
            Ok(known.clone())
        })
    }
}
