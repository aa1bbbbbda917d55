//! Where a pipe's connections go: the addresses that its target resolves to, kept fresh.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use spiped_tokio::{Address, Endpoint};

/// A target address with the endpoints of its last good look-up.
#[derive(Debug)]
pub struct Target {
    address: Address,
    endpoints: RwLock<Arc<[Endpoint]>>,
}

impl Target {
    /// Starts with a look-up that has been made already.
    #[must_use]
    pub fn new(address: Address, endpoints: Vec<Endpoint>) -> Self {
        Self {
            address,
            endpoints: RwLock::new(endpoints.into()),
        }
    }

    /// The endpoints to try now.
    #[must_use]
    pub fn endpoints(&self) -> Arc<[Endpoint]> {
        let endpoints = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&endpoints)
    }

    /// Looks the address up again every so often, for ever. A failed look-up is reported, and the
    /// last good endpoints stay in use.
    pub async fn keep_fresh(&self, interval: Duration, report: impl Fn(&Address, &io::Error)) {
        loop {
            tokio::time::sleep(interval).await;
            match self.address.resolve().await {
                Ok(found) => {
                    let mut endpoints = self
                        .endpoints
                        .write()
                        .unwrap_or_else(PoisonError::into_inner);
                    *endpoints = found.into();
                }
                Err(error) => report(&self.address, &error),
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}
