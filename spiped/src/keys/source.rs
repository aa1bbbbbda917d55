//! The source of the keys of a pipe, and how the keys are read from it.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use super::folder::{ClientFiles, MissingFolder};
use super::reread;
use super::{Entry, Keys};
use crate::keys::keyfile::{self, KeyFileError, KeySource, KeyWarning};
use crate::os::sandbox::file_error;

/// The most keys of a pipe. More are a mistake: each handshake of a stranger is tried with all keys.
pub(super) const KEYS_MAX: usize = 10_000;

/// The number of keys that an end of a pipe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCount {
    /// One key: an encrypting end has to know the key to connect with.
    One,
    /// One key, or one for each client: a decrypting end tries all its keys.
    Many,
}

/// The source of the keys of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysSource {
    /// One key, or a folder of clients' keys.
    One(KeySource),
    /// Key files of clients, and folders of such files. Each file has the name of its client.
    Clients(Vec<PathBuf>),
}

impl From<KeySource> for KeysSource {
    fn from(one: KeySource) -> Self {
        Self::One(one)
    }
}

impl fmt::Display for KeysSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => one.fmt(f),
            Self::Clients(paths) => {
                let paths: Vec<_> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                write!(f, "key files {}", paths.join(", "))
            }
        }
    }
}

/// The reason why the keys of a pipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key cannot be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The folder cannot be read.
    #[error("cannot read key folder {}: {}", .folder.display(), file_error(.folder, .error))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The path is a folder, and the pipe takes one key.
    #[error("{} is a folder: only spiped -d takes many keys, so name one key file", .0.display())]
    Many(PathBuf),
    /// The source is a list of paths, and the pipe takes one key.
    #[error("only a decrypting pipe takes an array of keys: name one key file, in a string")]
    Several,
    /// With the keys at this path, the pipe has more than 10,000.
    #[error("with {} there are more than {KEYS_MAX} keys", .0.display())]
    TooMany(PathBuf),
    /// The name of a key file gives no name of a client.
    #[error(
        "key file {0:?} is called after no client: up to the first dot its name has to be plain text"
    )]
    Name(PathBuf),
    /// The key file of a client is a device, a fifo or a socket.
    #[error("key file {} is no regular file", .0.display())]
    Special(PathBuf),
    /// The key file of a client is empty, so anybody could connect as this client.
    #[error("key file {} is empty", .0.display())]
    Empty(PathBuf),
}

impl KeysSource {
    /// Returns the files and folders that are read.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(KeySource::Stdin) => &[],
            Self::One(KeySource::File(path)) => slice::from_ref(path),
            Self::Clients(paths) => paths,
        }
    }
}

impl Keys {
    /// Reads one key or, if `count` allows it, the keys of clients. Returns warnings too.
    ///
    /// # Errors
    ///
    /// A key cannot be read, a client's key file is not usable, or there are too many keys.
    pub fn read(
        source: &KeysSource,
        count: KeyCount,
    ) -> Result<(Self, Vec<KeyWarning>), KeysError> {
        match source.found(count)? {
            Found::One(one) => {
                let key = keyfile::read_at_start(one)?;
                Ok(Self::of_one(key))
            }
            Found::Clients(paths) => ClientFiles::find(paths, None).into_keys(),
        }
    }

    /// Reads keys again, for a reload. `earlier` are the keys that were read before.
    ///
    /// A key from a source that can be read once only is kept. A key that is now empty, cut short, or no
    /// regular file is an error. Reading that has to wait ends when it `is_abandoned`.
    pub fn read_again(
        source: &KeysSource,
        count: KeyCount,
        earlier: EarlierKeys<'_>,
        is_abandoned: &dyn Fn() -> bool,
    ) -> RereadKeys {
        let (keys, gone) = match source.found(count) {
            Err(error) => (Err(error), Vec::new()),
            Ok(Found::One(one)) => {
                let read = reread::read_one(one, earlier, is_abandoned);
                (read.map_err(KeysError::from), Vec::new())
            }
            Ok(Found::Clients(paths)) => {
                let before = earlier.same_source.or(earlier.same_pipe);
                let files = ClientFiles::find(paths, before);
                let gone = earlier
                    .same_pipe
                    .map(|before| files.gone(before, MissingFolder::KeepsKeys));
                (files.into_keys(), gone.unwrap_or_default())
            }
        };
        RereadKeys { keys, gone }
    }

    /// Returns the error that this process would meet if it read the keys again at `source`; `None` if it
    /// could, or would not need to.
    #[must_use]
    pub fn reread_error(&self, source: &KeysSource) -> Option<KeysError> {
        let folders = source.paths().iter().filter(|path| path.is_dir());
        for folder in folders {
            if let Err(error) = fs::read_dir(folder) {
                let folder = folder.clone();
                return Some(KeysError::Folder { folder, error });
            }
        }
        let files = self
            .origins
            .iter()
            .filter_map(|origin| origin.file.as_deref());
        let one = match source {
            KeysSource::One(KeySource::File(path))
                if !self.has_clients() && self.is_from_file() =>
            {
                Some(path.as_path())
            }
            _ => None,
        };
        files.chain(one).find_map(|file| {
            let source = KeySource::File(file.to_owned());
            keyfile::open_nonblocking(&source)
                .err()
                .map(KeysError::from)
        })
    }

    /// Returns the clients' keys that are gone from `source`. A key that cannot be read counts as there.
    #[must_use]
    pub fn gone_from(&self, source: &KeysSource, missing_folder: MissingFolder) -> Vec<Arc<Entry>> {
        match source.found(KeyCount::Many) {
            Ok(Found::Clients(paths)) if self.has_clients() => {
                ClientFiles::find(paths, Some(self)).gone(self, missing_folder)
            }
            _ => self.without_file(missing_folder),
        }
    }
}

/// The result of reading keys again.
#[derive(Debug)]
pub struct RereadKeys {
    /// The keys and their warnings, or the reason why they cannot be used.
    pub keys: Result<(Keys, Vec<KeyWarning>), KeysError>,
    /// The clients' keys of the pipe that are gone, even if reading the others failed.
    pub gone: Vec<Arc<Entry>>,
}

/// The keys that were read before a reload.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarlierKeys<'a> {
    /// The keys that were read from the same source.
    pub same_source: Option<&'a Keys>,
    /// The keys of the same pipe, perhaps from another source.
    pub same_pipe: Option<&'a Keys>,
}

/// The kind of source that the path of the keys has turned out to be.
pub(super) enum Found<'a> {
    /// One key.
    One(&'a KeySource),
    /// Files and folders of clients' keys.
    Clients(&'a [PathBuf]),
}

impl KeysSource {
    fn found(&self, count: KeyCount) -> Result<Found<'_>, KeysError> {
        match (self, count) {
            (Self::Clients(_), KeyCount::One) => Err(KeysError::Several),
            (Self::Clients(paths), KeyCount::Many) => Ok(Found::Clients(paths)),
            (Self::One(KeySource::File(path)), KeyCount::One) if path.is_dir() => {
                Err(KeysError::Many(path.clone()))
            }
            (Self::One(KeySource::File(path)), KeyCount::Many) if path.is_dir() => {
                Ok(Found::Clients(slice::from_ref(path)))
            }
            (Self::One(one), _) => Ok(Found::One(one)),
        }
    }
}
