//! The keys of a pipe: the one of a key file, or those of a folder, where each file is a key of the
//! client that it is called after.
//!
//! A folder is taken whole or not at all: with one file in it that cannot be used there is an error,
//! so that no client is shut out, and no key kept, by half.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spiped_proto::{Keyring, Secret};
use tokio::sync::watch;

use crate::keyfile::{self, KeyFileError, KeySource, KeyWarning};
use crate::locked;
use crate::reason::reason;
use crate::settings::Mode;

/// More files are taken for a mistake: each hello of a stranger is tried with each key.
const FILES_MAX: usize = 10_000;
/// So many warnings about the files of a folder are worth reading.
const WARNINGS_MAX: usize = 3;
/// What a key file in a folder ends in. Whatever ends otherwise is no key: it may be what an editor
/// or a package manager left, or a key that somebody took away by renaming it.
const SUFFIX: &[u8] = b".key";

/// Why a pipe has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key cannot be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The folder cannot be read.
    #[error("cannot read key folder {}: {}", .folder.display(), reason(.error))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is a folder where one key is needed.
    #[error("{} is a folder: only spiped -d takes many keys, so name one key file", .0.display())]
    Many(PathBuf),
    /// There are more than 10,000.
    #[error("key folder {} holds more than {FILES_MAX} keys", .0.display())]
    TooMany(PathBuf),
    /// A file's name is none for a client.
    #[error("key file {0:?} is called after no client: its name has to be plain text")]
    Name(PathBuf),
    /// It is a device, a pipe or a socket.
    #[error("key file {} is no regular file", .0.display())]
    Special(PathBuf),
    /// Anybody could connect as this client.
    #[error("key file {} is empty", .0.display())]
    Empty(PathBuf),
}

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

    /// Whose key it is; a key file that is in no folder is nobody's in particular.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }

    /// Waits until the key has been removed from its folder.
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
    /// Reads a key file or, for a decrypting end, a folder of them; and says what is unwise about it.
    ///
    /// # Errors
    ///
    /// A key cannot be read, is no file of a client's, or there are too many.
    pub fn read(source: &KeySource, mode: Mode) -> Result<(Self, Vec<KeyWarning>), KeysError> {
        match source {
            KeySource::File(path) if path.is_dir() => match mode {
                Mode::Decrypt => read_folder(path),
                Mode::Encrypt => Err(KeysError::Many(path.clone())),
            },
            one => {
                let (secret, warnings) = keyfile::read(one)?;
                Ok((secret.into(), warnings))
            }
        }
    }

    /// Reads what is left of a folder, without a word about what is unwise; nothing is if it is gone.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_left(source: &KeySource) -> Result<Self, KeysError> {
        match source {
            KeySource::File(path) if matches!(path.try_exists(), Ok(false)) => Ok(Self {
                ring: [].into_iter().collect(),
                entries: Vec::new(),
            }),
            source => Ok(Self::read(source, Mode::Decrypt)?.0),
        }
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
        clients.eq(others.entries.iter().map(|entry| &entry.client))
            && secrets.all(|(one, other)| one.is_same(other))
    }

    /// Moves all of them into locked memory, and says how that went.
    pub fn lock(self) -> (Self, io::Result<()>) {
        let (ring, outcome) = locked::lock(self.ring);
        let entries = self.entries;
        (Self { ring, entries }, outcome)
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

/// Reads all keys of a folder, in the order of their files' names.
fn read_folder(folder: &Path) -> Result<(Keys, Vec<KeyWarning>), KeysError> {
    let failed = |error| KeysError::Folder {
        folder: folder.to_owned(),
        error,
    };
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode() & 0o7777;
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if is_key(&name) {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            return Err(KeysError::TooMany(folder.to_owned()));
        }
    }
    names.sort();

    let mut secrets = Vec::new();
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut warnings = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let client = client(&name).ok_or_else(|| KeysError::Name(path.clone()))?;
        if let Some((secret, about_it)) = read_file(path)? {
            secrets.push(secret);
            entries.push(Entry::of(Some(client.into())));
            warnings.extend(about_it);
        }
    }
    let more = warnings.len().saturating_sub(WARNINGS_MAX);
    warnings.truncate(WARNINGS_MAX);
    let folder = || folder.to_owned();
    if more > 0 {
        warnings.push(KeyWarning::More(folder(), more));
    }
    if mode & 0o022 != 0 {
        warnings.push(KeyWarning::Writable(folder(), mode));
    }
    if secrets.is_empty() {
        warnings.push(KeyWarning::Nobody(folder()));
    }
    let ring = secrets.into_iter().collect();
    Ok((Keys { ring, entries }, warnings))
}

/// Which keys of a folder are links, as far as it can be read; none of what is no folder.
pub(crate) fn links(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| is_key(&entry.file_name()))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .take(FILES_MAX)
        .map(|entry| entry.path())
        .collect()
}

/// Hidden files may be on their way to become keys.
fn is_key(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(SUFFIX) && !name.starts_with(b".")
}

/// Whom a key file is called after: its name up to the first dot.
fn client(name: &OsStr) -> Option<&str> {
    let (client, _) = name.to_str()?.split_once('.')?;
    let is_plain = !client.chars().any(char::is_control);
    is_plain.then_some(client)
}

/// Reads one key of a folder; `None` for a folder in the folder.
fn read_file(path: PathBuf) -> Result<Option<(Secret, Vec<KeyWarning>)>, KeysError> {
    let source = KeySource::File(path.clone());
    let file = keyfile::open_at_once(&source)?;
    let Ok(kind) = file.metadata().map(|metadata| metadata.file_type()) else {
        return Err(KeysError::Special(path));
    };
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(KeysError::Special(path));
    }
    let (secret, warnings) = keyfile::read_open(&source, file)?;
    let empty = |warning: &KeyWarning| matches!(warning, KeyWarning::Empty(_));
    match warnings.iter().any(empty) {
        true => Err(KeysError::Empty(path)),
        false => Ok(Some((secret, warnings))),
    }
}

#[cfg(test)]
mod tests;
