#![forbid(unsafe_code)]

//! The keys of a pipe: the one of a key file, or those of clients, each in a file that is called after
//! its client.
//!
//! They are taken all or not at all: with one that cannot be used there is an error, so that no client
//! is shut out, and no key kept, by half.

pub mod keyfile;
mod source;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use spiped_proto::{Keyring, Secret};
use tokio::sync::watch;

use crate::os::locked_memory;

pub(crate) use source::links;
pub use source::{KeyCount, KeysError, KeysSource};

/// The keys that a pipe accepts, or the one that it connects with. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys {
    ring: Keyring,
    /// In the order of the ring.
    entries: Vec<Arc<Entry>>,
}

/// One key, as long as anything remembers it.
#[derive(Debug)]
pub struct Entry {
    client: Option<Arc<str>>,
    removed: watch::Sender<bool>,
}

impl Entry {
    fn of(client: Option<Arc<str>>) -> Arc<Self> {
        let removed = watch::Sender::new(false);
        Arc::new(Self { client, removed })
    }

    /// Whose key it is; the only key of a pipe is nobody's in particular.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }

    /// Waits until the key has been removed.
    pub async fn removed(&self) {
        let mut removed = self.removed.subscribe();
        // Fails only when the sender is gone, which `self` has.
        let _ = removed.wait_for(|&removed| removed).await;
    }

    /// Ends what waits for that.
    pub fn remove(&self) {
        self.removed.send_replace(true);
    }
}

impl From<Secret> for Keys {
    /// The key of a file.
    fn from(secret: Secret) -> Self {
        Self {
            ring: secret.into(),
            entries: vec![Entry::of(None)],
        }
    }
}

impl Keys {
    /// Whether they are keys of clients, each with a name.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        self.entries.iter().any(|entry| entry.client.is_some())
    }

    /// Whether others hold one of them too, as connections that it began do, also those of earlier
    /// forms of their pipe.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| Arc::strong_count(entry) > 1)
    }

    /// All of them.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// What is known of the key at an index of the ring.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<&Arc<Entry>> {
        self.entries.get(index)
    }

    /// Whether others are the same, of the same clients and in the same order.
    #[must_use]
    pub fn is_same(&self, others: &Self) -> bool {
        let clients = self.entries.iter().map(|entry| &entry.client);
        let mut secrets = self.ring.iter().zip(others.ring.iter());
        clients.eq(others.entries.iter().map(|entry| &entry.client))
            && secrets.all(|(one, other)| one.is_same(other))
    }

    /// Moves the keys into locked memory.
    ///
    /// # Errors
    ///
    /// The system refuses it. The keys stay where they were.
    pub fn lock(&mut self) -> io::Result<()> {
        self.ring = locked_memory::lock(&self.ring)?;
        Ok(())
    }

    /// Takes the place of earlier keys: a client's key that was there before is remembered on as the
    /// same. Returns those that are gone, to be [removed](Entry::remove) once nobody is accepted with
    /// them any more. A key that is no client's goes on with the connections that it began.
    #[must_use]
    pub fn replace(&mut self, before: &Self) -> Vec<Arc<Entry>> {
        let mut of_client: HashMap<_, Vec<_>> = HashMap::new();
        for (entry, secret) in before.entries.iter().zip(before.ring.iter()) {
            let of_client = of_client.entry(&entry.client).or_default();
            of_client.push((entry, secret));
        }
        for (entry, secret) in self.entries.iter_mut().zip(self.ring.iter()) {
            let mut earlier = of_client.get(&entry.client).into_iter().flatten();
            if let Some((same, _)) = earlier.find(|(_, earlier)| earlier.is_same(secret)) {
                *entry = Arc::clone(same);
            }
        }
        let kept: HashSet<_> = self.entries.iter().map(Arc::as_ptr).collect();
        let gone = before.entries.iter();
        let gone =
            gone.filter(|entry| entry.client.is_some() && !kept.contains(&Arc::as_ptr(entry)));
        gone.cloned().collect()
    }
}

#[cfg(test)]
mod tests;
