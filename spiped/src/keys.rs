#![forbid(unsafe_code)]

//! The keys of a pipe: one key from a key file, or one key for each client, in a file that has the client's
//! name.
//!
//! All keys are taken or none: a key that cannot be used is an error, so no reload leaves one client without
//! its key, or an old key in use beside new ones.

mod error;
mod folder;
pub mod keyfile;
mod reread;
mod source;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spiped_proto::{Keyring, Secret};
use tokio::sync::watch;

use crate::os::locked_memory;
use crate::os::stack::wiping_the_stack;

pub use error::KeysError;
pub use folder::MissingFolder;
pub(crate) use folder::links;
use keyfile::{KeyFile, KeyWarning};
pub use reread::EarlierKeys;
pub use source::{KeyCount, KeysSource, RereadKeys};

/// The keys that a pipe accepts, or the one that it connects with. Clones share them.
#[derive(Clone, Debug)]
pub struct Keys {
    ring: Keyring,
    /// The client of each key, in the order of the ring.
    entries: Vec<Arc<Entry>>,
    /// The origin of each key, in the order of the ring.
    origins: Vec<Origin>,
}

/// The facts about the source of a key that matter when it is read again.
#[derive(Clone, Debug)]
struct Origin {
    /// The file of a client's key; `None` for the only key of a pipe.
    file: Option<PathBuf>,
    /// The length of the key in bytes.
    length: u64,
    /// Whether the source is a regular file, which can be read again.
    is_regular: bool,
}

/// One key's client, and whether the key was removed. The pipe shares it with the connections that the key
/// began.
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

    /// Returns the client that the key belongs to; `None` for the only key of a pipe.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }

    /// Waits until the key has been removed.
    pub async fn removed(&self) {
        let mut removed = self.removed.subscribe();
        // This fails only when the sender is gone, and `self` owns it.
        let _ = removed.wait_for(|&removed| removed).await;
    }

    /// Marks the key as removed, and wakes everything that waits in [`removed`](Self::removed). Returns
    /// whether it was not marked before.
    pub fn remove(&self) -> bool {
        !self.removed.send_replace(true)
    }

    fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }
}

impl From<Secret> for Keys {
    /// Makes the keys of a pipe that has one key, whose length is unknown.
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
    /// Makes the keys of a pipe that has one key. Returns its warnings too.
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

    /// Returns the length of the longest key in bytes.
    fn max_length(&self) -> u64 {
        let lengths = self.origins.iter().map(|origin| origin.length);
        lengths.max().unwrap_or(0)
    }

    /// Returns the file and the length in bytes of each client's key.
    fn lengths(&self) -> impl Iterator<Item = (&Path, u64)> {
        let origins = self.origins.iter();
        origins.filter_map(|origin| Some((origin.file.as_deref()?, origin.length)))
    }

    /// Whether all keys are from regular files, which can be read again.
    fn is_from_file(&self) -> bool {
        self.origins.iter().all(|origin| origin.is_regular)
    }

    /// Returns the clients that the keys belong to.
    pub fn clients(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.iter().filter_map(|entry| entry.client())
    }

    /// Whether the keys belong to clients.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        self.clients().next().is_some()
    }

    /// Whether it is one key, which belongs to no client.
    fn is_one(&self) -> bool {
        !self.ring.is_empty() && !self.has_clients()
    }

    /// Whether a connection or another [`Keys`] still uses one of the keys.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| Arc::strong_count(entry) > 1)
    }

    /// Returns the keys for a handshake.
    #[must_use]
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// Returns the entry of the key at an index of the ring.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<&Arc<Entry>> {
        self.entries.get(index)
    }

    /// Whether `others` are the same keys of the same clients in the same order, and none is removed.
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

    /// Takes over the origins of `others`, which are the same keys from another source or a later reading.
    pub fn set_origins_from(&mut self, others: Self) {
        self.origins = others.origins;
    }

    /// Returns the clients' keys whose files are gone. Reads no file. A file may have got another name of its
    /// client, as `alice.1.key` for `alice.key`: while there is one beside it, it takes
    /// [`gone_from`](Self::gone_from), which reads that, to know.
    #[must_use]
    pub fn without_file(&self, missing_folder: MissingFolder) -> Vec<Arc<Entry>> {
        let mut named = folder::NamedClients::default();
        let mut is_gone = |entry: &Entry, origin: &Origin| {
            let file = origin.file.as_deref();
            file.is_some_and(|file| folder::is_gone(file, missing_folder))
                && !file
                    .zip(entry.client())
                    .is_some_and(|(file, client)| named.has(file, client))
        };
        let entries = self.entries.iter().zip(&self.origins);
        let gone = entries.filter(|(entry, origin)| is_gone(entry, origin));
        gone.map(|(entry, _)| Arc::clone(entry)).collect()
    }

    /// Moves the keys into locked memory.
    ///
    /// # Errors
    ///
    /// The system refuses locked memory. The keys stay where they were.
    pub fn lock(&mut self) -> io::Result<()> {
        self.ring = wiping_the_stack(|| locked_memory::lock(&self.ring))?;
        Ok(())
    }

    /// Replaces earlier keys by these. A client's key that was there before keeps its entry, so its
    /// connections go on. Returns the clients' keys that are gone; [remove](Entry::remove) them once no
    /// connection is accepted with them any more. The only key of a pipe is never among these, as its
    /// connections may go on.
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
