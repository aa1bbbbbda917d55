#![forbid(unsafe_code)]

//! The keys of a pipe: the one of a key file, or those of clients, each in a file that is called after
//! its client.
//!
//! They are taken all or not at all: with one that cannot be used there is an error, so that no client
//! is shut out, and no key kept, by half.

mod again;
mod folder;
pub mod keyfile;
mod source;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spiped_proto::{Keyring, Secret};
use tokio::sync::watch;

use crate::os::locked_memory;

pub use folder::Volume;
pub(crate) use folder::links;
use keyfile::{KeyFile, KeyWarning};
pub use source::{EarlierKeys, FoundAgain, KeyCount, KeysError, KeysSource};

/// The keys that a pipe accepts, or the one that it connects with. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys {
    ring: Keyring,
    /// In the order of the ring.
    entries: Vec<Arc<Entry>>,
    /// In the order of the ring.
    origins: Vec<Origin>,
}

/// Where a key was read, as far as it matters when it is read again.
#[derive(Clone, Debug)]
struct Origin {
    /// The file of a client's key.
    file: Option<PathBuf>,
    /// In bytes.
    length: u64,
    /// Whether it can be read again.
    is_regular: bool,
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

    /// Ends what waits for that. Says whether it was there until now.
    pub fn remove(&self) -> bool {
        !self.removed.send_replace(true)
    }

    fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }
}

impl From<Secret> for Keys {
    /// The key of a file.
    fn from(secret: Secret) -> Self {
        Self {
            ring: secret.into(),
            entries: vec![Entry::of(None)],
            origins: vec![Origin {
                file: None,
                length: 0,
                is_regular: true,
            }],
        }
    }
}

impl Keys {
    /// The only key of a pipe.
    fn of_one(key: KeyFile) -> (Self, Vec<KeyWarning>) {
        let origin = Origin {
            file: None,
            length: key.length,
            is_regular: key.is_regular,
        };
        let keys = Self {
            origins: vec![origin],
            ..key.secret.into()
        };
        (keys, key.warnings)
    }

    /// The length of the longest, in bytes.
    fn length(&self) -> u64 {
        let lengths = self.origins.iter().map(|origin| origin.length);
        lengths.max().unwrap_or(0)
    }

    /// The length of each client's key, by its file.
    fn lengths(&self) -> impl Iterator<Item = (&Path, u64)> {
        let origins = self.origins.iter();
        origins.filter_map(|origin| Some((origin.file.as_deref()?, origin.length)))
    }

    /// Whether all of them can be read again.
    fn is_from_file(&self) -> bool {
        self.origins.iter().all(|origin| origin.is_regular)
    }

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
        !self.has_removed()
            && !others.has_removed()
            && clients.eq(others.entries.iter().map(|entry| &entry.client))
            && secrets.all(|(one, other)| one.is_same(other))
    }

    fn has_removed(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_removed())
    }

    /// Remembers that these keys have been found where the others, which are the same, are from.
    pub fn found_again(&mut self, others: Self) {
        self.origins = others.origins;
    }

    /// Which of these keys of clients have no file any more. Reads none.
    #[must_use]
    pub fn without_file(&self, volume: Volume) -> Vec<Arc<Entry>> {
        let is_gone = |origin: &Origin| {
            let file = origin.file.as_deref();
            file.is_some_and(|file| folder::is_gone(file, volume))
        };
        let entries = self.entries.iter().zip(&self.origins);
        let gone = entries.filter(|(_, origin)| is_gone(origin));
        gone.map(|(entry, _)| Arc::clone(entry)).collect()
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
            let is_same = |(entry, earlier): &&(&Arc<Entry>, &Secret)| {
                !entry.is_removed() && earlier.is_same(secret)
            };
            if let Some((same, _)) = earlier.find(is_same) {
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
